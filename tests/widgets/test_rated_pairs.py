"""What Rate shows of a conversation, and what it leaves of the pairs that were rated."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from assistants import Experiment, Message, Run, ScriptedClient
from assistants.scoring.vote import Vote, Winner
from assistants.widgets.rate.pairing import Pair, Side
from assistants.widgets.rate.rate import Rate
from assistants.widgets.rate.rated_pairs import (
    MAX_BLIND,
    MAX_NAMED,
    MAX_TEXT,
    RatedTurn,
    rated_pairs_html,
)
from assistants.widgets.rate.raters import tally_table
from support.hostile_texts import MONSTERS

SECRET = ["zebra-persona", "okapi-persona"]
TURNS = ["What is light?", "Say that in one sentence.", "In a word?"]


def said(messages: Sequence[Message], sampling: object) -> str:
    """Who answers by a number, which answer it is, and to what."""
    number = sum(message.role == "user" for message in messages)
    return f"{messages[0].content} Answer {number} to {messages[-1].content}"


@pytest.fixture
async def run(here: Path) -> Run:
    """Two personas with telling names, one conversation and one question."""
    experiment = Experiment.define(
        "tea",
        personas=[{"name": name, "system_prompt": f"It is {i}."} for i, name in enumerate(SECRET)],
        baseline=SECRET[0],
        models=[ScriptedClient(said, "quagga-model")],
        cases=[{"id": "talk", "turns": TURNS}, "Tea?"],
    )
    return await experiment.run(on_progress=lambda progress: None)


@pytest.fixture
def rate(run: Run) -> Rate:
    """With the conversation to be rated first."""
    rate = Rate(run, rater="ann")
    if "Tea?" in rate.question:
        rate.skip()
    return rate


def test_a_conversation_is_shown_turn_by_turn(rate: Rate) -> None:
    """Each question with both answers to it; on a side all answers are of one persona."""
    assert [each["question"] for each in rate.earlier] == [f"<p>{q}</p>\n" for q in TURNS[:2]]
    assert rate.question == f"<p>{TURNS[2]}</p>\n"
    turns = [*rate.earlier, {side: getattr(rate, side) for side in ("left", "right")}]
    for side in ("left", "right"):
        (who,) = {turn[side].partition(" Answer")[0] for turn in turns}
        assert who in ("<p>It is 0.", "<p>It is 1.")
        for number, (turn, question) in enumerate(zip(turns, TURNS, strict=True), start=1):
            assert f"Answer {number} to {question}" in turn[side]
    assert rate.left.partition(" Answer")[0] != rate.right.partition(" Answer")[0]


def test_a_single_question_has_nothing_before_it(rate: Rate) -> None:
    """And while names are shown, no turn is there at all."""
    rate.vote("left")
    assert (rate.earlier, rate.question) == ([], "<p>Tea?</p>\n")
    rate.undo()
    assert len(rate.earlier) == 2
    rate.reveal()
    assert (rate.earlier, rate.question, rate.left, rate.right) == ([], "", "", "")


def test_a_conversation_names_nobody_while_it_is_rated(rate: Rate) -> None:
    """In no trait and in nothing that is left, before the vote and after it."""
    for _ in range(2):
        seen = json.dumps(rate.get_state(), default=str) + rate.static_html()
        assert not any(name in seen for name in (*SECRET, "quagga"))
        assert not any(key in seen for key in rate.run.trials()["key"])
        if not rate.voted:
            rate.vote("right")


def test_half_a_conversation_shows_what_is_rated(run: Run) -> None:
    """A store that somebody else made may lack an answer; those that are rated are there."""
    with closing(sqlite3.connect("results/answers.sqlite")) as store, store:
        store.execute("DELETE FROM answers WHERE turn = 0")
    rate = Rate(run, rater="ann", cases=["talk"])
    assert rate.earlier == []
    assert all(question in rate.question for question in TURNS)
    assert "Answer 3" in rate.left


@pytest.mark.parametrize(
    ("winner", "blind"),
    [("left", "left is better"), ("right", "right is better"), ("tie", "a tie"),
     ("both bad", "both are bad")],
)  # fmt: skip
def test_what_was_rated_is_left_without_names(rate: Rate, winner: Winner, blind: str) -> None:
    """The question, both answers where they stood, and the vote, as soon as it is given."""
    assert "<details>" not in rate.static_html()
    rate.vote(winner)
    left = rate.static_html()
    assert "1 of 2 pairs rated" in left
    assert repr(rate).endswith("1 of 2 rated)")
    assert f"{blind}</b>" in left
    assert [left.count(f"Answer {n} to") for n in (1, 2, 3)] == [2, 2, 2]
    assert not any(name in left for name in (*SECRET, "quagga"))


def test_the_names_are_left_once_they_are_shown(rate: Rate) -> None:
    """Above the answers and in the vote; gone again when the rating goes on."""
    rate.vote("left")
    best = SECRET[0] if "It is 0." in rate.static_html().partition("</td><td")[0] else SECRET[1]
    rate.reveal()
    left = rate.static_html()
    assert f"<b>Left: {best}</b><br><small>scripted:quagga-model</small>" in left
    assert f"<b>{best} is better</b>" in left
    rate.hide()
    assert not any(name in rate.static_html() for name in (*SECRET, "quagga"))


def test_the_sides_are_those_of_the_vote(run: Run, rate: Rate) -> None:
    """Of an earlier day too, when they were exchanged."""
    rate.vote("left")
    left = rate.static_html()
    for seed in range(6):
        again = Rate(run, rater="ann", seed=seed)
        assert again.static_html() == left


def many(number: int, text: str) -> list[tuple[Pair, Vote]]:
    """So many votes for the left."""
    pair = Pair("c", "m", 0, text, Side("k1", text, text), Side("k2", "other", text))
    return [(pair, Vote("ann", "person", "k1", "k2", "left")) for _ in range(number)]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("text", [*MONSTERS, "> " * 400, "*a* " * 15_000])
def test_what_is_left_is_bounded(text: str, named: bool) -> None:
    """However long the answers are and however many votes there are; what is missing is said."""
    page = rated_pairs_html(
        many(200, text), lambda pair: [RatedTurn(text, text, text)] * 30, named=named
    )
    assert len(page) < (MAX_NAMED if named else MAX_BLIND) + 200
    assert "see <code>run.votes()</code>" in page
    assert 0 < page.count("<details>") < 200 or "200 pairs" in page


def test_the_last_votes_are_left(run: Run) -> None:
    """In the order in which they were given, and numbered so."""
    turn = RatedTurn("Tea?", "x " * MAX_TEXT, "y")
    page = rated_pairs_html(many(200, "Tea? " * 500), lambda pair: [turn], named=True)
    numbers = [int(part.partition(".")[0]) for part in page.split("<summary>")[1:]]
    assert numbers == list(range(201 - len(numbers), 201))
    assert f"{200 - len(numbers)} pairs before these" in page
    assert "x …" in page


def test_fifty_one_pairs_of_usual_length_are_all_left() -> None:
    """As a seminar rates them."""
    text = "Light **spreads**, and what spreads becomes thin. " * 20
    page = rated_pairs_html(
        many(51, "Why?"), lambda pair: [RatedTurn("Why?", text, text)], named=True
    )
    assert page.count("<details>") == 51


def test_a_tally_is_a_table_of_numbers() -> None:
    """Counts and shares, as a reader without a kernel sees them."""
    row = {"persona": "<b>art</b>", "share": 0.5, "won": 2, "lost": 2, "tie": 0, "both bad": 0}
    html = str(tally_table([row]))
    assert "&lt;b&gt;art" in html
    assert html.count(">2</td>") == 2
    assert ">50%</td>" in html
