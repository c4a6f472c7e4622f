"""Calls the source until its end mark: again where that repeats neither text nor money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream import retry
from nbstream.errors import SourceError, SourceMalformed, SourceRefused, SourceSilent
from nbstream.recorder.call import Call
from nbstream.recorder.ending import Ended, error_json
from nbstream.recorder.ordering import Hole
from nbstream.state import Event, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nbstream.clock import Clock
    from nbstream.recorder.intake import Intake
    from nbstream.recorder.live import Live
    from nbstream.recorder.patience import Patience
    from nbstream.recorder.progress import Track
    from nbstream.recorder.totals import Totals
    from nbstream.recorder.writer import Writer
    from nbstream.records import Cursor
    from nbstream.sources.contract import Arrival, End, Pulse, Source

#: Of a cursor's id that is longer only its being there is told.
LONGEST_NAME = 80


class Caller:
    """
    The calls of one voice, one after the other.

    What arrives goes through *intake* to *writer*. *event* is told what happens to the stream, *live* what is true
    meanwhile; *tell* puts on record what happens to connections. *jitter* gives random numbers from 0 to 1, *unhurried*
    says whether what comes may be gathered.
    """

    def __init__(
        self,
        source: Source,
        *,
        intake: Intake,
        writer: Writer,
        track: Track,
        live: Live,
        patience: Patience,
        totals: Totals,
        clock: Clock,
        jitter: Callable[[], float],
        event: Callable[[Event], None],
        tell: Callable[..., None],
        unhurried: Callable[[], bool],
    ) -> None:
        #: The call that is being made, or was the last.
        self.call: Call | None = None
        #: The last place the upstream named, stored or not.
        self.cursor: Cursor | None = None
        self._source, self._intake, self._writer, self._track = source, intake, writer, track
        self._live, self._patience, self._totals = live, patience, totals
        self._clock, self._jitter, self._event = clock, jitter, event
        self._tell, self._unhurried = tell, unhurried
        #: The place that the upstream named before any output.
        self._begun: Cursor | None = None
        self._again = False

    async def run(self) -> End:
        """Call until the end mark; raises `Ended` without one."""
        attempt, starts, hole = 0, 0, False
        while True:
            place = await self._intake.connect()
            # Where nothing has come but a place, that one counts: a run that has begun is not begun again.
            self.cursor = self._begun if place is None and not self._track.begun else place
            if self.call is not None:
                self._tell("called", **({"behind": _name(self.cursor)} if self.cursor is not None else {}))
            stored, now = self._track.parts, self._clock.monotonic()
            self._patience.output(now)
            self.call = Call(self._source, self.cursor, now, clock=self._clock, unhurried=self._may_gather)
            try:
                self._live.connections = 1
                try:
                    return await self.call.run(self._take)
                finally:
                    if self.call.pulse.pings:
                        self._tell("pings", count=self.call.pulse.pings)
            except SourceError as exc:
                self._live.connections = 0
                if self._again:
                    self._again = False
                    continue
                await self._writer.flush()
                if self._track.parts > stored:
                    attempt, starts, hole = 0, 0, False
                malformed = isinstance(exc, SourceMalformed) and not isinstance(exc, Hole)
                if hole and malformed:
                    raise Ended(Event.REFUSED, exc) from exc  # still there when asked again
                starting = isinstance(exc, SourceRefused) and exc.starting
                await self._wait_to_retry(exc, starts if starting else attempt, self.call.pulse, starting=starting)
                attempt, starts = attempt + (not starting), starts + starting
                hole = hole or malformed

    def reconnect(self) -> None:
        """Drop a connection that is silent and call again behind the last record."""
        if self._live.state is State.STALLED and self.call is not None and self.can_reconnect:
            self._again = True
            self._event(Event.RESUME)
            silent = SourceSilent("the silent connection was dropped to resume")
            self._tell("lost", error=error_json(silent))
            self.call.cut(silent)

    @property
    def can_reconnect(self) -> bool:
        """Whether calling again would repeat neither text nor money."""
        return self._track.can_go_on(replayable=self._source.replayable)

    async def _wait_to_retry(self, error: SourceError, attempt: int, pulse: Pulse, *, starting: bool) -> None:
        event = retry.verdict(error, shown=self._track.begun, resumable=self.can_reconnect)
        if event is not Event.LOST:
            raise Ended(event, error)
        asked = error.retry_after_s if isinstance(error, SourceRefused) else None
        if asked is None and pulse.retry_ms is not None:
            asked = pulse.retry_ms / 1000
        wait = retry.wait_s(attempt, jitter=self._jitter(), server_s=asked, starting=starting)
        if wait is None:
            error.args = (retry.last_words(error, attempt, server_s=asked),)
            self._event(Event.LOST)
            raise Ended(Event.EXHAUSTED, error)
        self._live.retries += 1
        self._totals.retries += 1
        self._live.retry_at = self._clock.monotonic() + wait
        self._live.error = error_json(error)
        status = getattr(error, "status", None)
        refused = {"status": status} if status is not None else {}
        self._tell("lost", error=error_json(error), wait_s=round(wait, 3), **refused)
        self._event(Event.LOST)
        await self._clock.sleep(wait)
        self._live.retry_at = None

    def _may_gather(self) -> bool:
        # The first text is never delayed.
        return self._track.begun and self._live.state is State.STREAMING and self._unhurried()

    def _take(self, arrival: Arrival) -> Awaitable[None] | None:
        """Let the log have what is new of one arrival; returns what to wait for before the next."""
        state = self._live.state
        if state is not State.STREAMING and (arrival.parts or state is not State.STALLED):
            self._live.error = None
            self._event(Event.DELTA if arrival.parts and state is not State.RETRYING else Event.OPENED)
        now = self._clock.monotonic()
        if arrival.parts:
            self._patience.output(now)
        if arrival.cursor is not None:
            self.cursor = arrival.cursor
            # Not that of output, which may wait for a frame before it and is asked for again.
            if not arrival.parts and not self._intake.waits:
                self._begun = arrival.cursor
        return self._intake.take(arrival, now)


def _name(cursor: Cursor) -> Any:
    """Return what names the place of *cursor* to a reader: an id or an offset, where it has a short one."""
    place = cursor.get("id", cursor.get("offset"))
    return place if type(place) is int or (type(place) is str and len(place) <= LONGEST_NAME) else True
