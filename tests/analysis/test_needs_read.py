"""What wheels need, read from an index: large ones and another system's in parts, and each once."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cape.analysis.needs import PackageNeeds
from cape.configuration import Configuration
from cape.names import Digest, System
from cape.operations import needs_read
from cape.operations.needs_read import NeedsRead, ScriptsRead
from cape.operations.project import Workshop
from cape.sources.protocol import Artifact, LockedPackage
from cape.store import Store
from tests.mirrors.loopback import Fault
from tests.mirrors.pypi import PythonIndex, make_wheel, python_index

HERE = System.current()
OTHER = System.AARCH64_LINUX if HERE is not System.AARCH64_LINUX else System.X86_64_LINUX
LOADER = b"from ctypes.util import find_library\nif find_library('gone') is None:\n    raise ImportError\n"
BALLAST = random.Random(5).randbytes(6 << 20)


@dataclass
class Bench:
    """A workshop whose Python packages come from an index on loopback."""

    index: PythonIndex
    workshop: Workshop

    def publish(
        self, name: str, files: Mapping[str, bytes], *, system: System, number: int = 1
    ) -> LockedPackage:
        """A wheel of that system in the index, and the row of a lock for it."""
        tag = f"py3-none-manylinux_2_{16 + number}_{system.machine}"
        file_name, data = make_wheel(name, "1.0", files=files, tag=tag)
        self.index.add_file(name, file_name, data)
        artifact = Artifact(
            digest=Digest(hashlib.sha256(data).hexdigest()),
            size_bytes=len(data),
            registry="pypi",
            location=f"{name}/{file_name}",
        )
        return LockedPackage(
            source="pypi",
            name=name,
            version="1.0",
            systems=(system,),
            artifact=artifact,
            attributes={"python": "3.13"},
        )

    def read(
        self, *rows: LockedPackage, system: System, scripts: ScriptsRead | None = None, dry_run: bool = False
    ) -> list[PackageNeeds]:
        """What the rows need, as far as they could be looked into."""
        reader = NeedsRead(
            self.workshop, system, self.workshop.sources("trixie"), dry_run=dry_run, scripts=scripts
        )
        found = reader.read(rows)
        return [found[row.artifact.digest] for row in rows if row.artifact.digest in found]

    def has(self, row: LockedPackage) -> bool:
        return self.workshop.store.artifacts.has(row.artifact.digest)

    def asked(self, row: LockedPackage) -> list[str | None]:
        """The ranges that were asked for of a row's file."""
        name = row.artifact.location.rpartition("/")[2]
        return [part for path, part in self.index.server.requests if path.endswith(name)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with python_index() as index:
        configuration = Configuration({"pypi.index": (index.simple,)})
        yield Bench(index=index, workshop=Workshop(configuration, Store(tmp_path / "store")))


def names_of(needs: PackageNeeds) -> list[str]:
    return [name for load in needs.loads for name in load.names]


def test_another_systems_wheel_is_read_in_parts_and_not_brought(bench: Bench) -> None:
    files = {"a.py": LOADER, "a.dat": BALLAST, "b.py": b"import a\n"}
    row = bench.publish("far", files, system=OTHER)
    (needs,) = bench.read(row, system=OTHER)
    assert names_of(needs) == ["*gone"]
    asked = bench.asked(row)
    assert not bench.has(row) and None not in asked and len(asked) <= 3
    assert bench.read(row, system=OTHER) == [needs]
    assert bench.asked(row) == asked


def test_this_systems_wheel_is_brought_since_it_will_be_wanted(bench: Bench) -> None:
    row = bench.publish("near", {"a.py": LOADER}, system=HERE)
    (needs,) = bench.read(row, system=HERE)
    assert names_of(needs) == ["*gone"] and bench.has(row)


def test_a_large_wheel_is_read_in_parts_and_its_large_files_are_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs_read, "WHOLE_BYTES", 1 << 20)
    monkeypatch.setattr(needs_read, "_LARGE_MEMBER_BYTES", 4 << 20)
    machine = {"x86_64": 62, "aarch64": 183}[HERE.machine]
    library = struct.pack("<7s9xHHI", b"\x7fELF\x02\x01\x01", 3, machine, 1) + BALLAST
    row = bench.publish("huge", {"a.py": LOADER, "a.so": library}, system=HERE)
    (needs,) = bench.read(row, system=HERE)
    assert (names_of(needs), needs.unread) == (["*gone"], 1)
    assert not bench.has(row) and None not in bench.asked(row)


def test_an_index_that_gives_no_parts_gives_the_whole(bench: Bench) -> None:
    row = bench.publish("far", {"a.py": LOADER, "a.dat": BALLAST}, system=OTHER)
    bench.index.server.always[f"/files/{row.artifact.location.rpartition('/')[2]}"] = Fault(ignore_range=True)
    (needs,) = bench.read(row, system=OTHER)
    assert names_of(needs) == ["*gone"] and bench.has(row)


def test_a_large_wheel_of_an_index_without_parts_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs_read, "WHOLE_BYTES", 1 << 20)
    row = bench.publish("huge", {"a.py": LOADER, "a.dat": BALLAST}, system=HERE)
    bench.index.server.always[f"/files/{row.artifact.location.rpartition('/')[2]}"] = Fault(ignore_range=True)
    assert bench.read(row, system=HERE) == [] and not bench.has(row)


def test_a_dry_run_brings_nothing(bench: Bench) -> None:
    row = bench.publish("near", {"a.py": LOADER}, system=HERE)
    (needs,) = bench.read(row, system=HERE, dry_run=True)
    assert names_of(needs) == ["*gone"] and not bench.has(row)


def test_code_that_the_wheels_of_two_systems_have_is_read_once(bench: Bench) -> None:
    code = {f"m{at}.py": BALLAST[at << 16 : (at + 1) << 16].hex().encode() for at in range(48)}
    code["a.py"] = LOADER
    scripts: ScriptsRead = {}
    first = bench.publish("both", code, system=OTHER)
    other = bench.publish("both", code, system=OTHER, number=2)
    (needs,) = bench.read(first, system=OTHER, scripts=scripts)
    assert bench.read(other, system=OTHER, scripts=scripts)[0].loads == needs.loads
    assert len(scripts) == 1 and len(bench.asked(other)) < len(bench.asked(first))


def test_a_wheel_that_is_no_archive_is_left_and_the_others_are_read(bench: Bench) -> None:
    good = bench.publish("good", {"a.py": LOADER}, system=OTHER)
    bad = bench.publish("bad", {"a.py": LOADER}, system=OTHER)
    bench.index.server.always[f"/files/{bad.artifact.location.rpartition('/')[2]}"] = Fault(alter=True)
    (needs,) = bench.read(bad, good, system=OTHER)
    assert names_of(needs) == ["*gone"]
