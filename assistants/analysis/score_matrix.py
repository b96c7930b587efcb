"""Score matrix: the scores of a table as an array of personas, cases and repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistants.analysis.permutation import Floats
from assistants.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("persona", "model", "case", "repeat", "value")


@dataclass(frozen=True, slots=True)
class Grid:
    """All scores of one model: ``values`` of shape ``(n_personas, n_cases, n_repeats)``.

    NaN where a trial has no score, or where there is no such trial. Cases and repeats are in
    sorted order, so that the order of a table's rows changes nothing; personas are in the order
    in which they first occur.
    """

    model: str
    personas: tuple[str, ...]
    values: Floats

    def of(self, persona: str) -> Floats:
        """Return the scores of one persona, shape ``(n_cases, n_repeats)``."""
        return np.asarray(self.values[self.personas.index(persona)])


def grids(frame: pd.DataFrame, score: str) -> list[Grid]:
    """Return one grid per model, in the order in which models first occur.

    Parameters
    ----------
    frame
        One row a trial, with the columns ``COLUMNS``; ``value`` is NaN where a trial has no score.
    score
        What the values are, for messages.

    Raises
    ------
    UsageError
        If a column is missing, a value is no finite number, or a trial occurs twice.
    """
    import pandas as pd

    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent:
        raise UsageError(
            f"The table of {score!r} has no column {' and no '.join(map(repr, absent))}.",
            fix="Give one row a trial, as `scores` does.",
        )
    try:
        values = frame["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as e:
        raise UsageError(f"{score!r} has values that are not numbers ({e}).") from e
    if np.isinf(values).any():
        row = frame.iloc[int(np.flatnonzero(np.isinf(values))[0])]
        raise UsageError(
            f"{score!r} is infinite for persona {row['persona']!r}, case {row['case']!r}.",
            fix="A scorer that found no number leaves NaN.",
        )
    models, model_names = pd.factorize(frame["model"])
    personas, persona_names = pd.factorize(frame["persona"])
    cases, _ = pd.factorize(frame["case"], sort=True)
    repeats, _ = pd.factorize(frame["repeat"], sort=True)
    if min((codes.min(initial=0) for codes in (models, personas, cases, repeats)), default=0) < 0:
        raise UsageError(f"A row of {score!r} names no persona, model, case or repeat.")
    matrices = []
    for number, model in enumerate(model_names):
        here = np.flatnonzero(models == number)
        persona, names = _dense(personas[here])
        case, case_codes = _dense(cases[here], ordered=True)
        repeat, repeat_codes = _dense(repeats[here], ordered=True)
        shape = (len(names), len(case_codes), len(repeat_codes))
        places = np.ravel_multi_index((persona, case, repeat), shape)
        grid = np.full(shape, np.nan)
        grid.ravel()[places] = values[here]
        taken = np.bincount(places, minlength=1)
        if taken.max(initial=0) > 1:
            twice = here[int(np.flatnonzero(taken[places] > 1)[0])]
            row = frame.iloc[int(twice)]
            raise UsageError(
                f"{score!r} has two values for persona {row['persona']!r}, model {model!r}, "
                f"case {row['case']!r}, repeat {row['repeat']}.",
                fix="Give one row a trial, of one score and one run.",
            )
        matrices.append(Grid(str(model), tuple(str(persona_names[i]) for i in names), grid))
    return matrices


def _dense(
    codes: np.ndarray[tuple[int], np.dtype[np.intp]], *, ordered: bool = False
) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Return codes without gaps, and what each stands for: of one model, not of all."""
    import pandas as pd

    dense, meant = pd.factorize(codes, sort=ordered)
    return dense, meant
