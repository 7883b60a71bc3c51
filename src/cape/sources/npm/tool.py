"""Running npm, wherever it comes from, and turning what it says into cape's errors.

Owns finding node and npm, npm's command line and the environment it runs in, and its messages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.errors import CapeError, InputError, SourceError
from cape.sources import reach
from cape.sources.npm.registry import NpmSettings
from cape.sources.protocol import (
    RegistryGarbage,
    RegistryUnreachable,
    Requirement,
    RequirementsConflict,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.tools import ToolFailed

OLDEST_NPM = 9
"""The first release of npm that cape asks; older ones write other locks."""

FETCHING: Mapping[str, str] = {
    "fetch-retries": "3",
    "fetch-retry-mintimeout": "400",
    "fetch-retry-maxtimeout": "8000",
    "fetch-timeout": "30000",
}
"""How long npm waits for a registry, in milliseconds, and how often it asks again."""

_STRANGE_VARIABLES = re.compile(r"npm_.*|NODE_OPTIONS|NODE_PATH|NODE_ENV|INIT_CWD", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Npm:
    """A node and an npm to run with it. `script` is npm's `npm-cli.js`."""

    node: Path
    script: Path

    @classmethod
    def on_machine(cls) -> Npm | None:
        """The npm of this machine, when it is there and new enough."""
        node, npm = shutil.which("node") or shutil.which("nodejs"), shutil.which("npm")
        if node is None or npm is None:
            return None
        script = Path(npm).resolve()
        if script.name != "npm-cli.js" or _major(script.parent.parent / "package.json") < OLDEST_NPM:
            return None
        return cls(node=Path(node), script=script)

    def registry(self, settings: NpmSettings) -> str | None:
        """The registry that this npm asks by itself, or None."""
        done = self._run(["config", "get", "registry"], Path.cwd(), dict(os.environ))
        text = done.stdout.strip()
        return text if done.returncode == 0 and text.startswith(("http://", "https://")) else None

    def lock(
        self,
        place: Path,
        settings: NpmSettings | None,
        registry: str,
        cache: Path,
        *,
        before: str | None = None,
        cached: bool = False,
    ) -> str:
        """Resolve the `package.json` in `place`; the text of the `package-lock.json` it gives.

        With `before`, an instant, only versions that came until then are there. With `cached`, answers that
        npm has are not asked for again. Without settings, nothing
        but `registry` is asked, and what it says of files is left as it is. Raises `NpmFailure`.
        """
        npmrc = place / "npmrc"
        npmrc.touch(mode=0o600)
        npmrc.write_text(settings.npmrc() if settings else "", encoding="utf-8")
        options = {
            "userconfig": str(npmrc),
            "globalconfig": str(place / "no-npmrc"),
            "registry": registry,
            "cache": str(cache / "npm-cache"),
            **FETCHING,
            **({} if settings else {"replace-registry-host": "never", "noproxy": "127.0.0.1"}),
            **({"before": before} if before else {}),
            **({"prefer-offline": "true"} if cached else {}),
            **_without_network(),
        }
        flags = (
            "install --package-lock-only --ignore-scripts --no-audit --no-fund --no-progress --no-color "
            "--no-update-notifier --omit-lockfile-registry-resolved=false --lockfile-version=3 "
            "--engine-strict=false --loglevel=error"
        )
        environment = _environment(options)
        done = self._run(flags.split(), place, environment)
        if done.returncode != 0:
            raise NpmFailure(_plain(done.stderr or done.stdout))
        return (place / "package-lock.json").read_text(encoding="utf-8")

    def _run(
        self, arguments: Sequence[str], place: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.node), str(self.script), *arguments], cwd=place, env=environment, text=True,
            capture_output=True, errors="replace", stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip


def _without_network() -> Mapping[str, str]:
    """Options of npm where there is no network, or none may be used: what it has seen answers."""
    if reach.is_forbidden():
        return {"offline": "true"}
    return {} if reach.has_way_out() else {"prefer-offline": "true", "fetch-retries": "0"}


class NotForSystem(InputError):
    """A package that is needed on a system says that it does not run there."""

    slug = "not-for-system"


