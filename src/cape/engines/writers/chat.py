"""Services that speak chat completions: many, and servers of local models too.

Source: the chat completions API reference; llama.cpp's server takes the same, and `cache_prompt`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cape.answers.writing import LONGEST_REPLY_TOKENS, Prompt, Reply
from cape.engines.writers.errors import WriterJunk
from cape.engines.writers.wire import Service, ask, events


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatWriter:
    """A writer behind `POST {base}/chat/completions`. `more` goes into each request as it is."""

    name: str
    model: str
    service: Service
    more: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> Mapping[str, str]:
        settings = {key: str(value) for key, value in sorted(self.more.items())}
        return {"api": "chat", "model": self.model, **settings, **self.known}

    def complete(self, prompt: Prompt, *, tokens: int = LONGEST_REPLY_TOKENS) -> Reply:
        return self._reply(ask(self.service, "/chat/completions", self._body(prompt, tokens)))

    def complete_json(
        self, prompt: Prompt, schema: Mapping[str, Any], *, tokens: int = LONGEST_REPLY_TOKENS
    ) -> Reply:
        form = {"name": "reply", "schema": schema, "strict": True}
        body = self._body(prompt, tokens) | {"response_format": {"type": "json_schema", "json_schema": form}}
        return self._reply(ask(self.service, "/chat/completions", body))

    def stream(self, prompt: Prompt, *, tokens: int = LONGEST_REPLY_TOKENS) -> Iterator[str]:
        body = self._body(prompt, tokens) | {"stream": True}
        for event in events(self.service, "/chat/completions", body):
            for choice in event.get("choices") or ():
                piece = (choice.get("delta") or {}).get("content")
                if isinstance(piece, str) and piece:
                    yield piece

    def _body(self, prompt: Prompt, tokens: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            "max_tokens": tokens,
            "temperature": 0,
            **self.more,
        }

    def _reply(self, told: Mapping[str, Any]) -> Reply:
        try:
            choice = told["choices"][0]
            text = choice["message"]["content"]
            usage = told.get("usage") or {}
            assert isinstance(text, str)
        except (AssertionError, KeyError, IndexError, TypeError):
            raise WriterJunk(
                f"the writer `{self.name}` sent a reply without a text", where=self.service.shown()
            ) from None
        return Reply(
            text=text,
            tokens_in=int(usage.get("prompt_tokens") or 0),
            tokens_out=int(usage.get("completion_tokens") or 0),
            ended=choice.get("finish_reason") != "length",
        )
