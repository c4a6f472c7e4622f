"""Pages: what a view gets of a log. Joined parts, cut by size, and the state behind them; the log keeps the records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbstream import words
from nbstream.errors import LogDamaged, StoreFull, StreamError, StreamGone
from nbstream.records import Delta, join
from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Part

#: Records read from the log at a time while a page is filled, at the most, and how large one is at the most: what is
#: read beyond the page is decoded for nothing, and once more for the next one.
READ = 64
RECORD_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """The parts of records after+1 … upto."""

    after: int
    upto: int
    parts: tuple[Part, ...]
    bytes: int
    #: Why nothing behind `upto` can be read, where that is so.
    damage: LogDamaged | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the page as docs/protocol.md has it, without stream and state."""
        parts = [part.to_json() for part in self.parts]
        return {"type": "page", "after": self.after, "upto": self.upto, "parts": parts}


def page(log: Log, after: int, *, max_bytes: int) -> Page:
    """
    Return the page behind record *after*: at least one record if there is one, about *max_bytes* at the most.

    It ends at a damaged record. Raises `StreamGone`.
    """
    parts: list[Part] = []
    size, upto = 0, after
    damage: LogDamaged | None = None
    while size < max_bytes:
        try:
            records = log.read(upto, limit=_limit(max_bytes - size, read=upto - after, size=size))
        except LogDamaged as exc:
            damage = exc
            break
        for record in records:
            upto += 1
            if isinstance(record, Delta):
                parts.extend(record.parts)
                size += sum(_weight(part) for part in record.parts)
            if size >= max_bytes:
                break
        if not records:  # fewer than asked for may mean damage: the next read says so
            break
    return Page(after=after, upto=upto, parts=tuple(join(parts)), bytes=size, damage=damage)


def _limit(wanted: int, *, read: int, size: int) -> int:
    """Return how many records to read for *wanted* bytes, behind *read* of them with together *size*."""
    each = size / read if read else RECORD_BYTES
    return min(READ, max(1, math.ceil(wanted / each))) if each else READ


def state_of(
    facts: words.Facts,
    damaged: Page | None,
    complaint: str | None,
    agents: Mapping[str, words.Facts] | None = None,
    *,
    buttons: bool = True,
) -> dict[str, Any]:
    """
    Return `state` as docs/protocol.md has it.

    Args:
        facts: how the stream stands.
        damaged: the page that ends at a damaged record, if one does.
        complaint: what the last button could not do.
        agents: how the agents of a team stand.
        buttons: something can be done to the message: else no button is offered, and no line names one.

    """
    line, ended, offset = words.line(facts, buttons=buttons), words.ended_line(facts), facts.tail
    lost = words.lost_line(facts)
    shut = words.lost_line(facts, shut=True) if facts.outlives_kernel else ""
    if damaged is not None:
        # Readers end here: a tail that no page reaches would be asked for again and again, and nothing goes on behind.
        offset, lost, shut = min(offset, damaged.upto), "", ""
        line, ended = (_behind(said, str(damaged.damage)) for said in (line, ended))
    return {
        "state": str(facts.state),
        "line": _with(line, complaint),
        "ended": ended,
        "lost": lost,
        "shut": shut,
        "actions": words.actions(facts) if buttons else [],
        "offset": offset,
        "chars": facts.chars,
        "saved": facts.saved,
        "short": facts.state is State.COMPLETE and facts.finish == "length",
        "kept": words.kept(facts),
        **_agents(agents or {}, buttons=buttons),
    }


def _behind(line: str, damage: str) -> str:
    return f"{line} · {damage}" if line and damage not in line else line


def _agents(agents: Mapping[str, words.Facts], *, buttons: bool) -> dict[str, Any]:
    """Return what a team's lanes say, a field each: what does not change is not sent again."""
    if not agents:
        return {}
    return {
        "agents": {name: str(facts.state) for name, facts in agents.items()},
        "lines": {name: words.line(facts, buttons=buttons) for name, facts in agents.items()},
        "buttons": {name: words.actions(facts) for name, facts in agents.items()} if buttons else {},
    }


def state_unread(exc: StreamError, said: Mapping[str, Any], complaint: str | None) -> dict[str, Any]:
    """Return `state` of a stream that cannot be read, after *said*: its pages keep their text and ask no more."""
    state, line, lost = State(said.get("state", State.CONNECTING)), str(exc), ""
    if isinstance(exc, StreamGone):
        line = "gone: this stream was deleted or has expired; run the cell again to ask anew"
        lost = "running the cell again asks anew"
    if state.live and isinstance(exc, (StreamGone, LogDamaged)):
        state = State.FAILED  # for good; after another trouble (a store out of reach) the session looks again
    return {
        "state": str(state),
        "line": _with(line, complaint),
        "ended": "",
        "lost": lost,
        "shut": "",
        # Its recorder may be here, and Stop is Stop also while the store is out of reach.
        "actions": said.get("actions", []) if isinstance(exc, StoreFull) else [],
        "offset": -1,
        "chars": said.get("chars", 0),
        "saved": not isinstance(exc, StreamGone) and said.get("saved", True),
        "short": False,
        "kept": False,
    }


def _with(line: str, complaint: str | None) -> str:
    return words.plain(f"{line} · {complaint}" if complaint else line)


def _weight(part: Part) -> int:
    text = len(part.text) if part.text.isascii() else len(part.text.encode())
    return text + (len(str(part.fields)) if part.fields else 0)
