"""Files of other tools, as people write them, and what cape makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cape.adoption import Adoption, adopt


def adopted(directory: Path, **files: str) -> Adoption:
    """What files come to; `__` in a keyword stands for a dot, and `_dir_` for a slash."""
    for key, text in files.items():
        path = directory / key.replace("_dir_", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return adopt(directory)


def wishes(adoption: Adoption) -> list[str]:
    return [f"{one.source}:{one.package} {one.constraint}" for one in adoption.wishes]


def reasons(adoption: Adoption) -> dict[str, str]:
    return {one.text: one.reason for one in adoption.unmapped}


def test_nothing_there_is_nothing_adopted(tmp_path: Path) -> None:
    assert adopt(tmp_path) == Adoption()


def test_requirements_keep_constraints_extras_and_lines(tmp_path: Path) -> None:
    text = """\
# the web
--index-url https://packages.invalid/simple
Flask[async]>=3,<4   # the server
requests==2.32.3 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
colorama; sys_platform == "win32"
tomli>=2; python_version < "3.12"
-e .
-r requirements-dev.txt
-c constraints.txt
git+https://packages.invalid/x.git
"""
    found = adopted(tmp_path, requirements__txt=text)
    assert wishes(found) == ["pypi:Flask <4,>=3", "pypi:requests ==2.32.3", "pypi:tomli >=2"]
    assert found.wishes[0].extras == ("async",)
    assert [one.where for one in found.wishes] == [
        "requirements.txt:3",
        "requirements.txt:4",
        "requirements.txt:8",
    ]
    told = reasons(found)
    assert told['colorama; sys_platform == "win32"'] == "its marker does not hold on Linux"
    assert "settings" in told["--index-url https://packages.invalid/simple"]
    assert {"-e .", "-c constraints.txt", "git+https://packages.invalid/x.git"} < told.keys()
    assert "-r requirements-dev.txt" not in told


def test_two_files_of_one_package_give_one_wish_with_both_constraints(tmp_path: Path) -> None:
    found = adopted(
        tmp_path, requirements__txt="Numpy>=1.26\n", **{"requirements-dev__txt": "numpy<3\npytest\n"}
    )
    assert wishes(found) == ["pypi:numpy <3,>=1.26", "pypi:pytest *"]


def test_pyproject_is_followed_and_gives_the_interpreter(tmp_path: Path) -> None:
    text = """\
[project]
name = "x"
requires-python = ">=3.12"
dependencies = ["httpx>=0.27", "uvloop; sys_platform != 'win32'"]
[project.optional-dependencies]
docs = ["sphinx"]
[dependency-groups]
dev = ["pytest>=8", { include-group = "lint" }]
lint = ["ruff"]
"""
    found = adopted(tmp_path, pyproject__toml=text)
    assert found.followed == (("python", "pyproject.toml"),)
    assert wishes(found) == ["debian:python *"]
    assert reasons(found).keys() == {"docs", "lint", "python >=3.12"}


def test_pyproject_that_cannot_be_followed_gives_its_groups(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\ndynamic = ["dependencies"]\n[dependency-groups]\ndev = ["pytest>=8"]\n'
    found = adopted(tmp_path, pyproject__toml=text)
    assert (found.followed, wishes(found)) == ((), ["pypi:pytest >=8"])


@pytest.mark.parametrize(
    ("poetry", "python"),
    [
        ("^1.2.3", ">=1.2.3,<2"),
        ("^0.2.3", ">=0.2.3,<0.3"),
        ("~1.2", ">=1.2,<1.3"),
        ("1.2.3", "==1.2.3"),
        (">=1,<3", "<3,>=1"),
        ("*", "*"),
    ],
)
def test_constraints_of_poetry_become_pythons(poetry: str, python: str, tmp_path: Path) -> None:
    found = adopted(tmp_path, pyproject__toml=f'[tool.poetry.dependencies]\nx = "{poetry}"\n')
    from packaging.specifiers import SpecifierSet

    wanted = "" if python == "*" else python
    got = found.wishes[0].constraint
    assert SpecifierSet("" if got == "*" else got) == SpecifierSet(wanted)


def test_conda_environment_is_parted_into_python_and_tools(tmp_path: Path) -> None:
    text = """\
name: science
channels: [conda-forge, defaults]
dependencies:
  - python=3.11
  - numpy=1.26
  - conda-forge::scipy>=1.11
  - pandas=2.2.1=py311h_0
  - ffmpeg
  - nodejs=20
  - pip
  - pip:
      - einops~=0.8
variables:
  OMP_NUM_THREADS: 4
