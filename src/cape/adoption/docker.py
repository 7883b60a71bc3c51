"""A Dockerfile's packages: what apt, pip and npm install in it, the image it starts from, its variables.

It is read, never run: shell lines are split into words, and a word with a variable in it is left alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from cape.adoption import apt, python
from cape.adoption.model import Reading, Wish
from cape.adoption.tools import add_tool

_IMAGES = ("python", "node", "golang", "ruby", "rust", "php", "openjdk", "postgres", "redis")
_PLAIN = {"debian", "ubuntu", "scratch", "alpine", "busybox", "buildpack-deps"}
_IMAGE = re.compile(r"(?:[\w.:/-]+/)?([\w-]+)(?::v?(\d[\w.]*)?[\w.-]*)?(?:@\S+)?\Z")
_TOOLS_OWN = ("PATH", "DEBIAN_FRONTEND", "HOME", "USER", "PWD")
_IDLE = {"apt", "apt-get", "rm", "cd", "set", "true", "echo", "mkdir", "export", "npm", "pip", "useradd"}
_VALUED = {
    "-t",
    "--target-release",
    "-o",
    "-c",
    "--prefix",
    "-i",
    "--index-url",
    "--extra-index-url",
    "--target",
}


def read_dockerfile(name: str, text: str, reading: Reading) -> None:
    """Read its instructions in order; those that shape an image and no environment are passed over."""
    stages: set[str] = set()
    for number, instruction, rest in _instructions(text):
        where = f"{name}:{number}"
        if instruction == "FROM":
            _from(rest, where, stages, reading)
        elif instruction == "ENV":
            _variables(rest, where, reading)
        elif instruction == "RUN":
            _run(rest, where, reading)
        elif instruction in ("CMD", "ENTRYPOINT"):
            reading.leave(
                where, f"{instruction} {rest}", "a command to start is a service, or your own to run"
            )
        elif instruction in ("ADD",) and "://" in rest:
            reading.leave(where, f"{instruction} {rest}", "a download is no package")


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, instruction in capitals, and the rest, with continued lines joined."""
    started = 0
    parts: list[str] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("#") or (not line and not parts):
            continue
        started = started or number
        parts.append(line.rstrip("\\").strip())
        if line.endswith("\\"):
            continue
        instruction, _, rest = " ".join(filter(None, parts)).partition(" ")
        yield started, instruction.upper(), rest.strip()
        started, parts = 0, []


def _from(rest: str, where: str, stages: set[str], reading: Reading) -> None:
    words = [word for word in rest.split() if not word.startswith("--")]
    if not words:
        return
    image = words[0]
    if len(words) > 2:
        stages.add(words[2])
    match = _IMAGE.match(image)
    if image in stages or (match and match[1] in _PLAIN):
        return
    if match and match[1] in _IMAGES:
        tool = {"golang": "go", "postgres": "postgresql", "openjdk": "java"}.get(match[1], match[1])
        add_tool(tool, match[2] or "", where, reading)
    else:
        reading.leave(where, f"FROM {image}", "what this image brings is not known")


def _variables(rest: str, where: str, reading: Reading) -> None:
    words = _words(rest)
    if words and "=" not in words[0]:
        words = [f"{words[0]}={rest.partition(' ')[2].strip()}"]
    for word in words:
        key, _, value = word.partition("=")
        if key in _TOOLS_OWN or "$" in value:
            reading.leave(where, f"ENV {word}", "it speaks of the image's own paths")
        else:
            reading.variables[key] = value


def _run(rest: str, where: str, reading: Reading) -> None:
    if rest.startswith("["):
        reading.leave(where, f"RUN {rest}", "a command is no package")
        return
    for command in re.split(r"&&|\|\||;|\|", re.sub(r"--mount=\S+", "", rest)):
        words = _words(command)
        while words and (words[0] == "sudo" or re.match(r"\w+=", words[0])):
            words = words[1:]
        if words and not _installs(words, where, reading) and words[0] not in _IDLE:
            reading.leave(where, f"RUN {command.strip()}", "a command is no package")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _installs(words: Sequence[str], where: str, reading: Reading) -> bool:
    """Whether the command installs packages; if so, they are added."""
    if words[0] in ("apt", "apt-get", "aptitude") and "install" in words:
        for word in _operands(words[words.index("install") + 1 :]):
            apt.add_package(word, where, reading)
        return True
    rest = words[2:] if words[:2] in (["python", "-m"], ["python3", "-m"], ["uv", "pip"]) else words
    if (rest and rest[0] in ("pip", "pip3")) or words[:2] == ["uv", "pip"]:
        if "install" in rest:
            _pip(rest[rest.index("install") + 1 :], where, reading)
        return True
    if words[0] == "npm" and {"install", "i", "add"} & {*words} and {"-g", "--global"} & {*words}:
        for word in _operands(words[2:]):
            package, _, version = word.rpartition("@") if "@" in word[1:] else (word, "", "")
            wish = Wish(source="npm", package=package, constraint=version or "*", where=where)
            reading.wishes.append(wish)
        return True
    return False


def _pip(words: Sequence[str], where: str, reading: Reading) -> None:
    listed = list(words)
    for flag in ("-r", "--requirement", "-c", "--constraint"):
        while flag in listed:
            at = listed.index(flag)
            file = listed[at + 1] if at + 1 < len(listed) else ""
            if not re.fullmatch(r"(?:\S*/)?requirements[^/]*\.txt", file):
                reading.leave(where, f"{flag} {file}", "that file is not read")
            del listed[at : at + 2]
    for word in _operands(listed):
        if word in (".", "./") or word in ("pip", "setuptools", "wheel"):
            continue
        python.add_requirement(word, where, reading)


def _operands(words: Sequence[str]) -> Iterator[str]:
    """The words that are no options and no values of options; one with a variable or pattern is no name."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in _VALUED
        elif "$" not in word and not re.match(r"[<>&]|\d>", word):
            yield word
