"""A project's own `pyproject.toml`, builds from source, strays of pip, private indices, and bad ones.

The environments have this machine's own Python, packed as if Debian had published it; projects bring a build
backend of their own, so that nothing of the internet is wanted.
"""

from __future__ import annotations

import base64
import http.server
import io
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cape.sources.pypi.tool import find_uv
from tests.end_to_end.harness import INPUT, INTEGRITY, SOURCE, Done, Project, World, files_below, world_at
from tests.end_to_end.test_native import ARCHITECTURE, COMPANIONS, TRIPLET, libraries_of
from tests.mirrors.pypi import PythonIndex, make_wheel

PYTHON = Path("/usr/bin/python3")
OWN = '\n[python]\nproject = "pyproject.toml"\n'

BACKEND = """
import os, re, tomllib, zipfile, base64, hashlib

def _described():
    with open("pyproject.toml", "rb") as stream:
        return tomllib.load(stream)["project"]

def _write(out, files):
    project = _described()
    name, version = project["name"].replace("-", "_"), project["version"]
    info = f"{name}-{version}.dist-info"
    scripts = "".join(f"{key} = {value}\\n" for key, value in project.get("scripts", {}).items())
    files = {**files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {project['name']}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": f"[console_scripts]\\n{scripts}",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(out, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return wheel

def build_editable(out, config_settings=None, metadata_directory=None):
    return _write(out, {"_own.pth": os.path.abspath("src") + "\\n"})

def build_wheel(out, config_settings=None, metadata_directory=None):
    if os.path.exists("fails"):
        print("the reason is here")
        raise SystemExit(3)
    for one in open("needs").read().split() if os.path.exists("needs") else ():
        assert __import__(one).made == "from source"
    files = {}
    for top, _, names in os.walk("src"):
        for one in names:
            if one.endswith(".py"):
                path = os.path.join(top, one)
                files[os.path.relpath(path, "src")] = open(path).read()
    return _write(out, files)
"""

SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def pack_python(world: World) -> str:
    """Publish this machine's C library and Python; its version."""
    if not PYTHON.exists() or not ARCHITECTURE or shutil.which("ldd") is None:
        pytest.skip("this machine has no Python of its own to pack")
    binary = Path(os.path.realpath(PYTHON))
    stdlib = Path("/usr/lib") / binary.name
    libraries = libraries_of(str(binary))
    if not re.fullmatch(r"python3\.\d+", binary.name) or not stdlib.is_dir() or "libc.so.6" not in libraries:
        pytest.skip("this machine's Python is not laid out as Debian's")
    core = {name for name in libraries if name.startswith("ld-linux")} | {"libc.so.6", *COMPANIONS}
    place = f"usr/lib/{TRIPLET}"
    files = {f"{place}/{name}": Path(path).read_bytes() for name, path in libraries.items() if name in core}
    world.archive.add(
        "libc6", "2.36-9", architecture=ARCHITECTURE, files=files, runnable=list(files), compression="gz"
    )
    shared = {f"{place}/{n}": Path(path).read_bytes() for n, path in libraries.items() if n not in core}
    modules = {
        str(file.relative_to("/")): file.read_bytes()
        for file in stdlib.rglob("*")
        if file.is_file()
        and not re.search(r"/(__pycache__|test|tests|idlelib|config-3|ensurepip)", str(file))
    }
    version = binary.name.removeprefix("python")
    world.archive.add(
        f"{binary.name}-minimal",
        f"{version}.2-1",
        architecture=ARCHITECTURE,
        files={**shared, **modules, f"usr/bin/{binary.name}": binary.read_bytes()},
        depends="libc6",
        compression="gz",
    )
    world.archive.add(
        "python3",
        f"{version}.2-1",
        architecture=ARCHITECTURE,
        files={"usr/share/python3/here": b""},
        links={"usr/bin/python3": binary.name},
        depends=f"{binary.name}-minimal",
    )
    world.archive.add("libstdc++6", "12", architecture=ARCHITECTURE)
    return version


