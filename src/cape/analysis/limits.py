"""What of a package will not work in an environment, told from its own files.

Owns the rules, their sentences, and which of them leave nothing that could be used. A package is named
nowhere: files, modes and maintainer scripts decide. Whoever wants a refused package all the same says so
in the manifest; that is no business of this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cape.analysis.contents import PROGRAMS, PackageContents, PackageFile


class Rule(NamedTuple):
    """Files of one kind, and what is to be known of them: `{names}` are those files' names."""

    pattern: re.Pattern[str]
    sentence: str


RULES = (
    Rule(
        re.compile(r"root/usr/lib/systemd/system/([^/@]+\.(?:service|socket|timer))"),
        "has units of systemd ({names}): nothing starts them here, so start its program by hand",
    ),
    Rule(
        re.compile(r"root/usr/lib/modules/[^/]+/(?:.*/)?([^/]+\.ko(?:\.\w+)?)|root/boot/(vmlinuz[^/]*)"),
        "has kernel modules ({names}): an environment cannot load any",
    ),
    Rule(
        re.compile(r"root/usr/(?:src/[^/]+/(dkms\.conf))"),
        "has kernel modules to be built ({names}): an environment cannot load any",
    ),
    Rule(
        re.compile(r"root/usr/share/dbus-1/system-services/([^/]+)\.service"),
        "has services of the system's D-Bus ({names}): the machine's bus does not know them",
    ),
    Rule(
        re.compile(r"root/usr/lib/[^/]+/security/(pam_[^/]+\.so)|root/usr/lib/udev/rules\.d/([^/]+)"),
        "has modules of PAM or rules of udev ({names}): the machine reads its own only",
    ),
    Rule(
        re.compile(r"root/etc/(?:kernel/(?:pre|post)(?:inst|rm)\.d|initramfs-tools/hooks)/([^/]+)"),
        "has hooks of the machine's kernel ({names}): no kernel is installed here that would call them",
    ),
    Rule(
        re.compile(r"root/etc/cron\.(?:d|hourly|daily|weekly|monthly)/([^/.][^/]*)"),
        "has jobs for cron ({names}): the machine's cron reads its own only",
    ),
)
"""What a note is made for; most such packages have programs that work."""

_UNUSED = (
    Rule(
        re.compile(
            r"root/(?:var/lib/dpkg/info|var/lib/apt/lists|var/cache/apt/archives|var/lib/aptitude"
            r"|var/lib/snapd|usr/lib/snapd/snapd|var/lib/PackageKit|usr/libexec/flatpak-system-helper)"
        ),
        "is a package manager (it owns {names}): it cannot change an environment, "
        "for which there is the manifest",
    ),
    Rule(
        re.compile(r"root/usr/sbin/(?:init|telinit|openrc-init)|root/usr/lib/systemd/systemd"),
        "is an init system (it owns {names}): the machine has one that runs, and only one can",
    ),
)
"""What makes a package useless whatever else it holds. A file or directory of its own tells; of a large
package only files are known before it is fetched."""


class Refusal(NamedTuple):
    """Why nothing of a package can work. One that is not final falls with a package that it brings along:
    its programs may lie in another one, of the same source."""

    sentence: str
    is_final: bool = True


_SETUID, _SETGID = 0o4000, 0o2000
_NAMED = 3


def limits(package: str, contents: PackageContents) -> tuple[str, ...]:
    """A sentence for each rule that a package falls under, in the rules' order.

    >>> unit = PackageContents.of_paths(["root/usr/lib/systemd/system/tool.service"])
    >>> limits("tool", unit)[0][:48]
    '`tool` has units of systemd (`tool.service`): no'
    """
    return tuple(f"`{package}` {sentence}" for sentence in _sentences(contents))


def refusal(package: str, contents: PackageContents) -> Refusal | None:
    """Why nothing of a package can work; None when something can.

    That is so for package managers and init systems, for a package whose own program, or every program,
    needs the rights of another user, and for one that holds nothing but what the machine's kernel, init,
    D-Bus or PAM would have to read.
    """
    for reason in (_unused, _only_privileged):
        if sentence := reason(package, contents):
            return Refusal(f"`{package}` {sentence}")
    if sentence := _only_for_the_machine(contents):
        return Refusal(f"`{package}` {sentence}", is_final=False)
    return None


def is_leader(contents: PackageContents) -> bool:
    """Whether a package holds documentation at the most: it is there for what it depends on."""
    return not any(file.kind != "d" and not _is_neutral(file.path) for file in contents.files)


def _sentences(contents: PackageContents) -> Iterator[str]:
    paths = [file.path for file in contents.files if file.kind != "d"]
    for rule in RULES:
        if names := [_name(match) for path in paths if (match := rule.pattern.fullmatch(path))]:
            yield rule.sentence.format(names=_listed(names))
    if names := [_base(path) for path in _privileged(contents, _SETUID)]:
        yield (
            f"has programs that need the rights of root ({_listed(names)}): "
            "their setuid bit is not kept, so they have yours only"
        )
    if names := [_base(path) for path in _privileged(contents, _SETGID)]:
        yield (
            f"has programs that need the rights of a group ({_listed(names)}): "
            "their setgid bit is not kept, so they have yours only"
        )
    if names := sorted(_capable(contents)):
        yield f"gives programs a right by `setcap` ({_listed(names)}), which only root can"


