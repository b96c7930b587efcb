"""``assistants view`` and ``assistants --version``."""

from __future__ import annotations

import webbrowser
from importlib.metadata import version
from pathlib import Path

import pytest

from assistants.results import Results
from support.commands import call, write_experiment


@pytest.fixture
def opened(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that were to be opened, and no browser."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: addresses.append(url) or True)
    return addresses


def reported(name: str) -> Path:
    """Run an experiment, and put a page where its report is."""
    done = call("run", write_experiment(f"{name}.yaml", models=["echo"]), "--no-report")
    assert done.code == 0, done.err
    page = Results().latest(name).folder / "report.html"
    page.write_text("<p>Report", encoding="utf-8")
    return page


def test_the_latest_report_opens(opened: list[str]) -> None:
    """It is that of the experiment, or of all; a newer run without one is told."""
    first, second = reported("first"), reported("second")
    assert call("view").out == f"{second}\n"
    assert call("view", "first").out == f"{first}\n"
    assert opened == [second.resolve().as_uri(), first.resolve().as_uri()]
    call("run", "first.yaml", "--no-report", "--repeats", "2")
    done = call("view", "first")
    assert done.out == f"{first}\n"
    assert Results().latest("first").id in done.err


def test_nothing_opens_unasked(opened: list[str]) -> None:
    """``--no-open`` prints the path alone."""
    page = reported("exp")
    done = call("view", "--no-open")
    assert (done.code, done.out, done.err) == (0, f"{page}\n", "")
    assert opened == []


def test_a_machine_without_a_browser(opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is printed, and what to do with it."""
    page = reported("exp")
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    done = call("view")
    assert (done.code, done.out) == (0, f"{page}\n")
    assert "open that file" in done.err


def test_no_report_says_how_to_get_one(opened: list[str]) -> None:
    """No run, a run without a report, and a name that nobody ran, are wrong usage."""
    none = call("view")
    call("run", write_experiment(models=["echo"]), "--no-report")
    unwritten, unknown = call("view"), call("view", "expp")
    for done, words in ((none, "assistants run"), (unwritten, "--no-report"), (unknown, "'exp'")):
        assert (done.code, done.out) == (2, "")
        assert words in done.err
    assert opened == []


def test_version() -> None:
    """``assistants --version`` is one line."""
    done = call("--version")
    assert (done.code, done.out) == (0, f"assistants {version('assistants')}\n")
