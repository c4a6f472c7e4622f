"""
The event stream of Gemini's `streamGenerateContent?alt=sse`.

    data: {"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"}}],"modelVersion":"gemini-3"}

Each frame is a piece of an answer; the last one has a `finishReason`, and behind it the connection ends. The stream
cannot be read again: cut off, only a new call, which costs, would tell the rest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import failing, read_frame, unknown
from nbstream.sources.formats.speech import text_of
from nbstream.sources.formats.usage import used
from nbstream.sources.refusal import plain_text, read_error, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish

    Frame = Mapping[str, Any]

_FINISHES: dict[str, Finish] = {"STOP": "stop", "MAX_TOKENS": "length"}
_FILTERED = frozenset({
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
    "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
})  # fmt: skip
#: The model's answer could not be used, and nothing more comes.
_FAILURES = frozenset({
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
})  # fmt: skip
#: As some proxies write that there is none.
_NONE = "FINISH_REASON_UNSPECIFIED"
#: Without any of these a frame is none of this format.
_FIELDS = frozenset({"candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId"})
_USED = {
    "input": "promptTokenCount", "answer": "candidatesTokenCount", "reasoning": "thoughtsTokenCount",
    "cached": "cachedContentTokenCount", "total": "totalTokenCount",
}  # fmt: skip


class GeminiGenerate:
    """Reads the frames of one answer. A `finishReason` and then a clean end of the connection is the end."""

    traits = Traits(
        end_mark="a finishReason and then the end of the connection",
        error_mark='{"error": {...}}, or a finishReason that says the answer is unusable',
        heartbeat=None,
        resume="none",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:  # noqa: ARG002 - there is none
        self._model: str | None = None
        self._finish: str | None = None
        self._failed: SourceRefused | None = None
        #: Candidates that have said something and have not ended.
        self._open: set[int] = set()
        #: Tool calls so far, by agent.
        self._calls: dict[str, int] = {}

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        return read_frame(event, self.frame)

    def frame(self, frame: Frame) -> Arrival:
        """Return what a decoded frame says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        if not _FIELDS & frame.keys():
            return unknown(frame, frame.get("type"))
        parts: list[Part] = []
        for candidate in frame.get("candidates") or ():
            parts += self._candidate(candidate)
        told = frame.get("usageMetadata")
        model = frame.get("modelVersion")
        model = model if type(model) is str and model != self._model else None
        self._model = model or self._model
        arrival = Arrival(tuple(parts), usage=_usage(told) if told else None, model=model)
        error = self._failure(frame)
        return arrival if error is None else failing(arrival, error)

    def eof(self) -> Arrival | None:
        """Return the end if a `finishReason` came, and no candidate was cut off."""
        raw = self._finish
        if raw is None or self._open:
            return None
        finish = "content_filter" if raw in _FILTERED else _FINISHES.get(raw, "other")
        return Arrival(end=End("tool_calls" if finish == "stop" and self._calls else finish, raw))

    def _failure(self, frame: Frame) -> SourceRefused | None:
        if (error := read_error(frame)) is not None:
            return refused_by_frame(error)
        if reason := (frame.get("promptFeedback") or {}).get("blockReason"):
            said = plain_text(str(frame["promptFeedback"].get("blockReasonMessage") or "change the prompt"))
            return SourceRefused(f"the upstream blocked the prompt ({plain_text(text_of(reason))}): {said}")
        return self._failed

    def _candidate(self, candidate: Frame) -> list[Part]:
        index = candidate.get("index") or 0
        agent = f"{ASSISTANT}-{index + 1}" if index else ASSISTANT
        parts = [self._part(part, agent) for part in (candidate.get("content") or {}).get("parts") or ()]
        reason = candidate.get("finishReason")
        reason = None if reason == _NONE else reason
        if reason in _FAILURES:
            said = plain_text(str(candidate.get("finishMessage") or "ask again"))
            self._failed = SourceRefused(f"the upstream gave up with finishReason {reason!r}: {said}")
        said_something = [part for part in parts if part is not None]
        # Proxies put a reason into frames that say nothing, also in front of the text: what is said behind it counts.
        if reason:
            self._open.discard(index)
        elif said_something:
            self._open.add(index)
        # Only the first candidate's reason is told; the others are voices beside it.
        if reason and (self._finish is None or not index):
            self._finish = text_of(reason)
        return said_something

    def _part(self, part: Frame, agent: str) -> Part | None:
        if "text" in part:
            text = text_of(part["text"])
            return Part("reasoning" if part.get("thought") else "text", text, agent) if text else None
        if "functionCall" in part:
            call = part["functionCall"]
            index = self._calls[agent] = self._calls.get(agent, -1) + 1
            arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
            fields = {"index": index, "args_delta": arguments, "name": text_of(call["name"]), "final": True}
            return Part("tool_call", agent=agent, fields={**fields, **({"id": call["id"]} if call.get("id") else {})})
        # The last piece may carry nothing but the signature of a thought.
        kind = next((name for name in part if name not in {"thought", "thoughtSignature"}), None)
        return Part("raw", agent=agent, fields={"type": kind}) if kind else None


def _usage(told: Frame) -> dict[str, int]:
    usage = used(told.get, _USED)
    # Thoughts are paid as output and counted beside it.
    answer = usage.pop("answer", None)
    if answer is not None or "reasoning" in usage:
        usage["output"] = (answer or 0) + usage.get("reasoning", 0)
    return usage
