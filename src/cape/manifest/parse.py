"""Text of `cape.toml` -> `Manifest`, with every error at its line and column.

Owns reading in three stages: TOML (its errors in our words), shape (the table of keys), meaning (rules
that join keys). Each stage reports all that it finds and the next starts only when it found nothing.
No rule about one key's name or type is here: those are in `keys` and `naming`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cape.manifest.errors import (
    BadManifestValue,
    DuplicateManifestKey,
    ManifestError,
    ManifestMissing,
    ManifestSyntax,
    ManifestUnreadable,
    UnknownManifestKey,
    UnknownSchema,
    VariableCycle,
    WrongManifestType,
    raise_all,
)
from cape.manifest.keys import KEYS, SHARED_TABLES, Key, KeyPath, Kind, keys_below
from cape.manifest.model import (
    DEFAULT_ENVIRONMENT,
    DEFAULT_SOURCE,
    ORIGINATING,
    SCHEMA,
    Expose,
    Hook,
    Manifest,
    Part,
)
from cape.manifest.models import check_variables, read_model
from cape.manifest.naming import (
    DIRECT_KEYS,
    PACKAGE_SOURCES,
    VARIABLE_NAME,
    WRITER_APIS,
    WRITER_NUMBERS,
    alike,
    constraint_rule,
    file_name_rule,
    marker_rule,
    package_name_rule,
    project_name_rule,
)
from cape.manifest.places import Places, find_places
from cape.names import Age, System
from cape.sources.protocol import Requirement

Table = dict[str, Any]

OWN_VARIABLES = ("CAPE_ENV", "CAPE_PROJECT", "CAPE_ROOT", "CAPE_STATE")
"""Variables that activation sets, and `[vars]` may not."""


def read_manifest(path: Path) -> Manifest:
    """The manifest in that file.

    Raises `ManifestMissing`, `ManifestUnreadable`, and the leaves of `ManifestError`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestMissing(
            f"there is no manifest `{path.name}`", where=str(path), hint="make one with `cape init`"
        ) from error
    except OSError as error:
        raise ManifestUnreadable("the manifest cannot be read", where=str(path)) from error
    return parse_manifest(_decode(data, path), path=path)


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        raise ManifestSyntax(
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            where=f"{path}:{line}:{column}",
            hint="save the file as UTF-8",
        ) from error


def parse_manifest(text: str, *, path: Path) -> Manifest:
    """The manifest that a text says; `path` is named in errors and gives the default name.

    Raises the leaves of `ManifestError`; the first by place is raised, the others are in its `also`.
    """
    table = load_toml(text, path)
    reading = _Reading(path, find_places(text))
    reading.check_schema(table)
    reading.check_shape(table)
    reading.stop_at_errors()
    manifest = reading.manifest(table)
    reading.stop_at_errors()
    return manifest


# -- TOML ---------------------------------------------------------------------------------------------

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_TOML_DUPLICATES = ("Cannot overwrite", "Cannot declare", "Duplicate inline", "Cannot mutate")
_QUOTED_KEY = 'a name with more than letters, digits, `-` and `_` stands in quotes: `"g++" = "*"`'
_TOML_FACTS: tuple[tuple[str, str, str | None], ...] = (
    ("Expected '=' after a key", "a key without `=` and a value", _QUOTED_KEY),
    ("Expected newline or end of document", "something follows the value on its line", None),
    (
        "Invalid initial character for a key",
        "a key cannot start here",
        _QUOTED_KEY,
    ),
    ("Invalid statement", "a line that is neither `key = value` nor a `[table]`", None),
    ("Invalid value", "no value that TOML knows stands here", 'text stands in quotes: `"..."`'),
    ("Unterminated string", "a string that is not closed", None),
    ('Expected "\'"', "a string that is not closed", None),
    ("Illegal character '\\n'", "a string that is not closed on its line", None),
    ("Unclosed array", "a list that is not closed, or has no `,` between its items", None),
    ("Unclosed inline table", "an inline table that is not closed, or has no `,` between its items", None),
    ("Expected ']", "a table's header that is not closed", None),
    ("Unescaped '\\'", "a `\\` that starts no escape", "write `\\\\`, or put the text in single quotes"),
    ("Illegal character", "a character that TOML does not allow here", None),
    ("Found invalid character", "a character that TOML does not allow here", None),
)


def load_toml(text: str, path: Path) -> Table:
    import tomllib

    if text.startswith("\ufeff"):
        raise ManifestSyntax(
            "the file starts with a byte order mark", where=f"{path}:1:1", hint="save it as UTF-8 without one"
        )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ManifestSyntax("values are nested too deeply", where=str(path)) from None
    except ValueError as error:
        raise_all(_syntax_errors(str(error), text, path))
        raise AssertionError("unreachable") from error