@pytest.fixture(scope="module")
def python_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with a Python that runs, and a few wheels. Tests add packages of names of their own only."""
    with world_at(tmp_path_factory.mktemp("python")) as world:
        pack_python(world)
        world.publish()
        for version in ("1.0", "1.1", "2.0"):
            world.index.add_wheel("base", version, files={"base.py": f"version = {version!r}\n".encode()})
        world.index.add_wheel("plotter", "1.0", requires=["base"])
        world.index.add_wheel("linter", "3.0")
        world.index.add_wheel("tester", "4.0")
        world.index.add_wheel("secretlib", "1.0")
        publish_pip(world)
        yield world


def own_project(world: World, *, text: str = OWN, described: str = "", **packages: str) -> Project:
    """A project with a `pyproject.toml`, a backend and a module of its own, `own`."""
    project = world.project(text=text, **packages)
    manifest = re.sub(
        r"systems = .*", f'systems = ["{platform.machine()}-linux"]', project.manifest.read_text()
    )
    project.manifest.write_text(manifest)
    make_package(project.directory, "own", described)
    return project


def make_package(place: Path, name: str, described: str = "", *, version: str = "1.0") -> None:
    (place / "src" / name).mkdir(parents=True, exist_ok=True)
    (place / "src" / name / "__init__.py").write_text("def main():\n    print('first')\n")
    (place / "backend.py").write_text(BACKEND)
    (place / "pyproject.toml").write_text(
        f'{SYSTEM}\n[project]\nname = "{name}"\nversion = "{version}"\n{described}'
    )


def source_release(
    name: str,
    version: str,
    *,
    fails: bool = False,
    requires: Sequence[str] = (),
    must_be_built: bool = False,
) -> bytes:
    """An sdist with its own backend; equal bytes for equal arguments.

    With `must_be_built` its building fails unless what it requires was built from source, too.
    """
    members = {
        "pyproject.toml": SYSTEM.replace("[]", json.dumps(list(requires)))
        + f'\n[project]\nname = "{name}"\nversion = "{version}"\n',
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
        "backend.py": BACKEND,
        f"src/{name}.py": "made = 'from source'\n",
        **({"fails": ""} if fails else {}),
        **({"needs": " ".join(requires)} if must_be_built else {}),
    }
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for path, text in members.items():
            info = tarfile.TarInfo(f"{name}-{version}/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return output.getvalue()


def rows(project: Project) -> dict[str, str]:
    """The versions of the locked Python packages, without those that only building needs."""
    found = {}
    for line in project.lock.read_text().splitlines():
        row = json.loads(line)
        if row.get("row") == "package" and row["source"] == "pypi" and "placement" not in row:
            found[row["name"]] = row["version"]
    return found


def say(project: Project, code: str, **more: str) -> str:
    inside = project.with_variables(**more)
    return inside.cape("run", "--", "python", "-c", code).succeeded().stdout.strip()


DESCRIBED = """
dependencies = ["base<2"]
[project.optional-dependencies]
plot = ["plotter"]
[project.scripts]
own = "own:main"
[dependency-groups]
dev = ["tester", {include-group = "lint"}]
lint = ["linter"]
"""


def test_dependencies_groups_and_extras_are_locked(python_world: World) -> None:
    project = own_project(python_world, described=DESCRIBED)
    project.cape("lock").succeeded()
    assert rows(project) == {"base": "1.1", "tester": "4.0", "linter": "3.0"}
    assert "pyproject.toml:10:17: " in project.cape("why", "base").succeeded().stdout
    project.cape("uninstall", "base").failed(
        INPUT, "is asked for by `pyproject.toml`", "take the line out there"
    )
    project.manifest.write_text(project.manifest.read_text() + 'extras = ["plot"]\ngroups = []\n')
    project.cape("lock").succeeded()
    assert rows(project) == {"base": "1.1", "plotter": "1.0"}


def test_the_project_is_editable_and_its_programs_are_on_path(python_world: World) -> None:
    project = own_project(python_world, described=DESCRIBED)
    project.cape("sync").succeeded()
    assert project.cape("run", "--", "own").succeeded().stdout == "first\n"
    file = project.directory / "src/own/__init__.py"
    file.write_text(file.read_text().replace("first", "second"))
    assert project.cape("run", "--", "own").succeeded().stdout == "second\n"
    project.cape("doctor", "--verify").succeeded()


def test_two_checkouts_have_environments_of_their_own(python_world: World) -> None:
    one = own_project(python_world, described=DESCRIBED)
    two = own_project(python_world, described=DESCRIBED)
    one.cape("sync").succeeded()
    shutil.copy(one.lock, two.directory)
    two.cape("sync", "--locked").succeeded()
    assert say(one, "import own; print(own.__file__)").startswith(str(one.directory))
    assert say(two, "import own; print(own.__file__)").startswith(str(two.directory))


def test_only_requirement_lines_make_the_lock_stale(python_world: World) -> None:
    project = own_project(python_world, described=DESCRIBED)
    project.cape("sync").succeeded()
    file = project.directory / "pyproject.toml"
    file.write_text("# a comment\n" + file.read_text().replace("[project]", '[project]\ndescription = "x"'))
    project.cape("lock", "--check").succeeded()
    file.write_text(file.read_text().replace("base<2", "base"))
    done = project.cape("lock", "--check")
    assert done.code == 1 and "`base`" in done.stdout + done.stderr
    assert say(project, "import base; print(base.version)") == "2.0"


def test_python_sees_the_locked_packages_and_nothing_else(python_world: World, tmp_path: Path) -> None:
    project = own_project(python_world, base='{ pypi = "1.0" }', text="")
    project.cape("sync").succeeded()
    (tmp_path / "intruder.py").write_text("")
    user = tmp_path / "user/lib" / Path(os.path.realpath(PYTHON)).name / "site-packages"
    user.mkdir(parents=True)
    (user / "guest.py").write_text("")
    names = "('base', 'intruder', 'guest')"
    code = f"import importlib.util as u; print([bool(u.find_spec(name)) for name in {names}])"
    inside = say(project, code, PYTHONPATH=str(tmp_path), PYTHONUSERBASE=str(tmp_path / "user"))
    assert inside == "[True, False, False]"


# -- built from source --------------------------------------------------------------------------------


def test_a_source_release_is_built_where_the_manifest_says_so(python_world: World) -> None:
    world = python_world
    world.index.add_wheel("helper", "1.0")
    release = source_release("onlysource", "1.0", requires=["helper"])
    world.index.add_file("onlysource", "onlysource-1.0.tar.gz", release)
    project = own_project(world, onlysource='{ pypi = "*" }', text="")
    project.cape("lock").failed(INPUT, '`build = ["onlysource"]` in `[python]`')
    project.manifest.write_text(project.manifest.read_text() + '\n[python]\nbuild = ["onlysource"]\n')
    project.cape("sync").succeeded()
    assert say(project, "import onlysource; print(onlysource.made)") == "from source"
    other = world.clone(project, store="elsewhere")
    other.cape("sync", "--locked").succeeded()
    assert other.cape("list", "--json").stdout == project.cape("list", "--json").stdout
    vendored = world.place / "vendored"
    project.cape("vendor", str(vendored)).succeeded()
    alone = world.clone(project, store="alone").with_variables(CAPE_PYPI_INDEX="http://127.0.0.1:9/simple")
    alone.cape("sync", "--from", str(vendored)).succeeded()
    assert say(alone, "import onlysource; print(onlysource.made)") == "from source"


def test_what_building_needs_is_built_itself_where_the_manifest_says_so(python_world: World) -> None:
    world = python_world
    for name, requires in (("top", ["middle"]), ("middle", ["bottom"]), ("bottom", [])):
        release = source_release(name, "1.0", requires=requires, must_be_built=True)
        world.index.add_file(name, f"{name}-1.0.tar.gz", release)
    project = own_project(world, top='{ pypi = "*" }', text='\n[python]\nbuild = ["top", "middle"]\n')
    project.cape("lock").failed(INPUT, "`bottom`", '`build = ["bottom"]` in `[python]`')
    text = project.manifest.read_text().replace('"middle"]', '"middle", "bottom"]')
    project.manifest.write_text(text)
    project.cape("sync").succeeded()
    assert say(project, "import top; print(top.made)") == "from source"
    assert rows(project)["top"] == "1.0" and "middle" not in rows(project)
    chain = project.cape("why", "bottom").succeeded().stdout
    assert chain.startswith("top -> middle -> bottom   (cape.toml:")


def test_packages_that_need_each_other_to_be_built_are_not_built_in_a_ring(python_world: World) -> None:
    world = python_world
    for name, other in (("chicken", "egg"), ("egg", "chicken")):
        world.index.add_file(name, f"{name}-1.0.tar.gz", source_release(name, "1.0", requires=[other]))
        world.index.add_wheel(name, "1.0", files={f"{name}.py": b"made = 'a wheel'\n"})
    project = own_project(
        world, chicken='{ pypi = "*" }', egg='{ pypi = "*" }', text='\n[python]\nbuild = ["chicken", "egg"]\n'
    )
    project.cape("sync").succeeded()
    code = "import chicken, egg; print(chicken.made, egg.made)"
    assert say(project, code) == "from source from source"


def test_a_build_that_fails_shows_its_last_lines_and_keeps_its_log(python_world: World) -> None:
    world = python_world
    world.index.add_file("broken", "broken-1.0.tar.gz", source_release("broken", "1.0", fails=True))
    project = own_project(world, broken='{ pypi = "*" }', text='\n[python]\nbuild = ["broken"]\n')
    done = project.cape("sync").failed(INPUT, "building `broken` 1.0 failed", "    the reason is here")
    (log,) = (project.store / "logs").glob("broken-*.log")
    assert str(log) in done.stderr
    assert "the reason is here" in log.read_text()
    assert project.state().current is None


def test_a_git_repository_is_locked_to_a_commit_and_needed_no_more(
    python_world: World, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    make_package(repository, "fromgit", 'dependencies = ["base==1.0"]\n')
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True)
    project = own_project(
        python_world, text="", fromgit=f'{{ pypi = "*", git = "file://{repository}", ref = "v1" }}'
    )
    project.cape("sync").succeeded()
    commit = subprocess.run(["git", "rev-parse", "v1"], cwd=repository, capture_output=True, text=True).stdout
    assert commit.strip() in project.lock.read_text()
    assert rows(project) == {"base": "1.0", "fromgit": "1.0"}
    shutil.rmtree(repository)
    shutil.rmtree(project.directory / ".cape")
    shutil.rmtree(project.store / "indices")
    project.cape("sync", "--locked", CAPE_PYPI_INDEX="http://127.0.0.1:9/simple").succeeded()
    assert say(project, "import fromgit; print(fromgit.__name__)") == "fromgit"


def test_local_paths_wheels_and_addresses(python_world: World) -> None:
    index = python_world.index
    project = own_project(
        python_world,
        text="",
        editable='{ pypi = "*", path = "libs/editable", editable = true }',
        copied='{ pypi = "*", path = "libs/copied" }',
        filed='{ pypi = "*", path = "filed-1.0-py3-none-any.whl" }',
        linter=f'{{ pypi = "*", url = "{index.server.url}/files/linter-3.0-py3-none-any.whl" }}',
    )
    for name in ("editable", "copied"):
        make_package(project.directory / "libs" / name, name, 'dependencies = ["base"]\n')
    file_name, data = make_wheel("filed", "1.0", requires=["tester"])
    (project.directory / file_name).write_bytes(data)
    project.cape("sync").succeeded()
    assert rows(project) == {
        "base": "2.0", "copied": "1.0", "filed": "1.0", "linter": "3.0", "tester": "4.0",
    }  # fmt: skip
    for name in ("editable", "copied"):
        (project.directory / f"libs/{name}/src/{name}/__init__.py").write_text("changed = True\n")
    code = "import editable, copied, filed; print(hasattr(editable, 'changed'), hasattr(copied, 'changed'))"
    assert say(project, code) == "True False"
    project.cape("sync").succeeded()
    assert say(project, code) == "True True"


def test_local_projects_in_a_ring_are_named(python_world: World) -> None:
    project = own_project(
        python_world, described='dependencies = ["a"]\n[tool.uv.sources]\na = { path = "a" }\n'
    )
    make_package(
        project.directory / "a", "a", 'dependencies = ["b"]\n[tool.uv.sources]\nb = { path = "../b" }\n'
    )
    make_package(
        project.directory / "b", "b", 'dependencies = ["a"]\n[tool.uv.sources]\na = { path = "../a" }\n'
    )
    project.cape("lock").failed(INPUT, "in a ring: `a` -> `b` -> `a`", "b/pyproject.toml:9:")


# -- strays -------------------------------------------------------------------------------------------


def stray(project: Project, name: str, version: str) -> None:
    """What `pip install` leaves in the overlay."""
    (site,) = (project.directory / ".cape/state/python/lib").glob("python3.*/site-packages")
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "REQUESTED").write_text("")
    (site / f"{name}.py").write_text("stray = True\n")


def test_a_stray_package_is_seen_told_and_adopted(python_world: World) -> None:
    project = own_project(python_world, base='{ pypi = "1.0" }', text="")
    project.cape("sync").succeeded()
    assert project.cape("doctor").succeeded()
    stray(project, "linter", "3.0")
    stray(project, "base", "2.0")
    code = "import linter, base; print(linter.stray, base.version)"
    assert say(project, code) == "True 1.0"
    done = project.cape("doctor")
    assert done.code == 1 and "`linter` 3.0" in done.stdout and "cape install --adopt" in done.stdout
    shutil.rmtree(next((project.directory / ".cape/state/python/lib").glob("*/*/base-2.0.dist-info")))
    project.cape("install", "--adopt").succeeded()
    assert 'linter = { pypi = "==3.0" }' in project.manifest.read_text()
    assert rows(project) == {"base": "1.0", "linter": "3.0"}
    assert say(project, "import linter; print(hasattr(linter, 'stray'))") == "False"
    project.cape("doctor").succeeded()
    project.cape("install", "--adopt").failed(INPUT, "nothing was installed beside")


def publish_pip(world: World) -> None:
    """Publish the pip that this machine's tests run beside, if they do."""
    from importlib import metadata

    try:
        found = metadata.distribution("pip")
    except metadata.PackageNotFoundError:
        return
    files = {
        str(file): Path(str(file.locate())).read_bytes()
        for file in found.files or ()
        if str(file).startswith("pip/") and "__pycache__" not in str(file)
    }
    entry = "[console_scripts]\npip = pip._internal.cli.main:main\n"
    world.index.add_wheel("pip", found.version, files=files, entry_points=entry)


