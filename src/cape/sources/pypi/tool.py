"""Running `uv`, and turning what it says into cape's errors.

Owns uv's command line, the environment it runs in, and the reading of its messages. What is done with
its answers is `source`'s.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cape.errors import CapeError, InputError, SourceError
from cape.names import System
from cape.sources import reach
from cape.sources.protocol import (
    NotRecorded,
    RegistryGarbage,
    RegistryUnknown,
    RegistryUnreachable,
    Requirement,
    RequirementsConflict,
    ResolveContext,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.pypi.credentials import WAYS
from cape.sources.pypi.index import IndexChoice
from cape.sources.tools import ToolFailed, ToolMissing, workplace

_KEPT_VARIABLES = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_STRATEGY|INDEX_.*_(USERNAME|PASSWORD)"
    r"|KEYRING_PROVIDER|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|HTTP_.*|REQUEST_TIMEOUT|OFFLINE|CONFIG_FILE"
    r"|CONCURRENT_DOWNLOADS)\Z"
)
"""What may steer uv: where registries are and how to reach them. Everything else that starts with
`UV_` would change what is resolved, and is taken away."""

_STRANGE_VARIABLES = ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONPATH", "PYTHONHOME")


class NoWheel(InputError):
    """A Python package is published without a wheel that fits, and the manifest does not let it be built.

    `reasons` are sentences on what its wheels need; empty where it has none.
    """

    slug = "no-wheel"

    def __init__(
        self, fact: str, *, where: str | None = None, hint: str | None = None, reasons: Sequence[str] = ()
    ) -> None:
        super().__init__(fact, where=where, hint=hint)
        self.reasons = tuple(reasons)


class IndexLogin(RegistryUnreachable):
    """A Python index asks for a login, or does not take the one that is known."""

    slug = "index-login"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What to resolve for: one Python version, the systems that have it, and the index's state.

    With `as_of`, an instant, only files that came before it are there. `own` are packages with an instant
    of their own, or with none.
    """

    python: str
    systems: tuple[System, ...]
    as_of: str | None = None
    own: tuple[tuple[str, str | None], ...] = ()
    from_source: tuple[str, ...] = ()
    """Packages whose source is taken, not their wheels."""
    indices: tuple[tuple[str, str], ...] = ()
    """Packages that one named index serves, each with its name."""


class UvFailure(Exception):
    """uv ended with an error; `text` is what it said, on one line, without decorations."""

    def __init__(self, *, text: str) -> None:
        super().__init__(f"uv said: {_short(text, 300)}")
        self.text = text


