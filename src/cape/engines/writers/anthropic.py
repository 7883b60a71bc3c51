"""Anthropic's Messages API. A schema is asked for as the input of a tool that must be used.

Source: the API reference of `POST /v1/messages`, version 2023-06-01.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cape.answers.writing import LONGEST_REPLY_TOKENS, Prompt, Reply
from cape.engines.writers.errors import WriterJunk
from cape.engines.writers.wire import Service, ask, events

VERSION = "2023-06-01"
_TOOL = "reply"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnthropicWriter:
    """A writer behind `POST {base}/v1/messages`."""

    name: str
    model: str
    service: Service

    @property
    def identity(self) -> Mapping[str, str]:
        return {"api": "anthropic", "model": self.model, "version": VERSION}

    def complete(self, prompt: Prompt, *, tokens: int = LONGEST_REPLY_TOKENS) -> Reply:
        told = ask(self.service, "/v1/messages", self._body(prompt, tokens))
        texts = [block.get("text") for block in self._blocks(told) if block.get("type") == "text"]
        return self._reply(told, "".join(one for one in texts if isinstance(one, str)))

    def complete_json(
        self, prompt: Prompt, schema: Mapping[str, Any], *, tokens: int = LONGEST_REPLY_TOKENS
    ) -> Reply:
        tool = {"name": _TOOL, "description": "Gives the answer.", "input_schema": schema}
        body = self._body(prompt, tokens) | {
            "tools": [tool],
            "tool_choice": {"type": "tool", "name": _TOOL},
        }
        told = ask(self.service, "/v1/messages", body)
        given = [block.get("input") for block in self._blocks(told) if block.get("type") == "tool_use"]
        return self._reply(told, json.dumps(given[0]) if given else "")

    def stream(self, prompt: Prompt, *, tokens: int = LONGEST_REPLY_TOKENS) -> Iterator[str]:
        body = self._body(prompt, tokens) | {"stream": True}
        for event in events(self.service, "/v1/messages", body):
            if event.get("type") == "error":
                raise WriterJunk(f"the writer `{self.name}` broke off its reply", where=self.service.shown())
            piece = (event.get("delta") or {}).get("text")
            if isinstance(piece, str) and piece:
                yield piece

    def _body(self, prompt: Prompt, tokens: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "system": prompt.system,
            "messages": [{"role": "user", "content": prompt.user}],
            "max_tokens": tokens,
            "temperature": 0,
        }

    def _blocks(self, told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        blocks = told.get("content")
        if not isinstance(blocks, list) or not all(isinstance(one, dict) for one in blocks):
            raise WriterJunk(
                f"the writer `{self.name}` sent a reply without a content", where=self.service.shown()
            )
        return blocks

    def _reply(self, told: Mapping[str, Any], text: str) -> Reply:
        usage = told.get("usage") or {}
        return Reply(
            text=text,
            tokens_in=int(usage.get("input_tokens") or 0),
            tokens_out=int(usage.get("output_tokens") or 0),
            ended=told.get("stop_reason") != "max_tokens",
        )
