"""Pairwise votes: both orders of a pair as one comparison, and the bias of the side itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from assistants.analysis.paired import wilson
from assistants.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

FEWEST_CASES = 5
"""Below this, resampling cases says next to nothing of how cases differ: no interval is given."""

COLUMNS = tuple("case model repeat left right winner rater kind".split())
"""Columns that a table of votes has to have."""

WINNERS = ("left", "right", "tie", "both bad")

COMBINED = tuple("rater kind case model repeat first second winner orders agree".split())
"""Columns of the table of comparisons, in order."""

BIAS = tuple("rater kind comparisons asked_both_ways agree left low high note".split())
"""Columns of the table of position bias, in order."""

_PLACE = ["rater", "kind", "case", "model", "repeat"]
_PAIR = [*_PLACE, "first", "second"]


def combine_orders(votes: pd.DataFrame) -> pd.DataFrame:
    """Return one row per comparison of two personas' answers, whichever side they had.

    Parameters
    ----------
    votes
        One row a vote: ``case``, ``model``, ``repeat``; ``left`` and ``right``, the personas whose
        answers were shown there; ``winner``, one of ``WINNERS``, or NA where there was no verdict
        (that row does not count); ``rater``; and ``kind``, ``person`` or ``judge``.

    Returns
    -------
    pandas.DataFrame
        With ``COMBINED``. ``first`` and ``second`` are the personas in sorted order, ``winner`` is
        ``first``, ``second``, ``tie`` or ``both bad``. ``orders`` says how many were asked (1 or
        2), ``agree`` whether both said the same, NA for one. Where they did not, it is a tie.

    Raises
    ------
    UsageError
        If a column is missing, a winner or kind is unknown, a persona meets itself, a rater is of
        two kinds, or the same vote is given twice.
    """
    import pandas as pd

    rows = _placed(votes)
    if not len(rows):
        return pd.DataFrame({name: [] for name in COMBINED})
    winners = rows.groupby(_PAIR, sort=True)["verdict"]
    table = winners.agg(one="first", other="last", orders="size").reset_index()
    same = table["one"] == table["other"]
    table["winner"] = table["one"].where(same, "tie")
    table["agree"] = same.astype("boolean").where(table["orders"] == 2)
    return table[list(COMBINED)]


def position_bias(votes: pd.DataFrame) -> pd.DataFrame:
    """Count how often the answer on the left won, whatever it said: one row per rater.

    Parameters
    ----------
    votes
        As in ``combine_orders``.

    Returns
    -------
    pandas.DataFrame
        With ``BIAS``. ``comparisons`` counts pairs of answers, ``asked_both_ways`` those seen in
        both orders, and ``agree`` is the share of these where both orders gave the same verdict.
        ``left`` is the share of decided votes (no tie, not both bad) that chose the left answer:
        0.5 without a bias. ``low`` and ``high`` are of its 95% interval. NaN is "not known".

    Raises
    ------
    UsageError
        As ``combine_orders`` does.

    Notes
    -----
    Wilson (1927), "Probable inference, the law of succession, and statistical inference". Two
    orders of one pair of answers offset each other, so with both asked the interval is rather
    too wide than too narrow.
    """
    import pandas as pd

    rows = _placed(votes)
    combined = combine_orders(votes)
    table_rows = []
    for (rater, kind), mine in rows.groupby(["rater", "kind"], sort=True):
        pairs = combined[(combined["rater"] == rater) & (combined["kind"] == kind)]
        both = int((pairs["orders"] == 2).sum())
        decided = int(mine["winner"].isin(["left", "right"]).sum())
        left = int((mine["winner"] == "left").sum())
        share = left / decided if decided else math.nan
        low, high = map(float, wilson(np.array(share), np.array(float(decided))))
        agree = float(pairs["agree"].sum()) / both if both else math.nan
        note = _note(len(pairs), both, decided, low, high)
        table_rows.append((rater, kind, len(pairs), both, agree, share, low, high, note))
    return pd.DataFrame(table_rows, columns=list(BIAS)).astype(
        {"agree": "float64", "left": "float64", "low": "float64", "high": "float64", "note": "str"}
    )


def _note(pairs: int, both: int, decided: int, low: float, high: float) -> str:
    notes = []
    if decided == 0:
        notes.append("No vote was decided: nothing is known of a bias.")
    elif low > 0.5 or high < 0.5:
        notes.append(f"Prefers the {'left' if low > 0.5 else 'right'} answer, whatever it says.")
    if both < pairs:
        notes.append(
            f"{pairs - both:,} of {pairs:,} were asked in one order only: there, the side and the "
            "personas that happened to be on it cannot be told apart."
        )
    elif notes and decided:
        notes.append("Both orders were asked, so that it cancels in a ranking.")
    return " ".join(notes)


def _placed(votes: pd.DataFrame) -> pd.DataFrame:
    """Return votes that have a winner, with ``first``, ``second`` and ``verdict`` on those."""
    _check(votes)
    rows = votes.loc[votes["winner"].notna(), list(COLUMNS)].copy()
    turned = (rows["left"].astype(str) > rows["right"].astype(str)).to_numpy(dtype=bool)
    rows["first"] = np.where(turned, rows["right"], rows["left"])
    rows["second"] = np.where(turned, rows["left"], rows["right"])
    straight = rows["winner"].replace({"left": "first", "right": "second"})
    mirrored = rows["winner"].replace({"left": "second", "right": "first"})
    rows["verdict"] = np.where(turned, mirrored, straight)
    again = rows.duplicated([*_PLACE, "left", "right"])
    if again.any():
        row = rows[again].iloc[0]
        raise UsageError(
            f"{row['rater']!r} voted twice on case {row['case']!r}, model {row['model']!r}, repeat "
            f"{row['repeat']}: {row['left']!r} on the left, {row['right']!r} on the right.",
            fix="Keep the last vote.",
        )
    return rows


def _check(votes: pd.DataFrame) -> None:
    absent = [name for name in COLUMNS if name not in votes.columns]
    if absent:
        raise UsageError(f"The table of votes has no column {' and no '.join(map(repr, absent))}.")
    for column, known in (("winner", WINNERS), ("kind", ("person", "judge"))):
        for word in votes[column].dropna().unique():
            if word not in known:
                raise UsageError(f"Unknown {column} {word!r}.", fix=nearest(str(word), known))
    others = [name for name in COLUMNS if name != "winner"]
    if votes[others].isna().any(axis=None):
        column = next(name for name in others if votes[name].isna().any())
        raise UsageError(f"A vote has no {column}.")
    if (votes["left"] == votes["right"]).any():
        row = votes[votes["left"] == votes["right"]].iloc[0]
        raise UsageError(f"Case {row['case']!r} compares {row['left']!r} with itself.")
    kinds = votes.groupby("rater")["kind"].nunique()
    if (kinds > 1).any():
        raise UsageError(f"{kinds.index[kinds > 1][0]!r} is a person and a judge.")
