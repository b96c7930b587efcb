"""Blind rating, without a browser: set a trait, call a method, look at traits and the store."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from assistants import Experiment, Message, Results, Run, ScriptedClient
from assistants.errors import StoreError, UnknownNameError, UsageError
from assistants.runs.store import Store
from assistants.scoring.vote import Vote
from assistants.widgets import background
from assistants.widgets.chat.chat import Chat
from assistants.widgets.rate.rate import Rate
from support.page_messages import click, is_working, wait_for_tasks

SECRET = ["zebra-persona", "okapi-persona", "gnu-persona"]


def said(messages: Sequence[Message], sampling: object) -> str:
    """Another answer for each persona and question, on one line."""
    return " ".join(message.content for message in messages)


@pytest.fixture
async def run(here: Path) -> Run:
    """Three personas with telling names, three cases; every answer is another one."""
    personas = [{"name": name, "system_prompt": f"Say {i}."} for i, name in enumerate(SECRET)]
    experiment = Experiment.define(
        "tea",
        personas=personas,
        baseline=SECRET[0],
        models=[ScriptedClient(said, "quagga-model")],
        cases=["Tea?", "Milk?", "Sugar?"],
    )
    return await experiment.run(on_progress=lambda progress: None)


@pytest.fixture
def rate(run: Run) -> Rate:
    return Rate(run, rater="ann")


def state(rate: Rate) -> str:
    """All that a page could know."""
    return (
        json.dumps(rate.get_state(), default=str) + json.dumps(rate.snapshot()) + rate.static_html()
    )


def test_votes_are_stored_at_once_as_shown(run: Run, rate: Rate) -> None:
    """Left and right are where the answers stood on the page."""
    left, right = rate.left, rate.right
    rate.vote("left")
    (vote,) = run.votes().to_dict("records")
    answers = run.trials().set_index(["persona", "case"])["answer"]
    assert answers[vote["left"], vote["case"]] in left
    assert answers[vote["right"], vote["case"]] in right
    assert (vote["rater"], vote["kind"], vote["winner"]) == ("ann", "person", "left")
    assert (rate.progress, rate.done) == ("1 of 6", False)


def test_the_votes_are_scores_and_a_ranking(run: Run, rate: Rate) -> None:
    """The persona that wins all its comparisons has a share of one, and the first rank."""
    trials = run.trials().set_index("answer")["persona"]
    while not rate.done:
        sides = {side: next(p for a, p in trials.items() if a in getattr(rate, side))
                 for side in ("left", "right")}  # fmt: skip
        rate.vote("left" if sides["left"] > sides["right"] else "right")
    scores = run.scores("votes").groupby("persona")["value"].mean()
    assert scores["zebra-persona"] == 1
    assert scores["okapi-persona"] == scores["gnu-persona"] == 0
    assert run.ranking("votes")["persona"].iloc[0] == "zebra-persona"
    assert rate.tally[0] == {
        "persona": "zebra-persona", "share": 1.0, "won": 6, "lost": 0, "tie": 0, "both bad": 0,
    }  # fmt: skip


def test_no_name_reaches_the_page_before_the_end(rate: Rate) -> None:
    """Neither of a persona nor of a model, in no trait, message, repr or static page."""
    for _ in range(6):
        assert not rate.revealed
        seen = state(rate) + repr(rate)
        assert not any(name in seen for name in (*SECRET, "quagga"))
        assert not any(key in seen for key in rate.run.trials()["key"])
        rate.vote("tie")
    assert rate.done
    assert rate.revealed
    assert all(name in state(rate) for name in SECRET)
    assert all(name in rate.static_html() for name in SECRET)


def test_the_result_so_far_can_be_seen_and_hidden(rate: Rate) -> None:
    """While names are shown nothing can be rated."""
    rate.vote("both bad")
    rate.reveal()
    assert {row["share"] for row in rate.tally} == {0.5}
    assert rate.left == rate.right == rate.question == ""
    with pytest.raises(UsageError, match="hide"):
        rate.vote("left")
    rate.hide()
    assert not any(name in state(rate) for name in SECRET)
    rate.vote("left")
    assert rate.progress == "2 of 6"


def test_undo_takes_a_vote_back_and_shows_its_pair(run: Run, rate: Rate) -> None:
    """From the store too; and so after the last vote."""
    shown = (rate.left, rate.right)
    rate.vote("left")
    rate.undo()
    assert (rate.left, rate.right) == shown
    assert run.votes().empty
    with pytest.raises(UsageError, match="no vote"):
        rate.undo()
    for _ in range(6):
        rate.vote("right")
    rate.undo()
    assert (rate.progress, rate.done, rate.revealed) == ("5 of 6", False, False)


@pytest.mark.parametrize("seed", range(4))
def test_who_comes_back_goes_on(run: Run, rate: Rate, seed: int) -> None:
    """With another seed too, and so with the sides exchanged; undo goes back to the first vote."""
    rate.vote("left")
    first = run.votes().iloc[0]
    rate.vote("right")
    again = Rate(run, rater="ann", seed=seed)
    assert again.progress == "2 of 6"
    while not again.done:
        again.vote("tie")
    assert len(run.votes()) == 6
    frame = run.votes()
    won = [*frame[frame["winner"] == "left"]["left"], *frame[frame["winner"] == "right"]["right"]]
    assert {row["persona"]: row["won"] for row in again.tally if row["won"]} == dict(Counter(won))
    for _ in range(6):
        again.undo()
    assert run.votes().empty
    assert first["winner"] == "left"


def test_raters_do_not_disturb_each_other(run: Run, rate: Rate) -> None:
    """Each has votes of their own; the name can be changed on the page."""
    rate.vote("left")
    rate.rater = "bob"
    assert rate.progress == "0 of 6"
    rate.vote("tie")
    click(rate, do="rater", name=" ann ")
    assert (rate.rater, rate.progress) == ("ann", "1 of 6")
    assert set(run.votes()["rater"]) == {"ann", "bob"}


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\u202eann", "x" * 101])
def test_a_rater_has_a_name(run: Run, rate: Rate, name: str) -> None:
    """One that can be read; else the former one stays."""
    with pytest.raises(UsageError, match="needs a name"):
        rate.rater = name
    assert rate.rater == "ann"


def test_nobody_votes_in_the_name_of_a_judge(run: Run) -> None:
    """Its verdicts would be replaced."""
    run.record.manifest["judges"].append({"name": "judge", "rater": "judge (gpt, 12)"})  # type: ignore[index]
    with pytest.raises(UsageError, match="judge's votes"):
        Rate(run, rater="judge (gpt, 12)")


def test_a_skipped_pair_comes_again_at_the_end(rate: Rate) -> None:
    """And nothing is stored for it."""
    shown = rate.left + rate.right
    rate.skip()
    for _ in range(5):
        assert rate.left + rate.right != shown
        rate.vote("tie")
    assert rate.left + rate.right == shown
    assert rate.progress == "5 of 6"


def test_a_click_rates_the_pair_that_was_seen(run: Run, rate: Rate) -> None:
    """Two clicks on one pair, or from two tabs, are one vote."""
    seen = rate.turn
    click(rate, do="vote", winner="left", turn=seen)
    click(rate, do="vote", winner="left", turn=seen)
    assert rate.progress == "1 of 6"
    click(rate, do="vote", winner="<script>", turn=rate.turn)
    assert "unknown vote" in rate.notice
    assert len(run.votes()) == 1


def test_mistakes_say_what_to_do(run: Run, rate: Rate) -> None:
    """In Python as an error, on the page as a notice."""
    with pytest.raises(UnknownNameError, match="Did you mean 'left'"):
        rate.vote("lefty")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown persona"):
        Rate(run, personas=["nobody"])
    for _ in range(6):
        rate.vote("tie")
    with pytest.raises(UsageError, match="Every pair is rated"):
        rate.vote("tie")


def test_results_are_their_newest_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And who votes is the user, if nobody says otherwise."""
    monkeypatch.setenv("LOGNAME", "carla")
    rate = Rate(Results("results"))
    assert (rate.run.id, rate.rater) == (run.id, "carla")
    with pytest.raises(UsageError, match="expected a run"):
        Rate("results")  # type: ignore[arg-type]


