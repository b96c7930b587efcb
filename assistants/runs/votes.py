"""Votes between answers of a stored run, and the share of its comparisons that each trial won."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistants.runs import scores, tables
from assistants.runs.store import Store
from assistants.scoring import VOTE_POINTS, Vote

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple("rater kind case model repeat left right winner reason voted_at".split())
"""Of the votes table, in order."""

PEOPLE = "person"
"""Of whom ``as_scores`` takes all votes together; a judge is a rater of its own."""


def votes(store: Store, run: str) -> pd.DataFrame:
    """Return one row per vote, oldest first, with ``COLUMNS``; ``left`` and ``right`` are personas.

    A judge is asked in both orders and has two rows; what it said in one order only is left out,
    since its preference may be for the place. Votes are on answers, not on runs: a run
    that shares answers with an earlier one has that one's votes too.
    """
    import pandas as pd

    places = _places(store, run)
    found = [vote for vote in store.votes(run) if _is_ours(vote)]
    asked = {(vote.rater, vote.left, vote.right) for vote in found}
    rows = []
    for vote in found:
        (left, *where), (right, *there) = places[vote.left], places[vote.right]
        if left == right or where != there:
            continue  # of a run that drew otherwise: the two do not meet in this one
        if vote.kind == "judge" and (vote.rater, vote.right, vote.left) not in asked:
            continue  # in one order only, a judge's preference may be for the place
        rows.append([vote.rater, vote.kind, *where, left, right, vote.winner, vote.reason,
                     vote.voted_at])  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"repeat": "int64"})
    texts = [name for name in COLUMNS if name != "repeat"]
    return frame.astype(dict.fromkeys(texts, "str"))


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the share of its comparisons that each trial won; a tie is half a win for both.

    Returns
    -------
    pd.DataFrame
        One row per case, model, repeat and persona that was voted on, with ``value``, 0 to 1, and
        ``detail``: how many votes.
    """
    import pandas as pd

    at = ["case", "model", "repeat"]
    sides = [
        frame[at].assign(persona=frame[side], value=[VOTE_POINTS[w][i] for w in frame["winner"]])
        for i, side in enumerate(("left", "right"))
    ]
    points = pd.concat(sides).groupby([*at, "persona"], sort=False)["value"]
    table = points.agg(["mean", "size"]).reset_index()
    table["detail"] = [f"{n} vote{'' if n == 1 else 's'}" for n in table["size"]]
    return table.rename(columns={"mean": "value"})[[*at, "persona", "value", "detail"]]


def as_scores(
    store: Store, run: str, name: str, rater: str | None, against: str | None = None
) -> pd.DataFrame:
    """Return votes as scores: one row per trial, ``value`` missing without a vote.

    The columns are ``scores.COLUMNS``.

    Parameters
    ----------
    name
        Of the score.
    rater
        ``PEOPLE``, or what a judge's votes are signed with.
    against
        Only the comparisons of this persona count, and it has half of the wins: an effect is then
        how far a persona wins more than half of them, whoever else was compared.
    """
    frame = votes(store, run)
    frame = frame[frame["kind" if rater == PEOPLE else "rater"] == rater]
    place = ["case", "model", "repeat", "persona"]
    trials = tables.trials(store, run)[[*place, "status"]]
    if against is not None:
        frame = frame[(frame["left"] == against) | (frame["right"] == against)]
    table = trials.merge(shares(frame), how="left", on=place)
    if against is not None:
        own = (table["persona"] == against) & table["value"].notna()
        table.loc[own, "value"] = 0.5
    people = "nobody compared it"
    lacking = people if rater == PEOPLE else "no comparison of it has a winner in both orders"
    reason = table["value"].isna().map({True: lacking, False: None})
    return table.assign(scorer=name, reason=reason)[list(scores.COLUMNS)]


def _is_ours(vote: Vote) -> bool:
    """Return whether this package could have written it: a store may come from a stranger."""
    return vote.winner in VOTE_POINTS and vote.kind in ("person", "judge")


def _places(store: Store, run: str) -> dict[str, tuple[str, str, str, int]]:
    """Return persona, case, model and repeat of each key, of the first trial that has it."""
    query = (
        "SELECT key, persona, case_id, model, repeat FROM trials WHERE run = ? ORDER BY position"
    )
    found: dict[str, tuple[str, str, str, int]] = {}
    for key, *place in store.read(query, [run]):
        found.setdefault(key, (place[0], place[1], place[2], place[3]))
    return found
