"""Where Debian's archives and their keys are, by this machine's configuration.

Owns the reading of apt's sources, in both formats, and of the settings that win over them. It names no
host, asks none, and does not know what an archive holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cape.configuration import Configuration
from cape.sources.debian.release import Keyring
from cape.sources.protocol import NotRecorded, RegistryUnknown

_APT = Path("/etc/apt")
_KEYRINGS = Path("/usr/share/keyrings")
_TRUSTED = Path("/etc/apt/trusted.gpg.d")
_SCHEMES = ("http://", "https://", "file:", "copy:")
_FLAVOURS = ("", "-updates", "-security")
"""What a suite's name is followed by in the archives that belong to it."""
_OLD_SECURITY = "/updates"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A suite that may be on a mirror: the base URL, without a final slash, and the suite's directory.

    `from_apt` tells a guess from apt's sources, which needs `Origin: Debian`, from the user's own setting.
    """

    base: str
    suite: str
    components: tuple[str, ...]
    keyring: Keyring
    from_apt: bool
    arch: tuple[str, ...] = ()
    """The only architectures that it is for; empty: all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry of apt's sources, as it stands there."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""
    architectures: tuple[str, ...] = ()


def places(suite: str, configuration: Configuration, *, apt: Path = _APT) -> tuple[Place, ...]:
    """Where the wanted suite, its updates and its security fixes may be, best first.

    Raises `RegistryUnknown` when neither settings nor apt's sources name a mirror.
    """
    own_keyring = configuration.one("debian.keyring")
    if mirrors := configuration.many("debian.mirror"):
        keyring = Keyring([Path(own_keyring)]) if own_keyring else system_keyring()
        return tuple(
            Place(
                base=_base(mirror),
                suite=f"{suite}{flavour}",
                components=("main",),
                keyring=keyring,
                from_apt=False,
            )
            for flavour in _FLAVOURS
            for mirror in mirrors
        )
    found: dict[tuple[str, str], Place] = {}
    for entry in apt_entries(apt):
        for place in _wanted(entry, suite, own_keyring):
            found[place.base, place.suite] = _joined(found.get((place.base, place.suite)), place)
    if not found:
        raise RegistryUnknown(
            "this machine's apt has no Debian archive",
            where=str(apt),
            hint="`cape config debian.mirror URL` names one (the URL of the directory that holds "
            "`dists` and `pool`)",
        )
    return tuple(found.values())


DATED_MIRROR = "debian.dated-mirror"
"""The setting: the base URL of an archive of old states, with `{archive}` and `{date}` in it."""


def dated_base(template: str, archive: str, moment: datetime) -> str:
    """The base URL of an archive (`debian`, `debian-security`) as it was at a moment.

    >>> dated_base("file:///old/{archive}/{date}/", "debian", datetime(2026, 1, 2, 3, 4, 5))
    'file:///old/debian/20260102T030405Z'
    """
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    return _base(template.replace("{archive}", archive).replace("{date}", stamp))


def dated_places(suite: str, configuration: Configuration, moment: datetime) -> tuple[Place, ...]:
    """Where the suite, its updates and its security fixes are as they were at a moment.

    Components and keys are those of the mirrors that this machine has. Raises `NotRecorded` when no
    archive of old states is set.
    """
    template = configuration.one(DATED_MIRROR)
    if template is None:
        raise NotRecorded(
            "Debian's mirrors keep the present state only, and no archive of old states is set",
            hint=f"`cape config {DATED_MIRROR} URL` names one: its base URL, with `{{archive}}` where "
            "`debian` or `debian-security` goes, and `{date}` where `20260115T000000Z` does",
        )
    try:
        known = {place.suite: place for place in reversed(places(suite, configuration))}
    except RegistryUnknown:
        known = {}
    own_keyring = configuration.one("debian.keyring")
    usual = Place(
        base="",
        suite=suite,
        components=("main",),
        keyring=Keyring([Path(own_keyring)]) if own_keyring else system_keyring(),
        from_apt=False,
    )
    return tuple(
        replace(
            known.get(f"{suite}{flavour}", usual),
            base=dated_base(template, archive_of(flavour), moment),
            suite=f"{suite}{flavour}",
            from_apt=False,
        )
        for flavour in _FLAVOURS
    )


def archive_of(flavour: str) -> str:
    """The archive that has the suites of a flavour, as `Label` in their `Release` says it."""
    return "debian-security" if flavour == "-security" else "debian"


