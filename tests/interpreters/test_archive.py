from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cape.sources.interpreters.archive import DamagedInterpreter, lay_out
from tests.interpreters.standalone import tiny


def laid_out(body: bytes, tmp_path: Path) -> Path:
    archive = tmp_path / "archive"
    archive.write_bytes(body)
    lay_out(archive, tmp_path / "into")
    return tmp_path / "into/root/usr/local"


def test_an_interpreter_lies_at_usr_local_without_what_the_lock_brings(tmp_path: Path) -> None:
    home = laid_out(tiny(), tmp_path)
    files = {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}
    assert files == {
        *("bin/python3.12", "bin/python3", "bin/python", "lib/python3.12/os.py"),
        "lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py",
    }


def test_what_describes_the_build_names_its_place_and_a_compiler_that_is_there(tmp_path: Path) -> None:
    home = laid_out(tiny(), tmp_path)
    told: dict[str, dict[str, str]] = {}
    exec((home / "lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py").read_text(), told)
    assert told["build_time_vars"] == {
        "CC": "cc -pthread",
        "CXX": "c++ -pthread",
        "prefix": "/@cape-env@/root/usr/local",
        "LIBDIR": "/@cape-env@/root/usr/local/lib",
        "srcdir": "/build/installer",
    }


def escaping(name: str, link: str | None = None) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as stream:
        entry = tarfile.TarInfo(name)
        if link is not None:
            entry.type, entry.linkname = tarfile.SYMTYPE, link
        stream.addfile(entry, None if link is not None else io.BytesIO())
    return body.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        b"not an archive",
        tiny()[:150],
        escaping("python/../../evil"),
        escaping("/python/evil"),
        escaping("python/bin/python3", "/bin/sh"),
        escaping("python/bin/python3", "../../outside"),
        escaping("other/bin/python3.12"),
    ],
)
def test_an_archive_that_is_damaged_or_leads_out_is_refused(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(DamagedInterpreter):
        laid_out(body, tmp_path)
    assert not (tmp_path / "evil").exists()
