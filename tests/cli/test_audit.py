"""``assistants audit`` shows what the model reads, and its exit code says whether it is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import CONTROL, call
from support.template_server import TemplateServer, template

HOSTILE = "Be nice.\x1b[2J \u202e and [red]calm[/red]."


@pytest.mark.parametrize(
    ("name", "options", "code", "said"),
    [
        ("chatml", [], 0, "delivered"),
        ("drop", [], 1, "dropped"),
        ("gemma2", [], 1, "refused"),
        ("gemma2", ["--system-prompt-in", "user"], 0, "delivered"),
    ],
)
def test_the_prompt_is_shown_and_judged(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: list[str],
    code: int,
    said: str,
) -> None:
    """The persona between marks, nothing that could drive the terminal, and 0 if it arrived."""
    (here / "odd.md").write_text(f"---\nlabel: Odd\n---\n{HOSTILE}\n", encoding="utf-8")
    with TemplateServer(template(name)) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        wanted = ["audit", "-p", "odd", "-m", "vllm:m", "--personas", str(here), *options]
        shown = call(*wanted)
        listed = json.loads(call(*wanted, "--json").out)
    assert shown.code == code, shown
    assert said in shown.err
    assert not CONTROL.search(shown.out + shown.err)
    assert ("[red]calm[/red].⟧" in shown.out) == (code == 0)
    assert (listed["verdict"], listed["ok"]) == (said, code == 0)


def test_a_model_that_shows_nothing_is_not_called_good(here: Path) -> None:
    """No proof, no 0; and no request that a hosted API would see."""
    assert call("audit", "-p", "art", "-m", "openai:gpt-5-mini").code == 1
    assert call("audit", "-p", "art", "-m", "echo").code == 1
