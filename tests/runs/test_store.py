"""The record keeps every answer it has acknowledged, whatever becomes of process and disk."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from assistants.errors import IncompleteReplyError, StoreError
from assistants.messages import Completion
from assistants.results import Results
from assistants.runs.sqlite import Database
from assistants.runs.store import FILE, Store
from support.completions import COMPLETION
from support.experiments import PRELOADED, experiment_at, quiet, write_rows
from support.faulty_server import FaultyServer


def add(store: Store, key: str, completion: Completion, turn: int = 0, final: bool = True) -> None:
    store.add_answer(key, turn, completion, final=final, run="r", cost_usd=None, attempts=1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store")) as store:
        yield store


@given(completion=COMPLETION)
def test_any_completion_comes_back(shared: Store, completion: Completion) -> None:
    """Surrogates, NUL and all: what is read is what the model returned."""
    shared._db.write("DELETE FROM answers", [])
    add(shared, "k", completion)
    assert shared.completions("k") == [completion]
    assert shared.finished(["k", "other"]) == {"k"}


def test_the_first_answer_stays(here: Path) -> None:
    """A key has one answer, whoever comes second; two stores see the same record."""
    with Store("results") as one, Store("results") as two:
        add(one, "k", Completion("first"))
        add(two, "k", Completion("second"))
        assert [c.text for c in two.completions("k")] == ["first"]
        assert one.finished(["k"]) == two.finished(["k"]) == {"k"}


def test_turns_come_in_order_and_finish_with_the_last(here: Path) -> None:
    """A conversation counts as answered only when its last turn is."""
    with Store("results") as store:
        add(store, "k", Completion("a"), 0, final=False)
        assert store.finished(["k"]) == set()
        add(store, "k", Completion("b"), 1)
        assert [c.text for c in store.completions("k")] == ["a", "b"]
        assert store.finished(["k"]) == {"k"}


def test_a_failure_is_no_answer(here: Path) -> None:
    """A failure keeps its reason and what had arrived, and leaves the trial open."""
    with Store("results") as store:
        cut = IncompleteReplyError("x:\ud800", partial=Completion("half\0", status="truncated"))
        store.add_failure("k", 0, cut, run="r", attempts=3)
        assert store.finished(["k"]) == set()
        rows = list(store.read("SELECT status, error, kind, partial, attempts FROM failures"))
        assert rows == [("truncated", "x:\\ud800", "IncompleteReplyError", "half\0", 3)]


def test_eight_processes_write_at_once(here: Path) -> None:
    """8 processes x 1,000 rows, all of them opening a new file together: 8,000 rows."""
    start = PRELOADED.Barrier(8)
    children = [
        PRELOADED.Process(target=write_rows, args=("results", start, i, 1000)) for i in range(8)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 8
    with Store("results") as store:
        counts = store.read("SELECT COUNT(*), COUNT(DISTINCT key) FROM answers")
        assert list(counts) == [(8000, 8000)]


def test_many_processes_may_make_the_same_store(here: Path) -> None:
    """Whoever comes first makes the file; nobody sees it half made or locked."""
    for round_ in range(10):
        start = PRELOADED.Barrier(8)
        args = [(f"results{round_}", start, i, 1) for i in range(8)]
        children = [PRELOADED.Process(target=write_rows, args=a) for a in args]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        assert [child.exitcode for child in children] == [0] * 8


async def test_two_runs_write_one_store(here: Path) -> None:
    """Two runs of one experiment at once both end whole, and the record has each answer once."""
    with FaultyServer(latency=0.002) as server:
        runs = await asyncio.gather(
            *(experiment_at(server.url, 40).run(on_progress=quiet) for _ in range(2))
        )
        assert [run.statuses() for run in runs] == [{"ok": 80}] * 2
        assert runs[0].id != runs[1].id
        with Store("results") as store:
            assert list(store.read("SELECT COUNT(*) FROM answers")) == [(80,)]


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    folder = here / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_stops_the_run_and_loses_nothing(small_disk: Path) -> None:
    """A clear stop that says what to do; the record is readable, and the run goes on after."""
    await _stops_and_goes_on(small_disk, free=lambda: subprocess.run(
        ["mount", "-o", "remount,size=50m", str(small_disk)], check=True
    ))  # fmt: skip


async def test_a_full_file_stops_the_run_and_loses_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without a disk of one's own: SQLite is told that its file may not grow."""
    original = Database.__init__

    def capped(database: Database, path: Path, *schema: Any) -> None:
        original(database, path, *schema)
        list(database.read("PRAGMA max_page_count = 60"))

    monkeypatch.setattr(Database, "__init__", capped)
    await _stops_and_goes_on(here, free=lambda: monkeypatch.setattr(Database, "__init__", original))


