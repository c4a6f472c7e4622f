"""Threads for what blocks, that work until the very end of the process."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

#: Threads at a time; one is made only when all others are at work.
MOST = 32


class Workers(ThreadPoolExecutor):
    """
    Stands in for a loop's default executor, which must be a `ThreadPoolExecutor`.

    That one refuses work as soon as the main thread has ended, before `atexit`: a script that ended right after it had
    started a stream could not save how it ended. And the interpreter waits for its threads, whatever blocks them.
    """

    def __init__(self) -> None:
        super().__init__(MOST)  # its own threads are never made
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._crew: list[threading.Thread] = []
        self._under_way = 0
        self._over = False
        self._guard = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call *fn* in a thread."""
        future: Future[T] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as exc:  # noqa: BLE001 - it belongs to whoever waits for the result
                    future.set_exception(exc)

        with self._guard:
            if self._over:
                raise RuntimeError("these threads have ended with their loop")
            self._jobs.put(job)
            self._under_way += 1
            if self._under_way > len(self._crew) < MOST:
                thread = threading.Thread(target=self._work, name=f"nbstream-worker-{len(self._crew)}", daemon=True)
                self._crew.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - its base's
        """Take nothing more and let the threads end behind what they do; *cancel_futures* changes nothing."""
        del cancel_futures
        with self._guard:
            self._over = True
            for _ in self._crew:
                self._jobs.put(None)
        if wait:
            for thread in self._crew:
                thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # what it holds is not to live until the next one comes
            with self._guard:
                self._under_way -= 1