def _unused(package: str, contents: PackageContents) -> str | None:
    for rule in _UNUSED:
        owned = [file.path for file in contents.files if rule.pattern.fullmatch(file.path)]
        if owned:
            return rule.sentence.format(names=_listed([path.removeprefix("root") for path in owned]))
    return None


def _only_privileged(package: str, contents: PackageContents) -> str | None:
    """A setuid program that is the package's own, or all there is."""
    programs = [file.path for file in contents.files if file.is_program]
    privileged = [path for path in _privileged(contents, _SETUID) if PROGRAMS.fullmatch(path)]
    own = [path for path in privileged if _base(path) == package]
    if not own and (not privileged or set(privileged) != set(programs)):
        return None
    names = _listed([_base(path) for path in own or privileged])
    return (
        f"needs the rights of root for {names} by a setuid bit, "
        "and no file in a directory of yours can give them"
    )


def _only_for_the_machine(contents: PackageContents) -> str | None:
    """Nothing but files that the machine's own services would have to read."""
    paths = [file.path for file in contents.files if file.kind != "d"]
    for path in paths:
        if not (_MACHINE.match(path) or _is_neutral(path) or _HELPER.match(path)):
            return None
    kinds = [what for pattern, what in _KINDS if any(pattern.match(path) for path in paths)]
    if not kinds:
        return None
    return (
        f"holds nothing but {' and '.join(kinds)}, which only the machine itself can use: "
        "an environment has no kernel, init or system bus of its own"
    )


_KINDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"root/usr/lib/modules/|root/boot/vmlinuz|root/usr/src/[^/]+/dkms\.conf\Z"),
        "kernel modules",
    ),
    (re.compile(r"root/usr/lib/systemd/system/"), "units of systemd"),
    (re.compile(r"root/usr/share/dbus-1/system-services/"), "services of the system's D-Bus"),
    (re.compile(r"root/usr/lib/(?:[^/]+/)?security/pam_|root/usr/share/pam-configs/"), "modules of PAM"),
    (re.compile(r"root/usr/lib/udev/"), "rules of udev"),
)
"""What a refused package may be said to hold; without any of these it is not refused."""

_MACHINE = re.compile(
    r"root/(?:boot/|etc/|var/|run/|lib/"
    r"|usr/lib/(?:modules|systemd|udev|sysusers\.d|tmpfiles\.d|modules-load\.d|modprobe\.d|sysctl\.d"
    r"|kernel|initcpio|binfmt\.d|NetworkManager|firmware|linux-boot-probes|initramfs-tools|dracut)/"
    r"|usr/lib/(?:[^/]+/)?security/|usr/src/"
    r"|usr/share/(?:dbus-1|pam-configs|polkit-1|initramfs-tools|apparmor|firewalld|ufw)/)"
)
"""What the machine's own services read."""

_HELPER = re.compile(r"root/usr/(?:libexec/|lib/[^/]+/[^/]+\Z)")
"""Programs that services start, on nobody's PATH."""

_DOCUMENTS = re.compile(
    r"root/usr/share/(?:doc|doc-base|man|info|locale|lintian|bug|bash-completion|zsh|fish|metainfo|apport"
    r"|reportbug|accountsservice)/"
)


def _is_neutral(path: str) -> bool:
    return _DOCUMENTS.match(path) is not None


_POSTINST_MODE = re.compile(
    r"(?:chmod|dpkg-statoverride)\b[^\n;|&]*?[ \t]0?([2467])(?:[0-7]{3})[ \t]+(?:--[ \t]+)?[\"']?(/[\w./+-]+)"
)
_SYMBOLIC_MODE = re.compile(r"chmod[ \t]+([ug])\+s[ \t]+[\"']?(/[\w./+-]+)")
_SETCAP = re.compile(r"setcap\b[^\n]*?[ \t][\"']?(/[\w./+-]+)")


def _privileged(contents: PackageContents, bit: int) -> list[str]:
    """The programs with a set-user (or set-group) bit, in the deb or by its maintainer script."""
    found = {file.path for file in contents.files if file.kind in "fh" and _has_bit(file, bit)}
    for script in contents.control.values():
        for mode, path in _POSTINST_MODE.findall(script):
            if int(mode, 8) << 9 & bit:
                found.add(_placed(path))
        for who, path in _SYMBOLIC_MODE.findall(script):
            if bit == (_SETUID if who == "u" else _SETGID):
                found.add(_placed(path))
    own = {file.path for file in contents.files if file.kind != "d"}
    return sorted(found & own)


def _has_bit(file: PackageFile, bit: int) -> bool:
    """A program with both bits is told of once, as one of root's."""
    if bit == _SETGID and file.mode & _SETUID:
        return False
    return bool(file.mode & bit) and bool(file.mode & 0o111)


def _placed(path: str) -> str:
    return f"root{path}" if path.startswith("/usr/") else f"root/usr{path}"


def _capable(contents: PackageContents) -> set[str]:
    own = {file.path for file in contents.files}
    named = (path for script in contents.control.values() for path in _SETCAP.findall(script))
    return {_base(path) for path in named if _placed(path) in own}


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _name(match: re.Match[str]) -> str:
    return str(next(filter(None, match.groups())))


def _listed(names: Iterable[str]) -> str:
    """The first few, sorted, and how many more there are."""
    ordered = sorted(dict.fromkeys(names))
    shown = [f"`{name}`" for name in ordered[:_NAMED]]
    if len(ordered) > _NAMED:
        shown.append(f"{len(ordered) - _NAMED} more")
    return ", ".join(shown)
