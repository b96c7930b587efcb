"""``assistants migrate`` from outside: what it asks, says and leaves, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistants.results import Results
from support.commands import Done, call, write_experiment

QUESTIONS = [f"Question {number}?" for number in range(24)]


@pytest.fixture(autouse=True)
def scripts(here: Path) -> None:
    """Write two models with planted differences, and a short name for the first."""
    old = {q: "word " * (20 + n % 7) for n, q in enumerate(QUESTIONS)}
    new = {q: "word " * (30 + n % 5) for n, q in enumerate(QUESTIONS)}
    new["Question 5?"] = "Something else entirely, \x1b[31mand in red."
    Path("old.yaml").write_text(json.dumps(old), encoding="utf-8")
    Path("new.yaml").write_text(json.dumps(new), encoding="utf-8")
    Path("models.toml").write_text('[models]\nmine = "scripted:old.yaml"\n', encoding="utf-8")
    write_experiment(
        models=["echo"], personas=["none", "art"], cases=QUESTIONS, scorers=["words", "sentences"],
    )  # fmt: skip


def migrate(*more: str, old: str = "mine", new: str = "scripted:new.yaml") -> Done:
    return call("migrate", "exp.yaml", "--from", old, "--to", new, *more)


def test_both_models_are_asked_and_compared() -> None:
    """The file's own models are replaced by the two, either of them by short name."""
    done = migrate()
    assert done.code == 0
    assert "96 to ask" in done.err
    assert "more" in done.out
    assert "Something else entirely" in done.out
    assert "\x1b[31m" not in done.out
    assert "scripted:new.yaml in place of scripted:old.yaml: " in done.out
    run = Results().latest("exp")
    assert set(run.trials()["model"]) == {"scripted:old.yaml", "scripted:new.yaml"}
    page = (run.folder / "migration.html").read_text(encoding="utf-8")
    assert '<div class="assistants">' in page  # what the style sheet asks for
    assert "The answers that differ most" in page
    assert str(run.folder / "migration.html") in done.out


def test_nothing_answered_is_asked_again() -> None:
    """What a run asked the old model is there already; a second migration asks nothing."""
    assert call("run", "exp.yaml", "-m", "mine", "--no-report").code == 0
    assert "48 answered already, 48 to ask" in migrate().err
    assert "nothing to ask" in migrate().err


def test_json_is_one_object() -> None:
    """Verdicts and answers, for a program to read."""
    done = migrate("--json", "--margin", "words=20")
    found = json.loads(done.out)
    assert (found["from"], found["to"]) == ("scripted:old.yaml", "scripted:new.yaml")
    assert [(row["scorer"], row["persona"]) for row in found["verdicts"]] == [
        ("words", "none"), ("words", "art"), ("sentences", "none"), ("sentences", "art"),
    ]  # fmt: skip
    assert found["verdicts"][0]["verdict"] == "more, within the margin of 20 words"
    assert found["differing"][0]["case"] == "6"
    assert found["outcome"] == "complete"
    assert Path(found["page"]).is_file()


def test_a_dry_run_asks_and_writes_nothing() -> None:
    """Only the forecast, as of a run."""
    before = sorted(Path().rglob("*"))
    done = migrate("--dry-run")
    assert (done.code, done.out) == (0, "")
    assert "96 to ask" in done.err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"new": "mine"}, "both scripted:old.yaml"),
        ({"new": "mien"}, "--to: unknown model 'mien'. Did you mean 'mine'"),
        ({"old": "chatgtp"}, "--from: unknown model 'chatgtp'. Did you mean 'chatgpt'"),
    ],
)
def test_wrong_models_are_refused_before_anything_is_asked(
    more: dict[str, str], words: str
) -> None:
    """With the option that names them."""
    done = migrate(**more)
    assert done.code == 2
    assert words in " ".join(done.err.split())
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "margins", [["x"], ["0"], ["words=-1"], ["words=inf"], ["1", "words=2"], ["words=1", "words=2"],
                ["word=2"]],
)  # fmt: skip
def test_wrong_margins_are_refused_before_anything_is_asked(margins: list[str]) -> None:
    """A number for all scorers, or one for each, of scorers that there are."""
    done = migrate(*(part for margin in margins for part in ("--margin", margin)))
    assert done.code == 2
    assert "margin" in done.err
    assert not Path("results").exists()


def test_a_failed_trial_and_a_limit_have_the_exit_codes_of_a_run() -> None:
    """And verdicts on what there is, which say what is missing."""
    script = json.loads(Path("new.yaml").read_text(encoding="utf-8"))
    del script["Question 1?"]
    Path("new.yaml").write_text(json.dumps(script), encoding="utf-8")
    done = migrate()
    assert done.code == 1
    assert "1 of 24 trials missing" in done.err
    assert migrate("--limit-tokens", "1", "--results", "other").code == 3


def test_effects_are_shown_by_model() -> None:
    """Of a run on several models, with a baseline by either name."""
    migrate()
    done = call("effects", "exp", "--by", "model", "--baseline", "mine")
    assert done.code == 0
    assert "against scripted:old.yaml" in done.out
    assert "more" in done.out
    assert call("effects", "exp", "--by", "modle").code == 2
    assert call("effects", "exp", "--by", "model", "--baseline", "none").code == 2
