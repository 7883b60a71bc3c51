"""A `pyproject.toml` read as requirements: where they stand, where they come from, and what is not heeded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.manifest.pyproject import (
    Asked,
    BadPyproject,
    CircularPath,
    direct_options,
    read_pyproject,
    with_own_names,
)
from cape.sources.protocol import Requirement


def read(directory: Path, text: str, **asked: object) -> dict[str, Requirement]:
    (directory / "pyproject.toml").write_text(text)
    found = read_pyproject(directory, Asked(project="pyproject.toml", **asked))  # type: ignore[arg-type]
    return {one.name: one for one in with_own_names(found.requirements, set())}


def test_a_requirement_has_its_place_extras_marker_and_constraint(tmp_path: Path) -> None:
    line = "Pandas[excel]>=2,<3; python_version < '3.13'"
    text = f'[project]\nname = "x"\ndependencies = [\n  "{line}",\n  "six",\n]\n'
    found = read(tmp_path, text)
    assert found["pandas"].where == f"{tmp_path}/pyproject.toml:4:3"
    assert found["pandas"].constraint == "<3,>=2"
    assert found["pandas"].options == {"extras": "excel", "marker": 'python_version < "3.13"'}
    assert found["six"].constraint == "*"


def test_the_dev_group_is_wanted_unless_groups_are_named(tmp_path: Path) -> None:
    text = '[dependency-groups]\ndev = ["a"]\ndocs = ["b", {include-group = "Dev"}]\n'
    assert read(tmp_path, text).keys() == {"a"}
    assert read(tmp_path, text, groups=()).keys() == set()
    assert read(tmp_path, text, groups=("docs",)).keys() == {"a", "b"}
    told = text + '[tool.uv]\ndefault-groups = ["docs"]\n'
    assert read(tmp_path, told).keys() == {"a", "b"}


def test_an_extra_of_the_project_itself_is_read_in_place(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[project.optional-dependencies]\nall = ["x[plot]", "a"]\nplot = ["b"]\n'
    assert read(tmp_path, text, extras=("all",)).keys() == {"a", "b"}


def test_sources_of_uv_are_heeded_or_named(tmp_path: Path) -> None:
    text = (
        '[project]\nname = "x"\ndependencies = ["a", "b", "c"]\n[tool.uv]\noverride-dependencies = ["z"]\n'
        '[tool.uv.sources]\na = { git = "https://git.example/a", tag = "v1" }\nb = { index = "corp" }\n'
        'c = { url = "https://files.example/c-1-py3-none-any.whl" }\n'
    )
    (tmp_path / "pyproject.toml").write_text(text)
    found = read_pyproject(tmp_path, Asked(project="pyproject.toml"))
    options = {one.name: dict(one.options) for one in found.requirements}
    assert options["a"] == {"git": "https://git.example/a", "ref": "v1"}
    assert options["c"] == {"url": "https://files.example/c-1-py3-none-any.whl"}
    assert any("`override-dependencies` is not heeded" in note for note in found.notes)
    assert any("`b` is not heeded" in note for note in found.notes)


def test_a_workspace_member_is_an_editable_directory(tmp_path: Path) -> None:
    (tmp_path / "libs/core").mkdir(parents=True)
    (tmp_path / "libs/core/pyproject.toml").write_text('[project]\nname = "core"\ndependencies = ["six"]\n')
    text = (
        '[project]\nname = "x"\ndependencies = ["core"]\n[tool.uv.workspace]\nmembers = ["libs/*"]\n'
        "[tool.uv.sources]\ncore = { workspace = true }\n"
    )
    found = read(tmp_path, text)
    assert found.keys() == {"core", "six"}
    assert found["core"].options["path"] == "libs/core" and found["core"].options["editable"] == "true"


def test_a_ring_of_directories_is_refused_and_a_shared_one_is_not(tmp_path: Path) -> None:
    for name, needs in (("a", ("c",)), ("b", ("c",)), ("c", ())):
        (tmp_path / name).mkdir()
        sources = "".join(f'{one} = {{ path = "../{one}" }}\n' for one in needs)
        (tmp_path / name / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\ndependencies = {list(needs)}\n[tool.uv.sources]\n{sources}'
        )
    text = (
        '[project]\nname = "x"\ndependencies = ["a", "b"]\n[tool.uv.sources]\n'
        'a = { path = "a" }\nb = { path = "b" }\n'
    )
    assert read(tmp_path, text).keys() == {"a", "b", "c"}
    (tmp_path / "c/pyproject.toml").write_text(
        '[project]\nname = "c"\ndependencies = ["a"]\n[tool.uv.sources]\na = { path = "../a" }\n'
    )
    with pytest.raises(CircularPath, match="`a` -> `c` -> `a`"):
        read(tmp_path, text)


def test_what_only_builds_heed_changes_the_project_and_no_requirement(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = []\n[project]\nname = "x"\nversion = "1"\ndependencies = ["six"]\n'
    first = read(tmp_path, text)
    described = read(tmp_path, text.replace("[project]", '[project]\ndescription = "y"'))
    assert described == first
    scripted = read(tmp_path, text + '[project.scripts]\nrun = "x:main"\n')
    assert scripted["x"] != first["x"] and scripted["six"] == first["six"]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("git+https://git.example/a@v1", {"git": "https://git.example/a", "ref": "v1"}),
        ("git+ssh://git@git.example/a.git", {"git": "ssh://git@git.example/a.git"}),
        ("git+https://git.example/a#subdirectory=py", {"git": "https://git.example/a", "subdirectory": "py"}),
        ("https://files.example/a.whl#sha256=00", {"url": "https://files.example/a.whl"}),
        ("file:///srv/a%20b.whl", {"path": "/srv/a b.whl"}),
    ],
)
def test_direct_references_become_options(url: str, options: dict[str, str]) -> None:
    assert direct_options(url, where="x") == options


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(BadPyproject, match="is no address that cape can lock"):
        direct_options("hg+https://code.example/a", where="x")


names = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8)


@given(names, st.sets(st.sampled_from(["a", "pyproject:a", "b", "pyproject:b:2"])))
def test_every_requirement_has_a_name_of_its_own(found: list[str], taken: set[str]) -> None:
    asked = [
        Requirement(source="pypi", name=name, package=name, constraint=f">={at}")
        for at, name in enumerate(found)
    ]
    named = with_own_names(asked, taken)
    unique = {one.name for one in named}
    assert len(unique) == len(named) == len(asked)
    assert not unique & taken
    assert [one.package for one in named] == found