class NpmFailure(Exception):
    """npm ended with an error; `text` is what it said, without decorations."""

    def __init__(self, text: str) -> None:
        super().__init__(f"npm said: {text[:300]}")
        self.text = text


def _major(described: Path) -> int:
    try:
        return int(json.loads(described.read_text(encoding="utf-8"))["version"].split(".")[0])
    except (OSError, ValueError, KeyError):
        return 0


def _environment(options: Mapping[str, str]) -> dict[str, str]:
    """What npm may see: no setting but these, and the certificates that the machine trusts."""
    kept = {name: value for name, value in os.environ.items() if not _STRANGE_VARIABLES.fullmatch(name)}
    if "SSL_CERT_FILE" in kept:
        kept.setdefault("NODE_EXTRA_CA_CERTS", kept["SSL_CERT_FILE"])
    return kept | {f"npm_config_{key.replace('-', '_')}": value for key, value in options.items()}


def _plain(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"(https?://)[^/@\s]*@", r"\1", text)
    lines = [re.sub(r"^npm (?:ERR!|error|warn|WARN) ?", "", line).rstrip() for line in text.splitlines()]
    useless = re.compile(r"A complete log of this run|^\s+\S+-debug-\d+\.log|^$")
    return "\n".join(line for line in lines if not useless.search(line))


_NO_ROUTE = re.compile(r"E(NOTFOUND|AI_AGAIN|HOSTUNREACH|NETUNREACH)")
_UNREACHABLE = re.compile(
    r"ECONN\w+|E(TIMEDOUT|NOTFOUND|AI_AGAIN|PIPE|HOSTUNREACH|NETUNREACH|SOCKETTIMEDOUT)|EAI_AGAIN|ERR_SOCKET_\w+"
    r"|FETCH_ERROR|E5\d\d|E401|E403|E407|E429|ENEEDAUTH|\w*CERT\w*|ERR_SSL\w*|ERR_TLS\w*|EIDLETIMEOUT|EPROTO"
)


def explain(failure: NpmFailure, requirements: Sequence[Requirement], registry: str) -> CapeError:
    """The error of cape that says what npm said; its own words are the cause where they add to it."""
    error = _explained(failure.text, requirements, registry)
    error.__cause__ = failure if isinstance(error, SourceError) else None
    error.__suppress_context__ = True
    return error


def _explained(text: str, requirements: Sequence[Requirement], registry: str) -> CapeError:
    code = (re.search(r"^code (\S+)", text, re.MULTILINE) or [None, ""])[1] or ""
    if code == "ENOTCACHED" or (_NO_ROUTE.fullmatch(code) and not reach.has_way_out()):
        name = re.search(r"https?://\S+?/((?:@[^/\s%]+(?:/|%2f))?[^/\s]+)[\s:]", text + " ")
        said = f"what the npm registry says of `{name[1].replace('%2f', '/')}`" if name else "a needed answer"
        return reach.offline(f"{said} is not here", where=registry)
    if code == "EJSONPARSE" or "invalid json" in text.lower() or "Unexpected token" in text:
        return RegistryGarbage("the npm registry answered with something that is no JSON", where=registry)
    if code == "E404":
        return _not_found(text, requirements, registry)
    if code in ("ETARGET", "ENOVERSIONS"):
        return _no_version(text, requirements)
    if code == "ERESOLVE":
        return _conflict(text, requirements)
    if code in ("E401", "E403", "ENEEDAUTH"):
        return RegistryUnreachable(
            "the npm registry asks for a login, or refuses the one that it was given",
            where=registry,
            hint="put its token into `.npmrc`, yours or the project's: `//HOST/:_authToken = ${NPM_TOKEN}`",
        )
    if _UNREACHABLE.fullmatch(code) or "network" in text:
        return RegistryUnreachable(
            "the npm registry did not answer as it should",
            where=registry,
            hint="`cape config npm.registry URL` names another",
        )
    if code in ("EBADPLATFORM", "ENOTSUP"):
        return _not_here(text, requirements)
    return ToolFailed(f"`npm` failed: {' '.join(text.split())[:400]}", where=registry)


