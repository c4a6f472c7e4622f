"""
Frames that count themselves, in their order: early ones wait, late ones find their place, and what is missing is named.

    number = last + 1    goes on, and what waited for it goes with it
    number > last + 1    waits for those before it, 2 s or 64 frames long; then the hole is asked for again, from an
                         older event if need be; then it is a `gap` that the user sees, and the text goes on behind it
    in a named gap       a `late` part at the place of the gap
    number <= last       came before, and is dropped (`Splice` does that)

Ids are not always unique (LangGraph's are milliseconds): a call that is resumed between two events of one id begins
behind both. The numbers show it, and an older id brings both.

While a frame waits, no other one moves the place to go on behind: the upstream would never send it again. What goes on
meanwhile is stored with the old place and the new numbers: sent again, it is dropped by its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.errors import SourceMalformed
from nbstream.recorder.gaps import Gap
from nbstream.records import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbstream.recorder.gaps import Gaps
    from nbstream.recorder.progress import Name
    from nbstream.records import Cursor
    from nbstream.sources.contract import Arrival

#: How long, and how many frames of an agent, wait for those before them.
EARLY_S = 2.0
EARLY = 64
#: Of a late frame, so much stands in one part: a record has 16 KiB.
LATE_CHARS = 3800


class Hole(SourceMalformed):
    """A frame is missing, and may come if it is asked for again."""

    @property
    def type(self) -> str:
        """Its name for users: that of its kind."""
        return SourceMalformed.__name__


class Ordering:
    """
    Orders the arrivals of one connection.

    *numbers* and *lengths* are those of the connection's `Splice`, which counts along; *gaps* are those named so far,
    *place* is the last one that is stored.
    """

    def __init__(
        self, numbers: dict[str, int], lengths: dict[Name, int], gaps: Gaps, place: Cursor | None = None
    ) -> None:
        self._numbers, self._lengths, self._gaps = numbers, lengths, gaps
        #: agent -> number -> (when it came, the frame), in the order in which they came.
        self._early: dict[str, dict[int, tuple[float, Arrival]]] = {}
        #: The last place the upstream named on this connection, and the one behind which everything has gone on.
        self._cursor: Cursor | None = None
        self._place = place

    @property
    def waiting(self) -> bool:
        """Whether a frame waits for one before it."""
        return bool(self._early)

    def in_order(self, arrival: Arrival) -> bool:
        """Whether there is nothing to do."""
        if self._early:
            return False
        if arrival.number is not None and arrival.parts:
            have = self._have(arrival)
            if arrival.number <= have:
                return not self._gaps  # came before: its place may be older than the one that is stored
            if arrival.number > have + 1:
                return False
        elif arrival.parts:
            self._place = None  # sent again, it has no number to be dropped by
        self._place = arrival.cursor or self._place
        return True

    def is_early(self, arrival: Arrival) -> bool:
        """Whether *arrival* has to wait."""
        return arrival.number is not None and bool(arrival.parts) and arrival.number > self._have(arrival) + 1

    def sort(self, arrival: Arrival, now: float) -> Iterator[Arrival]:
        """Take one arrival; yield what goes on now. To be taken one by one, since numbers and lengths count along."""
        self._cursor = arrival.cursor or self._cursor
        number = arrival.number
        if arrival.end is not None:
            yield from self.settle()
            yield arrival
        elif number is None or not arrival.parts:
            if arrival.parts:
                self._place = None  # as above
            yield arrival._replace(cursor=None)
        elif (have := self._have(arrival)) >= number:
            yield from self._late(arrival) or [arrival._replace(cursor=None) if self._early else arrival]
        elif number == have + 1:
            yield self._placed(arrival, arrival.cursor)
            yield from self._next(arrival.parts[0].agent)
        else:
            waiting = self._early.setdefault(arrival.parts[0].agent, {})
            waiting.setdefault(number, (now, arrival))
            if len(waiting) >= EARLY:
                yield from self._skip(arrival.parts[0].agent)

    def hole(self, now: float | None = None) -> tuple[str, int, int] | None:
        """Return (agent, expected, got) of a hole for which nobody waits any longer; without *now*, of any hole."""
        for agent, waiting in self._early.items():
            # All that wait stand behind the agent's first hole, so it is as old as the first of them to come.
            since, _ = next(iter(waiting.values()))
            if now is None or now - since >= EARLY_S or len(waiting) >= EARLY - 1:
                return agent, self._numbers.get(agent, 0) + 1, min(waiting)
        return None

    def settle(self) -> Iterator[Arrival]:
        """Wait no longer: yield everything that waits, each behind the gap before it."""
        while self._early:
            yield from self._skip(next(iter(self._early)))

    def _placed(self, arrival: Arrival, cursor: Cursor | None) -> Arrival:
        """Return *arrival* with the place to go on behind: *cursor*, unless a frame waits."""
        if not self._early:
            self._place = cursor or self._place
            return arrival._replace(cursor=cursor)
        return arrival._replace(cursor=self._place)

    def _have(self, arrival: Arrival) -> int:
        """Return the number before the next frame; one far from 1 begins in the middle of somebody else's count."""
        assert arrival.number is not None  # noqa: S101 - for the type checker
        agent = arrival.parts[0].agent
        if agent in self._numbers:
            return self._numbers[agent]
        return 0 if 1 <= arrival.number <= EARLY else arrival.number - 1

    def _next(self, agent: str) -> Iterator[Arrival]:
        """Yield what waited for the frame that has just gone on."""
        waiting = self._early.get(agent, {})
        while (number := self._numbers.get(agent, 0) + 1) in waiting:
            _, one = waiting.pop(number)
            if not waiting:
                self._early.pop(agent, None)
            # The last one names the place behind all that has come.
            yield self._placed(one, self._cursor)

    def _skip(self, agent: str) -> Iterator[Arrival]:
        """Name the gap before the first frame of *agent* that waits, and go on behind it."""
        first = min(self._early[agent])
        expected, at = self._numbers.get(agent, 0) + 1, self._lengths.get((agent, "text"), 0)
        if first > expected:
            self._gaps.add(agent, Gap(expected, first - 1, at))
            self._numbers[agent] = first - 1
            fields = {"expected": expected, "got": first, "at": at}
            _, one = self._early[agent][first]
            yield one._replace(parts=(Part("gap", agent=agent, fields=fields),), cursor=None, start=None, number=None)
        # What came before under a number that is passed by now waits for nothing.
        for number in [number for number in self._early[agent] if number < first]:
            del self._early[agent][number]
        yield from self._next(agent)

    def _late(self, arrival: Arrival) -> list[Arrival]:
        """Return a frame of a named gap as `late` parts at its place; nothing if it is in none."""
        agent, number = arrival.parts[0].agent, arrival.number
        gap = self._gaps.find(agent, number) if number is not None else None
        if gap is None or number is None:
            return []
        closes = self._gaps.fill(agent, number)
        text = "".join(part.text for part in arrival.parts)
        pieces = [text[at : at + LATE_CHARS] for at in range(0, len(text), LATE_CHARS)] or [""]
        parts = []
        for piece in pieces:
            last = piece is pieces[-1]
            fields = {"number": number, "at": gap.at, "text": piece, "closes": closes and last}
            parts.append(Part("late", agent=agent, fields=fields))
        return [self._placed(arrival._replace(parts=tuple(parts), number=None, start=None), arrival.cursor)]
