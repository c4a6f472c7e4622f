"""The way of an arrival into the log: whole characters, joined to what is shown, counted, queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.errors import SourceMalformed
from nbstream.recorder.characters import Characters
from nbstream.recorder.ordering import Hole, Ordering
from nbstream.recorder.progress import measure, take_back
from nbstream.recorder.shown import Shown
from nbstream.recorder.splice import Splice
from nbstream.records import TEXT_KINDS, whole_characters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nbstream.errors import SourceError
    from nbstream.log.contract import Log
    from nbstream.recorder.live import Live
    from nbstream.recorder.progress import Name, Track
    from nbstream.recorder.writer import Writer
    from nbstream.records import Cursor
    from nbstream.sources.contract import Arrival, End

#: A model's name is shown in every state line.
MODEL_CHARS = 80


class Intake:
    """Takes in what the connections of one voice bring, one connection after the other; "" is a stream's only one."""

    def __init__(
        self,
        log: Log,
        writer: Writer,
        track: Track,
        live: Live,
        voice: str = "",
        *,
        replayable: Callable[[], bool] = lambda: False,
    ) -> None:
        self.usage = dict(track.usage)
        self._stream, self._voice = log.stream, voice
        self._writer, self._track, self._live = writer, track, live
        self._shown = Shown(log, writer, track)
        self._characters = Characters()
        self._replayable = replayable
        self._splice = Splice(log.stream, self._shown, track)
        #: What was let through so far, stored or on its way, and the code points of it that were taken back.
        self._have, self._taken = dict(track.lengths), dict(track.taken)
        self._ordering = Ordering(self._splice.numbers, self._splice.lengths, track.gaps.copy())
        #: The last place named with a number, and the one before it at another id.
        self._ids: tuple[str | None, str | None] = (None, None)
        #: The id before that of the first resume ("": the beginning): behind it an event may have been passed by.
        self._since: str | None = None
        #: The hole (agent, first missing number) that is asked for from further back, and how far (1: older, 2: since).
        self._wanted: tuple[str, int] | None = None
        self._back, self._furthest = 0, 2
        #: How far back this connection began, and whether it was made behind a cursor.
        self._level, self._resumed = 0, False
        #: The upstream named a place, stored or on its way into the log.
        self._placed = track.cursor is not None

    @property
    def chars(self) -> int:
        """Code points let through so far, stored or on their way, but for what was taken back."""
        return sum(length for (_, kind), length in self._lengths().items() if kind in TEXT_KINDS)

    @property
    def waits(self) -> bool:
        """Whether output waits for a frame before it."""
        return self._ordering.waiting

    def _lengths(self) -> dict[Name, int]:
        return {name: length - self._taken.get(name, 0) for name, length in self._have.items()}

    async def connect(self) -> Cursor | None:
        """Be ready for a new connection and return the cursor to make it behind: nothing is on its way any more."""
        await self._writer.flush()
        if self._wanted is not None and self._splice.numbers.get(self._wanted[0], 0) >= self._wanted[1]:
            self._wanted, self._back = None, 0  # it came
        self._characters = Characters()
        self._splice = Splice(self._stream, self._shown, self._track)
        cursor = self._track.cursor
        stored = None if self._track.behind else cursor
        self._ordering = Ordering(self._splice.numbers, self._splice.lengths, self._track.gaps.copy(), stored)
        self._resumed, self._level = cursor is not None, self._back
        if cursor is None:
            return None
        self._ids = cursor.get("id"), cursor.get("older")
        self._since = cursor.get("since", cursor.get("older", ""))
        place = (cursor.get("id"), cursor.get("older"), self._since)[self._level]
        if not place and self._level:
            return None if self._replayable() else cursor
        return cursor if self._level == 0 else {**cursor, "id": place}

    def take(self, arrival: Arrival, now: float) -> Awaitable[None] | None:
        """
        Record what is new of *arrival*; returns what to wait for before the next one, if anything.

        Called for every token: in a flood all but a few take the short way.
        """
        if arrival.usage:
            self.usage.update(arrival.usage)
        if arrival.model:
            self._track.model = whole_characters(arrival.model)[:MODEL_CHARS]
        if not self._ordering.in_order(arrival):
            return self._sort(arrival, now)
        if arrival.end is None and self._characters.are_whole(arrival) and self._splice.lets_pass(arrival):
            return self._writer.room() if self._queue(arrival, now) else None
        return self._take(arrival, now)

    def expire(self, now: float) -> SourceError | None:
        """Wait no longer for frames that are missing; return the error to cut the connection with, to ask for them."""
        hole = self._ordering.hole(now)
        if hole is None:
            return None
        if self._asks_for(*hole):
            return self._hole(*hole)
        self._splice.trust_numbers()
        for one in self._ordering.settle():
            if self._splice.lets_pass(one):
                self._queue(one, now)
            elif one.number is not None and not any(part.text for part in one.parts):
                self._splice.numbers[one.parts[0].agent] = one.number
            else:
                return self._hole(*hole)
        return None

    async def _sort(self, arrival: Arrival, now: float) -> None:
        """Take in an arrival that is not the next one of its agent, or that lets others go on."""
        over = arrival.end is not None
        hole = self._ordering.hole(None if over else now) if over or self._ordering.is_early(arrival) else None
        if hole is not None:
            if self._asks_for(*hole):
                raise self._hole(*hole)
            self._splice.trust_numbers()
        for one in self._ordering.sort(arrival, now):
            await self._take(one, now)

    def _asks_for(self, agent: str, expected: int, got: int) -> bool:  # noqa: ARG002 - a hole as it is told
        """
        Say whether to ask for a hole again; if not, it is a gap.

        Behind the last record first; after a resume behind the event before that one, then behind the one before the
        first resume: two events may share an id, and a resume passes by the second.
        """
        if not self._further:
            if self._level == 2:
                self._furthest = 1  # it is a server that loses frames, and not a place passed by
            self._wanted, self._back = None, 0
            return False
        if self._resumed or not self._placed:
            self._wanted, self._back = (agent, expected), self._level + 1
        return True

    @property
    def _further(self) -> bool:
        """Whether the next connection can begin further back than this one did."""
        _, older = self._ids
        if not self._resumed:
            return self._placed or (self._replayable() and self._level == 0)
        if self._level == 0:
            return older is not None or self._replayable()
        return self._level < self._furthest and self._since != older and bool(self._since or self._replayable())

    def _hole(self, agent: str, expected: int, got: int) -> Hole:
        missing = f"frame {expected}" if got == expected + 1 else f"frames {expected} to {got - 1}"
        return Hole(
            f"stream {self._stream}: {missing} of {agent} did not come before frame {got}; everything shown is saved,"
            f" Resume asks for the rest",
            retryable=True,
        )

    async def _take(self, arrival: Arrival, now: float) -> None:
        for one in await self._splice.new(self._characters.whole(arrival)):
            if one.parts or one.end is not None:
                self._tell_dropped()
            if one.parts and self._queue(one, now):
                await self._writer.room()
        if arrival.end is not None:
            await self._verify(arrival.end)

    def _tell_dropped(self) -> None:
        """Put on record how much came once more, once something new comes or nothing more."""
        if self._splice.dropped:
            who = {"agent": self._voice} if self._voice else {}
            self._writer.tell("dropped", chars=self._splice.dropped, **who)
            self._splice.dropped = 0

    def _queue(self, arrival: Arrival, now: float) -> bool:
        cursor = arrival.cursor
        self._live.arrived(now, arrival.pieces)
        for part in arrival.parts:
            if part.kind == "truncate":
                take_back(part, self._have, self._taken)
            name = part.agent, part.kind
            self._have[name] = self._have.get(name, 0) + measure(part)
        if cursor is not None and self._splice.numbers:
            self._placed = True
            if cursor.get("id") != self._ids[0]:
                self._ids = cursor.get("id"), self._ids[0]
            back = {name: at for name, at in (("older", self._ids[1]), ("since", self._since)) if at is not None}
            cursor = {**cursor, "numbers": dict(self._splice.numbers), **back}
        return self._writer.add(arrival.parts, cursor, self._voice)

    async def _verify(self, end: End) -> None:
        """Check length and hash, where the end mark carries them, against what was recorded."""
        self._splice.finish()
        await self._writer.flush()
        have = sum(length for (_, kind), length in self._lengths().items() if kind == "text") + self._track.late
        if end.length is not None and end.length != have:
            msg = (
                f"stream {self._stream}: the end mark says {end.length:,} characters, {have:,} have come;"
                f" what came is saved, Regenerate asks for a new answer"
            )
            raise SourceMalformed(msg, retryable=end.length > have)
        # With a gap the text was not stored in its order, and its hash would say no more than the gap does.
        if (
            end.sha256 is not None
            and not self._track.gapped
            and await self._writer.sha256(self._voice) != end.sha256.lower()
        ):
            msg = (
                f"stream {self._stream}: the text of {have:,} characters has not the sha256 its end mark names;"
                f" what came is saved, Regenerate asks for a new answer"
            )
            raise SourceMalformed(msg)
