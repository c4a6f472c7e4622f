"""
The state line in words, and which buttons stand beside it.

Honest words: *resumed* is the same message, *continued* a new generation behind it, *regenerated* a new stream. Every
state that is not final says what to do next. One author for page, terminal and saved form.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbstream.records import TEXT_KINDS
from nbstream.state import State
from nbstream.truncation import truncated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.records import Part

#: Controls (C0, C1, DEL), line and paragraph separators, and what turns the direction of writing.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
#: A new kernel does not know the cell's magic yet.
_FIRST = "(%load_ext nbstream first)"
#: An answer that came within less has no speed worth telling.
SPEED_S = 0.5
#: The smallest price that is told.
LEAST_USD = 0.0001
#: Types of unknown pieces that the line names.
UNKNOWN_NAMED = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to say. Times are seconds; moments are seconds since the epoch."""

    state: State
    chars: int = 0
    tail: int = -1
    model: str | None = None
    saved: bool = True
    note: str | None = None
    error: Mapping[str, Any] | None = None
    finish: str | None = None
    retries: int = 0
    retry_in_s: float | None = None
    silent_s: float | None = None
    #: Pieces a second as the source sends them: about a token each, but nobody has counted.
    speed: float | None = None
    #: All its calls together; the time between them does not count.
    took_s: float | None = None
    #: The part of it in which the answer came: without the wait for its first piece.
    came_s: float | None = None
    ended_at: float | None = None
    #: Tokens as the provider counted them, and about what they cost, in US dollars.
    usage: Mapping[str, int] = field(default_factory=dict)
    cost: float | None = None
    #: Somebody else's process records it.
    elsewhere: bool = False
    #: A relay records it, whatever becomes of the kernel.
    outlives_kernel: bool = False
    #: Calling again would repeat neither text nor money.
    resumable: bool = True
    #: A new generation can go on behind the text.
    continuable: bool = False
    #: Why none can, where that is to be said.
    hindrance: str | None = None
    #: The question can be asked anew from here (a Python object cannot: its cell makes it).
    repeatable: bool = True
    #: The saved answer is shown instead of a new call.
    from_store: bool = False
    #: How often this message was resumed, and how often a new generation went on behind it.
    resumed: int = 0
    continued: int = 0
    #: The stream lies in the memory of its process (`--no-save`).
    in_memory: bool = False
    #: Type -> how many pieces of it came that nobody here can show.
    unknown: Mapping[str, int] = field(default_factory=dict)
    #: The buttons of `actions` stand beside the line.
    buttons: bool = True
    #: The line says what can be done.
    ways: bool = True
    #: A saved stream is played once more, without a call.
    replayed: bool = False


def actions(facts: Facts) -> list[str]:
    """Return the buttons to offer, in order."""
    if facts.state is State.STALLED:
        return ["keep", *(["resume"] if facts.resumable else []), "stop"]
    if facts.state.live:
        return ["stop"]
    if facts.state is State.COMPLETE:
        return ["regenerate"] if facts.repeatable else []
    # What was refused before any text has nothing to go on behind: asking again is all there is.
    resumes = facts.resumable and not (facts.state is State.FAILED and not facts.chars and facts.repeatable)
    continues = facts.continuable and not resumes
    offers = ("resume", resumes), ("continue", continues), ("regenerate", facts.repeatable)
    return [name for name, offered in offers if offered]


def line(facts: Facts, *, buttons: bool = True) -> str:
    """Return the whole state line. *buttons*: those of `actions` stand beside it; else nothing may name one."""
    facts = replace(facts, buttons=buttons)
    said = [_HEADS[facts.state](facts), *_figures(facts)]
    if facts.note and facts.note != said[0]:
        said.append(facts.note)
    return plain(" · ".join(part for part in said if part))


def ended_line(facts: Facts) -> str:
    """Return how a message at rest ended, for a page without a kernel; what to do then `lost_line` says."""
    return "" if facts.state.live else line(replace(facts, ways=False), buttons=False)


def kept(facts: Facts) -> bool:
    """Return whether a message that grows is on disk up to its tail: a page says so, but not in the line (too long)."""
    return facts.state.live and facts.saved and not facts.in_memory


def saved_line(facts: Facts) -> str:
    """Return the last line of the saved form: a file that was saved mid-message says so, and how to go on."""
    if not facts.state.live:
        return line(facts, buttons=False)
    after = lost_line(facts)
    if facts.outlives_kernel:
        # A file outlives the kernel, and whoever opens it does not know how that ended.
        after = f"the answer goes on unless its kernel is shut down: run the cell again to see what came {_FIRST}"
    return f"saved while it was {facts.state}: {size(facts.chars)}; {after}"


