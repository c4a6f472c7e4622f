"""
The runtime: one background thread with one event loop that does all the work of this process.

`show()` returns at once and the kernel stays free, because everything that waits, waits here.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections import Counter, defaultdict
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from nbstream.errors import StreamError
from nbstream.recorder import Recorder
from nbstream.recorder.guarding import Guard
from nbstream.recorder.totals import Totals
from nbstream.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from nbstream.recorder.at_work import AtWork

    #: (what to call on every change, the slots of its scope) -> the recorder
    Make: TypeAlias = Callable[[Callable[[], None], asyncio.Semaphore], Recorder]

T = TypeVar("T")

#: Live calls at a time, per notebook; the rest waits, connecting.
SLOTS = 8
#: Who holds a stream by reading it record by record.
READER = "reader"
#: How long the end of the process waits for its streams' last records.
GOODBYE_S = 3.0
#: And for a call that is then cancelled.
CANCELLED_S = 1.0
#: Streams whose exceptions are kept.
RAISED_KEPT = 16


class Showing(Protocol):
    """A view of one stream, as the rest of the process asks after it; from any thread."""

    @property
    def attended(self) -> bool:
        """Whether somebody is there to answer a question."""

    @property
    def holds(self) -> bool:
        """Whether the stream is to go on for whoever looks here, or may look in a moment."""

    @property
    def interval(self) -> tuple[float, str] | None:
        """Seconds between two live pages, and why; None while no page shows the stream."""

    @property
    def views(self) -> int:
        """How many views were heard lately."""

    @property
    def heap_bytes(self) -> int | None:
        """Memory of the page's scripts, where its browser tells."""


