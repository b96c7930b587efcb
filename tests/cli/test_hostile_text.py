"""Text of others on a terminal: it is shown, and drives nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistants.errors import BadRequestError
from assistants.runs import RetryPolicy
from support import faulty_replies
from support.commands import CONTROL, Done, call, on_terminal, write_experiment
from support.faulty_replies import Rude, status
from support.faulty_server import FaultyServer

PAYLOADS = {
    "clear screen": "a\x1b[2J\x1b[Hb",
    "window title": "a\x1b]0;owned\x07b",
    "link": "a\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\b",
    "clipboard": "a\x1b]52;c;ZXZpbA==\x07b",
    "8-bit escapes": "a\x9b2J\x9d0;owned\x9cb",
    "carriage return": "error\rfine",
    "backspaces": "bad\b\b\bgood",
    "bell and nul": "a\x07\x00b",
    "bidi": "a\u202egnp.exe\u2066b\u200f",
    "line separators": "a\u2028b\u2029c\x85d",
    "lone surrogate": "a\ud800b",
}
MARKUP = "[red]x[/red] [link=http://e]y[/link] [/] [bold :smile: :x: {0} %s"
EVERYTHING = " ".join(PAYLOADS.values()) + MARKUP


@pytest.fixture(autouse=True)
def at_server(here: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """``vllm:`` is the loopback server, and nothing waits between attempts."""
    monkeypatch.setenv("VLLM_BASE_URL", server.url)
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda self, tried, error: None)
    monkeypatch.setattr(RetryPolicy, "refusal_wait_s", lambda self, error: None)


def assert_harmless(done: Done) -> None:
    for stream in (done.out, done.err):
        assert not CONTROL.search(stream), CONTROL.findall(stream)


@pytest.mark.parametrize("payload", [*PAYLOADS.values(), MARKUP], ids=[*PAYLOADS, "markup"])
def test_an_answer_drives_nothing(server: FaultyServer, payload: str) -> None:
    """An answer with control characters is shown with them written out, in every command."""
    server.answer = lambda body: payload
    for done in (
        call("run", write_experiment(), "--no-report"),
        call("results"),
        call("ask", "-m", "vllm:m", "Why?"),
        call("chat", "-m", "vllm:m", stdin="Why?\n"),
    ):
        assert done.code == 0
        assert_harmless(done)
    if payload is MARKUP:
        assert MARKUP in call("ask", "-m", "vllm:m", "Why?").out


def test_a_question_and_a_persona_drive_nothing() -> None:
    """Neither does the text of a persona, its description, a question or the id of a case."""
    Path("personas").mkdir()
    text = EVERYTHING.replace("\x00", "").replace("\ud800", "")
    Path("personas/evil.md").write_text(
        f"---\nlabel: {json.dumps(text)}\ndescription: {json.dumps(text)}\n---\n{{% raw %}}{text}"
        "{% endraw %}\n",
        encoding="utf-8",
    )
    file = write_experiment(
        personas=["evil"], cases=[{"id": text, "question": text}], description=text
    )
    for done in (
        call("personas"),
        call("personas", "evil"),
        call("run", file, "--no-report"),
        call("results"),
        call("ask", "-p", "evil", "-m", "vllm:m", text),
    ):
        assert done.code == 0, done.err
        assert_harmless(done)


def test_an_error_drives_nothing(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither do the words of a server that fails, nor a model's name."""
    evil = Rude(status("400 Bad", {"message": EVERYTHING}), BadRequestError)
    for replies in (faulty_replies.WHOLE, faulty_replies.STREAMED):
        monkeypatch.setitem(replies, "evil", evil)
    monkeypatch.setenv("VLLM_BASE_URL", server.url_of("evil"))
    Path("models.toml").write_text(
        '[models]\nevil = "vllm:\\u001b[31mm\\u202e[red]"\n', encoding="utf-8"
    )
    for line in ("run exp.yaml --no-report", "results", "ask -m evil x", "models", "models check"):
        write_experiment(models=["evil"])
        done = call(*line.split())
        assert "Traceback" not in done.err
        assert_harmless(done)
    chat = call("chat", "-m", "evil", stdin="x\n")
    assert "error: " in chat.err
    assert_harmless(chat)


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\u202eb", "[red]", "a\rb"])
def test_a_wrong_name_drives_nothing(name: str) -> None:
    """A name on the line or in a file is quoted with control characters written out."""
    for done in (
        call("run", write_experiment(personas=[name])),
        call("run", write_experiment(models=[name])),
        call("run", write_experiment(**{name: 1})),
        call("personas", name),
        call("ask", "-m", name, "x"),
        call("results", name),
    ):
        assert done.code == 2
        assert_harmless(done)


def test_a_terminal_is_not_driven(server: FaultyServer) -> None:
    """On a real terminal, where colours are allowed, nothing of an answer's own gets through."""
    server.answer = lambda body: EVERYTHING
    write_experiment()
    for line in (
        "ask -p none -p art -m vllm:m x",
        "run exp.yaml --no-report",
        "results",
        "results --format csv",
        "results --format json",
    ):
        code, screen = on_terminal(*line.split())
        assert code == 0, (line, screen)
        for piece in ("\x1b[2J", "\x1b]", "\x9b", "\x07", "\x00", "\b", "\u202e", "\u2066", "\x85"):
            assert piece not in screen, (line, piece)


def test_a_pipe_gets_the_answers_as_they_are(server: FaultyServer) -> None:
    """What goes to a program is not changed: JSON gives back each character."""
    server.answer = lambda body: PAYLOADS["bidi"] + PAYLOADS["clear screen"]
    call("run", write_experiment(), "--no-report")
    rows = json.loads(call("results", "--format", "json").out)
    assert rows[0]["answer"] == PAYLOADS["bidi"] + PAYLOADS["clear screen"]
