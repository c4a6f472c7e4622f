"""
The event stream of OpenAI's Responses.

    event: response.output_text.delta
    data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hel","sequence_number":4}

Everything is told twice: as deltas, and as a whole in an event `*.done`, which counts only where no delta came before
it. A response that was started with `background: true` goes on without listeners: its events are read again behind a
`sequence_number`, and only a request of its own ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceMalformed, SourceRefused
from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import error_event, failing, frame_of, stumbled, unknown
from nbstream.sources.formats.speech import Speech, number_of, text_of, tool_result
from nbstream.sources.formats.stored_run import StoredRun
from nbstream.sources.formats.usage import RESPONSES, used, within
from nbstream.sources.refusal import ErrorObject, read_error, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish
    from nbstream.sources.http.call import Call

    Frame = Mapping[str, Any]

#: Items that are tool calls, and the field that holds what the tool is asked.
_CALLS = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}
#: Our kinds of what an item has in it, and the field of each that is not called `text`.
_KINDS = {"output_text": "text", "refusal": "refusal", "reasoning_text": "reasoning"}
_FIELDS = {"refusal": "refusal"}
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_REASONS: dict[str, Finish] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}


class OpenAIResponses:
    """Reads the events of one response; `response.completed` and `response.incomplete` are the end marks."""

    traits = Traits(
        end_mark="response.completed or response.incomplete",
        error_mark="error, response.failed or response.cancelled",
        heartbeat="SSE comment, or an event of type keepalive",
        resume="cursor",
        cancel="POST .../responses/{id}/cancel for one in the background; else close the connection",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:
        cursor = cursor or {}
        self._kept = {"format": cursor["format"]} if "format" in cursor else {}
        #: Of a response in the background: its id, and the number of the last event.
        self._stored = StoredRun("starting_after", cursor.get("response"), cursor.get("after"))
        self._speech = Speech(ASSISTANT)
        for kind, (message, tail) in (cursor.get("said") or {}).items():
            self._speech.messages[kind], self._speech.tails[kind] = message, tail
        #: Contents that have begun and have said nothing yet: (kind, output_index, index in it).
        self._silent: set[tuple[Any, ...]] = {tuple(one) for one in cursor.get("silent") or ()}
        #: What the others have said. Not all servers announce a content; behind a cursor nobody knows of them.
        self._heard: dict[tuple[Any, ...], list[str]] = {}
        self._anew = self._stored.known is None
        self._model: str | None = None
        says = self._says
        self._events: dict[str, Callable[[Frame], tuple[Part, ...]]] = {
            "response.output_text.delta": lambda frame: says(frame, "text", "content_index", "delta"),
            "response.output_text.done": lambda frame: self._said(frame, "text", "content_index", "text"),
            "response.refusal.delta": lambda frame: says(frame, "refusal", "content_index", "delta"),
            "response.refusal.done": lambda frame: self._said(frame, "refusal", "content_index", "refusal"),
            "response.reasoning_summary_text.delta": lambda frame: says(frame, "reasoning", "summary_index", "delta"),
            "response.reasoning_summary_text.done": lambda frame: self._said(
                frame, "reasoning", "summary_index", "text"
            ),
            "response.reasoning_text.delta": lambda frame: says(frame, "reasoning", "content_index", "delta"),
            "response.reasoning_text.done": lambda frame: self._said(frame, "reasoning", "content_index", "text"),
            "response.content_part.added": self._begins_part,
            "response.reasoning_summary_part.added": self._begins_part,
            "response.output_item.added": self._begins_item,
            "response.output_item.done": self._ends_item,
            "response.function_call_arguments.delta": self._arguments,
            "response.function_call_arguments.done": lambda frame: self._asked(frame, "arguments"),
            "response.mcp_call_arguments.delta": self._arguments,
            "response.mcp_call_arguments.done": lambda frame: self._asked(frame, "arguments"),
            "response.custom_tool_call_input.delta": self._arguments,
            "response.custom_tool_call_input.done": lambda frame: self._asked(frame, "input"),
        }

    @property
    def run(self) -> StoredRun | None:
        """The response, if it goes on without listeners."""
        return self._stored if self._stored.known is not None else None

    def met(self, call: Call, headers: Mapping[str, str]) -> None:
        """Nothing there: the first event says what kind of response it is."""

    def finished(self, status: str) -> Arrival | None:  # noqa: ARG002 - never asked
        """Its status alone is no end: text may be missing."""
        return None

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        data = event.data
        if event.event == "error":
            raise error_event(event)
        if not data.strip() or data.strip() == "[DONE]":
            return None  # some servers add it: it is no end mark here
        frame = frame_of(data)
        try:
            if self._stored.known is not None and frame.get("type") != "error" and self._is_known(frame):
                return None
            arrival = self.frame(frame)
            number = frame.get("sequence_number")
            if self._stored.known is not None and type(number) is int:
                return arrival._replace(cursor=self._place(number))
        except (AttributeError, TypeError, LookupError) as exc:
            return stumbled(data, frame, exc)
        return arrival

    def frame(self, frame: Frame) -> Arrival:
        """Return what a decoded event says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        kind = text_of(frame["type"])
        told = self._events.get(kind)
        if told is not None:
            return Arrival(told(frame))
        response = frame.get("response")
        if isinstance(response, dict):
            return self._state(kind, response)
        counted = unknown(frame, kind)
        # What a tool of the provider's is doing, annotations, wholes of parts: nothing to show.
        return Arrival() if kind.startswith("response.") or kind == "keepalive" else counted

    def eof(self) -> Arrival | None:
        """Without one of its end marks the response is not complete."""
        return None

    # -- the response -----------------------------------------------------------------------------------------------

    def _state(self, kind: str, response: Frame) -> Arrival:
        if response.get("background") is True:
            self._stored.told(response.get("id"))
        model = response.get("model")
        model = model if type(model) is str and model != self._model else None
        self._model = model or self._model
        usage = used(within(response.get("usage") or {}), RESPONSES) or None
        end: End | None = None
        parts: tuple[Part, ...] = ()
        error: SourceRefused | None = None
        if kind in _LAST:
            parts = self._whole(response)
        # Other servers end every response with `response.completed`.
        status = response.get("status")
        if kind == "response.failed" or status == "failed" or (kind in _LAST and response.get("error")):
            error = self._failure(response)
        elif kind == "response.cancelled" or (kind in _LAST and status == "cancelled"):
            error = SourceRefused("the upstream cancelled the response")
        if error is not None:
            return failing(Arrival(parts, usage=usage, model=model), error)
        if kind == "response.completed" and status != "incomplete":
            end = End(_finish(response), text_of(response.get("status") or "completed"))
        elif kind in _LAST:
            reason = text_of((response.get("incomplete_details") or {}).get("reason") or "incomplete")
            end = End(_REASONS.get(reason, "other"), reason)
        return Arrival(parts, end=end, usage=usage, model=model)

    def _failure(self, response: Frame) -> SourceRefused:
        error = read_error(response) or ErrorObject("the response failed")
        # One in the background has failed for good: read again, it would only say so again.
        return refused_by_frame(error if self._stored.known is None else error._replace(retryable=False))

    def _is_known(self, frame: Frame) -> bool:
        """Whether *frame* came before the cut; a hole behind it is an error."""
        number, last = frame.get("sequence_number"), self._stored.place
        if type(number) is not int or type(last) is not int:
            return False
        if number > last + 1:
            raise SourceMalformed(
                f"event {number} of the response came behind event {last}: something is missing between them",
                retryable=True,
            )
        return number <= last

    def _place(self, number: int) -> dict[str, Any]:
        self._stored.place = number
        speech = self._speech
        said = {kind: [speech.messages.get(kind, ""), tail] for kind, tail in speech.tails.items()}
        cursor = {"response": self._stored.known, "after": number, "said": said, **self._kept}
        if self._silent:
            cursor["silent"] = [list(one) for one in self._silent]
        return cursor

    # -- text -------------------------------------------------------------------------------------------------------

    def _says(self, frame: Frame, kind: str, part: str, field: str) -> tuple[Part, ...]:
        return self._say(_key(kind, frame, part), text_of(frame[field]))

    def _say(self, key: tuple[Any, ...], text: str) -> tuple[Part, ...]:
        if not text:
            return ()
        kind = key[0]
        self._silent.discard(key)
        self._heard.setdefault(key, []).append(text)
        # Parts of one message run on, summaries of reasoning are set apart, and so are messages.
        number = f".{key[2]}" if kind == "reasoning" else ""
        return self._speech.says(text, message=f"{key[1]}{number}", kind=kind)

    def _said(self, frame: Frame, kind: str, part: str, field: str) -> tuple[Part, ...]:
        key = _key(kind, frame, part)
        if key not in self._silent and (key in self._heard or not self._anew):
            return ()
        return self._says(frame, kind, part, field)

    def _told_whole(self, item: Frame, index: Any) -> tuple[Part, ...]:
        """Return what *item* says, if nothing of it has come: some servers send an item at once, or only at its end."""
        if not self._anew or any(key[1] == index for key in self._heard):
            return ()
        parts: tuple[Part, ...] = ()
        for number, said in enumerate(item.get("summary") or ()):
            frame = {"output_index": index, "summary_index": number, "text": said["text"]}
            parts += self._says(frame, "reasoning", "summary_index", "text")
        for number, said in enumerate(item.get("content") or ()):
            kind = _KINDS.get(said["type"])
            if kind is not None:
                frame = {"output_index": index, "content_index": number, "text": said[_FIELDS.get(kind, "text")]}
                parts += self._says(frame, kind, "content_index", "text")
        return parts

    def _whole(self, response: Frame) -> tuple[Part, ...]:
        """Return of a whole *response* what has not come."""
        parts: tuple[Part, ...] = ()
        heard = bool(self._heard)
        for index, item in enumerate(response.get("output") or ()):
            if heard:
                parts += self._rest(item, index)
            else:
                parts += self._ends_item({"output_index": index, "item": item})
        return parts

    def _rest(self, item: Frame, index: int) -> tuple[Part, ...]:
        """Return what *item* goes on with behind its deltas, some of which were lost; where it differs, they count."""
        parts: tuple[Part, ...] = ()
        for number, whole in enumerate(item.get("content") or () if self._anew else ()):
            kind = _KINDS.get(whole["type"])
            # Some servers number nothing.
            key = next((key for key in ((kind, index, number), (kind, None, None)) if key in self._heard), None)
            if kind is None or key is None:
                continue
            text, said = text_of(whole[_FIELDS.get(kind, "text")]), "".join(self._heard[key])
            if text.startswith(said):
                parts += self._say(key, text[len(said) :])
        return parts

    def _begins_part(self, frame: Frame) -> tuple[Part, ...]:
        kind = _KINDS.get(text_of(frame["part"]["type"]), "reasoning")
        part = "summary_index" if "summary_index" in frame else "content_index"
        self._silent.add(_key(kind, frame, part))
        return ()

    # -- tools ------------------------------------------------------------------------------------------------------

    def _begins_item(self, frame: Frame) -> tuple[Part, ...]:
        item, index = frame["item"], number_of(frame["output_index"])
        field = _CALLS.get(item["type"])
        if field is None:
            return ()
        arguments = text_of(item.get(field) or "")
        self._heard["tool_call", index, None] = []
        if not arguments:
            self._silent.add(("tool_call", index, None))
        fields = {"index": index, "args_delta": arguments, "id": _id(item), "name": text_of(item["name"])}
        return (Part("tool_call", fields=fields),)

    def _arguments(self, frame: Frame) -> tuple[Part, ...]:
        self._silent.discard(("tool_call", number_of(frame["output_index"]), None))
        delta = text_of(frame["delta"])
        return (Part("tool_call", fields={"index": frame["output_index"], "args_delta": delta}),) if delta else ()

    def _asked(self, frame: Frame, field: str) -> tuple[Part, ...]:
        key = ("tool_call", frame["output_index"], None)
        whole = text_of(frame[field]) if key in self._silent else ""
        self._silent.discard(key)
        return (Part("tool_call", fields={"index": frame["output_index"], "args_delta": whole, "final": True}),)

    def _ends_item(self, frame: Frame) -> tuple[Part, ...]:
        item, index = frame["item"], number_of(frame["output_index"])
        field = _CALLS.get(item["type"])
        if field is None:
            return self._told_whole(item, index)
        asked: tuple[Part, ...] = ()
        key = ("tool_call", index, None)
        if self._anew and key not in self._heard:
            asked = self._begins_item(frame)
        if key in self._silent:
            asked += self._asked({"output_index": index, field: item.get(field) or ""}, field)
        answer = item.get("output") or item.get("error")
        return (*asked, tool_result(ASSISTANT, _id(item), answer)) if answer else asked


def _key(kind: str, frame: Frame, part: str) -> tuple[str, int | None, int | None]:
    """Return what is said, as far as the frame numbers it; it stands in cursors."""
    index, number = frame.get("output_index"), frame.get(part)
    return kind, None if index is None else number_of(index), None if number is None else number_of(number)


def _id(item: Frame) -> str:
    return text_of(item.get("call_id") or item["id"])


def _finish(response: Frame) -> Finish:
    items = [item for item in response.get("output") or () if isinstance(item, dict)]
    if any(item.get("type") in {"function_call", "custom_tool_call"} for item in items):
        return "tool_calls"
    contents = [part for item in items for part in item.get("content") or () if isinstance(part, dict)]
    return "refusal" if any(part.get("type") == "refusal" for part in contents) else "stop"
