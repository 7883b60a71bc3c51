"""Finishing: what maintainer scripts would have done, made from data when an environment is made.

Owns the generated files of an environment: alternatives, certificates, copied configuration, caches. The
scripts themselves are read and never run; nothing here knows where they come from or how the environment
is linked. Files are put into place anew, never written through a hard link. The reasons are in
`docs/decisions/0001-relocation.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cape.names import System

if TYPE_CHECKING:
    from cape.environment.finishing.certificates import Certificate

CONTROL = "var/lib/cape/control"
"""Where a root keeps its packages' maintainer scripts: one directory per package."""

_COMMANDS = frozenset(
    {
        *("update-alternatives", "ucf", "update-xmlcatalog", "update-perl-sax-parsers"),
        *("a2enmod", "a2enconf", "a2ensite", "apache2_invoke"),
    }
)
_COPYING = frozenset({"cp", "ln"})
_ARCHITECTURES = {System.X86_64_LINUX: "amd64", System.AARCH64_LINUX: "arm64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlFiles:
    """What finishing reads of one package; empty where the package has none."""

    postinst: str = ""
    triggers: str = ""


def read_control(root: Path) -> Mapping[str, ControlFiles]:
    """The control files that a root holds, by package name, sorted; empty when it holds none."""
    return {
        directory.name: ControlFiles(
            postinst=_text(directory / "postinst"), triggers=_text(directory / "triggers")
        )
        for directory in sorted((root / CONTROL).glob("*"))
        if directory.is_dir()
    }


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def finish(
    root: Path,
    control: Mapping[str, ControlFiles],
    *,
    order: Sequence[str],
    system: System | None = None,
    final: Path | None = None,
    certificates: Sequence[Certificate] = (),
) -> tuple[str, ...]:
    """Make the generated files of an environment's root; sentences about what could not be made.

    `final` is where the root will lie when it is renamed into place; without one it stays where it is.

    `order` are the packages that the manifest names, in its order: of alternatives with equal priority,
    the first one's wins. `system` is this machine's unless given. `certificates` are those of the
    machine's own authorities. Programs of the tree are run, so the redirecting library must be in its
    place; for another kind of machine, what they would have made is left out, each with a sentence.
    Finishing again changes nothing.
    """
    from cape.environment.finishing.alternatives import link_alternatives, parse_call
    from cape.environment.finishing.apache import enable_apache
    from cape.environment.finishing.applications import list_applications
    from cape.environment.finishing.beside import link_beside
    from cape.environment.finishing.caches import make_caches
    from cape.environment.finishing.catalogs import parse_delegation, write_catalogs
    from cape.environment.finishing.certificates import install_certificates
    from cape.environment.finishing.character_sets import table_character_sets
    from cape.environment.finishing.compilers import configure_compilers
    from cape.environment.finishing.configuration_files import (
        copy_configuration,
        copy_templates,
        enable_nginx_modules,
        enable_php_modules,
    )
    from cape.environment.finishing.dictionaries import compile_dictionaries
    from cape.environment.finishing.ghostscript import map_ghostscript_fonts
    from cape.environment.finishing.info_directory import list_manuals
    from cape.environment.finishing.libraries import (
        answer_ldconfig,
        link_configured_libraries,
        link_debug_files,
    )
    from cape.environment.finishing.pascal import configure_pascal
    from cape.environment.finishing.perl_parsers import list_parsers
    from cape.environment.finishing.tex import configure_tex, list_tex_files
    from cape.environment.finishing.x_fonts import list_x_fonts
    from cape.environment.relocation.loader import triplet

    system = system or System.current()
    calls = _calls(root, control, system, _COMMANDS)
    copy_configuration(root, [call for _, call in calls if call[0] == "ucf"])
    configure_pascal(root, final or root, system)
    enable_php_modules(root)
    scripts = [files.postinst for files in control.values()]
    enable_apache(root, [call for _, call in calls], scripts)
    enable_nginx_modules(root, scripts)
    candidates = (parse_call(package, call) for package, call in calls if call[0] == "update-alternatives")
    link_alternatives(root, filter(None, candidates), order)
    write_catalogs(root, filter(None, (parse_delegation(call) for _, call in calls)))
    list_parsers(root, [call for _, call in calls if call[0] == "update-perl-sax-parsers"])
    configure_tex(root)
    install_certificates(root, certificates)
    copy_templates(root, [call for _, call in _calls(root, control, system, _COPYING)])
    list_applications(root)
    list_x_fonts(root)
    list_manuals(root)
    map_ghostscript_fonts(root)
    link_beside(root)
    link_configured_libraries(root, triplet(system))
    link_debug_files(root, triplet(system))
    answer_ldconfig(root, final or root, system)
    notes = table_character_sets(root, triplet(system))
    notes += configure_compilers(root, final or root, system)
    notes += compile_dictionaries(root)
    notes += make_caches(root, triplet(system))
    list_tex_files(root)
    return notes


def _calls(
    root: Path, control: Mapping[str, ControlFiles], system: System, commands: frozenset[str]
) -> list[tuple[str, tuple[str, ...]]]:
    from cape.environment.finishing.shell import calls_in
    from cape.environment.relocation.loader import triplet

    found = []
    for package, files in control.items():
        variables = {
            "1": "configure",
            "DPKG_MAINTSCRIPT_PACKAGE": package,
            "DPKG_MAINTSCRIPT_ARCH": _ARCHITECTURES.get(system, ""),
            "DEB_HOST_MULTIARCH": triplet(system),
        }
        calls = calls_in(files.postinst, commands, variables, lambda pattern: _matches(root, pattern))
        found += [(package, call) for call in calls]
    return found


def _matches(root: Path, pattern: str) -> list[str]:
    """The absolute paths, as on a real system, that a pattern matches in the root."""
    if not pattern.startswith("/") or ".." in pattern:
        return []
    return sorted("/" + str(path.relative_to(root)) for path in root.glob(pattern.lstrip("/")))
