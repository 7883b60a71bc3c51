"""Whether a file of a model may be taken: its format, and what it would run.

Owns the refusals. What a format is, and what a pickle calls, is found by `cape.models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cape.errors import InputError
from cape.models.errors import BadModelFile, WeightsOutside
from cape.models.formats.pickles import UNREADABLE, scan
from cape.models.recognition import Kind, kind_of, kind_of_bytes, kind_without_suffix, read_header
from cape.sources.models.errors import DangerousPickle, PickleRefused

_SHOWN = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A file that may be taken: what it is, and the licence that it names."""

    kind: Kind
    licence: str | None = None


def is_pickle_by_name(name: str) -> bool:
    """Whether loaders unpickle a file of that name."""
    return kind_of_bytes(b"", name) is Kind.PICKLE


def refuse_by_name(model: str, name: str, allowed: str, where: str | None) -> None:
    """Raise `PickleRefused` for a name that loaders unpickle, where nothing is allowed."""
    if not allowed and is_pickle_by_name(name):
        raise _refused(model, name, where)


def judged(file: Path, name: str, *, model: str, allowed: str = "", where: str | None = None) -> Judgement:
    """What a file of a model is, read from its bytes. `allowed` is the option `allow-pickle`.

    A header that cannot be read says nothing: new kinds of tensors are no harm. A pickle under another
    format's name is a pickle.
    Raises `PickleRefused`, `DangerousPickle`, `WeightsOutside`; each names the file.
    """
    kind = kind_of(file, name)
    if kind is Kind.PICKLE:
        kind = _pickle(file, name, model, allowed, where)
    if kind not in (Kind.GGUF, Kind.SAFETENSORS, Kind.ONNX):
        return Judgement(kind=kind)
    try:
        return Judgement(kind=kind, licence=read_header(file, name).licence)
    except WeightsOutside as error:
        fact = f"`{name}` of the model `{model}` cannot be taken: {error.fact}"
        raise WeightsOutside(fact, where=where) from error
    except BadModelFile:
        return Judgement(kind=_pickle(file, name, model, allowed, where, otherwise=kind))


def _pickle(
    file: Path, name: str, model: str, allowed: str, where: str | None, *, otherwise: Kind | None = None
) -> Kind:
    """The kind of a file that may be a pickle; raises where it is one that may not be taken."""
    with open(file, "rb") as stream:
        found = scan(stream)
    if not found.pickles and not found.unreadable:
        return otherwise or kind_without_suffix(file)
    if not allowed:
        raise _refused(model, name, where)
    named = frozenset(allowed.split())
    dangerous = [one for one in found.dangerous if one not in named]
    if dangerous:
        raise _dangerous(model, name, dangerous, where)
    if found.unreadable and UNREADABLE not in named:
        raise DangerousPickle(
            f"`{name}` of the model `{model}` cannot be looked through: {found.unreadable[0]}",
            where=where,
            hint=f'another format is better; `allow-pickle = ["{UNREADABLE}"]` takes it all the same',
        )
    return Kind.PICKLE


def _refused(model: str, name: str, where: str | None) -> InputError:
    return PickleRefused(
        f"`{name}` of the model `{model}` is a pickle: it runs code when it is loaded",
        where=where,
        hint="take a file of safetensors, GGUF or ONNX; `allow-pickle = true` allows this one",
    )


def _dangerous(model: str, name: str, names: list[str], where: str | None) -> InputError:
    shown = ", ".join(f"`{one}`" for one in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    listed = ", ".join(f'"{one}"' for one in names[:_SHOWN])
    return DangerousPickle(
        f"`{name}` of the model `{model}` would call {shown}{more} when it is loaded",
        where=where,
        hint=f"take it from somebody else; if you trust it all the same: `allow-pickle = [{listed}]`",
    )
