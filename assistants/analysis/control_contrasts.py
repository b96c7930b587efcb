"""Parts of an effect: having a prompt at all, its meaning, and its wording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistants.analysis.effect_table import PERCENTAGE_POINTS
from assistants.analysis.paired import (
    CaseMeans,
    binary_interval,
    by_case,
    differences,
    moments,
    skewed,
    t_interval,
)
from assistants.analysis.permutation import EXACT, FLIPS, Floats, holm, sign_flip
from assistants.analysis.score_matrix import Grid, grids
from assistants.analysis.verdict import ALPHA, VerdictInput, note, verdict
from assistants.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from assistants.design import Control

COLUMNS = tuple(
    "persona model part n_cases effect low high p p_adjusted wording_spread verdict note".split()
)
"""Columns of the table, in order."""

PROMPT = "having a prompt"
MEANING = "its meaning"
WORDING = "its wording"
UNSPLIT_WORDING = "its meaning and wording"
UNSPLIT_PROMPT = "having a prompt and its meaning"
WHOLE = "in all"
ITSELF = "the baseline against itself"

SUM = "the sum of these: see the effects"
"""Stands for the verdict of ``WHOLE``, which the effect table gives."""

_UNTESTED = (WHOLE, ITSELF)
"""Not among the questions that Holm's correction counts: a sum of others, and a check."""


