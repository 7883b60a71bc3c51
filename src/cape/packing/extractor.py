"""The static program that stands in front of a pack, and the shell text in front of that.

Owns where the built program lies and the text of the head. What the program does is `src/extractor`'s.
"""

from __future__ import annotations

from pathlib import Path

from cape.names import System
from cape.packing.errors import ExtractorMissing

HEAD_BYTES = 4096

_MACHINES = {"x86_64": "x86_64|amd64", "aarch64": "aarch64|arm64"}

_HEAD = r"""#!/bin/sh
# @TITLE@: a packed environment for @SYSTEM@. `--cape-help` says what it can do.
machine=$(uname -m 2>/dev/null)
case $machine in @MACHINES@|'') ;; *)
  echo "error: this pack is for @SYSTEM@, this machine is $machine-linux" >&2; exit 1 ;; esac
pack=$0
case $pack in */*) ;; *) pack=$(command -v -- "$0" || echo "./$0") ;; esac
case $pack in /*) ;; *) pack=$PWD/$pack ;; esac
CAPE_PACK=$pack; export CAPE_PACK
case ${XDG_CACHE_HOME-} in /*) first=$XDG_CACHE_HOME/cape/packs ;; *) first= ;; esac
case ${HOME-} in /?*) second=$HOME/.cache/cape/packs ;; *) second= ;; esac
for place in "$first" "$second"; do
  if [ -n "$place" ] && [ -O "$place" ] && [ -x "$place/@NAME@/enter" ]; then
    exec "$place/@NAME@/enter" "$@"
  fi
done
if [ "$(wc -c <"$pack" 2>/dev/null)" -ne @SIZE@ ] 2>/dev/null; then
  echo "error: this pack was altered or is incomplete: it should have @SIZE@ bytes" >&2; exit 3
fi
tried=
for place in "$first" "$second" "${TMPDIR-}" /tmp /var/tmp; do
  case $place in /*) ;; *) continue ;; esac
  mkdir -p "$place" 2>/dev/null
  program=$(umask 077; mktemp "$place/.cape-enter.XXXXXX" 2>/dev/null) || { tried="$tried
  $place: cannot be written"; continue; }
  if ! tail -c +@AFTER@ "$pack" | head -c @STUB@ >"$program" || ! chmod 700 "$program"; then
    rm -f "$program"; tried="$tried
  $place: there is no room left"; continue
  fi
  if [ ! -x "$program" ]; then
    rm -f "$program"; tried="$tried
  $place: programs cannot be started there (noexec)"; continue
  fi
  CAPE_PACK_PROGRAM=$program; export CAPE_PACK_PROGRAM
  exec "$program" "$@"
done
echo "error: there is no place to unpack to (set XDG_CACHE_HOME or TMPDIR)$tried" >&2
exit 1
"""


def extractor(system: System) -> bytes:
    """The program for a system. Raises `ExtractorMissing`."""
    path = Path(__file__).parent / "lib" / str(system) / "cape-enter"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ExtractorMissing(
            f"this installation of cape has no extractor for `{system}`",
            hint="install a wheel that has it, or build with PyPI's `ziglang` there",
        ) from None


def shell_head(*, title: str, system: System, name: str, stub_bytes: int, total_bytes: int) -> bytes:
    """The shell text, padded: it finds or writes the program, and starts it on the pack."""
    values = {
        "TITLE": title,
        "SYSTEM": str(system),
        "MACHINES": _MACHINES[system.machine],
        "NAME": name,
        "SIZE": str(total_bytes),
        "AFTER": str(HEAD_BYTES + 1),
        "STUB": str(stub_bytes),
    }
    text = _HEAD
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    data = text.encode()
    assert len(data) < HEAD_BYTES, "the head has its room"
    return data.ljust(HEAD_BYTES - 1, b"#") + b"\n"
