"""The table of writers: prices, windows, speed, where they run, and which data they may see.

Owns the shape of the table and its checks. Which writers there are is a project's to say; no price is known
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cape.errors import InputError
from cape.names import nearest

_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "input-price": (int, float),
    "output-price": (int, float),
    "window": int,
    "tokens-per-second": (int, float),
    "local": bool,
    "data": list,
    "strength": (int, float),
}
_REQUIRED = ("input-price", "output-price", "window", "strength")


class BadWriters(InputError):
    """The table of writers is not one."""

    slug = "bad-writers"


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterRow:
    """A writer. Prices are per million tokens, in the project's currency; `window` is in tokens.

    `strength` in [0, 1] orders writers by how much they can be asked; `data` are the classes of data that it
    may see, all if it is local and none are named. `tokens_per_second` is None where nobody measured it,
    `patience_s` is how long its reply is waited for. One that is not `priced` costs nobody knows what.
    """

    name: str
    input_price: float
    output_price: float
    window: int
    strength: float
    local: bool
    data: frozenset[str]
    tokens_per_second: float | None
    patience_s: float | None = None
    priced: bool = True

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """What a call with so many tokens costs at most."""
        return (input_tokens * self.input_price + output_tokens * self.output_price) / 1e6

    def may_see(self, data: str | None) -> bool:
        """Whether data of a class may be sent to it; None is data without a class."""
        if data is None or data in self.data:
            return True
        return self.local and not self.data


def writers_of(table: Mapping[str, Any], *, where: str) -> tuple[WriterRow, ...]:
    """The writers of a table `{NAME: {"input-price", "output-price", "window", "strength", ...}}`, by name.

    Raises `BadWriters`.
    """
    return tuple(_writer(name, table[name], where) for name in sorted(table))


def _writer(name: str, fields: Any, where: str) -> WriterRow:
    if not isinstance(fields, Mapping):
        raise BadWriters(f"the writer `{name}` is no table", where=where)
    for key, value in fields.items():
        _check(name, key, value, where)
    if missing := [key for key in _REQUIRED if key not in fields]:
        raise BadWriters(f"the writer `{name}` has no `{missing[0]}`", where=where)
    speed = fields.get("tokens-per-second")
    return WriterRow(
        name=name,
        input_price=float(fields["input-price"]),
        output_price=float(fields["output-price"]),
        window=fields["window"],
        strength=float(fields["strength"]),
        local=fields.get("local", False),
        data=frozenset(fields.get("data", ())),
        tokens_per_second=None if speed is None else float(speed),
    )


def _check(name: str, key: str, value: Any, where: str) -> None:
    if key not in _KEYS:
        close = nearest(key, _KEYS)
        raise BadWriters(
            f"the writer `{name}` has an unknown key `{key}`",
            where=where,
            hint=f"did you mean `{close[0]}`?" if close else None,
        )
    wrong = not isinstance(value, _KEYS[key]) or (isinstance(value, bool) and key != "local")
    if wrong or (key == "data" and not all(isinstance(one, str) for one in value)):
        raise BadWriters(f"`{key}` of the writer `{name}` is `{value}`", where=where)
    if isinstance(value, (int, float)) and not 0 <= value < 1e12:
        raise BadWriters(f"`{key}` of the writer `{name}` is `{value}`", where=where, hint="it is 0 or more")
    if key == "strength" and value > 1:
        raise BadWriters(
            f"`strength` of the writer `{name}` is `{value}`", where=where, hint="it is at most 1"
        )
