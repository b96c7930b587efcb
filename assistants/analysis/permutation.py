"""Sign-flip permutation of paired differences, and Holm's correction for many of them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

EXACT = 14
"""Differences other than 0 up to which every way of flipping is tried."""

FLIPS = 9_999
"""Random ways of flipping, at least, where there are too many to try all."""

_ROWS = 256
_FLIPS_AT_ONCE = 1_024


def sign_flip(differences: Floats, *, seed: int = 0, flips: int | None = None) -> Floats:
    """Two-sided p of each row's mean difference, were each sign a matter of chance.

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
    """Holm's adjustment: compared with 0.05, at most 5% of families hold a false alarm.

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
    """Every combination; zeros are left out, since flipping them changes nothing."""
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
        [_as_far(codes, packed[at : at + _ROWS]) for at in range(0, len(packed), _ROWS)]
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
        for at in range(0, len(rows), _ROWS):
            counts[at : at + _ROWS] += _as_far(bits, rows[at : at + _ROWS])
    return counts / (flips + 1)


def _as_far(bits: NDArray[np.integer], rows: Floats) -> NDArray[np.int64]:
    """How many of the flips ``bits`` take each row's sum at least as far from 0 as it is."""
    signs = 1.0 - 2.0 * (bits & 1)
    sums = np.abs(signs @ rows.T)
    # Sums of equal size differ in their last digits by how their scores were rounded: ties.
    limits = np.abs(rows.sum(axis=1)) - 1e-9 * np.abs(rows).sum(axis=1)
    return np.asarray((sums >= limits).sum(axis=0), dtype=np.int64)
