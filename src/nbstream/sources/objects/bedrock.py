"""
The events of Bedrock's ConverseStream, as boto3 yields them: dicts with one key, which names the event.

    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hel"}}}

The usage comes behind the end mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End
from nbstream.sources.formats.speech import Speech, ToolCalls, text_of
from nbstream.sources.formats.usage import used
from nbstream.sources.objects.raised import error_of_bedrock
from nbstream.sources.refusal import refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.records import Finish

    Frame = Mapping[str, Any]

_FINISHES: dict[str, Finish] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "guardrail_intervened": "content_filter", "content_filtered": "content_filter",
}  # fmt: skip
_USED = {
    "input": "inputTokens", "output": "outputTokens", "cached": "cacheReadInputTokens", "total": "totalTokens",
}  # fmt: skip


class BedrockConverse:
    """Reads the events of one message; `messageStop` is its end mark."""

    def __init__(self) -> None:
        self._speech = Speech(ASSISTANT)
        self._calls = ToolCalls()
        #: Calls by the index of their block.
        self._asked: dict[int, str] = {}
        self._stopped: str | None = None

    def frame(self, frame: Frame) -> Arrival:
        """Return what an event says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        ((name, event),) = frame.items()
        if name.endswith("Exception"):
            raise refused_by_frame(error_of_bedrock(name, event.get("message")))
        if name == "messageStop":
            self._stopped = text_of(event["stopReason"])
        elif name == "contentBlockStart":
            return Arrival(self._begins(event["contentBlockIndex"], event["start"]))
        elif name == "contentBlockDelta":
            return Arrival(self._goes_on(event["contentBlockIndex"], event["delta"]))
        elif name == "contentBlockStop" and event["contentBlockIndex"] in self._asked:
            return Arrival((self._calls.goes_on(self._asked.pop(event["contentBlockIndex"]), "", final=True),))
        elif name == "metadata":
            return Arrival(usage=used(event["usage"].get, _USED) or None)
        return Arrival()

    def eof(self) -> Arrival | None:
        """Return the end if `messageStop` came."""
        raw = self._stopped
        return None if raw is None else Arrival(end=End(_FINISHES.get(raw, "other"), raw))

    def _begins(self, index: int, start: Frame) -> tuple[Part, ...]:
        if "toolUse" not in start:
            return ()
        call = self._asked[index] = text_of(start["toolUse"]["toolUseId"])
        return (self._calls.begin(self._speech, call, text_of(start["toolUse"]["name"])),)

    def _goes_on(self, index: int, delta: Frame) -> tuple[Part, ...]:
        if "text" in delta:
            return self._speech.says(text_of(delta["text"]))
        if "toolUse" in delta:
            return (self._calls.goes_on(self._asked[index], text_of(delta["toolUse"]["input"])),)
        if "reasoningContent" in delta:  # or the proof of it, which is not to be read
            thought = text_of(delta["reasoningContent"].get("text") or "")
            return self._speech.says(thought, kind="reasoning", message=str(index))
        return () if "citation" in delta else (Part("raw", fields={"type": next(iter(delta), "delta")}),)
