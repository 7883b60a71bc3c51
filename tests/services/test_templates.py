"""Templates: each is a manifest's piece, is put in with comments kept, and (on a network) really serves."""

from __future__ import annotations

import json

import pytest

from cape.manifest import parse_manifest
from cape.services.templates import template_names
from tests.services.conftest import Services
from tests.services.serving_templates import HEAD, get, started, stopped
from tests.services.serving_templates import ordinary as ordinary
from tests.services.serving_templates import store as store


def test_there_are_templates_for_six_services() -> None:
    assert template_names() == ("jupyter", "model-server", "nginx", "postgresql", "redis", "web")


def test_templates_are_listed_with_what_they_are(one: Services) -> None:
    told = one.services("template").succeeded().stdout
    assert "postgresql    PostgreSQL with pgvector" in told
    listed = json.loads(one.services("template", "--json").stdout)["templates"]
    assert [row["name"] for row in listed] == list(template_names())


@pytest.mark.parametrize("name", template_names())
def test_a_template_is_added_to_what_is_there(one: Services, name: str) -> None:
    before = HEAD + '# mine\n[packages]\nripgrep = "*"  # for searching\n\n[vars]\nPGHOST = "elsewhere"\n'
    file = one.directory / "cape.toml"
    file.write_text(before)
    shown = one.services("template", name, "--dry-run").succeeded().stdout
    assert file.read_text() == before
    told = json.loads(one.services("template", name, "--json").succeeded().stdout)
    assert file.read_text() == shown
    manifest = parse_manifest(shown, path=file)
    assert set(told["services"]) == set(manifest.services)
    assert {one.name for one in manifest.requirements} == {"ripgrep", *told["packages"]}
    assert 'ripgrep = "*"  # for searching\n' in shown and "# mine\n" in shown
    assert manifest.vars["PGHOST"] == "elsewhere"
    one.services("template", name).failed(1, "already", "cape.toml:")
    assert file.read_text() == shown


def test_an_unknown_template_names_the_nearest(one: Services) -> None:
    one.write("")
    one.services("template", "postgres").failed(1, "no template `postgres`", "`postgresql`")


# -- on a network; the others are in `acceptance_templates` ---------------------------------------------


@pytest.mark.network
def test_redis_answers(ordinary: Services) -> None:
    port = started(ordinary, "redis")
    assert ordinary.cape("run", "--", "redis-cli", "-p", str(port), "ping").stdout == "PONG\n"
    stopped(ordinary, "redis")


@pytest.mark.network
def test_nginx_serves_files(ordinary: Services) -> None:
    port = started(ordinary, "nginx")
    (ordinary.directory / "public/page.html").write_text("a page")
    assert get(f"http://127.0.0.1:{port}/page.html") == "a page"
    stopped(ordinary, "nginx")
