"""Ranking of personas by votes: Bradley-Terry strengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.pairwise_votes import FEWEST_CASES, combine_orders
from assistants.analysis.permutation import Floats
from assistants.errors import MissingDependencyError
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple("persona rank comparisons wins losses ties both_bad strength low high note".split())
"""Columns of the ranking, in order."""

BOOTSTRAP = 1_000
"""Resamples of the cases."""

FEW = 10
"""Comparisons of a persona below which its row says that they are few."""

_TOLERANCE = 1e-12
_STEPS = 100_000
_CLOSE = 1e-9
"""Relative steps of the resamples' scores at which they are close enough."""


def evalica() -> Any:
    """Return the library ``evalica``.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import evalica as library
    except ImportError as e:
        raise MissingDependencyError(
            "Votes are evaluated with evalica, which is not installed.",
            fix="pip install 'assistants[analysis]'",
        ) from e
    return library


def ranking(votes: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Rank the personas: one row each, the most preferred first.

    Parameters
    ----------
    votes
        As in ``combine_orders``, which makes one comparison of both orders of a pair. All
        raters, cases and models count alike; leave out rows to rank by some of them.
    seed
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``. ``strength`` is the chance, 0 to 1, that an answer of this persona is
        preferred to one of another persona of the table, averaged over these: 0.5 is average. It
        follows from Bradley-Terry scores; a tie is half a win for each, and so is "both bad",
        which ``both_bad`` counts (``ties`` does not). ``low`` and ``high`` are of its 95%
        interval, from resampling whole cases. Personas of equal strength share a rank. Where
        personas were never compared with each other, nor through others, ranks and strengths are
        unknown (NA).

    Raises
    ------
    UsageError
        As ``combine_orders`` does.
    MissingDependencyError
        If evalica is not installed.

    Notes
    -----
    Bradley and Terry (1952), "Rank analysis of incomplete block designs". Scores are finite only
    if no group of personas won every comparison against the rest (Ford (1957), "Solution of a
    ranking problem from binary comparisons"). Where one did, one made-up tie is added to each pair
    that was compared, there and in such resamples, and the note says so. The interval is that of
    the percentiles.
    """
    import pandas as pd

    combined = combine_orders(votes)
    names = sorted(set(combined["first"]) | set(combined["second"]))
    if not names:
        return pd.DataFrame({name: [] for name in COLUMNS})
    place = {name: i for i, name in enumerate(names)}
    first = combined["first"].map(place).to_numpy(dtype=np.intp)
    second = combined["second"].map(place).to_numpy(dtype=np.intp)
    winner = combined["winner"].to_numpy(dtype=object)
    table = pd.DataFrame({"persona": names, **_counts(first, second, winner, len(names))})
    wins = _wins(combined["case"], first, second, winner, len(names))
    total = wins.sum(axis=0)
    groups = _groups(total + total.T)
    if len(groups) > 1:
        table["rank"] = pd.array([None] * len(names), dtype="Int64")
        table[["strength", "low", "high"]] = math.nan
        table["note"] = [_apart(i, groups, names) for i in range(len(names))]
        return _typed(table)
    held = not _bounded(total[None])[0]
    table["strength"] = strength(total)
    table["low"], table["high"] = _interval(wins, total, seed)
    alone = (total.sum(axis=1) == 0) | (total.sum(axis=0) == 0)  # never won, or never lost
    table.loc[alone | (len(wins) < FEWEST_CASES), ["low", "high"]] = math.nan
    table["rank"] = (-table["strength"].round(9)).rank(method="min").astype("Int64")
    table["note"] = [
        " ".join(_note(row, held=held, alone=bool(alone[i]), cases=len(wins)))
        for i, row in enumerate(table.to_dict("records"))
    ]
    return _typed(table.sort_values(["rank", "persona"], ignore_index=True))


def strength(wins: Floats) -> Floats:
    """Return the chance to be preferred to another persona, averaged over the others.

    Parameters
    ----------
    wins
        Shape ``(n_personas, n_personas)``: how often the row's won against the column's, half for
        a tie. All are compared, if only through others.

    Returns
    -------
    Floats
        Shape ``(n_personas,)``.
    """
    wins = _held(wins[None])[0]
    row, column = np.nonzero(wins)
    library = evalica()
    scores = library.bradley_terry(
        row.tolist(),
        column.tolist(),
        [library.Winner.X] * len(row),
        index=_index(len(wins)),
        weights=wins[row, column].tolist(),
        tolerance=_TOLERANCE,
        limit=_STEPS,
    ).scores
    values = scores.reindex(range(len(wins))).to_numpy(dtype=np.float64)
    return np.asarray(_chances(values[None])[0])


def strengths(wins: Floats) -> Floats:
    """Return ``strength`` of many resamples at once: shape ``(n, size, size)`` to ``(n, size)``.

    Notes
    -----
    The iteration that evalica uses too: Newman (2023), "Efficient computation of rankings from
    pairwise comparisons".
    """
    wins = _held(wins)
    scores = np.ones(wins.shape[:2])
    for _ in range(_STEPS):
        before = scores.copy()
        for i in range(wins.shape[1]):
            shared = 1.0 / (scores[:, i, None] + scores)
            won = (wins[:, i] * scores * shared).sum(axis=1)
            scores[:, i] = won / (wins[:, :, i] * shared).sum(axis=1)
        scores /= np.exp(np.log(scores).mean(axis=1))[:, None]
        if np.abs(scores / before - 1).max() < _CLOSE:
            break
    return _chances(scores)