def _syntax_errors(message: str, text: str, path: Path) -> list[ManifestError]:
    """What a message of `tomllib` means, in our words: duplicates by both places, or one syntax error."""
    if message.startswith(_TOML_DUPLICATES):
        places = find_places(text)
        if places.duplicates:
            return [_duplicate(places, path, index) for index in range(len(places.duplicates))]
    match = _TOML_PLACE.search(message)
    reason = message[: match.start()] if match else message
    fact, hint = reason[:1].lower() + reason[1:], None
    for start, words, advice in _TOML_FACTS:
        if reason.startswith(start):
            fact, hint = words, advice
            break
    return [ManifestSyntax(fact, where=_toml_place(match, text, path), hint=hint)]


def _toml_place(match: re.Match[str] | None, text: str, path: Path) -> str:
    if match and match[1]:
        return f"{path}:{match[1]}:{match[2]}"
    last = text.rfind("\n") + 1
    return f"{path}:{text.count(chr(10)) + 1}:{len(text) - last + 1}"


def _duplicate(places: Places, path: Path, index: int) -> ManifestError:
    found = places.duplicates[index]
    first, _ = places.line_and_column(found.first)
    line, column = places.line_and_column(found.second)
    name = ".".join(str(part) for part in found.path)
    return DuplicateManifestKey(
        f"`{name}` stands here again (first at line {first})",
        where=f"{path}:{line}:{column}",
        hint="keep one of the two",
    )


# -- shape and meaning --------------------------------------------------------------------------------

_MATCHES: Mapping[Kind, Callable[[Any], bool]] = {
    Kind.STRING: lambda value: isinstance(value, str),
    Kind.BOOLEAN: lambda value: isinstance(value, bool),
    Kind.INTEGER: lambda value: isinstance(value, int) and not isinstance(value, bool),
    Kind.NUMBER: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    Kind.INTEGER_OR_STRING: lambda value: isinstance(value, int | str) and not isinstance(value, bool),
    Kind.STRINGS: lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    Kind.TABLE: lambda value: isinstance(value, dict),
    Kind.TABLES: lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
    Kind.STRING_OR_TABLE: lambda value: isinstance(value, str | dict),
    Kind.STRING_OR_STRINGS: lambda value: isinstance(value, str) or _are_texts(value),
    Kind.BOOLEAN_OR_STRINGS: lambda value: isinstance(value, bool) or _are_texts(value),
}


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


