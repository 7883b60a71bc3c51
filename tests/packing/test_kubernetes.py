"""The Kubernetes manifest: what Kubernetes takes, with the ports and variables that a service expects."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.names import System
from cape.operations.packing import _double_quoted, _workloads
from cape.packing.kubernetes import kubernetes_manifest, kubernetes_name
from cape.services.definition import definitions_of


def objects(
    services: Mapping[str, Any], *, variables: Mapping[str, str] | None = None, secrets: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """The objects for services, each checked against the schemas of two releases of Kubernetes."""
    text = kubernetes_manifest(
        name="my_app",
        image="registry.example/app:1",
        lock="sha256:0",
        workloads=_workloads(definitions_of(services, System.X86_64_LINUX)),
        command=("work",),
        variables=variables or {},
        secrets=secrets,
    )
    found = list(yaml.safe_load_all(text))
    validator = pytest.importorskip("kubernetes_validate")
    for one in found:
        for release in ("1.28", "1.32"):
            validator.validate(one, release, strict=True)
    return found


def container(object_: dict[str, Any]) -> dict[str, Any]:
    (only,) = object_["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def told(object_: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(object_).get("env", []) if "value" in one}


WEB = {
    "command": "serve --port $PORT",
    "ports": {"http": 0, "admin": 8080},
    "vars": {"COLOUR": "blue $(x)", "URL": 'http://localhost:$PORT/${COLOUR}"`'},
    "ready": {"port": "http"},
}


def test_free_ports_get_numbers_that_the_service_is_told() -> None:
    web, service = objects({"web": WEB})
    ports = {"http": 8081, "admin": 8080}
    assert {one["name"]: one["containerPort"] for one in container(web)["ports"]} == ports
    assert {one["name"]: one["port"] for one in service["spec"]["ports"]} == ports
    assert told(web)["PORT"] == told(web)["PORT_HTTP"] == told(web)["CAPE_PORT_WEB_HTTP"] == "8081"
    assert told(web)["PORT_ADMIN"] == "8080"
    assert container(web)["readinessProbe"]["tcpSocket"] == {"port": 8081}


def test_a_services_variables_are_its_own_and_references_are_the_shells() -> None:
    web, _ = objects({"web": WEB})
    assert told(web)["COLOUR"] == "blue $$(x)", "Kubernetes' own references are none here"
    *words, text = container(web)["args"]
    assert words == ["--cape-run", "sh", "-c"]
    script = text.replace("serve --port", "echo $URL")
    said = subprocess.run(
        ["sh", "-c", script], env={"PORT": "1", "COLOUR": "red"}, capture_output=True, text=True, check=True
    )
    assert said.stdout == 'http://localhost:1/red"` 1\n'


@given(text=st.text(st.sampled_from("ab$`\"\\'{}() \n"), max_size=12))
@settings(max_examples=40, deadline=None)
def test_texts_with_references_mean_to_the_shell_what_they_mean_to_cape(text: str) -> None:
    from cape.environment.activation import parse_value

    wanted = "".join(part if isinstance(part, str) else "" for part in parse_value(text))
    script = f"printf %s {_double_quoted(text)}"
    assert (
        subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
        == wanted
    )


def test_every_service_knows_the_ports_of_all_others() -> None:
    first, _, second, _ = objects(
        {"web": WEB, "data-base": {"command": "db", "ports": {"sql": 5432}, "depends-on": []}}
    )
    assert told(first)["CAPE_PORT_DATA_BASE_SQL"] == "5432"
    assert told(second)["CAPE_PORT_WEB_HTTP"] == "8081" and "PORT_HTTP" not in told(second)


def test_other_signals_and_commands_that_stop_go_before_the_signal() -> None:
    one, two, three = objects(
        {
            "a": {"command": "a", "stop": {"signal": "INT", "grace": 30}},
            "b": {"command": "b", "stop": {"command": "b --stop"}},
            "c": {"command": "c"},
        }
    )
    stop = [
        container(each).get("lifecycle", {}).get("preStop", {}).get("exec", {}) for each in (one, two, three)
    ]
    inside = ["/cape/enter", "--cape-run", "sh", "-c"]
    assert stop == [{"command": [*inside, "kill -INT 1"]}, {"command": [*inside, "b --stop"]}, {}]
    assert one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30


@pytest.mark.parametrize("services", [{}, {"web": WEB}])
def test_secrets_are_referred_to_by_name_and_plain_variables_are_in_the_map(
    services: Mapping[str, Any],
) -> None:
    found = objects(services, variables={"MODE": "production"}, secrets=("TOKEN",))
    assert found[0]["kind"] == "ConfigMap" and found[0]["data"] == {"MODE": "production"}
    references = [one for one in container(found[1])["env"] if "valueFrom" in one]
    assert references == [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "my-app", "key": "TOKEN"}}}
    ]
    assert all(one["kind"] != "Secret" for one in found)


@given(text=st.text(max_size=90))
@settings(max_examples=60)
def test_every_text_gives_a_name_that_kubernetes_takes(text: str) -> None:
    name = kubernetes_name(text)
    assert 1 <= len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name[0] != "-" and name[-1] != "-"