async def _stops_and_goes_on(folder: Path, free: object) -> None:
    acknowledged = 0

    def report(progress: object) -> None:
        nonlocal acknowledged
        acknowledged = progress.answered  # type: ignore[attr-defined]

    with FaultyServer(lambda request: "long " * 800) as server:
        experiment = experiment_at(server.url, 100)
        with pytest.raises(StoreError, match="Free some space"):
            await experiment.run(folder, on_progress=report)
        assert 0 < acknowledged < 200
        free()  # type: ignore[operator]
        with Store(folder) as store:
            ((kept,),) = store.read("SELECT COUNT(*) FROM answers")
            assert list(store.read("PRAGMA integrity_check")) == [("ok",)]
        assert kept >= acknowledged
        before = len(server.requests)
        run = await experiment.run(folder, on_progress=quiet)
        assert len(server.requests) - before == 200 - kept
        assert run.statuses() == {"ok": 200}


@pytest.mark.parametrize("content", [b"no database, but long enough" * 50, b"\0" * 4096])
def test_a_damaged_file_is_refused_with_a_way_out(here: Path, content: bytes) -> None:
    """A file that is no store is left as it is, and the message says what to do."""
    Path(FILE).write_bytes(content)
    with pytest.raises(StoreError, match="--results DIR"):
        Store(".")
    assert Path(FILE).read_bytes() == content


def test_a_damaged_page_is_told_when_it_is_read(here: Path) -> None:
    """Bytes overwritten in the middle end in a StoreError, not in a wrong answer."""
    with Store(".") as store:
        for i in range(200):
            add(store, f"{i}", Completion("x" * 500))
    raw = bytearray(Path(FILE).read_bytes())
    raw[8192:40960] = b"\xff" * 32768
    Path(FILE).write_bytes(raw)

    def read_all() -> None:
        with Store(".") as store:
            for i in range(200):
                store.completions(f"{i}")

    with pytest.raises(StoreError, match="damaged"):
        read_all()


def test_a_newer_format_is_refused(here: Path) -> None:
    """A store of a later version is not touched."""
    with Store(".") as store:
        store._db.write("PRAGMA user_version = 99", [])
    with pytest.raises(StoreError, match="format 99"):
        Store(".")


def test_a_folder_that_cannot_be_is_refused(here: Path) -> None:
    """A file where the folder should be, or no right to write: a StoreError with a way out."""
    Path("file").touch()
    for folder in ("file", "file/below", "/proc/nowhere"):
        with pytest.raises(StoreError, match="--results DIR"):
            Store(folder)


async def test_names_that_utf8_cannot_hold_are_kept(here: Path, server: FaultyServer) -> None:
    """A lone surrogate in a question, an id or an answer breaks neither run, table nor files."""
    from assistants.trial import Case

    server.answer = lambda request: "\ud800\0 answer"
    case = Case("id\ud800", ("Question \ud800?",), "ref \udfff")
    run = await experiment_at(server.url, [case]).run(on_progress=quiet)
    row = run.trials().iloc[0]
    assert (row["case"], row["question"]) == ("id\\ud800", "Question \\ud800?")
    assert (row["reference"], row["answer"]) == ("ref \\udfff", "\\ud800\0 answer")
    (_, transcript, _), _ = run.transcripts()
    assert transcript.completion.text == "\ud800\0 answer"
    assert transcript.messages[0].content == "Question \ud800?"
    assert (Results().latest().export() / "manifest.json").is_file()


def test_sqlite_can_be_read_by_anybody(here: Path) -> None:
    """The record is a plain SQLite file; no code of ours is needed to read it."""
    with Store(".") as store:
        add(store, "k", Completion("hi"))
    with sqlite3.connect(FILE) as db:
        assert db.execute("SELECT answer FROM answers").fetchall() == [("hi",)]
    db.close()


def test_a_store_of_an_earlier_version_goes_on(here: Path) -> None:
    """What was paid for stays: a newer version adds what it needs to an older file."""
    with Store(".") as store:
        add(store, "k", Completion("kept"))
        store._db.write("DROP TABLE scores", [])
        store._db.write("PRAGMA user_version = 1", [])
    with Store(".") as store:
        assert store.completions("k")[0].text == "kept"
        assert store.scores("words/1", "any run") == {}
