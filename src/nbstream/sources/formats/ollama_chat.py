"""
The stream of Ollama's `/api/chat`, and of its `/api/generate`: JSON objects, one a line.

    {"model":"qwen3","created_at":"...","message":{"role":"assistant","content":"Hel"},"done":false}
    {"model":"qwen3","created_at":"...","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}

The stream cannot be read again; closing its connection ends the call.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.records import Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import failing, read_frame
from nbstream.sources.formats.speech import text_of
from nbstream.sources.formats.usage import used
from nbstream.sources.refusal import read_error, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish

    Frame = Mapping[str, Any]

_FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length"}
_USED = {"input": "prompt_eval_count", "output": "eval_count"}


class OllamaChat:
    """Reads the lines of one answer; `"done": true` is the end mark."""

    traits = Traits(
        end_mark='"done": true',
        error_mark='{"error": "..."}',
        heartbeat=None,
        resume="none",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:  # noqa: ARG002 - there is none
        self._model: str | None = None
        self._calls = 0

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what the line in *event* says."""
        return read_frame(event, self.frame)

    def frame(self, frame: Frame) -> Arrival:
        """Return what a decoded line says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        # Beside an error there may be none.
        message = (frame["message"] or {}) if "message" in frame else {**frame, "content": frame["response"]}
        parts = [
            Part(kind, text_of(message[name]))
            for kind, name in (("reasoning", "thinking"), ("text", "content"))
            if message.get(name)
        ]
        parts += [self._call(call) for call in message.get("tool_calls") or ()]
        model = frame.get("model")
        model = model if type(model) is str and model != self._model else None
        self._model = model or self._model
        if (error := read_error(frame)) is not None:
            return failing(Arrival(tuple(parts), model=model), refused_by_frame(error))
        if frame.get("done") is not True:
            return Arrival(tuple(parts), model=model)
        return Arrival(tuple(parts), end=self._end(frame.get("done_reason")), usage=_usage(frame), model=model)

    def eof(self) -> Arrival | None:
        """Without `"done": true` the message is not complete."""
        return None

    def _call(self, call: Frame) -> Part:
        function = call["function"]
        arguments = function.get("arguments")
        whole = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        fields = {"index": self._calls, "args_delta": whole, "name": text_of(function["name"]), "final": True}
        self._calls += 1
        return Part("tool_call", fields={**fields, **({"id": text_of(call["id"])} if call.get("id") else {})})

    def _end(self, reason: Any) -> End:
        raw = text_of(reason) if reason else None
        finish = "stop" if raw is None else _FINISHES.get(raw, "other")
        return End("tool_calls" if finish == "stop" and self._calls else finish, raw)


def _usage(frame: Frame) -> dict[str, int]:
    usage = used(frame.get, _USED)
    return {**usage, "total": sum(usage.values())} if usage else usage