"""
    found = adopted(tmp_path, environment__yml=text)
    assert wishes(found) == [
        "debian:python *", "pypi:numpy ==1.26.*", "pypi:scipy >=1.11", "pypi:pandas ==2.2.1.*",
        "debian:ffmpeg *", "npm:node *", "pypi:einops ~=0.8",
    ]  # fmt: skip
    assert dict(found.variables) == {"OMP_NUM_THREADS": "4"}
    assert [one.certain for one in found.wishes] == [True, False, False, False, True, True, True]
    assert "channels: conda-forge, defaults" in reasons(found)


def test_package_json_is_followed_and_gives_node(tmp_path: Path) -> None:
    text = """{"engines": {"node": ">=20"}, "dependencies": {"express": "^4.19", "mine": "file:../mine",
    "theirs": "someone/repo#v1"}, "devDependencies": {"typescript": "~5.6", "@types/node": "*"},
    "workspaces": ["a"], "resolutions": {"x": "1"}}"""
    found = adopted(tmp_path, package__json=text)
    assert found.followed == (("npm", "package.json"),)
    assert wishes(found) == ["npm:node >=20"]
    assert reasons(found).keys() == {"resolutions"}


def test_lists_for_apt_give_system_packages(tmp_path: Path) -> None:
    text = "ffmpeg\nlibpq-dev=15.1 # client\n:repo:deb x y\n\nlibgl1:amd64\n"
    found = adopted(tmp_path, Aptfile=text, apt__txt="git curl\n")
    assert [one.package for one in found.wishes] == ["ffmpeg", "libpq-dev", "libgl1", "git", "curl"]
    assert reasons(found).keys() == {"libpq-dev=15.1", ":repo:deb x y"}


def test_version_managers_give_tools(tmp_path: Path) -> None:
    found = adopted(
        tmp_path,
        **{"__tool-versions": "nodejs 20.11.1\npython 3.12.1 3.11.0\nterraform 1.7.0\n"},
        mise__toml='[tools]\n"npm:prettier" = "3"\n"pipx:black" = "24.1.0"\ngo = "1.22"\n"aqua:x/y" = "1"\n'
        '[env]\nMODE = "test"\n_.path = ["./bin"]\n[tasks.build]\nrun = "make"\n',
    )
    assert wishes(found) == [
        "npm:node 20.11.1", "debian:python *", "debian:terraform *",
        "npm:prettier 3", "pypi:black ==24.1.0", "debian:golang-go *",
    ]  # fmt: skip
    assert dict(found.variables) == {"MODE": "test"}
    assert {"python 3.12.1", "terraform 1.7.0", "go 1.22", "aqua:x/y 1", "[tasks]", "_"} == reasons(
        found
    ).keys()


def test_devbox_with_comments_and_trailing_commas_is_read(tmp_path: Path) -> None:
    text = """{
      // tools
      "packages": ["ripgrep@latest", "nodejs_22", "python312Packages.requests",
                   "github:nixos/nixpkgs#hello",],
      "env": {"URL": "http://localhost//x"},
      "shell": {"init_hook": ["echo hi", "mkdir -p build"], "scripts": {"test": "make test"}},
    }"""
    found = adopted(tmp_path, devbox__json=text)
    assert wishes(found) == ["debian:ripgrep *", "npm:node *", "pypi:requests *"]
    assert dict(found.variables) == {"URL": "http://localhost//x"}
    assert found.hooks == ("echo hi\nmkdir -p build",)
    assert reasons(found).keys() == {"github:nixos/nixpkgs#hello", "test"}


def test_flox_manifest_is_read(tmp_path: Path) -> None:
    text = """\
version = 1
[install]
rg.pkg-path = "ripgrep"
py.pkg-path = "python3"
py.version = "3.12"
own.flake = "github:a/b"
[vars]
PORT = "8080"
[hook]
on-activate = "mkdir -p $FLOX_ENV_CACHE/db"
[services.db]
command = "postgres"
"""
    found = adopted(tmp_path, __flox_dir_env_dir_manifest__toml=text)
    assert wishes(found) == ["debian:ripgrep *", "debian:python *"]
    assert dict(found.variables) == {"PORT": "8080"}
    assert reasons(found).keys() == {"own", "python 3.12", "mkdir -p $FLOX_ENV_CACHE/db", "postgres"}


def test_dockerfile_gives_what_apt_pip_and_npm_install(tmp_path: Path) -> None:
    text = """\
FROM --platform=linux/amd64 python:3.12-slim AS base
# tools
RUN apt-get update && apt-get install -y --no-install-recommends \\
      libpq-dev=15.* \\
      ghostscript \\
    && rm -rf /var/lib/apt/lists/*
ENV MODE=production PYTHONPATH=/app:$PYTHONPATH
ENV GREETING hello world
RUN --mount=type=cache,target=/cache pip install --no-cache-dir "uvicorn[standard]>=0.30" \\
    -r requirements.txt
RUN npm install -g pnpm@9 && make all
FROM base
FROM registry.example/team/cuda:12
RUN curl -L https://x.invalid/i.sh | sh
CMD ["uvicorn", "app:app"]
"""
    found = adopted(tmp_path, Dockerfile=text)
    assert wishes(found) == [
        "debian:python *", "debian:libpq-dev *", "debian:ghostscript *", "pypi:uvicorn >=0.30", "npm:pnpm 9",
    ]  # fmt: skip
    assert found.wishes[2].where == "Dockerfile:3"
    assert dict(found.variables) == {"MODE": "production", "GREETING": "hello world"}
    told = reasons(found)
    assert {"RUN make all", "FROM registry.example/team/cuda:12", 'CMD ["uvicorn", "app:app"]'} < told.keys()
    assert "ENV PYTHONPATH=/app:$PYTHONPATH" in told and "RUN curl -L https://x.invalid/i.sh" in told


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package.json", "{not json"),
        ("package.json", "[]"),
        ("package.json", '{"engines": [], "dependencies": "x"}'),
        ("pyproject.toml", "[project\n"),
        ("environment.yml", "a: [\n"),
        ("environment.yml", "- x\n"),
        ("devbox.json", "{"),
        ("mise.toml", "tools = ["),
        ("Dockerfile", "RUN echo 'unclosed\nFROM\n"),
        ("requirements.txt", "\x00\n]]]\n"),
        (".tool-versions", "\n#\n"),
    ],
)
def test_broken_file_is_told_and_the_rest_goes_on(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "apt.txt").write_text("git\n")
    found = adopt(tmp_path)
    assert "debian:git *" in wishes(found)
    assert all(one.where.startswith(name) for one in found.unmapped)


def test_file_that_is_no_text_or_is_far_too_large_is_told(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe\x00x")
    (tmp_path / "apt.txt").write_bytes(b"x" * 2_000_000)
    assert [one.where for one in adopt(tmp_path).unmapped] == ["requirements.txt", "apt.txt"]
