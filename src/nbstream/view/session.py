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
from nbstream.errors import RecordsLost, StreamError
from nbstream.log.bell import bell
from nbstream.state import State
from nbstream.view.answers import Answers
from nbstream.view.audience import Audience
from nbstream.view.pages import Page, page, state_of, state_unread
from nbstream.view.questions import Questions, named

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from nbstream.runtime import Runtime
    from nbstream.stream import Stream
    from nbstream.view.audience import View

#: While something counts (a wait, a silence), the line is sent this often.
TICK_S = 1.0
#: What only counts along with the text goes out this often: it is as long as the text of a page at reading speed.
COUNTERS = frozenset({"line", "chars", "offset", "pace", "lines"})
LINE_S = 0.5


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
        self.audience = Audience()
        self._answers = Answers()
        self._upto = -1
        #: How often the store has lost records that were sent.
        self._losses = 0
        self._sent_at = self._acked_at = 0.0
        self._said: dict[str, Any] = {}
        self._line_at, self._owes_line = float("-inf"), False
        self._complaint: str | None = None
        #: The page that ended at a damaged record.
        self._damaged: Page | None = None
        #: The buttons that are being done, each for what it names; one after the other, as each may switch.
        self._pressed: set[tuple[str, Any]] = set()
        self._switching = asyncio.Lock()
        self._closed = False
        #: The last live page was full: more waits behind it.
        self._flood = False
        self._news = asyncio.Event()
        #: A view has said something that may make a pause shorter.
        self._heard = asyncio.Event()
        self._task = runtime.spawn(self._run())
        self._answering: set[asyncio.Task[None]] = set()
        self._presses: set[asyncio.Task[None]] = set()
        self._questions = Questions(send)

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
        """Whether a view was heard lately."""
        return self.views > 0

    @property
    def holds(self) -> bool:
        """Whether the stream is to go on for a view: one that is attended, or one that may come in a moment."""
        return self.audience.holds

    @property
    def interval(self) -> tuple[float, str] | None:
        """Seconds between two live pages, and why; None while there is no view."""
        if not self.audience:
            return None
        viewer, (seconds, why) = self._fastest()
        if self.audience.behind(viewer):
            return max(seconds, pace.SILENT_S), "waiting for the page to paint what it has"
        return seconds, why

    @property
    def views(self) -> int:
        """How many views were heard lately."""
        return self.audience.heard

    @property
    def heap_bytes(self) -> int | None:
        """Memory of the page's scripts, where its browser tells (Chromium does)."""
        return self.audience.heap_bytes

    @property
    def _name(self) -> str:
        return named(self.stream.id, self._losses)

    def _handle(self, message: Mapping[str, Any]) -> None:
        kind, name = message.get("type"), str(message.get("view"))
        if kind == "bye":
            self.audience.leave(name)
            return
        if kind == "ack" and name not in self.audience:
            return  # sent on the way out, behind its `bye`
        if self._closed and kind != "stop":
            return
        view = self.audience.hear(name, message)
        self._heard.set()
        if kind == "ask":
            self._ask(view, int(message["after"]))
        elif kind == "ack":
            self._ack(view, message)
        elif kind == "here":
            self._here(view, message)
        elif kind in ("stop", "keep", "resume", "continue", "regenerate"):
            _keep(self._press(str(kind), message.get("agent")), self._presses)
        elif kind == "turn":
            _keep(self._press("turn", int(message["answer"])), self._presses)
        elif kind in ("read", "find", "picture"):
            _keep(self._questions.answer(self.stream, message), self._answering)

    def _ask(self, view: View, after: int) -> None:
        _keep(self._answer(after, pace.asked_bytes(view.viewer)), self._answering)

    def _ack(self, view: View, message: Mapping[str, Any]) -> None:
        if message.get("stream", self._name) != self._name:
            return  # painted before it knew of the switch: the same number is another record here
        self.audience.paint(view, int(message["offset"]), float(message.get("ms") or 0))
        self._acked_at = time.monotonic()
        self._note_painted()
        self._news.set()

    def _here(self, view: View, message: Mapping[str, Any]) -> None:
        """Tell a view what it has missed: behind a lost message no other may come that would show it the hole."""
        self._news.set()  # it may have been gone, and nothing was sent meanwhile
        if "have" not in message:
            return
        have, shown = int(message["have"]), message.get("stream", self._name) == self._name
        # What was not sent yet comes by itself. While text streams a state that was lost is soon said anew.
        if not shown or have < self._upto or self._said.get("state") != State.STREAMING:
            self._ask(view, have if shown else -1)

    def _note_painted(self) -> None:
        if self.audience.painted >= self._upto >= 0 and self._said.get("state") == State.COMPLETE:
            self._runtime.painted(self.stream.id)

    async def _answer(self, after: int, size: int) -> None:
        """Answer an `ask`: about *size* bytes behind *after*; the page asks again when there is more."""
        while True:
            stream, name = self.stream, self._name
            found, state = await asyncio.to_thread(self._look, stream, after, size)
            if self.stream is stream and not await self._begin_again(found):
                break
            # A button switched meanwhile. The record asked behind was one of the old stream.
            after = after if self._name == name else -1
        # An ask that crossed the switch names a record of the old stream, which may lie behind all of this one.
        self._upto = max(self._upto, min(found.upto, state["offset"]))
        self._say({**found.to_json(), "tail": state["offset"]}, state, always=True)
        self._acked_at = time.monotonic()
        self._news.set()

    async def _press(self, button: str, which: Any) -> None:
        """Do what a button says; *which* is the agent meant, or the number of the answer turned to."""
        self._complaint = None
        try:
            if button in ("stop", "keep"):
                await asyncio.to_thread(self.stream.stop if button == "stop" else self.stream.keep, which)
            else:
                await self._switch(button, which)
        except (TimeoutError, futures.TimeoutError):  # two classes before Python 3.11
            self._complaint = f"{button}: no answer in time, press it again"
        except StreamError as exc:
            self._complaint = f"{button}: {exc}"
        except Exception as exc:  # noqa: BLE001 - whoever pressed is told, whatever it is
            self._complaint = f"{button}: {type(exc).__name__}: {' '.join(str(exc).split())}"
        self._news.set()

    async def _switch(self, button: str, which: Any) -> None:
        if (button, which) in self._pressed:
            return  # pressed twice: one call
        self._pressed.add((button, which))
        try:
            async with self._switching:
                if button == "turn":
                    new = await asyncio.to_thread(self._answers.turn, self.stream, which)
                elif button == "continue":
                    new = await asyncio.to_thread(self.stream.continue_)
                else:
                    new = await asyncio.to_thread(getattr(self.stream, button), which)
                old = self.stream
                if new.id == old.id:  # nobody may have looked since the store was restarted
                    found, _ = await asyncio.to_thread(self._look, old, self._upto, 1)
                    if await self._begin_again(found) and new is old:
                        return
                self._switch_to(new)
        finally:
            self._pressed.discard((button, which))

    async def _begin_again(self, found: Page) -> bool:
        """Let pages read the stream anew if the store has lost records they were sent; say so, and return whether."""
        stream = self.stream
        if not isinstance(found.damage, RecordsLost):
            return False
        new = await asyncio.to_thread(stream.anew)
        if self.stream is stream:
            self._complaint = str(found.damage)
            self._begin(new, losses=self._losses + 1)
        return True

    def _switch_to(self, new: Stream) -> None:
        if new.id != self.stream.id:
            self._begin(new, losses=0)
        else:
            self._show(new)

    def _begin(self, new: Stream, *, losses: int) -> None:
        """Show *new* from its beginning."""
        self._upto, self._said, self._damaged, self._losses = -1, {}, None, losses
        self._questions = Questions(self._send, losses)
        self.audience.begin_again()
        self._show(new)

    def _show(self, new: Stream) -> None:
        if self._closed:
            return  # nobody looks any more: the stream is there, and held by nobody here
        self.stream = new
        self._switched(new)
        self._task.cancel()
        self._task = self._runtime.spawn(self._run())
        self._news.set()

    async def _run(self) -> None:
        """Send what is new, as long as anybody looks, until cancelled."""
        ends = self.stream.subscribe(bell(self._news)), self._runtime.attend(self.stream.id, self)
        try:
            while True:
                await self._wait_for_news()
                if self.audience:
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
            if not self.audience:
                return
        stream, size = self.stream, pace.live_bytes(self._fastest()[0])
        found, state = await asyncio.to_thread(self._look, stream, self._upto, size)
        if self.stream is not stream or await self._begin_again(found):
            return
        self._flood = found.bytes >= size
        if found.upto > self._upto:
            self._upto = found.upto
            self.audience.sent(found.upto, found.bytes)
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
        self._send({**message, "stream": self._name, "state": news})
        self._note_painted()  # the last record may have been painted before the end was known

    def _look(self, stream: Stream, after: int, max_bytes: int) -> tuple[Page, dict[str, Any]]:
        """Read a page of *stream*, and its state behind it (blocking); of what cannot be read the state says why."""
        try:
            found = page(stream.log, after, max_bytes=max_bytes)
            at, of = self._answers.place(stream)
            state = state_of(
                stream.facts(), self._damage_of(found), self._complaint, stream.agent_facts(), buttons=at == of
            )
            return found, {**state, "answers": [at, of]}
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
            now, sent_at=self._sent_at, acked_at=self._acked_at, behind=self.audience.behind(viewer),
            pause_s=pause_s if self._upto > 0 else 0,  # behind the first `open`: the first text waits for nothing
        )  # fmt: skip
        if len(self._sent) == pace.KERNEL_RATE:
            wait = max(wait, self._sent[0] + 1 - now)
        return wait

    def _fastest(self) -> tuple[pace.Viewer, tuple[float, str]]:
        return self.audience.fastest(chars=int(self._said.get("chars", 0)), flood=self._flood)

    def _end_answers(self) -> None:
        for answer in self._answering:
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
