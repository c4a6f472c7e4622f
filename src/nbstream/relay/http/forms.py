"""The forms of an answer: records as they are, plain `agent_output` frames, and AG-UI (`agui.py`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from nbstream.log.readback import intact, records_of
from nbstream.records import Delta, encode
from nbstream.relay.held import id_line
from nbstream.relay.http.agui import AGUIRun
from nbstream.relay.http.answers import Refusal
from nbstream.truncation import truncated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Part, Record

#: A line of a comment, without a blank one behind it: many readers take a blank line for an event without data.
HELLO = b": nbstream\n"
PING = b": ping\n"


class EventForm(Protocol):
    """How an event stream shows a log."""

    #: Whether it says where the log ends by now, and what is live.
    status: bool
    #: Whether an id says which record it names, too.
    marked: bool

    def record(self, offset: int, record: Record) -> bytes:
        """Return the events of one record. Its offset is the id of the last: only then has all of it arrived."""

    def begin(self, log: Log, after: int) -> None:
        """Get ready to go on behind record *after*, which the client has; may block."""

    def rest(self, offset: int) -> bytes | None:
        """Return what ends the answer if the record at *offset*, the last one, leaves the stream at rest."""

    def end(self, log: Log, offset: int) -> bytes:
        """Return what stands behind `close(complete)`, which is at *offset*; may block."""


class Plain:
    """A record as its JSON, for answers that are no event stream."""

    def record(self, offset: int, record: Record) -> bytes:  # noqa: ARG002 - its place in the list says it
        """See `Encoder.record`."""
        return encode(record)


class _Unending:
    """A form that remembers nothing, and goes on while the stream may be resumed."""

    marked = False

    def begin(self, log: Log, after: int) -> None:
        """See `EventForm.begin`."""

    def rest(self, offset: int) -> bytes | None:  # noqa: ARG002 - never
        """See `EventForm.rest`."""
        return None


class Records(_Unending):
    """Everything: each record is an event, its offset the id."""

    status = True

    def record(self, offset: int, record: Record) -> bytes:
        """See `EventForm.record`."""
        return b"%bdata: %b\n\n" % (id_line(offset, record.at, marked=self.marked), encode(record))

    def end(self, log: Log, offset: int) -> bytes:  # noqa: ARG002 - the record itself says it all
        """See `EventForm.end`."""
        return b""


class AgentOutput(_Unending):
    """
    Frames `{type: "agent_output", agent, content, sequence}`, one for each part of text, and `done` at the end.

    Text that is taken back was sent, maybe to somebody who has shown it: a frame `{type: "truncate", agent, length,
    sequence}` says how much of it stays. What came behind a gap that it belongs in is a frame `{type: "late", agent,
    content, at, number, sequence}`. A record may be several frames, and only the last has the id. Cut between
    them, a client asks again behind the record before, and gets the first ones twice rather than never: `sequence`
    (dense for each agent) tells it.
    """

    status = False

    def record(self, offset: int, record: Record) -> bytes:
        """See `EventForm.record`."""
        frames = [
            b"data: %b\n" % _json(frame)
            for part in (record.parts if isinstance(record, Delta) else ())
            if (frame := _frame(part)) is not None
        ]
        name = id_line(offset, record.at, marked=self.marked)
        return b"\n".join(frames) + name + b"\n" if frames else b""

    def end(self, log: Log, offset: int) -> bytes:
        """See `EventForm.end`. The length is that of all text that stays, sent now or before the client came back."""
        lengths: dict[str, int] = {}
        late = 0
        for record in intact(records_of(log)):
            for part in record.parts if isinstance(record, Delta) else ():
                if part.kind == "text":
                    lengths[part.agent] = lengths.get(part.agent, 0) + len(part.text)
                elif part.kind == "late":
                    late += len(_late(part)["content"])
                elif (length := _stays(part)) is not None:
                    lengths[part.agent] = min(length, lengths.get(part.agent, 0))
        # With an id: who comes back behind it is told that there is nothing more.
        return b"id: %d\n%b" % (offset, event("done", {"length": sum(lengths.values()) + late}))


def _frame(part: Part) -> dict[str, Any] | None:
    if part.kind == "text":
        return {"type": "agent_output", "agent": part.agent, "content": part.text, "sequence": part.sequence}
    if (length := _stays(part)) is not None:
        return {"type": "truncate", "agent": part.agent, "length": length, "sequence": part.sequence}
    if part.kind == "late":
        return {"type": "late", "agent": part.agent, **_late(part), "sequence": part.sequence}
    return None


def _late(part: Part) -> dict[str, Any]:
    fields = part.fields or {}
    return {"content": str(fields.get("text") or ""), "at": fields.get("at"), "number": fields.get("number")}


def _stays(part: Part) -> int | None:
    """Return how much of its agent's text a truncate leaves; None for anything else."""
    found = truncated(part)
    return found[1] if found is not None and found[0][1] == "text" else None


def event_form(name: str | None, *, marked: bool = False) -> EventForm:
    """Return the form that `format=` names; see `EventForm.marked`."""
    forms: dict[str, type[EventForm]] = {"records": Records, "agent_output": AgentOutput, "agui": AGUIRun}
    if (name or "records") not in forms:
        raise Refusal(400, "format: records, agent_output or agui")
    form = forms[name or "records"]()
    form.marked = marked
    return form


def event(name: str, data: Any) -> bytes:
    """Return an event that is no record, so that it has no id."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _json(data))


def live_number(live: Mapping[str, Any] | None) -> int:
    """Return the number that changes with the live status; 0 while nothing is recorded here."""
    return 0 if live is None else int(live["n"])


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