def _wanted(entry: Entry, suite: str, own_keyring: str | None) -> Iterator[Place]:
    """The place of the wanted suite that corresponds to an entry: its codename is exchanged."""
    flavour = flavour_of(entry.suite)
    if flavour is None or not entry.components or not entry.uri.startswith(_SCHEMES):
        return
    yield Place(
        base=_base(entry.uri),
        suite=f"{suite}{flavour}",
        components=entry.components,
        keyring=Keyring([Path(own_keyring)]) if own_keyring else _signers(entry.signed_by),
        from_apt=True,
        arch=entry.architectures,
    )


def _joined(first: Place | None, second: Place) -> Place:
    """Two entries of one suite: the components of both."""
    if first is None:
        return second
    components = tuple(dict.fromkeys(first.components + second.components))
    return Place(
        base=first.base,
        suite=first.suite,
        components=components,
        keyring=first.keyring,
        from_apt=first.from_apt,
        arch=first.arch if first.arch and second.arch else (),
    )


def flavour_of(suite: str) -> str | None:
    """What follows the codename in a suite's name; None for suites that are not of the release itself.

    >>> flavour_of("bookworm-security"), flavour_of("bookworm"), flavour_of("bookworm-backports")
    ('-security', '', None)
    """
    if suite.endswith(_OLD_SECURITY):
        return "-security"
    codename, dash, rest = suite.strip("/").partition("-")
    if not codename.isalpha():
        return None
    flavour = f"{dash}{rest}"
    return flavour if flavour in _FLAVOURS else None


def _base(uri: str) -> str:
    if uri.startswith("copy:"):
        uri = "file:" + uri.removeprefix("copy:")
    if uri.startswith("file:"):
        uri = "file://" + "/" + uri.removeprefix("file:").lstrip("/")
    return uri.rstrip("/")


def apt_entries(apt: Path = _APT) -> list[Entry]:
    """The binary archives in apt's sources, in apt's order, without those that are switched off."""
    entries: list[Entry] = []
    for file in [apt / "sources.list", *sorted(_listed(apt / "sources.list.d"))]:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        entries += _stanzas(text) if file.suffix == ".sources" else _lines(text)
    return entries


def _listed(directory: Path) -> Iterator[Path]:
    try:
        yield from (file for file in directory.iterdir() if file.suffix in (".list", ".sources"))
    except OSError:
        return


_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>\S.*)")


def _lines(text: str) -> Iterator[Entry]:
    """The entries of the one-line format: `deb [option=value] URI suite component...`."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line.partition("#")[0].strip())
        if not found:
            continue
        uri, *rest = found["rest"].split()
        options = dict(
            option.split("=", 1) for option in shlex.split(found["options"] or "") if "=" in option
        )
        if rest:
            yield Entry(
                uri=uri,
                suite=rest[0],
                components=tuple(rest[1:]),
                signed_by=options.get("signed-by", ""),
                architectures=tuple(options.get("arch", "").replace(",", " ").split()),
            )


def _stanzas(text: str) -> Iterator[Entry]:
    """The entries of the deb822 format."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _deb822(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in _OFF:
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Entry(
                    uri=uri,
                    suite=suite,
                    components=tuple(fields.get("components", "").split()),
                    signed_by=fields.get("signed-by", ""),
                    architectures=tuple(fields.get("architectures", "").split()),
                )


_OFF = ("no", "false", "without", "off", "disable", "0")


def _deb822(stanza: str) -> Mapping[str, str]:
    """The fields of a stanza, names in lower case, continuation lines joined by newlines."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _signers(signed_by: str) -> Keyring:
    """The keys that `Signed-By` allows: files, or a key that stands there; else the system's."""
    if "-----BEGIN" in signed_by:
        lines = [("" if line == "." else line) for line in signed_by.strip().split("\n")]
        return Keyring(["\n".join(lines).encode() + b"\n"])
    files = [Path(word) for word in re.split(r"[,\s]+", signed_by) if word.startswith("/")]
    return Keyring(files) if files else system_keyring()


def system_keyring() -> Keyring:
    """The archive's keys as the package `debian-archive-keyring` installs them."""
    for suffix in ("pgp", "gpg"):
        whole = _KEYRINGS / f"debian-archive-keyring.{suffix}"
        if whole.exists():
            return Keyring([whole])
    return Keyring(sorted([*_matching(_KEYRINGS), *_matching(_TRUSTED)]))


def _matching(directory: Path) -> Iterator[Path]:
    try:
        yield from (
            file
            for file in directory.iterdir()
            if file.name.startswith("debian-archive-") and "removed" not in file.name
        )
    except OSError:
        return
