"""A SQLite file that many processes may write at once, and what its errors mean."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from assistants.errors import StoreError
from assistants.utils import display_path

_BUSY_S = 60.0
_WHERE = "Choose another folder with `--results DIR`."


class Database:
    """A database file in WAL mode; a change is on its way to the disk when a method returns.

    It survives a killed process whole; a power cut can cost the last moments, never more.

    Parameters
    ----------
    path
        Of the file, which is made when missing.
    schema
        The statements that make its tables where they are not there yet, each ended by ``;`` and
        a line end. A later version may only add to them.
    version
        Of the schema, kept in the file; a file of an earlier one is brought up to it.
    added
        Columns that a table of an earlier version may lack, each as the schema declares it, in the
        order of the schema.

    Raises
    ------
    StoreError
        Here and from every method, with what to do next.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        version: int,
        added: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{display_path(path)} cannot be opened: {error}.", fix=_WHERE
            ) from None
        try:
            with self._errors():
                self._write_ahead()
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._create(schema, version, added)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file. Everything written is already there."""
        self._db.close()

    def read(
        self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a SELECT; ``values`` are in order for ``?``, by name for ``:name``."""
        with self._errors():
            yield from self._db.execute(query, values)

    def write(self, statement: str, values: Sequence[Any]) -> int:
        """Make one change, and return the number of rows it touched."""
        with self._errors():
            return self._db.execute(statement, values).rowcount

    def write_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Make the same change for many rows; within ``transaction``, or it is slow."""
        with self._errors():
            self._db.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all of the changes within, or none."""
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # on a full disk SQLite has ended it already
                    self._db.execute("ROLLBACK")
                raise

    def _write_ahead(self) -> None:
        """Switch to WAL. SQLite does not wait for others at this one point, so this does."""
        end = time.monotonic() + _BUSY_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def _create(self, schema: str, latest: int, added: Mapping[str, Sequence[str]]) -> None:
        with self.transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > latest:
                raise StoreError(
                    f"{display_path(self.path)} has format {version}; this version reads {latest}.",
                    fix="Use another --results folder, or the version that wrote it.",
                )
            if version < latest:
                for statement in schema.strip().split(";\n"):
                    self._db.execute(statement)
                for table, columns in added.items():
                    known = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
                    for column in columns:
                        if column.split()[0] not in known:
                            self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
                self._db.execute(f"PRAGMA user_version = {latest}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{display_path(self.path)}: {error}.", fix=_fix(error)) from None


def _fix(error: sqlite3.Error) -> str:
    message = str(error)
    if "full" in message or "disk I/O" in message:
        return "Free some space and run again: every answer that was stored is kept."
    if "not a database" in message or "malformed" in message:
        return f"The file is damaged or no store. Move it away, or: {_WHERE}"
    if "readonly" in message:
        return f"The folder cannot be written to. {_WHERE}"
    return ""