def lost_line(facts: Facts, *, shut: bool = False) -> str:
    """
    Return, behind "N characters; ", what becomes of the message when its kernel is gone.

    *shut*: it was shut down for good; then a relay closes the call too. What running the cell again does is said as
    the table in `rerun` has it.
    """
    if facts.replayed:
        return "running the cell again plays it again"
    if facts.outlives_kernel and not shut:
        return f"the answer goes on: run the cell again to see it all {_FIRST}"
    if facts.in_memory:
        gone = "the rest was kept in memory only and is gone with the kernel"
        return gone if facts.state.live else "it was kept in memory only: running the cell again asks anew"
    refused = facts.state is State.FAILED and not facts.chars
    if not facts.repeatable or facts.state in (State.STOPPED, State.COMPLETE) or refused:
        return "running the cell again asks anew"
    if not facts.resumable:
        further = ", and a new generation can continue it" if facts.continuable else ""
        return f"the source cannot resume: running the cell again shows what is saved{further}"
    return f"run the cell again to {'go on behind them' if facts.chars else 'ask again'} {_FIRST}"


def mark(part: Part) -> str:
    """Return what a break in the text says of itself: a seam, a gap, what was taken back; may be empty."""
    fields = part.fields or {}
    if part.kind == "seam":
        why = str(fields.get("why") or "")
        return plain(f"continued here by a new generation{f': {why}' if why else ''}")
    if part.kind == "gap":
        first, got = fields.get("expected"), fields.get("got")
        if type(first) is not int or type(got) is not int or got <= first:
            return "something is missing here"
        return f"missing here: piece {first}" if got == first + 1 else f"missing here: pieces {first} to {got - 1}"
    (_, kind), length = truncated(part) or (("", ""), 0)
    if kind not in TEXT_KINDS:
        return "tool calls above were taken back" if kind else ""
    return f"taken back: {size(length)} of the {kind} above stay"


def plain(text: str) -> str:
    """Return *text* as one line that no terminal obeys: servers name models and write errors."""
    return _UNSEEN.sub("", text)


def size(chars: int) -> str:
    """Return a number of characters in words."""
    return f"{chars:,} character{'' if chars == 1 else 's'}"


