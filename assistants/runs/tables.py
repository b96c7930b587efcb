"""Tidy tables of a stored run: one row per trial, and nothing left out.

Text is as UTF-8 can hold it (``text.to_utf8``), so that every format can carry it on.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assistants.errors import UsageError
from assistants.messages import AVERAGED, FINISHED
from assistants.runs.store import PERSONA, Store
from assistants.techniques import UNUSED
from assistants.utils import to_utf8, truncate_line, words_in

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["table", "csv", "json", "parquet"]

_TYPES = {
    "repeat": "int64",
    "input_tokens": "Int64",
    "output_tokens": "Int64",
    "cached_tokens": "Int64",
    "reasoning_tokens": "Int64",
    "cost_usd": "Float64",
    "first_token_s": "Float64",
    "total_s": "Float64",
    "attempts": "Int64",
    "technique_tokens": "Int64",
    "technique_cost_usd": "Float64",
    "technique_s": "Float64",
}

# One row a trial of the run. Tokens, dollars and seconds are of all turns together, and unknown
# (NULL) if any turn's are; summed only where there are several turns, which is slow. In a live
# session dollars are of the last turn: the others were paid for in trials of their own. A trial
# without an answer shows its last failure in this run; one that was never asked, because a limit
# or an interrupt came first, is `open`.
_TRIALS = """
WITH spent AS (
    SELECT key,
        CASE WHEN COUNT(input_tokens) = COUNT(*) THEN SUM(input_tokens) END AS input_tokens,
        CASE WHEN COUNT(output_tokens) = COUNT(*) THEN SUM(output_tokens) END AS output_tokens,
        CASE WHEN COUNT(cached_tokens) = COUNT(*) THEN SUM(cached_tokens) END AS cached_tokens,
        CASE WHEN COUNT(reasoning_tokens) = COUNT(*) THEN SUM(reasoning_tokens) END
            AS reasoning_tokens,
        CASE WHEN COUNT(cost_usd) = COUNT(*) THEN SUM(cost_usd) END AS cost_usd,
        CASE WHEN COUNT(total_s) = COUNT(*) THEN SUM(total_s) END AS total_s,
        SUM(attempts) AS attempts, MIN(started_at) AS started_at
    FROM answers WHERE key IN (SELECT key FROM answers WHERE final AND turn > 0) GROUP BY key),
last_failure AS (
    SELECT key, MAX(id) AS id FROM failures WHERE run = :run GROUP BY key)
SELECT t.case_id, t.persona, t.model, t.repeat, COALESCE(a.answer, f.partial), a.reasoning,
    COALESCE(a.status, f.status, 'open'), a.finish_reason,
    IIF(a.turn, s.input_tokens, a.input_tokens), IIF(a.turn, s.output_tokens, a.output_tokens),
    IIF(a.turn, s.cached_tokens, a.cached_tokens),
    IIF(a.turn, s.reasoning_tokens, a.reasoning_tokens), IIF(a.turn, s.cost_usd, a.cost_usd),
    a.first_token_s, IIF(a.turn, s.total_s, a.total_s),
    COALESCE(IIF(a.turn, s.attempts, a.attempts), f.attempts),
    CASE WHEN a.key IS NULL THEN f.error END, t.prompt, t.key,
    COALESCE(IIF(a.turn, s.started_at, a.started_at), f.started_at),
    a.served_model, a.system_fingerprint, a.note
FROM trials t
LEFT JOIN answers a ON a.key = t.key AND a.final
LEFT JOIN spent s ON s.key = t.key AND a.turn > 0
LEFT JOIN last_failure l ON l.key = t.key AND a.key IS NULL
LEFT JOIN failures f ON f.id = l.id
WHERE t.run = :run ORDER BY t.position
"""
_TECHNIQUES = """
SELECT key, CASE WHEN COUNT(tokens) = COUNT(*) THEN SUM(tokens) END,
    CASE WHEN COUNT(cost_usd) = COUNT(*) THEN SUM(cost_usd) END,
    CASE WHEN COUNT(seconds) = COUNT(*) THEN SUM(seconds) END,
    GROUP_CONCAT(technique || ': ' || failure, '; ')