@pytest.mark.parametrize("words", [("python", "-m", "pip"), ("pip",), (find_uv(), "pip")])
def test_pip_and_uv_install_into_the_overlay(python_world: World, words: tuple[str, ...]) -> None:
    world = python_world
    if "pip" not in world.index.projects:
        pytest.skip("there is no pip to publish")
    project = own_project(world, text="", pip='{ pypi = "*" }', base='{ pypi = "*" }')
    project.cape("sync").succeeded()
    environment = (project.directory / ".cape/current/bin").resolve().parent
    held = files_below(environment)
    project.cape("run", "--", *words, "install", "--index-url", world.index.simple, "linter").succeeded()
    assert say(project, "import linter; print(linter.__file__)").startswith(
        str(project.directory / ".cape/state/python/lib")
    )
    assert files_below(environment) == held
    assert "`linter` 3.0" in project.cape("doctor").stdout
    project.cape("install", "--adopt").succeeded()
    assert rows(project).keys() == {"pip", "base", "linter"}


def test_the_overlay_is_a_virtual_environment_over_the_locked_one(python_world: World) -> None:
    project = own_project(python_world, base='{ pypi = "1.0" }', described="", text=OWN)
    project.cape("sync").succeeded()
    code = "import sys, own, base, sysconfig; print(sys.prefix, base.version, sysconfig.get_path('purelib'))"
    shell = f'"$VIRTUAL_ENV/bin/python" -c "{code}"'
    prefix, version, site = project.cape("run", "--", "sh", "-c", shell).succeeded().stdout.split()
    assert prefix == str(project.directory / ".cape/state/python") and site.startswith(prefix)
    assert version == "1.0"


