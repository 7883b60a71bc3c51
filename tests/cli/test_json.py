"""`--json`: one object on stdout, `schema_version` first, and every field always there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cape.cli.declarations import COMMANDS
from tests.end_to_end.harness import Project, World

LOCK = {
    "packages": int,
    "systems": list,
    "changes": list,
    "changed": list,
    "reasons": list,
    "notes": list,
    "added": list,
    "dry_run": bool,
}
SYNC = {
    "dry_run": bool,
    "changes": list,
    "changed": list,
    "generation": (int, type(None)),
    "identity": str,
    "content": (str, type(None)),
    "packages": int,
    "files": int,
    "objects_made": int,
    "downloaded": int,
    "downloaded_bytes": int,
    "to_download": int,
    "to_download_bytes": int,
    "rows": list,
    "notes": list,
}
SHAPES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "lock": (("lock",), LOCK),
    "lock dry": (("lock", "--dry-run"), LOCK),
    "lock check": (("lock", "--check"), {"fresh": bool, "reasons": list}),
    "sync": (("sync",), SYNC),
    "sync dry": (("sync", "--dry-run"), SYNC),
    "install": (("install", "tool", "--dry-run"), LOCK),
    "uninstall": (("uninstall", "hello", "--dry-run"), LOCK),
    "upgrade": (("upgrade", "--dry-run"), LOCK),
    "list": (("list",), {"lock": str, "identity": str, "content": str, "packages": list, "variants": list}),
    "show locked": (("show", "hello"), {"locked": list, "available": list}),
    "show available": (("show", "tool"), {"locked": list, "available": list}),
    "search": (("search", "debian:greet"), {"packages": list, "failures": list}),
    "why": (
        ("why", "words"),
        {"chains": list, "asked_by": list, "files": list, "environment": (str, type(None))},
    ),
    "outdated": (("outdated",), {"packages": list}),
    "licences": (("licences",), {"packages": list}),
    "history": (("history",), {"current": int, "generations": list, "rollbacks": list}),
    "gc": (
        ("gc", "--dry-run"),
        {
            "generations": list,
            "environments": list,
            "objects": list,
            "artifacts": list,
            "checkouts": list,
            "forgotten_projects": list,
            "freed_bytes": int,
            "dry_run": bool,
        },
    ),
    "doctor": (("doctor",), {"checks": list}),
    "config": (("config",), {"settings": list}),
    "config key": (("config", "store"), {"key": str, "values": list, "origin": (str, type(None))}),
}
PACKAGE = {
    "source",
    "name",
    "version",
    "systems",
    "digest",
    "size_bytes",
    "location",
    "dependencies",
    "placement",
    "attributes",
}
GENERATION = {
    "number",
    "created_s",
    "user",
    "argv",
    "identity",
    "content",
    "previous",
    "environments",
    "changes",
}
ROWS: dict[str, tuple[tuple[str, ...], str, set[str]]] = {
    "list": (("list", "--all"), "packages", PACKAGE | {"requested_as"}),
    "show": (("show", "hello"), "locked", PACKAGE | {"limits"}),
    "show available": (("show", "tool"), "available", {"source", "name", "version", "summary"}),
    "search": (("search", "debian:greet"), "packages", {"source", "name", "version", "summary"}),
    "history": (("history",), "generations", GENERATION),
    "doctor": (("doctor",), "checks", {"name", "ok", "found", "hint"}),
    "config": (("config",), "settings", {"key", "values", "origin", "variable", "meaning"}),
}


def read(project: Project, *words: str) -> dict[str, Any]:
    found = json.loads(project.cape(*words, "--json").stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_fields_are_all_there_and_the_schema_version_is_first(name: str, project: Project) -> None:
    words, shape = SHAPES[name]
    found = read(project, *words)
    assert next(iter(found)) == "schema_version"
    assert found.pop("schema_version") == 1
    assert list(found) == list(shape) or set(found) == set(shape)
    for field, kind in shape.items():
        assert isinstance(found[field], kind), field


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_lists_are_objects_with_equal_fields(name: str, project: Project) -> None:
    words, field, fields = ROWS[name]
    rows = read(project, *words)[field]
    assert rows
    assert all(set(row) == fields for row in rows)


ELSEWHERE = {
    "audit": "tests/end_to_end/test_auditing.py",
    "ask": "tests/end_to_end/test_asking.py",
    "usage": "tests/end_to_end/test_asking.py",
    "graph": "tests/graph/test_graph_show.py",
    "evaluate": "tests/evaluation",
    "evaluate writers": "tests/end_to_end/test_evaluating_writers.py",
    "index": "tests/end_to_end/test_knowledge_index.py",
    **dict.fromkeys(("instances", "promote", "ci"), "tests/end_to_end/test_instances.py"),
    "gpu": "tests/accelerators",
    "fit": "tests/fitting",
    "serve-model": "tests/serving_models",
    **dict.fromkeys(("pack", "image"), "tests/end_to_end/test_packing.py"),
    "submit": "tests/submitting",
    "services": "tests/services",
    "consent": "tests/shells/test_entering.py",
    **dict.fromkeys(("build", "publish"), "tests/building"),
    **dict.fromkeys(("push", "pull", "fork", "log", "key"), "tests/end_to_end/test_sharing.py"),
}
"""Commands whose JSON wants a project of its own kind; the place of their tests."""


def test_every_command_with_json_is_covered() -> None:
    covered = {words[0] for words, _ in SHAPES.values()} | ELSEWHERE.keys()
    declared = {
        command.name.split()[0]
        for command in COMMANDS
        if any("--json" in argument.flags for argument in command.arguments)
    }
    assert declared - covered == {"init", "rollback", "vendor"}, "these change something: see below"


def test_init_reports_what_it_took_over(world: World) -> None:
    project = world.project(name="adopting")
    project.manifest.unlink()
    (project.directory / "requirements.txt").write_text("greeting>=1\n./local\n")
    found = read(project, "init", "--dry-run")
    assert next(iter(found)) == "schema_version"
    assert set(found) == {
        "schema_version", "manifest", "name", "files", "followed", "packages", "unmapped", "warnings",
        "dry_run",
    }  # fmt: skip
    assert found["packages"] == [
        {"source": "pypi", "name": "greeting", "constraint": ">=1", "where": "requirements.txt:1"}
    ]
    assert set(found["unmapped"][0]) == {"where", "text", "reason"}


def test_vendor_and_rollback_report_what_they_did(world: World) -> None:
    project = world.project(name="reporting", hello="*")
    project.cape("sync").succeeded()
    project.cape("install", "tool").succeeded()
    assert set(read(project, "vendor", "vendored")) == {
        "schema_version",
        "destination",
        "artifacts",
        "size_bytes",
        "written",
    }
    rolled = read(project, "rollback")
    assert (rolled["generation"], rolled["dry_run"]) == (1, False)
    assert read(project, "history")["current"] == 1


def test_an_error_is_an_object_with_its_slug(project: Project) -> None:
    done = project.cape("install", "hallo", "--json").failed(1, "has no package `hallo`")
    assert json.loads(done.stdout) == {
        "schema_version": 1,
        "error": {
            "slug": "unknown-package",
            "fact": "`debian` has no package `hallo`",
            "where": None,
            "hint": "did you mean `hello`?",
            "causes": [],
            "explanation": None,
            "also": [],
        },
    }
