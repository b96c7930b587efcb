"""``assistants audit --ask``: where no prompt is shown, two answers are paid for, after a yes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.commands import call
from support.faulty_replies import Step, http
from support.faulty_server import Request
from support.template_server import TemplateServer, template

ASKED = ("audit", "-p", "art", "-m", "openai:gpt-5-mini", "--ask")


class Hosted(TemplateServer):
    """An API that shows no prompt, and takes no cap on the answer below ``least``."""

    least = 1

    @property
    def caps(self) -> list[int]:
        return [request.json["max_completion_tokens"] for request in self.requests]

    def _answered(self, request: Request) -> Sequence[Step]:
        if request.json.get("max_completion_tokens", 0) < self.least:
            said = {"error": {"message": "Could not finish the message.", "code": 400}}
            return [http(json.dumps(said).encode(), "400 Bad Request")]
        return super()._answered(request)


@pytest.fixture
def key(here: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "verdict", "ok"),
    [("chatml", "counted", None), ("drop", "not counted", False), ("gemma2", "unknown", None)],
)
def test_counts_are_told_apart_from_proof(
    key: pytest.MonkeyPatch, name: str, verdict: str, ok: bool | None
) -> None:
    """Tokens that rise say something, and no more; tokens that do not rise are a warning."""
    with Hosted(template(name), "silent") as server:
        key.setenv("OPENAI_BASE_URL", server.url)
        done = call(*ASKED, "--yes", "--json")
    found = json.loads(done.out)
    assert (done.code, found["verdict"], found["ok"]) == (1, verdict, ok)
    assert found["known_by"] == ("unknown" if name == "gemma2" else "token counts")
    assert "gpt-5-mini is asked twice, for $0.0" in done.err
    if verdict == "counted":
        assert found["tokens"] > 100
        assert "This is no proof" in found["note"]


@pytest.mark.parametrize(
    ("least", "caps"), [(1, [1, 1]), (16, [1, 16, 1, 16]), (500, [1, 16, 1024, 1, 16, 1024])]
)
def test_the_shortest_answer_that_the_api_takes(
    key: pytest.MonkeyPatch, least: int, caps: list[int]
) -> None:
    """One token, or more where the API refuses that; a rejected call costs nothing."""
    with Hosted(template("chatml"), "silent") as server:
        server.least = least
        key.setenv("OPENAI_BASE_URL", server.url)
        assert "art on openai:gpt-5-mini: counted" in call(*ASKED, "--yes").err
    assert server.caps == caps


@pytest.mark.parametrize("line", [ASKED, ASKED[:-1], (*ASKED[:2], "none", *ASKED[3:])])
def test_nothing_is_asked_without_a_yes(key: pytest.MonkeyPatch, line: Sequence[str]) -> None:
    """Neither without ``--ask``, nor before the price was agreed to, nor where nothing is sent."""
    with Hosted(template("chatml"), "silent") as server:
        key.setenv("OPENAI_BASE_URL", server.url)
        done = call(*line)
    assert server.requests == []
    assert done.code == (2 if line == ASKED else 1)
    assert ("Add --yes." in done.err) == (line == ASKED)


def test_a_price_that_nobody_knows_is_said(key: pytest.MonkeyPatch) -> None:
    """And is no price of nothing."""
    with Hosted(template("chatml"), "silent") as server:
        key.setenv("OPENAI_BASE_URL", server.url)
        done = call("audit", "-p", "art", "-m", "openai:no-such-model", "--ask")
    assert (done.code, server.requests) == (2, [])
    assert "at an unknown price" in done.err


def test_what_is_shown_is_not_asked(key: pytest.MonkeyPatch) -> None:
    """Proof is better, and free; of an own server that shows nothing the counts are free too."""
    with TemplateServer(template("chatml")) as server:
        key.setenv("VLLM_BASE_URL", server.url)
        assert call("audit", "-p", "art", "-m", "vllm:m", "--ask").code == 0
        assert set(server.paths) == {"/tokenize"}
    with TemplateServer(template("chatml"), "silent") as server:
        key.setenv("VLLM_BASE_URL", server.url)
        done = call("audit", "-p", "art", "-m", "vllm:m", "--ask")
    assert "art on vllm:m: counted" in done.err
    assert "asked twice" not in done.err


def test_a_wrong_key_is_not_tried_again(key: pytest.MonkeyPatch) -> None:
    """What no cap would help against is said at once."""
    with Hosted(template("chatml"), "silent") as server:
        key.setenv("OPENAI_BASE_URL", server.url_of("401"))
        done = call(*ASKED, "--yes")
    assert (done.code, len(server.requests)) == (1, 1)
    assert "art on openai:gpt-5-mini: unknown" in done.err
    assert "401" in done.err


def test_an_api_that_does_not_count_is_unknown(key: pytest.MonkeyPatch) -> None:
    """Answers without a usage tell nothing."""
    with Hosted(template("chatml"), "silent") as server:
        key.setenv("OPENAI_BASE_URL", server.url_of("usage null"))
        done = call(*ASKED, "--yes")
    assert "does not say how many tokens" in done.err