# -- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        ('[project\nname = "x"\n', "`pyproject.toml` is not TOML", "pyproject.toml:1:"),
        ('[project]\nname = "x"\ndependencies = "base"\n', "`project.dependencies` is a list", "toml:3:16"),
        ('[project]\nname = "x"\ndependencies = ["base=>1"]\n', "`base=>1` is no requirement", "toml:3:17"),
        (
            '[project]\nname = "x"\ndynamic = ["dependencies"]\n',
            "the dependencies are `dynamic`",
            "toml:3:11",
        ),
        (
            '[dependency-groups]\ndev = [{include-group = "a"}]\na = [{include-group = "dev"}]\n',
            "groups include each other in a ring: dev -> a -> dev",
            "pyproject.toml:2:",
        ),
        ('[tool.poetry.dependencies]\nbase = "*"\n', "only a table of Poetry's own", "pyproject.toml:"),
    ],
)
def test_a_bad_pyproject_is_named_with_its_place(
    python_world: World, text: str, said: str, place: str
) -> None:
    project = own_project(python_world)
    (project.directory / "pyproject.toml").write_text(text)
    before = project.state()
    project.cape("lock").failed(INPUT, said, place)
    assert project.state() == before


def test_a_missing_pyproject_extra_or_group_is_named(python_world: World) -> None:
    project = own_project(python_world, described=DESCRIBED, text=OWN + 'extras = ["plots"]\n')
    project.cape("lock").failed(INPUT, "has no extra `plots`", "did you mean `plot`?")
    (project.directory / "pyproject.toml").unlink()
    project.cape("lock").failed(INPUT, "there is no `pyproject.toml`")


