"""Units for systemd's user manager: services that go on without cape's supervisor.

Owns the text of units. Each runs `cape run`, so it has the environment of the project's current generation
when it starts.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path

from cape.services.definition import Definition

_RESTARTS = {"on-failure": "on-failure", "always": "always", "never": "no"}
_PAUSE_S = 1
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def unit_name(project: str, service: str) -> str:
    """The file name of a service's unit: `cape-PROJECT-SERVICE.service`.

    >>> unit_name("my shop", "db")
    'cape-my-shop-db.service'
    """
    return f"cape-{re.sub(r'[^A-Za-z0-9_.-]+', '-', f'{project}-{service}')}.service"


def render_unit(
    definition: Definition,
    *,
    name: str,
    project: Path,
    cape: Path,
    ports: Mapping[str, int],
    variables: Mapping[str, str],
) -> str:
    """The unit of one service. `ports` are numbers, `variables` what `cape` itself must be told."""
    needs = " ".join(unit_name(name, other) for other in definition.depends_on)
    run = f"{_word(str(cape))} run -- /bin/sh -c "
    lines = [
        "[Unit]",
        f"Description={_plain(definition.name)} of {_plain(name)}",
        *([f"Requires={needs}", f"After={needs}"] if needs else []),
        f"StartLimitBurst={definition.restart_limit + 1}",
        "StartLimitIntervalSec=300",
        "",
        "[Service]",
        f"Type={'forking' if definition.daemon else 'exec'}",
        f"WorkingDirectory={_plain(str(project))}",
        *(f"Environment={_word(f'{key}={value}', expanded=False)}" for key, value in _told(ports, variables)),
        f"ExecStart={run}{_word(_in_directory(definition, project, definition.command))}",
    ]
    if definition.ready and definition.ready.command:
        wait = f"until {{ {definition.ready.command}\n}}; do sleep {definition.ready.interval_s:g}; done"
        lines += [f"ExecStartPost={run}{_word(wait)}", f"TimeoutStartSec={definition.ready.timeout_s:g}"]
    if definition.stop_command:
        lines.append(f"ExecStop={run}{_word(definition.stop_command)}")
    lines += [
        f"KillSignal={signal.Signals(definition.stop_signal).name}",
        f"TimeoutStopSec={definition.stop_grace_s:g}",
        f"Restart={_RESTARTS[definition.restart]}",
        f"RestartSec={_PAUSE_S}",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def _told(ports: Mapping[str, int], variables: Mapping[str, str]) -> list[tuple[str, str]]:
    from cape.services.running import port_variables

    return sorted({**variables, **port_variables(dict(ports))}.items())


def _in_directory(definition: Definition, project: Path, command: str) -> str:
    """`cape run` starts in the project, to find it; the service's own directory and variables come after."""
    own = "".join(f"export {name}={_shell_value(value)}\n" for name, value in definition.vars.items())
    return f"cd {shlex.quote(str(project / definition.directory))} || exit 126\n{own}{command}"


def _shell_value(text: str) -> str:
    """A manifest's value as one word of a shell: references give what the variable then holds."""
    pieces = []
    at = 0
    for found in _REFERENCE.finditer(text):
        pieces += [shlex.quote(text[at : found.start()]), f'"${{{found[1] or found[2]}-}}"']
        at = found.end()
    pieces.append(shlex.quote(text[at:]))
    return "".join(piece for piece in pieces if piece != "''") or "''"


def _plain(text: str) -> str:
    """A value that systemd does not split, but in which `%` is special."""
    return text.replace("%", "%%").replace("\n", " ")


def _word(text: str, *, expanded: bool = True) -> str:
    """One word, quoted for systemd: nothing in it is split, and nothing `expanded` where that is done."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    escaped = escaped.replace("%", "%%")
    return '"' + (escaped.replace("$", "$$") if expanded else escaped) + '"'
