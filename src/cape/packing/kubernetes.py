"""A Kubernetes manifest for an image: a deployment per service, or one job, and what they need.

Owns the objects and their text as YAML. Secrets are named, never written: containers take them from a
`Secret` of the environment's name. Values that a shell inside works out stay with the image's activation.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UNSUITABLE = re.compile(r"[^a-z0-9-]+")
_LONGEST_NAME = 63


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A service as Kubernetes sees it: its shell command, ports by name, and how to know that it is ready.

    `variables` are its own, plain values without references. `stop_command` ends it, before it is signalled.
    """

    name: str
    command: str
    ports: Mapping[str, int]
    variables: Mapping[str, str]
    stop_command: str | None = None
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
    secrets: Sequence[str] = (),
) -> str:
    """The manifest as YAML, a document per object: what is used comes before what uses it.

    `variables` are plain values for every container, `secrets` names of those whose values a `Secret` of the
    environment's name has, under the same names.
    """
    import yaml

    own = kubernetes_name(name)
    setting = _Setting(
        own=own,
        image=image,
        lock=lock,
        labels={"app.kubernetes.io/name": own, "app.kubernetes.io/managed-by": "cape"},
        has_variables=bool(variables),
        secrets=tuple(secrets),
    )
    objects: list[Mapping[str, Any]] = []
    if variables:
        objects.append(setting.object("v1", "ConfigMap", own) | {"data": dict(variables)})
    for workload in workloads:
        objects += _of_workload(workload, setting)
    if not workloads:
        objects.append(_job(command, setting))
    return str(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """A command that runs `tasks` times, each with its number in `$CAPE_TASK`, and files that it finds.

    What it leaves in `$CAPE_OUTPUTS` stays in the volume that `claim` names, or is lost with its pod. A pod
    that was lost is started again, `retries` times; one whose command failed is not.
    """

    name: str
    command: tuple[str, ...]
    files: Mapping[str, tuple[bytes, bool]]
    tasks: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3
    claim: str | None = None
    variables: Mapping[str, str]
    secrets: tuple[str, ...] = ()


def kubernetes_errand(errand: Errand, *, own: str, image: str, lock: str) -> str:
    """The manifest of a command that runs once, or several times, as YAML: what is used comes first.

    `own` is the environment's name; a `Secret` of that name has the secrets.
    """
    import yaml

    name = kubernetes_name(errand.name)
    labels = {"app.kubernetes.io/name": kubernetes_name(own), "app.kubernetes.io/managed-by": "cape"}
    setting = _Setting(
        own=kubernetes_name(own),
        image=image,
        lock=lock,
        labels=labels,
        has_variables=False,
        secrets=errand.secrets,
    )
    keys = {path: f"f{number}" for number, path in enumerate(sorted(errand.files))}
    data = {keys[path]: b64encode(content).decode() for path, (content, _) in sorted(errand.files.items())}
    objects = [
        setting.object("v1", "ConfigMap", f"{name}-files") | {"binaryData": data},
        _errand_job(errand, name, keys, setting),
    ]
    return str(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True))


