"""
Reading the store: one connection per process, and plain SELECTs on the table that is diskcache's file format.

diskcache opens a connection in every thread that reads and closes it when that thread dies: a pool of threads would
keep files open long after the store was closed. Nor has it a range read or a snapshot. One connection under a lock has
all three. It reads while somebody writes (WAL), so it never waits for a writer.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nbstream.errors import LogDamaged
from nbstream.log.cache import FILE, LOCK_TIMEOUT_S, unreadable
from nbstream.log.rows import METAS, Meta, closed, gone, meta_row, missing, record_row, stop_rows
from nbstream.records import Record, decode

#: diskcache's mode of a value that stands in the row as it is.
_RAW = 1
_ONE = "SELECT mode, value FROM Cache WHERE raw = 1 AND key = ?"
_RANGE = "SELECT key, mode, value FROM Cache WHERE raw = 1 AND key >= ? AND key < ? ORDER BY key LIMIT ?"
_KEYS = "SELECT key FROM Cache WHERE raw = 1 AND key >= ? AND key < ? ORDER BY key LIMIT ?"
_LAST = "SELECT key FROM Cache WHERE raw = 1 AND key >= ? AND key < ? ORDER BY key DESC LIMIT 1"
#: Sorts behind every stream id.
_LAST_KEY = "~"


class Snapshot:
    """The rows as they were at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def value(self, key: str) -> bytes | None:
        """Return the value under *key*, or None; a row that holds no bytes raises `LogDamaged`."""
        row = self._connection.execute(_ONE, (key,)).fetchone()
        return None if row is None else Row(key, *row).plain()

    def meta(self, stream: str) -> Meta:
        """Return the entry of *stream*; raises `StreamGone`."""
        data = self.value(meta_row(stream))
        if data is None:
            raise gone(stream)
        return Meta.from_bytes(data, stream)

    def has(self, stream: str) -> bool:
        """Say whether there is such a stream, even if its entry is damaged."""
        return self._connection.execute(_ONE, (meta_row(stream),)).fetchone() is not None

    def streams(self) -> list[str]:
        """Return the id of every stream."""
        return [key.removeprefix(METAS) for key in self.keys(METAS, -1)]

    def tail(self, stream: str) -> int:
        """Return the offset of the stream's last record, -1 for none."""
        begin = f"{stream}/"
        row = self._connection.execute(_LAST, (begin, _behind(begin))).fetchone()
        return -1 if row is None else int(row[0].removeprefix(begin))

    def keys(self, prefix: str, limit: int) -> list[str]:
        """Return the first keys that begin with *prefix*."""
        return [key for (key,) in self._connection.execute(_KEYS, (prefix, _behind(prefix), limit))]

    def mark(self, stream: str) -> object:
        """Return what changes with everything that happens to *stream*: an append, a stop, its deletion."""
        meta = self._connection.execute(_ONE, (meta_row(stream),)).fetchone()
        return meta, self.tail(stream), self.keys(stop_rows(stream), -1)

    def orphans(self) -> list[str]:
        """Return the streams that have records and no entry: somebody was killed while he deleted them."""
        found = []
        begin = _behind(METAS[0])
        while row := self._connection.execute(_KEYS, (begin, _LAST_KEY, 1)).fetchone():
            stream = row[0].partition("/")[0]
            if not self.has(stream):
                found.append(stream)
            begin = _behind(f"{stream}/")  # from stream to stream, not from record to record
        return found

    def page(self, stream: str, after: int, limit: int) -> list[Row]:
        """Return up to *limit* rows of records behind *after*, unchecked."""
        begin = record_row(stream, max(after, -1) + 1)
        return [Row(*row) for row in self._connection.execute(_RANGE, (begin, _behind(f"{stream}/"), limit))]

    def record(self, stream: str, offset: int) -> Record:
        """Return one record; one that is missing or damaged raises `LogDamaged`."""
        rows = self.page(stream, offset - 1, 1)
        if not rows:
            raise missing(stream, offset)
        return rows[0].record(stream, offset)


class Row(NamedTuple):
    """A row as it lies in the file."""

    key: str
    mode: int
    value: Any

    def plain(self) -> bytes:
        """Return the value; what is no bytes is never loaded and raises `LogDamaged`."""
        if self.mode != _RAW or type(self.value) is not bytes:
            raise LogDamaged(f"row {self.key} of the store was written by another program and was not loaded")
        return self.value

    def record(self, stream: str, offset: int) -> Record:
        """Return the record, if this row is the one at *offset*."""
        if self.key != record_row(stream, offset):
            raise missing(stream, offset)
        return decode(self.plain(), stream=stream, offset=offset)


class Table:
    """The store's file, for readers. Safe to use from any thread."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE
        self._lock = threading.Lock()
        #: The file and its version at the last look for changes, and the marks of the streams that were asked about.
        self._version: tuple[int, int] | None = None
        self._marks: dict[str, object] = {}
        self._closed = False
        self._connect()
        try:
            with self.snapshot() as now:
                now.streams()  # a file that is no store says so here
        except BaseException:
            self.close()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Read in one transaction; what SQLite cannot read raises `LogDamaged`."""
        with self._lock:
            try:
                connection = self._current()
                connection.execute("BEGIN")
                try:
                    yield Snapshot(connection)
                finally:
                    connection.execute("COMMIT")
            except (sqlite3.Error, OSError) as exc:
                raise unreadable(exc, self._file) from exc

    def changed(self, streams: Collection[str]) -> Collection[str]:
        """
        Return those of *streams* that have changed since the last call, and those it was not asked about then.

        All of them when that cannot be told: whoever looks then reads, and gets the error. For one thread.
        """
        try:
            with self._lock:
                ((version,),) = self._current().execute("PRAGMA data_version")
                before, self._version = self._version, (self._inode, version)
            if self._version == before:
                return ()
            with self.snapshot() as now:
                marks = {stream: now.mark(stream) for stream in streams}
        except (sqlite3.Error, OSError, LogDamaged):
            return streams
        before_marks, self._marks = self._marks, marks
        return [stream for stream, mark in marks.items() if before_marks.get(stream) != mark]

    def close(self) -> None:
        """Close the file; further reads raise `RuntimeError`."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def _connect(self) -> None:
        self._inode = self._file.stat().st_ino
        self._connection = sqlite3.connect(
            self._file, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA query_only = 1")

    def _current(self) -> sqlite3.Connection:
        if self._closed:
            raise closed()
        # SQLite reads on in a file that was deleted; the user who cleared his cache directory means another one.
        if self._file.stat().st_ino != self._inode:
            self._connection.close()
            self._connect()
        return self._connection


def _behind(prefix: str) -> str:
    """Return the first text that sorts behind everything that begins with *prefix* (which ends in ASCII)."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