def _chances(scores: Floats) -> Floats:
    """Turn Bradley-Terry scores ``(n, size)`` into mean chances to win."""
    size = scores.shape[1]
    against = scores[:, :, None] / (scores[:, :, None] + scores[:, None, :])
    return np.asarray((against.sum(axis=2) - 0.5) / (size - 1))  # against itself: one half


def _held(wins: Floats) -> Floats:
    """Add one made-up tie per compared pair, where scores would have no bound."""
    ties = np.where(wins + wins.transpose(0, 2, 1) > 0, 0.5, 0.0)
    return np.where(_bounded(wins)[:, None, None], wins, wins + ties)


def _index(size: int) -> pd.Index[Any]:
    import pandas as pd

    return pd.Index(range(size))


def _counts(
    first: NDArray[np.intp], second: NDArray[np.intp], winner: NDArray[Any], size: int
) -> dict[str, NDArray[np.int64]]:
    def count(*sides: tuple[NDArray[np.intp], Any]) -> NDArray[np.int64]:
        return sum(
            (np.bincount(side[which], minlength=size) for side, which in sides),
            np.zeros(size, dtype=np.int64),
        )

    one, other, bad = winner == "first", winner == "second", winner == "both bad"
    both = (first, second)
    return {
        "comparisons": count(*((side, slice(None)) for side in both)),
        "wins": count((first, one), (second, other)),
        "losses": count((first, other), (second, one)),
        "ties": count(*((side, winner == "tie") for side in both)),
        "both_bad": count(*((side, bad) for side in both)),
    }


def _wins(
    cases: Sequence[Any],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    winner: NDArray[Any],
    size: int,
) -> Floats:
    """Count who won against whom, case by case: ``(n_cases, n_personas, n_personas)``."""
    import pandas as pd

    case, names = pd.factorize(np.asarray(cases, dtype=object), sort=True)
    wins = np.zeros((len(names), size, size))
    share = np.where(winner == "first", 1.0, np.where(winner == "second", 0.0, 0.5))
    np.add.at(wins, (case, first, second), share)
    np.add.at(wins, (case, second, first), 1.0 - share)
    return wins


def _interval(wins: Floats, total: Floats, seed: int) -> tuple[Floats, Floats]:
    number, size = len(wins), len(total)
    if number < 2:
        return np.full(size, math.nan), np.full(size, math.nan)
    drawn = np.random.default_rng(seed).multinomial(
        number, np.full(number, 1 / number), size=BOOTSTRAP
    )
    again = np.tensordot(drawn, wins, axes=1)
    # Without the cases that link two groups: one made-up tie a compared pair, as elsewhere.
    apart = ~_bounded(again + again.transpose(0, 2, 1))
    again[apart] += np.where(total + total.T > 0, 0.5, 0.0)
    low, high = np.quantile(strengths(again), [0.025, 0.975], axis=0)
    return low, high


def _bounded(wins: Floats) -> NDArray[np.bool_]:
    """Tell whether each persona won against each, if only through others; shape ``(n,)``."""
    size = wins.shape[1]
    reached = ((wins > 0) | np.eye(size, dtype=bool)).astype(np.float32)
    for _ in range((size - 1).bit_length()):
        reached = (reached @ reached > 0).astype(np.float32)
    return np.asarray((reached > 0).all(axis=(1, 2)))


def _groups(compared: Floats) -> list[set[int]]:
    """Group the personas that were compared with each other, if only through others."""
    left = set(range(len(compared)))
    groups = []
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = {j for i in edge for j in np.flatnonzero(compared[i]).tolist()} - group
        groups.append(group)
        left -= group
    return groups


def _apart(persona: int, groups: list[set[int]], names: Sequence[str]) -> str:
    others = sorted(names[i] for group in groups if persona not in group for i in group)
    shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
    return f"Never compared with {shown}, nor through others: the rank is unknown."


def _note(row: dict[Any, Any], *, held: bool, alone: bool, cases: int) -> list[str]:
    notes = []
    if alone:
        what = "Won" if row["wins"] else "Lost"
        notes.append(
            f"{what} every comparison: how far it lies {'above' if row['wins'] else 'below'} the "
            "others is unknown, and an interval cannot be given."
        )
    if held:
        notes.append(
            "Some won every comparison with the rest: strengths are held finite by one made-up tie "
            "for each pair that was compared."
        )
    if cases < FEWEST_CASES:
        notes.append(f"Only {pluralize(cases, 'case')}: too few for an interval.")
    if row["comparisons"] < FEW:
        notes.append(f"Only {pluralize(row['comparisons'], 'comparison')}.")
    if row["both_bad"]:
        notes.append(f"{row['both_bad']:,} times both were bad, counted as a tie.")
    return notes


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return table[list(COLUMNS)].astype({"persona": "str", "note": "str"})
