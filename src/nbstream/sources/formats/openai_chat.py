"""
The stream of OpenAI's chat completions, as OpenAI and many servers like it send it.

Seen in the wild and therefore read: `content: null`, `choices: []` (Azure's verdict on the prompt), usage behind the
finish or under `x_groq`, reasoning under several names at once, content as a list, a missing `[DONE]`, an error object
followed by `[DONE]`, the older completions, whose choices have a `text` and no `delta`, and a whole `message` at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.chat_calls import ChatCalls
from nbstream.sources.formats.frames import (
    Place,
    aside,
    error_event,
    failing,
    frame_of,
    misread,
    named,
    suspected,
    unknown,
)
from nbstream.sources.formats.usage import CHAT, used, within
from nbstream.sources.refusal import ErrorObject, plain_text, read_failure, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish

#: Some servers fill several of these with the same text: the first one that has any counts.
_REASONING = ("reasoning_content", "reasoning", "thinking")

_FINISHES: dict[str, Finish] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop",
    "length": "length", "max_tokens": "length", "model_length": "length",
    "tool_calls": "tool_calls", "function_call": "tool_calls", "tool_use": "tool_calls",
    "content_filter": "content_filter", "safety": "content_filter", "sensitive": "content_filter",
    "refusal": "refusal", "pause_turn": "pause", "abort": "cancelled", "cancelled": "cancelled",
}  # fmt: skip
#: As some servers write that there is none.
_NONE = frozenset({"null", "None"})
#: Beside those that are called an error. Google's server puts words before the last one, which is Gemini's own.
_FAILURES = frozenset({"failed", "timeout", "insufficient_system_resource", "malformed_function_call"})
#: What may tell an error beside choices.
_TELLING = frozenset({"error", "base_resp", "code", "status", "status_code", "statusCode"})


class OpenAIChat:
    """
    Reads chat-completion chunks.

    The end mark is `[DONE]`. A clean end of the connection counts too, but only behind the finish_reason of every
    choice that has said something: some servers leave `[DONE]` out. There is a cursor only where chunks carry an event
    id *and* `"offset"`, the code points of the whole text before the chunk, as the demo model's do: an id alone
    promises nothing here.
    """

    traits = Traits(
        end_mark="data: [DONE], or a finish_reason and then the end of the connection",
        error_mark='{"error": {...}}',
        heartbeat="SSE comment",
        resume="event-id",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:
        self._place = Place(cursor)
        self._model: str | None = None
        self._finish: str | None = None
        #: The finish_reason that says that the answer failed.
        self._failed: str | None = None
        #: Choices that have said something, and whether they have not ended.
        self._open: dict[int, bool] = {}
        self._calls = ChatCalls()
        #: Has a chunk come at all?
        self.begun = False

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        data = event.data
        if event.event == "error":
            raise error_event(event)
        if not data.startswith("{"):
            data = data.strip()
            if data == "[DONE]":
                return self._end(event.id or None)
            if not data:
                return None
            if event.event != "message" and not data.startswith("{"):
                return aside(event)
        frame = named(event, frame_of(data))
        try:
            arrival = self.frame(frame)
            offset = frame.get("offset")
            if event.id and type(offset) is int:
                length = 0
                for part in arrival.parts:
                    if part.kind == "text":
                        length += len(part.text)
                cursor = self._place.at_offset(event.id, offset + length)
                return arrival._replace(start=offset, cursor=cursor, event_id=event.id)
        except (AttributeError, TypeError, LookupError) as exc:
            raise misread(data, frame) from exc
        return arrival

    def frame(self, frame: Mapping[str, Any]) -> Arrival:
        """Return what a decoded chunk says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        choices = frame.get("choices")
        error: ErrorObject | None = None
        suspect: SourceRefused | None = None
        if not choices or not _TELLING.isdisjoint(frame):
            error = read_failure(frame)
        if not choices and error is None:
            if choices is None and not frame.get("usage"):
                return unknown(frame, frame.get("event") or frame.get("type") or frame.get("object"))
            suspect = suspected(frame)
        self.begun = True
        parts: tuple[Part, ...] = ()
        for choice in choices or ():
            parts += self._choice(choice)
        model = frame.get("model")
        if model == self._model or type(model) is not str:
            model = None
        else:
            self._model = model
        usage = frame.get("usage")
        if (extra := frame.get("x_groq")) is not None:
            if told := extra.get("error"):
                error = error or ErrorObject(plain_text(str(told)))
            usage = usage or extra.get("usage")
        arrival = Arrival(parts, usage=_usage(usage) if usage else None, model=model, suspect=suspect)
        if error is not None:
            return failing(arrival, refused_by_frame(error))
        if self._failed is not None:
            said = f"the upstream gave up with finish_reason {self._failed!r}"
            return failing(arrival, SourceRefused(said, retryable=True))
        return arrival

    def eof(self) -> Arrival | None:
        """Return the end if a finish_reason came, and no choice was cut off."""
        return self._end() if self._finish is not None and not any(self._open.values()) else None

    def _choice(self, choice: Mapping[str, Any]) -> tuple[Part, ...]:
        finish, index = choice.get("finish_reason"), choice.get("index") or 0
        if finish and finish not in _NONE:
            if index in self._open:
                self._open[index] = False
            if _is_failure(str(finish).lower()):
                self._failed = str(finish)
            # Only the first choice's reason is told; the others are voices beside it.
            if self._finish is None or not index:
                self._finish = str(finish)
        delta = choice.get("delta")
        if not delta:
            delta = self._whole(choice, index)
            if not delta:
                return ()
        agent = f"{ASSISTANT}-{index + 1}" if index else ASSISTANT
        content = delta.get("content")
        if content and len(delta) == 1 and type(content) is str:
            parts: tuple[Part, ...] = (Part("text", content, agent),)
        else:
            parts = tuple(_parts(delta, agent, self._calls))
        if parts:
            self._open[index] = not finish or finish in _NONE
        return parts

    def _whole(self, choice: Mapping[str, Any], index: int) -> Mapping[str, Any] | None:
        """Return what a choice without a delta says: text of the older completions, or a message that came at once."""
        if text := choice.get("text"):
            return {"content": text}
        # Beside deltas it repeats them.
        message: Mapping[str, Any] | None = choice.get("message")
        return message if "delta" not in choice and index not in self._open else None

    def _end(self, event_id: str | None = None) -> Arrival:
        raw = self._finish
        finish = "stop" if raw is None else _FINISHES.get(raw.lower(), "other")
        return Arrival(event_id=event_id, end=End(finish, raw))


