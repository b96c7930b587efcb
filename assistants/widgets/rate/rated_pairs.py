"""The conversations that a rater compares, and the static HTML of those that were rated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from assistants.results import Run
from assistants.scoring import Vote
from assistants.utils.text import pluralize
from assistants.widgets.html import finished_html, ui
from assistants.widgets.rate.pairing import Pair
from assistants.widgets.stored_runs import conversation

MAX_TEXT = 2_000
"""Characters kept of a question or an answer; all of it is in the trials table."""

MAX_TURNS = 8
"""Turns kept of a conversation, the last ones."""

MAX_NAMED = 300_000
"""Characters of HTML in all once names are shown: a notebook holds them."""

MAX_BLIND = 60_000
"""Characters of HTML in all while somebody rates: every vote sends them again."""

_MAX_NAME = 100
"""Characters of a name, and of a question where only its beginning is needed."""


@dataclass(frozen=True, slots=True)
class RatedTurn:
    """A question, and the two answers that are compared, as Markdown."""

    question: str
    left: str
    right: str


def rated_turns(run: Run, pair: Pair) -> list[RatedTurn]:
    """Return everything that a pair was asked, in order; the last answers are those rated."""
    last = RatedTurn(pair.question, pair.left.answer, pair.right.answer)
    questions, left = conversation(run, pair.case, pair.left.key)
    _, right = conversation(run, pair.case, pair.right.key)
    if not len(questions) == len(left) == len(right):
        return [last]  # a store that somebody else made may hold half of it
    turns = [
        RatedTurn(question, one.text, other.text)
        for question, one, other in zip(questions, left, right, strict=True)
    ]
    return [*turns[:-1], RatedTurn(questions[-1], last.left, last.right)]


def rated_pairs_html(
    votes: Sequence[tuple[Pair, Vote]], read: Callable[[Pair], Sequence[RatedTurn]], *, named: bool
) -> Markup:
    """Return safe HTML of the rated pairs, each folded away; the first go if it is too long.

    Parameters
    ----------
    votes
        In the order in which they were given.
    read
        Returns what a pair was asked, and what was answered.
    named
        Whether to say who answered; otherwise nothing here tells.
    """
    parts: list[Markup] = []
    length = 0
    for number, (pair, vote) in reversed([*enumerate(votes, start=1)]):
        part = _rated_pair(number, pair.as_in(vote), vote, read(pair.as_in(vote)), named=named)
        length += len(part)
        if length > (MAX_NAMED if named else MAX_BLIND):
            break
        parts.append(part)
    if omitted := len(votes) - len(parts):
        count = pluralize(omitted, "pair") + (" before these" if parts else "")
        parts.append(
            Markup("<p>{}: see <code>run.votes()</code> and <code>run.trials</code>.</p>").format(
                count
            )
        )
    return Markup().join(reversed(parts))


def _rated_pair(
    number: int, pair: Pair, vote: Vote, turns: Sequence[RatedTurn], *, named: bool
) -> Markup:
    if named:
        model = _cut(pair.model, _MAX_NAME)
        heads = [ui.titled(f"{name}: {_cut(side.persona, _MAX_NAME)}", model)
                 for name, side in (("Left", pair.left), ("Right", pair.right))]  # fmt: skip
    else:
        heads = [ui.titled("Left"), ui.titled("Right")]
    rows = [(_html(turn.question), [_html(turn.left), _html(turn.right)])
            for turn in turns[-MAX_TURNS:]]  # fmt: skip
    question = " ".join(_cut(turns[0].question, _MAX_NAME).split())
    result = _result(pair, vote, named=named)
    return ui.folded(f"{number}. {question}", ui.side_by_side(heads, rows), result)


def _result(pair: Pair, vote: Vote, *, named: bool) -> str:
    winner = {"left": pair.left, "right": pair.right}.get(vote.winner)
    if winner is None:
        return {"tie": "a tie", "both bad": "both are bad"}[vote.winner]
    return f"{_cut(winner.persona, _MAX_NAME) if named else vote.winner} is better"


def _html(markdown: str) -> Markup:
    return finished_html(_cut(markdown, MAX_TEXT))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most].rstrip() + " …"