def test_a_yanked_release_is_taken_only_when_pinned_and_told(python_world: World) -> None:
    world = python_world
    world.index.add_wheel("fickle", "1.0")
    world.index.yanked[world.index.add_wheel("fickle", "2.0")] = "it eats files"
    project = own_project(world, fickle='{ pypi = "*" }', text="")
    project.cape("lock").succeeded()
    assert rows(project) == {"fickle": "1.0"}
    project.manifest.write_text(project.manifest.read_text().replace('pypi = "*"', 'pypi = "==2.0"'))
    done = project.cape("lock").succeeded()
    assert rows(project) == {"fickle": "2.0"}
    assert "`fickle` 2.0 was taken back by its authors: it eats files" in done.stderr


def test_a_file_that_is_not_what_the_index_says_is_refused(python_world: World) -> None:
    world = python_world
    world.index.add_wheel("altered", "1.0")
    name, other = make_wheel("altered", "1.0", files={"altered.py": b"evil = __name__\n"})
    world.index.server.files[f"/files/{name}"] = other
    project = own_project(world, altered='{ pypi = "*" }', text="")
    project.cape("sync").failed(INTEGRITY, "`altered 1.0` is not what the lock says")


def test_an_address_with_a_password_is_not_locked(python_world: World) -> None:
    url = "http://user:geheim@127.0.0.1:9/x-1.0-py3-none-any.whl"
    project = own_project(python_world, text="", x=f'{{ pypi = "*", url = "{url}" }}')
    done = project.cape("lock").failed(INPUT, "has a user or password in it")
    assert "geheim" not in done.stdout + done.stderr.replace(project.manifest.read_text(), "")


