"""`#!` lines: placeholder, final path, and the prologues for paths that are too long, run for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.environment.relocation import personalise
from cape.environment.relocation.scripts import LONGEST_LINE, PLACEHOLDER, is_private, with_placeholder


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!/usr/bin/perl -w", b"#!/@cape-env@/root/usr/bin/perl -w"),
        (b"#! /bin/sh", b"#!/@cape-env@/root/usr/bin/sh"),
        (b"#!/sbin/openrc-run", b"#!/@cape-env@/root/usr/sbin/openrc-run"),
        (b"#!/usr/bin/env python3", b"#!/@cape-env@/root/usr/bin/env python3"),
        (b"#!/usr/bin/env  -S node --title", b"#!/@cape-env@/root/usr/bin/env  -S node --title"),
        (b"#!\t/usr/bin/python3 -I ", b"#!/@cape-env@/root/usr/bin/python3 -I"),
        (b"#!/lib/x/interpreter", b"#!/@cape-env@/root/usr/lib/x/interpreter"),
    ],
)
def test_interpreter_of_a_system_script_lies_inside(line: bytes, expected: bytes) -> None:
    assert with_placeholder(line + b"\nrest\n", below_root=True) == expected + b"\nrest\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!python", b"#!/@cape-env@/bin/python3"),
        (b"#!/usr/bin/python3", b"#!/@cape-env@/bin/python3"),
        (b"#!pythonw", b"#!/@cape-env@/bin/python3"),
        (b"#!/usr/bin/env node", b"#!/@cape-env@/root/usr/bin/env node"),
        (b"#!/bin/sh", b"#!/@cape-env@/root/usr/bin/sh"),
    ],
)
def test_python_of_a_wheel_is_the_virtual_one(line: bytes, expected: bytes) -> None:
    assert with_placeholder(line + b"\n", below_root=False) == expected + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b"#!/usr/local/bin/perl",
        b"#!/opt/x/bin/y",
        b"#!perl",
        b"#!/bin/sh\r",
        b"#!",
        b"# no",
        b"#!/@cape-env@/x",
    ],
)
def test_other_lines_stay(line: bytes) -> None:
    assert with_placeholder(line + b"\n", below_root=True) is None


def test_script_without_a_newline_is_rewritten_too() -> None:
    assert with_placeholder(b"#!/bin/sh", below_root=True) == b"#!/@cape-env@/root/usr/bin/sh"


def test_short_line_gets_the_final_path_only() -> None:
    script = b"#!/@cape-env@/root/usr/bin/perl -w\nprint '/@cape-env@/x';\n"
    assert personalise(script, Path("/e")) == b"#!/e/root/usr/bin/perl -w\nprint '/e/x';\n"


def test_file_without_a_line_gets_the_final_path_in_every_place() -> None:
    assert personalise(b"home = /@cape-env@/bin\n", Path("/e")) == b"home = /e/bin\n"


@given(st.binary(max_size=200), st.integers(1, 300))
def test_no_placeholder_and_no_long_line_is_left(rest: bytes, length: int) -> None:
    environment = Path("/" + "e" * length)
    for interpreter in (b"python3", b"perl", b"env node", b"bash -e", b"awk -f"):
        script = b"#!" + PLACEHOLDER + b"/root/usr/bin/" + interpreter + b"\n" + rest
        assert is_private(script)
        personal = personalise(script, environment)
        assert PLACEHOLDER not in personal.replace(b"e" * length, b"")
        assert len(personal.split(b"\n", 1)[0]) <= LONGEST_LINE


SCRIPTS: dict[str, tuple[str, str, str]] = {
    "sh": ("sh", "-u", 'echo "$0" "$1" "$#"; cat; exit 3\n'),
    "bash": ("bash", "", 'a=("$0" "$1" "$#"); echo "${a[@]}"; cat; exit 3\n'),
    "perl": ("perl", "-w", 'print "$0 $ARGV[0] ", scalar @ARGV, "\\n", <STDIN>; exit 3;\n'),
    "node": (
        "node",
        "",
        """const fs = require('fs'), words = process.argv;
console.log(words[1], words[2], words.length - 2);
fs.writeSync(1, fs.readFileSync(0));
process.exit(3)
""",
    ),
    "python": (
        "python3",
        "-u",
        """'Words.'
from __future__ import annotations
import sys
assert __doc__ == 'Words.'
print(sys.argv[0], sys.argv[1], len(sys.argv) - 1, flush=True)
sys.stdout.write(sys.stdin.read())
sys.exit(3)
""",
    ),
    "python with a coding": (
        "python3",
        "",
        """# -*- coding: latin-1 -*-
import sys
assert len('\xe9') == 1
print(sys.argv[0], sys.argv[1], len(sys.argv) - 1)
print(sys.stdin.read(), end='')
sys.exit(3)
""",
    ),
}


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox"])
@pytest.mark.parametrize(("interpreter", "argument", "body"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script_below_a_long_path_keeps_name_arguments_input_and_exit_code(
    tmp_path: Path, shell: str, interpreter: str, argument: str, body: str
) -> None:
    real = sys.executable if interpreter == "python3" else shutil.which(interpreter)
    if real is None or shutil.which(shell) is None:
        pytest.skip(f"no {interpreter} or no {shell} on this machine")
    environment = tmp_path / ("it's " + "long" * 40)
    (environment / "root/usr/bin").mkdir(parents=True)
    (environment / "root/usr/bin" / interpreter).symlink_to(real)
    line = f"#!/@cape-env@/root/usr/bin/{interpreter} {argument}".rstrip().encode()
    program = tmp_path / "program"
    program.write_bytes(personalise(line + b"\n" + body.encode("latin-1"), environment))
    program.chmod(0o755)
    command = {"sh": [], "busybox": ["busybox", "sh"]}.get(shell, [shell])
    done = subprocess.run(
        [*command, program, "a b"], input=b"in\n", capture_output=True, check=False, timeout=30
    )
    assert done.stderr == b""
    assert done.stdout == f"{program} a b 1\nin\n".encode()
    assert done.returncode == 3


def test_language_without_a_trick_gets_a_here_document(tmp_path: Path) -> None:
    awk = shutil.which("awk")
    if awk is None:
        pytest.skip("no awk on this machine")
    environment = tmp_path / ("long" * 40)
    (environment / "root/usr/bin").mkdir(parents=True)
    (environment / "root/usr/bin/awk").symlink_to(awk)
    program = tmp_path / "program"
    script = b'#!/@cape-env@/root/usr/bin/awk -f\n# `x` $y \\\n{ print $2 "\'" }\n'
    program.write_bytes(personalise(script, environment))
    program.chmod(0o755)
    assert subprocess.check_output([program], input=b"a b c\n") == b"b'\n"


def test_python_archive_below_a_long_path_runs(tmp_path: Path) -> None:
    import zipapp

    environment = tmp_path / ("long" * 40)
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python3").symlink_to(sys.executable)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/__main__.py").write_text("print('archive')")
    zipapp.create_archive(tmp_path / "source", tmp_path / "a.pyz", interpreter="/@cape-env@/bin/python3")
    program = tmp_path / "program"
    program.write_bytes(personalise((tmp_path / "a.pyz").read_bytes(), environment))
    program.chmod(0o755)
    assert subprocess.check_output([program]) == b"archive\n"