class Uv:
    """uv, as one machine and one choice of indices use it.

    Each call runs in a directory of its own, so that no project file of the caller's steers it.
    """

    def __init__(self, index: IndexChoice, cache: Path) -> None:
        self.index = index
        self.cache = cache
        self.warnings: list[str] = []

    def compile_pylock(
        self, lines: Sequence[str], target: Target, *, kept: Mapping[str, Sequence[str]], deep: bool = True
    ) -> str:
        """The pylock that answers requirement lines, as TOML text. Versions of `kept` are preferred.

        With `deep` false, dependencies are left out. Raises `UvFailure`, `ToolMissing`.
        """
        with self._workplace(lines, target) as place:
            output = place / "pylock.toml"
            if kept:
                output.write_text(_preferences(kept), encoding="utf-8")
            options = ["--format", "pylock.toml", "--output-file", str(output)]
            self._run(place, target, [*options, *([] if deep else ["--no-deps"])])
            return output.read_text(encoding="utf-8")

    def compile_reasons(self, lines: Sequence[str], target: Target, pins: Sequence[str]) -> str:
        """Requirement lines with their `# via` comments, for a set that was just resolved to `pins`.

        Everything needed is in uv's cache by then. Raises `UvFailure`, `ToolMissing`.
        """
        with self._workplace(lines, target) as place:
            output = place / "answer.txt"
            options = ["--annotation-style", "line", "--no-strip-markers", "--output-file", str(output)]
            for mode in (["--offline"], []):
                output.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
                try:
                    self._run(place, target, [*options, *mode])
                    break
                except UvFailure:
                    if not mode:
                        raise
            return output.read_text(encoding="utf-8")

    @contextmanager
    def _workplace(self, lines: Sequence[str], target: Target) -> Iterator[Path]:
        """A directory with the question; no project file of the caller is above it."""
        markers = ", ".join(f'"{marker_of(system)}"' for system in target.systems)
        settings = f"[tool.uv]\nenvironments = [{markers}]\nrequired-environments = [{markers}]\n"
        if target.indices:
            settings = _project_of(lines, target) + settings + self._sources_of(target)
        with workplace(self.cache, "uv") as place:
            (place / "pyproject.toml").write_text(settings, encoding="utf-8")
            (place / "requirements.in").write_text("\n".join(lines) + "\n", encoding="utf-8")
            yield place

    def _sources_of(self, target: Target) -> str:
        """Which index serves which package, as uv reads it. Raises `RegistryUnknown`."""
        text = ""
        for name in sorted({index for _, index in target.indices}):
            if name not in self.index.named:
                package = next(package for package, index in target.indices if index == name)
                raise RegistryUnknown(
                    f"the Python index `{name}`, which serves `{package}`, is not known on this machine",
                    hint=f"`cape config pypi.indices {name}=URL` names it",
                )
            text += f"[[tool.uv.index]]\nname = {_quoted(name)}\nurl = {_quoted(self.index.named[name])}\n"
            text += "explicit = true\n"
        rows = [f"{_quoted(package)} = {{ index = {_quoted(name)} }}\n" for package, name in target.indices]
        return text + "[tool.uv.sources]\n" + "".join(rows)

    def _run(self, place: Path, target: Target, options: Sequence[str]) -> None:
        command = [
            *(find_uv(), "pip", "compile", _question_of(target), "--no-header", "--color", "never"),
            *("--universal", "--python-version", target.python, "--only-binary", ":all:"),
            *("--python", sys.executable, "--no-python-downloads", "--cache-dir", str(self.cache / "uv")),
            *(word for name in target.from_source for word in ("--no-binary", name)),
            *(("--exclude-newer", target.as_of) if target.as_of else ()),
            *(
                word
                for name, instant in target.own
                for word in ("--exclude-newer-package", f"{name}={instant or 'false'}")
            ),
            *options,
        ]
        forbidden = reach.is_forbidden()
        command += ["--offline"] if forbidden else []
        patience = {} if forbidden or reach.has_way_out() else {"UV_HTTP_RETRIES": "0"}
        done = self._started(command, place, patience)
        text = _as_required(_plain(done.stderr))
        if done.returncode != 0 and patience and _UNREACHABLE.search(text):
            # What uv has seen before may answer as well.
            again = self._started([*command, "--offline"], place, patience)
            done = again if again.returncode == 0 else done
        if done.returncode != 0:
            raise UvFailure(text=text)
        self.warnings += yanked_notes(_plain(done.stderr))

    def _started(
        self, command: Sequence[str], place: Path, more: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=place, env={**self._environment(), **more}, capture_output=True, text=True,
            errors="replace", stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in _STRANGE_VARIABLES and (not name.startswith("UV_") or _KEPT_VARIABLES.match(name))
        }
        return {**kept, **self.index.variables, "NO_COLOR": "1"}


_PROJECT = "cape-question"


def _question_of(target: Target) -> str:
    """The file that uv reads. Only a project's can say which index serves a package."""
    return "pyproject.toml" if target.indices else "requirements.in"


def _project_of(lines: Sequence[str], target: Target) -> str:
    wanted = ", ".join(_quoted(line) for line in lines)
    return (
        f'[project]\nname = "{_PROJECT}"\nversion = "0"\nrequires-python = ">={target.python}"\n'
        f"dependencies = [{wanted}]\n"
    )


