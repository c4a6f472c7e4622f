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
from nbstream.recorder.call import Call
from nbstream.recorder.intake import Intake
from nbstream.recorder.live import Live
from nbstream.recorder.writer import Writer
from nbstream.records import Close, How
from nbstream.state import Event, State, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from nbstream.log.contract import Lock, Log, Store
    from nbstream.recorder.progress import Progress
    from nbstream.sources.contract import Arrival, End, Pulse, Source

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
        self._writer = Writer(log, progress, self.live, self._clock, self._saving)
        self._intake = Intake(log, self._writer, progress, self.live)
        self._slots = slots or asyncio.Semaphore()
        self._call: Call | None = None
        self._pulling: asyncio.Task[End] | None = None
        self._intent: Event | None = None
        self._again = False
        self._close: Close | None = None
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
        """Whether calling again would repeat neither text nor money."""
        return not self._progress.shown or self._progress.cursor is not None or self.source.replayable

    @property
    def ending(self) -> bool:
        """Whether the call is over, or told to be: only its `close` is to come, and the release of the stream."""
        called = self._pulling is not None and self._pulling.done()
        return called or self._intent is not None or not self.live.state.live

    @property
    def progress(self) -> Progress:
        """What is stored, counted."""
        return self._progress

    async def run(self) -> None:
        """Record until the call is at rest and its `close` is stored. The source's errors end up in the records."""
        helpers = asyncio.ensure_future(self._writer.run()), asyncio.ensure_future(self._watch())
        self._pulling = asyncio.ensure_future(self._pull())
        try:
            if self._intent is not None:
                self._pulling.cancel()
            await asyncio.wait({self._pulling, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            await _ended(self._pulling)  # also when a helper gave up: the upstream is closed first
            for helper in helpers:
                if helper.done():
                    helper.result()
            self.live.connections = 0
            self._close = self._closing(self._pulling)
            self._saving()
            await self._writer.close(self._close)
            self._rest(State(self._close.how), self._close.error)
        except LogError as exc:
            # Another writer has the stream, or it is gone: whoever reads the log sees what is true.
            self._rest(State.INTERRUPTED, error_json(exc))
        finally:
            self._lock.release()
            await _ended(self._pulling, *helpers)
            self._changed()

    def _closing(self, pulled: asyncio.Task[End]) -> Close:
        """Say how the call ended."""
        end: End | None = None
        error: SourceError | None = None
        try:
            end = pulled.result()
            event = Event.FINISHED
        except asyncio.CancelledError:
            event = self._intent or Event.LEFT
        except _Ended as ended:
            event, error = ended.event, ended.error
        how: How = step(self.live.state, event).value  # type: ignore[assignment]  # all these ends are states at rest
        return Close(
            how=how,
            at=self._clock.time(),
            finish=end.finish if end else "error" if error else "cancelled",
            raw_finish=end.raw_finish if end else None,
            usage=self._intake.usage,
            error=error_json(error) if error else None,
            model=self._progress.model,
            chars=self._intake.chars,
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
        attempt, hole = 0, False
        while True:
            cursor = await self._intake.connect()
            stored = self._progress.tail
            self._output_at = self._clock.monotonic()
            self._call = Call(self.source, cursor, self._output_at)
            try:
                self.live.connections = 1
                return await self._call.run(self._take)
            except SourceError as exc:
                self.live.connections = 0
                if self._again:
                    self._again = False
                    continue
                await self._writer.flush()
                if self._progress.tail > stored:
                    attempt, hole = 0, False
                if hole and isinstance(exc, SourceMalformed):
                    raise _Ended(Event.REFUSED, exc) from exc  # still there when asked again
                await self._wait_to_retry(exc, attempt, self._call.pulse)
                attempt, hole = attempt + 1, hole or isinstance(exc, SourceMalformed)

    async def _wait_to_retry(self, error: SourceError, attempt: int, pulse: Pulse) -> None:
        event = retry.verdict(error, shown=self._progress.shown, resumable=self.can_reconnect)
        if event is not Event.LOST:
            raise _Ended(event, error)
        asked = error.retry_after_s if isinstance(error, SourceRefused) else None
        if asked is None and pulse.retry_ms is not None:
            asked = pulse.retry_ms / 1000
        wait = retry.wait_s(attempt, jitter=self._jitter(), server_s=asked)
        if wait is None:
            error.args = (retry.last_words(error, attempt, server_s=asked),)
            self._event(Event.LOST)
            raise _Ended(Event.EXHAUSTED, error)
        self.live.retries += 1
        self.live.retry_at = self._clock.monotonic() + wait
        self.live.error = error_json(error)
        self._event(Event.LOST)
        await self._clock.sleep(wait)
        self.live.retry_at = None

    def _take(self, arrival: Arrival) -> Awaitable[None] | None:
        """Let the log have what is new of one arrival; returns what to wait for before the next."""
        state = self.live.state
        if state is not State.STREAMING and (arrival.parts or state is not State.STALLED):
            self.live.error = None
            self._event(Event.DELTA if arrival.parts and state is not State.RETRYING else Event.OPENED)
        now = self._clock.monotonic()
        if arrival.parts:
            self._output_at = now
        return self._intake.take(arrival, now)

    async def _watch(self) -> None:
        """Look for a stop row of another process, a dead connection, silence."""
        while True:
            await self._clock.sleep(LOOK_S)
            if await asyncio.to_thread(self._store.stop_requested, self._log.stream, opened=self.opened):
                self.stop()
            call, now = self._call, self._clock.monotonic()
            if call is None or not self.live.connections:
                continue
            if call.paused:
                self._output_at = call.pulse.last_byte = now
            elif call.pulse.pings and now - call.pulse.last_byte > DEAD_S:
                call.cut(SourceLost(f"no byte for {DEAD_S:.0f} s on a connection that used to send pings"))
            else:
                self._look_for_silence(call, now - self._output_at)

    def _look_for_silence(self, call: Call, silent_s: float) -> None:
        limit = self._idle_s if self._progress.shown else self._first_s
        if self.live.state is State.STALLED:
            if silent_s > 2 * limit and not self._attended():
                call.cut(SourceSilent(f"nothing came for {silent_s:.0f} s and nobody was there to ask"))
        elif silent_s > limit:
            self._event(Event.SILENT)

    def _saving(self) -> None:
        """
        Say so when the call is over but its end cannot be saved yet: stopped is stopped.

        Complete is complete only when all of it is stored: whoever waits for the text gets the whole.
        """
        if self._close is not None and self._close.how != "complete" and not self.live.saved:
            self.live.state, self.live.error = State(self._close.how), self._close.error
        self._changed()

    def _rest(self, state: State, error: Mapping[str, Any] | None) -> None:
        self.live.state, self.live.error, self.live.connections = state, error, 0

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


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel *tasks* and wait until they have cleaned up; what they returned or raised is asked for elsewhere."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