def test_a_stranger_s_votes_bring_no_word_of_their_own(run: Run, rate: Rate) -> None:
    """A store may hold votes that nobody could have given here."""
    first, second = run.trials()["key"][:2]
    with Store("results") as store:
        store.add_votes([
            Vote("ann", "person", first, second, "<script>"),  # type: ignore[arg-type]
            Vote("ann", "judge", second, first, "left"),
        ])  # fmt: skip
    assert Rate(run, rater="ann").progress == "0 of 6"


def test_a_vote_is_on_the_pair_on_the_page(run: Run, rate: Rate) -> None:
    """Where the next pair cannot be read nothing is stored, and the same pair is voted on next."""
    seen = rate.left, rate.right
    with closing(sqlite3.connect("results/answers.sqlite", isolation_level=None)) as other:
        other.execute("UPDATE cases SET turns = '?' || turns")
        click(rate, do="vote", winner="left", turn=rate.turn)
        assert rate.notice
        assert (rate.left, rate.right, rate.progress) == (*seen, "0 of 6")
        assert run.votes().empty
        other.execute("UPDATE cases SET turns = substr(turns, 2)")
    click(rate, do="vote", winner="right", turn=rate.turn)
    (vote,) = run.votes().to_dict("records")
    answers = run.trials().set_index(["persona", "case"])["answer"]
    assert answers[vote["left"], vote["case"]] in seen[0]
    assert answers[vote["right"], vote["case"]] in seen[1]
    assert (rate.notice, rate.progress) == ("", "1 of 6")


