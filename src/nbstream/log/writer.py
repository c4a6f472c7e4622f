"""
The one thread of a process that writes to its store.

It commits what all streams have waiting in one transaction: the busier the disk, the more goes into each commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nbstream.errors import LogError
from nbstream.log.cache import FAILURES, FILE, refusal
from nbstream.log.rows import closed

T = TypeVar("T")

#: Bounds the memory and the time of one transaction: at the recorder's 16 KiB a record, 8 MiB.
GROUP = 512


class Job(NamedTuple):
    """
    What *work* does to the cache, inside a transaction that it shares with other jobs.

    It checks before it writes: a `LogError` it raises fails its own future only, and nothing is rolled back for it.
    """

    work: Callable[[Any], Any]
    future: Future[Any]
    #: Whom to signal when it is stored.
    stream: str | None


class Writer:
    """Takes jobs from any thread; each future is done when its job is stored."""

    def __init__(self, directory: Path, *, open_cache: Callable[[], Any], signal: Callable[[str], None]) -> None:
        self._directory = directory
        self._open_cache = open_cache
        self._signal = signal
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._closed = False
        # diskcache's connection belongs to the thread that opened it: the writer's.
        self._cache: Any = None
        self._inode = 0
        self._thread = threading.Thread(target=self._run, name="nbstream-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Any], T], *, stream: str | None = None) -> Future[T]:
        """Hand a job over; jobs are done in the order of their submission."""
        future: Future[T] = Future()
        # The lock itself: an Interrupt that meets `with` a condition leaves it locked.
        with self._lock:
            if self._closed:
                raise closed()
            self._waiting.append(Job(work, future, stream))
            self._wake.notify()
        return future

    def close(self) -> None:
        """Do what is waiting, close the file, end the thread."""
        with self._lock:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                outcomes = self._commit(group)
            except FAILURES as exc:
                self._drop()
                outcomes = [(None, refusal(exc, self._directory)) for _ in group]
            except Exception as exc:  # noqa: BLE001 - a bug reaches its callers; the streams behind it go on
                self._drop()
                outcomes = [(None, exc) for _ in group]
            for job, (result, error) in zip(group, outcomes, strict=True):
                if error is None:
                    job.future.set_result(result)
                else:
                    job.future.set_exception(error)
            for stream in {job.stream for job, (_, error) in zip(group, outcomes, strict=True) if error is None}:
                if stream is not None:
                    self._signal(stream)
        self._drop()

    def _next_group(self) -> list[Job]:
        """Wait for jobs and take them; empty when the writer was closed and nothing is left."""
        with self._wake:
            while True:
                while not self._waiting and not self._closed:
                    self._wake.wait()
                taken = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                # From here on a future cannot be cancelled; one that was is as if it had never been submitted.
                group = [job for job in taken if job.future.set_running_or_notify_cancel()]
                if group or (self._closed and not self._waiting):
                    return group

    def _commit(self, group: list[Job]) -> list[tuple[Any, Exception | None]]:
        """Do the jobs in one transaction, and say for each what it returned or why it was refused."""
        cache = self._current()
        with cache.transact():
            return [_attempt(job.work, cache) for job in group]

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


def _attempt(work: Callable[[Any], Any], cache: Any) -> tuple[Any, Exception | None]:
    try:
        return work(cache), None
    except LogError as exc:
        return None, exc
