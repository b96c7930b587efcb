"""A canary key goes through every way a call can fail, and is found on no surface."""

from __future__ import annotations

import io
import json
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from assistants.clients import OpenAIClient, Timeouts
from assistants.errors import AuthenticationError
from assistants.runs.retry import RetryPolicy
from assistants.utils.api_keys import MIN_SECRET_CHARS
from support import faulty_replies
from support.commands import Done, call, run, start, write_experiment
from support.faulty_replies import Rude, chunk, http, json_reply, reply, sse, status
from support.faulty_server import FaultyServer

KEY = "sk-canary-Zq7Xw2Vt9Rb4Lm6Np1Hc8Kd3"
PIECES = [KEY[i : i + MIN_SECRET_CHARS] for i in range(len(KEY) - MIN_SECRET_CHARS + 1)]


def _echo(line: str, *more: str) -> Rude:
    """Return a refusal that quotes the request's headers in its text and in its own headers."""

    def steps(headers):
        key = headers.get("authorization", "")
        said = {"message": f"Bad key {key}: {key[-12:]}", "code": key, "param": key, "type": key}
        body = json.dumps({"error": said, key: key}).encode()
        return [http(body, line, "application/json", f"x-key: {key}", *more)]

    return Rude(steps, AuthenticationError)


def _half(headers):
    """Return an answer that holds pieces of the key, cut where the stream's chunks end."""
    key = headers.get("authorization", "")
    pieces = [chunk({"content": key[i : i + 5]}) for i in range(0, len(key), 5)]
    return sse(*pieces, chunk(finish="stop", model=key), b"[DONE]")


def _whole(headers):
    key = headers.get("authorization", "")
    return json_reply(f"{key} {key[9:24]}", model=key, message={"reasoning": key})


def _malformed(headers):
    key = headers.get("authorization", "")
    return [http(json.dumps(reply(finish=key)).encode())]


def _html(headers):
    return [http(f"<b>{headers.get('authorization')}</b>".encode(), "200 OK", "text/html")]


def _redirect(headers):
    return status("307 Temporary", None, f"location: http://127.0.0.2/{headers['authorization']}")


OWN = {
    f"echo {code}": _echo(f"{code} No")
    for code in (
        400,
        401,
        403,
        404,
        408,
        409,
        413,
        418,
        422,
        425,
        429,
        451,
        500,
        501,
        502,
        503,
        529,
    )
}
BOTH = {
    **OWN,
    "echo retry": _echo("429 Slow", "retry-after: 1"),
    "echo 401 html": Rude(
        lambda h: [http(_html(h)[0], "401 No", "text/html")], AuthenticationError
    ),
    "echo html": Rude(_html, "x"),
    "echo redirect": Rude(_redirect, "x"),
    "echo malformed": Rude(_malformed, "x"),
}
WHOLE = {"echo answer": Rude(_whole, "ok")}
STREAMED = {"echo answer": Rude(_half, "ok")}
OTHERS = """302|308 bad location|404|empty body|html|json list|bad gzip|close before headers|
close in headers|cut in body|bad chunked|no http|stall before headers|key echo|endless headers"""
FAULTS = [*BOTH, "echo answer", *(name.strip() for name in OTHERS.split("|"))]


