"""Tables are tidy, whole, and the same in every format."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assistants.design.limits import Limits
from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.results import Run
from assistants.runs import tables
from assistants.trial import Case
from support.experiments import QUICK, client_at, experiment_at, quiet, turns
from support.faulty_server import FaultyServer

COLUMNS = (
    "experiment run case question reference persona model repeat answer reasoning status "
    "finish_reason input_tokens output_tokens cached_tokens reasoning_tokens cost_usd "
    "first_token_s total_s attempts error system_prompt persona_in persona_digest sampling "
    "applied_sampling key started_at served_model system_fingerprint note"
).split()


async def run_of(server: FaultyServer, **more: object) -> Run:
    cases = [
        Case("a", ("Why?",), "Because."),
        Case("b", ('Comma, "quote"\r\nand\rline?',)),
        Case("c", ("One?", "Two?")),
    ]
    return await experiment_at(server.url, cases, **more).run(on_progress=quiet, retry=QUICK)  # type: ignore[arg-type]


async def test_columns_and_types(here: Path, server: FaultyServer) -> None:
    """One row a trial, these columns in this order, numbers as numbers, the unknown as NA."""
    frame = (await run_of(server)).trials()
    assert list(frame.columns) == COLUMNS == list(tables.COLUMNS)
    kinds = {name: str(frame[name].dtype) for name in COLUMNS}
    assert kinds["repeat"] == "int64"
    assert {kinds[c] for c in ("input_tokens", "output_tokens", "cached_tokens")} == {"Int64"}
    assert {kinds[c] for c in ("cost_usd", "first_token_s", "total_s")} == {"Float64"}
    assert {kinds[c] for c in COLUMNS if c not in tables._TYPES} == {"str"}
    assert len(frame) == 6
    assert frame["key"].is_unique
    row = frame.iloc[3]
    assert (row["case"], row["persona"], row["question"]) == ("a", "terse", "Why?")
    assert (row["system_prompt"], row["reference"]) == ("Be terse.", "Because.")
    assert row["cost_usd"] == pytest.approx((row["input_tokens"] + row["output_tokens"]) / 1000)
    assert pd.isna(frame.iloc[0]["system_prompt"])
    assert frame["cached_tokens"].isna().all()
    assert frame.iloc[2]["question"] == "One?\n\nTwo?"


async def test_tokens_are_of_all_turns(here: Path, server: FaultyServer) -> None:
    """What a conversation used is the sum over its turns, not its last turn."""
    server.answer = lambda request: "three words here"
    run = await experiment_at(server.url, turns(3, 1), personas=["none"]).run(on_progress=quiet)
    assert run.trials()["output_tokens"].tolist() == [9]
    assert run.trials()["attempts"].tolist() == [3]


async def test_no_row_is_ever_missing(here: Path) -> None:
    """Failed and unasked trials have their rows: a reason for the one, `open` for the other."""
    with FaultyServer() as server:
        bad = client_at(server.url_of("400"), "test:bad")
        experiment = experiment_at(server.url_of("400"), 3, client=bad)
        frame = (await experiment.run(on_progress=quiet)).trials()
        assert frame["status"].tolist() == ["error"] * 6
        assert frame["error"].str.contains("400").all()
        assert frame["answer"].isna().all()
        assert frame["cost_usd"].isna().all()
        frame = (await run_of(server, limits=Limits(tokens=0))).trials()
        assert frame["status"].tolist() == ["open"] * 6
        assert frame["error"].isna().all()


async def test_a_cut_answer_shows_what_arrived(here: Path, server: FaultyServer) -> None:
    """A reply without an end is `truncated`: its text is there, and it is no answer."""
    experiment = experiment_at(server.url_of("finish abort"), 1, personas=["none"])
    frame = (await experiment.run(on_progress=quiet, retry=QUICK)).trials()
    assert frame[["status", "answer"]].values.tolist() == [["truncated", "Hi."]]
    assert len(tables.averaged(frame)) == 0


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
async def test_every_format_carries_all_of_it(
    here: Path, server: FaultyServer, form: tables.Format
) -> None:
    """Commas, quotes, lone carriage returns, NUL and NA survive; a folder is made when missing."""
    rough = 'a,"b"\r\nc\rd\te\u2028f \ud800 \\ud800 é😀'
    server.answer = lambda r: "lone\rreturn" if "Why" in str(r["messages"]) else rough
    frame = (await run_of(server)).trials()
    out = Path("some/where") / f"t.{form}"
    assert tables.export(frame, form, out) is None
    again = {
        "csv": lambda: pd.read_csv(out, dtype=frame.dtypes.to_dict()),
        "json": lambda: pd.DataFrame(json.loads(out.read_text())).astype(frame.dtypes.to_dict()),
        "parquet": lambda: pd.read_parquet(out),
    }[form]()
    assert list(again.columns) == COLUMNS
    for name in COLUMNS:
        wanted, found = frame[name], again[name]
        assert found.isna().tolist() == wanted.isna().tolist(), name
        if str(wanted.dtype) == "Float64":
            assert np.allclose(found.dropna().astype(float), wanted.dropna().astype(float))
        else:
            assert found.dropna().tolist() == wanted.dropna().tolist(), name


async def test_text_formats_are_text_without_a_file(here: Path, server: FaultyServer) -> None:
    """Without a file csv and json are returned; Parquet, which is no text, wants one."""
    frame = (await run_of(server)).trials()
    assert len(pd.read_csv(io.StringIO(tables.export(frame, "csv") or ""))) == 6
    assert "Why?" in (tables.export(frame, "table") or "")
    with pytest.raises(UsageError, match="--out"):
        tables.export(frame, "parquet")


async def test_compare_is_cases_by_personas(here: Path, server: FaultyServer) -> None:
    """Cases down, personas across, in the order of the experiment; more where there is more."""
    run = await run_of(server)
    table = run.pivot()
    assert table.columns.tolist() == ["none", "terse"]
    assert table.index.tolist() == ["a", "b", "c"]
    assert table.loc["a", "terse"] == run.trials().iloc[3]["answer"]
    assert run.pivot("status").iloc[0].tolist() == ["ok", "ok"]
    with pytest.raises(UsageError, match="'answer'"):
        run.pivot("anser")
    repeated = await run_of(server, repeats=11)
    table = repeated.pivot("repeat")
    assert table.index.names == ["case", "repeat"]
    assert table["none"].tolist() == [*range(11)] * 3


async def test_statuses_are_counted_and_only_whole_answers_averaged(here: Path) -> None:
    """Statuses ok and length count in means; every other status is shown by its number."""
    experiment = Experiment.define(
        "e", personas=["none", "art"], models=["echo"], cases=["a", "b", "c"]
    )
    frame = (await experiment.run(on_progress=quiet)).trials()
    frame.loc[:3, "status"] = ["ok", "length", "refusal", "error"]
    frame.loc[:3, "answer"] = ["one two", "one two three four", "no", "half an answer"]
    counts = tables.status_counts(frame).set_index("persona")
    assert counts.loc["none", ["ok", "length", "refusal", "error"]].tolist() == [1, 1, 1, 0]
    assert counts.loc["art", ["ok", "error"]].tolist() == [2, 1]
    summary = tables.summary(frame).set_index("persona")
    assert summary.loc["none", ["trials", "counted", "words"]].tolist() == [3, 2, 3]
    assert summary["cost_usd"].tolist() == [0, 0]


async def test_an_unknown_cost_is_not_zero_in_sums(here: Path) -> None:
    """If one answer's cost is unknown, so is the sum; a failure, which has none, is no matter."""
    experiment = Experiment.define("e", personas=["none"], models=["echo"], cases=["a", "b", "c"])
    frame = (await experiment.run(on_progress=quiet)).trials()
    frame["cost_usd"] = pd.array([1.0, None, None], dtype="Float64")
    assert pd.isna(tables.summary(frame)["cost_usd"]).all()
    frame["status"] = ["ok", "error", "open"]
    assert tables.summary(frame)["cost_usd"].tolist() == [1.0]


async def test_a_run_that_answered_nothing_has_its_tables(here: Path, server: FaultyServer) -> None:
    """Not one answer: the tables are there, with their rows and without a mean."""
    run = await run_of(server, limits=Limits(tokens=0))
    assert run.summary()["counted"].tolist() == [0, 0]
    assert run.summary()["words"].isna().all()
    assert run.pivot().isna().all().all()
    assert "6 open" in repr(run)
    assert "<table" in run._repr_html_()