def _is_failure(finish: str) -> bool:
    # `network_error`, `error: overloaded`
    return finish.startswith("error") or finish.endswith("error") or finish.rpartition(" ")[2] in _FAILURES


def _parts(delta: Mapping[str, Any], agent: str, calls: ChatCalls) -> list[Part]:
    parts = []
    reasoning = next((text for name in _REASONING if (text := delta.get(name)) and type(text) is str), None)
    if reasoning is None:
        reasoning = "".join(_texts(delta.get("reasoning_details") or (), ("text", "summary")))
    if reasoning:
        parts.append(Part("reasoning", reasoning, agent))
    content = delta.get("content")
    if type(content) is str:
        if content:
            parts.append(Part("text", content, agent))
    elif content is not None:
        parts += _listed(content, agent)
    if refusal := delta.get("refusal"):
        parts.append(Part("refusal", _text(refusal), agent))
    for at, call in enumerate(delta.get("tool_calls") or ()):
        parts.append(calls.piece(call, call.get("function") or {}, agent, at))
    if function := delta.get("function_call"):
        parts.append(calls.piece({}, function, agent, 0))
    return parts


def _listed(content: Any, agent: str) -> list[Part]:
    """Read content that is a list of typed pieces."""
    parts = []
    for said in content:
        piece = {"text": said} if type(said) is str else said
        if piece.get("type") == "thinking":
            thought = piece["thinking"]
            text = thought if type(thought) is str else "".join(_texts(thought, ("text",)))
            parts.append(Part("reasoning", text, agent))
        elif piece.get("type") in (None, "text", "output_text"):
            if piece.get("text"):
                parts.append(Part("text", _text(piece["text"]), agent))
        else:
            parts.append(Part("raw", agent=agent, fields={"type": str(piece.get("type"))}))
    return parts


def _texts(pieces: Any, names: tuple[str, ...]) -> list[str]:
    return [text for piece in pieces for name in names if type(text := piece.get(name)) is str]


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    # Where it is not in OpenAI's group, what came from the cache has a field of its own.
    own = usage.get("prompt_cache_hit_tokens", usage.get("cached_tokens"))
    return {**({"cached": own} if type(own) is int else {}), **used(within(usage), CHAT)}


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value
