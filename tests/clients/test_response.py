"""What comes back from a server is read in full, or refused with a type."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants import errors
from assistants.clients.openai import http_errors, response, streaming
from assistants.messages import Completion, Delta, Usage
from assistants.utils import api_keys
from support.faulty_replies import chunk, event, reply

DONE = event(b"[DONE]")
STOP = event(chunk(finish="stop"))


def read(data: object) -> Completion:
    return response.read_reply(json.dumps(data).encode(), "x:m")


def fold(raw: bytes, cuts: list[int] | None = None) -> tuple[list[Delta], Completion]:
    reader = streaming.StreamReader("x:m")
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts or []), len(raw)]
    for start, end in pairwise(edges):
        reader.feed(raw[start:end])
    completion = reader.finish()
    return reader.take_deltas(), completion


# -- whole replies ---------------------------------------------------------------------------------


def test_a_good_reply_is_read_in_full() -> None:
    """Text, reasoning, finish reason, usage and served model all arrive."""
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    got = read(reply("Hi.", message={"reasoning_content": "hm"}, usage=usage))
    assert got == Completion("Hi.", "ok", "stop", "hm", Usage(7, 5, 4, 3), "m")


@pytest.mark.parametrize("bad", [None, "5", -1, True, False, 1.5, float("inf"), [], {}])
def test_a_count_that_is_none_stays_unknown(bad: object) -> None:
    """What a server did not count is None, never 0."""
    assert response.read_usage({"prompt_tokens": bad, "completion_tokens_details": bad}) == Usage()
    assert response.read_usage(bad) == Usage()


def test_the_first_choice_is_the_one_with_index_0() -> None:
    """A server that sends several choices in any order is asked for none but the first."""
    second = {**reply("b")["choices"][0], "index": 1}
    assert read({"choices": [second, *reply("a")["choices"]]}).text == "a"


def test_odd_text_is_kept_as_it_is() -> None:
    """Lone surrogates, NUL and bidi marks are the model's answer, and stay."""
    text = "a\ud800\x00\u202e\ufeff😀\r\n"
    assert read(reply(text)).text == text
    assert fold(event(chunk({"content": text})) + STOP)[1].text == text


def test_a_reply_without_a_finish_reason_keeps_what_came() -> None:
    """A cut reply is an error that carries the part that arrived, marked as cut."""
    with pytest.raises(errors.IncompleteReplyError) as caught:
        read(reply("Half", None))
    assert caught.value.partial == Completion("Half", "truncated", served_model="m")


def test_an_unknown_finish_reason_is_named() -> None:
    """Whoever reads the error learns which word the server used."""
    with pytest.raises(errors.MalformedReplyError, match="tired"):
        read(reply(finish="tired"))


def test_reasoning_alone_is_no_answer() -> None:
    """A reply with reasoning only has the status empty and an empty text."""
    got = read(reply(None, message={"reasoning": "hm"}))
    assert (got.text, got.status, got.reasoning) == ("", "empty", "hm")


def test_a_refusal_is_the_text() -> None:
    """A refusal has a status of its own, whole or streamed, and its words are the text."""
    whole = read(reply(None, message={"refusal": "No."}))
    deltas, streamed = fold(event(chunk({"refusal": "No."})) + STOP)
    assert (whole.text, whole.status) == (streamed.text, streamed.status) == ("No.", "refusal")
    assert deltas == [Delta("No.")]


def test_an_errors_context_holds_no_body() -> None:
    """A decoder's error, which holds the whole reply, is not chained to ours."""
    for body in (b"{secret", b"\xffsecret", b"[" * 100_000, b'{"a":NaN}'):
        with pytest.raises(errors.MalformedReplyError) as caught:
            response.read_reply(body, "x:m")
        assert caught.value.__context__ is None


# -- streams ---------------------------------------------------------------------------------------

TEXTS = st.text(max_size=30)
CUTS = st.lists(st.integers(0, 10_000), max_size=20)


