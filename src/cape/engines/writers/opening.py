"""From a writer's settings to the writer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cape.engines.writers.errors import WriterRefused
from cape.errors import InputError

if TYPE_CHECKING:
    from cape.answers.writing import Writer
    from cape.engines.writers.wire import Service

APIS = ("chat", "anthropic", "google")


class BadWriter(InputError):
    """The settings of a writer are not what one can be opened with."""

    slug = "bad-writer"


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterSettings:
    """A service that writes. `key` is the name of a variable, never a key itself."""

    name: str
    api: str
    model: str
    endpoint: str
    key: str | None = None
    silence_s: float = 60.0
    attempts: int = 3
    longest_s: float = 120.0


def open_writer(settings: WriterSettings, variables: Mapping[str, str]) -> Writer:
    """The writer; nothing is sent yet. Raises `BadWriter`, and `WriterRefused` where its key is not set."""
    if settings.api not in APIS:
        listed = ", ".join(f"`{one}`" for one in APIS)
        raise BadWriter(f"the writer `{settings.name}` speaks `{settings.api}`", hint=f"one of {listed}")
    if not settings.endpoint.startswith(("http://", "https://")):
        raise BadWriter(
            f"the writer `{settings.name}` has no address",
            hint=f"`cape config writers {settings.name}=https://...`, or `endpoint` in the manifest",
        )
    service = _service(settings, variables)
    if settings.api == "anthropic":
        from cape.engines.writers.anthropic import AnthropicWriter

        return AnthropicWriter(name=settings.name, model=settings.model, service=service)
    if settings.api == "google":
        from cape.engines.writers.google import GoogleWriter

        return GoogleWriter(name=settings.name, model=settings.model, service=service)
    from cape.engines.writers.chat import ChatWriter

    return ChatWriter(name=settings.name, model=settings.model, service=service)


def _service(settings: WriterSettings, variables: Mapping[str, str]) -> Service:
    from cape.engines.writers.wire import Service

    return Service(
        name=settings.name,
        base=settings.endpoint,
        headers=_headers(settings, variables),
        silence_s=settings.silence_s,
        attempts=settings.attempts,
        longest_s=settings.longest_s,
    )


def _headers(settings: WriterSettings, variables: Mapping[str, str]) -> dict[str, str]:
    key = None
    if settings.key:
        key = variables.get(settings.key)
        if not key:
            raise WriterRefused(
                f"the writer `{settings.name}` wants a key, and `${settings.key}` is not set",
                hint=f"set it, or name it in `[secrets]`; `key` of `[writers.{settings.name}]` says which",
            )
    if settings.api == "anthropic":
        from cape.engines.writers.anthropic import VERSION

        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}
    if settings.api == "google":
        return {"x-goog-api-key": key} if key else {}
    return {"authorization": f"Bearer {key}"} if key else {}
