"""Whether scripts find their interpreter, by their first lines alone."""

from __future__ import annotations

import pytest

from cape.analysis.scripts import missing_interpreters

THERE = {"usr/bin/perl", "usr/bin/env", "usr/games/frotz"}


def lacking(line: str) -> str | None:
    found = missing_interpreters([("tool", "root/usr/bin/tool", line)], THERE.__contains__)
    return found[0].interpreter if found else None


@pytest.mark.parametrize(
    "line",
    [
        "/usr/bin/perl",
        "/bin/perl -w",
        " /usr/bin/env perl",
        "/usr/bin/env -S LANG=C perl -T",
        "/usr/bin/env frotz",
    ],
)
def test_an_interpreter_that_is_there_is_found(line: str) -> None:
    assert lacking(line) is None


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("/usr/bin/tclsh", "/usr/bin/tclsh"),
        ("/bin/false -x", "/bin/false"),
        ("/usr/bin/env ruby", "ruby"),
        ("/usr/local/bin/perl", "/usr/local/bin/perl"),
        ("/opt/x/bin/perl", "/opt/x/bin/perl"),
    ],
)
def test_an_interpreter_that_is_not_there_is_named(line: str, named: str) -> None:
    assert lacking(line) == named


@pytest.mark.parametrize(
    "line", ["", "/usr/bin/env", "/usr/bin/env -i", "/proc/self/root/bin/sh", "bin/sh/x"]
)
def test_what_names_none_or_one_of_the_machine_is_passed_over(line: str) -> None:
    assert lacking(line) is None


def test_the_sentence_names_program_package_and_interpreter() -> None:
    (found,) = missing_interpreters([("tcllib", "root/usr/bin/page", "/usr/bin/tclsh")], lambda path: False)
    assert str(found).startswith("`page` (tcllib) is run by `/usr/bin/tclsh`, which no package")
