"""
One stream shown on pages: answers their questions and sends what is new at a pace they can take.

Everything runs on the runtime's loop except `request`, which any thread may call. A page is right whatever we send,
because it applies by offset and asks again; this class only decides when to say something.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent import futures
from typing import TYPE_CHECKING, Any, ClassVar

from nbstream import pace
from nbstream.errors import StreamError
from nbstream.log.bell import bell
from nbstream.state import State
from nbstream.view.pages import Page, page, state_of, state_unread
from nbstream.view.ranges import RangeAnswers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from nbstream.runtime import Runtime
    from nbstream.stream import Stream

#: While something counts (a wait, a silence), the line is sent this often.
TICK_S = 1.0
#: What only counts along with the text goes out this often: it is as long as the text of a page at reading speed.
COUNTERS = frozenset({"line", "chars", "offset", "pace", "lines"})
LINE_S = 0.5
#: Pages whose acks are awaited, at most: one that never acknowledges gets one page a second.
UNACKED = 64
#: A view that leaves pages unacknowledged for this long is gone without a word; it asks when it comes back.
GONE_S = 120.0
#: Somebody counts as there for this long. A page says `here` every 30 s; browsers wake a hidden one once a minute.
HEARD_S = 75.0
#: A view that said goodbye may be another one in a moment: JupyterLab moves a cell, a notebook is shown in two places.
MOVED_S = 2.0
#: A page that is still to load (a cold one takes 0.7 s) says nothing for at most this long.
FIRST_S = 20.0


class _View:
    """One rendered view, as far as we have heard of it."""

    def __init__(self) -> None:
        self.heard_at = time.monotonic()
        self.acked = -1
        self.viewer = pace.Viewer()
        self.heap_bytes: int | None = None


class PageSession:
    """Shows *stream* through *send*, which takes one JSON message (and may be called on the loop only)."""

    #: Sending moments of all sessions of this kernel, for its message rate.
    _sent: ClassVar[deque[float]] = deque(maxlen=pace.KERNEL_RATE)

    def __init__(
        self,
        stream: Stream,
        send: Callable[[dict[str, Any]], None],
        runtime: Runtime,
        switched: Callable[[Stream], None] = lambda _: None,
    ) -> None:
        self.stream = stream
        self._send, self._runtime, self._switched = send, runtime, switched
        self._views: dict[str, _View] = {}
        self._upto = -1
        self._unacked: deque[tuple[int, int]] = deque(maxlen=UNACKED)
        self._sent_at = self._acked_at = 0.0
        self._said: dict[str, Any] = {}
        self._line_at, self._owes_line = float("-inf"), False
        self._complaint: str | None = None
        #: The page that ended at a damaged record.
        self._damaged: Page | None = None
        self._switching = self._closed = False
        #: The last live page was full: more waits behind it.
        self._flood = False
        self._news = asyncio.Event()
        #: A view has said something that may make a pause shorter.
        self._heard = asyncio.Event()
        #: Until then it holds its stream without any view.
        self._expected_until = time.monotonic() + FIRST_S
        self._task = runtime.spawn(self._run())
        self._answers: set[asyncio.Task[None]] = set()
        self._presses: set[asyncio.Task[None]] = set()
        self._ranges = RangeAnswers(send)

    def request(self, message: Mapping[str, Any]) -> None:
        """Take one message of a page (any thread)."""
        self._runtime.call(lambda: self._handle(message))

    def close(self) -> None:
        """Say nothing more (any thread). A button that was pressed is pressed: Stop is not forgotten."""
        self._closed = True
        self._task.cancel()
        self._runtime.call(self._end_answers)

    @property
    def attended(self) -> bool:
        """Whether a view was heard lately. A crashed tab says no `bye`, so silence counts as one."""
        return self.views > 0

    @property
    def holds(self) -> bool:
        """Whether the stream is to go on for a view: one that is attended, or one that may come in a moment."""
        return self.attended or time.monotonic() < self._expected_until

    @property
    def interval(self) -> tuple[float, str] | None:
        """Seconds between two live pages, and why; None while there is no view."""
        if not self._views:
            return None
        viewer, (seconds, why) = self._fastest()
        if self._behind(viewer):
            return max(seconds, pace.SILENT_S), "waiting for the page to paint what it has"
        return seconds, why

    @property
    def views(self) -> int:
        """How many views were heard lately."""
        since = time.monotonic() - HEARD_S
        return sum(view.heard_at >= since for view in tuple(self._views.values()))

    @property
    def heap_bytes(self) -> int | None:
        """Memory of the page's scripts, where its browser tells (Chromium does)."""
        told = [view.heap_bytes for view in tuple(self._views.values()) if view.heap_bytes is not None]
        return max(told, default=None)

    def _handle(self, message: Mapping[str, Any]) -> None:
        kind, name = message.get("type"), str(message.get("view"))
        if kind == "bye":
            if self._views.pop(name, None) is not None:
                self._expected_until = time.monotonic() + MOVED_S
            return
        if kind == "ack" and name not in self._views:
            return  # sent on the way out, behind its `bye`
        if self._closed and kind != "stop":
            return
        view = self._hear(name, message)
        if kind == "ask":
            _keep(self._answer(int(message["after"]), pace.asked_bytes(view.viewer)), self._answers)
        elif kind == "ack":
            self._ack(view, int(message["offset"]), float(message.get("ms") or 0))
        elif kind in ("stop", "keep", "resume", "regenerate"):
            _keep(self._press(str(kind), message.get("agent")), self._presses)
        elif kind in ("read", "find"):
            _keep(self._ranges.answer(self.stream, message), self._answers)

    def _hear(self, name: str, message: Mapping[str, Any]) -> _View:
        """Note that a view is there, and what it says of itself."""
        self._expected_until = 0.0
        view = self._views.setdefault(name, _View())
        view.heard_at = time.monotonic()
        if "heap" in message:
            view.heap_bytes = int(message["heap"])
        if message.get("type") in ("ask", "ack", "here"):
            view.viewer = view.viewer.told(message)
            self._heard.set()
        return view

    def _ack(self, view: _View, offset: int, ms: float) -> None:
        view.acked = max(view.acked, offset)
        view.viewer = view.viewer.painted(ms)
        self._acked_at = time.monotonic()
        fastest = max(one.acked for one in self._views.values())
        while self._unacked and self._unacked[0][0] <= fastest:
            self._unacked.popleft()
        self._note_painted()
        self._news.set()

    def _note_painted(self) -> None:
        fastest = max((view.acked for view in self._views.values()), default=-1)
        if fastest >= self._upto >= 0 and self._said.get("state") == State.COMPLETE:
            self._runtime.painted(self.stream.id)

    async def _answer(self, after: int, size: int) -> None:
        """Answer an `ask`: about *size* bytes behind *after*; the page asks again when there is more."""
        while True:
            stream = self.stream
            found, state = await asyncio.to_thread(self._look, stream, after, size)
            if self.stream is stream:
                break
            # A button switched meanwhile. The record asked behind was one of the old stream.
            after = after if self.stream.id == stream.id else -1
        # An ask that crossed the switch names a record of the old stream, which may lie behind all of this one.
        self._upto = max(self._upto, min(found.upto, state["offset"]))
        self._say({**found.to_json(), "tail": state["offset"]}, state, always=True)
        self._acked_at = time.monotonic()
        self._news.set()

    async def _press(self, button: str, agent: str | None = None) -> None:
        self._complaint = None
        try:
            if button in ("stop", "keep"):
                await asyncio.to_thread(self.stream.stop if button == "stop" else self.stream.keep, agent)
            else:
                await self._switch(button, agent)
        except (TimeoutError, futures.TimeoutError):  # two classes before Python 3.11
            self._complaint = f"{button}: no answer in time, press it again"
        except StreamError as exc:
            self._complaint = f"{button}: {exc}"
        except Exception as exc:  # noqa: BLE001 - whoever pressed is told, whatever it is
            self._complaint = f"{button}: {type(exc).__name__}: {' '.join(str(exc).split())}"
        self._news.set()

    async def _switch(self, button: str, agent: str | None = None) -> None:
        if self._switching:
            return  # pressed twice: one call
        act = self.stream.resume if button == "resume" else self.stream.regenerate
        self._switching = True
        try:
            new = await asyncio.to_thread(act, agent)
        finally:
            self._switching = False
        if new.id != self.stream.id:
            self._upto, self._said, self._damaged = -1, {}, None
            self._unacked.clear()
        if self._closed:
            return  # nobody looks any more: the stream is there, and held by nobody here
        self.stream = new
        self._switched(new)
        self._task.cancel()
        self._task = self._runtime.spawn(self._run())

    async def _run(self) -> None:
        """Send what is new, as long as anybody looks, until cancelled."""
        ends = self.stream.subscribe(bell(self._news)), self._runtime.attend(self.stream.id, self)
        try:
            while True:
                await self._wait_for_news()
                self._forget_views()
                if self._views:
                    await self._push()
        finally:
            for end in ends:
                end()

    async def _wait_for_news(self) -> None:
        if self._ticks:
            await _set_within(self._news, TICK_S)
        else:
            await self._news.wait()
        self._news.clear()

    @property
    def _ticks(self) -> bool:
        """Whether the state moves without a signal: the line counts, or a writer elsewhere may die in silence."""
        recorder = self._runtime.at_work(self.stream.id)
        if recorder is None:
            return bool(self._said) and State(self._said["state"]).live
        return self._owes_line or recorder.live.state is not State.STREAMING

    async def _push(self) -> None:
        while wait := self._wait_s(time.monotonic()):
            self._heard.clear()
            await _set_within(self._heard, wait)
            if not self._views:
                return
        stream, size = self.stream, pace.live_bytes(self._fastest()[0])
        found, state = await asyncio.to_thread(self._look, stream, self._upto, size)
        if self.stream is not stream:
            return
        self._flood = found.bytes >= size
        if found.upto > self._upto:
            self._upto = found.upto
            self._unacked.append((found.upto, found.bytes))
            self._news.set()
        self._say(found.to_json(), state, always=found.upto > found.after)

    def _say(self, message: dict[str, Any], state: dict[str, Any], *, always: bool) -> None:
        """Send a page with what changed of the state; a page without parts and news is not sent."""
        if self._closed:
            return
        seconds, why = self.interval or (0.0, "")
        state["pace"] = f"a page every {seconds:.2g} s: {why}" if why else ""
        # An answer says everything: whoever asks may have missed a change. A live page says what is new.
        news = state if "tail" in message else {k: v for k, v in state.items() if self._said.get(k) != v}
        if not always and not news.keys() - {"offset", "pace"}:
            return
        now = time.monotonic()
        if always and "tail" not in message and news.keys() <= COUNTERS and now - self._line_at < LINE_S:
            news = {name: value for name, value in news.items() if name == "offset"}
        elif "line" in news:
            self._line_at = now
        self._said = {**self._said, **news}
        self._owes_line = self._said.get("line") != state["line"]
        self._sent_at = now
        self._sent.append(self._sent_at)
        self._send({**message, "stream": self.stream.id, "state": news})
        self._note_painted()  # the last record may have been painted before the end was known

    def _look(self, stream: Stream, after: int, max_bytes: int) -> tuple[Page, dict[str, Any]]:
        """Read a page of *stream*, and its state behind it (blocking); of what cannot be read the state says why."""
        try:
            found = page(stream.log, after, max_bytes=max_bytes)
            return found, state_of(stream.facts(), self._damage_of(found), self._complaint, stream.agent_facts())
        except StreamError as exc:
            return Page(after, after, (), 0), state_unread(exc, self._said, self._complaint)

    def _damage_of(self, found: Page) -> Page | None:
        """Return the page that ended at the damage, as far as we have read: most pages do not come that far."""
        if found.damage is not None:
            self._damaged = found
        elif self._damaged is not None and found.after <= self._damaged.upto < found.upto:
            self._damaged = None  # readable after all: the disk came back
        return self._damaged

    def _wait_s(self, now: float) -> float:
        """Return how long the next live page waits."""
        viewer, (pause_s, _) = self._fastest()
        wait = pace.wait_s(
            now, sent_at=self._sent_at, acked_at=self._acked_at, behind=self._behind(viewer), pause_s=pause_s
        )
        if len(self._sent) == pace.KERNEL_RATE:
            wait = max(wait, self._sent[0] + 1 - now)
        return wait

    def _fastest(self) -> tuple[pace.Viewer, tuple[float, str]]:
        """Return the live view that can take most, with its interval: the others fill their holes by asking."""
        chars = int(self._said.get("chars", 0))
        viewers = [view.viewer for view in tuple(self._views.values())] or [pace.Viewer()]
        paces = [(viewer, pace.interval(viewer, chars=chars, flood=self._flood)) for viewer in viewers]
        return min(paces, key=lambda one: one[1][0])

    def _behind(self, viewer: pace.Viewer) -> bool:
        return pace.behind(sum(size for _, size in tuple(self._unacked)), pace.live_bytes(viewer))

    def _forget_views(self) -> None:
        if not self._unacked:
            return
        old = time.monotonic() - GONE_S
        for name in [name for name, view in self._views.items() if view.heard_at < old]:
            del self._views[name]

    def _end_answers(self) -> None:
        for answer in self._answers:
            answer.cancel()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait for *event*, which is set in *seconds* at the latest."""
    # No `wait_for`: before Python 3.12 it swallows a cancellation that comes together with the event.
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


def _keep(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