def test_keys_that_are_pressed_at_once_are_obeyed_in_order(run: Run, rate: Rate) -> None:
    """However long the store takes: none is lost, and none is early."""
    wishes = ["vote", "undo", "vote", "skip", "vote", "vote", "undo", "reveal", "hide"]
    other = Rate(run, rater="bob")
    for wish in wishes:
        more = {"winner": "left", "turn": rate.turn} if wish == "vote" else {}
        click(rate, do=wish, **more)

    def at_once() -> None:
        turn = other.turn
        for number, wish in enumerate(wishes):
            more = {"winner": "left", "turn": turn + number} if wish == "vote" else {}
            other.handle_message({"do": wish, **more})

    background.call(at_once)
    wait_for_tasks(other)
    assert (other.progress, other.revealed) == (rate.progress, rate.revealed) == ("2 of 6", False)
    assert Counter(run.votes()["rater"]) == {"ann": 2, "bob": 2}


async def test_a_locked_store_holds_up_nobody_else(
    run: Run, rate: Rate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so after a while, and no vote is stored behind the rater's back."""
    limit = "assistants.widgets.rate.rate.STORE_TIMEOUT_S"
    monkeypatch.setattr(limit, 60)
    chat = Chat("none", "echo", results=None)
    with closing(sqlite3.connect("results/answers.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        vote = {"do": "vote", "winner": "left", "turn": rate.turn}
        background.call(lambda: rate.handle_message(vote))
        await chat.ask("Tea?")
        assert is_working(rate)
    wait_for_tasks(rate)
    assert rate.progress == "1 of 6"
    rate.undo()
    monkeypatch.setattr(limit, 0.5)
    with closing(sqlite3.connect("results/answers.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        click(rate, do="vote", winner="left", turn=rate.turn)
        assert rate.notice.startswith("results was busy for 0.5 s")
        assert rate.progress == "0 of 6"
    rate.skip()  # which waits for what came before
    assert run.votes().empty


def test_a_rater_who_cannot_be_found_changes_nothing(run: Run, rate: Rate) -> None:
    """The name, the pair and the votes stay together."""
    rate.vote("left")
    seen, store = rate.left, Path("results/answers.sqlite")
    store.rename("away")
    store.mkdir()
    with pytest.raises(StoreError):
        rate.rater = "bob"
    click(rate, do="rater", name="bob")
    assert "answers.sqlite" in rate.notice
    store.rmdir()
    Path("away").rename(store)
    assert (rate.rater, rate.left, rate.progress) == ("ann", seen, "1 of 6")
    rate.rater = "bob"
    assert rate.progress == "0 of 6"
