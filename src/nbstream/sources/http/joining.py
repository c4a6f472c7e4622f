"""
Joining what one network chunk brought.

In a flood a chunk of 64 KiB holds hundreds of tokens. Nobody can see them apart, and recording them one by one costs
more than reading them: adjacent text of one agent becomes one arrival, whose cursor is that of its last event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.records import TEXT_KINDS

if TYPE_CHECKING:
    from nbstream.sources.contract import Arrival


def joined(arrivals: list[Arrival]) -> list[Arrival]:
    """Return *arrivals* with runs of adjacent text joined. Numbered ones stay apart: their numbers are checked."""
    out: list[Arrival] = []
    run: list[Arrival] = []
    for arrival in arrivals:
        if run and not _goes_on(run[-1], arrival):
            out.append(_as_one(run))
            run = []
        if _is_plain_text(arrival):
            run.append(arrival)
        else:
            out.append(arrival)
    if run:
        out.append(_as_one(run))
    return out


def _is_plain_text(arrival: Arrival) -> bool:
    return (
        len(arrival.parts) == 1
        and arrival.parts[0].kind in TEXT_KINDS
        and arrival.number is None
        and arrival.end is None
        and arrival.usage is None
        and arrival.model is None
        and arrival.error is None
    )


def _goes_on(before: Arrival, arrival: Arrival) -> bool:
    # Behind an event that names a place one without joins no more: the place would be lost.
    if not _is_plain_text(arrival) or (before.cursor is not None and arrival.cursor is None):
        return False
    last, part = before.parts[0], arrival.parts[0]
    if last.kind != part.kind or last.agent != part.agent:
        return False
    return arrival.start == (None if before.start is None else before.start + len(last.text))


def _as_one(run: list[Arrival]) -> Arrival:
    first, last = run[0], run[-1]
    if first is last:
        return first
    text = "".join(arrival.parts[0].text for arrival in run)
    return last._replace(parts=(first.parts[0]._replace(text=text),), start=first.start, pieces=len(run))
