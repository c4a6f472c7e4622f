"""
AG-UI, the protocol between agents and user interfaces, version 1.0.

    data: {"type":"RUN_STARTED","threadId":"t1","runId":"r1"}
    data: {"type":"SUBAGENT_STARTED","subagentRunId":"s1","name":"reporter"}
    data: {"type":"TEXT_MESSAGE_START","messageId":"m1","role":"assistant","subagentRunId":"s1"}
    data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"Hello"}
    data: {"type":"TEXT_MESSAGE_END","messageId":"m1"}
    data: {"type":"RUN_FINISHED","threadId":"t1","runId":"r1"}

A subagent is an agent; so is the author that a message names, and a step while it is the only one: graphs run each
node as a step. The events have no ids to resume behind: asked again, a POST would start a second run.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import failing, read_frame, unknown
from nbstream.sources.formats.speech import Names, Speech, ToolCalls, ended, started, text_of, tool_result, waiting
from nbstream.sources.formats.usage import CAMEL, used
from nbstream.sources.refusal import ErrorObject, plain_text, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor

    Frame = Mapping[str, Any]

#: Understood, and nothing to show: boundaries, and state that is no output.
_SILENT = frozenset({
    "RUN_STARTED", "TEXT_MESSAGE_END", "REASONING_START", "REASONING_MESSAGE_END", "REASONING_END",
    "REASONING_ENCRYPTED_VALUE", "STATE_SNAPSHOT", "STATE_DELTA",
    # Of before 1.0.
    "THINKING_START", "THINKING_END", "THINKING_TEXT_MESSAGE_START", "THINKING_TEXT_MESSAGE_END",
})  # fmt: skip


class AGUI:
    """Reads AG-UI events. `RUN_FINISHED` is the only end mark, an interrupt of it is a pause."""

    traits = Traits(
        end_mark="RUN_FINISHED",
        error_mark="RUN_ERROR",
        heartbeat="SSE comment",
        resume="replay",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:  # noqa: ARG002 - there is none
        self._names = Names()
        self._speeches = {ASSISTANT: Speech(ASSISTANT)}
        #: Who speaks: of subagents by the id of their run, of messages and steps by theirs.
        self._subagents: dict[str, str] = {}
        self._authors: dict[str, str] = {}
        self._steps: dict[str, str] = {}
        #: The message, or tool call, that a chunk without an id goes on.
        self._last: dict[str, str] = {}
        self._calls = ToolCalls()
        self._said = False
        self._snapshot = ""
        self._events: dict[str, Callable[[Frame], tuple[Part, ...]]] = {
            "TEXT_MESSAGE_START": lambda frame: self._begins(frame, "text"),
            "TEXT_MESSAGE_CONTENT": lambda frame: self._says(frame, "text"),
            "TEXT_MESSAGE_CHUNK": lambda frame: self._says(frame, "text"),
            "REASONING_MESSAGE_START": lambda frame: self._begins(frame, "reasoning"),
            "REASONING_MESSAGE_CONTENT": lambda frame: self._says(frame, "reasoning"),
            "REASONING_MESSAGE_CHUNK": lambda frame: self._says(frame, "reasoning"),
            "THINKING_TEXT_MESSAGE_CONTENT": lambda frame: self._says({**frame, "messageId": "thinking"}, "reasoning"),
            "TOOL_CALL_START": self._calls_tool,
            "TOOL_CALL_ARGS": self._arguments,
            "TOOL_CALL_CHUNK": self._calls_tool,
            "TOOL_CALL_END": lambda frame: (self._calls.goes_on(text_of(frame["toolCallId"]), "", final=True),),
            "TOOL_CALL_RESULT": self._result,
            "STEP_STARTED": self._begins_step,
            "STEP_FINISHED": self._ends_step,
            "SUBAGENT_STARTED": self._begins_subagent,
            "SUBAGENT_FINISHED": self._ends_subagent,
            "SUBAGENT_ERROR": self._fails_subagent,
            "MESSAGES_SNAPSHOT": self._keeps_snapshot,
            "CUSTOM": self._custom,
        }

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        return read_frame(event, self.frame)

    def frame(self, frame: Frame) -> Arrival:
        """Return what a decoded event says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        kind = text_of(frame["type"])
        if kind in self._events:
            return Arrival(self._events[kind](frame))
        if kind in _SILENT:
            return Arrival()
        if kind == "RUN_FINISHED":
            return self._finishes(frame)
        if kind == "RUN_ERROR":
            code = frame.get("code")
            names = (code.lower(),) if isinstance(code, str) and code else ()
            error = refused_by_frame(ErrorObject(plain_text(text_of(frame["message"])), names))
            return failing(Arrival(self._only_told_whole()), error)
        return unknown(frame, kind)

    def eof(self) -> Arrival | None:
        """Without `RUN_FINISHED` the run is not complete."""
        return None

    # -- who --------------------------------------------------------------------------------------------------------

    def _who(self, frame: Frame) -> str:
        """Return the agent of an event that begins something."""
        run = frame.get("subagentRunId")
        if run is not None:
            # A later run may go on with a subagent that an earlier one began: its name is not told again.
            return self._subagents.get(run) or self._subagents.setdefault(text_of(run), self._names.new(run))
        author = frame.get("name")
        if isinstance(author, str) and author:
            return self._named("author", author)
        if len(self._steps) == 1:
            return next(iter(self._steps.values()))
        return ASSISTANT

    def _named(self, kind: str, name: str) -> str:
        """Return the agent for an author, or a step, of this name: the same whenever it comes again."""
        key = f"{kind} {name}"
        if key not in self._authors:
            self._authors[key] = self._names.new(name)
        return self._authors[key]

    def _speech(self, agent: str) -> Speech:
        return self._speeches.setdefault(agent, Speech(agent))

    # -- text -------------------------------------------------------------------------------------------------------

    def _begins(self, frame: Frame, kind: str) -> tuple[Part, ...]:
        message = self._last[kind] = text_of(frame["messageId"])
        self._authors[f"{kind} {message}"] = self._author(frame, kind)
        return ()

    def _author(self, frame: Frame, kind: str) -> str:
        """Return who says a message; nobody ("") where it is no answer: the user's, the system's, the developer's."""
        return self._who(frame) if kind == "reasoning" or frame.get("role") in (None, "assistant") else ""

    def _says(self, frame: Frame, kind: str) -> tuple[Part, ...]:
        message = frame.get("messageId") or self._last[kind]
        self._last[kind] = text_of(message)
        key = f"{kind} {message}"
        if key not in self._authors:
            self._authors[key] = self._author(frame, kind)
        author, delta = self._authors[key], text_of(frame.get("delta") or "")
        if not author or not delta:
            return ()
        self._said = self._said or kind == "text"
        return self._speech(author).says(delta, message=message, kind=kind)

    def _keeps_snapshot(self, frame: Frame) -> tuple[Part, ...]:
        """Remember the answer in a snapshot of the conversation: an agent that does not stream sends nothing else."""
        last = frame["messages"][-1] if frame["messages"] else {}
        said = last.get("content") if last.get("role") == "assistant" else None
        self._snapshot = said if isinstance(said, str) else ""
        return ()

    # -- tools ------------------------------------------------------------------------------------------------------

    def _calls_tool(self, frame: Frame) -> tuple[Part, ...]:
        call = text_of(frame.get("toolCallId") or self._last["call"])
        self._last["call"] = call
        begun: tuple[Part, ...] = ()
        if self._calls.maker(call) is None:
            parent = self._authors.get(f"text {frame.get('parentMessageId')}")
            agent = parent if parent and frame.get("subagentRunId") is None else self._who({**frame, "name": None})
            begun = (self._calls.begin(self._speech(agent), call, text_of(frame["toolCallName"])),)
        delta = text_of(frame.get("delta") or "")
        return (*begun, self._calls.goes_on(call, delta)) if delta else begun

    def _arguments(self, frame: Frame) -> tuple[Part, ...]:
        delta = text_of(frame["delta"])
        return (self._calls.goes_on(text_of(frame["toolCallId"]), delta),) if delta else ()

    def _result(self, frame: Frame) -> tuple[Part, ...]:
        call = text_of(frame["toolCallId"])
        agent = self._calls.maker(call) or self._who({**frame, "name": None})
        return (tool_result(agent, call, frame["content"]),)

    # -- steps and subagents ----------------------------------------------------------------------------------------

    def _begins_step(self, frame: Frame) -> tuple[Part, ...]:
        name = text_of(frame["stepName"])
        if frame.get("subagentRunId") is None:  # one of a subagent's is that subagent's own business
            self._steps[name] = self._named("step", name) if name else ASSISTANT
        return ()

    def _ends_step(self, frame: Frame) -> tuple[Part, ...]:
        if frame.get("subagentRunId") is None:
            self._steps.pop(text_of(frame["stepName"]), None)
        return ()

    def _begins_subagent(self, frame: Frame) -> tuple[Part, ...]:
        run, name = text_of(frame["subagentRunId"]), text_of(frame["name"])
        agent = self._subagents[run] = self._names.new(name or run)
        return (started(agent, self._subagents.get(frame.get("parentSubagentRunId") or "", ASSISTANT)),)

    def _ends_subagent(self, frame: Frame) -> tuple[Part, ...]:
        outcome = frame.get("outcome") or {}
        # A later run may go on with one that waits for an answer.
        return (ended(self._who(frame), "interrupted" if outcome.get("type") == "suspended" else "complete"),)

    def _fails_subagent(self, frame: Frame) -> tuple[Part, ...]:
        if frame.get("code") == "stopped":  # as our own relay says it
            return (ended(self._who(frame), "stopped"),)
        return (ended(self._who(frame), "failed", plain_text(text_of(frame["message"]))),)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _custom(self, frame: Frame) -> tuple[Part, ...]:
        name = text_of(frame["name"])
        if name == "on_interrupt":  # how it was said before 1.0
            return (waiting(ASSISTANT, frame.get("value")),)
        return (Part("raw", fields={"type": f"CUSTOM {plain_text(name)}"}),)

    def _finishes(self, frame: Frame) -> Arrival:
        outcome = frame.get("outcome") or {}
        usage = _usage(frame.get("usage") or ())
        kind = outcome.get("type")
        if kind == "cancelled":
            return failing(Arrival(self._only_told_whole()), SourceRefused("the upstream cancelled the run"))
        parts = self._only_told_whole()
        if kind == "interrupt":
            parts += tuple(self._interrupt(one) for one in outcome["interrupts"])
            return Arrival(parts, end=End("pause", "interrupt"), usage=usage)
        finish = End("tool_calls", kind) if outcome.get("pendingToolCallIds") else End("stop", kind)
        return Arrival(parts, end=finish, usage=usage)

    def _only_told_whole(self) -> tuple[Part, ...]:
        return self._speech(ASSISTANT).says(self._snapshot) if not self._said and self._snapshot else ()

    def _interrupt(self, interrupt: Frame) -> Part:
        agent = self._who({"subagentRunId": interrupt.get("subagentRunId")})
        return waiting(agent, interrupt.get("message") or text_of(interrupt["reason"]))


def _usage(told: Iterable[Any]) -> dict[str, int] | None:
    """Return the sum over the models of a run."""
    total: Counter[str] = Counter()
    for one in told:
        total.update(used(one.get, CAMEL))
    return dict(total) or None
