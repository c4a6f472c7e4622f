"""
One stream shown on pages: answers their questions and sends what is new at a pace they can take.

Everything runs on the runtime's loop except `request`, which any thread may call. A page is right whatever we send,
because it applies by offset and asks again; this class only decides when to say something.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from nbstream import pace, words
from nbstream.errors import StreamError
from nbstream.state import State
from nbstream.view.pages import page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.runtime import Runtime
    from nbstream.stream import Stream

#: While something counts (a wait, a silence), the line is sent this often.
TICK_S = 1.0
#: A view that leaves pages unacknowledged for this long is gone without a word; it asks when it comes back.
GONE_S = 120.0


class _View:
    """One rendered view, as far as we have heard of it."""

    def __init__(self) -> None:
        self.heard_at = time.monotonic()
        self.acked = -1
        self.render_ms = 0.0


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
        self._unacked: deque[tuple[int, int]] = deque()
        self._sent_at = self._acked_at = 0.0
        self._said: dict[str, Any] = {}
        self._complaint: str | None = None
        self._news = asyncio.Event()
        self._task = runtime.submit(self._run())
        self._jobs: set[asyncio.Task[None]] = set()

    def request(self, message: Mapping[str, Any]) -> None:
        """Take one message of a page (any thread)."""
        self._runtime.call(lambda: self._handle(message))

    def close(self) -> None:
        """Say nothing more (any thread)."""
        self._task.cancel()

    @property
    def interval(self) -> tuple[float, str]:
        """The current time between live pages in seconds, and why."""
        render = self._render_ms()
        interval = pace.interval_s(render)
        why = "the shortest" if interval == pace.SHORTEST_S else f"{pace.SHARE} x {render:.0f} ms to paint one"
        return interval, why

    @property
    def views(self) -> int:
        """How many views are there, as far as we know."""
        return len(self._views)

    def _handle(self, message: Mapping[str, Any]) -> None:
        name = str(message.get("view"))
        if message.get("type") == "bye":
            self._views.pop(name, None)
            return
        view = self._views.setdefault(name, _View())
        view.heard_at = time.monotonic()
        kind = message.get("type")
        if kind == "ask":
            self._job(self._answer(int(message["after"])))
        elif kind == "ack":
            self._ack(view, int(message["offset"]), float(message.get("ms") or 0))
        elif kind in ("stop", "keep", "resume", "regenerate"):
            self._job(self._press(str(kind)))

    def _ack(self, view: _View, offset: int, ms: float) -> None:
        view.acked = max(view.acked, offset)
        # The slowest of the last paints counts, but one hiccup is forgotten soon.
        view.render_ms = ms if ms > view.render_ms else 0.7 * view.render_ms + 0.3 * ms
        self._acked_at = time.monotonic()
        fastest = max(one.acked for one in self._views.values())
        while self._unacked and self._unacked[0][0] <= fastest:
            self._unacked.popleft()
        self._news.set()

    async def _answer(self, after: int) -> None:
        """Answer an `ask`: up to 1 MiB behind *after*; the page asks again when there is more."""
        found = await asyncio.to_thread(page, self.stream.log, after, max_bytes=pace.ASKED_BYTES)
        state = await asyncio.to_thread(self._state)
        self._upto = max(self._upto, found.upto)
        self._say({**found.to_json(), "tail": state["offset"]}, state, always=True)
        self._acked_at = time.monotonic()
        self._news.set()

    async def _press(self, button: str) -> None:
        self._complaint = None
        try:
            if button in ("stop", "keep"):
                await asyncio.to_thread(self.stream.stop if button == "stop" else self.stream.keep)
            else:
                await self._switch(button)
        except StreamError as exc:
            self._complaint = f"{button}: {exc}"
        self._news.set()

    async def _switch(self, button: str) -> None:
        act = self.stream.resume if button == "resume" else self.stream.regenerate
        new = await asyncio.to_thread(act)
        if new.id != self.stream.id:
            self._upto, self._said = -1, {}
            self._unacked.clear()
        self.stream = new
        self._switched(new)
        self._task.cancel()
        self._task = self._runtime.submit(self._run())

    async def _run(self) -> None:
        """Send what is new, as long as anybody looks, until cancelled."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            loop.call_soon_threadsafe(self._news.set)

        ends = self.stream.subscribe(look), self._runtime.attend(self.stream.id, lambda: bool(self._views))
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
        ticking = self._ticks
        try:
            await asyncio.wait_for(self._news.wait(), TICK_S if ticking else None)
        except (TimeoutError, asyncio.TimeoutError):
            return
        finally:
            self._news.clear()

    @property
    def _ticks(self) -> bool:
        """Whether the state moves without a signal: the line counts, or a writer elsewhere may die in silence."""
        recorder = self._runtime.recorder(self.stream.id)
        if recorder is None:
            return bool(self._said) and State(self._said["state"]).live
        return recorder.live.state is not State.STREAMING

    async def _push(self) -> None:
        now = time.monotonic()
        wait = pace.wait_s(
            now,
            sent_at=self._sent_at,
            acked_at=self._acked_at,
            unacked=sum(size for _, size in self._unacked),
            render_ms=self._render_ms(),
        )
        if len(self._sent) == pace.KERNEL_RATE:
            wait = max(wait, self._sent[0] + 1 - now)
        if wait:
            await asyncio.sleep(wait)
        found = await asyncio.to_thread(page, self.stream.log, self._upto, max_bytes=pace.LIVE_BYTES)
        state = await asyncio.to_thread(self._state)
        if found.upto > self._upto:
            self._upto = found.upto
            self._unacked.append((found.upto, found.bytes))
            self._news.set()
        self._say(found.to_json(), state, always=found.upto > found.after)

    def _say(self, message: dict[str, Any], state: dict[str, Any], *, always: bool) -> None:
        """Send a page with what changed of the state; a page without parts and news is not sent."""
        # An answer says everything: whoever asks may have missed a change. A live page says what is new.
        news = state if "tail" in message else {k: v for k, v in state.items() if self._said.get(k) != v}
        if not always and not news.keys() - {"offset"}:
            return
        self._said = state
        self._sent_at = time.monotonic()
        self._sent.append(self._sent_at)
        self._send({**message, "stream": self.stream.id, "state": news})

    def _state(self) -> dict[str, Any]:
        facts = self.stream.facts()
        line = words.line(facts)
        return {
            "state": str(facts.state),
            "line": f"{line} · {self._complaint}" if self._complaint else line,
            "actions": words.actions(facts),
            "offset": facts.tail,
            "chars": facts.chars,
            "saved": facts.saved,
        }

    def _render_ms(self) -> float:
        """Return the paint time of the fastest live view: others fill their holes by asking."""
        return min((view.render_ms for view in self._views.values()), default=0.0)

    def _forget_views(self) -> None:
        if not self._unacked:
            return
        old = time.monotonic() - GONE_S
        for name in [name for name, view in self._views.items() if view.heard_at < old]:
            del self._views[name]

    def _job(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