def control_contrasts(
    frame: pd.DataFrame,
    score: str,
    *,
    baseline: str,
    controls: Sequence[Control],
    unit: str = "",
    binary: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Take the effect of each persona that has controls apart.

    Parameters
    ----------
    frame
        As ``effects.effects`` takes it: ``persona``, ``model``, ``case``, ``repeat`` and
        ``value``, NaN where a trial does not count.
    score
        What the values are, for messages.
    baseline
        The persona that the others are compared with.
    controls
        Of which personas, in any order.
    unit
        Of the score, in the plural, for verdicts.
    binary
        Scores are 0 or 1: effects are in percentage points, and intervals allow for few cases
        that differ.
    seed
        Of the random permutations.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``; per persona and model one row a part. ``having a prompt`` is the neutral
        text less the baseline; ``its meaning`` the mean of all wordings (the persona and its
        paraphrases) less the neutral text; ``its wording`` the persona less that mean; ``in all``
        the persona less the baseline. Without paraphrases, or without a neutral text, two parts
        are one. All are over the ``n_cases`` cases where each of these was scored, repeats
        averaged, so that the parts add up to ``in all``. ``low`` and ``high`` are of the 95%
        interval over cases, ``p`` is of the sign-flip permutation, ``p_adjusted`` after Holm over
        all parts in the table; ``in all`` (which the effect table tests) and the baseline against
        itself have none. ``wording_spread`` is the standard deviation between the wordings' means
        over these cases. NaN is "not known", never 0.

    Raises
    ------
    UsageError
        If a column is missing, a trial occurs twice, a value is infinite, ``binary`` scores are
        other than 0 and 1, a persona has two neutral texts, or ``same`` is of no baseline.
    UnknownNameError
        If no row is of the baseline, of a control or of its persona.
    MissingDependencyError
        If scipy is not installed.
    """
    import pandas as pd

    models = grids(frame, score)
    _check({name for grid in models for name in grid.personas}, baseline, controls)
    if binary and any((~np.isin(g.values, (0, 1)) & ~np.isnan(g.values)).any() for g in models):
        raise UsageError(
            f"{score!r} has values other than 0 and 1.", fix="Leave out `binary` for this score."
        )
    parts = [part for grid in models for part in _parts(grid, baseline, controls)]
    if not parts:
        return pd.DataFrame({name: [] for name in COLUMNS})
    tested = np.array([part.part not in _UNTESTED for part in parts])
    flips = max(FLIPS, 200 * len(parts) - 1)
    p = np.array([float(sign_flip(part.d[None], seed=seed, flips=flips)[0]) for part in parts])
    adjusted = holm(np.where(tested, p, np.nan))
    cases = [int((~np.isnan(part.d)).sum()) for part, t in zip(parts, tested, strict=True) if t]
    unit = PERCENTAGE_POINTS if binary else unit
    rows = [
        _row(part, float(p[i]), float(adjusted[i]), _least_p(cases), unit, binary)
        for i, part in enumerate(parts)
    ]
    types = dict.fromkeys(("persona", "model", "part", "verdict", "note"), "str")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


@dataclass(frozen=True, slots=True)
class _Contrast:
    """One difference, case by case; ``d`` has the shape ``(n_cases,)``, NaN where it is unknown."""

    persona: str
    model: str
    part: str
    d: Floats
    spread: float = math.nan


def _parts(grid: Grid, baseline: str, controls: Sequence[Control]) -> list[_Contrast]:
    means = dict(zip(grid.personas, by_case(grid.values).mean, strict=True))
    nothing = np.full(grid.values.shape[1], np.nan)

    def of(name: str) -> Floats:
        return np.asarray(means.get(name, nothing))

    contrasts = []
    for persona in dict.fromkeys(c.of for c in controls if c.kind != "same" and c.of in means):
        neutral = [c.persona for c in controls if c.of == persona and c.kind == "neutral"]
        others = [c.persona for c in controls if c.of == persona and c.kind == "paraphrase"]
        arms = np.stack([of(name) for name in (baseline, *neutral, persona, *others)])
        # The parts add up only over cases that all of them have.
        arms[:, np.isnan(arms).any(axis=0)] = np.nan
        base, own, wordings = arms[0], arms[1 + len(neutral)], arms[1 + len(neutral) :]
        middle = wordings.mean(axis=0)
        below = arms[1] if neutral else base
        meaning = MEANING if neutral else UNSPLIT_PROMPT
        pairs = [(PROMPT, arms[1], base)] if neutral else []
        pairs += (
            [(meaning, middle, below), (WORDING, own, middle)]
            if others
            else [(UNSPLIT_WORDING, own, below)]
        )
        pairs.append((WHOLE, own, base))
        spread = _spread(wordings)
        contrasts += [
            _Contrast(persona, grid.model, part, _difference(one, other), spread)
            for part, one, other in pairs
        ]
    for control in controls:
        if control.kind == "same":
            d = _difference(of(control.persona), of(control.of))
            contrasts.append(_Contrast(control.persona, grid.model, ITSELF, d))
    return contrasts


def _difference(one: Floats, other: Floats) -> Floats:
    none = np.zeros(one.shape, dtype=np.int64)
    return differences(CaseMeans(one, none, one), CaseMeans(other, none, other))


def _spread(wordings: Floats) -> float:
    known = wordings[:, ~np.isnan(wordings[0])]
    if len(known) < 2 or known.shape[1] == 0:
        return math.nan
    return float(known.mean(axis=1).std(ddof=1))


def _row(
    part: _Contrast, p: float, adjusted: float, least: float, unit: str, binary: bool
) -> tuple[object, ...]:
    scale = 100.0 if binary else 1.0
    n, mean, sd = (float(v) for v in moments(part.d))
    low, high = (float(v) * scale for v in (binary_interval if binary else t_interval)(part.d))
    effect = mean * scale if n > 1 else math.nan
    facts = VerdictInput(
        n_cases=int(n),
        n_all_cases=len(part.d),
        effect=effect,
        sd=sd * scale,
        low=low,
        high=high,
        # One check has one chance of a false alarm; the whole is judged in the effect table.
        p_adjusted=p if part.part == ITSELF else adjusted,
        noise_floor=math.inf,  # not of this table
        least_p=least if part.part not in _UNTESTED else 0.0,
        lost=0,
        baseline_lost=0,
        planned=0,
        uneven=False,
        skewed=not binary and bool(skewed(part.d)),
    )
    notes = [note(facts, unit=unit)]
    words = SUM if part.part == WHOLE else verdict(facts, unit=unit)
    if part.part == ITSELF and p <= ALPHA:
        notes.append(
            "Warning: the baseline differs from itself, so something other than personas changes "
            "the answers, or chance did (1 in 20)."
        )
    about = (part.persona, part.model, part.part, int(n))
    numbers = (effect, low, high, p, adjusted, part.spread * scale)
    return (*about, *numbers, words, " ".join(s for s in notes if s))


def _least_p(cases: Sequence[int]) -> float:
    """Below this no adjusted p of the table can fall, whatever the scores."""
    tested = [n for n in cases if n > 1]
    if not tested:
        return 1.0
    fewest = 2.0 ** (1 - max(tested)) if max(tested) <= EXACT else 0.0
    return min(1.0, fewest * len(tested))


def _check(names: set[str], baseline: str, controls: Sequence[Control]) -> None:
    for name in (baseline, *(name for c in controls for name in (c.persona, c.of))):
        if name not in names:
            raise UnknownNameError("persona", name, names)
    used = set()
    for control in controls:
        if control.persona in used or control.persona in (control.of, baseline):
            raise UsageError(f"{control.persona!r} is a control of two things, or of itself.")
        used.add(control.persona)
        if (control.kind == "same") != (control.of == baseline):
            raise UsageError(
                f"{control.persona!r} is a {control.kind!r} control of {control.of!r}, and the "
                f"baseline is {baseline!r}.",
                fix="'same' is for the baseline, the other kinds are for the personas.",
            )
    neutral = [c.of for c in controls if c.kind == "neutral"]
    twice = [name for name in neutral if neutral.count(name) > 1]
    if twice:
        raise UsageError(f"{twice[0]!r} has two neutral controls.", fix="Keep one.")
