"""The answers of a run as a grid: found quickly, and handed out a screen at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistants.errors import UnknownNameError, UsageError
from assistants.messages import AVERAGED
from assistants.runs.tables import is_known
from assistants.utils.text import escape_control_chars, from_utf8, pluralize, to_utf8, truncate_line
from assistants.widgets.browse.filters import Filter

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

PREVIEW = 240
"""Characters of an answer that a cell shows."""

_AROUND = 40
"""Of which so many stand before what was looked for."""

_NEEDED = (
    "case question reference persona model repeat answer reasoning status finish_reason "
    "input_tokens output_tokens cached_tokens cost_usd first_token_s total_s attempts error "
    "persona_digest sampling key started_at"
).split()


@dataclass(frozen=True, slots=True, eq=False)
class FilterResult:
    """Rows and columns that a filter leaves, as numbers, and which trials it meant."""

    wanted: Filter
    cases: NDArray[np.int64]
    columns: NDArray[np.int64]
    hits: NDArray[np.bool_]


class Grid:
    """Cases as rows, personas on models as columns, and in each cell the repeats.

    A trial is called by its place in the run, from 0: two personas with one system prompt share
    their keys.

    Parameters
    ----------
    frame
        Of trials, as ``tables.trials`` gives it; it is looked through once.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        import numpy as np
        import pandas as pd

        frame = frame[_NEEDED]  # not the system prompts, of which every row has one
        self._data: dict[str, Any] = {name: frame[name].array for name in frame}
        self._case, cases = pd.factorize(frame["case"])
        names = frame[["persona", "model"]]
        firsts = names.drop_duplicates()
        self.columns = [(str(p), str(m)) for p, m in firsts.itertuples(index=False)]
        number = {pair: i for i, pair in enumerate(self.columns)}
        pairs = zip(frame["persona"], frame["model"], strict=True)
        self._column = np.fromiter((number[pair] for pair in pairs), np.int64, len(frame))
        self.cases = [str(case) for case in cases]
        self._question = self._first(frame["question"])
        cells = self._case * len(self.columns) + self._column
        self._order = np.lexsort((frame["repeat"].to_numpy(), cells))
        bounds = np.arange(len(self.cases) * len(self.columns) + 1)
        self._start = np.searchsorted(cells[self._order], bounds)
        self._bad = ~frame["status"].isin(AVERAGED).to_numpy()
        self.statuses = {str(k): int(n) for k, n in frame["status"].value_counts().items()}

    def __len__(self) -> int:
        return len(self._case)

    def __repr__(self) -> str:
        return f"Grid({len(self.cases)} cases x {len(self.columns)} columns: {len(self)} trials)"

    @property
    def personas(self) -> list[str]:
        """In the order of the run."""
        return list(dict.fromkeys(persona for persona, _ in self.columns))

    @property
    def models(self) -> list[str]:
        """In the order of the run."""
        return list(dict.fromkeys(model for _, model in self.columns))

    def place(self, trial: str | int) -> int:
        """The place of a trial that is named by it, or by a key.

        Raises
        ------
        UsageError
            If there is none.
        """
        if isinstance(trial, int) and 0 <= trial < len(self):
            return trial
        if isinstance(trial, str):
            places = (self._data["key"] == trial).nonzero()[0]
            if len(places):
                return int(places[0])
        raise UsageError(f"There is no trial {trial!r} in this run.", fix="See `run.trials`.")

    def row(self, at: int) -> dict[str, Any]:
        """A trial, as the trials table has it."""
        return {name: values[at] for name, values in self._data.items()}

    def repeats(self, at: int) -> list[int]:
        """The places of all draws of a trial, itself among them."""
        return [*map(int, self._cell(*self.chosen(at)))]

    def find(self, wanted: Filter) -> FilterResult:
        """The cases and columns that a filter leaves, in order.

        Raises
        ------
        UnknownNameError
            For a status, persona or model that the run does not have.
        """
        import numpy as np

        for kind, names, known in (
            ("persona", wanted.persona, self.personas),
            ("model", wanted.model, self.models),
            ("status", wanted.status, self.statuses),
        ):
            for name in names:
                if name not in known:
                    raise UnknownNameError(kind, name, known)
        columns = np.array(
            [
                (not wanted.persona or persona in wanted.persona)
                and (not wanted.model or model in wanted.model)
                for persona, model in self.columns
            ],
            dtype=bool,
        )
        shown = columns[self._column]
        if wanted.case:
            text = to_utf8(wanted.case).casefold()
            shown &= np.array([text in case.casefold() for case in self.cases])[self._case]
        hits = shown.copy()
        if wanted.status:
            hits &= np.isin(np.asarray(self._data["status"]), wanted.status)
        if wanted.text:
            hits &= self._containing(to_utf8(wanted.text))
        counts = np.bincount(self._case[hits], minlength=len(self.cases))
        cases = np.flatnonzero(counts)
        if wanted.failures_first:
            failed = np.bincount(self._case[shown & self._bad], minlength=len(self.cases))
            cases = cases[np.argsort(-failed[cases], kind="stable")]
        return FilterResult(wanted, cases, np.flatnonzero(columns), hits)

    def cells(
        self,
        found: FilterResult,
        rows: slice,
        columns: slice,
        chosen: Mapping[tuple[int, int], int],
    ) -> list[dict[str, Any]]:
        """A screen of cells, row by row: ``{"case", "question", "cells"}``.

        Parameters
        ----------
        found
            What ``find`` gave.
        rows, columns
            Which of the cases and columns found.
        chosen
            Which trial a cell shows, by case and column; else the first that the filter meant.
        """
        across = found.columns[columns].tolist()
        return [
            {
                "case": escape_control_chars(self.cases[case]),
                "question": _beginning(self._question[case]),
                "cells": [self._shown(found, case, column, chosen) for column in across],
            }
            for case in found.cases[rows].tolist()
        ]

    def said(self, found: FilterResult) -> str:
        """How much a filter leaves, in words."""
        import numpy as np

        trials, failed = int(found.hits.sum()), int(np.sum(found.hits & self._bad))
        bad = f", {failed:,} of them not averaged" if failed else ""
        return f"{pluralize(len(found.cases), 'case')}, {pluralize(trials, 'trial')}{bad}"

    def chosen(self, at: int) -> tuple[int, int]:
        """The cell in which a trial stands."""
        return int(self._case[at]), int(self._column[at])

    def _first(self, questions: Sequence[str]) -> list[str]:
        import numpy as np

        _, firsts = np.unique(self._case, return_index=True)
        values = questions.array  # type: ignore[attr-defined]
        return [str(values[int(at)]) for at in firsts]

    def _cell(self, case: int, column: int) -> NDArray[np.int64]:
        cell = case * len(self.columns) + column
        return self._order[self._start[cell] : self._start[cell + 1]]

    def _containing(self, text: str) -> NDArray[np.bool_]:
        import numpy as np
        import pandas as pd

        answers = pd.Series(self._data["answer"]).str.contains(text, case=False, regex=False)
        asked = np.array([text.casefold() in each.casefold() for each in self._question])
        found: NDArray[np.bool_] = asked[self._case]
        found |= answers.fillna(value=False).to_numpy(dtype=bool)
        return found

    def _shown(
        self, found: FilterResult, case: int, column: int, chosen: Mapping[tuple[int, int], int]
    ) -> dict[str, Any] | None:
        places = self._cell(case, column).tolist()
        if not places:
            return None
        at = chosen.get((case, column), -1)
        if at < 0:
            first = found.wanted.failures_first
            at = min(places, key=lambda i: (not found.hits[i], first and not self._bad[i]))
        row = self.row(at)
        return {
            "at": at,
            "persona": escape_control_chars(row["persona"]),
            "model": escape_control_chars(row["model"]),
            "answer": preview(row, found.wanted.text),
            "status": escape_control_chars(row["status"]),
            "bad": bool(self._bad[at]),
            "facts": small_facts(row),
            "number": places.index(at) + 1,
            "repeats": len(places),
            "failed": int(self._bad[places].sum()),
            "meant": bool(found.hits[places].any()),
        }


def preview(row: Mapping[str, Any], text: str = "") -> str:
    """The beginning of an answer, or why there is none, as plain text on one line.

    Not the beginning but what stands around ``text``, where that is further down.
    """
    for name in ("answer", "error"):
        if is_known(row[name]) and row[name].strip():
            at = row[name].casefold().find(to_utf8(text).casefold())
            if at < PREVIEW // 2:
                return _beginning(row[name])
            return "… " + _beginning(row[name][at - _AROUND :])
    return "never asked" if row["status"] == "open" else "no text"


def small_facts(row: Mapping[str, Any]) -> str:
    """Tokens and seconds, where they are known."""
    facts = []
    if is_known(row["output_tokens"]):
        facts.append(pluralize(int(row["output_tokens"]), "token"))
    if is_known(row["total_s"]):
        facts.append(f"{row['total_s']:.1f} s")
    return " · ".join(facts)


def _beginning(text: str) -> str:
    return truncate_line(from_utf8(text[: 4 * PREVIEW]), PREVIEW)