FROM techniques WHERE key IN (SELECT key FROM trials WHERE run = ?) GROUP BY key
"""
_SELECTED = (
    "case persona model repeat answer reasoning status finish_reason input_tokens output_tokens "
    "cached_tokens reasoning_tokens cost_usd first_token_s total_s attempts error persona_digest "
    "key started_at served_model system_fingerprint note"
).split()

COLUMNS = tuple(
    "experiment run case question reference persona model repeat answer reasoning status "
    "finish_reason input_tokens output_tokens cached_tokens reasoning_tokens cost_usd "
    "first_token_s total_s attempts error system_prompt persona_in persona_digest sampling "
    "applied_sampling key started_at served_model system_fingerprint note".split()
)
"""Of the trials table, in order."""


TECHNIQUE_COLUMNS = ("technique_tokens", "technique_cost_usd", "technique_s", "technique_failure")
"""Of the trials table of a run with techniques: what their own calls took, and why they failed.

Calls that trials share count for each of them: it is what the technique takes, not what was paid.
"""


def trials(store: Store, run: str) -> pd.DataFrame:
    """Return one row per trial of ``run``, in the order of the experiment, with ``COLUMNS``.

    Where assistants have techniques, there is a column for each of them, with its label, and
    ``TECHNIQUE_COLUMNS``; ``base_persona`` is the persona without them.
    """
    import json

    import pandas as pd
    import pyarrow as pa

    columns = list(zip(*store.read(_TRIALS, {"run": run}), strict=True)) or [()] * len(_SELECTED)
    data: dict[str, Sequence[Any]] = dict(zip(_SELECTED, columns, strict=True))
    # What many rows share is read once, and not once a row.
    ((experiment,),) = store.read("SELECT experiment FROM runs WHERE run = ?", [run])
    cases = {
        case: (to_utf8("\n\n".join(json.loads(turns))), reference)
        for case, turns, reference in store.read(
            "SELECT case_id, turns, reference FROM cases WHERE run = ?", [run]
        )
    }
    prompts = dict(store.read("SELECT digest, system_prompt FROM prompts"))
    sampling = {
        (persona, model): (asked, asked if applied is None else applied)
        for persona, model, asked, applied in store.read(
            "SELECT persona, model, sampling, applied_sampling FROM assistants WHERE run = ?", [run]
        )
    }
    placed = {
        (persona, model): place
        for persona, model, place in store.read(
            "SELECT persona, model, persona_in FROM placements WHERE run = ?", [run]
        )
    }
    data["experiment"] = [experiment] * len(data["key"])
    data["run"] = [run] * len(data["key"])
    data["question"] = [cases.get(case, ("", None))[0] for case in data["case"]]
    data["reference"] = [cases.get(case, ("", None))[1] for case in data["case"]]
    data["system_prompt"] = [prompts.get(digest) for digest in data["persona_digest"]]
    pairs = list(zip(data["persona"], data["model"], strict=True))
    settings = [sampling.get(pair, ("{}", "{}")) for pair in pairs]  # a stranger's may lack some
    data["sampling"] = [asked for asked, _ in settings]
    data["applied_sampling"] = [applied for _, applied in settings]
    data["persona_in"] = [placed.get(pair, "system") for pair in pairs]

    more = _technique_columns(store, run, pairs, data["key"])
    data |= more

    def column(name: str) -> pd.Series[Any]:
        values: Any = data[name]
        if name not in _TYPES:  # by way of Arrow, which is where pandas would take longer to get
            values = pd.array(pa.array(values, pa.large_string()), dtype="str")
        return pd.Series(values, dtype=_TYPES.get(name, "str"))

    return pd.DataFrame({name: column(name) for name in (*COLUMNS, *more)})


def _technique_columns(
    store: Store, run: str, pairs: Sequence[tuple[str, str]], keys: Sequence[str]
) -> dict[str, Sequence[Any]]:
    """Return the columns that a run with techniques has besides; none for another run."""
    factors: dict[tuple[str, str], dict[str, str]] = {}
    query = "SELECT persona, model, factor, value FROM factors WHERE run = ?"
    for persona, model, factor, value in store.read(query, [run]):
        factors.setdefault((persona, model), {})[factor] = value
    if not factors:
        return {}
    names = sorted({name for values in factors.values() for name in values} - {PERSONA})
    own = [factors.get(pair, {}) for pair in pairs]
    columns: dict[str, Sequence[Any]] = {
        "base_persona": [of.get(PERSONA, name) for of, (name, _) in zip(own, pairs, strict=True)]
    }
    columns |= {name: [of.get(name, UNUSED) for of in own] for name in names}
    spent = {key: rest for key, *rest in store.read(_TECHNIQUES, [run])}
    rows = [spent.get(key, (None,) * len(TECHNIQUE_COLUMNS)) for key in keys]
    return columns | dict(zip(TECHNIQUE_COLUMNS, zip(*rows, strict=True), strict=True))


def technique_names(frame: pd.DataFrame) -> list[str]:
    """Return the techniques that a trials table has columns of."""
    names = list(frame.columns)
    if "base_persona" not in names:
        return []
    return names[names.index("base_persona") + 1 : names.index(TECHNIQUE_COLUMNS[0])]


def case_names(frame: pd.DataFrame) -> dict[str, str]:
    """Return a name to show for each case: its id, or its question where the id is a number."""
    names: dict[str, str] = {}
    for case, question in frame.groupby(["case", "question"], sort=False).groups:
        name = truncate_line(question, 44) if case.isdigit() else case
        names[case] = name if name and name not in names.values() else f"{case}: {name}"
    return names


def is_known(value: Any) -> bool:
    """Return whether a cell holds a value: pandas has three ways of saying that it does not."""
    import pandas as pd

    return not pd.isna(value)


def averaged(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that count in averages: whole answers, and those cut at the limit."""
    return frame[frame["status"].isin(AVERAGED)]


