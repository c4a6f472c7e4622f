"""
A log as one AG-UI run, for any client that speaks the protocol.

AG-UI knows messages, tool calls and subagents that begin and end, where a log has parts: so this form remembers what
is open, and one that begins in the middle reads what is before it. A run that is at rest is over: what AG-UI ends with
RUN_ERROR, or with a run that was cancelled, may be resumed in a log, and is another run then.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.log.readback import records_of
from nbstream.records import ASSISTANT, TEXT_KINDS, Close, Delta, Open
from nbstream.relay.held import id_line
from nbstream.sources.formats.usage import CAMEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Part, Record

    Event = dict[str, Any]

#: Parts that are told as CUSTOM events `nbstream.<kind>`.
CUSTOM = frozenset({"waiting", "truncate", "seam", "gap", "late"})


class AGUIRun:
    """Says each record as the AG-UI events that it is; the id of the last one is the record's offset."""

    status = marked = False

    def __init__(self) -> None:
        self._stream = self._run = ""
        self._running = False
        #: The last record, if it is a close that another open may follow.
        self._resting: Close | None = None
        self._told = False
        #: agent -> kind and id of the message that it is in.
        self._messages: dict[str, tuple[str, str]] = {}
        self._count = 0
        #: agent and index -> id of a tool call; those that have not ended.
        self._calls: dict[tuple[str, int], str] = {}
        self._unfinished: dict[str, str] = {}
        #: agent -> id of the invocation that it is in; how many it had.
        self._subagents: dict[str, str] = {}
        self._invocations: dict[str, int] = {}
        self._waits: list[Event] = []

    def begin(self, log: Log, after: int) -> None:
        """Read up to record *after*, which the client has."""
        for offset, record in enumerate(records_of(log)):
            if offset > after:
                break
            self._events(offset, record)
        if self._resting is not None:
            self._end(self._resting)  # what was open has ended with that run
            self._told = True

    def record(self, offset: int, record: Record) -> bytes:
        """See `EventForm.record`."""
        return self._encoded(self._events(offset, record), offset, record.at)

    def rest(self, offset: int) -> bytes | None:
        """Return the end of a run that is at rest, None while it may go on by itself."""
        close = self._resting
        if close is None:
            return None
        return b"" if self._told else self._encoded(self._end(close), offset, close.at)

    def end(self, log: Log, offset: int) -> bytes:  # noqa: ARG002 - the record itself says it all
        """See `EventForm.end`."""
        return b""

    def _encoded(self, events: list[Event], offset: int, at: float) -> bytes:
        """Return *events* as server-sent ones; only the last has the id: only then has all of the record arrived."""
        stamped = ({**event, "timestamp": int(at * 1000)} for event in events)
        out = b"".join(b"data: %b\n\n" % _json(event) for event in stamped)
        return out[:-1] + id_line(offset, at, marked=self.marked) + b"\n" if events else b""

    def _events(self, offset: int, record: Record) -> list[Event]:
        if isinstance(record, Open):
            return self._opens(offset, record)
        if isinstance(record, Delta):
            return [event for part in record.parts for event in self._part(part)]
        if record.how == "complete":
            return self._end(record)
        self._resting = record
        return []

    def _opens(self, offset: int, record: Open) -> list[Event]:
        if self._told:
            self._running = False
        self._resting, self._told = None, False
        if self._running:
            return []
        self._stream, self._running = record.stream, True
        self._run = f"{record.stream}-{offset}" if offset else record.stream
        return [{"type": "RUN_STARTED", "threadId": self._stream, "runId": self._run, "protocolVersion": "1.0"}]

    # -- parts ------------------------------------------------------------------------------------------------------

    def _part(self, part: Part) -> list[Event]:
        fields = part.fields or {}
        if part.kind in TEXT_KINDS:
            return self._says(part)
        if part.kind in {"agent_start", "agent_end"}:
            if part.kind == "agent_start":
                return self._starts(part.agent, fields.get("parent"))
            return self._stops(part.agent, str(fields.get("status")), _message(fields))
        if part.kind in {"tool_call", "tool_result"}:
            return (self._calls_tool if part.kind == "tool_call" else self._result)(part.agent, fields)
        return self._custom(part) if part.kind in CUSTOM else []

    def _custom(self, part: Part) -> list[Event]:
        """Return the event for what AG-UI has no word for."""
        value = {"agent": part.agent, **(part.fields or {})}
        if part.kind == "waiting" and isinstance(value.get("on"), str):  # else for an agent, or a slot: asks nobody
            self._waits.append(value)
        # A late piece belongs further up: what is being said goes on.
        before = [] if part.kind == "late" else self._closes(part.agent)
        return [*before, {"type": "CUSTOM", "name": f"nbstream.{part.kind}", "value": value}]

    def _says(self, part: Part) -> list[Event]:
        events = self._starts(part.agent)
        kind = "REASONING" if part.kind == "reasoning" else "TEXT"
        open_kind, message = self._messages.get(part.agent, ("", ""))
        if open_kind != kind:
            events += self._closes(part.agent)
            self._count += 1
            message = f"{self._run}-m{self._count}"
            self._messages[part.agent] = kind, message
            about = {"messageId": message, **self._whose(part.agent)}
            if kind == "REASONING":
                events.append({"type": "REASONING_START", **about})
                events.append({"type": "REASONING_MESSAGE_START", "role": "reasoning", **about})
            else:
                events.append({"type": "TEXT_MESSAGE_START", "role": "assistant", **about})
        name = "REASONING_MESSAGE_CONTENT" if kind == "REASONING" else "TEXT_MESSAGE_CONTENT"
        return [*events, {"type": name, "messageId": message, "delta": part.text, **self._whose(part.agent)}]

    def _closes(self, agent: str) -> list[Event]:
        """Return what ends the message that *agent* is in."""
        kind, message = self._messages.pop(agent, ("", ""))
        about = {"messageId": message, **self._whose(agent)}
        if kind == "REASONING":
            return [{"type": "REASONING_MESSAGE_END", **about}, {"type": "REASONING_END", **about}]
        return [{"type": "TEXT_MESSAGE_END", **about}] if kind else []

    def _calls_tool(self, agent: str, fields: Any) -> list[Event]:
        key = agent, int(fields.get("index") or 0)
        events = []
        if fields.get("id") or key not in self._calls:
            call = str(fields.get("id") or f"{self._run}-{agent}-{key[1]}")
            self._calls[key] = call
            self._unfinished[call] = agent
            events = [*self._starts(agent), *self._closes(agent)]  # before it is asked whose it is
            about = {"toolCallId": call, "toolCallName": str(fields.get("name") or "tool"), **self._whose(agent)}
            events.append({"type": "TOOL_CALL_START", **about})
        call = self._calls[key]
        if fields.get("args_delta"):
            about = {"toolCallId": call, "delta": fields["args_delta"], **self._whose(agent)}
            events.append({"type": "TOOL_CALL_ARGS", **about})
        return [*events, *self._ends_call(call)] if fields.get("final") else events

    def _ends_call(self, call: str) -> list[Event]:
        agent = self._unfinished.pop(call, None)
        return [] if agent is None else [{"type": "TOOL_CALL_END", "toolCallId": call, **self._whose(agent)}]

    def _result(self, agent: str, fields: Any) -> list[Event]:
        call = str(fields.get("id"))
        about = {"messageId": f"{call}-result", "toolCallId": call, "content": str(fields.get("content") or "")}
        result = {"type": "TOOL_CALL_RESULT", **about, "role": "tool"}
        return [*self._closes(agent), *self._ends_call(call), {**result, **self._whose(agent)}]

    # -- agents -----------------------------------------------------------------------------------------------------

    def _whose(self, agent: str) -> Event:
        return {"subagentRunId": self._subagents[agent]} if agent in self._subagents else {}

    def _starts(self, agent: str, parent: str | None = None) -> list[Event]:
        if agent == ASSISTANT or agent in self._subagents:
            return []
        number = self._invocations[agent] = self._invocations.get(agent, 0) + 1
        run = self._subagents[agent] = f"{self._run}-{agent}-{number}"
        event = {"type": "SUBAGENT_STARTED", "subagentRunId": run, "name": agent}
        if parent in self._subagents:
            event["parentSubagentRunId"] = self._subagents[parent]
        return [event]

    def _stops(self, agent: str, status: str, message: str) -> list[Event]:
        if agent not in self._subagents:
            return self._closes(agent)
        events = self._closes(agent)
        for call in [call for call, caller in self._unfinished.items() if caller == agent]:
            events += self._ends_call(call)
        run = self._subagents.pop(agent)
        if status in {"failed", "stopped"}:
            # Stopped is not complete: SUBAGENT_FINISHED has no outcome for it, as RUN_FINISHED has.
            error = {"message": message if status == "failed" else status, "code": status}
            return [*events, {"type": "SUBAGENT_ERROR", "subagentRunId": run, **error}]
        outcome = {"outcome": {"type": "suspended"}} if status == "interrupted" else {}
        return [*events, {"type": "SUBAGENT_FINISHED", "subagentRunId": run, **outcome}]

    # -- the end ----------------------------------------------------------------------------------------------------

    def _end(self, close: Close) -> list[Event]:
        events = [event for agent in list(self._subagents) for event in self._stops(agent, close.how, _why(close))]
        for agent in list(self._messages):
            events += self._closes(agent)
        for call in list(self._unfinished):
            events += self._ends_call(call)
        counts = {theirs: close.usage[ours] for ours, theirs in CAMEL.items() if ours in close.usage}
        usage = [{**({"model": close.model} if close.model else {}), **counts}] if counts else []
        told: Event = {"usage": usage} if usage else {}
        if close.how in {"failed", "interrupted"}:
            return [*events, {"type": "RUN_ERROR", "message": _why(close), "code": close.how, **told}]
        told |= {"threadId": self._stream, "runId": self._run}
        if close.how == "stopped":
            told["outcome"] = {"type": "cancelled"}
        elif close.finish == "pause" and self._waits:
            told["outcome"] = {"type": "interrupt", "interrupts": [*map(self._interrupt, range(len(self._waits)))]}
        return [*events, {"type": "RUN_FINISHED", **told}]

    def _interrupt(self, number: int) -> Event:
        on = self._waits[number].get("on")
        return {"id": f"{self._run}-i{number + 1}", "reason": "nbstream.waiting", "message": str(on)}


def _why(close: Close) -> str:
    return str((close.error or {}).get("message") or close.how)


def _message(fields: Mapping[str, Any]) -> str:
    """Return why an agent failed: a voice says it in `error`, an agent inside one in `message`."""
    return str((fields.get("error") or fields).get("message") or "failed")


def _json(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
