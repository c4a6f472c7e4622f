"""
What happened to a stream, in words: one author for the timeline and the wire.

Names of agents, errors and reasons were written by others. They leave here as one line without controls, of bounded
length; who shows them escapes them.
"""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from nbstream import words
from nbstream.records import TEXT_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbstream.records import Close, Delta, Open, Part

#: Longest text of one event.
LONGEST = 240
#: What JSON can carry and XML cannot: halves of characters, and two that are none.
_NO_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
#: How an `open` is told, the first one apart.
_OPENED = {
    "new": "called again",
    "resume": "resumed: the same message goes on",
    "continue": "continued: a new generation behind the text so far",
    "regenerate": "regenerated: a new answer to the same question",
}
_FIRST = {"regenerate": "called: a new answer to an old question"}
#: Why a call was not to be gone on with, where it is not that its connection was lost.
_GONE = {
    "SourceRefused": "refused",
    "SourceMalformed": "could not be read on",
    "SourceSilent": "silent connection dropped",
}
_CLOSED = {
    "complete": "complete: the source's own end mark",
    "stopped": "stopped by you",
    "interrupted": "interrupted",
    "failed": "failed",
}


class Event(NamedTuple):
    """
    One thing that happened, other than that text came.

    `at` is wall time in seconds, `what` its kind: how a call ends, `open` (a call), `lost`, `called`, `silent`,
    `kept`, `dropped`, `pings`, `cut` (a writer that wrote no `close`), or the kind of a part. `agent` is empty for the
    whole stream.
    """

    at: float
    what: str
    says: str
    agent: str = ""


def line(text: object, longest: int = LONGEST) -> str:
    """Return *text* as one line of bounded length, harmless to a terminal; not escaped."""
    text = words.plain(" ".join(_NO_XML.sub("\ufffd", str(text)[: 4 * longest]).split()))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def moment(value: object, last: float) -> float:
    """Return a wall time as a number; of a foreign record that has none, the *last* one."""
    return float(value) if type(value) in (int, float) and math.isfinite(value) else last  # type: ignore[arg-type]


def count(value: object) -> int:
    """Return a number that a record tells; 0 for what is none."""
    return value if type(value) is int and value > 0 else 0


def seconds(passed: float) -> str:
    """Return a time that has passed, in words."""
    if passed < 0.0005:
        return "0 s"
    if passed < 0.0995:
        return f"{passed * 1000:.0f} ms"
    if passed < 9.95:
        return f"{passed:.2g} s" if passed < 1 else f"{passed:.1f} s"
    if passed < 120:
        return f"{passed:.0f} s"
    if passed < 5400:
        return f"{passed / 60:.0f} min"
    return f"{passed / 3600:.0f} h" if passed < 172_800 else f"{passed / 86_400:.0f} days"


def clock(at: float) -> str:
    """Return the time of day of a wall time, in the local zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (ValueError, OverflowError, OSError):
        return "a time that is none"


def opened(record: Open, *, first: bool, at: float) -> Event:
    """Return how a call began."""
    found = (_FIRST if first else _OPENED).get(record.intent, "called")
    only = f", agent {record.agent} alone" if record.agent else ""
    return Event(at, "open", line(f"{found}{only}"))


def cut(at: float) -> Event:
    """Return what there is to say of a writer that is gone and wrote no `close`."""
    return Event(at, "cut", "cut: whoever recorded it was gone without a word")


def closed(record: Close, at: float) -> Event:
    """Return how a call ended."""
    why = _message(record.error)
    finish = f" ({record.finish})" if record.how == "complete" and record.finish not in (None, "stop") else ""
    return Event(at, record.how, line(f"{_CLOSED[record.how]}{finish}{f': {why}' if why else ''}"))


def meanwhile(record: Delta | Close, last: float) -> Iterator[Event]:
    """Return what happened on the wire before *record*; what is not of our form is passed by."""
    told = record.meanwhile
    for note in told if isinstance(told, (list, tuple)) else ():
        if isinstance(note, dict) and (says := _noted(note)):
            agent = note.get("agent")
            at = last = moment(note.get("at"), last)
            yield Event(at, str(note["what"]), line(says), agent if isinstance(agent, str) else "")


def marked(part: Part, at: float) -> Event | None:
    """Return what a part says that is neither text nor a tool call; None where there is nothing to tell."""
    fields = part.fields or {}
    if part.kind == "agent_start":
        says = "begins"
    elif part.kind == "agent_end":
        why = _message(fields.get("error")) or fields.get("message") or ""
        how = fields.get("status")
        says = f"{how or 'ends'}{f': {why}' if why else ''}"
        if how in ("stopped", "interrupted", "failed"):
            return Event(at, str(how), line(says), part.agent)
    elif part.kind == "waiting":
        on = fields.get("on")
        names = ", ".join(map(str, on)) if isinstance(on, list) else str(on or "")
        says = f"waits for {names or 'a free place'}"
    elif part.kind == "late":
        says = "a late piece came"
    elif part.kind in ("seam", "gap", "truncate"):
        says = words.mark(part)
    else:
        return None
    return Event(at, part.kind, line(says), part.agent) if says else None


def chars_of(part: Part) -> int:
    """Return how many code points of text a part brings."""
    if part.kind == "late":
        text = (part.fields or {}).get("text")
        return len(text) if isinstance(text, str) else 0
    return len(part.text) if part.kind in TEXT_KINDS else 0


def _noted(note: Mapping[str, Any]) -> str:
    told = _NOTES.get(str(note.get("what")))
    return told(note) if told is not None else ""


def _lost(note: Mapping[str, Any]) -> str:
    # The cause comes last: where there is little room it is cut.
    why, wait = _message(note.get("error")), moment(note.get("wait_s"), -1)
    again = f", to be called again after {seconds(wait)}" if wait >= 0 else ""
    error, status = note.get("error"), note.get("status")
    kind = error.get("type") if isinstance(error, dict) else None
    what = _GONE.get(kind, "connection lost") if isinstance(kind, str) else "connection lost"
    code = f" with {status}" if what == "refused" and type(status) is int else ""
    return f"{what}{code}{again}{f': {why}' if why else ''}"


def _called(note: Mapping[str, Any]) -> str:
    behind = note.get("behind")
    if behind is None:
        return "called again, from the beginning"
    return "called again, behind what is saved" + ("" if behind is True else f" ({behind})")


def _dropped(note: Mapping[str, Any]) -> str:
    return f"{words.size(count(note.get('chars')))} came once more: verified and dropped"


def _pings(note: Mapping[str, Any]) -> str:
    heard = count(note.get("count"))
    return f"{heard:,} ping{'' if heard == 1 else 's'} or comments came on this connection"


_NOTES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "lost": _lost,
    "called": _called,
    "silent": lambda _: "stalled: nothing comes",
    "kept": lambda _: "the user keeps waiting",
    "dropped": _dropped,
    "pings": _pings,
}


def _message(error: object) -> str:
    return str(error.get("message") or error.get("type") or "").rstrip(".") if isinstance(error, dict) else ""
