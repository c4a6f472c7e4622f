"""
The one thread of a process that writes to a store.

It hands over what all streams have waiting at once: the busier the store, the more goes into each round.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

from nbstream.log.rows import closed

W = TypeVar("W")

#: Bounds the memory and the time of one round: at the recorder's 16 KiB a record, 8 MiB.
GROUP = 512


class Job(NamedTuple, Generic[W]):
    """Work that waits, and the future that says how it went."""

    work: W
    future: Future[Any]
    #: Whom to signal when it is stored.
    stream: str | None


class WorkQueue(Generic[W]):
    """
    Takes work from any thread; each future is done when its work is stored.

    *store* does the work of several, in order, and says for each what it returned or why it was refused. What it raises
    is a bug and reaches those who wait. *ended* is called by the thread as its last deed.
    """

    def __init__(
        self,
        store: Callable[[list[W]], list[tuple[Any, Exception | None]]],
        *,
        signal: Callable[[str], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._signal, self._ended = store, signal, ended
        self._waiting: deque[Job[W]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="nbstream-writer", daemon=True)
        self._thread.start()

    def submit(self, work: W, *, stream: str | None = None) -> Future[Any]:
        """Hand work over; it is done in the order of its submission."""
        future: Future[Any] = Future()
        # The lock itself: an Interrupt that meets `with` a condition leaves it locked.
        with self._lock:
            if self._closed:
                raise closed()
            self._waiting.append(Job(work, future, stream))
            self._wake.notify()
        return future

    def close(self) -> None:
        """Do what is waiting, end the thread."""
        with self._lock:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                outcomes = self._store([job.work for job in group])
            except Exception as exc:  # noqa: BLE001 - a bug reaches its callers; the streams behind it go on
                outcomes = [(None, exc) for _ in group]
            for job, (result, error) in zip(group, outcomes, strict=True):
                if error is None:
                    job.future.set_result(result)
                else:
                    job.future.set_exception(error)
            for stream in {job.stream for job, (_, error) in zip(group, outcomes, strict=True) if error is None}:
                if stream is not None:
                    self._signal(stream)
        self._ended()

    def _next_group(self) -> list[Job[W]]:
        """Wait for work and take it; empty when the queue was closed and nothing is left."""
        with self._wake:
            while True:
                while not self._waiting and not self._closed:
                    self._wake.wait()
                taken = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                # From here on a future cannot be cancelled; one that was is as if it had never been submitted.
                group = [job for job in taken if job.future.set_running_or_notify_cancel()]
                if group or (self._closed and not self._waiting):
                    return group
