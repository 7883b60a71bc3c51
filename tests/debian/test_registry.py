"""Where archives are looked for: settings first, then apt's sources in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.sources.debian.index import Indices
from cape.sources.debian.registry import apt_entries, flavour_of, places
from cape.sources.protocol import RegistryUnknown
from tests.mirrors.debian import DebianMirror

NOTHING = Configuration()


def _apt(tmp_path: Path, **files: str) -> Path:
    apt = tmp_path / "apt"
    (apt / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        file = name.replace("__", ".")
        (apt / file if file == "sources.list" else apt / "sources.list.d" / file).write_text(text)
    return apt


def _found(apt: Path, suite: str = "trixie") -> list[tuple[str, str, tuple[str, ...]]]:
    return [(place.base, place.suite, place.components) for place in places(suite, NOTHING, apt=apt)]


def test_one_line_sources_are_read(tmp_path: Path) -> None:
    text = (
        "# deb http://off.invalid/debian bookworm main\n"
        "deb http://one.invalid/debian/ bookworm main contrib # a remark\n"
        "deb [arch=amd64,arm64 signed-by=/etc/k.gpg] http://one.invalid/debian bookworm-updates main\n"
        "deb-src http://one.invalid/debian bookworm main\n"
        "deb cdrom:[disc]/ bookworm main\n"
        "deb http://two.invalid/debian-security bookworm/updates main\n"
        "broken\n"
    )
    assert _found(_apt(tmp_path, sources__list=text)) == [
        ("http://one.invalid/debian", "trixie", ("main", "contrib")),
        ("http://one.invalid/debian", "trixie-updates", ("main",)),
        ("http://two.invalid/debian-security", "trixie-security", ("main",)),
    ]


def test_deb822_sources_are_read(tmp_path: Path) -> None:
    text = (
        "Types: deb deb-src\n# a remark\nURIs: http://one.invalid/debian\n  http://two.invalid/debian\n"
        "Suites: bookworm bookworm-updates bookworm-backports\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/k.gpg\n\n"
        "Types: deb\nURIs: http://off.invalid/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n\n"
        "Types: deb-src\nURIs: http://src.invalid/debian\nSuites: bookworm\nComponents: main\n"
    )
    found = _found(_apt(tmp_path, debian__sources=text))
    assert [(base, suite) for base, suite, _ in found] == [
        ("http://one.invalid/debian", "trixie"),
        ("http://one.invalid/debian", "trixie-updates"),
        ("http://two.invalid/debian", "trixie"),
        ("http://two.invalid/debian", "trixie-updates"),
    ]


def test_two_entries_of_one_suite_join_their_components(tmp_path: Path) -> None:
    text = "deb http://one.invalid/debian trixie main\ndeb http://one.invalid/debian trixie non-free\n"
    assert _found(_apt(tmp_path, sources__list=text)) == [
        ("http://one.invalid/debian", "trixie", ("main", "non-free"))
    ]


@pytest.mark.parametrize(
    ("suite", "flavour"),
    [
        ("bookworm", ""),
        ("stable", ""),
        ("bookworm-updates", "-updates"),
        ("bookworm-security", "-security"),
        ("buster/updates", "-security"),
        ("bookworm-backports", None),
        ("bookworm-proposed-updates", None),
        ("cloud-sdk-bookworm", None),
        ("./", None),
    ],
)
def test_only_suites_of_the_release_itself_have_a_counterpart(suite: str, flavour: str | None) -> None:
    assert flavour_of(suite) == flavour


def test_a_key_inside_signed_by_is_used(tmp_path: Path, mirror: DebianMirror) -> None:
    armoured = str(mirror.key.extract_certificate())
    folded = "".join(f"\n {line or '.'}" for line in armoured.strip().split("\n"))
    text = f"Types: deb\nURIs: {mirror.url}\nSuites: bookworm\nComponents: main\nSigned-By:{folded}\n"
    (place,) = places("trixie", NOTHING, apt=_apt(tmp_path, x__sources=text))
    assert [one.fingerprint for one in place.keyring.certificates()] == [
        mirror.key.extract_certificate().fingerprint
    ]


def test_settings_win_over_apt(tmp_path: Path, mirror: DebianMirror) -> None:
    apt = _apt(tmp_path, sources__list="deb http://one.invalid/debian trixie main\n")
    found = places("trixie", mirror.settings(), apt=apt)
    assert {place.base for place in found} == {mirror.url}
    assert {place.suite for place in found} == {"trixie", "trixie-updates", "trixie-security"}


def test_a_machine_without_debian_is_told_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnknown) as caught:
        places("trixie", NOTHING, apt=tmp_path / "none")
    assert "cape config debian.mirror" in (caught.value.hint or "")


def test_sources_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    apt = _apt(tmp_path, a__list="\xff\xfe deb [ http://x", b__sources="no fields here\n\n\n: x\n y\n")
    assert apt_entries(apt) == []


def test_an_archive_of_another_origin_is_passed_over(tmp_path: Path, mirror: DebianMirror) -> None:
    """apt's sources hold other archives too; only one that says to be Debian's is used."""
    other = DebianMirror(tmp_path / "other")
    for one, origin in ((other, "Somebody"), (mirror, "Debian")):
        one.add("tool")
        one.publish(origin=origin)
    text = "".join(f"deb [signed-by={one.keyring}] {one.url} bookworm main\n" for one in (other, mirror))
    found = places("trixie", NOTHING, apt=_apt(tmp_path, sources__list=text))
    (archive,) = Indices(found, "trixie", tmp_path / "cache").archives()
    assert archive.place.base == mirror.url
    (again,) = Indices(found, "trixie", tmp_path / "cache").archives()
    assert again == archive


def test_a_machine_with_only_other_archives_is_told_so(tmp_path: Path) -> None:
    other = DebianMirror(tmp_path / "other")
    other.publish(origin="Somebody")
    text = f"deb [signed-by={other.keyring}] {other.url} noble main\n"
    found = places("trixie", NOTHING, apt=_apt(tmp_path, sources__list=text))
    with pytest.raises(RegistryUnknown) as caught:
        Indices(found, "trixie", tmp_path / "cache").archives()
    assert "cape config debian.mirror" in (caught.value.hint or "")
