"""
The event stream of Anthropic's Messages.

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}

A message is a row of blocks. Text that a citation cuts into several blocks runs on; what stands behind a thought or a
tool call is set apart. The stream cannot be read again: cut off, only a new call, which costs, would tell the rest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import read_frame, unknown
from nbstream.sources.formats.speech import Speech, ToolCalls, text_of, tool_result
from nbstream.sources.formats.usage import used

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish

    Frame = Mapping[str, Any]

_FINISHES: dict[str, Finish] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "pause_turn": "pause", "refusal": "refusal",
}  # fmt: skip
#: What is read anew, what was read from the cache, what was read and put into it: together the input.
_READ = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
#: Deltas that are no text for a reader: the proof of a thought, and where a quotation comes from.
_UNSHOWN = frozenset({"signature_delta", "citations_delta"})


class AnthropicMessages:
    """Reads the events of one message; `message_stop` is the only end mark."""

    traits = Traits(
        end_mark="message_stop",
        error_mark="error",
        heartbeat="event: ping",
        resume="none",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:  # noqa: ARG002 - there is none
        self._speech = Speech(ASSISTANT)
        self._calls = ToolCalls()
        #: Calls by the index of their block, with the arguments that came at once.
        self._asked: dict[int, tuple[str, Any]] = {}
        self._usage: dict[str, int] = {}
        self._stopped: str | None = None
        self._events: dict[str, Callable[[Frame], Arrival]] = {
            "message_start": lambda frame: self._begins(frame["message"]),
            "content_block_start": lambda frame: Arrival(self._begins_block(frame["index"], frame["content_block"])),
            "content_block_delta": lambda frame: Arrival(self._goes_on(frame["index"], frame["delta"])),
            "content_block_stop": lambda frame: Arrival(self._ends_block(frame["index"])),
            "message_delta": self._stops,
            "message_stop": lambda _: self._end(),
            "ping": lambda _: Arrival(),
        }

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        if event.data.strip() == "[DONE]":
            return None  # some servers add it: it is no end mark here
        return read_frame(event, self.frame)

    def frame(self, frame: Frame) -> Arrival:
        """Return what a decoded event says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        kind = text_of(frame["type"])
        if kind in self._events:
            return self._events[kind](frame)
        return unknown(frame, kind)

    def eof(self) -> Arrival | None:
        """Without `message_stop` the message is not complete."""
        return None

    # -- the message ------------------------------------------------------------------------------------------------

    def _begins(self, message: Frame) -> Arrival:
        model = message.get("model")
        return Arrival(usage=self._used(message.get("usage")), model=model if type(model) is str else None)

    def _stops(self, frame: Frame) -> Arrival:
        reason = frame["delta"].get("stop_reason")
        self._stopped = self._stopped if reason is None else text_of(reason)
        return Arrival(usage=self._used(frame.get("usage")))

    def _end(self) -> Arrival:
        raw = self._stopped
        return Arrival(end=End("stop" if raw is None else _FINISHES.get(raw, "other"), raw))

    def _used(self, told: Frame | None) -> dict[str, int] | None:
        """Return the counts so far: they are told at the start and, from then on, as a sum."""
        self._usage.update({name: count for name, count in (told or {}).items() if type(count) is int})
        usage = used(self._usage.get, {"cached": "cache_read_input_tokens", "output": "output_tokens"})
        if "input_tokens" in self._usage:
            usage["input"] = sum(self._usage.get(name, 0) for name in _READ)
            usage["total"] = usage["input"] + usage.get("output", 0)
        return usage or None

    # -- its blocks -------------------------------------------------------------------------------------------------

    def _begins_block(self, index: int, block: Frame) -> tuple[Part, ...]:
        kind = text_of(block["type"])
        if kind == "text":
            return self._speech.says(text_of(block.get("text") or ""))
        if kind == "thinking":
            self._speech.interrupts()
            return self._speech.says(text_of(block.get("thinking") or ""), kind="reasoning", message=str(index))
        if kind.endswith("tool_use"):  # also those that the provider or an MCP server runs
            call = text_of(block["id"])
            self._asked[index] = call, block.get("input")
            return (self._calls.begin(self._speech, call, text_of(block["name"])),)
        self._speech.interrupts()
        if kind.endswith("tool_result"):
            failed = block.get("is_error") is True
            return (tool_result(ASSISTANT, text_of(block["tool_use_id"]), block.get("content"), failed=failed),)
        # A thought that is not to be read has its block, and nothing to show.
        return () if kind == "redacted_thinking" else (Part("raw", fields={"type": kind}),)

    def _goes_on(self, index: int, delta: Frame) -> tuple[Part, ...]:
        kind = text_of(delta["type"])
        if kind == "text_delta":
            return self._speech.says(text_of(delta["text"]))
        if kind == "thinking_delta":
            return self._speech.says(text_of(delta["thinking"]), kind="reasoning", message=str(index))
        if kind == "input_json_delta":
            more = text_of(delta["partial_json"])
            call, _ = self._asked[index]
            if not more:
                return ()
            self._asked[index] = call, None
            return (self._calls.goes_on(call, more),)
        return () if kind in _UNSHOWN else (Part("raw", fields={"type": kind}),)

    def _ends_block(self, index: int) -> tuple[Part, ...]:
        call, whole = self._asked.pop(index, (None, None))
        if call is None:
            return ()
        arguments = "" if whole is None else json.dumps(whole, ensure_ascii=False)
        return (self._calls.goes_on(call, arguments, final=True),)
