"""How the personas fared in the pairs that somebody rated."""

from __future__ import annotations

from collections.abc import Sequence

from assistants.scoring.vote import VOTE_POINTS, Vote
from assistants.utils.text import escape_control_chars
from assistants.widgets.base import Item
from assistants.widgets.html.markdown import escape
from assistants.widgets.rate.pairing import Pair

_COUNTED = ("won", "lost", "tie", "both bad")


def tally(votes: Sequence[tuple[Pair, Vote]]) -> list[Item]:
    """One row a persona, the best first: ``share`` of wins, 0 to 1, and how often which.

    A tie, and both bad, is half a win for each.
    """
    found: dict[str, Item] = {}
    for pair, vote in votes:
        seen = pair.as_in(vote)
        for side, points in zip((seen.left, seen.right), VOTE_POINTS[vote.winner], strict=True):
            row = found.setdefault(side.persona, dict.fromkeys(_COUNTED, 0) | {"points": 0.0})
            row["points"] += points
            row[{1.0: "won", 0.0: "lost"}.get(points, vote.winner)] += 1
    rows = [
        {
            "persona": escape_control_chars(persona),
            "share": row["points"] / sum(row[name] for name in _COUNTED),
            **{name: row[name] for name in _COUNTED},
        }
        for persona, row in found.items()
    ]
    return sorted(rows, key=lambda row: -float(row["share"]))


def table(rows: Sequence[Item]) -> str:
    """A tally as static HTML."""
    names = {"persona": "persona", "share": "share of wins", **{w: w for w in _COUNTED}}
    heads = "".join(f'<th align="left">{name}</th>' for name in names.values())
    lines = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in names) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, float) else escape(str(value))