# -- an index that asks for a login -------------------------------------------------------------------

USER, SECRET = "reader", "geheim-4711"


@pytest.fixture
def private(python_world: World) -> Iterator[str]:
    """The address of an index that gives nothing without the right login."""
    server = guarded(python_world.index)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/simple"
    server.shutdown()
    server.server_close()


def guarded(index: PythonIndex) -> http.server.ThreadingHTTPServer:
    wanted = "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = index.server.find(self.path.rstrip("/") if "/simple/" in self.path else self.path)
            if self.headers.get("Authorization") != wanted:
                self._answer(401, "text/plain", b"no")
            elif found is None:
                self._answer(404, "text/plain", b"")
            else:
                own = f"http://{self.headers['Host']}"
                self._answer(200, found[0], found[1].replace(index.server.url.encode(), own.encode()))

        do_HEAD = do_GET

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def check_nowhere(secret: str, project: Project, *done: Done) -> None:
    """The secret is in no file of the store or the project, and in no word that was said."""
    hidden = [secret.encode(), base64.b64encode(f"{USER}:{secret}".encode())]
    for top in (project.store, project.directory):
        for file in top.rglob("*"):
            if file.is_file() and not file.is_symlink():
                data = file.read_bytes()
                assert not any(word in data for word in hidden), file
    for one in done:
        assert secret not in one.stdout + one.stderr