class Runtime:
    """The loop, and the recorders that live on it. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(Workers())
        self._thread = threading.Thread(target=self._run, name="nbstream", daemon=True)
        self._recorders: dict[str, Recorder] = {}
        #: Recorders of other processes, as far as this one follows them.
        self._far: dict[str, AtWork] = {}
        self._remarks: dict[str, str] = {}
        #: What the user's code raised, of the last streams that ended so: tracebacks hold whole frames.
        self._raised: dict[str, list[tuple[str, BaseException]]] = {}
        self._holds: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._farewells: list[Callable[[], Coroutine[Any, Any, None]]] = []
        #: A cell runs: meanwhile a page that was reloaded cannot say that it is there.
        self.busy = False
        #: Whether this process is a relay with so many readers that each waits for others anyway.
        self.crowded: Callable[[], bool] = lambda: False
        #: What recorders of this process have counted since it began.
        self.totals = Totals()
        self._looks: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)
        self._showing: defaultdict[str, set[Showing]] = defaultdict(set)
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._painted: set[str] = set()
        #: What this process uses too much of, for the state line.
        self.warning: str | None = None
        self._thread.start()
        self.spawn(Guard(lambda: self._recorders, self.totals).run())

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run *work* on the loop; the future is for other threads."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def spawn(self, work: Coroutine[Any, Any, object]) -> Future[Any]:
        """
        Run *work*, for which nobody waits; the future is for cancelling it.

        What it raises is a bug, and reported as the loop reports one. Not a `StreamError`: a store or a relay out of
        reach is told by whoever reads it.
        """
        future = self.submit(work)
        future.add_done_callback(self._report)
        return future

    def _report(self, future: Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, StreamError):
            said = {"message": "nbstream: a task has failed", "exception": error}
            self.call(lambda: self.loop.call_exception_handler(said))

    def call(self, function: Callable[[], object]) -> None:
        """Call *function* soon on the loop; after `close` nobody listens any more, and that is no error."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function)

    def record(self, stream: str, scope: str, make: Make) -> None:
        """
        Let the recorder that *make* returns run; it is found under *stream* until its call is at rest.

        *make* is called on the loop with the function that signals changes and with the slots of *scope*.
        """
        self.submit(self._start(stream, scope, make)).result()

    def recorder(self, stream: str) -> Recorder | None:
        """Return the recorder of *stream* if it is at work in this process."""
        return self._recorders.get(stream)

    def at_work(self, stream: str) -> AtWork | None:
        """Return the recorder of *stream*, in this process or as this one hears of it from another."""
        here = self._recorders.get(stream)
        return here if here is not None else self._far.get(stream)

    def appoint(self, stream: str, far: AtWork | None) -> None:
        """Note what is heard of a recorder of *stream* in another process: the last news, None for nothing more."""
        if far is None:
            self._far.pop(stream, None)
        else:
            self._far[stream] = far
        self.signal(stream)

    def raised(self, stream: str) -> list[tuple[str, BaseException]]:
        """Return what the user's own code raised in *stream*, if this process recorded that; see `Recorder.raised`."""
        here = self._recorders.get(stream)
        return self._raised.get(stream, []) if here is None else here.raised

    def note(self, stream: str) -> str | None:
        """Return what else there is to say of *stream*, at rest or not."""
        return self._remarks.get(stream)

    def remark(self, stream: str, text: str) -> None:
        """Let the state line of *stream* say *text*, as long as this process lives."""
        self._remarks[stream] = text

    @property
    def recorders(self) -> dict[str, Recorder]:
        """The recorders at work, by stream."""
        return dict(self._recorders)

    def painted(self, stream: str) -> None:
        """Note that a page has shown *stream* to its end (or was given it for that)."""
        self._painted.add(stream)

    def was_painted(self, stream: str) -> bool:
        """Whether a page has shown *stream* to its end in this process."""
        return stream in self._painted

    def subscribe(self, stream: str, look: Callable[[], None]) -> Callable[[], None]:
        """Call *look* (on the loop) whenever the live status of *stream* changes; returns the end of that."""
        self._looks[stream].add(look)

        def end() -> None:
            self._looks[stream].discard(look)
            if not self._looks[stream]:
                self._looks.pop(stream, None)

        return end

    @property
    def alive(self) -> bool:
        """Whether the thread is at work."""
        return self._thread.is_alive()

    def attend(self, stream: str, view: Showing) -> Callable[[], None]:
        """Let *view* answer for the people who look at *stream*; returns the end of that."""
        self._showing[stream].add(view)

        def end() -> None:
            self._showing[stream].discard(view)
            if not self._showing[stream]:
                self._showing.pop(stream, None)

        return end

    def attended(self, stream: str) -> bool:
        """Whether somebody is there to answer a question about *stream*."""
        return any(view.attended for view in tuple(self._showing.get(stream, ())))

    def hold(self, stream: str, who: str = "process") -> Callable[[], None]:
        """Hold *stream*, as somebody who waits for it does: its call goes on. Returns the end of that."""
        self._holds[stream][who] += 1

        def end() -> None:
            self._holds[stream][who] -= 1
            self._holds[stream] += Counter()  # drops what is not above 0
            if not self._holds[stream]:
                self._holds.pop(stream, None)

        return end

    def hand_over(self, stream: str) -> None:
        """Let the pages that show *stream* hold it from now on, and not this process as such."""
        holds = self._holds.get(stream)
        if holds is not None:
            holds.pop("process", None)
            if not holds:
                self._holds.pop(stream, None)

    def held(self, stream: str) -> bool:
        """
        Whether anybody here holds *stream*: a page that shows it, somebody who waits for it, the process itself.

        While a cell runs everything shown counts as held: a page that was reloaded cannot be heard before its end.
        """
        shown = tuple(self._showing.get(stream, ()))
        return bool(self._holds.get(stream)) or any(view.holds for view in shown) or (self.busy and bool(shown))

    def unhurried(self, stream: str) -> bool:
        """Whether nobody sees a token of *stream* at once: only pages look at it, or too many read here."""
        return self.crowded() or (bool(self._showing.get(stream)) and READER not in self._holds.get(stream, ()))

    def farewell(self, say: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let *say* run on the loop when this process leaves its streams."""
        self._farewells.append(say)

    def page_interval(self, stream: str) -> tuple[float | None, str]:
        """Return the seconds between two live pages of *stream* (its fastest view's), and why."""
        intervals = [view.interval for view in tuple(self._showing.get(stream, ()))]
        shown = [interval for interval in intervals if interval is not None]
        return min(shown) if shown else (None, "no page shows it")

    def pages(self) -> dict[str, int | None]:
        """Return how many streams are shown, how many views show them, and the largest page's memory, if known."""
        shown = [view for views in tuple(self._showing.values()) for view in tuple(views)]
        heaps = [view.heap_bytes for view in shown if view.heap_bytes is not None]
        return {
            "streams": len(self._showing), "views": sum(view.views for view in shown),
            "heap_bytes": max(heaps, default=None),
        }  # fmt: skip

    def leave(self) -> None:
        """End every recorder: interrupted, because nobody holds the streams any more."""
        self._finish(self._leave())

    def close(self) -> None:
        """End every recorder (interrupted: their lease is over), all else that runs here, and the thread."""
        if not self._thread.is_alive():
            return
        try:
            self._finish(self._end())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(GOODBYE_S)

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work*, which is bounded; if somebody's code blocks the loop, nobody waits for it for ever."""
        with suppress(LateError):
            self.submit(work).result(2 * GOODBYE_S)

    async def _start(self, stream: str, scope: str, make: Make) -> None:
        slots = self._slots.setdefault(scope, asyncio.Semaphore(SLOTS))
        recorder = make(lambda: self.signal(stream), slots)
        self._recorders[stream] = recorder
        task = asyncio.ensure_future(recorder.run())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(stream, recorder, task))

    def _ended(self, stream: str, recorder: Recorder, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._recorders.get(stream) is recorder:
            self._raised.pop(stream, None)
            if recorder.raised:
                self._raised[stream] = recorder.raised
                for old in list(self._raised)[:-RAISED_KEPT]:
                    del self._raised[old]
            if recorder.source.note:
                self._remarks[stream] = recorder.source.note
            del self._recorders[stream]
            self.hand_over(stream)
        self.signal(stream)
        if not task.cancelled():
            task.result()  # a bug in the recorder is reported by the loop, not swallowed

    def signal(self, stream: str) -> None:
        """Say that there may be news of *stream*; on the loop."""
        for look in tuple(self._looks.get(stream, ())):
            look()

    async def _leave(self) -> None:
        await asyncio.gather(*(say() for say in self._farewells), return_exceptions=True)
        for recorder in self.recorders.values():
            recorder.leave()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=GOODBYE_S)
        # A full disk: without a `close` the streams are interrupted all the same, once nobody holds them.
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCELLED_S)

    async def _end(self) -> None:
        await self._leave()
        # Readers: they take their subscriptions back when they are cancelled, while there is still a loop to signal.
        readers = asyncio.all_tasks() - {asyncio.current_task()}
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()


_runtime: Runtime | None = None
_owner = 0
_lock = threading.Lock()


def runtime() -> Runtime:
    """Return this process's runtime, started on first use (and anew in a forked child, or after `close`)."""
    global _runtime, _owner
    with _lock:
        if _runtime is None or _owner != os.getpid() or not _runtime.alive:
            _runtime, _owner = Runtime(), os.getpid()
            atexit.register(_runtime.close)
        return _runtime
