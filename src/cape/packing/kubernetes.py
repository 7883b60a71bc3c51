"""A Kubernetes manifest for an image: a deployment per service, or one job, and what they need.

Owns the objects and their text as YAML. Secrets are named, never written; values that a shell inside
works out stay with the image's activation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UNSUITABLE = re.compile(r"[^a-z0-9-]+")
_LONGEST_NAME = 63


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A service as Kubernetes sees it: its shell command, ports by name, and how to know that it is ready."""

    name: str
    command: str
    ports: Mapping[str, int]
    ready_command: str | None = None
    ready_http: str | None = None
    ready_port: int | None = None
    interval_s: float = 1.0
    timeout_s: float = 60.0
    grace_s: float = 10.0


def kubernetes_name(text: str) -> str:
    """A name that Kubernetes takes, made of a text.

    >>> kubernetes_name("My_App.1")
    'my-app-1'
    """
    return _UNSUITABLE.sub("-", text.lower()).strip("-")[:_LONGEST_NAME].strip("-") or "environment"


def kubernetes_manifest(
    *,
    name: str,
    image: str,
    lock: str,
    workloads: Sequence[Workload],
    command: Sequence[str] = (),
    variables: Mapping[str, str],
) -> str:
    """The manifest as YAML, a document per object: what is used comes before what uses it."""
    import yaml

    own = kubernetes_name(name)
    labels = {"app.kubernetes.io/name": own, "app.kubernetes.io/managed-by": "cape"}
    objects: list[Mapping[str, Any]] = []
    if variables:
        objects.append(_object("v1", "ConfigMap", own, labels, lock) | {"data": dict(variables)})
    for workload in workloads:
        objects += _of_workload(workload, own, image, labels, lock, has_variables=bool(variables))
    if not workloads:
        objects.append(_job(own, image, command, labels, lock, has_variables=bool(variables)))
    return str(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True))


def _object(version: str, kind: str, name: str, labels: Mapping[str, str], lock: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": dict(labels), "annotations": {"cape.lock": lock}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _of_workload(
    workload: Workload, own: str, image: str, labels: Mapping[str, str], lock: str, *, has_variables: bool
) -> Iterator[Mapping[str, Any]]:
    name = kubernetes_name(f"{own}-{workload.name}")
    chosen = {**labels, "app.kubernetes.io/component": kubernetes_name(workload.name)}
    container = _container(name, image, ["--cape-run", "sh", "-c", workload.command], own, has_variables)
    if workload.ports:
        container["ports"] = [
            {"name": kubernetes_name(port)[:15], "containerPort": number}
            for port, number in workload.ports.items()
        ]
    if probe := _probe(workload):
        period = max(1, round(workload.interval_s))
        tries = max(1, round(workload.timeout_s / period))
        container["startupProbe"] = {**probe, "periodSeconds": period, "failureThreshold": tries}
        container["readinessProbe"] = {**probe, "periodSeconds": max(10, period)}
    spec = _pod(container) | {"terminationGracePeriodSeconds": max(1, round(workload.grace_s))}
    yield _object("apps/v1", "Deployment", name, chosen, lock) | {
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": chosen},
            "template": {"metadata": {"labels": chosen}, "spec": spec},
        }
    }
    if workload.ports:
        ports = [
            {"name": kubernetes_name(port)[:15], "port": number, "targetPort": number}
            for port, number in workload.ports.items()
        ]
        yield _object("v1", "Service", name, chosen, lock) | {"spec": {"selector": chosen, "ports": ports}}


def _probe(workload: Workload) -> dict[str, Any] | None:
    if workload.ready_command is not None:
        words = ["/cape/enter", "--cape-run", "sh", "-c", workload.ready_command]
        return {"exec": {"command": words}}
    if workload.ready_http is not None and workload.ready_port is not None:
        return {"httpGet": {"path": workload.ready_http, "port": workload.ready_port}}
    if workload.ready_port is not None:
        return {"tcpSocket": {"port": workload.ready_port}}
    return None


def _container(
    name: str, image: str, arguments: Sequence[str], own: str, has_variables: bool
) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": image}
    if arguments:
        container["args"] = list(arguments)
    if has_variables:
        container["envFrom"] = [{"configMapRef": {"name": own}}]
    container["resources"] = {"requests": {"cpu": "100m", "memory": "256Mi"}}
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
    }
    container["volumeMounts"] = [{"name": "state", "mountPath": "/cape/state"}]
    return container


def _pod(container: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "securityContext": {"fsGroup": 1000},
        "containers": [container],
        "volumes": [{"name": "state", "emptyDir": {}}],
    }


def _job(
    own: str,
    image: str,
    command: Sequence[str],
    labels: Mapping[str, str],
    lock: str,
    *,
    has_variables: bool,
) -> Mapping[str, Any]:
    arguments = ["--cape-run", *command] if command else []
    spec = _pod(_container(own, image, arguments, own, has_variables)) | {"restartPolicy": "Never"}
    return _object("batch/v1", "Job", own, labels, lock) | {
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": dict(labels)}, "spec": spec}}
    }
