from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cape.environment.generations import new_generation
from cape.store import Store
from tests.environment.builders import make, package, plan
from tests.launcher.test_launcher import LAUNCHER
from tests.shells.programs import launcher
from tests.shells.random_nesting import KINDS

MANIFEST = """\
schema = 1
[environment]
name = "demo"
systems = ["x86_64-linux"]
[vars]
MARK = "inside"
"""


def project(directory: Path, name: str, text: str = MANIFEST) -> Path:
    """A project with an environment that has one program."""
    made = directory / f"{name} {{it's}} é"
    made.mkdir()
    script = "#!/bin/sh\necho tool\n"
    manual = {"root/usr/bin/tool*": script, "root/usr/share/man/man1/tool.1": "x"}
    store = Store(directory / "store")
    environment = make(store, plan(package(store, name, manual), roots=(name,)))
    new_generation(made, environment, manifest_text=text, lock_text=name)
    return made


@pytest.mark.network
@pytest.mark.parametrize("shell", KINDS)
def test_a_text_goes_through_the_shell(shell: str, shells: dict[str, list[str]], tmp_path: Path) -> None:
    made = project(tmp_path, "one")
    program = Path(shells[shell][0])
    done = subprocess.run(
        [str(LAUNCHER), "activate", "--mode", "dev", "-c", "tool; printenv MARK MANPATH; exit 7"],
        cwd=made, capture_output=True, text=True, check=False, timeout=20,
        env={"PATH": f"/usr/bin:/bin:{program.parent}", "HOME": str(tmp_path), "SHELL": str(program)},
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["tool", "inside"]
    assert lines[2].endswith("root/usr/share/man:")


@pytest.mark.network
@pytest.mark.parametrize("shell", KINDS)
def test_mode_of_the_manifest_holds_where_the_command_says_none(
    shell: str, shells: dict[str, list[str]], tmp_path: Path
) -> None:
    made = project(tmp_path, "one", MANIFEST.replace("[vars]", 'mode = "dev"\n[vars]'))
    program = Path(shells[shell][0])
    path = f"/usr/bin:/bin:{program.parent}"
    for words, wanted in (((), "root/usr/share/man:"), (("--mode", "run"), ""), (("--mode", "dev"), "man:")):
        for way in ((*words, "-c", "printenv MANPATH"), ("run", *words, "--", "printenv", "MANPATH")):
            done = subprocess.run(
                [str(LAUNCHER), *(() if way[0] == "run" else ("activate",)), *way],
                cwd=made, capture_output=True, text=True, check=False, timeout=20,
                env={"PATH": path, "HOME": str(tmp_path), "SHELL": str(program)},
            )  # fmt: skip
            assert done.stdout.strip().endswith(wanted) and bool(done.stdout) is bool(wanted), done


def test_why_tells_what_the_mode_of_the_manifest_brings(tmp_path: Path) -> None:
    made = project(tmp_path, "one", MANIFEST.replace("[vars]", 'mode = "dev"\n[vars]'))
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CAPE_STORE": str(tmp_path / "store")}
    told = subprocess.check_output(
        [str(launcher()), "why", "MANPATH"], cwd=made, text=True, timeout=20, env=env
    )
    assert "root/usr/share/man" in told and "generation 1" in told


@pytest.mark.parametrize("way", ["run", "activate"])
def test_entering_sets_the_variables_that_are_told_and_no_other(way: str, tmp_path: Path) -> None:
    made = project(tmp_path, "one")
    words = ("run", "--", "env", "-0") if way == "run" else ("activate", "-c", "env -0")
    outside = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SHELL": "/bin/bash", "OWN": "kept"}
    told = subprocess.check_output([str(LAUNCHER), *words], cwd=made, text=True, timeout=20, env=outside)
    inside = dict(line.partition("=")[::2] for line in told.split("\0") if line)
    changed = {name for name in inside if inside[name] != outside.get(name)}
    # Every shell sets the first three for itself.
    assert changed - {"_", "SHLVL", "PWD", "OLDPWD"} == {
        "CAPE_ENV", "CAPE_PROJECT", "CAPE_ROOT", "CAPE_STATE", "MARK", "PATH",
    }  # fmt: skip
    assert outside.keys() <= inside.keys()


@pytest.mark.network
def test_program_of_an_environment_runs_where_the_loaders_variables_are_hostile(
    shells: dict[str, list[str]], tmp_path: Path
) -> None:
    """Its own libraries come first, and not one of those that `LD_LIBRARY_PATH` leads to."""
    program = Path(shells["zsh"][0])
    if "environments" not in program.parts:
        pytest.skip("zsh is the machine's own")
    root = program.parents[2]
    for library in (root / "usr/lib").glob("*-linux-gnu/*.so*"):
        (tmp_path / library.name).write_bytes(b"no library")
    assert (tmp_path / "libc.so.6").exists() and (tmp_path / "libtinfo.so.6").exists()
    done = subprocess.run(
        [str(program), "-f", "-c", "echo inside"], capture_output=True, text=True, check=False, timeout=20,
        env={"LD_LIBRARY_PATH": str(tmp_path), "LD_BIND_NOW": "1", "PATH": "/nowhere"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("inside\n", "")


def test_entries_of_shells_that_entered_in_place_do_not_pile_up(tmp_path: Path) -> None:
    made = project(tmp_path, "one")
    attached = made / ".cape/attached"
    for pid in range(4_000_000, 4_000_065):
        (attached / str(pid)).write_text("1\nkey - bash\n" if pid % 2 else "")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    text = f'eval "$({LAUNCHER} activate)"; ls .cape/attached'
    told = subprocess.check_output(["bash", "--norc", "-c", text], cwd=made, text=True, timeout=20, env=env)
    assert len(told.split()) == 1
