from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cape.environment.activation import Activation, Set
from cape.environment.shells import render_shells
from tests.shells.random_nesting import KINDS, nest


@pytest.mark.network
@pytest.mark.parametrize("shell", KINDS)
def test_random_nesting_leaves_no_trace(shell: str, shells: dict[str, list[str]], tmp_path: Path) -> None:
    """`python -m tests.shells.random_nesting --rounds 1000` does the same for longer."""
    assert nest(shell, shells[shell], 12 if shell == "fish" else 30, 7, tmp_path / "rounds") == []


@pytest.mark.network
def test_functions_of_zsh_come_back_with_all_their_bytes_and_with_the_users_options(
    shells: dict[str, list[str]], tmp_path: Path
) -> None:
    """Random rounds found the first: zsh garbles bytes from 0x83 to 0xa2 that `functions[NAME]` sets."""
    profile = "greet() { print other }\nadded() { print other }\ncape() { print other }"
    one = Activation(
        name="one",
        project=tmp_path,
        environment=tmp_path / "env",
        operations=(Set(name="CAPE_PROJECT", value=(str(tmp_path),), origin="cape"),),
        profile={"zsh": profile},
    )
    for name, text in render_shells(one, tmp_path).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(os.fsencode(text))
    enter = f"\\. {tmp_path}/activate.zsh"
    script = f"""\
setopt extended_glob
greet() {{ print -r -- 'à 漢' ${{${{:-aab}}/a##/x}} }}
cape() {{ print -r -- 'à 漢' }}
functions >before
{enter}; {enter}; {enter}
cape deactivate
functions >after
cmp before after && greet && cape
"""
    words = [*shells["zsh"], "-f", "-c", script]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("à 漢 xb\nà 漢\n", "")


@pytest.mark.network
def test_function_of_fish_that_was_erased_is_gone_again_after_a_profile_that_made_it(
    shells: dict[str, list[str]], tmp_path: Path
) -> None:
    """Random rounds found it: an erased function that could be loaded is listed, and has no text."""
    one = Activation(
        name="one",
        project=tmp_path,
        environment=tmp_path / "env",
        operations=(Set(name="CAPE_PROJECT", value=(str(tmp_path),), origin="cape"),),
        profile={"fish": "function ls; echo mine; end\nfunction kept; echo other; end"},
    )
    for name, text in render_shells(one, tmp_path).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(os.fsencode(text))
    script = f"""\
functions -q ls; functions --erase ls
function kept; echo first; end
source {tmp_path}/activate.fish; ls; kept
cape deactivate
functions --no-details ls 2>/dev/null; kept
"""
    words = [*shells["fish"], "--no-config", "-c", script]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LD_LIBRARY_PATH": "/nowhere"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("mine\nother\nfirst\n", "")