def _errand_job(errand: Errand, name: str, keys: Mapping[str, str], setting: _Setting) -> Mapping[str, Any]:
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    told = {**errand.variables, "CAPE_TASKS": str(errand.tasks), "CAPE_OUTPUTS": "/cape/outputs"}
    container = setting.container("task", errand.command, told)
    container["env"].append({"name": "CAPE_TASK", "valueFrom": {"fieldRef": {"fieldPath": index}}})
    container["workingDir"] = "/cape/work"
    container["resources"]["requests"]["cpu"] = f"{round(errand.cpus * 1000)}m"
    if errand.gpus:
        container["resources"]["limits"] = {"nvidia.com/gpu": str(round(errand.gpus))}
    container["volumeMounts"] += [
        {"name": "work", "mountPath": "/cape/work"},
        {"name": "outputs", "mountPath": "/cape/outputs"},
    ]
    pod = _pod(container) | {"restartPolicy": "Never"}
    items = [
        {"key": keys[path], "path": path, "mode": 0o755 if runnable else 0o644}
        for path, (_, runnable) in sorted(errand.files.items())
    ]
    kept = {"persistentVolumeClaim": {"claimName": errand.claim}} if errand.claim else {"emptyDir": {}}
    pod["volumes"] += [
        {"name": "work", "configMap": {"name": f"{name}-files", "items": items}},
        {"name": "outputs", **kept},
    ]
    failed = {"containerName": "task", "operator": "NotIn", "values": [0]}
    rules = [
        {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailIndex", "onExitCodes": failed},
    ]
    spec = {
        "completions": errand.tasks,
        "parallelism": errand.tasks,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": errand.retries,
        "podFailurePolicy": {"rules": rules},
        "template": {"metadata": {"labels": dict(setting.labels)}, "spec": pod},
    }
    return setting.object("batch/v1", "Job", name) | {"spec": spec}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Setting:
    """What all objects of a manifest have in common."""

    own: str
    image: str
    lock: str
    labels: Mapping[str, str]
    has_variables: bool
    secrets: tuple[str, ...]

    def object(self, version: str, kind: str, name: str, **labels: str) -> dict[str, Any]:
        metadata = {
            "name": name,
            "labels": {**self.labels, **labels},
            "annotations": {"cape.lock": self.lock},
        }
        return {"apiVersion": version, "kind": kind, "metadata": metadata}

    def container(self, name: str, words: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
        container: dict[str, Any] = {"name": name, "image": self.image}
        if words:
            container["args"] = ["--cape-run", *words]
        if self.has_variables:
            container["envFrom"] = [{"configMapRef": {"name": self.own}}]
        told: list[dict[str, Any]] = [
            {"name": one, "valueFrom": {"secretKeyRef": {"name": self.own, "key": one}}}
            for one in self.secrets
            if one not in variables
        ]
        told += [{"name": one, "value": _literally(value)} for one, value in variables.items()]
        if told:
            container["env"] = told
        container["resources"] = {"requests": {"cpu": "100m", "memory": "256Mi"}}
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 1000,
        }
        container["volumeMounts"] = [{"name": "state", "mountPath": "/cape/state"}]
        return container


def _literally(value: str) -> str:
    """A value in which Kubernetes finds no reference: `$(` is written `$$(`."""
    return value.replace("$(", "$$(")


def _of_workload(workload: Workload, setting: _Setting) -> Iterator[Mapping[str, Any]]:
    name = kubernetes_name(f"{setting.own}-{workload.name}")
    own_label = {"app.kubernetes.io/component": kubernetes_name(workload.name)}
    chosen = {**setting.labels, **own_label}
    container = setting.container(name, ["sh", "-c", workload.command], workload.variables)
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
    if workload.stop_command is not None:
        container["lifecycle"] = {"preStop": {"exec": {"command": _inside(workload.stop_command)}}}
    spec = _pod(container) | {"terminationGracePeriodSeconds": max(1, round(workload.grace_s))}
    yield setting.object("apps/v1", "Deployment", name, **own_label) | {
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
        yield setting.object("v1", "Service", name, **own_label) | {
            "spec": {"selector": chosen, "ports": ports}
        }


def _probe(workload: Workload) -> dict[str, Any] | None:
    if workload.ready_command is not None:
        return {"exec": {"command": _inside(workload.ready_command)}}
    if workload.ready_http is not None and workload.ready_port is not None:
        return {"httpGet": {"path": workload.ready_http, "port": workload.ready_port}}
    if workload.ready_port is not None:
        return {"tcpSocket": {"port": workload.ready_port}}
    return None


def _inside(command: str) -> list[str]:
    """The words that run a shell command in the environment of a container that runs."""
    return ["/cape/enter", "--cape-run", "sh", "-c", command]


def _pod(container: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "securityContext": {"fsGroup": 1000},
        "containers": [container],
        "volumes": [{"name": "state", "emptyDir": {}}],
    }


def _job(command: Sequence[str], setting: _Setting) -> Mapping[str, Any]:
    spec = _pod(setting.container(setting.own, command, {})) | {"restartPolicy": "Never"}
    return setting.object("batch/v1", "Job", setting.own) | {
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": dict(setting.labels)}, "spec": spec},
        }
    }
