"""`dpkg-divert`: two packages with one file name, both in one environment."""

from __future__ import annotations

from pathlib import Path

from cape.environment.finishing import CONTROL
from cape.environment.finishing.diversions import Diversion, parse_diversion, read_diversions
from cape.store import Store
from tests.environment.builders import make, package, plan

PERL_DOC = """#!/bin/sh
set -e
if [ "$1" = install ] || [ "$1" = upgrade ]
then
    dpkg-divert --add --package perl-doc --rename \\
\t--divert /usr/bin/perldoc.stub /usr/bin/perldoc
fi
"""


def test_a_diverted_file_moves_and_the_diverting_package_takes_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    perl = package(store, "perl", {"root/usr/bin/perldoc*": "stub", "root/usr/bin/perl*": "perl"})
    documented = package(
        store,
        "perl-doc",
        {"root/usr/bin/perldoc*": "real", f"root/{CONTROL}/perl-doc/preinst": PERL_DOC},
    )
    environment = make(store, plan(perl, documented, roots=("perl", "perl-doc")))
    assert (environment.path / "bin/perldoc").read_text() == "real"
    assert (environment.root / "usr/bin/perldoc.stub").read_text() == "stub"


def test_a_diversion_by_a_package_without_a_file_of_that_name_moves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    server = package(store, "server", {"root/usr/sbin/sshd*": "sshd"})
    script = "dpkg-divert --package client --divert /usr/sbin/sshd.old --no-rename /usr/sbin/sshd"
    client = package(store, "client", {f"root/{CONTROL}/client/preinst": script})
    environment = make(store, plan(server, client, roots=("server",)))
    assert (environment.root / "usr/sbin/sshd").read_text() == "sshd"


def test_scripts_divert_in_loops_and_functions(tmp_path: Path) -> None:
    script = (
        'add() {\n  dpkg-divert --package p --add --divert "$1.tiny" "$1"\n}\n'
        "for f in a b; do add /share/$f; dpkg-divert --remove /share/$f; done\n"
        'TRUE=$(dpkg-divert --truename /share/a)\ndpkg-divert --remove --divert "$TRUE" /share/a\n'
    )
    control = tmp_path / "p"
    control.mkdir()
    (control / "preinst").write_text(script)
    assert list(read_diversions([control, tmp_path / "absent"])) == [
        Diversion(package="p", path="share/a", target="share/a.tiny"),
        Diversion(package="p", path="share/b", target="share/b.tiny"),
    ]


def test_a_diversion_without_a_target_is_kept_beside() -> None:
    found = parse_diversion("p", ("dpkg-divert", "--quiet", "--add", "/bin/sh"))
    assert found == Diversion(package="p", path="usr/bin/sh", target="usr/bin/sh.distrib")


def test_diversions_that_guard_the_merge_of_bin_are_passed_over() -> None:
    loader = "/lib64/ld-linux-x86-64.so.2"
    call = ("dpkg-divert", "--add", "--no-rename", "--divert", f"{loader}.usr-is-merged", loader)
    assert parse_diversion("libc6", call) is None
