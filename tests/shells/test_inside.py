from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cape.environment.generations import new_generation
from cape.store import Store
from tests.environment.builders import make, package, plan
from tests.launcher.test_launcher import LAUNCHER
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