def private_project(world: World, index: str) -> Project:
    project = own_project(world, secretlib='{ pypi = "*" }', text="")
    return project.with_variables(CAPE_PYPI_INDEX=f"corp={index}")


def test_an_index_that_asks_for_a_login_says_how_to_tell_one(python_world: World, private: str) -> None:
    project = private_project(python_world, private)
    project.cape("lock").failed(
        SOURCE, "asks for a login, and this machine has none", "UV_INDEX_NAME_USERNAME", "netrc", "keyring"
    )


def test_a_wrong_login_is_told_as_such_and_not_shown(python_world: World, private: str) -> None:
    project = private_project(python_world, private)
    wrong = {"UV_INDEX_CORP_USERNAME": USER, "UV_INDEX_CORP_PASSWORD": "falsch-0815"}
    done = project.with_variables(**wrong).cape("lock").failed(SOURCE, "does not take the login")
    check_nowhere("falsch-0815", project, done)


def test_logins_from_variables_netrc_keyring_and_address(
    python_world: World, private: str, tmp_path: Path
) -> None:
    host = private.removeprefix("http://").partition(":")[0]
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {host} login {USER} password {SECRET}\n")
    netrc.chmod(0o600)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "keyring").write_text(f'#!/bin/sh\n[ "$1" = get ] && [ "$3" = {USER} ] && echo {SECRET}\n')
    (programs / "keyring").chmod(0o755)
    with_user = private.replace("http://", f"http://{USER}@")
    with_both = private.replace("http://", f"http://{USER}:{SECRET}@")
    ways = {
        "variables": {"UV_INDEX_CORP_USERNAME": USER, "UV_INDEX_CORP_PASSWORD": SECRET},
        "netrc": {"NETRC": str(netrc)},
        "keyring": {
            "CAPE_PYPI_INDEX": with_user,
            "UV_KEYRING_PROVIDER": "subprocess",
            "PATH": f"{programs}:{os.environ['PATH']}",
        },
        "address": {"CAPE_PYPI_INDEX": with_both},
    }
    for number, (way, variables) in enumerate(ways.items()):
        store = str(tmp_path / f"store{number}")
        project = private_project(python_world, private).with_variables(CAPE_STORE=store)
        done = project.with_variables(**variables).cape("sync" if number == 0 else "lock")
        assert done.code == 0, f"{way}: {done.stderr}"
        assert rows(project) == {"secretlib": "1.0"}
        check_nowhere(SECRET, project, done)