class _Reading:
    """One text being read: knows places, collects errors."""

    def __init__(self, path: Path, places: Places, around: _Reading | None = None) -> None:
        self.path = path
        self.places = places
        self.errors: list[tuple[int, ManifestError]] = around.errors if around else []
        self.is_part = around is not None

    # Errors.

    def stop_at_errors(self) -> None:
        raise_all([error for _, error in sorted(self.errors, key=lambda found: found[0])])

    def where(self, offset: int) -> str:
        line, column = self.places.line_and_column(offset)
        return f"{self.path}:{line}:{column}"

    def complain(self, kind: type[ManifestError], fact: str, offset: int, hint: str | None = None) -> None:
        self.errors.append((offset, kind(fact, where=self.where(offset), hint=hint)))

    def bad_value(self, fact: str, path: KeyPath, hint: str | None = None) -> None:
        self.complain(BadManifestValue, fact, self.places.of_value(path), hint)

    def bad_name(self, fact: str, path: KeyPath, hint: str | None = None) -> None:
        self.complain(BadManifestValue, fact, self.places.of_key(path), hint)

    # Shape.

    def check_schema(self, table: Table) -> None:
        """Any other schema may have other keys, so nothing else is checked before it."""
        found = table.get("schema")
        if found == SCHEMA and isinstance(found, int) and not isinstance(found, bool):
            return
        newer = isinstance(found, int) and found > SCHEMA
        fact = f"schema {_shown(found)} is unknown" if "schema" in table else "the manifest says no `schema`"
        hint = "a newer cape reads it" if newer else f"write `schema = {SCHEMA}` at the top"
        self.complain(UnknownSchema, fact, self.places.of_value(("schema",)), hint)
        self.stop_at_errors()

    def check_shape(self, table: Table, pattern: tuple[str, ...] = (), path: KeyPath = ()) -> None:
        known = keys_below(pattern)
        any_name = known.get("NAME")
        for name, value in table.items():
            key = any_name or known.get(name)
            if key is None:
                self._unknown_key((*path, name), pattern, known)
            elif not _MATCHES[key.kind](value):
                self._wrong_type((*path, name), key, value)
            elif isinstance(value, dict):
                self.check_shape(value, shape_of(key), (*path, name))
            elif key.kind is Kind.TABLES:
                for index, item in enumerate(value):
                    self.check_shape(item, shape_of(key), (*path, name, index))

    def _unknown_key(self, path: KeyPath, pattern: tuple[str, ...], known: Iterable[str]) -> None:
        name = str(path[-1])
        table = f"`[{_dotted(path[:-1])}]`" if len(path) > 1 else "the manifest"
        close = alike(name, known)
        elsewhere = [key for key in KEYS if key.parts[-1] == name and "NAME" not in key.parts]
        if close:
            hint = "did you mean " + " or ".join(f"`{word}`" for word in close) + "?"
        elif elsewhere and elsewhere[0].parts[:-1] != pattern:
            hint = f"`{name}` belongs in `[{'.'.join(elsewhere[0].parts[:-1])}]`"
        else:
            hint = f"{table} knows " + ", ".join(f"`{word}`" for word in known)
        self.complain(UnknownManifestKey, f"{table} has no key `{name}`", self.places.of_key(path), hint)

    def _wrong_type(self, path: KeyPath, key: Key, value: object) -> None:
        hint = f"for example `{key.example}`"
        if isinstance(value, int | float) and not isinstance(value, bool) and "string" in key.kind.value:
            literal = self.places.text[self.places.of_value(path) :].split("\n")[0]
            hint = f'put it in quotes: `"{_number(literal)}"`'
        place = path
        if isinstance(value, list) and key.kind in (Kind.STRINGS, Kind.TABLES):
            wanted: type = str if key.kind is Kind.STRINGS else dict
            index = next(index for index, item in enumerate(value) if not isinstance(item, wanted))
            place, value = (*path, index), value[index]
        self.complain(
            WrongManifestType,
            f"`{_dotted(path)}` is a {key.kind}, and here is {_type_words(value)}",
            self.places.of_value(place),
            hint,
        )

    # Meaning.

    def manifest(self, table: Table) -> Manifest:
        environment = table.get("environment", {})
        requirements = (*self._packages(table), *self._models(table))
        self._names_are_single(table)
        self._services(table)
        self._knowledge(table)
        self._writers(table)
        self._budget(table)
        self._builds(table)
        self._include(table.get("include", {}))
        return Manifest(
            path=self.path,
            schema=SCHEMA,
            name=self._name(environment),
            systems=self._own_systems(table, environment),
            debian=self._suite(environment),
            requirements=requirements,
            vars=MappingProxyType(self._variables(table.get("vars", {}))),
            secrets=self._secrets(table),
            env_files=self._env_files(environment),
            hook=Hook(
                on_activate=table.get("hook", {}).get("on-activate"),
                on_deactivate=table.get("hook", {}).get("on-deactivate"),
            ),
            profile=_frozen(table.get("profile", {})),
            services=_frozen(table.get("services", {})),
            knowledge=_frozen(table.get("knowledge", {})),
            writers=_frozen(table.get("writers", {})),
            budget=_frozen(table.get("budget", {})),
            include=_frozen(table.get("include", {})),
            build=_frozen(table.get("build", {})),
            promote=_frozen(table.get("promote", {})),
            npm=self._npm(table.get("npm", {})),
            python=self._python(table.get("python", {})),
            expose=self._expose((table if self.is_part else environment).get("expose", {})),
            minimum_age=self._minimum_age(environment, ("environment", "minimum-age")),
            mode=self._mode(environment),
            gpu=self._gpu(table.get("options", {})),
            allow_licences=self._allow_licences(table.get("options", {})),
            environments=MappingProxyType(self._environments(table.get("environments", {}))),
            text=self.places.text,
            origins=MappingProxyType(self._origins(table)),
        )

    def _origins(self, table: Table) -> dict[str, str]:
        """Where each thing stands that a manifest above may replace, add to or remove."""
        paths: dict[str, KeyPath] = {
            f"{section}.{name}": (section, name) for section in ORIGINATING for name in table.get(section, {})
        }
        for index, _ in enumerate(table.get("include", {}).get("environments", ())):
            paths[f"include.{index}"] = ("include", "environments", index)
        paths |= {
            f"environment.{key}": ("environment", key)
            for key in ("debian", "systems")
            if key in table.get("environment", {})
        }
        for index, name in enumerate(table.get("include", {}).get("remove", ())):
            paths[f"include.remove.{name}"] = ("include", "remove", index)
        return {name: self.where(self.places.of_key(path)) for name, path in paths.items()}

    def _environments(self, tables: Mapping[str, Table]) -> dict[str, Part]:
        parts = {}
        for name, table in tables.items():
            path: KeyPath = ("environments", name)
            if rule := file_name_rule(name):
                self.bad_name(f"`{name}` is no name for an environment", path, rule)
            elif name == DEFAULT_ENVIRONMENT:
                self.bad_name(
                    f"`{name}` is the environment of the manifest itself", path, "take another name"
                )
            for index, other in enumerate(table.get("from", ())):
                self._known_environment(name, other, tables, (*path, "from", index))
            self._removals(table.get("remove", ()), (*path, "remove"))
            reading = _Reading(self.path, self.places.below(path), self)
            parts[name] = Part(
                manifest=reading.manifest(table),
                inherit=table.get("inherit"),
                based_on=tuple(table.get("from", ())),
                remove=tuple(table.get("remove", ())),
            )
        return parts

    def _known_environment(self, name: str, other: str, tables: Mapping[str, Table], path: KeyPath) -> None:
        known = [one for one in tables if one != name]
        if other not in known:
            close = alike(other, known)
            hint = f"did you mean `{close[0]}`?" if close else "name another table of `[environments]`"
            self.bad_value(f"environment `{name}` builds on `{other}`, which is not there", path, hint)

    def _removals(self, names: Iterable[str], path: KeyPath) -> None:
        for index, name in enumerate(names):
            section, _, rest = name.partition(".")
            if section not in ORIGINATING or not rest:
                hint = "for example `packages.nodejs`, `vars.DEBUG` or `hook.on-activate`"
                self.bad_value(f"`{name}` is nothing that can be removed", (*path, index), hint)

    def _name(self, environment: Table) -> str:
        if "name" not in environment:
            return self.path.absolute().parent.name or "environment"
        name = str(environment["name"])
        if rule := file_name_rule(name):
            self.bad_value(f"`{name}` is no name for an environment", ("environment", "name"), rule)
        return name

    def _own_systems(self, table: Table, environment: Table) -> tuple[System, ...]:
        if self.is_part:
            return self._systems(table.get("systems", []), ("systems",))
        return self._environment_systems(environment)

    def _environment_systems(self, environment: Table) -> tuple[System, ...]:
        path: KeyPath = ("environment", "systems")
        if not environment.get("systems"):
            found = "no system is listed" if "systems" in environment else "`environment.systems` is missing"
            self.bad_value(found, path, 'for example `systems = ["x86_64-linux"]` in `[environment]`')
            return ()
        return self._systems(environment["systems"], path)

    def _systems(self, names: list[str], path: KeyPath) -> tuple[System, ...]:
        systems: list[System] = []
        for index, name in enumerate(names):
            known = [str(system) for system in System]
            if name not in known:
                close = alike(name, known)
                hint = f"did you mean `{close[0]}`?" if close else "cape knows " + ", ".join(known)
                self.bad_value(f"unknown system `{name}`", (*path, index), hint)
            elif System(name) in systems:
                self.bad_value(f"`{name}` is listed twice", (*path, index), "keep one of the two")
            else:
                systems.append(System(name))
        return tuple(systems)

    def _suite(self, environment: Table) -> str | None:
        suite = environment.get("debian")
        if suite is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*(/[a-z-]+)?", suite):
            self.bad_value(
                f"`{suite}` is no suite's name", ("environment", "debian"), 'for example `"trixie"`'
            )
        return suite

    def _minimum_age(self, table: Table, path: KeyPath) -> Age | None:
        if "minimum-age" not in table:
            return None
        try:
            return Age.parse(table["minimum-age"])
        except ValueError:
            self.bad_value(
                f"`{table['minimum-age']}` is no age", path, 'for example `minimum-age = "7 days"`'
            )
            return None

    def _mode(self, environment: Table) -> str:
        mode: str = environment.get("mode", "run")
        if mode not in ("run", "dev"):
            self.bad_value(f"`{mode}` is no mode", ("environment", "mode"), "`run` and `dev` are")
        return mode

    def _expose(self, table: Table) -> Expose:
        for kind, names in table.items():
            for index, name in enumerate(names):
                path = ("environment", "expose", kind, index)
                if not name or "/" in name or name in (".", "..") or not name.isprintable():
                    self.bad_value(f"`{name}` is no program's name", path, "name it without a directory")
                elif kind == "hide" and ":" in name:
                    self.bad_value(
                        f"`{name}` is no program's name", path, "only `add` says whose a program is"
                    )
                elif kind == "hide" and name in table.get("add", ()):
                    self.bad_value(f"`{name}` is both added and hidden", path, "keep one of the two")
        return Expose(add=tuple(table.get("add", ())), hide=tuple(table.get("hide", ())))

    # Requirements.

    def _allow_licences(self, options: Table) -> tuple[str, ...] | None:
        allowed = options.get("allow-licences")
        if allowed is None:
            return None
        for index, one in enumerate(allowed):
            if not one.strip():
                place = ("options", "allow-licences", index)
                self.bad_value("a licence without a name", place, 'for example `"apache-2.0"`')
        return tuple(sorted({one.strip() for one in allowed}))

    def _gpu(self, options: Table) -> str | None:
        word = options.get("gpu")
        if word not in (None, "auto", "none"):
            self.bad_value(f"`{word}` is no choice", ("options", "gpu"), "`auto` or `none`")
        return word

    def _packages(self, table: Table) -> list[Requirement]:
        found = (self._package_or_variants(name, value) for name, value in table.get("packages", {}).items())
        return [requirement for requirement in found if requirement]

    def _package_or_variants(self, name: str, value: str | Table) -> Requirement | None:
        if isinstance(value, dict) and not value.keys().isdisjoint(("variants", "when")):
            from cape.manifest.variants import read_varied

            return read_varied(self, name, value)
        return self.package(name, value, ("packages", name))

    def package(self, name: str, value: str | Table, path: KeyPath) -> Requirement | None:
        """The requirement that a value, or one variant's table, says."""
        table: Table = {DEFAULT_SOURCE: value} if isinstance(value, str) else value
        source = self._source(name, table, path)
        if source is None:
            return None
        at: KeyPath = path if isinstance(value, str) else (*path, source)
        package = self._package_name(name, table, source, path)
        return Requirement(
            source=source,
            name=name,
            package=package,
            constraint=self._constraint(table[source], at),
            systems=self._systems(table.get("systems", []), (*path, "systems")),
            options=self._package_options(table, source, path),
            where=self.where(self.places.of_key(path)),
        )

    def _source(self, name: str, table: Table, path: KeyPath) -> str | None:
        named = [key for key in table if key in PACKAGE_SOURCES]
        if len(named) == 1:
            return named[0]
        if named:
            place = self.places.of_key((*path, named[1]))
            both = " and ".join(f"`{source}`" for source in named)
            fact = f"`{name}` comes from one source, and here are {both}"
            self.complain(BadManifestValue, fact, place, "give the second a key of its own, with `name`")
        else:
            known = " or ".join(f"`{source}`" for source in PACKAGE_SOURCES)
            self.bad_value(f"`{name}` names no source", path, f'add {known}, for example `debian = "*"`')
        return None

    def _package_name(self, name: str, table: Table, source: str, path: KeyPath) -> str:
        if "name" not in table:
            if rule := package_name_rule(source, name):
                self.bad_name(f"`{name}` is no name of a package", path, rule)
            return name
        if rule := project_name_rule(name):
            self.bad_name(f"`{name}` is no name for a package", path, rule)
        package = str(table["name"])
        if rule := package_name_rule(source, package):
            self.bad_value(f"`{package}` is no name of a package", (*path, "name"), rule)
        return package

    def _constraint(self, constraint: str, path: KeyPath) -> str:
        if rule := constraint_rule(constraint):
            self.bad_value(f"`{_dotted(path)}` has no usable constraint", path, rule)
        return constraint.strip()

    def _without(self, names: list[str], source: str, path: KeyPath) -> str:
        """What a language package may lack: names of files, as an option's text."""
        if source == "debian":
            fact = "`without` is for language packages; what a Debian package needs comes with it"
            self.complain(BadManifestValue, fact, self.places.of_key((*path, "without")), "remove it")
        for index, name in enumerate(names):
            if not re.fullmatch(r"[\w+.-]+", name):
                rule, place = "write a file's name, as in `libGL.so.1`", (*path, "without", index)
                self.bad_value(f"`{name}` is no name of a library or program", place, rule)
        return ",".join(sorted(set(names)))

    def _package_options(self, table: Table, source: str, path: KeyPath) -> Mapping[str, str]:
        owners = (
            ("extras", "pypi"),
            ("recommends", "debian"),
            ("force", "debian"),
            ("scripts", "npm"),
            ("project", "build"),
            *((key, "pypi") for key in (*DIRECT_KEYS, "subdirectory", "editable", "marker", "index")),
        )
        for key, owner in owners:
            if key in table and source != owner:
                place = self.places.of_key((*path, key))
                fact = f"`{key}` is for packages of `{owner}`, and this one comes from `{source}`"
                self.complain(BadManifestValue, fact, place, "remove it")
        options = {}
        if table.get("extras"):
            for index, extra in enumerate(table["extras"]):
                if rule := package_name_rule("pypi", extra):
                    self.bad_value(f"`{extra}` is no name of an extra", (*path, "extras", index), rule)
            options["extras"] = ",".join(sorted(set(table["extras"])))
        if table.get("without"):
            options["without"] = self._without(table["without"], source, path)
        for key in ("recommends", "force", "scripts"):
            if table.get(key):
                options[key] = "true"
        if table.get("project"):
            options["project"] = table["project"]
        if source == "pypi":
            options |= self._direct(table, path)
        options |= self._own_age(table, path)
        if "minimum-age" in table and source == "debian":
            place = self.places.of_key((*path, "minimum-age"))
            fact = "Debian's archive does not tell how old a release is"
            self.complain(BadManifestValue, fact, place, "remove `minimum-age` here")
        return MappingProxyType(options)

    def _direct(self, table: Table, path: KeyPath) -> Mapping[str, str]:
        """Where a Python package comes from if not from an index, and its marker, as options."""
        named = [key for key in (*DIRECT_KEYS, "index") if key in table and key != "ref"]
        if len(named) > 1:
            fact = f"`{path[-1]}` comes from one place, and here are `{named[0]}` and `{named[1]}`"
            self.complain(
                BadManifestValue, fact, self.places.of_key((*path, named[1])), "keep one of the two"
            )
        for key, needed in (("ref", "git"), ("editable", "path")):
            if key in table and needed not in table:
                fact = f"`{key}` stands with `{needed}` only"
                self.complain(BadManifestValue, fact, self.places.of_key((*path, key)), "remove it")
        if "marker" in table and (said := marker_rule(table["marker"])):
            self.bad_value(f"`{table['marker']}` is no marker: {said}", (*path, "marker"))
        if "index" in table and (rule := file_name_rule(table["index"])):
            self.bad_value(f"`{table['index']}` is no name of an index", (*path, "index"), rule)
        keys = (*DIRECT_KEYS, "subdirectory", "marker", "index")
        found = {key: table[key] for key in keys if table.get(key)}
        return found | ({"editable": "true"} if table.get("editable") else {})

    def _python(self, table: Table) -> Mapping[str, object]:
        """The table `[python]`, checked."""
        self._project_file(table, "python", "pyproject.toml")
        if "project" not in table:
            for key in ("extras", "groups", "editable"):
                if key in table:
                    hint = 'name it: `project = "pyproject.toml"`'
                    self.bad_name(
                        f"`{key}` says something of a project, and none is named", ("python", key), hint
                    )
        for key in ("extras", "groups", "build"):
            for index, name in enumerate(table.get(key, ())):
                if rule := package_name_rule("pypi", name):
                    self.bad_value(f"`{name}` is no name", ("python", key, index), rule)
        return _frozen(table) if table else MappingProxyType({})

    def _project_file(self, table: Table, section: str, usual: str) -> None:
        project = table.get("project")
        if project is not None and (
            not project or project.startswith("/") or ".." in project.split("/") or project.endswith("/")
        ):
            hint = f'it is relative to the manifest: `project = "{usual}"`'
            self.bad_value(
                f"`{project}` is no file below the manifest's directory", (section, "project"), hint
            )

    def _npm(self, table: Table) -> Mapping[str, object]:
        """The table `[npm]`, checked; `project` is a plain path below the manifest's directory."""
        self._project_file(table, "npm", "package.json")
        for index, name in enumerate(table.get("scripts", ())):
            if rule := package_name_rule("npm", name):
                self.bad_value(f"`{name}` is no name of a package", ("npm", "scripts", index), rule)
        return _frozen(table) if table else MappingProxyType({})

    def _own_age(self, table: Table, path: KeyPath) -> Mapping[str, str]:
        """A requirement's own minimum age, as an option."""
        age = self._minimum_age(table, (*path, "minimum-age"))
        return {"minimum-age": age.text} if age else {}

    def _models(self, table: Table) -> list[Requirement]:
        check_variables(self, table.get("models", {}))
        found = (self._model(name, value) for name, value in table.get("models", {}).items())
        return [requirement for requirement in found if requirement]

    def _model(self, name: str, table: Table) -> Requirement | None:
        path: KeyPath = ("models", name)
        if rule := file_name_rule(name):
            self.bad_name(f"`{name}` is no name for a model", path, rule)
        read = read_model(self, name, table)
        if read is None:
            return None
        package, options = read
        return Requirement(
            source="model",
            name=name,
            package=package,
            constraint=self._constraint(table.get("version", "*"), (*path, "version")),
            systems=self._systems(table.get("systems", []), (*path, "systems")),
            options=MappingProxyType({**options, **self._own_age(table, path)}),
            where=self.where(self.places.of_key(path)),
        )

    def _names_are_single(self, table: Table) -> None:
        """A requirement's name is one word on the command line, so packages and models share them."""
        for name in table.get("models", {}):
            if name in table.get("packages", {}):
                line, _ = self.places.line_and_column(self.places.of_key(("packages", name)))
                fact = f"`{name}` is a model here and a package at line {line}"
                self.bad_name(fact, ("models", name), "give one of them another name")

    # The other tables.

    def _variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        from cape.manifest.variables import Ring, in_order

        for name, value in variables.items():
            if not VARIABLE_NAME.match(name):
                hint = "a name has letters, digits and `_`, no digit first"
                self.bad_name(f"`{name}` is no name of a variable", ("vars", name), hint)
            elif name in OWN_VARIABLES:
                self.bad_name(f"`{name}` is set by cape itself", ("vars", name), "take another name")
            if "\0" in value:
                self.bad_value(f"`{name}` holds a NUL character", ("vars", name), "no variable can hold one")
        try:
            return in_order(variables)
        except Ring as ring:
            members = ring.members
            shown = " -> ".join(f"`{name}`" for name in (*members, members[0]))
            offset = min(self.places.of_key(("vars", name)) for name in members)
            self.complain(
                VariableCycle,
                f"variables refer to each other in a ring: {shown}",
                offset,
                "break it at one of them",
            )
            return {}

    def _secrets(self, table: Table) -> Mapping[str, Mapping[str, str]]:
        from cape.manifest.variables import fault_of_secret

        secrets: Mapping[str, Table] = table.get("secrets", {})
        for name, secret in secrets.items():
            path: KeyPath = ("secrets", name)
            if not VARIABLE_NAME.match(name) or name in OWN_VARIABLES:
                self.bad_name(f"`{name}` is no name of a variable", path, "take another name")
            if name in table.get("vars", {}):
                line, _ = self.places.line_and_column(self.places.of_key(("vars", name)))
                self.bad_name(f"`{name}` is a secret here and a variable at line {line}", path, "keep one")
            if found := fault_of_secret(secret):
                self.bad_value(f"secret `{name}` {found[0]}", path, found[1])
        return _frozen(secrets) if secrets else MappingProxyType({})

    def _env_files(self, environment: Table) -> tuple[str, ...]:
        files: tuple[str, ...] = tuple(environment.get("env-files", ()))
        for index, name in enumerate(files):
            if not name.isprintable() or name.startswith("/") or {"", "..", "."} & set(name.split("/")):
                hint = 'it is relative to the manifest: `env-files = [".env"]`'
                fact = f"`{name}` is no file below the manifest's directory"
                self.bad_value(fact, ("environment", "env-files", index), hint)
        return files

    def _services(self, table: Table) -> None:
        from cape.manifest.services import faults_of_services

        services: Mapping[str, Table] = table.get("services", {})
        for name, service in services.items():
            path: KeyPath = ("services", name)
            if rule := file_name_rule(name):
                self.bad_name(f"`{name}` is no name for a service", path, rule)
            if not str(service.get("command", "")).strip():
                self.bad_value(
                    f"service `{name}` has no `command`", path, 'for example `command = "redis-server"`'
                )
            for index, other in enumerate(service.get("depends-on", ())):
                at = (*path, "depends-on", index)
                if other == name:
                    self.bad_value(f"service `{name}` depends on itself", at, "remove it")
                else:
                    self._known_name(f"service `{name}` depends on", other, table, "services", at)
        for path, fact, hint in faults_of_services(services):
            self.bad_value(fact, ("services", *path), hint)

    def _known_name(self, fact: str, name: str, table: Table, section: str, path: KeyPath) -> None:
        """Check that a table of that name is in the section, or may come from an included manifest."""
        if name in table.get(section, {}) or table.get("include", {}).get("environments") or self.is_part:
            return
        close = alike(name, table.get(section, {}))
        hint = f"did you mean `{close[0]}`?" if close else f"name a table of `[{section}]`"
        self.bad_value(f"{fact} `{name}`, which is not in `[{section}]`", path, hint)

    def _builds(self, table: Table) -> None:
        for name, build in table.get("build", {}).items():
            path: KeyPath = ("build", name)
            if rule := package_name_rule("build", name):
                self.bad_name(f"`{name}` is no name for a build", path, rule)
            if not build.get("command", "").strip():
                hint = 'for example `command = "make && make install DESTDIR=$out prefix="`'
                self.bad_value(f"build `{name}` has no `command`", path, hint)
            for key, source in (("runtime", "debian"), ("depends", "build")):
                for index, other in enumerate(build.get(key, ())):
                    if rule := package_name_rule(source, other):
                        self.bad_value(f"`{other}` is no name of a package", (*path, key, index), rule)
            if rule := file_name_rule(build.get("version", "0")):
                self.bad_value(f"the version of build `{name}` cannot be part of a file's name", path, rule)
            if build.get("clock", "real") not in ("real", "fixed"):
                fact = f"build `{name}` has no clock `{build['clock']}`"
                self.bad_value(fact, (*path, "clock"), "it is `real`, or `fixed` at the last commit")

    def _knowledge(self, table: Table) -> None:
        bases: Mapping[str, Table] = table.get("knowledge", {})
        for name, base in bases.items():
            path: KeyPath = ("knowledge", name)
            if rule := file_name_rule(name):
                self.bad_name(f"`{name}` is no name for a knowledge base", path, rule)
            if not base.get("sources"):
                hint = 'for example `sources = ["docs/**/*.md"]`'
                self.bad_value(f"knowledge base `{name}` has no `sources`", path, hint)
            if "embedder" in base:
                fact = f"knowledge base `{name}` wants the embedder"
                self._known_name(fact, base["embedder"], table, "models", (*path, "embedder"))
            if "reranker" in base:
                fact = f"knowledge base `{name}` wants the reranker"
                self._known_name(fact, base["reranker"], table, "models", (*path, "reranker"))
            self._writers_of(name, base, table)
            if not 0 <= base.get("answer-from", 0) <= 100:
                fact = f"`answer-from` of knowledge base `{name}` is no share in per cent"
                self.bad_value(fact, (*path, "answer-from"), "a number from 0 to 100")

    def _writers_of(self, name: str, base: Table, table: Table) -> None:
        wanted = base.get("writer", ())
        path: KeyPath = ("knowledge", name, "writer")
        for one in [wanted] if isinstance(wanted, str) else wanted:
            if one not in table.get("writers", {}):
                fact = f"knowledge base `{name}` wants the writer"
                self._known_name(fact, one, table, "models", path)
        if not base.get("data", "-").strip():
            self.bad_value(f"`data` of knowledge base `{name}` is empty", ("knowledge", name, "data"))

    def _amounts(self, whose: str, table: Table, path: KeyPath, most: Mapping[str, float]) -> None:
        """Check that numbers of a table are from 0 to what each may be at most; integers from 1."""
        for key, limit in most.items():
            value = table.get(key, 1)
            least = 1 if key in ("window", "timeout", "threads") else 0
            if not least <= value <= limit:
                self.bad_value(f"`{key}` of {whose} is `{value}`", (*path, key), f"{least} to {limit:,g}")

    def _budget(self, table: Table) -> None:
        budget = table.get("budget", {})
        self._amounts("the budget", budget, ("budget",), dict.fromkeys(("run", "day", "month"), 1e9))

    def _writers(self, table: Table) -> None:
        writers: Mapping[str, Table] = table.get("writers", {})
        for name, writer in writers.items():
            path: KeyPath = ("writers", name)
            if rule := file_name_rule(name):
                self.bad_name(f"`{name}` is no name for a writer", path, rule)
            for key in ("api", "model"):
                if not writer.get(key):
                    hint = 'for example `api = "chat"`, `model = "large-2"`'
                    self.bad_value(f"the writer `{name}` has no `{key}`", path, hint)
            if writer.get("api", "chat") not in WRITER_APIS:
                listed = ", ".join(f"`{one}`" for one in WRITER_APIS)
                self.bad_value(
                    f"the writer `{name}` speaks `{writer['api']}`", (*path, "api"), f"one of {listed}"
                )
            if writer.get("api") == "local" and writer.get("model"):
                fact = f"the writer `{name}` wants the model"
                self._known_name(fact, writer["model"], table, "models", (*path, "model"))
            self._amounts(f"the writer `{name}`", writer, path, WRITER_NUMBERS)
            if ("input-price" in writer) != ("output-price" in writer):
                hint = "both belong together; 0 where it costs nothing"
                self.bad_value(f"the writer `{name}` has one price of two", path, hint)
            if not writer.get("endpoint", "https://").startswith(("http://", "https://")):
                self.bad_value(f"`endpoint` of the writer `{name}` is no address", (*path, "endpoint"))
            if not VARIABLE_NAME.match(writer.get("key", "KEY")):
                rule = "it is the name of a variable; the key itself belongs into no file"
                self.bad_value(f"`key` of the writer `{name}` is no name", (*path, "key"), rule)

    def _include(self, include: Table) -> None:
        from cape.manifest.include import faults_of

        path: KeyPath = ("include", "environments")
        for index, key, fact, hint in faults_of(include.get("environments", ())):
            self.bad_value(fact, (*path, index, key) if key else (*path, index), hint)
        self._removals(include.get("remove", ()), ("include", "remove"))


def shape_of(key: Key) -> tuple[str, ...]:
    """The pattern of the keys inside a table: an environment's tables have the keys of the manifest's, and a
    variant those of a package."""
    if key.path == "packages.NAME.variants":
        return key.parts[:-1]
    if key.parts[:2] == ("environments", "NAME") and len(key.parts) == 3:
        if key.parts[2] in SHARED_TABLES:
            return key.parts[2:]
        if key.parts[2] == "expose":
            return ("environment", "expose")
    return key.parts


def _frozen(value: Any) -> Any:
    """A copy of a parsed value that nobody can change: mappings and tuples."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value


def _dotted(path: KeyPath) -> str:
    """A path as TOML writes it, list indices in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"')
    return text


def _number(line: str) -> str:
    match = re.match(r"[-+0-9._eExXobinfa]+", line)
    return match.group() if match else "..."


def _shown(value: object) -> str:
    return f"`{value}`" if isinstance(value, int | str) else _type_words(value)


def _type_words(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    words = {str: "a string", int: "an integer", float: "a number", list: "a list", dict: "a table"}
    return words.get(type(value), "a date or time")
