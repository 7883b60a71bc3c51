"""Three services' wire formats, and what becomes of services that are down, slow, busy, or talk nonsense."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cape.answers.writing import SCHEMA, Prompt, Writer
from cape.engines.writers import (
    WriterBusy,
    WriterDown,
    WriterError,
    WriterJunk,
    WriterRefused,
    WriterSettings,
    WriterUnreached,
    open_writer,
)
from cape.engines.writers.opening import BadWriter
from tests.mirrors.loopback import unused_url
from tests.writers.service import Answer, service, streamed

PROMPT = Prompt(system="Be short.", user="How high is it?")
KEY = "sk-not-to-be-told"

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "41 m"}, "finish_reason": "stop"},
    ],
    "usage": {"prompt_tokens": 19, "completion_tokens": 3, "total_tokens": 22},
}
ANTHROPIC: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "41 m"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 19, "output_tokens": 3},
}
GOOGLE: dict[str, Any] = {
    "candidates": [
        {"content": {"parts": [{"text": "41 m"}], "role": "model"}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": {"promptTokenCount": 19, "candidatesTokenCount": 3, "totalTokenCount": 22},
    "modelVersion": "m",
}
REPLIES: dict[str, dict[str, Any]] = {"chat": CHAT, "anthropic": ANTHROPIC, "google": GOOGLE}
PATHS = {
    "chat": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "google": "/v1beta/models/m:generateContent",
}
BASES = {"chat": "/v1", "anthropic": "", "google": ""}
in_each = pytest.mark.parametrize("api", ["chat", "anthropic", "google"])


def writer(api: str, url: str, *, key: str | None = "WRITER_KEY", **more: Any) -> Writer:
    more = {"silence_s": 5.0, "attempts": 2, **more}
    settings = WriterSettings(name="big", api=api, model="m", endpoint=url + BASES[api], key=key, **more)
    return open_writer(settings, {"WRITER_KEY": KEY})


@in_each
def test_a_reply_has_its_text_and_its_tokens(api: str) -> None:
    with service(Answer(body=REPLIES[api])) as running:
        reply = writer(api, running.url).complete(PROMPT, tokens=40)
    assert (reply.text, reply.tokens_in, reply.tokens_out, reply.ended) == ("41 m", 19, 3, True)
    ((path, headers, body),) = running.asked
    assert path == PATHS[api]
    assert (
        KEY
        in {
            "chat": headers.get("authorization", ""),
            "anthropic": headers.get("x-api-key", ""),
            "google": headers.get("x-goog-api-key", ""),
        }[api]
    )
    assert "Be short." in str(body) and "How high is it?" in str(body) and "40" in str(body)


@in_each
def test_a_schema_is_asked_for_in_the_services_own_way(api: str) -> None:
    tool = {**ANTHROPIC, "content": [{"type": "tool_use", "id": "t", "name": "reply", "input": {"a": 1}}]}
    replies = {**REPLIES, "anthropic": tool}
    with service(Answer(body=replies[api])) as running:
        reply = writer(api, running.url).complete_json(PROMPT, SCHEMA)
    body = running.asked[0][2]
    told = {
        "chat": lambda: body["response_format"]["json_schema"]["schema"],
        "anthropic": lambda: body["tools"][0]["input_schema"],
        "google": lambda: body["generationConfig"]["responseJsonSchema"],
    }[api]()
    assert told == SCHEMA
    assert reply.text == ('{"a": 1}' if api == "anthropic" else "41 m")


STREAMS = {
    "chat": streamed(
        {"choices": [{"index": 0, "delta": {"role": "assistant"}}]},
        {"choices": [{"index": 0, "delta": {"content": "41"}}]},
        {"choices": [{"index": 0, "delta": {"content": " m"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 1}},
        done=True,
    ),
    "anthropic": streamed(
        {"type": "message_start", "message": ANTHROPIC},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "41"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " m"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ),
    "google": streamed(
        {"candidates": [{"content": {"parts": [{"text": "41"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": " m"}]}, "finishReason": "STOP"}]},
    ),
}


@in_each
def test_a_stream_gives_pieces_as_they_come(api: str) -> None:
    with service(Answer(body=STREAMS[api])) as running:
        assert list(writer(api, running.url).stream(PROMPT)) == ["41", " m"]
    assert running.asked[0][0].endswith("?alt=sse") if api == "google" else running.asked[0][2]["stream"]


@in_each
def test_a_reply_that_was_cut_says_so(api: str) -> None:
    cut = {
        "chat": {**CHAT, "choices": [{"message": {"content": "4"}, "finish_reason": "length"}]},
        "anthropic": {**ANTHROPIC, "stop_reason": "max_tokens"},
        "google": {"candidates": [{**GOOGLE["candidates"][0], "finishReason": "MAX_TOKENS"}]},
    }
    with service(Answer(body=cut[api])) as running:
        assert not writer(api, running.url).complete(PROMPT).ended


@in_each
@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (Answer(status=401, body={"error": {"message": "bad key"}}), WriterRefused, "401: bad key"),
        (Answer(status=429, body={"error": {"message": "slow down"}}), WriterBusy, "429: slow down"),
        (Answer(status=500, body="<html>"), WriterDown, "answered 500"),
        (Answer(status=400, body={"error": "no such model"}), WriterRefused, "no such model"),
        (Answer(body="<html>welcome</html>"), WriterJunk, "no JSON object"),
        (Answer(body=[1]), WriterJunk, "no JSON object"),
        (Answer(body={}), WriterJunk, "a reply without"),
        (Answer(body="x" * ((4 << 20) + 1)), WriterJunk, "too much"),
    ],
)
def test_what_a_service_gets_wrong_is_told_apart(
    api: str, answer: Answer, error: type[WriterError], said: str
) -> None:
    with service(answer) as running, pytest.raises(error) as caught:
        writer(api, running.url).complete(PROMPT)
    assert said in str(caught.value)
    assert KEY not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


@in_each
def test_a_service_that_recovers_is_asked_again(api: str) -> None:
    with service(Answer(status=503), Answer(body=REPLIES[api])) as running:
        assert writer(api, running.url).complete(PROMPT).text == "41 m"
    assert len(running.asked) == 2


def test_a_service_that_is_down_or_silent_ends_in_time() -> None:
    with pytest.raises(WriterDown, match="did not answer"):
        writer("chat", unused_url(), attempts=1).complete(PROMPT)
    started = time.monotonic()
    with service(Answer(body=CHAT, wait_s=3)) as running, pytest.raises(WriterDown):
        writer("chat", running.url, silence_s=0.2, attempts=1).complete(PROMPT)
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_a_reply_that_comes_byte_by_byte_ends_in_time(how: str) -> None:
    """No silence is long, and the whole is given up all the same."""
    body = streamed(*[{"choices": [{"delta": {"content": "x"}}]}] * 50) if how == "streamed" else CHAT
    with service(Answer(body=body, drip_s=0.02)) as running:
        slow = writer("chat", running.url, attempts=1, longest_s=0.3)
        started = time.monotonic()
        with pytest.raises(WriterDown, match=r"did not end in 0\.3 s"):
            _ = slow.complete(PROMPT) if how == "whole" else list(slow.stream(PROMPT))
        assert time.monotonic() - started < 5


def test_what_was_never_sent_or_was_refused_is_not_charged() -> None:
    assert not WriterUnreached.charged and not WriterBusy.charged and not WriterRefused.charged
    assert WriterDown.charged and WriterJunk.charged
    with pytest.raises(WriterUnreached):
        writer("chat", unused_url(), attempts=1).complete(PROMPT)


@pytest.mark.parametrize("body", ["data: {broken\n\n", STREAMS["chat"]])
def test_a_stream_that_breaks_is_an_error_not_an_end(body: str) -> None:
    cut = None if "broken" in body else 60
    with service(Answer(body=body, cut_after=cut)) as running, pytest.raises(WriterError):
        list(writer("chat", running.url).stream(PROMPT))


def test_settings_that_open_no_writer_are_refused() -> None:
    with pytest.raises(BadWriter, match="speaks `soap`"):
        open_writer(WriterSettings(name="x", api="soap", model="m", endpoint="https://a"), {})
    with pytest.raises(BadWriter, match="has no address"):
        open_writer(WriterSettings(name="x", api="chat", model="m", endpoint=""), {})
    with pytest.raises(WriterRefused, match=r"\$WRITER_KEY` is not set"):
        open_writer(
            WriterSettings(name="x", api="chat", model="m", endpoint="https://a", key="WRITER_KEY"), {}
        )


@in_each
def test_what_identifies_a_writer_holds_no_key_and_no_address(api: str) -> None:
    made = writer(api, "https://user:secret@api.example")
    assert made.identity["model"] == "m"
    assert KEY not in str(made.identity) and "example" not in str(made.identity)
