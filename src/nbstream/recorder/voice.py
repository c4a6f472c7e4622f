"""
One voice of a stream: a source, the calls that are made of it, its state and its end.

A stream with one source has one voice, called ""; a team has one for each agent. Voices share the log and its writer,
and nothing else: what is cut, stopped or refused is one voice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceError
from nbstream.recorder.caller import Caller
from nbstream.recorder.ending import Ended, Outcome, call_off, ended, error_json
from nbstream.recorder.intake import Intake
from nbstream.recorder.live import Live
from nbstream.recorder.patience import Patience
from nbstream.sources.http.connections import owned_by
from nbstream.state import Event, State, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from nbstream.clock import Clock
    from nbstream.errors import StreamError
    from nbstream.log.contract import Log
    from nbstream.recorder.call import Call
    from nbstream.recorder.progress import Track
    from nbstream.recorder.totals import Totals
    from nbstream.recorder.writer import Writer
    from nbstream.sources.contract import End, Source

#: The note of one that may call once another call is over.
WAITS = "waiting for a slot"


@dataclass(frozen=True, slots=True)
class Setting:
    """What the voices of one stream share; see `Recorder` for what its options mean."""

    log: Log
    writer: Writer
    clock: Clock
    totals: Totals
    first_s: float
    idle_s: float
    attended: Callable[[], bool]
    changed: Callable[[], None]
    jitter: Callable[[], float]
    slots: asyncio.Semaphore
    unhurried: Callable[[], bool]
    #: Says whether a stop row stands for a voice.
    stop_requested: Callable[[Voice], Awaitable[bool]]
    #: Entered once it is a voice's turn to call.
    turn: Callable[[Voice], AbstractAsyncContextManager[None]] = field(repr=False)
    #: Opens the stream for a new generation behind what a voice has said, and returns its source; None: ask first.
    go_on: Callable[[Voice], Awaitable[Source | None]] = field(repr=False)


class Voice:
    """Calls *source*, of which *track* is stored. Made on the loop that runs it; runs once."""

    def __init__(self, name: str, source: Source, track: Track, setting: Setting, live: Live | None = None) -> None:
        self.name, self.source, self.track = name, source, track
        self.live = live or Live()
        #: Offset of the `open` it began with; only stops of that one and of later ones concern it. None: not yet known.
        self.since: int | None = None
        #: What it came to, once it is at rest.
        self.outcome: Outcome | None = None
        #: It is at rest, and all of it is stored.
        self.rested = asyncio.Event()
        self._setting = setting
        self._patience = Patience(setting.first_s, setting.idle_s, setting.clock.monotonic())
        self._ask(source)
        self._pulling: asyncio.Task[End] | None = None
        self._intent: Event | None = None
        self._left: StreamError | None = None

    def _ask(self, source: Source) -> None:
        """Let the next calls be those of *source*, behind all that is stored."""
        setting, self.source = self._setting, source
        self.intake = Intake(
            setting.log, setting.writer, self.track, self.live, self.name, replayable=lambda: self.source.replayable
        )
        self._caller = Caller(
            source, intake=self.intake, writer=setting.writer, track=self.track, live=self.live,
            patience=self._patience, totals=setting.totals, clock=setting.clock, jitter=setting.jitter,
            event=self._event, tell=self._tell, unhurried=setting.unhurried,
        )  # fmt: skip

    def stop(self) -> None:
        """See `Recorder.stop`."""
        self._end(Event.STOP)

    def leave(self, why: StreamError | None) -> None:
        """See `Recorder.leave`."""
        if self._intent is None:
            self._left = why
        self._end(Event.LEFT)

    def give_up(self, error: StreamError) -> Outcome:
        """End before any call because of *error*; a stop that came before it is a stop."""
        self.outcome = Outcome(Event.STOP) if self._intent is Event.STOP else Outcome(Event.CUT, error=error)
        return self.outcome

    def keep(self) -> None:
        """Keep waiting: one answer to a stall."""
        if self.live.state is State.STALLED:
            self._patience.output(self._setting.clock.monotonic())
            self._tell("kept")
            self._event(Event.KEEP)

    def reconnect(self) -> None:
        """Drop a silent connection and call again behind the last record: the other answer to a stall."""
        self._caller.reconnect()

    @property
    def can_reconnect(self) -> bool:
        """Whether calling again would repeat neither text nor money."""
        return self._caller.can_reconnect

    @property
    def ending(self) -> bool:
        """Whether the call is over, or told to be."""
        called = self._pulling is not None and self._pulling.done()
        return called or self._intent is not None or not self.live.state.live

    @property
    def calling(self) -> bool:
        """Whether a call is being made: only then may a connection of this voice stand."""
        return self.live.connections > 0 and not self.ending

    @property
    def chars(self) -> int:
        """Code points of its text stored."""
        return self.track.chars

    @property
    def owner(self) -> str:
        """The name under which its connections are registered."""
        stream = self._setting.log.stream
        return f"{stream}/{self.name}" if self.name else stream

    @property
    def note(self) -> str | None:
        """One more thing the state line says."""
        return self.live.note or self.source.note

    async def run(self) -> Outcome:
        """Call until the end; return what it came to. The errors of the store are raised."""
        self._pulling = asyncio.ensure_future(self._pull())
        try:
            if self._intent is not None:
                self._pulling.cancel()
            await asyncio.wait({self._pulling})
        finally:
            await ended(self._pulling)
        self.live.connections = 0
        self.outcome = await self._outcome(self._pulling)
        return self.outcome

    def rest(self, outcome: Outcome) -> None:
        """Be at rest as *outcome* says."""
        self.live.state = step(self.live.state, outcome.event)
        self.live.error = error_json(outcome.error) if outcome.error else None
        self.live.connections = 0

    def look(self, now: float) -> None:
        """Look for a silence."""
        call = self._caller.call
        if call is None or not self.live.connections:
            return
        if call.paused:
            self._patience.paused(call.pulse, now)
            return
        setting = self._setting
        found = self._patience.look(
            self.live.state, call.pulse, shown=self.track.begun, attended=setting.attended, now=now
        )
        found = found if isinstance(found, SourceError) else self.intake.expire(now) or found
        if isinstance(found, SourceError):
            call.cut(found)
        elif found is not None:
            setting.totals.stalls += 1
            self._tell("silent")
            self._event(found)

    def skip(self, seconds: float, now: float) -> None:
        """Do not count *seconds*: this process was asleep."""
        call: Call | None = self._caller.call
        self._patience.skip(seconds, call.pulse if call else None, now)

    async def _outcome(self, pulled: asyncio.Task[End]) -> Outcome:
        """Say what the call came to; an upstream that must be told that nobody wants the rest is told first."""
        setting = self._setting
        outcome = Outcome.of(pulled, self._intent, self._left)
        if outcome.interrupted and await setting.stop_requested(self):
            self._intent = Event.STOP  # the row was set while nobody looked
            outcome = Outcome.of(pulled, self._intent, self._left)
        # The call of an object was made before we saw it.
        made = self._caller.call is not None or self.source.spec.get("kind") == "object"
        if not outcome.unwanted or not made:
            return outcome
        remark = await call_off(self.source, self._caller.cursor, self.live, setting.clock, setting.changed)
        outcome = Outcome.of(pulled, self._intent, self._left)  # somebody may have pressed Stop meanwhile
        return outcome if remark is None else outcome.add(remark)

    async def _pull(self) -> End:
        """Wait for its turn and a slot, then call the source until its end mark; raises `Ended` without one."""
        setting = self._setting
        async with setting.turn(self):
            if setting.slots.locked():
                self.live.note = WAITS
                setting.changed()
            try:
                await setting.slots.acquire()
            finally:
                if self.live.note == WAITS:
                    self.live.note = None
            try:
                with owned_by(self.owner):
                    return await self._call()
            finally:
                setting.slots.release()

    def _tell(self, what: str, **fields: Any) -> None:
        who = {"agent": self.name} if self.name else {}
        self._setting.writer.tell(what, **who, **fields)

    async def _call(self) -> End:
        """Call; behind a cut that nothing else mends, a new generation goes on if nobody needs to be asked."""
        while True:
            try:
                return await self._caller.run()
            except Ended as cut:
                further = await self._setting.go_on(self) if cut.error.retryable else None
                if further is None:
                    raise
                self.live.error = error_json(cut.error)
                self._event(Event.LOST)
                self._ask(further)

    def _event(self, event: Event) -> None:
        self.live.state = step(self.live.state, event)
        self._setting.changed()

    def _end(self, event: Event) -> None:
        if self._intent is Event.LEFT and event is Event.STOP:
            self._intent = event
        if self._intent is None and self.live.state.live:
            self._intent = event
            if self._pulling is not None:
                self._pulling.cancel()