def moment(at: float) -> str:
    """Return wall time as people write it, in the local zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _figures(facts: Facts) -> list[str]:
    out = []
    if facts.model and facts.state not in (State.RETRYING, State.STALLED):
        out.append(facts.model)
    if facts.chars:
        out.append(size(facts.chars))
    if facts.state is State.STREAMING and facts.speed is not None:
        out.append(f"{facts.speed:,.0f} pieces/s")
    if not facts.state.live and facts.took_s is not None:
        out.append(f"{facts.took_s:,.1f} s")
    if not facts.state.live and facts.usage:
        out += filter(None, [_tokens(facts)])
    if not facts.state.live and facts.cost is not None:
        out.append(_price(facts.cost))
    if facts.unknown and not facts.state.live and facts.state is not State.FAILED:
        out.append(_unknown(facts))
    out += _gone_on(facts)
    if facts.in_memory:
        out.append("kept in memory only")
    return out


def _tokens(facts: Facts) -> str:
    read, written = facts.usage.get("input"), facts.usage.get("output")
    counts = [f"{_count(read)} in" if read is not None else "", f"{written:,} out" if written is not None else ""]
    total = facts.usage.get("total")
    told = ", ".join(filter(None, counts)) or (_count(total) if total is not None else "")
    # Of a message in several calls nobody says which of them the tokens are of; of a very short one it says nothing.
    timed = written and facts.came_s is not None and facts.came_s >= SPEED_S and not (facts.resumed or facts.continued)
    return f"{told} ({written / facts.came_s:,.0f}/s)" if timed and written and facts.came_s else told


def _count(tokens: int) -> str:
    return f"{tokens:,} token{'' if tokens == 1 else 's'}"


def _price(dollars: float) -> str:
    # No dollar sign: a notebook takes two of them for a formula.
    if dollars >= 1:
        return f"about {dollars:,.2f} USD"
    if 0 < dollars < LEAST_USD:
        return f"less than {LEAST_USD:.4f} USD"
    return f"about {dollars:.2g} USD" if dollars else "no charge"


def _gone_on(facts: Facts) -> list[str]:
    """Say how often a message at rest went on: the same one, and by a new generation."""
    if facts.state.live:
        return []
    resumed = [f"resumed {_times(facts.resumed)}"] if facts.resumed else []
    return [*resumed, f"continued {_times(facts.continued)} by a new generation"] if facts.continued else resumed


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _unknown(facts: Facts) -> str:
    count = sum(facts.unknown.values())
    names = ", ".join(list(facts.unknown)[:UNKNOWN_NAMED]) + (", ..." if len(facts.unknown) > UNKNOWN_NAMED else "")
    return f"{count:,} piece{'' if count == 1 else 's'} of unknown kind not shown ({names})"


def _connecting(facts: Facts) -> str:
    if facts.note and facts.note.startswith("waiting for "):
        return facts.note  # for other agents, or for a slot: nothing is connected yet
    return "connecting" if facts.note else "connecting: waiting for the first text"


def _streaming(facts: Facts) -> str:
    head = "streaming" if facts.chars else "connected: waiting for the first text"
    return f"{head} (recorded by another process)" if facts.elsewhere else head


def _retrying(facts: Facts) -> str:
    wait = f"next try in {facts.retry_in_s:.0f} s" if facts.retry_in_s and facts.retry_in_s >= 1 else "trying again"
    # Before any text there was no connection, or one without use: the cause says which.
    lost = (facts.error or {}).get("type") == "SourceLost"
    what = ("connection lost" if lost else "the server is busy") if facts.chars else "no text yet"
    return f"{what}, {wait} (try {facts.retries}){_because(facts)}"


def _stalled(facts: Facts) -> str:
    silent = f"nothing has come for {facts.silent_s:.0f} s" if facts.silent_s else "nothing comes"
    return f"stalled: {silent}{'. Keep waiting, or Stop?' if facts.buttons else ''}"


def _stopped(facts: Facts) -> str:
    return f"stopped by you{_because(facts)}"


def _interrupted(facts: Facts) -> str:
    cause = _message(facts)
    if not facts.chars:
        how = _resume(facts, "asks again") if facts.resumable else _anew(facts)
        return _with("interrupted before any text", cause, how)
    how = _resume(facts, "goes on behind it") if facts.resumable else _unable(facts)
    return _with("interrupted", cause, ", ".join(filter(None, ["everything shown is saved", how])))


def _failed(facts: Facts) -> str:
    resumes = "resume" in actions(facts)
    how = _resume(facts, "tries again") if resumes else _continue(facts) if facts.chars else _anew(facts)
    return _with("failed", _message(facts), how)


def _complete(facts: Facts) -> str:
    head = "complete"
    if facts.finish == "length":
        head = "complete: cut off by the token limit"
    elif facts.finish not in (None, "stop"):
        head = f"complete ({facts.finish})"
    if not facts.from_store or facts.ended_at is None:
        return head
    how = "Regenerate" if facts.repeatable else "run its cell"
    return f"{head}, saved at {moment(facts.ended_at)}" + (f", {how} for a new one" if facts.buttons else "")


def _with(head: str, cause: str, how: str) -> str:
    """Return how it ended, why, and what to do now, in this order: the cause is what a reader looks for."""
    told = "; ".join(filter(None, [cause, how]))
    return f"{head}: {told}" if told else head


def _unable(facts: Facts) -> str:
    return f"the source cannot resume; {_continue(facts)}" if facts.ways else ""


def _continue(facts: Facts) -> str:
    """Say how a new generation goes on behind the text, or why none does; it asks first, as it costs and may differ."""
    if not facts.ways:
        return ""
    if facts.continuable:
        return "Continue lets a new generation go on" if facts.buttons else "it can be continued by a new generation"
    return "; ".join(filter(None, [facts.hindrance, _anew(facts)]))


def _resume(facts: Facts, does: str) -> str:
    if not facts.ways:
        return ""
    return f"Resume {does}" if facts.buttons else "it can be resumed"


def _anew(facts: Facts) -> str:
    if not facts.ways:
        return ""
    if not facts.repeatable:
        return "run its cell to ask anew"
    return "Regenerate asks anew" if facts.buttons else "it can be asked anew"


def _because(facts: Facts) -> str:
    message = _message(facts)
    return f" ({message})" if message else ""


def _message(facts: Facts) -> str:
    return str((facts.error or {}).get("message") or "").rstrip(".")


_HEADS = {
    State.CONNECTING: _connecting,
    State.STREAMING: _streaming,
    State.RETRYING: _retrying,
    State.STALLED: _stalled,
    State.STOPPED: _stopped,
    State.INTERRUPTED: _interrupted,
    State.FAILED: _failed,
    State.COMPLETE: _complete,
}
