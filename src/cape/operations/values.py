"""`cape why VARIABLE`: the file and line, or the environment, that set each part of a value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cape.environment.activation import Activation, Operation, Unset
from cape.environment.generations import Generation, current_generation
from cape.environment.provenance import OUTSIDE, Piece, Pieces, entries, pieces_inside, text_of, without_own
from cape.environment.recording import LISTS
from cape.errors import InputError
from cape.manifest.naming import VARIABLE_NAME
from cape.names import nearest
from cape.operations.project import Project
from cape.store import Store


class UnknownVariable(InputError):
    """A variable that neither the environment sets nor this process has."""

    slug = "unknown-variable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a value, or an entry of a list. `text` is None for a secret's. `variable` is the one whose
    setting brought it: another than asked for where that one is referred to."""

    text: str | None
    origin: str
    variable: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A variable inside. `value` is None where it is not set, or a secret is part of it (`secret`).

    `inside` says whether this process is; `elsewhere` is its value here where that is another, because
    somebody set it after entering.
    """

    name: str
    value: str | None
    secret: bool
    is_list: bool
    parts: tuple[Part, ...]
    unset_by: str | None
    inside: bool
    elsewhere: str | None
    environment: str
    generation: int


def is_variable(project: Project, text: str, *, environment: str | None = None) -> bool:
    """Whether `text` is meant as a variable: `$NAME`, or a name that the environment sets or takes away, or
    one in capitals that this process has."""
    if text.startswith("$"):
        return True
    if not VARIABLE_NAME.match(text):
        return False
    generation = current_generation(project.directory)
    if generation is not None:
        activation = _activation(generation, environment)
        touched = {one.name for one in (*activation.operations, *activation.secrets, *_hooked(activation))}
        if text in touched:
            return True
    return text == text.upper() and text in os.environ


def why_variable(
    project: Project,
    store: Store,
    text: str,
    *,
    environment: str | None = None,
    here: Mapping[str, str] | None = None,
) -> Value:
    """What sets each part of a variable. Raises `NoGeneration`, `UnknownVariable`."""
    from cape.environment.generations import NoGeneration

    name = text.removeprefix("$").removeprefix("{").removesuffix("}")
    here = os.environ if here is None else here
    generation = current_generation(project.directory)
    if generation is None:
        raise NoGeneration("nothing was made here yet", where=str(project.directory), hint="run `cape sync`")
    activation = _activation(generation, environment)
    inside = here.get("CAPE_ENV") == str(activation.environment)
    later = _hooked(activation)
    outside = _outside(activation, later, here) if inside else dict(here)
    found = pieces_inside(activation, later, outside)
    gone = [
        one.origin for one in (*activation.operations, *later) if isinstance(one, Unset) and one.name == name
    ]
    if name not in found and not gone:
        raise _unknown(name, found)
    pieces = found.get(name, ())
    value = text_of(pieces) if name in found else None
    is_list = name.endswith(LISTS)
    names = _Environments(project, store, generation, activation)
    return Value(
        name=name,
        value=value,
        secret=any(piece.text is None for piece in pieces),
        is_list=is_list,
        parts=tuple(_parts(pieces, names, is_list=is_list)),
        unset_by=gone[-1] if name not in found else None,
        inside=inside,
        elsewhere=here.get(name) if inside and value is not None and here.get(name) != value else None,
        environment=activation.name,
        generation=generation.number,
    )


def _unknown(name: str, found: Mapping[str, Pieces]) -> UnknownVariable:
    close = nearest(name, found)
    hint = "did you mean " + ", ".join(f"`{one}`" for one in close) + "?" if close else None
    return UnknownVariable(f"`{name}` is set neither by the environment nor outside", hint=hint)


def _activation(generation: Generation, environment: str | None) -> Activation:
    from cape.environment.sealing import read_activation

    place = generation.attached[environment] if environment else generation.environment
    found = read_activation(generation.project, generation.directory, place, name=environment)
    if found.mode != "dev":
        return found
    return replace(found, operations=(*found.operations, *found.development))


def _hooked(activation: Activation) -> tuple[Operation, ...]:
    """What the hook of the last start did to variables."""
    from cape.environment.recording import read_recorded
    from cape.environment.shells.hooks import variables_file

    return read_recorded(variables_file(activation))


def _outside(activation: Activation, later: tuple[Operation, ...], here: Mapping[str, str]) -> dict[str, str]:
    """This process's variables without what the environment brought, as far as that can be told."""
    own = pieces_inside(activation, later, {})
    outside = {}
    for name, value in here.items():
        if name not in own:
            outside[name] = value
        elif name.endswith(LISTS):
            brought = ("".join(one.text or "" for one in entry) for entry in entries(own[name]))
            if rest := without_own(value, brought):
                outside[name] = rest
    return outside


class _Environments:
    """Says which environment an entry of a list is of."""

    def __init__(
        self, project: Project, store: Store, generation: Generation, activation: Activation
    ) -> None:
        self._store = store
        self._places = {str(activation.environment): f"environment {activation.name}, generation "
                        f"{generation.number} of {project.directory}"}  # fmt: skip

    def told(self, text: str, origin: str) -> str:
        for place, words in self._places.items():
            if text == place or text.startswith(f"{place}/"):
                return f"{words} ({origin})" if origin != OUTSIDE else words
        if origin != OUTSIDE:
            return origin
        environments = f"{self._store.environments}/"
        if not text.startswith(environments):
            return origin
        return self._other(text.removeprefix(environments).split("/")[0])

    def _other(self, identity: str) -> str:
        """An environment of another project, or of another time."""
        for known in self._store.projects.all():
            if identity in known.environments:
                current = current_generation(known.directory)
                is_current = current is not None and current.environment.name == identity
                number = f", generation {current.number}" if current is not None and is_current else ""
                return f"an environment of {known.directory}{number}"
        return "another environment"


def _parts(pieces: Pieces, names: _Environments, *, is_list: bool) -> Iterator[Part]:
    if not is_list:
        yield from (_part(piece, names) for piece in pieces if piece.text != "" or len(pieces) == 1)
        return
    for entry in entries(pieces):
        texts = [piece.text for piece in entry]
        text = None if None in texts else "".join(one or "" for one in texts)
        origins = dict.fromkeys(names.told(text or "", piece.origin) for piece in entry)
        yield Part(text=text, origin=" + ".join(origins), variable=entry[0].variable)


def _part(piece: Piece, names: _Environments) -> Part:
    return Part(text=piece.text, origin=names.told(piece.text or "", piece.origin), variable=piece.variable)
