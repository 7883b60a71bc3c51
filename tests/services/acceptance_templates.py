"""Templates whose packages are large, run for real and used by a client; not part of the suite.

`make acceptance` runs this file; so does `.venv/bin/python -m pytest tests/services/acceptance_templates.py`.
"""

from __future__ import annotations

import json
import os
import urllib.error
from dataclasses import replace
from pathlib import Path

import pytest

from tests.services.conftest import Services, project, wait_until
from tests.services.serving_templates import HEAD, get, started, stopped
from tests.services.serving_templates import ordinary as ordinary
from tests.services.serving_templates import store as store

APPLICATION = """
import flask
app = flask.Flask(__name__)

@app.get("/")
def hello():
    return "hello from flask"
"""


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
