"""
What happened to a stream, folded from its log into something of bounded size: curves, and the events beside them.

Only what the log says: the moments at which records were saved, how calls began and ended, and what the records tell
of the time between them. Times of a clock that was set back are taken as no time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from nbstream.errors import LogDamaged
from nbstream.log.readback import records_of
from nbstream.pictures import said
from nbstream.pictures.calls import Calls
from nbstream.records import TEXT_KINDS, Close, Delta, Open
from nbstream.truncation import text_truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbstream.log.contract import Log
    from nbstream.pictures.said import Event
    from nbstream.records import Part, Record

#: Points of one curve, at the most; beyond, two that stand close together become one.
MOST_POINTS = 200
#: A pause longer than this share of the whole time stays in the curve, however many points there are.
LONG_PAUSE = 0.02
#: Events kept from the beginning, and as many from the end.
MOST_EVENTS = 40
#: Agents with a curve of their own; the rest share one.
MOST_LANES = 12
#: With more agents than this, nobody reads when each of them waited, began and was complete.
FEW_AGENTS = 6
_TURNS = frozenset({"agent_start", "agent_end", "waiting"})
#: Pauses kept between two calls.
MOST_RESTS = 12


class Run(NamedTuple):
    """Records of one curve without a long pause between them: code points shown before, at the end, and how many."""

    begin: float
    end: float
    before: int
    after: int
    records: int


class Lane:
    """The text of one agent over time."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: Records that hold something of it.
        self.records = 0
        #: The most code points it ever showed: `truncate` takes some back.
        self.peak = 0
        self._lengths: dict[tuple[str, str], int] = {}
        self._chars = 0
        self._runs: list[Run] = []

    @property
    def chars(self) -> int:
        """Code points that stand now."""
        return self._chars

    @property
    def runs(self) -> list[Run]:
        """The curve."""
        return self._runs

    def take(self, part: Part) -> None:
        """Count one part."""
        name = part.agent, part.kind
        before = self._lengths.get(name, 0)
        if part.kind in TEXT_KINDS:
            self._lengths[name] = part.off + len(part.text)
        elif part.kind == "late":
            self._lengths[name] = before + said.chars_of(part)
        elif (back := text_truncated(part)) is not None:
            name = back[0]
            before = self._lengths.get(name, 0)
            self._lengths[name] = min(before, back[1])
        self._chars += self._lengths.get(name, before) - before

    def save(self, at: float) -> None:
        """Note that a record with something of it was saved."""
        self.records += 1
        before = self._runs[-1].after if self._runs else 0
        self._runs.append(Run(at, at, before, self._chars, 1))
        self.peak = max(self.peak, self._chars)
        if len(self._runs) > 2 * MOST_POINTS:
            self._runs = _joined(self._runs)


def _joined(runs: list[Run]) -> list[Run]:
    """Join neighbours two by two, where no long pause lies between them."""
    pause = LONG_PAUSE * (runs[-1].end - runs[0].begin)
    out: list[Run] = []
    single = True
    for run in runs:
        last = out[-1] if out else None
        if last is not None and single and run.begin - last.end <= pause:
            out[-1] = Run(last.begin, run.end, last.before, run.after, last.records + run.records)
            single = False
        else:
            out.append(run)
            single = True
    return out


class Story:
    """A fold over the records of one stream: `read_on` takes what was appended since the last time."""

    def __init__(self) -> None:
        self.tail = -1
        self.lanes: dict[str, Lane] = {}
        #: Agents that share the last lane.
        self.others: set[str] = set()
        self.calls = Calls()
        self.deltas = 0
        #: The first moment and the last.
        self.began = self.ended = 0.0
        #: Times between two calls in which nobody was at work, the longest ones.
        self.rests: list[tuple[float, float]] = []
        #: A clock was set back while it was recorded.
        self.set_back = False
        self.damage: LogDamaged | None = None
        self._first: list[Event] = []
        self._last: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._events = 0

    def read_on(self, log: Log) -> Story:
        """Fold what is new in *log*, up to its tail or to what is damaged (blocking)."""
        self.damage = None
        try:
            for record in records_of(log, self.tail):
                self.add(record)
        except LogDamaged as exc:
            self.damage = exc
        return self

    @property
    def events(self) -> Iterator[tuple[int, Event]]:
        """What happened, in order and numbered from 1; some numbers in the middle lack when there are very many."""
        yield from enumerate(self._first, 1)
        yield from enumerate(self._last, 1 + self._events - len(self._last))

    @property
    def agents(self) -> int:
        """How many agents there are."""
        return len(self.lanes) - bool(self.others) + len(self.others)

    @property
    def crowded(self) -> bool:
        """There are so many agents that `events` has not when they waited, began and were complete."""
        return self.agents > FEW_AGENTS

    def add(self, record: Record) -> None:
        """Move behind *record*."""
        self.tail += 1
        if isinstance(record, (Delta, Close)):
            for event in said.meanwhile(record, self.ended):
                self._tell(event, self._moment(event.at))
        before, at = self.ended, self._moment(record.at)
        if self.tail == 0:
            self.began = at
        if isinstance(record, Open):
            self._open(record, before, at)
        elif isinstance(record, Delta):
            self._delta(record, at)
        else:
            self._tell(said.closed(record, at), at)
        self.calls.add(record)

    def _open(self, record: Open, before: float, at: float) -> None:
        calls = self.calls
        if calls.opens and not calls.joins(record):
            if calls.open:
                self._tell(said.cut(before), before)
            self.rests = sorted([*self.rests, (before, at)], key=lambda rest: rest[0] - rest[1])[:MOST_RESTS]
        self._tell(said.opened(record, first=calls.opens == 0, at=at), at)

    def _delta(self, record: Delta, at: float) -> None:
        self.deltas += 1
        lanes = {}
        for part in record.parts:
            lane = self._lane(part.agent)
            lane.take(part)
            if part.kind not in ("agent_start", "agent_end", "waiting"):
                lanes[id(lane)] = lane
            event = said.marked(part, at)
            if event is not None:
                self._tell(event, at)
        for lane in lanes.values():
            lane.save(at)

    def _lane(self, agent: str) -> Lane:
        lane = self.lanes.get(agent)
        if lane is None and len(self.lanes) < MOST_LANES:
            lane = self.lanes[agent] = Lane(agent)
            if self.agents == FEW_AGENTS + 1:
                self._forget_turns()
        elif lane is None:
            self.others.add(agent)  # before the lane of all of them is there
            lane = self.lanes.setdefault("", Lane(""))
        return lane

    def _forget_turns(self) -> None:
        """Number the events anew without those that a crowd does not have; what is left out already stays so."""
        first, last = ([event for event in kept if event.what not in _TURNS] for kept in (self._first, self._last))
        middle = self._events - len(self._first) - len(self._last)
        if not middle:
            first, last = (first + last)[:MOST_EVENTS], (first + last)[MOST_EVENTS:]
        self._first, self._last = first, deque(last, maxlen=MOST_EVENTS)
        self._events = len(first) + middle + len(last)

    def _moment(self, value: object) -> float:
        at = said.moment(value, self.ended)
        if at < self.ended:
            self.set_back = True
        self.ended = max(self.ended, at)
        return self.ended

    def _tell(self, event: Event, at: float) -> None:
        if self.crowded and event.what in _TURNS:
            return
        event = event._replace(at=at)
        self._events += 1
        if self._events == len(self._first) + 1 <= MOST_EVENTS:
            self._first.append(event)
        else:
            self._last.append(event)
