"""
The diskcache file, opened so that it is a log: nothing is evicted, pickled or put into side files.

diskcache's defaults drop the oldest rows past 1 GiB and unpickle whatever row says it is a pickle. Only this file and
the writer know diskcache; readers use `nbstream.log.table`.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import diskcache

from nbstream.errors import LogDamaged, LogError, StoreFull

Durability: TypeAlias = Literal["process", "power"]

#: The file diskcache keeps in its directory.
FILE = "cache.db"
#: How long a write waits for another program's transaction before it is refused (diskcache: 60 s).
LOCK_TIMEOUT_S = 10.0

_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "statistics": 0,
    # A value that goes to a side file is not part of the transaction. No record is this large.
    "disk_min_file_size": 2**31 - 1,
    "sqlite_journal_mode": "wal",
    # A disk error under a memory map is a SIGBUS: the kernel dies. Without one it is an exception.
    "sqlite_mmap_size": 0,
    # Pages of 4 KiB. diskcache keeps 8192: whoever records holds the last 32 MiB it wrote, which nobody reads there.
    # Appending is as fast with these.
    "sqlite_cache_size": 512,
}
#: SQLite: NORMAL survives the death of the process, FULL also that of the machine (one fsync a commit).
_SYNCHRONOUS = {"process": 1, "power": 2}


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """How rows look: text keys, bytes values; never a pickle, neither written nor read (CVE-2025-69872)."""

    def put(self, key: Any) -> tuple[str, bool]:
        """Return the stored form of a key."""
        if type(key) is not str:
            raise TypeError(f"keys are str, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: bool) -> str:  # noqa: FBT001 - diskcache calls it so
        """Return the key of a row."""
        if not raw or type(key) is not str:
            raise LogDamaged("the store holds a row of another program; its key is a pickle and was not loaded")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, bytes]:  # noqa: ARG002, FBT001
        """Return the stored form of a value."""
        if type(value) is not bytes:
            raise TypeError(f"values are bytes, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:  # noqa: ARG002, FBT001
        """Return the value of a row."""
        if mode != diskcache.core.MODE_RAW or type(value) is not bytes:
            raise LogDamaged("the store holds a row of another program where a record or its entry should be")
        return value


def open_cache(directory: Path, durability: Durability) -> Any:
    """
    Open (or make) the cache in *directory* for the calling thread; its settings are asserted, whoever set them last.

    Raises what `refusal` translates.
    """
    # SQLite gives its files the mode of this one: the directory may be one that others read.
    with suppress(FileExistsError):
        os.close(os.open(directory / FILE, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return diskcache.Cache(
        str(directory),
        timeout=LOCK_TIMEOUT_S,
        disk=BytesDisk,
        sqlite_synchronous=_SYNCHRONOUS[durability],
        **_SETTINGS,
    )


#: What a failed write or read can be. Everything else is a bug of ours and is not translated.
FAILURES = (sqlite3.Error, OSError, diskcache.Timeout)

_FULL = "free some space there"
_ADVICE = {
    "disk is full": _FULL,
    "no space left": _FULL,
    "quota": _FULL,
    "locked": "end the program that holds it, or wait",
    "readonly": "make the directory writable",
    "read-only": "make the directory writable",
    "permission denied": "make the directory writable",
    "not a directory": "move the file away that is in its place",
    "file exists": "move the file away that is in its place",
    "unable to open": "make the directory writable",
}


def refusal(exc: BaseException, directory: Path) -> LogError:
    """Say in one line why saving failed in *directory*, and what to do now."""
    while str(exc).startswith("cannot rollback") and exc.__context__ is not None:
        # SQLite had already rolled back; diskcache's own attempt hides the error that matters.
        exc = exc.__context__
    reason = _reason(exc, directory)
    foreign = isinstance(exc, sqlite3.DatabaseError) and not isinstance(exc, sqlite3.OperationalError)
    if foreign or "no such" in reason or "has no column" in reason:
        return unreadable(exc, directory / FILE)
    advice = next((text for sign, text in _ADVICE.items() if sign in reason.lower()), "check that disk")
    return StoreFull(
        f"saving in {directory} failed ({reason}); nothing of this was saved: {advice}, or set NBSTREAM_HOME to another"
        " directory"
    )


def unreadable(exc: BaseException, file: Path) -> LogDamaged:
    """Say in one line that the file itself cannot be read, and what to do now."""
    return LogDamaged(
        f"{file} cannot be read ({exc}): it is damaged or another program's; move it away, or set"
        " NBSTREAM_HOME to another directory"
    )


def _reason(exc: BaseException, directory: Path) -> str:
    if not isinstance(exc, diskcache.Timeout):
        return str(exc)
    # diskcache reports every refused BEGIN as a timeout and drops the reason: ask SQLite once more.
    try:
        connection = sqlite3.connect(directory / FILE, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as again:
        return str(again)
    return f"database was locked for {LOCK_TIMEOUT_S:g} s"
