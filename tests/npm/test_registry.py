"""Which npm registry a machine uses, and what npm on it may know."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.sources.npm.registry import read_settings

ONE, TWO = "http://127.0.0.1:1/npm/", "http://127.0.0.1:2/"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "NPM_CONFIG_GLOBALCONFIG": str(tmp_path / "global")}


def test_capes_setting_wins_then_the_variable_then_the_files(machine: dict[str, str], tmp_path: Path) -> None:
    assert read_settings(Configuration(), machine).registry is None
    (tmp_path / "global").write_text(f"registry={ONE}\n")
    assert read_settings(Configuration(), machine).registry == ONE
    (tmp_path / ".npmrc").write_text(f"; comment\nregistry = {TWO}\nyes=false\n")
    assert read_settings(Configuration(), machine).registry == TWO
    variable = {**machine, "npm_config_registry": ONE}
    assert read_settings(Configuration(), variable).registry == ONE
    assert read_settings(Configuration({"npm.registry": (TWO,)}), variable).registry == TWO


def test_only_what_reaches_registries_is_passed_on(machine: dict[str, str], tmp_path: Path) -> None:
    lines = [
        f"registry={ONE}",
        f"@team:registry={TWO}",
        "cafile=/ca.pem",
        "omit=optional",
        "//h/:_authToken=t",
    ]
    (tmp_path / ".npmrc").write_text("\n".join(lines))
    settings = read_settings(Configuration(), machine)
    assert settings.npmrc() == f"//h/:_authToken = t\n@team:registry = {TWO}\ncafile = /ca.pem\n"
    assert settings.registry_for("@team/app", ONE) == TWO
    assert settings.registry_for("app", ONE.rstrip("/")) == ONE


def test_credentials_of_every_kind_are_read(machine: dict[str, str], tmp_path: Path) -> None:
    password = base64.b64encode(b"pw").decode()
    (tmp_path / ".npmrc").write_text(
        f"//a/:_authToken=${{TOKEN}}\n//b/:_auth=Zm9v\n//c/:username=me\n//c/:_password={password}\n"
        "//d/:_authToken=${UNSET-spare}\n"
    )
    found = read_settings(Configuration(), {**machine, "TOKEN": "t0"}).authorisations()
    assert found == {
        "//a/": "Bearer t0",
        "//b/": "Basic Zm9v",
        "//c/": "Basic " + base64.b64encode(b"me:pw").decode(),
        "//d/": "Bearer spare",
    }
