"""The conversations that a rater compares, and what is left of those that were rated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assistants.results import Run
from assistants.scoring.vote import Vote
from assistants.utils.text import pluralize
from assistants.widgets.html.code_colours import plain
from assistants.widgets.html.markdown import escape
from assistants.widgets.rate.pairing import Pair
from assistants.widgets.stored_runs import conversation

LONGEST = 2_000
"""Characters of a question or an answer that are left; the whole of it is in the trials table."""

TURNS = 8
"""Of a conversation are left, the last ones."""

MOST = 300_000
"""Characters of all of it: a notebook holds them, ..."""

BLIND = 60_000
"""... but fewer while somebody rates, since every vote sends them again."""

_SHORT = 100
"""Characters of a name, and of a question where only its beginning is needed."""

_NEITHER = {"tie": "a tie", "both bad": "both are bad"}
_CELL = (
    'align="left" valign="top" '
    'style="text-align: left; vertical-align: top; overflow-wrap: break-word"'
)


@dataclass(frozen=True, slots=True)
class RatedTurn:
    """A question, and the answers that are compared, as Markdown."""

    question: str
    left: str
    right: str


def rated_turn(run: Run, pair: Pair) -> list[RatedTurn]:
    """Everything that a pair was asked, in order; the last answers are those that are rated."""
    last = RatedTurn(pair.question, pair.left.answer, pair.right.answer)
    questions, left = conversation(run, pair.case, pair.left.key)
    _, right = conversation(run, pair.case, pair.right.key)
    if not len(questions) == len(left) == len(right):
        return [last]  # a store that somebody else made may hold half of it
    found = [
        RatedTurn(question, one.text, other.text)
        for question, one, other in zip(questions, left, right, strict=True)
    ]
    return [*found[:-1], RatedTurn(questions[-1], last.left, last.right)]


def rated(
    votes: Sequence[tuple[Pair, Vote]], read: Callable[[Pair], Sequence[RatedTurn]], *, named: bool
) -> str:
    """Safe HTML: what was voted on, each pair folded away; the first ones go if it is too much.

    Parameters
    ----------
    votes
        In the order in which they were given.
    read
        What a pair was asked, and what was answered.
    named
        Whether to say who answered; otherwise nothing here tells.
    """
    parts: list[str] = []
    length, most = 0, MOST if named else BLIND
    for number, (pair, vote) in reversed([*enumerate(votes, start=1)]):
        part = _one(number, pair.as_in(vote), vote, read, named=named)
        length += len(part)
        if length > most:
            break
        parts.append(part)
    if left := len(votes) - len(parts):
        said = f"{pluralize(left, 'pair')} before these" if parts else pluralize(left, "pair")
        parts.append(f"<p>{said}: see <code>run.votes()</code> and <code>run.trials</code>.</p>")
    return "".join(reversed(parts))


def _one(
    number: int,
    pair: Pair,
    vote: Vote,
    read: Callable[[Pair], Sequence[RatedTurn]],
    *,
    named: bool,
) -> str:
    asked = read(pair)
    heads = "".join(f'<th width="50%" {_CELL}>{each}</th>' for each in _heads(pair, named=named))
    rows = "".join(
        f'<tr><td colspan="2" {_CELL}><blockquote>{_text(each.question)}</blockquote></td></tr>'
        f"<tr><td {_CELL}>{_text(each.left)}</td><td {_CELL}>{_text(each.right)}</td></tr>"
        for each in asked[-TURNS:]
    )
    question = " ".join(_cut(asked[0].question, _SHORT).split())
    return (
        f"<details><summary>{number}. {escape(question)} "
        f"<b>{escape(_said(pair, vote, named=named))}</b></summary>"
        f'<table class="conversation" width="100%"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )


def _heads(pair: Pair, *, named: bool) -> list[str]:
    if not named:
        return ["<b>Left</b>", "<b>Right</b>"]
    model = f"<br><small>{escape(_cut(pair.model, _SHORT))}</small>"
    sides = {"Left": pair.left, "Right": pair.right}
    return [
        f"<b>{name}: {escape(_cut(side.persona, _SHORT))}</b>{model}"
        for name, side in sides.items()
    ]


def _said(pair: Pair, vote: Vote, *, named: bool) -> str:
    better = {"left": pair.left, "right": pair.right}.get(vote.winner)
    if better is None:
        return _NEITHER[vote.winner]
    return f"{_cut(better.persona, _SHORT) if named else vote.winner} is better"


def _text(markdown: str) -> str:
    return plain(_cut(markdown, LONGEST))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most].rstrip() + " …"