@pytest.fixture
def canary(
    here: Path, monkeypatch: pytest.MonkeyPatch, server: FaultyServer
) -> Iterator[io.StringIO]:
    """Set the key in the environment, a quick client, our replies on the server, and all logs."""
    for name in ("VLLM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for name, bad in {**BOTH, **WHOLE}.items():
        monkeypatch.setitem(faulty_replies.WHOLE, name, bad)
    for name, bad in {**BOTH, **STREAMED}.items():
        monkeypatch.setitem(faulty_replies.STREAMED, name, bad)
    monkeypatch.setattr(
        RetryPolicy,
        "wait_s",
        lambda self, tried, error: 0.0 if error.retryable and tried < 2 else None,
    )
    monkeypatch.setattr(RetryPolicy, "refusal_wait_s", lambda self, error: None)
    quick = Timeouts(connect=1, first_token=0.5, idle=0.5, total=0.5)
    monkeypatch.setitem(OpenAIClient.__init__.__kwdefaults__, "timeouts", quick)
    logs = io.StringIO()
    handler = logging.StreamHandler(logs)
    handler.setLevel(logging.DEBUG)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield logs
    root.removeHandler(handler)
    root.setLevel(level)


def assert_clean(name: str, text: str | bytes) -> None:
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    found = [piece for piece in PIECES if piece in text]
    assert not found, f"{name} holds {found[0]!r} of the key"


def assert_nowhere(*screens: Done, logs: str = "") -> None:
    """Not on the screen, not in a log, not in the bytes or the values of any file."""
    for done in screens:
        assert_clean("stdout", done.out)
        assert_clean("stderr", done.err)
    assert_clean("the log", logs)
    files = [path for path in Path().rglob("*") if path.is_file()]
    for path in files:
        assert_clean(str(path), path.read_bytes())
        if path.suffix == ".parquet":
            assert_clean(str(path), pd.read_parquet(path).to_csv())


@pytest.mark.parametrize("fault", FAULTS)
def test_no_piece_of_the_key_anywhere(
    canary: io.StringIO, server: FaultyServer, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a call fails, no 8 characters of the key are on a screen, in a log or in a file."""
    monkeypatch.setenv("VLLM_BASE_URL", server.url_of(fault))
    file = write_experiment(personas=["none"])
    screens = [
        call("run", file, "--no-report", "--tape", "tape.jsonl"),
        call("run", file, "--no-report", "--json"),
        call("results", "--format", "json"),
        call("results", "--format", "csv", "--out", "all.csv"),
        call("ask", "-m", "vllm:m", "Why?"),
        call("chat", "-m", "vllm:m", stdin="Why?\n\n"),
    ]
    sent = [request.headers.get("authorization") for request in server.requests]
    assert sent, "nothing was asked, so nothing was tested"
    assert set(sent) == {f"Bearer {KEY}"}
    assert Path("results/answers.sqlite").exists()
    assert_nowhere(*screens, logs=canary.getvalue())


@pytest.mark.parametrize("name", ["vllm", "openai"])
def test_looking_around_shows_no_key(
    canary: io.StringIO, server: FaultyServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do ``models``, ``models check`` at a server that echoes it, ``doctor``, a wrong name."""
    for fault in ("echo 401", "echo 500", "echo html", "echo redirect", ""):
        url = server.url_of(fault) if fault else server.url
        monkeypatch.setenv(f"{name.upper()}_BASE_URL", url)
        screens = [
            call("models"),
            call("models", "check"),
            call("doctor"),
            call("ask", "-m", f"{name}:m", "Why?"),
            call("ask", "-m", "nope", "Why?"),
            call("run", write_experiment(models=[f"{name}:m"]), "--no-report", "--yes"),
        ]
        assert_nowhere(*screens, logs=canary.getvalue())
    assert any(KEY in request.headers.get("authorization", "") for request in server.requests)


def test_a_server_that_is_gone_shows_no_key(
    canary: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does an address at which nobody answers, or that is no address."""
    for url in ("http://127.0.0.1:9/v1", "http://127.0.0.1:0/v1", "http://", "nonsense"):
        monkeypatch.setenv("VLLM_BASE_URL", url)
        file = write_experiment()
        screens = [call("run", file, "--no-report"), call("ask", "-m", "vllm:m", "Why?")]
        assert {done.code for done in screens} <= {1, 2}
        assert_nowhere(*screens, logs=canary.getvalue())


def test_a_report_and_a_tape_hold_no_key(canary: io.StringIO, server: FaultyServer) -> None:
    """A whole run whose answers echo the key, in a process of its own, with its report."""
    Path("models.toml").write_text(
        f'[providers.a]\naddress = "{server.url_of("echo answer")}"\nkey = "CANARY_TOKEN"\n'
        f'[providers.b]\naddress = "{server.url_of("echo 401")}"\nkey = "CANARY_TOKEN"\n',
        encoding="utf-8",
    )
    file = write_experiment(models=["a:m", "b:m"], limits={"tokens": 10_000})
    done = run("run", file, "--yes", "--tape", "t.jsonl", CANARY_TOKEN=KEY)
    assert done.code == 1, done.err
    assert "report: " in done.out
    kinds = {path.suffix for path in Path().rglob("*") if path.is_file()}
    assert {".html", ".ipynb", ".parquet", ".md", ".json", ".sqlite", ".part"} <= kinds
    assert "[redacted]" in next(Path().rglob("report.html")).read_text("utf-8")
    assert_nowhere(done)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_holds_no_key(
    canary: io.StringIO, server: FaultyServer, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what is left of a run that was stopped in its middle, write-ahead log included."""
    server.latency = 0.2
    server.answer = lambda body: f"You are {KEY}."
    monkeypatch.setenv("VLLM_BASE_URL", server.url)
    file = write_experiment(cases=[str(i) for i in range(30)], concurrency=2)
    with start("run", file, "--tape", "t.jsonl") as process:
        deadline = time.monotonic() + 60
        while len(server.requests) < 6 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    assert process.returncode not in (0, 1)
    assert {path.suffix for path in Path("results").iterdir()} >= {".sqlite"}
    assert_nowhere(Done(process.returncode, out, err))