def _not_found(text: str, requirements: Sequence[Requirement], registry: str) -> CapeError:
    name = re.search(r"'((?:@[^/']+/)?[^@']+)@[^']*' (?:is not in this registry|could not be found)", text)
    package = name.group(1) if name else ""
    if wanted := _requirement_of(package, requirements):
        return UnknownPackage(wanted)
    if package:
        return RequirementsConflict(
            f"something that is asked for needs `{package}`, which the npm registry does not have",
            where=_places(requirements),
        )
    return RegistryUnreachable("the npm registry does not have what npm asks for (404)", where=registry)


def missing_of(failure: NpmFailure) -> tuple[str, str] | None:
    """Package and range of which npm found no version, if that is what it failed at."""
    return _missing(failure.text)


def _missing(text: str) -> tuple[str, str] | None:
    found = re.search(
        r"No matching version found for ((?:@[^/\s]+/)?[^@\s]+)@(.+?)(?: with a date before .*?)?\.?$",
        text,
        re.MULTILINE,
    )
    if found:
        return found[1], found[2].rstrip(".")
    empty = re.search(r"No versions available for ((?:@[^/\s]+/)?[^@\s]+)", text)
    return (empty[1], "*") if empty else None


def _no_version(text: str, requirements: Sequence[Requirement]) -> CapeError:
    package, constraint = _missing(text) or ("", "")
    wanted = _requirement_of(package, requirements)
    if wanted and (wanted.constraint == constraint or not constraint):
        return UnknownVersion(f"no version of `{package}` fits `{wanted.constraint}`", where=wanted.where)
    return RequirementsConflict(
        f"something that is asked for needs `{package}` `{constraint}`, and there is no such version",
        where=_places(requirements),
    )


def _conflict(text: str, requirements: Sequence[Requirement]) -> RequirementsConflict:
    lines = [" ".join(line.split()) for line in text.splitlines()]
    chain = [
        line for line in lines if re.match(r"(While resolving|Found|peer |Could not|node_modules/)", line)
    ]
    named = [r for r in requirements if re.search(rf"(?<![\w/@-]){re.escape(r.package)}@", text)]
    concerned = named or list(requirements)
    said = ", ".join(f"`{r.package}` `{r.constraint}`" for r in concerned)
    return RequirementsConflict(
        f"these requirements cannot hold together: {said}",
        where=_places(concerned),
        hint="; ".join(dict.fromkeys(chain))[:900] or None,
        reasons=reasons_of(lines),
        concerned=named,
    )


_FOUND = re.compile(r"Found: ((?:@[^/\s]+/)?[^@\s]+)@(\S+)")
_PEER = re.compile(
    r'(?P<optional>peerOptional|peer) (?P<base>(?:@[^/\s]+/)?[^@\s]+)@"(?P<range>[^"]*)" '
    r"from (?P<name>(?:@[^/\s]+/)?[^@\s]+)@(?P<version>\S+)"
)


def reasons_of(lines: Sequence[str]) -> tuple[str, ...]:
    """What npm's report of a conflict rests on, a sentence each."""
    found: dict[str, None] = {}
    for line in lines:
        if match := _FOUND.match(line):
            found[f"`{match[1]}` would be {match[2]}"] = None
        elif match := _PEER.search(line):
            needs = "accepts only" if match["optional"] == "peerOptional" else "needs"
            found[
                f"`{match['name']}` {match['version']} {needs} `{match['base']}` `{match['range']}` beside it"
            ] = None
    return tuple(found)


def _not_here(text: str, requirements: Sequence[Requirement]) -> CapeError:
    """npm refuses what does not run on the machine that it runs on itself."""
    found = re.search(r"[Uu]nsupported platform for ((?:@[^/\s]+/)?[^@\s]+)@([^:\s]+)", text)
    name, version = (found[1], found[2]) if found else ("a package", "")
    wanted = _requirement_of(name, requirements)
    return NotForSystem(
        f"npm package `{name}` {version} does not run on this machine's system",
        where=wanted.where if wanted else _places(requirements),
    )


def _places(requirements: Sequence[Requirement]) -> str | None:
    return ", ".join(dict.fromkeys(r.where for r in requirements if r.where)) or None


def _requirement_of(package: str, requirements: Sequence[Requirement]) -> Requirement | None:
    return next((r for r in requirements if r.package == package), None)
