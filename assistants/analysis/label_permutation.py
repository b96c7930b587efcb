"""Whose answer was it? The test that exchanges two personas' labels within each case."""

from __future__ import annotations

import math
from functools import cache, reduce
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.permutation import Floats

WAYS = 5_000
"""Ways of exchanging the labels of one case up to which all are listed, not drawn."""

EXACT = 20_000
"""Ways of exchanging them in all cases together up to which all are counted, not drawn."""


class LabelPermutationTest:
    """The test for many personas against one baseline; it is given one case after the other.

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
        self._exact = logs.sum(axis=1) <= math.log(EXACT) + 1e-9
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
        labels = _listed(size, others) if every <= WAYS else _drawn(size, others, generator)
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
        """Share of the permutations with as large an excess; NaN where no case counted."""
        # Equal sums differ in their last digits by the order of addition: ties.
        limit = self._observed[persona] - 1e-9 * self._size[persona]
        if not self._exact[persona]:
            return float((1 + (self._sums[persona] >= limit).sum()) / (self._draws + 1))
        if not self._ways[persona]:
            return math.nan
        return float((reduce(np.add.outer, self._ways[persona]) >= limit).mean())


def excesses(apart: Floats, labels: Floats) -> Floats:
    """Mean distance between two groups less the mean of those within, for many groupings.

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
    """How many groupings there are; a grouping and its mirror image are one."""
    every = math.comb(first + second, first)
    return every // 2 if first == second else every


def _log_ways(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Floats:
    sizes, where = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1, return_inverse=True)
    logs = np.array([math.log(_ways(int(a), int(b))) if a and b else 0.0 for a, b in sizes.T])
    return np.asarray(logs[where.ravel()].reshape(ours.shape))


@cache
def _listed(first: int, second: int) -> Floats:
    """Every grouping, the observed one (the first group first) at the top."""
    size = first + second
    labels = np.zeros((_ways(first, second), size))
    for row, chosen in zip(labels, combinations(range(size), first), strict=False):
        row[list(chosen)] = 1.0
    return labels


def _drawn(first: int, second: int, generator: np.random.Generator) -> Floats:
    """The observed grouping and random ones."""
    labels = np.zeros((WAYS, first + second))
    labels[:, :first] = 1.0
    labels[1:] = generator.permuted(labels[1:], axis=1)
    return labels
