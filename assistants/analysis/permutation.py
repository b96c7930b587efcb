"""Permutation tests (sign flips, exchanged labels), and Holm's correction for many of them."""

from __future__ import annotations

import math
from functools import cache, reduce
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

EXACT = 14
"""Differences other than 0 up to which every way of flipping is tried."""

FLIPS = 9_999
"""Random ways of flipping, at least, where there are too many to try all."""

LISTED_LABELINGS = 5_000
"""Ways of exchanging the labels of one case up to which all are listed, not drawn."""

EXACT_LABELINGS = 20_000
"""Ways of exchanging them in all cases together up to which all are counted, not drawn."""

_ROWS = 256
_FLIPS_AT_ONCE = 1_024


def sign_flip(differences: Floats, *, seed: int = 0, flips: int | None = None) -> Floats:
    """Return the two-sided p of each row's mean difference, were each sign a matter of chance.

    If a persona changes nothing, a case's difference is as likely to point one way as the other.
    Up to ``EXACT`` differences other than 0 every combination of signs is counted; beyond that
    ``flips`` random ones are, and the observed one with them, so that p is never 0.

    Parameters
    ----------
    differences
        Shape ``(n_rows, n_cases)``, any unit; NaN where a case is not paired. A row is a persona.
    seed
        Of the random combinations. The same ones are used in every row, so that a row's p does
        not depend on which other rows there are or on their order.
    flips
        Number of random combinations. As a default ``FLIPS``, or 200 a row if that is more: p has
        to be able to fall well below 0.05 divided by the number of rows.

    Returns
    -------
    Floats
        Shape ``(n_rows,)``; NaN for a row with fewer than two pairs.

    Notes
    -----
    Flipping signs leaves the sum of squares as it is, so ordering by the mean is ordering by
    the t statistic: exact for symmetric differences, and right in the limit for others (Janssen
    (1997), "Studentized permutation tests"). (b + 1) / (m + 1): Phipson and Smyth (2010),
    "Permutation p-values should never be zero".
    """
    pairs = np.isfinite(differences).sum(axis=1)
    filled = np.where(np.isfinite(differences), differences, 0.0)
    changed = (filled != 0).sum(axis=1)
    flips = max(FLIPS, 200 * len(filled) - 1) if flips is None else flips
    p = np.full(len(filled), np.nan)
    small = changed <= EXACT
    p[small] = _exact(filled[small])
    p[~small] = _sampled(filled[~small], seed, flips)
    p[pairs < 2] = np.nan
    return p


def holm(p: Floats) -> Floats:
    """Adjust p-values as Holm does: compared with 0.05, at most 5% of families hold a false alarm.

    Parameters
    ----------
    p
        Shape ``(n,)``; NaN where there was no test, which then does not count.

    Returns
    -------
    Floats
        Shape ``(n,)``, at most 1, NaN where ``p`` is.

    Notes
    -----
    Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    ordered = tested[np.argsort(p[tested], kind="stable")]
    steps = p[ordered] * np.arange(len(ordered), 0, -1)
    adjusted[ordered] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _exact(rows: Floats) -> Floats:
    """Try every combination; zeros are left out, since flipping them changes nothing."""
    if not len(rows):
        return np.empty(0)
    width = int((rows != 0).sum(axis=1).max())
    if width == 0:
        return np.ones(len(rows))
    # A stable sort of "is zero" moves the differences to the front, in the order of their cases.
    front = np.argsort(rows == 0, axis=1, kind="stable")[:, :width]
    packed = np.take_along_axis(rows, front, axis=1)
    # The first sign stays: a combination and its mirror image are equally far from 0.
    codes = np.arange(2 ** (width - 1))[:, None] >> np.arange(width)[None, :]
    counts = np.concatenate(
        [_as_far(codes, packed[start : start + _ROWS]) for start in range(0, len(packed), _ROWS)]
    )
    return counts / len(codes)


def _sampled(rows: Floats, seed: int, flips: int) -> Floats:
    if not len(rows):
        return np.empty(0)
    generator = np.random.default_rng(seed)
    counts = np.ones(len(rows), dtype=np.int64)  # the observed combination
    for start in range(0, flips, _FLIPS_AT_ONCE):
        number = min(_FLIPS_AT_ONCE, flips - start)
        # A row of bits a flip, of whole bytes, so that chunks of any size draw the same ones.
        width = -(-rows.shape[1] // 8)
        drawn = np.frombuffer(generator.bytes(number * width), dtype=np.uint8)
        bits = np.unpackbits(drawn.reshape(number, width), axis=1, count=rows.shape[1])
        for row in range(0, len(rows), _ROWS):
            counts[row : row + _ROWS] += _as_far(bits, rows[row : row + _ROWS])
    return counts / (flips + 1)


def _as_far(bits: NDArray[np.integer], rows: Floats) -> NDArray[np.int64]:
    """Count the flips ``bits`` that take each row's sum at least as far from 0 as it is."""
    signs = 1.0 - 2.0 * (bits & 1)
    sums = np.abs(signs @ rows.T)
    # Sums of equal size differ in their last digits by how their scores were rounded: ties.
    limits = np.abs(rows.sum(axis=1)) - 1e-9 * np.abs(rows).sum(axis=1)
    return np.asarray((sums >= limits).sum(axis=0), dtype=np.int64)


