"""What writes to a store on disk: one transaction for what all streams have waiting."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from nbstream.errors import LogError
from nbstream.log.cache import FAILURES, FILE, refusal
from nbstream.log.work_queue import WorkQueue

T = TypeVar("T")

#: What is done to the cache, inside a transaction that is shared with others. It checks before it writes: a `LogError`
#: it raises fails its own future only, and nothing is rolled back for it.
Work: TypeAlias = "Callable[[Any], Any]"


class Writer:
    """Takes work from any thread; each future is done when its work is committed."""

    def __init__(self, directory: Path, *, open_cache: Callable[[], Any], signal: Callable[[str], None]) -> None:
        self._directory = directory
        self._open_cache = open_cache
        # diskcache's connection belongs to the thread that opened it: the queue's.
        self._cache: Any = None
        self._inode = 0
        self._queue: WorkQueue[Work] = WorkQueue(self._store, signal=signal, ended=self._drop)

    def submit(self, work: Callable[[Any], T], *, stream: str | None = None) -> Future[T]:
        """Hand work over; it is done in the order of its submission."""
        return self._queue.submit(work, stream=stream)

    def close(self) -> None:
        """Do what is waiting, close the file, end the thread."""
        self._queue.close()

    def _store(self, group: list[Work]) -> list[tuple[Any, Exception | None]]:
        try:
            return self._commit(group)
        except FAILURES as exc:
            self._drop()
            error = refusal(exc, self._directory)
            return [(None, error) for _ in group]
        except BaseException:
            self._drop()
            raise

    def _commit(self, group: list[Work]) -> list[tuple[Any, Exception | None]]:
        """Do the work in one transaction, and say for each what it returned or why it was refused."""
        cache = self._current()
        with cache.transact():
            return [_attempt(work, cache) for work in group]

    def _current(self) -> Any:
        file = self._directory / FILE
        # SQLite writes on into a file that was deleted, and what it acknowledges is lost.
        if self._cache is not None and not (file.exists() and file.stat().st_ino == self._inode):
            self._drop()
        if self._cache is None:
            self._cache = self._open_cache()
            self._inode = file.stat().st_ino
        return self._cache

    def _drop(self) -> None:
        """Close the connection: after a failure SQLite may be inside a transaction or not, and the next one is new."""
        if self._cache is not None:
            self._cache.close()
            self._cache = None


def _attempt(work: Work, cache: Any) -> tuple[Any, Exception | None]:
    try:
        return work(cache), None
    except LogError as exc:
        return None, exc
