"""
The recorder: pulls one source and appends to one log. Nothing else writes to a stream.

It works from an `open` to its `close`. A reader learns everything from the log; `Recorder.live` adds what is true only
meanwhile (retries, waits, speed). Everything here belongs to the loop that runs `run`.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from nbstream.clock import Clock
from nbstream.errors import LeaseOver, LogError, SourceError
from nbstream.recorder.caller import Caller
from nbstream.recorder.ending import Outcome, call_off, ended, error_json
from nbstream.recorder.intake import Intake
from nbstream.recorder.live import Live
from nbstream.recorder.patience import Patience
from nbstream.recorder.totals import Totals
from nbstream.recorder.writer import Writer
from nbstream.records import Close, How
from nbstream.sources.connections import owned_by
from nbstream.state import Event, State, step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from nbstream.lease import Lease
    from nbstream.log.contract import Lock, Log, Store
    from nbstream.recorder.call import Call
    from nbstream.recorder.progress import Progress
    from nbstream.sources.contract import End, Source

#: How often stop rows of other processes, the lease and silence are looked at.
LOOK_S = 0.25
#: So long after the last look, this process was asleep (its machine, or stopped): nothing could come meanwhile.
ASLEEP_S = 2.0


class Recorder:
    """
    Records one call of *source* into *log*, whose last record (`progress.tail`) is the `open` of this call.

    *first_s*, *idle_s*: seconds of silence, before the first output and between outputs, that stall the stream.
    *attended* says whether somebody is there to answer the stall's question, *lease* how long the call goes on while
    nobody holds the stream (None: for ever). *changed* is called whenever `live` has changed in a way a reader may want
    to see. *slots* bounds how many calls are made at a time. *totals* counts over all recorders. *unhurried* says
    whether only pages look, so that tokens may be gathered for some hundredths of a second.
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
        lease: Lease | None = None,
        totals: Totals | None = None,
        unhurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self.source = source
        self.opened = progress.tail
        self.live = Live()
        self._store, self._log, self._lock, self._progress = store, log, lock, progress
        self._clock, self._attended, self._changed = clock or Clock(), attended, changed
        self._lease, self._totals = lease, totals or Totals()
        self._patience = Patience(first_s, idle_s, self._clock.monotonic())
        self._writer = Writer(log, progress, self.live, self._clock, self._saving, unhurried=unhurried)
        self._intake = Intake(log, self._writer, progress, self.live)
        self._caller = Caller(
            source, intake=self._intake, writer=self._writer, progress=progress, live=self.live,
            patience=self._patience, totals=self._totals, clock=self._clock, jitter=jitter, event=self._event,
            unhurried=unhurried,
        )  # fmt: skip
        self._slots = slots or asyncio.Semaphore()
        self._pulling: asyncio.Task[End] | None = None
        self._intent: Event | None = None
        self._left: LeaseOver | None = None
        self._close: Close | None = None

    def stop(self) -> None:
        """Close the upstream at once; `close(stopped)` follows. At rest, or a second time, it changes nothing."""
        self._end(Event.STOP)

    def leave(self, why: str | None = None) -> None:
        """
        Close the upstream; `close(interrupted)` follows. A stop that comes before it is stored is a stop all the same.

        *why* says in one line why nobody wants the rest, and an upstream that needs to be told is told. Without it this
        process just goes, and another one may resume the call.
        """
        if self._intent is None and why is not None:
            self._left = LeaseOver(why)
        self._end(Event.LEFT)

    def keep(self) -> None:
        """Keep waiting: one answer to a stall."""
        if self.live.state is State.STALLED:
            self._patience.output(self._clock.monotonic())
            self._event(Event.KEEP)

    def reconnect(self) -> None:
        """Resume, the other answer to a stall: drop the silent connection and call again behind the last record."""
        self._caller.reconnect()

    @property
    def can_reconnect(self) -> bool:
        """Whether calling again would repeat neither text nor money."""
        return self._caller.can_reconnect

    @property
    def ending(self) -> bool:
        """Whether the call is over, or told to be: only its `close` is to come, and the release of the stream."""
        called = self._pulling is not None and self._pulling.done()
        return called or self._intent is not None or not self.live.state.live

    @property
    def calling(self) -> bool:
        """Whether a call is being made: only then may a connection of this stream stand."""
        return self.live.connections > 0 and not self.ending

    @property
    def progress(self) -> Progress:
        """What is stored, counted."""
        return self._progress

    @property
    def note(self) -> str | None:
        """One more thing the state line says."""
        return self.live.note or self.source.note

    @property
    def repeatable(self) -> bool:
        """Whether the question can be asked anew from here."""
        return self.source.fingerprint is not None

    @property
    def chars(self) -> int:
        """Code points of text stored."""
        return self._progress.chars

    @property
    def tail(self) -> int:
        """The last stored record."""
        return self._progress.tail

    @property
    def model(self) -> str | None:
        """The model's own name, once it said it."""
        return self._progress.model

    def status_json(self) -> dict[str, Any]:
        """Describe how it stands to another process; `Live.from_json` reads the live part of it. From any thread."""
        return {
            **self.live.to_json(self._clock.monotonic()),
            "note": self.note,
            "offset": self.tail,
            "chars": self.chars,
            "model": self.model,
            "resumable": self.can_reconnect,
            "repeatable": self.repeatable,
        }

    async def run(self) -> None:
        """Record until the call is at rest and its `close` is stored. The source's errors end up in the records."""
        helpers = asyncio.ensure_future(self._writer.run()), asyncio.ensure_future(self._watch())
        self._pulling = asyncio.ensure_future(self._pull())
        try:
            if self._intent is not None:
                self._pulling.cancel()
            await asyncio.wait({self._pulling, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            await ended(self._pulling)  # also when a helper gave up: the upstream is closed first
            for helper in helpers:
                if helper.done():
                    helper.result()
            self.live.connections = 0
            self._close = self._closing(await self._outcome(self._pulling))
            self._saving()
            await self._writer.close(self._close)
            self._rest(State(self._close.how), self._close.error)
        except LogError as exc:
            # Another writer has the stream, or it is gone: whoever reads the log sees what is true.
            self._rest(State.INTERRUPTED, error_json(exc))
        finally:
            self._lock.release()
            await ended(self._pulling, *helpers)
            self._changed()

    async def _outcome(self, pulled: asyncio.Task[End]) -> Outcome:
        """Say what the call came to; an upstream that must be told that nobody wants the rest is told first."""
        if self._intent is Event.LEFT and await self._stop_requested():
            self._intent = Event.STOP  # the row was set while nobody looked
        outcome = Outcome.of(pulled, self._intent, self._left)
        if not outcome.unwanted or self._caller.call is None:
            return outcome
        remark = await call_off(self.source, self._caller.cursor, self.live, self._clock, self._changed)
        outcome = Outcome.of(pulled, self._intent, self._left)  # somebody may have pressed Stop meanwhile
        return outcome if remark is None else outcome.add(remark)

    def _closing(self, outcome: Outcome) -> Close:
        """Say how the call ended."""
        how: How = step(self.live.state, outcome.event).value  # type: ignore[assignment]  # all are states at rest
        return Close(
            how=how,
            at=self._clock.time(),
            finish=outcome.finish,
            raw_finish=outcome.end.raw_finish if outcome.end else None,
            usage=self._intake.usage,
            error=error_json(outcome.error) if outcome.error else None,
            model=self._progress.model,
            chars=self._intake.chars,
        )

    async def _pull(self) -> End:
        """Wait for a slot, then call the source until its end mark; raises `Ended` without one."""
        if self._slots.locked():
            self.live.note = "waiting for a slot"
            self._changed()
        async with self._slots:
            self.live.note = None
            with owned_by(self._log.stream):
                return await self._caller.run()

    async def _watch(self) -> None:
        """Look for what no arrival tells: a stop row of another process, a lease that is over, a silence."""
        looked = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_S)
            now = self._clock.monotonic()
            if now - looked > ASLEEP_S:
                self._slept(now - looked - LOOK_S, now)
            looked = now
            # *now* stays that of the beginning: a sleep while the store is asked is seen at the next look.
            # The lease is looked at first, and its end acted on last: a stop of the same moment is a stop.
            over = self._lease is not None and self._lease.over(now)
            if await self._stop_requested():
                self.stop()
            elif over and self._lease is not None:
                self.leave(self._lease.reason)
            if self._caller.call is not None and self.live.connections:
                self._look_at(self._caller.call, now)

    def _slept(self, seconds: float, now: float) -> None:
        call = self._caller.call
        self._patience.skip(seconds, call.pulse if call else None, now)
        if self._lease is not None:
            self._lease.skip(seconds)

    async def _stop_requested(self) -> bool:
        return await asyncio.to_thread(self._store.stop_requested, self._log.stream, opened=self.opened)

    def _look_at(self, call: Call, now: float) -> None:
        state, shown = self.live.state, self._progress.shown
        if call.paused:
            self._patience.paused(call.pulse, now)
            return
        found = self._patience.look(state, call.pulse, shown=shown, attended=self._attended, now=now)
        if isinstance(found, SourceError):
            call.cut(found)
        elif found is not None:
            self._totals.stalls += 1
            self._event(found)

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
        if self._intent is Event.LEFT and event is Event.STOP:
            self._intent = event
        if self._intent is None and self.live.state.live:
            self._intent = event
            if self._pulling is not None:
                self._pulling.cancel()
