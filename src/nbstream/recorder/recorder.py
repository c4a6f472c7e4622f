"""
The recorder: pulls one source and appends to one log. Nothing else writes to a stream.

It works from an `open` to its `close`. A reader learns everything from the log; `Recorder.live` adds what is true only
meanwhile (retries, waits, speed). Everything here belongs to the loop that runs `run`.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from nbstream import retry
from nbstream.clock import Clock
from nbstream.errors import LogError, SourceError, SourceLost, SourceMalformed, SourceRefused, SourceSilent
from nbstream.log.readback import text_range
from nbstream.recorder.call import Call
from nbstream.recorder.live import Live
from nbstream.recorder.splice import Splice
from nbstream.recorder.writer import Writer
from nbstream.records import Close, Finish, How
from nbstream.state import Event, State, step

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nbstream.log.contract import Lock, Log, Store
    from nbstream.recorder.progress import Progress
    from nbstream.sources.contract import Arrival, End, Source

#: How often stop rows of other processes, and silence, are looked at.
LOOK_S = 0.25
#: A connection that has sent pings before and now sends no byte for this long is dead, not thinking.
DEAD_S = 45.0


class Recorder:
    """
    Records one call of *source* into *log*, whose last record (`progress.tail`) is the `open` of this call.

    *first_s*, *idle_s*: seconds of silence, before the first output and between outputs, that stall the stream.
    *attended* says whether somebody is there to answer the stall's question. *changed* is called whenever `live` has
    changed in a way a reader may want to see. *slots* bounds how many calls are made at a time.
    """

    def __init__(
        self,
        store: Store,
        log: Log,
        source: Source,
        lock: Lock,
        progress: Progress,
        *,
        idle_s: float = 60.0,
        first_s: float = 120.0,
        clock: Clock | None = None,
        attended: Callable[[], bool] = lambda: True,
        changed: Callable[[], None] = lambda: None,
        jitter: Callable[[], float] = random.random,
        slots: asyncio.Semaphore | None = None,
    ) -> None:
        self.source = source
        self.opened = progress.tail
        self.live = Live()
        self._store, self._log, self._lock, self._progress = store, log, lock, progress
        self._idle_s, self._first_s = idle_s, first_s
        self._clock, self._attended, self._changed, self._jitter = clock or Clock(), attended, changed, jitter
        self._writer = Writer(log, progress, self.live, self._clock, changed)
        #: Everything received, stored or on its way: the tables a `Splice` checks against and keeps.
        self._received = dict(progress.lengths)
        self._numbers = dict(progress.numbers)
        self._usage = dict(progress.usage)
        self._slots = slots or asyncio.Semaphore()
        self._splice: Splice | None = None
        self._call: Call | None = None
        self._pulling: asyncio.Task[End] | None = None
        self._intent: Event | None = None
        self._again = False
        self._output_at = self._clock.monotonic()

    def stop(self) -> None:
        """Close the upstream at once; `close(stopped)` follows. At rest, or a second time, it changes nothing."""
        self._end(Event.STOP)

    def leave(self) -> None:
        """Nobody holds the stream any more: close the upstream; `close(interrupted)` follows."""
        self._end(Event.LEFT)

    def keep(self) -> None:
        """Keep waiting: one answer to a stall."""
        if self.live.state is State.STALLED:
            self._output_at = self._clock.monotonic()
            self._event(Event.KEEP)

    def reconnect(self) -> None:
        """Resume, the other answer to a stall: drop the silent connection and call again behind the last record."""
        if self.live.state is State.STALLED and self._call is not None and self.can_reconnect:
            self._again = True
            self._event(Event.RESUME)
            self._call.cut(SourceSilent("the silent connection was dropped to resume"))

    @property
    def can_reconnect(self) -> bool:
        """Would calling again repeat neither text nor money?"""
        return not self._received or self._progress.cursor is not None or self.source.replayable

    @property
    def progress(self) -> Progress:
        """What is stored, counted."""
        return self._progress

    async def run(self) -> None:
        """Record until the call is at rest and its `close` is stored. The source's errors end up in the records."""
        helpers = [asyncio.ensure_future(self._writer.run()), asyncio.ensure_future(self._watch())]
        try:
            close = await self._record()
            self.live.error = close.error
            self.live.state = State(close.how)
            if not self.live.saved:
                self.live.note = f"{close.how}, not saved: the store cannot be written; trying again"
            self._changed()
            await self._writer.close(close)
        except LogError as exc:
            # Another writer has the stream, or it is gone: whoever reads the log sees what is true.
            self.live.error = error_json(exc)
            self.live.state = State.INTERRUPTED
        finally:
            self._lock.release()
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._changed()

    async def _record(self) -> Close:
        """Pull until something ends it, and say how it ended."""
        end: End | None = None
        error: SourceError | None = None
        self._pulling = asyncio.ensure_future(self._pull())
        if self._intent is not None:
            self._pulling.cancel()
        try:
            await asyncio.wait({self._pulling})
        finally:
            self._pulling.cancel()
        try:
            end = self._pulling.result()
            event = Event.FINISHED
        except asyncio.CancelledError:
            event = self._intent or Event.LEFT
        except _Ended as ended:
            event, error = ended.event, ended.error
        self.live.connections = 0
        how: How = step(self.live.state, event).value  # type: ignore[assignment]  # all four ends are states at rest
        await self._writer.flush(unless_full=True)
        return Close(
            how=how,
            at=self._clock.time(),
            finish=_finish(event, end),
            raw_finish=end.raw_finish if end else None,
            usage=self._usage,
            error=error_json(error) if error else None,
            model=self._progress.model,
            chars=self._progress.chars,
        )

    async def _pull(self) -> End:
        """Wait for a slot, then call the source until its end mark; raises `_Ended` without one."""
        if self._slots.locked():
            self.live.note = "waiting for a slot"
            self._changed()
        async with self._slots:
            self.live.note = None
            return await self._calls()

    async def _calls(self) -> End:
        """Call the source, and again where that is allowed."""
        attempt = 0
        while True:
            await self._writer.flush()
            cursor, before = self._progress.cursor, dict(self._received)
            self._splice = Splice(
                self._log.stream, self._shown, self._received, self._numbers,
                cursor=cursor, behind=self._progress.behind,
            )  # fmt: skip
            self._output_at = self._clock.monotonic()
            call = self._call = Call(self.source, cursor, self._output_at)
            try:
                self.live.connections = 1
                return await call.run(self._take)
            except SourceError as exc:
                self.live.connections = 0
                if self._again:
                    self._again = False
                    continue
                if self._received != before:
                    attempt = 0
                await self._writer.flush()
                await self._wait_to_retry(exc, attempt, call)
                attempt += 1

    async def _wait_to_retry(self, error: SourceError, attempt: int, call: Call) -> None:
        event = retry.verdict(error, shown=bool(self._received), resumable=self.can_reconnect)
        if isinstance(error, SourceMalformed) and attempt:
            event = Event.REFUSED  # a hole that is still there when asked again
        if event is not Event.LOST:
            raise _Ended(event, error)
        asked = error.retry_after_s if isinstance(error, SourceRefused) else None
        if asked is None and call.pulse.retry_ms is not None:
            asked = call.pulse.retry_ms / 1000
        wait = retry.wait_s(attempt, jitter=self._jitter(), server_s=asked)
        if wait is None:
            self._event(Event.LOST)
            raise _Ended(Event.EXHAUSTED, error)
        self.live.retries += 1
        self.live.retry_at = self._clock.monotonic() + wait
        self.live.error = error_json(error)
        self._event(Event.LOST)
        await self._clock.sleep(wait)
        self.live.retry_at = None

    async def _take(self, arrival: Arrival) -> None:
        """Record what is new of one arrival; returns when there is room for more."""
        if self.live.state is not State.STREAMING and (arrival.parts or self.live.state is not State.STALLED):
            self.live.error = None
            self._event(Event.DELTA if arrival.parts and self.live.state is not State.RETRYING else Event.OPENED)
        if arrival.usage:
            self._usage.update(arrival.usage)
        if arrival.model:
            self._progress.model = arrival.model
        assert self._splice is not None  # noqa: S101 - for the type checker
        for one, parts in await self._splice.new(arrival):
            if not parts:
                continue
            self._output_at = self._clock.monotonic()
            self.live.arrived(self._output_at, sum(len(part.text) for part in parts))
            cursor = one.cursor
            if cursor is not None and self._numbers:
                cursor = {**cursor, "numbers": dict(self._numbers)}
            await self._writer.add(parts, cursor)
        if arrival.end is not None:
            await self._verify(arrival.end)

    async def _verify(self, end: End) -> None:
        """Check length and hash, where the end mark carries them, against what was recorded."""
        assert self._splice is not None  # noqa: S101 - for the type checker
        await self._splice.finish()
        have = sum(length for (_, kind), length in self._received.items() if kind == "text")
        if end.length is not None and end.length != have:
            msg = (
                f"stream {self._log.stream}: the end mark says {end.length} characters, {have} have come;"
                f" what came is saved, Regenerate asks for a new answer"
            )
            raise SourceMalformed(msg, retryable=end.length > have)
        if end.sha256 is not None and await self._writer.sha256() != end.sha256.lower():
            msg = (
                f"stream {self._log.stream}: the text of {have} characters has not the sha256 its end mark names;"
                f" what came is saved, Regenerate asks for a new answer"
            )
            raise SourceMalformed(msg)

    async def _watch(self) -> None:
        """Look for a stop row of another process, a dead connection, silence, a log that refuses."""
        while True:
            await self._clock.sleep(LOOK_S)
            if await asyncio.to_thread(self._store.stop_requested, self._log.stream, opened=self.opened):
                self.stop()
                return
            if self._writer.error is not None and self._pulling is not None:
                self._pulling.cancel()
                return
            call, now = self._call, self._clock.monotonic()
            if call is None or not self.live.connections:
                continue
            if call.pulse.pings and now - call.pulse.last_byte > DEAD_S:
                call.cut(SourceLost(f"no byte for {DEAD_S:.0f} s on a connection that used to send pings"))
            else:
                self._look_for_silence(call, now - self._output_at)

    def _look_for_silence(self, call: Call, silent_s: float) -> None:
        limit = self._idle_s if self._received else self._first_s
        if self.live.state is State.STALLED:
            if silent_s > 2 * limit and not self._attended():
                call.cut(SourceSilent(f"nothing came for {silent_s:.0f} s and nobody was there to ask"))
        elif silent_s > limit and self.live.saved:
            self._event(Event.SILENT)

    async def _shown(self, agent: str, kind: str, start: int, end: int) -> str:
        """Return a range of the text received so far, as it stands in the log."""
        await self._writer.flush()
        return await asyncio.to_thread(text_range, self._log, agent, kind, start, end)

    def _event(self, event: Event) -> None:
        self.live.state = step(self.live.state, event)
        self._changed()

    def _end(self, event: Event) -> None:
        if self._intent is None and self.live.state.live:
            self._intent = event
            if self._pulling is not None:
                self._pulling.cancel()


class _Ended(Exception):
    """The call is over without an end mark."""

    def __init__(self, event: Event, error: SourceError) -> None:
        super().__init__(str(error))
        self.event, self.error = event, error


def error_json(error: SourceError | LogError) -> dict[str, Any]:
    """Return *error* as `close` records carry it."""
    return {"type": error.type, "message": str(error), "retryable": error.retryable}


def _finish(event: Event, end: End | None) -> Finish:
    if end is not None:
        return end.finish
    return "cancelled" if event in (Event.STOP, Event.LEFT) else "error"
