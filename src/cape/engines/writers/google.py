"""Google's Gemini API.

Source: the API reference of `models.generateContent` and `models.streamGenerateContent`, v1beta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cape.answers.writing import LONGEST_REPLY_TOKENS, Prompt, Reply
from cape.engines.writers.errors import WriterJunk
from cape.engines.writers.wire import Service, ask, events


@dataclass(frozen=True, kw_only=True, slots=True)
class GoogleWriter:
    """A writer behind `POST {base}/v1beta/models/{model}:generateContent`."""

    name: str
    model: str
    service: Service

    @property
    def identity(self) -> Mapping[str, str]:
        return {"api": "google", "model": self.model, "version": "v1beta"}

    def complete(self, prompt: Prompt, *, tokens: int = LONGEST_REPLY_TOKENS) -> Reply:
        return self._reply(ask(self.service, self._path("generateContent"), self._body(prompt, tokens)))

    def complete_json(
        self, prompt: Prompt, schema: Mapping[str, Any], *, tokens: int = LONGEST_REPLY_TOKENS
    ) -> Reply:
        form = {"responseMimeType": "application/json", "responseJsonSchema": schema}
        body = self._body(prompt, tokens)
        body["generationConfig"] |= form
        return self._reply(ask(self.service, self._path("generateContent"), body))

    def stream(self, prompt: Prompt, *, tokens: int = LONGEST_REPLY_TOKENS) -> Iterator[str]:
        path = self._path("streamGenerateContent") + "?alt=sse"
        for event in events(self.service, path, self._body(prompt, tokens)):
            if piece := "".join(_texts(event)):
                yield piece

    def _path(self, method: str) -> str:
        return f"/v1beta/models/{quote(self.model, safe='')}:{method}"

    def _body(self, prompt: Prompt, tokens: int) -> dict[str, Any]:
        return {
            "systemInstruction": {"parts": [{"text": prompt.system}]},
            "contents": [{"role": "user", "parts": [{"text": prompt.user}]}],
            "generationConfig": {"temperature": 0, "maxOutputTokens": tokens},
        }

    def _reply(self, told: Mapping[str, Any]) -> Reply:
        candidates = told.get("candidates")
        if not isinstance(candidates, list) or not candidates or not isinstance(candidates[0], dict):
            raise WriterJunk(
                f"the writer `{self.name}` sent a reply without a candidate", where=self.service.shown()
            )
        usage = told.get("usageMetadata") or {}
        return Reply(
            text="".join(_texts(told)),
            tokens_in=int(usage.get("promptTokenCount") or 0),
            tokens_out=int(usage.get("candidatesTokenCount") or 0),
            ended=candidates[0].get("finishReason") != "MAX_TOKENS",
        )


def _texts(told: Mapping[str, Any]) -> Iterator[str]:
    for candidate in told.get("candidates") or ():
        content = candidate.get("content") if isinstance(candidate, dict) else None
        for part in (content or {}).get("parts") or ():
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
