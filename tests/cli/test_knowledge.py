"""``assistants knowledge``: lists, finds, explains, scores and asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import call


@pytest.fixture
def notes(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return two notes beside a persona that names their folder."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(here / ".cache"))
    folder = here / "personas" / "moth-notes"
    folder.mkdir(parents=True)
    (folder / "moths.md").write_text("# Moths\n\nA lantern moth lives for 41 days.\n", "utf-8")
    (folder / "towns.txt").write_text("Ostrelin is a town.\x1b[31m\n", encoding="utf-8")
    (here / "personas" / "expert.md").write_text(
        "---\nknowledge: moth-notes\n---\nYou know moths.\n", encoding="utf-8"
    )
    return folder


def knowledge(*arguments: str) -> tuple[int, str]:
    done = call("knowledge", *arguments)
    return done.code, done.out + done.err


def test_sources_are_listed(notes: Path) -> None:
    """A persona's folder, or any folder that a person names."""
    code, output = knowledge("expert")
    assert code == 0
    assert "moths.md" in output
    assert "2 passages" in output
    assert knowledge(str(notes))[1].split("digest")[1] == output.split("digest")[1]


def test_what_is_found_is_explained(notes: Path) -> None:
    """Place, heading, rank and text of each passage, without effect on the terminal."""
    code, output = knowledge("expert", "Is Ostrelin a town of the lantern moth?")
    assert code == 0
    assert "moths.md:3" in output
    assert "bm25" in output
    assert "[1] Ostrelin is a town." in output or "[2] Ostrelin is a town." in output
    assert "\x1b[31m" not in output
    assert "No passage was found" in knowledge("expert", "zzz")[1]


def test_a_model_is_asked_and_its_citations_are_checked(notes: Path) -> None:
    """The scripted model repeats what it was sent, citations of the instructions included."""
    code, output = knowledge("expert", "How long does a lantern moth live?", "-m", "scripted:echo")
    assert code == 0
    assert "It cites moths.md" in output


def test_the_search_is_scored_on_cases_with_a_source(notes: Path, here: Path) -> None:
    """Hits and MRR; a case without a source does not count."""
    (here / "cases.jsonl").write_text(
        '{"question": "How old is a lantern moth?", "source": "moths.md"}\n'
        '{"question": "What is a moth?", "source": "towns.txt"}\n'
        '{"question": "Why?"}\n',
        encoding="utf-8",
    )
    code, output = knowledge("expert", "--cases", "cases.jsonl")
    assert code == 0
    assert "2 questions with a known source" in output
    assert "0.5" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "unknown knowledge folder 'nobody'"),
        (["art"], "names no folder of notes"),
        (["expert", "-m", "scripted:echo"], "There is no question"),
        (["expert", "--cases", "missing.csv"], "no case file"),
        (["expert", "Why?", "--embeddings", "scripted:echo"], "gives no embeddings"),
    ],
)
def test_mistakes_are_named(notes: Path, arguments: list[str], message: str) -> None:
    """With exit code 2."""
    code, output = knowledge(*arguments)
    assert code == 2
    assert message in output