@given(st.lists(TEXTS, max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"]), CUTS)
def test_where_the_network_cuts_makes_no_difference(
    texts: list[str], newline: bytes, cuts: list[int]
) -> None:
    """The same bytes give the same reply, however they are cut, and the pieces join to the text."""
    lines = [json.dumps(chunk({"content": t}), ensure_ascii=False, indent=1) for t in texts]
    chunks = [b": ping\n\n" + event(text.replace("\n", "\ndata:").encode()) for text in lines]
    raw = b"\xef\xbb\xbf" + (b"".join(chunks) + STOP + DONE).replace(b"\n", newline)
    deltas, completion = fold(raw, cuts)
    assert completion.text == "".join(texts) == "".join(d.text for d in deltas)
    assert completion.finish_reason == "stop"


@given(st.binary(max_size=300), CUTS)
def test_random_bytes_raise_nothing_but_call_errors(raw: bytes, cuts: list[int]) -> None:
    """No bytes make a reader fail in a way that a runner does not know."""
    for attempt in (lambda: response.read_reply(raw, "x:m"), lambda: fold(raw, cuts)):
        with contextlib.suppress(errors.CallError):
            attempt()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "delta",
                    "content",
                    "finish_reason",
                    "usage",
                    "error",
                    "text",
                    "index",
                    "code",
                    "type",
                    "refusal",
                    "reasoning",
                    "model",
                    "prompt_tokens",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_random_json_raises_nothing_but_call_errors(data: object) -> None:
    """No JSON makes a reader fail in a way that a runner does not know."""
    raw = json.dumps(data).encode()
    for attempt in (lambda: response.read_reply(raw, "x:m"), lambda: fold(event(raw) + STOP)):
        with contextlib.suppress(errors.CallError):
            attempt()
    http_errors.from_status(500, {}, raw, "x:m")


def test_what_comes_after_the_end_is_ignored() -> None:
    """Once the model said why it stopped, only its usage still counts."""
    late = event(chunk({"content": "late"})) + event({"choices": [], "usage": {"prompt_tokens": 2}})
    _, got = fold(event(chunk({"content": "Hi."})) + STOP + late + DONE + event(b"{bad"))
    assert (got.text, got.usage.input_tokens) == ("Hi.", 2)


def test_a_whole_reply_to_a_streamed_request_is_understood() -> None:
    """A server that cannot stream is not refused for it."""
    deltas, got = fold(b"\n " + json.dumps(reply("Hi.")).encode(), [3, 9])
    assert (deltas, got.text) == ([Delta("Hi.")], "Hi.")


def test_a_long_line_costs_no_more_than_its_length() -> None:
    """A line that never ends is not copied again for each piece of it."""
    events = streaming.EventReader()
    for _ in range(20_000):
        events.feed(b"x" * 1_000)
    assert events.close() == []


# -- errors ----------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "599"}, 599.0),
        ({"retry-after": "86400"}, 600.0),
        ({"retry-after": "inf"}, 600.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=30), usegmt=True)}, 30.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=30), usegmt=True)}, 0.0),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """A server's wish to be left alone is honoured up to ten minutes."""
    assert http_errors.read_retry_after(headers, NOW) == seconds


def test_no_credit_is_not_worth_another_try() -> None:
    """429 for an empty account is told apart from 429 for haste."""
    body = b'{"error": {"code": "insufficient_quota"}}'
    assert not http_errors.from_status(429, {}, body, "x:m").retryable
    assert http_errors.from_status(429, {}, b"", "x:m").retryable


def test_a_servers_words_are_quoted_with_care() -> None:
    """They are cut, control characters are written out, and the line stays one line."""
    body = json.dumps({"error": {"message": "a\x1b[31m\u202e\n" + "x" * 10_000}}).encode()
    message = http_errors.from_status(400, {}, body, "x:m").message
    assert message.isprintable()
    assert len(message) < 400
    assert "\\x1b" in message


# -- keys ------------------------------------------------------------------------------------------

KEY = "sk-wire-4f9Qz7Lm2Xc8Vb1N"


@given(st.lists(st.sampled_from([KEY, KEY[:9], KEY[5:], KEY[:7], "s", "sk-", "a", " "])), CUTS)
def test_no_piece_of_a_stream_shows_a_key(parts: list[str], cuts: list[int]) -> None:
    """Eight characters of a key in a row never leave, however the text is cut into pieces."""
    api_keys.remember(KEY)
    text = "".join(parts)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    redactor = api_keys.Redactor()
    shown = [redactor.feed(text[a:b]) for a, b in pairwise(edges)]
    joined = "".join([*shown, redactor.flush()])
    assert not any(
        KEY[i : i + api_keys.MIN_SECRET_CHARS] in joined
        for i in range(len(KEY) - api_keys.MIN_SECRET_CHARS + 1)
    )
    if api_keys.redact(text) == text:
        assert joined == text


def test_a_key_is_taken_out_of_every_field() -> None:
    """Text, reasoning, finish reason, model and errors: none carries a key that was echoed."""
    api_keys.remember(KEY)
    got = read({**reply(f"a {KEY}", message={"reasoning": KEY}), "model": KEY})
    assert KEY not in repr(got)
    assert "[redacted]" in got.text
    for bad in (reply(finish=KEY), {"error": {"message": KEY}}, {"error": {"code": KEY}}):
        with pytest.raises(errors.CallError) as caught:
            read(bad)
        assert KEY[:8] not in str(caught.value)
