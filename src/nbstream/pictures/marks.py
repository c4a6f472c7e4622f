"""The marks above the curves of a timeline: a number for each event, one mark for those of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nbstream.pictures.said import Event

#: Pixels between two rows of marks, and free between two marks of one row: the tips of two diamonds.
ROW = 18
FREE = 4.0
#: How near to each other events are of one moment, in pixels, and rows of marks at the most: where they would be more,
#: events further apart share a mark.
NEAR = 2.0
MOST_ROWS = 4

#: What an event is: it goes on (a disc), trouble (a diamond), the end of a call (a square), or a remark (a ring).
_KINDS = {
    "open": "on", "called": "on", "kept": "on", "agent_start": "on",
    "lost": "bad", "silent": "bad", "cut": "bad", "gap": "bad", "truncate": "bad",
    "interrupted": "bad", "failed": "bad",
    "complete": "end", "stopped": "end", "agent_end": "end",
}  # fmt: skip
#: Of several events in one mark the first of these that one of them is.
_FIRST = ("bad", "end", "on", "note")


class Listed(NamedTuple):
    """An event with its number and its place."""

    number: int
    event: Event
    x: float


class Mark(NamedTuple):
    """Events of one moment, in the row in which their mark covers no other."""

    events: tuple[Listed, ...]
    row: int = 0

    @property
    def label(self) -> str:
        """The numbers of the events."""
        first, last = self.events[0].number, self.events[-1].number
        return f"{first}" if first == last else f"{first}-{last}"

    @property
    def x(self) -> float:
        """The middle between the first event and the last."""
        return (self.events[0].x + self.events[-1].x) / 2

    @property
    def half(self) -> float:
        """Half its width."""
        return max(8.5, 4 + 3.2 * len(self.label))

    def svg(self, x: float, y: float) -> str:
        """Return its shape around a place."""
        kinds = {_KINDS.get(one.event.what, "note") for one in self.events}
        kind = next(one for one in _FIRST if one in kinds)
        half, flat = self.half, 2 * self.half - 17
        if kind == "bad":
            shape = (
                f'<path class="bad" d="M{x - half - 2:.1f} {y:.1f}l10.5-10.5h{flat:.1f}l10.5 10.5-10.5 10.5'
                f'h-{flat:.1f}z"/>'
            )
        else:
            rounded = {"on": 8.5, "end": 0, "note": 4}[kind]
            shape = (
                f'<rect class="{kind}" x="{x - half:.1f}" y="{y - 8.5:.1f}" width="{2 * half:.1f}" height="17"'
                f' rx="{rounded}"/>'
            )
        return f'{shape}<text class="n" x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle">{self.label}</text>'


def placed(listed: list[Listed]) -> tuple[list[Mark], int]:
    """Return the marks of events in their order, and how many rows they need."""
    near = NEAR
    while True:
        marks, rows = _rows(_joined(listed, near))
        if rows <= MOST_ROWS:
            return marks, rows
        near *= 2


def _joined(listed: list[Listed], near: float) -> list[Mark]:
    marks: list[Mark] = []
    for one in listed:
        last = marks[-1].events if marks else ()
        if last and one.number == last[-1].number + 1 and one.x - last[0].x <= near:
            marks[-1] = Mark((*last, one))
        else:
            marks.append(Mark((one,)))
    return marks


def _rows(marks: list[Mark]) -> tuple[list[Mark], int]:
    ends: list[float] = []
    out = []
    for mark in marks:
        begin = mark.x - mark.half
        row = next((row for row, end in enumerate(ends) if begin - end >= FREE), len(ends))
        ends[row : row + 1] = [mark.x + mark.half]
        out.append(mark._replace(row=row))
    return out, len(ends)