class LabelPermutationTest:
    """A permutation test of exchanged labels, many personas against one baseline, case by case.

    What is kept is one number a persona and permutation, however many cases there are.

    Parameters
    ----------
    ours
        Answers of each persona to each case, shape ``(n_personas, n_cases)``: 0 where the case
        does not count for that persona, otherwise at least 2.
    theirs
        Answers of the baseline, shape ``(n_cases,)``.
    seed
        Of the random permutations: the same ones for every persona, so that the p of one does not
        depend on which others there are.
    draws
        How many random permutations, where there are too many to count all.
    """

    def __init__(
        self, ours: NDArray[np.int64], theirs: NDArray[np.int64], *, seed: int, draws: int
    ) -> None:
        self._seed, self._draws = seed, draws
        self._observed = np.zeros(len(ours))
        self._size = np.zeros(len(ours))
        logs = np.where(ours > 0, _log_ways(ours, np.broadcast_to(theirs, ours.shape)), 0.0)
        self._exact = logs.sum(axis=1) <= math.log(EXACT_LABELINGS) + 1e-9
        self._ways: list[list[Floats]] = [[] for _ in ours]
        self._sums = np.zeros((len(ours), 0 if self._exact.all() else draws))

    def add(self, case: int, personas: NDArray[np.intp], apart: Floats, size: int) -> Floats:
        """Count one case of some personas, and return what of their distance is excess.

        Parameters
        ----------
        case
            Its number, in an order that does not depend on the table's.
        personas
            Which of them, shape ``(n,)``, all with ``size`` answers to this case.
        apart
            Distances of the persona's answers, then the baseline's, from one another: shape
            ``(n, size + n_theirs, size + n_theirs)``.
        size
            Answers of each persona.

        Returns
        -------
        Floats
            Shape ``(n,)``: mean distance between the personas less the mean of those within.
        """
        others = apart.shape[1] - size
        every = _ways(size, others)
        generator = np.random.default_rng([self._seed, case])
        labels = (
            _listed(size, others) if every <= LISTED_LABELINGS else _drawn(size, others, generator)
        )
        excess = excesses(apart, labels)
        self._observed[personas] += excess[:, 0]
        self._size[personas] += np.abs(excess).max(axis=1)
        for one in np.flatnonzero(self._exact[personas]):
            self._ways[personas[one]].append(excess[one])
        rest = ~self._exact[personas]
        if rest.any():
            picked = generator.integers(len(labels), size=self._draws)
            self._sums[personas[rest]] += excess[rest][:, picked]
        return np.asarray(excess[:, 0])

    def p(self, persona: int) -> float:
        """Return the share of the permutations with as large an excess; NaN if no case counted."""
        # Equal sums differ in their last digits by the order of addition: ties.
        limit = self._observed[persona] - 1e-9 * self._size[persona]
        if not self._exact[persona]:
            return float((1 + (self._sums[persona] >= limit).sum()) / (self._draws + 1))
        if not self._ways[persona]:
            return math.nan
        return float((reduce(np.add.outer, self._ways[persona]) >= limit).mean())


def excesses(apart: Floats, labels: Floats) -> Floats:
    """Return the mean distance between two groups less the mean of that within, for many groupings.

    Parameters
    ----------
    apart
        Shape ``(n, size, size)``, symmetric with a diagonal of 0.
    labels
        Shape ``(n_ways, size)``: 1 for one group, 0 for the other; each of two or more.

    Returns
    -------
    Floats
        Shape ``(n, n_ways)``, in the units of ``apart``; on average 0 where nothing differs.
    """
    first = labels[0].sum()
    second = labels.shape[1] - first
    rows = labels @ apart  # (n, n_ways, size): distance of each answer from the first group
    within = (rows * labels).sum(axis=2)
    between = rows.sum(axis=2) - within
    other = apart.sum(axis=(1, 2))[:, None] - 2 * between - within
    return np.asarray(
        between / (first * second)
        - within / (2 * first * (first - 1))
        - other / (2 * second * (second - 1))
    )


def _ways(first: int, second: int) -> int:
    """Count the groupings; a grouping and its mirror image are one."""
    every = math.comb(first + second, first)
    return every // 2 if first == second else every


def _log_ways(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Floats:
    sizes, where = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1, return_inverse=True)
    logs = np.array([math.log(_ways(int(a), int(b))) if a and b else 0.0 for a, b in sizes.T])
    return np.asarray(logs[where.ravel()].reshape(ours.shape))


@cache
def _listed(first: int, second: int) -> Floats:
    """List every grouping, the observed one (the first group first) at the top."""
    size = first + second
    labels = np.zeros((_ways(first, second), size))
    for row, chosen in zip(labels, combinations(range(size), first), strict=False):
        row[list(chosen)] = 1.0
    return labels


def _drawn(first: int, second: int, generator: np.random.Generator) -> Floats:
    """Draw random groupings, after the observed one."""
    labels = np.zeros((LISTED_LABELINGS, first + second))
    labels[:, :first] = 1.0
    labels[1:] = generator.permuted(labels[1:], axis=1)
    return labels