def status_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Count trials by persona and model, with one column per status that occurs."""
    return (
        frame.groupby(["persona", "model"], sort=False)["status"]
        .value_counts()
        .unstack(fill_value=0)
        .reset_index()
        .rename_axis(columns=None)
    )


def pivot(frame: pd.DataFrame, values: str = "answer") -> pd.DataFrame:
    """Cases (and models and repeats, where there are several) as rows, personas as columns.

    Parameters
    ----------
    frame
        Of trials, as ``trials`` gives it.
    values
        The column to show.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    from assistants.errors import nearest

    if values not in frame.columns:
        raise UsageError(f"There is no column {values!r}.", fix=nearest(values, frame.columns))
    rows = ["case", *(c for c in ("model", "repeat") if frame[c].nunique() > 1)]
    order = {name: list(frame[name].unique()) for name in ["persona", *rows]}
    table = frame.pivot(index=rows, columns="persona", values=values)
    table = table.reindex(columns=order["persona"])
    if len(rows) == 1:
        return table.reindex(order["case"])
    return (
        table.reset_index()
        .sort_values(
            rows, key=lambda column: column.map({v: i for i, v in enumerate(order[column.name])})
        )
        .set_index(rows)
    )


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per persona and model: trials, how many count, mean words, tokens and seconds.

    Means are over trials whose status is ``ok`` or ``length``; the cost is of all answers, and
    unknown if any one's is.
    """
    good = averaged(frame).assign(words=lambda f: word_counts(f["answer"]))
    groups = ["persona", "model"]
    everything = frame.groupby(groups, sort=False)
    means = good.groupby(groups, sort=False)[["words", "output_tokens", "total_s"]].mean()
    table = everything.size().rename("trials").to_frame()
    table["counted"] = good.groupby(groups, sort=False).size()
    table["counted"] = table["counted"].fillna(0).astype("int64")
    table = table.join(means)
    answered = frame[frame["status"].isin(FINISHED)].groupby(groups, sort=False)["cost_usd"]
    table["cost_usd"] = answered.sum().where(answered.count() == answered.size())
    return table.reset_index()


def word_counts(answers: pd.Series[Any]) -> pd.Series[Any]:
    """Count the words of each answer as the score ``words`` does; missing stays missing."""
    return answers.map(lambda text: len(words_in(text)), na_action="ignore").astype("Float64")


def export(frame: pd.DataFrame, form: Format, out: Path | None = None) -> str | None:
    """``frame`` as csv, json (a list of rows) or parquet; text unless ``out`` names a file.

    Raises
    ------
    UsageError
        For Parquet without a file.
    """
    if form == "parquet":
        if out is None:
            raise UsageError("Parquet is not text.", fix="Name a file with `--out FILE`.")
        out.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(out, index=False)
        return None
    if form == "csv":
        # Every text in quotes: unquoted, a lone carriage return would end its row.
        text = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    elif form == "json":
        text = frame.to_json(orient="records", force_ascii=False, indent=2, double_precision=15)
    else:
        text = frame.to_string()
    if out is None:
        return str(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(str(text), encoding="utf-8", newline="")
    return None
