"""Secrets: variables that are looked up on entering, in the user's own process, and written nowhere.

Owns the commands that look a value up, and what shells say when one fails: whoever enters stays outside,
and the name is told, never the value. A value lives in variables of shells and of what they start.
"""

from __future__ import annotations

import sys

from cape.environment.activation import Activation, Secret
from cape.environment.shells.quoting import fish_quoted, quoted
from cape.manifest import Manifest
from cape.manifest.lines import shown, without_column

_KEYRING = """\
import sys
try:
    import keyring
except ImportError:
    sys.exit("there is neither `secret-tool` nor Python's `keyring` beside cape")
try:
    value = keyring.get_password(sys.argv[1], sys.argv[2])
except Exception as error:
    sys.exit(f"the keyring cannot be read: {type(error).__name__}")
if value is None:
    sys.exit("the keyring has no such entry")
sys.stdout.write(value)
"""


def secrets_of(manifest: Manifest) -> tuple[Secret, ...]:
    """The secrets of a manifest, in its order."""
    return tuple(
        Secret(
            name=name,
            command=secret["command"] if "command" in secret else _from_keyring(secret["keyring"]),
            origin=f"{_place(manifest, name)} secrets.{name}",
        )
        for name, secret in manifest.secrets.items()
    )


def _place(manifest: Manifest, name: str) -> str:
    where = manifest.origins.get(f"secrets.{name}", str(manifest.path))
    return shown(manifest, without_column(where))


def _from_keyring(entry: str) -> str:
    service, _, user = entry.rpartition("/")
    tool = f"secret-tool lookup service {quoted(service)} username {quoted(user)}"
    library = f"{quoted(sys.executable)} -I -c {quoted(_KEYRING)} {quoted(service)} {quoted(user)}"
    return (
        "if command -v secret-tool >/dev/null 2>&1 && "
        f'cape_value=$({tool} 2>/dev/null) && [ "$cape_value" ]; then\n'
        f'printf %s "$cape_value"\nelse\nunset cape_value\n{library}\nfi'
    )


def lookup(activation: Activation, secret: Secret) -> str:
    """A command of any POSIX shell (or bash, zsh) that prints a secret's value; it fails where there is none.

    Programs of the environment are found first.

    It reads nothing from standard input, which is the command's.
    """
    own = quoted(f"{activation.environment / 'bin'}")
    project = quoted(str(activation.project))
    command = f"/bin/sh -c {quoted(secret.command)} {secret.name} </dev/null"
    return f'PATH={own}:"$PATH" CAPE_PROJECT={project} {command}'


def complaint(secret: Secret) -> str:
    """The sentence about a secret that could not be looked up."""
    return f"error: the secret `{secret.name}` could not be looked up ({secret.origin})"


def sh_secrets(activation: Activation) -> str:
    """Commands of the sealed script; from inside, what is set already stays as it is."""
    lines = []
    for one in activation.secrets:
        look = lookup(activation, one)
        lines.append(
            f'if [ "$cape_outside" != {inside_of(activation)} ] || '
            f'[ -z "${{{one.name}+x}}" ]; then\n'
            f"    {one.name}=$({look}) || {{\n"
            f"        printf '%s\\n' {quoted(complaint(one))} >&2\n"
            "        exit 1\n"
            "    }\n"
            f"    export {one.name}\n"
            "fi"
        )
    return "\n".join(lines)


def inside_of(activation: Activation) -> str:
    """What `$CAPE_ENV:$CAPE_PROJECT` is inside, as one word."""
    return quoted(f"{activation.environment}:{activation.project}")


def bash_secrets(activation: Activation) -> list[str]:
    """Lines for bash and zsh, after `_cape_begin`; `_cape_failed` is set where one could not be looked up."""
    return [
        f"if _cape_value=$({lookup(activation, one)}); then\n"
        f'    _cape_set {one.name} "$_cape_value"\n'
        "else\n"
        f"    \\builtin printf '%s\\n' {quoted(complaint(one))} >&2\n"
        "    _cape_failed=1\n"
        "fi\n"
        "\\builtin unset -v _cape_value"
        for one in activation.secrets
    ]


def posix_secrets(activation: Activation) -> list[str]:
    """The same for a running POSIX shell."""
    return [
        f"if _cape_value=$({lookup(activation, one)}); then\n"
        f'    _cape_set {one.name} "$_cape_value"\n'
        "else\n"
        f"    \\command printf '%s\\n' {quoted(complaint(one))} >&2\n"
        "    _cape_failed=1\n"
        "fi\n"
        "\\unset _cape_value"
        for one in activation.secrets
    ]


def fish_secrets(activation: Activation) -> list[str]:
    """The same for fish."""
    return [
        f"if builtin set -g _cape_value (/bin/sh -c {fish_quoted(lookup(activation, one))})\n"
        f"    _cape_set {one.name} (builtin string join \\n -- $_cape_value | builtin string collect -a)\n"
        "else\n"
        f"    builtin echo {fish_quoted(complaint(one))} >&2\n"
        "    builtin set -g _cape_failed 1\n"
        "end\n"
        "builtin set -eg _cape_value"
        for one in activation.secrets
    ]
