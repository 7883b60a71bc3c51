"""Tables of `[models]` to requirements, and a model's requirement to the keys of its table.

Owns the rules of a model's keys: which registry takes which, and what their values look like. What a
registry answers is not known here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cape.manifest.errors import BadManifestValue
from cape.manifest.naming import file_name_rule, package_name_rule
from cape.sources.protocol import Requirement

if TYPE_CHECKING:
    from cape.manifest.keys import KeyPath
    from cape.manifest.parse import _Reading

Table = dict[str, Any]

REGISTRIES = ("pypi", "hf", "url", "path", "ollama")
"""What a model may come from, in the order in which messages list them."""

ALLOW_PICKLE = "allow-pickle"

_ONLY_WITH = {
    "version": ("pypi",),
    "minimum-age": ("pypi",),
    "tokenizer": ("pypi", "hf"),
    "revision": ("hf",),
    "file": ("pypi", "hf"),
    "sha256": ("url", "path"),
}
"""Keys that mean something with these registries alone."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*\Z")
_OLLAMA = re.compile(r"(?:[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?\Z")
_GLOBAL = re.compile(r"[A-Za-z_][\w.-]*\Z")


def read_model(reading: _Reading, name: str, table: Table) -> tuple[str, dict[str, str]] | None:
    """The package and the options of a model's table; faults are told to the reading."""
    path: KeyPath = ("models", name)
    registry = _registry(reading, name, table, path)
    if registry is None:
        return None
    for key, registries in _ONLY_WITH.items():
        if key in table and registry not in registries:
            named = " or ".join(f"`{one}`" for one in registries)
            reading.bad_name(
                f"`{key}` stands with `{registry}`", (*path, key), f"it is for a model of {named}"
            )
    package = str(table[registry])
    _check_package(reading, package, registry, (*path, registry))
    options = _files(reading, name, table, registry, path)
    options |= _pickles(reading, table, path)
    if registry in ("pypi", "hf"):
        options |= _tokenizer(reading, table, registry, path)
    if "revision" in table:
        options["revision"] = _matching(
            reading, table["revision"], _REVISION, (*path, "revision"), "a branch, a tag or a commit"
        )
    if "sha256" in table:
        options["sha256"] = _matching(
            reading, table["sha256"], _SHA256, (*path, "sha256"), "64 hexadecimal digits in lower case"
        )
    if registry != "pypi":
        options["registry"] = registry
    return package, options


def fields_of_model(requirement: Requirement) -> dict[str, Any]:
    """The keys and values of a model's table, in the order in which they are written."""
    options = requirement.options
    fields: dict[str, Any] = {options.get("registry", "pypi"): requirement.package}
    if requirement.constraint != "*":
        fields["version"] = requirement.constraint
    if "file" in options:
        patterns = options["file"].split("\n")
        fields["file"] = patterns if len(patterns) > 1 else patterns[0]
    for key in ("revision", "sha256"):
        if key in options:
            fields[key] = options[key]
    if "tokenizer.file" in options:
        named = {"pypi": options["tokenizer.pypi"]} if "tokenizer.pypi" in options else {}
        fields["tokenizer"] = {**named, "file": options["tokenizer.file"]}
    if ALLOW_PICKLE in options:
        allowed = options[ALLOW_PICKLE].split()
        fields[ALLOW_PICKLE] = True if allowed == ["true"] else allowed
    return fields


def variable_of(model: str) -> str:
    """The variable that leads to a model's files: `$CAPE_MODEL_NAME`.

    >>> variable_of("qwen-3.8b")
    'CAPE_MODEL_QWEN_3_8B'
    """
    return "CAPE_MODEL_" + re.sub(r"[^A-Za-z0-9]", "_", model).upper()


def check_variables(reading: _Reading, models: Table) -> None:
    """Two models must not lead to one variable."""
    taken: dict[str, str] = {}
    for name in models:
        variable = variable_of(name)
        if variable in taken:
            fact = f"`{name}` and `{taken[variable]}` are both `${variable}`"
            reading.bad_name(fact, ("models", name), "give one of them another name")
        taken[variable] = name


def _registry(reading: _Reading, name: str, table: Table, path: KeyPath) -> str | None:
    named = [key for key in table if key in REGISTRIES]
    if len(named) == 1:
        return named[0]
    if named:
        fact = f"`{name}` comes from one registry, and here are `{named[0]}` and `{named[1]}`"
        reading.complain(
            BadManifestValue, fact, reading.places.of_key((*path, named[1])), "keep one of the two"
        )
    else:
        known = ", ".join(f"`{one}`" for one in REGISTRIES[:-1]) + f" or `{REGISTRIES[-1]}`"
        reading.bad_value(f"`{name}` does not say where it comes from", path, f"add {known}")
    return None


