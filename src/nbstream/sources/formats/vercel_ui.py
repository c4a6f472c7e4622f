"""
The UI message stream of the Vercel AI SDK, version 1 (header `x-vercel-ai-ui-message-stream: v1`).

    data: {"type":"start","messageId":"m1"}
    data: {"type":"start-step"}
    data: {"type":"text-start","id":"t1"}
    data: {"type":"text-delta","id":"t1","delta":"Hello"}
    data: {"type":"text-end","id":"t1"}
    data: {"type":"finish-step"}
    data: {"type":"finish","finishReason":"stop"}
    data: [DONE]

It has no event ids: a stream that can be resumed is a GET that tells the message again from its beginning (or answers
204). `reset-step` takes back what came since the last `start-step`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import read_frame, unknown
from nbstream.sources.formats.speech import Speech, ToolCalls, text_of, tool_result, waiting
from nbstream.sources.formats.usage import CAMEL, used
from nbstream.sources.refusal import ErrorObject, plain_text, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish

#: What a server says of itself before its first frame.
HEADER = "x-vercel-ai-ui-message-stream"

_FINISHES: dict[str, Finish] = {
    "stop": "stop", "length": "length", "content-filter": "content_filter", "tool-calls": "tool_calls",
}  # fmt: skip
#: Understood, and nothing to show: boundaries, and what only the SDK's own state needs.
_SILENT = frozenset({
    "text-start", "text-end", "reasoning-start", "reasoning-end", "finish-step", "tool-approval-response",
})  # fmt: skip


class VercelUI:
    """Reads UI message chunks. The end mark is `[DONE]`; a clean end of the connection counts behind a `finish`."""

    traits = Traits(
        end_mark="data: [DONE], or a finish and then the end of the connection",
        error_mark='{"type": "error"} or {"type": "abort"}',
        heartbeat="SSE comment",
        resume="replay",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:  # noqa: ARG002 - it tells everything again
        self._speech = Speech(ASSISTANT)
        self._calls = ToolCalls()
        self._names: dict[str, str] = {}
        #: Calls whose arguments came as text, so that they need not come again as a whole.
        self._told: set[str] = set()
        self._finish: str | None = None
        self._finished = False
        self._model: str | None = None
        #: Where the step began: code points of text and of reasoning, tool calls.
        self._step: tuple[int, int, int] = (0, 0, 0)
        self._tails: tuple[str, str] = ("", "")
        self._chunks: dict[str, Callable[[Mapping[str, Any]], tuple[Part, ...]]] = {
            "text-delta": lambda chunk: self._says(chunk, "text"),
            "reasoning-delta": lambda chunk: self._says(chunk, "reasoning"),
            "tool-input-start": self._begins,
            "tool-input-delta": self._arguments,
            "tool-input-available": self._input,
            "tool-input-error": lambda chunk: (*self._input(chunk), self._result(chunk, "errorText", failed=True)),
            "tool-output-available": self._output,
            "tool-output-error": lambda chunk: (self._result(chunk, "errorText", failed=True),),
            "tool-output-denied": lambda chunk: (self._result(chunk, None, failed=True),),
            "tool-approval-request": self._approval,
            "start-step": self._begins_step,
            "reset-step": self._resets_step,
        }

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        data = event.data.strip()
        if data == "[DONE]":
            return self._end()
        return read_frame(event, self.chunk)

    def chunk(self, chunk: Mapping[str, Any]) -> Arrival:
        """Return what a decoded chunk says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        kind = text_of(chunk["type"])
        if kind in self._chunks:
            return Arrival(self._chunks[kind](chunk))
        if kind in _SILENT:
            return Arrival()
        if kind in {"start", "finish", "message-metadata"}:
            if kind == "finish":
                self._finishes(chunk.get("finishReason"))
            return self._metadata(chunk.get("messageMetadata"))
        if kind == "error":
            raise refused_by_frame(ErrorObject(plain_text(text_of(chunk["errorText"]))))
        if kind == "abort":
            reason = plain_text(str(chunk.get("reason") or "no reason given"))
            raise SourceRefused(f"the upstream aborted the message: {reason}")
        return unknown(chunk, kind)

    def eof(self) -> Arrival | None:
        """Return the end if a `finish` came: some servers leave `[DONE]` out."""
        return self._end() if self._finished else None

    def _end(self) -> Arrival:
        raw = self._finish
        return Arrival(end=End("stop" if raw is None else _FINISHES.get(raw, "other"), raw))

    def _finishes(self, reason: Any) -> None:
        if reason == "error":
            raise SourceRefused("the upstream gave up with finishReason 'error'", retryable=True)
        self._finished, self._finish = True, None if reason is None else text_of(reason)

    def _metadata(self, metadata: Any) -> Arrival:
        """Read what most servers put there, if this one does: usage and model."""
        if not isinstance(metadata, dict):
            return Arrival()
        usage = metadata.get("totalUsage") or metadata.get("usage")
        told = used(usage.get, CAMEL) if isinstance(usage, dict) else {}
        model = metadata.get("model")
        if type(model) is not str or model == self._model:
            return Arrival(usage=told or None)
        self._model = model
        return Arrival(usage=told or None, model=model)

    def _says(self, chunk: Mapping[str, Any], kind: str) -> tuple[Part, ...]:
        return self._speech.says(text_of(chunk["delta"]), message=text_of(chunk["id"]), kind=kind)

    # -- tools ------------------------------------------------------------------------------------------------------

    def _begins(self, chunk: Mapping[str, Any]) -> tuple[Part, ...]:
        call, name = text_of(chunk["toolCallId"]), text_of(chunk["toolName"])
        self._names[call] = name
        return (self._calls.begin(self._speech, call, name),)

    def _arguments(self, chunk: Mapping[str, Any]) -> tuple[Part, ...]:
        call, more = text_of(chunk["toolCallId"]), text_of(chunk["inputTextDelta"])
        if not more:
            return ()
        self._told.add(call)
        return (self._calls.goes_on(call, more),)

    def _input(self, chunk: Mapping[str, Any]) -> tuple[Part, ...]:
        call = text_of(chunk["toolCallId"])
        begun = self._begins(chunk) if self._calls.maker(call) is None else ()
        whole = "" if call in self._told else _json(chunk.get("input"))
        return (*begun, self._calls.goes_on(call, whole, final=True))

    def _output(self, chunk: Mapping[str, Any]) -> tuple[Part, ...]:
        return () if chunk.get("preliminary") else (self._result(chunk, "output"),)

    def _result(self, chunk: Mapping[str, Any], name: str | None, *, failed: bool = False) -> Part:
        content = "denied" if name is None else chunk[name]
        return tool_result(ASSISTANT, text_of(chunk["toolCallId"]), content, failed=failed)

    def _approval(self, chunk: Mapping[str, Any]) -> tuple[Part, ...]:
        if chunk.get("isAutomatic"):
            return ()
        call = text_of(chunk["toolCallId"])
        return (waiting(ASSISTANT, f"approval of {self._names.get(call, call)}"),)

    # -- steps ------------------------------------------------------------------------------------------------------

    def _begins_step(self, chunk: Mapping[str, Any]) -> tuple[Part, ...]:  # noqa: ARG002 - as all of them
        speech = self._speech
        self._step = speech.lengths.get("text", 0), speech.lengths.get("reasoning", 0), speech.calls
        self._tails = speech.tails.get("text", ""), speech.tails.get("reasoning", "")
        return ()

    def _resets_step(self, chunk: Mapping[str, Any]) -> tuple[Part, ...]:  # noqa: ARG002 - as all of them
        speech = self._speech
        text, reasoning, calls = self._step
        parts = speech.takes_back(text, tail=self._tails[0])
        parts += speech.takes_back(reasoning, kind="reasoning", tail=self._tails[1])
        parts += self._calls.take_back(speech, calls)
        self._told = {call for call in self._told if self._calls.maker(call) is not None}
        speech.interrupts()
        return parts


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
