"""The way of an arrival into the log: whole characters, joined to what is shown, counted, queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.errors import SourceMalformed
from nbstream.recorder.characters import Characters
from nbstream.recorder.progress import take_back
from nbstream.recorder.shown import Shown
from nbstream.recorder.splice import Splice
from nbstream.records import TEXT_KINDS

if TYPE_CHECKING:
    from collections.abc import Awaitable

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

    def __init__(self, log: Log, writer: Writer, track: Track, live: Live, voice: str = "") -> None:
        self.usage = dict(track.usage)
        self._stream, self._voice = log.stream, voice
        self._writer, self._track, self._live = writer, track, live
        self._shown = Shown(log, writer, track)
        self._characters = Characters()
        self._splice = Splice(log.stream, self._shown, track)
        #: Code points taken back so far, stored or on their way.
        self._taken = dict(track.taken)

    @property
    def chars(self) -> int:
        """Code points let through so far, stored or on their way, but for what was taken back."""
        return sum(length for (_, kind), length in self._lengths().items() if kind in TEXT_KINDS)

    def _lengths(self) -> dict[Name, int]:
        return {name: length - self._taken.get(name, 0) for name, length in self._splice.lengths.items()}

    async def connect(self) -> Cursor | None:
        """Be ready for a new connection and return the cursor to make it behind: nothing is on its way any more."""
        await self._writer.flush()
        self._characters = Characters()
        self._splice = Splice(self._stream, self._shown, self._track)
        return self._track.cursor

    def take(self, arrival: Arrival, now: float) -> Awaitable[None] | None:
        """
        Record what is new of *arrival*; returns what to wait for before the next one, if anything.

        Called for every token: in a flood all but a few take the short way.
        """
        if arrival.usage:
            self.usage.update(arrival.usage)
        if arrival.model:
            self._track.model = arrival.model[:MODEL_CHARS]
        if arrival.end is None and self._characters.are_whole(arrival) and self._splice.lets_pass(arrival):
            return self._writer.room() if self._queue(arrival, now) else None
        return self._take(arrival, now)

    async def _take(self, arrival: Arrival, now: float) -> None:
        for one in await self._splice.new(self._characters.whole(arrival)):
            if one.parts and self._queue(one, now):
                await self._writer.room()
        if arrival.end is not None:
            await self._verify(arrival.end)

    def _queue(self, arrival: Arrival, now: float) -> bool:
        cursor = arrival.cursor
        self._live.arrived(now, arrival.pieces)
        for part in arrival.parts:
            if part.kind == "truncate":
                take_back(part, self._splice.lengths, self._taken)
        if cursor is not None and self._splice.numbers:
            cursor = {**cursor, "numbers": dict(self._splice.numbers)}
        return self._writer.add(arrival.parts, cursor, self._voice)

    async def _verify(self, end: End) -> None:
        """Check length and hash, where the end mark carries them, against what was recorded."""
        self._splice.finish()
        have = sum(length for (_, kind), length in self._lengths().items() if kind == "text")
        if end.length is not None and end.length != have:
            msg = (
                f"stream {self._stream}: the end mark says {end.length:,} characters, {have:,} have come;"
                f" what came is saved, Regenerate asks for a new answer"
            )
            raise SourceMalformed(msg, retryable=end.length > have)
        if end.sha256 is not None and await self._writer.sha256(self._voice) != end.sha256.lower():
            msg = (
                f"stream {self._stream}: the text of {have:,} characters has not the sha256 its end mark names;"
                f" what came is saved, Regenerate asks for a new answer"
            )
            raise SourceMalformed(msg)