def _as_required(text: str) -> str:
    """uv's words about a project, as it says them of a list of requirements."""
    return re.sub(rf"{_PROJECT} depends on ", "you require ", text)


def _quoted(text: str) -> str:
    """A TOML string; JSON's form of plain text is one."""
    return json.dumps(text)


_YANKED = re.compile(r"`(\S+?)==(\S+?)` is yanked(?: \(reason: \"(.*?)\"\))?(?= warning:| Resolved|\.|\s|\Z)")


def yanked_notes(text: str) -> list[str]:
    """Sentences about chosen releases that their authors took back: only an exact pin gets one."""
    return [
        f"`{found[1]}` {found[2]} was taken back by its authors"
        + (f": {found[3]}" if found[3] else "")
        + "; it is locked because it is pinned exactly"
        for found in _YANKED.finditer(text)
    ]


def find_uv() -> str:
    """The path of uv's program. Raises `ToolMissing`."""
    import shutil

    import uv

    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        if found := shutil.which("uv"):
            return found
        raise ToolMissing("`uv` is not there", hint="install cape anew; `uv` comes with it") from error


def uv_version() -> str:
    """Name and version of the uv that is used, for people. Raises `ToolMissing`."""
    done = subprocess.run([find_uv(), "--version"], capture_output=True, text=True, check=False)
    return " ".join(done.stdout.split()[:2])


def marker_of(system: System) -> str:
    """The environment marker that holds on exactly this system."""
    kernel = "linux" if system.is_linux else "darwin"
    machine = "arm64" if system is System.AARCH64_DARWIN else system.machine
    return f"sys_platform == '{kernel}' and platform_machine == '{machine}'"


def explain(failure: UvFailure, requirements: Sequence[Requirement], index: IndexChoice) -> CapeError:
    """The error of cape that says what uv said; uv's own words are its cause where they add to it."""
    error = _explained(failure.text, requirements, index)
    error.__cause__ = failure if isinstance(error, SourceError) else None
    error.__suppress_context__ = True
    return error


def _explained(text: str, requirements: Sequence[Requirement], index: IndexChoice) -> CapeError:
    for recognise in (
        *(
            _offline_error,
            _network_error,
            _garbage_error,
            _unknown_error,
            _later_error,
            _wheel_error,
            _version_error,
        ),
    ):
        if error := recognise(text, requirements, index):
            return error
    if "No solution found" in text or "unsatisfiable" in text:
        return _conflict(text, requirements)
    return ToolFailed(f"`uv` failed: {_short(text)}", where=index.origin)


def _preferences(kept: Mapping[str, Sequence[str]]) -> str:
    """A pylock with nothing but names and versions; uv takes them from its output file as preferences."""
    rows = [
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\n'
        for name, versions in sorted(kept.items())
        for version in versions
    ]
    return 'lock-version = "1.0"\ncreated-by = "cape"\n' + "".join(rows)


def _plain(text: str) -> str:
    """One line, without colours, boxes, and credentials in URLs."""
    text = re.sub(r"\x1b\[[0-9;]*m|[×╰─▶│├]", " ", text)
    text = re.sub(r"(https?://)[^/@\s]*@", r"\1", text)
    return " ".join(text.split())