def _check_package(reading: _Reading, package: str, registry: str, path: KeyPath) -> None:
    rule = _package_rule(package, registry)
    if rule:
        reading.bad_value(f"`{_without_login(package)}` is no name of a package", path, rule)


def _package_rule(package: str, registry: str) -> str | None:
    if registry == "pypi":
        return package_name_rule("pypi", package)
    if registry == "ollama":
        return None if _OLLAMA.match(package) else "a model is written `NAME:TAG`"
    return {"hf": _repository_rule, "url": _url_rule, "path": _path_rule}[registry](package)


def _repository_rule(package: str) -> str | None:
    owner, slash, repository = package.partition("/")
    wrong = file_name_rule(owner) or (slash and file_name_rule(repository))
    return "a repository is written `OWNER/NAME`" if wrong or not slash else None


def _url_rule(url: str) -> str | None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        return "a URL begins with `https://`"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "a lock shows it: it has no user, no password, no query and no fragment"
    return None if parts.path.rpartition("/")[2] else "a URL ends with a file's name"


def _path_rule(path: str) -> str | None:
    if not path.strip("/") or not path.isprintable() or path.endswith("/"):
        return "a path leads to a file, relative to the manifest"
    return None


def _without_login(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _files(reading: _Reading, name: str, table: Table, registry: str, path: KeyPath) -> dict[str, str]:
    """The patterns of the files, parted by newlines."""
    at = (*path, "file") if "file" in table else path
    patterns = table.get("file", [])
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not any(str(one).strip() for one in patterns):
        if registry == "pypi" or "file" in table:
            fact = f"`{name}` does not say which `file` it is"
            reading.bad_value(fact, at, 'for example `file = "*.gguf"`')
        return {}
    if registry == "pypi" and len(patterns) > 1:
        reading.bad_value("a model of `pypi` is one file", at, "of a hub, it may be several")
    for pattern in patterns:
        check_pattern(reading, pattern, at)
    return {"file": "\n".join(patterns)}


def check_pattern(reading: _Reading, pattern: str, at: KeyPath) -> None:
    """A pattern stays in its package."""
    if not pattern.strip():
        reading.bad_value("a pattern of files is empty", at, 'for example `file = "*.gguf"`')
    elif not pattern.isprintable() or pattern.startswith("/") or ".." in pattern.split("/"):
        reading.bad_value(f"`{pattern}` is no pattern of a file", at, "it stays in its package")


def _pickles(reading: _Reading, table: Table, path: KeyPath) -> dict[str, str]:
    allowed = table.get(ALLOW_PICKLE)
    if isinstance(allowed, bool):
        return {ALLOW_PICKLE: "true"} if allowed else {}
    for one in allowed or ():
        if not _GLOBAL.match(one):
            fact = f"`{one}` is no name that a pickle can call"
            reading.bad_value(fact, (*path, ALLOW_PICKLE), "it is written `MODULE.NAME`")
    return {ALLOW_PICKLE: " ".join(sorted(set(allowed)))} if allowed else {}


def _tokenizer(reading: _Reading, table: Table, registry: str, path: KeyPath) -> dict[str, str]:
    tokenizer = table.get("tokenizer")
    if tokenizer is None:
        return {}
    at: KeyPath = (*path, "tokenizer")
    file = str(tokenizer.get("file", ""))
    if file.strip():
        check_pattern(reading, file, (*at, "file"))
    else:
        place = (*at, "file") if "file" in tokenizer else at
        reading.bad_value("the tokenizer does not say which `file` it is", place, '`file = "tokenizer.json"`')
    if registry == "hf" and "pypi" not in tokenizer:
        return {"tokenizer.file": file}
    package = str(tokenizer.get("pypi", table.get("pypi", "")))
    if "pypi" in tokenizer:
        _check_package(reading, package, "pypi", (*at, "pypi"))
    return {"tokenizer.pypi": package, "tokenizer.file": file}


def _matching(reading: _Reading, value: str, pattern: re.Pattern[str], path: KeyPath, rule: str) -> str:
    if not pattern.match(value) or ".." in value:
        reading.bad_value(f"`{value}` is no value of `{path[-1]}`", path, rule)
    return value
