"""Templates: each is a manifest's piece, is put in with comments kept, and (on a network) really serves."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cape.manifest import parse_manifest
from cape.services.templates import template_names
from tests.services.conftest import Services, project, wait_until

HEAD = (
    'schema = 1\n[environment]\nname = "t"\nsystems = ["x86_64-linux", "aarch64-linux"]\ndebian = "trixie"\n'
)
APPLICATION = """
import flask
app = flask.Flask(__name__)

@app.get("/")
def hello():
    return "hello from flask"
"""


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


# -- on a network -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One store for all templates: they share Python and the indices."""
    place = Path(tempfile.mkdtemp(prefix="cape-services-store-"))
    place.chmod(0o777)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def ordinary(store: Path) -> Iterator[Services]:
    """A project of an ordinary user, in the way that this machine holds services by itself."""
    for made in project("namespace", as_user=os.geteuid() == 0):
        yield replace(made, store=store / "store", outside=dict(os.environ))


def started(one: Services, name: str) -> int:
    """The first port of a template's service, which is ready."""
    (one.directory / "cape.toml").write_text(HEAD)
    if one.as_user:
        shutil.chown(one.directory / "cape.toml", 1000, 1000)
    one.services("template", name).succeeded()
    one.cape("sync", timeout_s=600).succeeded()
    one.services("up").succeeded()
    rows = one.status()
    assert rows[name]["state"] == "ready"
    return next(iter(rows[name]["ports"].values()), 0)


def stopped(one: Services, name: str) -> None:
    """It goes on after its supervisor was killed, and leaves nothing when it is stopped."""
    one.kill_supervisor()
    wait_until(lambda: one.marked() == [])
    one.services("up").succeeded()
    assert one.state(name) == "ready"
    one.services("down").succeeded()
    assert one.marked() == []


def get(url: str, *, data: bytes | None = None) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=120) as answer:
        return str(answer.read().decode())


@pytest.mark.network
def test_postgresql_has_pgvector_and_survives_a_kill(ordinary: Services) -> None:
    started(ordinary, "postgresql")

    def query(text: str) -> str:
        return ordinary.cape("run", "--", "psql", "-qAtc", text).succeeded().stdout

    query("create extension vector; create table points (at vector(2)); insert into points values ('[3,4]')")
    assert query("select at <-> '[0,0]' from points") == "5\n"
    ordinary.kill_supervisor()
    wait_until(lambda: ordinary.marked() == [])
    ordinary.services("up").succeeded()
    assert query("select count(*) from points") == "1\n"
    ordinary.services("down").succeeded()
    assert not (ordinary.directory / ".cape/state/postgresql/postmaster.pid").exists()


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


@pytest.mark.network
def test_a_web_application_answers(ordinary: Services) -> None:
    (ordinary.directory / "app.py").write_text(APPLICATION)
    port = started(ordinary, "web")
    assert get(f"http://127.0.0.1:{port}/") == "hello from flask"
    stopped(ordinary, "web")


@pytest.mark.network
def test_jupyter_lets_in_who_has_the_token(ordinary: Services) -> None:
    port = started(ordinary, "jupyter")
    token = (ordinary.directory / ".cape/state/jupyter/token").read_text()
    assert len(token) == 48
    assert json.loads(get(f"http://127.0.0.1:{port}/api/kernels?token={token}")) == []
    with pytest.raises(urllib.error.HTTPError):
        get(f"http://127.0.0.1:{port}/api/kernels")
    assert token not in ordinary.services("logs").stdout
    stopped(ordinary, "jupyter")


@pytest.mark.network
def test_a_local_model_answers(ordinary: Services) -> None:
    port = started(ordinary, "model-server")
    question = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 4}
    answer = json.loads(
        get(f"http://127.0.0.1:{port}/v1/chat/completions", data=json.dumps(question).encode())
    )
    assert answer["choices"][0]["message"]["content"]
    stopped(ordinary, "model-server")


@pytest.mark.network
def test_postgresql_says_kindly_that_root_is_refused(store: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("for root")
    for made in project("namespace"):
        one = replace(made, store=store / "of-root", outside=dict(os.environ))
        (one.directory / "cape.toml").write_text(HEAD)
        one.services("template", "postgresql").succeeded()
        one.cape("sync", timeout_s=600).succeeded()
        one.services("up").failed(1, "refuses to run as root: start it as an ordinary user")