def _short(text: str, limit: int = 600) -> str:
    text = re.sub(r"^error: ", "", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


_UNREACHABLE = re.compile(
    r"error sending request|client error|tcp connect|[Tt]imed out|timeout|dns error|connection (reset|closed)"
    r"|HTTP status (client|server) error|status code|Could not connect|certificate|(401|403|5\d\d) "
    r"|[Nn]etwork (connectivity )?(was|is) disabled|peer closed|request or response body error"
)
_URL = re.compile(r"https?://[^\s`)]+")


def _offline_error(text: str, _: Sequence[Requirement], index: IndexChoice) -> CapeError | None:
    """What uv has not seen before, without a network."""
    lacking = re.search(r"[Nn]etwork (connectivity )?(was|is) disabled|not found in the cache", text)
    if not lacking and not (_UNREACHABLE.search(text) and not reach.has_way_out()):
        return None
    name = re.search(r"(?:Because |and |, |/)([\w.-]+?)/? (?:was not found in the cache|could not be)", text)
    url = _URL.search(text)
    said = f"what the Python index says of `{name[1]}`" if name else "what the Python index says"
    where = url.group().split("?")[0].rstrip(".,") if url else index.origin
    return reach.offline(f"{said} is not here", where=where)


def _login_error(text: str, index: IndexChoice) -> CapeError | None:
    found = re.search(
        r"40[13] (?:Unauthorized|Forbidden)|lack of valid authentication|[Mm]issing credentials", text
    )
    if not found:
        return None
    url = _URL.search(text)
    where = url.group().split("?")[0].rstrip(".,") if url else index.origin
    if index.has_login:
        return IndexLogin(
            "the Python index does not take the login that this machine has for it",
            where=where,
            hint=f"the index comes from {index.origin}; a login is read from {WAYS}",
        )
    return IndexLogin(
        "the Python index asks for a login, and this machine has none for it",
        where=where,
        hint=f"the index comes from {index.origin}; tell a login by {WAYS}",
    )


def _network_error(text: str, _: Sequence[Requirement], index: IndexChoice) -> CapeError | None:
    if login := _login_error(text, index):
        return login
    refused = re.search(r"An index(?: URL)? \(\S+\) (could not be queried|returned a)", text)
    if not refused and ("No solution found" in text or not _UNREACHABLE.search(text)):
        return None
    url = _URL.search(text)
    return RegistryUnreachable(
        "the Python index did not answer as it should",
        where=url.group().split("?")[0].rstrip(".,") if url else index.origin,
        hint=f"the index comes from {index.origin}; `cape config pypi.index URL` names another",
    )


def _garbage_error(text: str, _: Sequence[Requirement], index: IndexChoice) -> CapeError | None:
    garbage = re.search(
        r"Received some unexpected (JSON|HTML)|Unsupported `?Content-Type|expected value at line|Failed to "
        r"(deserialize|decode|parse metadata)|invalid type|missing field|EOF while parsing|Metadata field"
        r"|invalid zip|Failed to read (metadata|from zip)|unexpected end of file",
        text,
    )
    broken = re.search(r"has an invalid package format|has invalid metadata|has inconsistent metadata", text)
    if not broken and ("No solution found" in text or not garbage):
        return None
    url = _URL.search(text)
    return RegistryGarbage(
        "the Python index answered with something that is not an index",
        where=url.group().split("?")[0].rstrip(".,") if url else index.origin,
        hint=f"the index comes from {index.origin}",
    )


def _unknown_error(text: str, requirements: Sequence[Requirement], _: IndexChoice) -> CapeError | None:
    found = re.search(
        r"(?:Because |and |, )(\S+) (?:was not found in the (?:package registry|provided package locations)"
        r"|has no publicly available versions)",
        text,
    )
    wanted = _requirement_of(found.group(1), requirements) if found else None
    return UnknownPackage(wanted) if wanted else None


_LATER = re.compile(
    r"`(?P<name>[^`]+)` was filtered by `exclude-newer` to only include packages uploaded before "
    r"(?P<instant>\S+)\. The latest version satisfying the requirement is "
    r"v(?P<version>\S+?)(?:, published at (?P<came>\S+))?\. "
)


def _later_error(text: str, requirements: Sequence[Requirement], index: IndexChoice) -> CapeError | None:
    """What fits came after the instant that was asked for, or the index does not tell when."""
    found = _LATER.search(text)
    if found is None:
        return None
    if found["came"] is None:
        return NotRecorded(
            f"the Python index does not tell when the files of `{found['name']}` came to it",
            where=index.origin,
            hint="`--as-of` and `minimum-age` need an index with upload times; `cape config pypi.index URL` "
            "names another",
        )
    wanted = _requirement_of(found["name"], requirements)
    if wanted is None or " depends on " in text or " depend on " in text:
        return None
    return UnknownVersion(
        f"no version of `{wanted.package}` that fits `{wanted.constraint}` was there before "
        f"{found['instant']}",
        where=wanted.where,
        hint=_later(found),
    )


def _later(found: re.Match[str]) -> str:
    return f"`{found['name']}` {found['version']} came at {_whole_seconds(found['came'])}"


def _whole_seconds(instant: str) -> str:
    return re.sub(r"\.\d+(?=Z|\+|$)", "", instant)


def explain_age(
    failure: UvFailure, requirements: Sequence[Requirement], context: ResolveContext
) -> CapeError | None:
    """The error for releases that are too young, where that is what stands in the way; else None."""
    found = _LATER.search(failure.text)
    if found is None or not found["came"]:
        return None
    wanted = _requirement_of(found["name"], requirements)
    age, came = context.age_of(wanted), _whole_seconds(found["came"])
    if age is None or not age.seconds or (context.as_of and came >= context.as_of):
        return None
    until = f"{_later(found)}; it will be {age.text} old at {age.after(came)}"
    if wanted is None or " depends on " in failure.text or " depend on " in failure.text:
        conflict = _conflict(failure.text, requirements)
        conflict.reasons = (until, *conflict.reasons)
        conflict.hint = f"{until}; {conflict.hint}"
        return conflict
    return UnknownVersion(
        f"no version of `{wanted.package}` that fits `{wanted.constraint}` is {age.text} old",
        where=wanted.where,
        hint=f'`minimum-age = "0 days"` at `{wanted.name}` lets younger ones of it in',
        reasons=(until,),
    )


def _wheel_error(text: str, requirements: Sequence[Requirement], _: IndexChoice) -> CapeError | None:
    found = re.search(r"(\S+?)(?:==(\S+))? ha(?:ve|s) no (?:usable )?wheels?", text)
    wanted = _requirement_of(found[1], requirements) if found else None
    if found is None or wanted is None:
        return None
    name, version = found.groups()
    if version is None or f"all versions of {name} cannot be used" in text:
        return no_wheel(name, None, where=wanted.where)
    if f"require {name}=={version}" in text:
        return no_wheel(name, version, where=wanted.where)
    return None


def no_wheel(
    name: str,
    version: str | None,
    *,
    system: str = "",
    where: str | None = None,
    reasons: Sequence[str] = (),
) -> NoWheel:
    """The error for a package that is published as source only, or not for a system."""
    which = f"`{name}` {version}" if version else f"every version of `{name}`"
    target = f"for {system}" if system else "that fits"
    return NoWheel(
        f"{which} is published without a wheel {target}",
        where=where,
        hint=f'build it from its source: `build = ["{name}"]` in `[python]`; or allow other versions, or ask '
        "another source for it",
        reasons=reasons,
    )


def _version_error(text: str, requirements: Sequence[Requirement], _: IndexChoice) -> CapeError | None:
    """A root whose constraint no published version meets; `you require` then names it alone."""
    required = set(re.findall(r"you require ([A-Za-z0-9._-]+)", text))
    if len(required) != 1 or re.search(r" depends? on (?!Python[<>=!~])", text):
        return None
    wanted = _requirement_of(required.pop(), requirements)
    available = re.search(r"[Oo]nly (?!the following )(.+?) (?:is|are) available", text)
    unusable = re.search(r"no usable wheels|no wheels with a matching", text)
    too_new = re.search(r" (?:depends? on|requires?) Python ?[<>=!~]", text)
    none_fits = available or unusable or too_new or re.search(r"there (?:is|are) no versions? of", text)
    if wanted is None or not none_fits:
        return None
    hint = f"there is {_ticked(available.group(1))}" if available and not too_new else None
    also = " and this Python" if too_new else " and has a wheel that fits" if unusable else ""
    return UnknownVersion(
        f"no version of `{wanted.package}` fits `{wanted.constraint}`{also}",
        where=wanted.where,
        hint=hint,
        reasons=reasons_of(text) if unusable or too_new else (),
    )


def _ticked(text: str) -> str:
    return ", ".join(f"`{part.strip()}`" for part in re.split(r",? and |, ", text) if part.strip())


def _conflict(text: str, requirements: Sequence[Requirement]) -> RequirementsConflict:
    names = [r for r in requirements if re.search(rf"(?<![\w-]){re.escape(_norm(r.package))}(?![\w-])", text)]
    concerned = names or list(requirements)
    said = ", ".join(f"`{r.package}` `{r.constraint}`" for r in concerned)
    chain = re.sub(r".*?(?:cause:|:) Because ", "because ", text.split(" hint: ")[0], count=1)
    chain = re.sub(r"we can conclude that", "so", chain)
    if later := _LATER.search(text):
        chain = f"{_later(later)}; {chain}"
    places = [r.where for r in concerned if r.where]
    return RequirementsConflict(
        f"these requirements cannot hold together: {said}",
        where=", ".join(dict.fromkeys(places)) or None,
        hint=_short(chain, 900),
        reasons=reasons_of(text),
        concerned=names,
    )


_PREMISE = re.compile(
    r",? and (?:because )?(?=you require|only |all (?:of|versions)|any of|there (?:is|are)|the requested"
    r"|\S+ (?:depends? on|ha(?:s|ve) no|was|were|is|are|requires?|cannot)|\S+ and \S+ depend on)"
)
_KNOWN_ALREADY = re.compile(
    r"you require |the requested Python|we (?:can conclude|know from)|your requirements|only "
    r"|there (?:is|are) no"
)
_SENTENCES = (
    (re.compile(r"all versions of (\S+) depend on (.+)"), r"every version of `\1` needs `\2`"),
    (re.compile(r"(\S+?)==(\S+) (?:depends on|requires) Python ?(\S+)"), r"`\1` \2 needs Python \3"),
    (re.compile(r"(\S+) (?:depends? on|requires?) Python ?(\S+)"), r"`\1` needs Python \2"),
    (re.compile(r"all of: (.+) (?:depends? on|requires?) Python ?(\S+)"), r"all of `\1` need Python \2"),
    (re.compile(r"(\S+?)==(\S+) depends on (.+)"), r"`\1` \2 needs `\3`"),
    (re.compile(r"(\S+) depends? on (.+)"), r"`\1` needs `\2`"),
    (re.compile(r"(\S+?)==(\S+) has no (?:usable wheels|wheels .*)"), r"`\1` \2 has no wheel that fits"),
    (re.compile(r"(\S+) ha(?:s|ve) no (?:usable wheels|wheels .*)"), r"`\1` has no wheel that fits"),
    (
        re.compile(r"all of: (.+) have no (?:usable wheels|wheels .*)"),
        r"none of `\1` has a wheel that fits",
    ),
)


def reasons_of(text: str) -> tuple[str, ...]:
    """What uv's proof rests on, a sentence each, without what it concludes from it and what was asked.

    What versions there are is left out too: a proof names every gap between them.
    """
    proof = re.sub(r" \(\d+\)(?= |$)", "", text.split(" hint: ")[0])
    found: dict[str, None] = {}
    for step in re.split(r"\b[Bb]ecause ", proof)[1:]:
        premises = re.split(r",? we can conclude that|\. And$", step)[0]
        for premise in _PREMISE.split(premises):
            premise = premise.strip(" .,")
            if premise and not _KNOWN_ALREADY.match(premise):
                found[_sentence(premise)] = None
    return tuple(found)


def _sentence(premise: str) -> str:
    for pattern, words in _SENTENCES:
        if match := pattern.fullmatch(premise):
            return match.expand(words)
    return _short(premise, 300)


def _norm(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def _requirement_of(name: str, requirements: Sequence[Requirement]) -> Requirement | None:
    bare = name.split("[")[0].strip("`,")
    return next((r for r in requirements if _norm(r.package) == _norm(bare)), None)
