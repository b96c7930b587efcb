"""Raters: what one may be called, their votes so far, and how the personas fared in them."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from markupsafe import Markup

from assistants.errors import UsageError
from assistants.results import Run
from assistants.runs.store import Store
from assistants.scoring import VOTE_POINTS, Vote
from assistants.utils.text import escape_control_chars, truncate_line
from assistants.widgets.base import Item
from assistants.widgets.html import ui
from assistants.widgets.rate.pairing import Pair

_MAX_NAME = 100
_OUTCOMES = ("won", "lost", "tie", "both bad")


def rater_name(run: Run, rater: object) -> str:
    """Return the name that votes are signed with.

    Raises
    ------
    UsageError
        If it cannot be read, or is a judge's.
    """
    name = str(rater).strip()
    if not name or len(name) > _MAX_NAME or escape_control_chars(name) != name or "\n" in name:
        raise UsageError("A rater needs a name.", fix=f"Up to {_MAX_NAME} characters, on one line.")
    if name in [judge.get("rater") for judge in run.manifest.get("judges", [])]:
        raise UsageError(
            f"{name!r} is the name that a judge's votes are signed with.", fix="Take another name."
        )
    return name


def current_user() -> str:
    """Return the name that the system knows the user by."""
    try:
        return truncate_line(getpass.getuser(), _MAX_NAME) or "somebody"
    except (OSError, KeyError):
        return "somebody"


def rater_votes(run: Run, rater: str, order: Sequence[Pair]) -> list[tuple[Pair, Vote]]:
    """Return a rater's votes on these pairs, oldest first; of two on a pair, the last one."""
    by_keys = {pair.keys: pair for pair in order}
    votes: dict[frozenset[str], Vote] = {}
    with Store(run.results) as store:
        for vote in store.votes(run.id):
            keys = frozenset((vote.left, vote.right))
            is_own = vote.rater == rater and vote.kind == "person"
            if is_own and keys in by_keys and vote.winner in VOTE_POINTS:
                votes[keys] = vote
    return [(by_keys[keys], vote) for keys, vote in votes.items()]


def tally_votes(votes: Sequence[tuple[Pair, Vote]]) -> list[Item]:
    """Return one row per persona, the best first: its share of wins, 0 to 1, and each count.

    A tie, and both bad, is half a win for each.
    """
    by_persona: dict[str, Item] = {}
    for pair, vote in votes:
        seen = pair.as_in(vote)
        for side, points in zip((seen.left, seen.right), VOTE_POINTS[vote.winner], strict=True):
            row = by_persona.setdefault(side.persona, dict.fromkeys(_OUTCOMES, 0) | {"points": 0.0})
            row["points"] += points
            row[{1.0: "won", 0.0: "lost"}.get(points, vote.winner)] += 1
    rows = [
        {
            "persona": escape_control_chars(persona),
            "share": row["points"] / sum(row[name] for name in _OUTCOMES),
            **{name: row[name] for name in _OUTCOMES},
        }
        for persona, row in by_persona.items()
    ]
    return sorted(rows, key=lambda row: -float(row["share"]))


def tally_table(rows: Sequence[Item]) -> Markup:
    """Return a tally as static HTML."""
    columns = ["persona", "share of wins", *_OUTCOMES]
    cells = [
        [row["persona"], f"{row['share']:.0%}", *(row[name] for name in _OUTCOMES)] for row in rows
    ]
    return ui.table(columns, cells, [False, *(True for _ in columns[1:])])
