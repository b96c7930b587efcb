"""A finished report warns of personas that did not reach their model as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.results import Results
from assistants.runs.retry import RetryPolicy
from support.commands import call, write_experiment
from support.template_server import TemplateServer, template

WARNING = "Effects of these personas are not what they seem"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("drop", "art on vllm:m: dropped. The persona is not in what the model reads"),
        ("chatml", ""),
    ],
)
def test_the_page_warns(here: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    """In words, naming persona and model; and a run whose personas arrived has no warning."""
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda self, tried, error: None)
    monkeypatch.setattr(RetryPolicy, "refusal_wait_s", lambda self, error: None)
    with TemplateServer(template(name)) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        done = call("run", write_experiment())
    assert done.code == 0, done
    page = (Results().latest().folder / "report.html").read_text("utf-8")
    assert (WARNING in page) == bool(said)
    assert said in page
    assert ("2 of 2 personas proven to be delivered as written." in page) != bool(said)
