"""Activation as a value: a recorded list of operations on the shell's variables, each with its origin.

Owns which operations an environment's activation has, and in what order. How a shell is told is
`shells`'; nothing here is a difference of before and after, so undoing is exact and nesting composes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cape.environment.finishing.certificates import BUNDLE, LOCAL_BUNDLE
from cape.environment.overlay import PLACE
from cape.environment.variables import Variable, variables_of
from cape.errors import InputError
from cape.manifest import Manifest
from cape.manifest.lines import text_lines
from cape.manifest.parse import OWN_VARIABLES

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_OWN_NAMES = """
BASH* COMP_* DIRSTACK EPOCH* EUID UID FUNCNAME GROUPS HISTCMD IFS LINENO OLDPWD OPTIND PIPESTATUS PPID PWD
RANDOM SECONDS SHELLOPTS SHLVL SRANDOM _ _CAPE_* _cape_* cape_*
"""
OWN_NAMES = tuple(_OWN_NAMES.split())
"""Variables that shells or cape keep for themselves, as patterns of shells."""
_SHELLS_OWN = re.compile(rf"(?:{'|'.join(OWN_NAMES).replace('*', '.*')})\Z")


class UnsuitableVariable(InputError):
    """A variable that the shell keeps for itself, or that no shell can have."""

    slug = "unsuitable-variable"


@dataclass(frozen=True, slots=True)
class Reference:
    """The value that a variable has when the operation is done; empty where it has none."""

    name: str


Value = tuple[str | Reference, ...]
"""Literal pieces and references; their texts, one after another, are the value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Set:
    """Give a variable a value and export it.

    With `unless_host_has` it is left alone where one of these files is on the machine, and where the
    user has set it.
    """

    name: str
    value: Value
    origin: str
    unless_host_has: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Unset:
    """Take a variable away."""

    name: str
    origin: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepend:
    """Put a value in front of a list; where it is in front already, nothing is done.

    `otherwise` follows the value where the list was empty or not set.
    """

    name: str
    value: str
    origin: str
    separator: str = ":"
    otherwise: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A variable whose value a shell command prints; it is looked up on entering, before all operations."""

    name: str
    command: str = field(repr=False)
    origin: str


Operation = Set | Unset | Prepend


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """Everything that entering an environment means.

    `hook` is POSIX shell text that runs once per start in a process of its own, `on_deactivate` at the
    start's end; `hook_lines` says where each line of `hook` stands. `profile` maps
    `common` and shells' names to text that is run in the shell that is entered. `development` is done after
    `operations` in the mode `dev`; `mode` is the one where nobody says another. `supervisor` is where the
    supervisor of services has its files; None where no service starts by itself.
    """

    name: str
    project: Path
    environment: Path
    operations: tuple[Operation, ...]
    hook: str | None = None
    on_deactivate: str | None = None
    hook_lines: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    profile: Mapping[str, str] = field(default_factory=dict)
    development: tuple[Operation, ...] = ()
    mode: str = "run"
    supervisor: Path | None = None

    @property
    def state(self) -> Path:
        """`$CAPE_STATE`."""
        return self.project / ".cape" / "state"


def parse_value(text: str) -> Value:
    """A manifest's value with its references: `$NAME` and `${NAME}`; any other `$` is itself.

    >>> parse_value("${HOME}/x")
    (Reference(name='HOME'), '/x')
    """
    parts: list[str | Reference] = []
    at = 0
    for found in _REFERENCE.finditer(text):
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(Reference(found[1] or found[2]))
        at = found.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def activation_of(manifest: Manifest, environment: Path, project: Path) -> Activation:
    """What entering `environment` from `project` means. Raises `UnsuitableVariable`."""
    from cape.environment.development import development_operations
    from cape.environment.shells.secrets import secrets_of

    operations = [
        *_own(environment, project),
        *_python(environment, project),
        *_rows(environment),
        *_models(environment, project),
        *(_variable(one, manifest) for one in variables_of(manifest, project)),
    ]
    return Activation(
        name=manifest.name,
        project=project,
        environment=environment,
        operations=tuple(operations),
        hook=manifest.hook.on_activate,
        on_deactivate=manifest.hook.on_deactivate,
        hook_lines=text_lines(manifest, "hook.on-activate", manifest.hook.on_activate or ""),
        secrets=secrets_of(manifest),
        profile=dict(manifest.profile),
        development=tuple(development_operations(environment)),
        mode=manifest.mode,
        supervisor=_supervisor(manifest, project),
    )


def _supervisor(manifest: Manifest, project: Path) -> Path | None:
    tables = [table for table in manifest.services.values() if isinstance(table, Mapping)]
    if not any(table.get("auto-start") for table in tables):
        return None
    home = project / ".cape" / "services"
    return home / "environments" / manifest.environment if manifest.environment else home


def _own(environment: Path, project: Path) -> list[Operation]:
    own = "cape"
    return [
        Set(name="CAPE_ENV", value=(str(environment),), origin=own),
        Set(name="CAPE_ROOT", value=(str(environment / "root"),), origin=own),
        Set(name="CAPE_STATE", value=(str(project / ".cape" / "state"),), origin=own),
        Set(name="CAPE_PROJECT", value=(str(project),), origin=own),
        Prepend(name="PATH", value=str(environment / "bin"), origin=own),
    ]


def _python(environment: Path, project: Path) -> list[Operation]:
    if not (environment / "pyvenv.cfg").exists():
        return []
    state = project / ".cape" / "state"
    return [
        Set(name="VIRTUAL_ENV", value=(str(state / PLACE),), origin="python"),
        Set(name="PYTHONPYCACHEPREFIX", value=(str(state / "pycache"),), origin="python"),
        Set(name="PYTHONNOUSERSITE", value=("1",), origin="python"),
        Unset(name="PYTHONHOME", origin="python"),
        Unset(name="PYTHONPATH", origin="python"),
    ]


_HOST_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


def _rows(environment: Path) -> list[Operation]:
    """What programs that the redirecting library cannot reach must be told, where the tree has it."""
    rows: list[Operation] = []
    root = environment / "root"
    if (root / "usr/share/zoneinfo/UTC").exists():
        rows.append(_row("TZDIR", root / "usr/share/zoneinfo", "tzdata", ("/usr/share/zoneinfo",)))
    rows += _certificates(root)
    for program, variable, place in (
        ("git", "GIT_EXEC_PATH", root / "usr/lib/git-core"),
        ("valgrind", "VALGRIND_LIB", root / "usr/libexec/valgrind"),
    ):
        if os.path.lexists(environment / "bin" / program) and place.is_dir():
            rows.append(_row(variable, place, program, ()))
    return rows


def _models(environment: Path, project: Path) -> Iterator[Set]:
    from cape.environment.models import model_variables

    for name, value, origin in model_variables(environment, project):
        yield Set(name=name, value=(value,), origin=origin)


def _certificates(root: Path) -> Iterator[Set]:
    """Where trusted certificates are, for programs that do not look there by themselves.

    Those of the machine's owner are in no list that a program brings: then each is told.
    """
    bundle, local = root / BUNDLE, root / LOCAL_BUNDLE
    if local.exists():
        yield _row("SSL_CERT_FILE", bundle, "certificates", ())
        yield _row("REQUESTS_CA_BUNDLE", bundle, "certificates", ())
        yield _row("NODE_EXTRA_CA_CERTS", local, "certificates", ())
    elif bundle.exists():
        yield _row("SSL_CERT_FILE", bundle, "ca-certificates", _HOST_BUNDLES)


def _row(name: str, place: Path, origin: str, unless: tuple[str, ...]) -> Set:
    return Set(name=name, value=(str(place),), origin=origin, unless_host_has=unless)


def _variable(variable: Variable, manifest: Manifest) -> Set:
    name = variable.name
    if not NAME.match(name) or _SHELLS_OWN.match(name) or name in OWN_VARIABLES:
        raise UnsuitableVariable(
            f"`{name}` cannot be set by an environment: the shell or cape keeps it for itself",
            where=f"{manifest.path.parent}/{variable.where}",
            hint="take another name",
        )
    value: Value = (variable.text,) if variable.literal else parse_value(variable.text)
    return Set(name=name, value=value, origin=variable.where)


def activated(activation: Activation, outside: Mapping[str, str], *, pure: bool = False) -> dict[str, str]:
    """The variables of a process inside, started from one with the variables `outside`.

    With `pure` those that lead to the host are dropped, and PATH has every program of the closure.
    """
    dropped = LEADING_TO_THE_HOST if pure else ()
    inside = {name: value for name, value in outside.items() if name not in dropped}
    for operation in activation.operations:
        _apply(operation, inside)
    if pure:
        inside["PATH"] = ":".join(pure_path(activation.environment))
    return inside


def pure_path(environment: Path) -> tuple[str, ...]:
    """PATH with the whole closure on it."""
    own = ("bin", "libexec", "root/usr/bin", "root/usr/sbin", "root/usr/games")
    return tuple(str(environment / place) for place in own)


_LEADING_TO_THE_HOST = """
ACLOCAL_PATH BASH_ENV CLASSPATH CMAKE_PREFIX_PATH COMPILER_PATH CPATH CPLUS_INCLUDE_PATH
CURL_CA_BUNDLE C_INCLUDE_PATH ENV FONTCONFIG_FILE FONTCONFIG_PATH GCC_EXEC_PREFIX GCONV_PATH
GDK_PIXBUF_MODULE_FILE GEM_HOME GEM_PATH GHC_PACKAGE_PATH GIO_MODULE_DIR GIT_EXEC_PATH
GIT_TEMPLATE_DIR GI_TYPELIB_PATH GOROOT GSETTINGS_SCHEMA_DIR GTK_PATH GUILE_LOAD_COMPILED_PATH
GUILE_LOAD_PATH INFOPATH JAVA_HOME JAVA_TOOL_OPTIONS LD_AUDIT LD_BIND_NOW LD_DEBUG LD_LIBRARY_PATH
LD_PRELOAD LIBRARY_PATH LOCPATH LUA_CPATH LUA_PATH MAGICK_CONFIGURE_PATH MANPATH NLSPATH
NODE_EXTRA_CA_CERTS NODE_OPTIONS NODE_PATH PERL5LIB PERL5OPT PERLLIB PKG_CONFIG_LIBDIR
PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR PYTHONSTARTUP
PYTHONUSERBASE QML2_IMPORT_PATH QT_PLUGIN_PATH REQUESTS_CA_BUNDLE RUBYLIB RUBYOPT R_HOME R_LIBS
R_LIBS_SITE R_LIBS_USER SSL_CERT_DIR SSL_CERT_FILE TCLLIBPATH TERMINFO TERMINFO_DIRS TZDIR
XDG_CONFIG_DIRS XDG_DATA_DIRS
"""

LEADING_TO_THE_HOST = tuple(_LEADING_TO_THE_HOST.split())
"""Variables that lead programs to files of the machine: a pure run starts without them."""


def _apply(operation: Operation, inside: dict[str, str]) -> None:
    name = operation.name
    if isinstance(operation, Unset):
        inside.pop(name, None)
    elif isinstance(operation, Prepend):
        items = [item for item in inside.get(name, "").split(operation.separator) if item]
        if items[:1] != [operation.value]:
            rest = operation.separator.join(["", *items]) if items else operation.otherwise
            inside[name] = operation.value + rest
    elif not _is_left_alone(operation, inside):
        inside[name] = "".join(
            part if isinstance(part, str) else inside.get(part.name, "") for part in operation.value
        )


def _is_left_alone(operation: Set, inside: Mapping[str, str]) -> bool:
    if not operation.unless_host_has:
        return False
    return operation.name in inside or any(os.path.exists(file) for file in operation.unless_host_has)


def recorded(activation: Activation) -> dict[str, Any]:
    """The operations as JSON: what `activation.json` of a generation holds, for people and `cape why`."""
    return {
        "schema_version": 1,
        "operations": recorded_operations(activation.operations),
        "hook": activation.hook,
        "profile": dict(activation.profile),
    }


def recorded_operations(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """Operations as JSON; references are written `${NAME}`."""
    return [_recorded(operation) for operation in operations]


def _recorded(operation: Operation) -> dict[str, Any]:
    kind = {Set: "set", Unset: "unset", Prepend: "prepend"}[type(operation)]
    value: str | None = None
    if isinstance(operation, Prepend):
        value = operation.value
    elif isinstance(operation, Set):
        value = "".join(part if isinstance(part, str) else f"${{{part.name}}}" for part in operation.value)
    return {"operation": kind, "name": operation.name, "value": value, "origin": operation.origin}
