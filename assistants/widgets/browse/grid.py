"""The answers of a run as a grid that is filtered quickly and shown a screen at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from assistants.errors import UnknownNameError, UsageError
from assistants.messages import AVERAGED
from assistants.runs import is_known
from assistants.utils import escape_control_chars, from_utf8, pluralize, to_utf8, truncate_line
from assistants.widgets.html import answer_facts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

PREVIEW = 240
"""Characters of an answer in a cell."""

_AROUND = 40
"""Characters of it before the text that was searched for."""

_NEEDED = (
    "case question reference persona model repeat answer reasoning status finish_reason "
    "input_tokens output_tokens cached_tokens cost_usd first_token_s total_s attempts error "
    "persona_digest sampling applied_sampling reasoning_tokens key started_at"
).split()


_LISTS = ("status", "persona", "model")


@dataclass(frozen=True, slots=True)
class Filter:
    """The trials to show; an empty filter shows all.

    ``text`` is searched in answers and questions, ``case`` in the names of cases.
    """

    text: str = ""
    status: tuple[str, ...] = ()
    persona: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    case: str = ""
    failures_first: bool = True

    @classmethod
    def from_values(cls, **values: Any) -> Self:
        """Return the filter that a person or a page asks for, by one name or several.

        Raises
        ------
        UnknownNameError
            For a filter that does not exist.
        """
        for name in values:
            if name not in cls.__slots__:
                raise UnknownNameError("filter", name, cls.__slots__)
        for name in {*_LISTS} & {*values}:
            names = values[name]
            if isinstance(names, str):
                names = [names] if names else []
            values[name] = tuple(str(one) for one in names)
        return cls(**values)

    def __str__(self) -> str:
        parts = {name: ", ".join(getattr(self, name)) for name in _LISTS}
        parts |= {"case": self.case, "with": self.text and repr(self.text)}
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value)

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON can hold them."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


@dataclass(frozen=True, slots=True, eq=False)
class FilterResult:
    """Rows and columns that a filter leaves, by their indices, and the trials that match it."""

    filter: Filter
    cases: NDArray[np.int64]
    columns: NDArray[np.int64]
    hits: NDArray[np.bool_]


class Grid:
    """Cases as rows, personas on models as columns, and in each cell the repeats.

    A trial is named by its index in the run, from 0: two personas with one system prompt share
    their keys.

    Parameters
    ----------
    frame
        The trials table of a run.
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
        self._question = self._first_per_case(frame["question"])
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
        """Names in the order of the run."""
        return list(dict.fromkeys(persona for persona, _ in self.columns))

    @property
    def models(self) -> list[str]:
        """Names in the order of the run."""
        return list(dict.fromkeys(model for _, model in self.columns))

    def index_of(self, trial: str | int) -> int:
        """Return the index of a trial that is named by its index or its key.

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

    def row(self, index: int) -> dict[str, Any]:
        """Return a trial, as the trials table has it."""
        return {name: values[index] for name, values in self._data.items()}

    def repeats(self, index: int) -> list[int]:
        """Return the indices of all repeats of a trial, itself among them."""
        return [*map(int, self._repeats(*self.cell_of(index)))]

    def find(self, wanted: Filter) -> FilterResult:
        """Return the cases and columns that a filter leaves, in order.

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
        result: FilterResult,
        rows: slice,
        columns: slice,
        chosen: Mapping[tuple[int, int], int],
    ) -> list[dict[str, Any]]:
        """Return a screen of cells, row by row: ``{"case", "question", "cells"}``.

        Parameters
        ----------
        result
            Of ``find``.
        rows, columns
            The part of its cases and columns that is on the screen.
        chosen
            The trial that a cell shows, by case and column; else the first that matches.
        """
        shown = result.columns[columns].tolist()
        return [
            {
                "case": escape_control_chars(self.cases[case]),
                "question": _beginning(self._question[case]),
                "cells": [self._cell(result, case, column, chosen) for column in shown],
            }
            for case in result.cases[rows].tolist()
        ]

    def summary(self, result: FilterResult) -> str:
        """Return how much a filter leaves, in words."""
        import numpy as np

        trials, failed = int(result.hits.sum()), int(np.sum(result.hits & self._bad))
        bad = f", {failed:,} of them not averaged" if failed else ""
        return f"{pluralize(len(result.cases), 'case')}, {pluralize(trials, 'trial')}{bad}"

    def cell_of(self, index: int) -> tuple[int, int]:
        """Return case and column of a trial, as indices."""
        return int(self._case[index]), int(self._column[index])

    def _first_per_case(self, questions: Sequence[str]) -> list[str]:
        import numpy as np

        _, firsts = np.unique(self._case, return_index=True)
        values = questions.array  # type: ignore[attr-defined]
        return [str(values[int(index)]) for index in firsts]

    def _repeats(self, case: int, column: int) -> NDArray[np.int64]:
        cell = case * len(self.columns) + column
        return self._order[self._start[cell] : self._start[cell + 1]]

    def _containing(self, text: str) -> NDArray[np.bool_]:
        import numpy as np
        import pandas as pd

        answers = pd.Series(self._data["answer"]).str.contains(text, case=False, regex=False)
        asked = np.array([text.casefold() in question.casefold() for question in self._question])
        hits: NDArray[np.bool_] = asked[self._case]
        hits |= answers.fillna(value=False).to_numpy(dtype=bool)
        return hits

    def _cell(
        self, result: FilterResult, case: int, column: int, chosen: Mapping[tuple[int, int], int]
    ) -> dict[str, Any] | None:
        repeats = self._repeats(case, column).tolist()
        if not repeats:
            return None
        index = chosen.get((case, column), -1)
        if index < 0:
            first = result.filter.failures_first
            index = min(repeats, key=lambda i: (not result.hits[i], first and not self._bad[i]))
        row = self.row(index)
        return {
            "trial": index,
            "persona": escape_control_chars(row["persona"]),
            "model": escape_control_chars(row["model"]),
            "answer": preview(row, result.filter.text),
            "status": escape_control_chars(row["status"]),
            "bad": bool(self._bad[index]),
            "facts": " · ".join(answer_facts("ok", row["output_tokens"], row["total_s"])),
            "number": repeats.index(index) + 1,
            "repeats": len(repeats),
            "failed": int(self._bad[repeats].sum()),
            "matches": bool(result.hits[repeats].any()),
        }


def preview(row: Mapping[str, Any], text: str = "") -> str:
    """Return the beginning of an answer, or why there is none, as plain text on one line.

    Where ``text`` is further down, what stands around it is returned instead.
    """
    for name in ("answer", "error"):
        if is_known(row[name]) and row[name].strip():
            start = row[name].casefold().find(to_utf8(text).casefold())
            if start < PREVIEW // 2:
                return _beginning(row[name])
            return "… " + _beginning(row[name][start - _AROUND :])
    return "never asked" if row["status"] == "open" else "no text"


def _beginning(text: str) -> str:
    return truncate_line(from_utf8(text[: 4 * PREVIEW]), PREVIEW)
