"""
The event stream of Gemini's Interactions.

    event: step.delta
    data: {"event_type":"step.delta","index":1,"delta":{"type":"text","text":"Hel"},"event_id":"e7"}

An interaction is a row of steps (in older revisions of the API: of contents, under other names). One that was started
with `background: true` goes on without listeners: its events are read again behind an `event_id`, which some of them
carry, and only a request of its own ends it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT, Part, whole_characters
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import read_frame, unknown
from nbstream.sources.formats.speech import Speech, number_of, text_of, tool_result
from nbstream.sources.formats.stored_run import StoredRun
from nbstream.sources.formats.usage import used
from nbstream.sources.refusal import read_error, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish
    from nbstream.sources.http.call import Call

    Frame = Mapping[str, Any]

#: Of a status with which an interaction has ended and its answer stands.
_FINISHES: dict[str, Finish] = {
    "completed": "stop", "requires_action": "tool_calls", "incomplete": "length", "budget_exceeded": "length",
}  # fmt: skip
#: Steps that begin with words: the field that has them, and our kind of it.
_BEGUN = {"model_output": ("content", "text"), "thought": ("summary", "reasoning")}
_FAILURES = frozenset({"failed", "cancelled"})
_USED = {
    "input": "total_input_tokens", "answer": "total_output_tokens", "reasoning": "total_thought_tokens",
    "cached": "total_cached_tokens", "total": "total_tokens",
}  # fmt: skip


class GeminiInteractions:
    """Reads the events of one interaction; `interaction.completed` is the end mark."""

    traits = Traits(
        end_mark="interaction.completed (interaction.complete in older revisions)",
        error_mark="error, or an interaction whose status is failed or cancelled",
        heartbeat=None,
        resume="cursor",
        cancel="POST .../interactions/{id}/cancel for one in the background; else close the connection",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:
        cursor = cursor or {}
        self._kept = {"format": cursor["format"]} if "format" in cursor else {}
        self._stored = StoredRun("last_event_id", cursor.get("interaction"), cursor.get("after"))
        self._background = bool(cursor.get("interaction"))
        self._speech = Speech(ASSISTANT)
        for kind, (message, tail) in (cursor.get("said") or {}).items():
            self._speech.messages[kind], self._speech.tails[kind] = message, tail
        #: Tool calls that have begun, by the index of their step; whether their arguments have come.
        self._calls: dict[int, bool] = {int(index): told for index, told in (cursor.get("calls") or {}).items()}
        self._model: str | None = None
        self._events: dict[str, Callable[[Frame], Arrival]] = {
            "interaction.created": lambda frame: self._begins(frame["interaction"]),
            "interaction.start": lambda frame: self._begins(frame["interaction"]),
            "interaction.status_update": lambda frame: self._changes(text_of(frame["status"])),
            "interaction.completed": lambda frame: self._ends(frame["interaction"]),
            "interaction.complete": lambda frame: self._ends(frame["interaction"]),
            "step.start": lambda frame: Arrival(self._begins_step(number_of(frame["index"]), frame["step"])),
            "content.start": lambda frame: Arrival(self._begins_step(number_of(frame["index"]), frame["content"])),
            "step.delta": lambda frame: Arrival(self._goes_on(number_of(frame["index"]), frame["delta"])),
            "content.delta": lambda frame: Arrival(self._goes_on(number_of(frame["index"]), frame["delta"])),
            "step.stop": lambda frame: Arrival(self._ends_step(number_of(frame["index"]))),
            "content.stop": lambda frame: Arrival(self._ends_step(number_of(frame["index"]))),
        }

    @property
    def run(self) -> StoredRun | None:
        """The interaction, if it goes on without listeners."""
        return self._stored if self._background and self._stored.known is not None else None

    def met(self, call: Call, headers: Mapping[str, str]) -> None:  # noqa: ARG002 - as all of them
        """Take from what was asked whether the interaction goes on without listeners."""
        try:
            asked = json.loads(call.body or b"null")
        except ValueError:
            return
        self._background = self._background or (isinstance(asked, dict) and asked.get("background") is True)

    def finished(self, status: str) -> Arrival | None:  # noqa: ARG002 - never asked
        """Its status alone is no end: text may be missing."""
        return None

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        if event.data.strip() == "[DONE]":
            return None  # it stands behind the end mark, also where an interaction was cut off
        return read_frame(event, self._placed)

    def _placed(self, frame: Frame) -> Arrival:
        arrival = self.frame(frame)
        return arrival._replace(cursor=self._place(frame)) if self.run is not None else arrival

    def frame(self, frame: Frame) -> Arrival:
        """Return what a decoded event says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        kind = frame.get("event_type")
        if kind in self._events:
            return self._events[kind](frame)
        return unknown(frame, text_of(kind))

    def eof(self) -> Arrival | None:
        """Without its end mark the interaction is not complete."""
        return None

    # -- the interaction --------------------------------------------------------------------------------------------

    def _place(self, frame: Frame) -> dict[str, Any] | None:
        """Return the cursor behind *frame*: an event without an id names no place, but the first names the run."""
        place = frame.get("event_id")
        if isinstance(place, str) and place and whole_characters(place) is place:
            self._stored.place = place
        elif self._stored.place is not None or not str(frame.get("event_type")).startswith("interaction."):
            return None
        speech = self._speech
        said = {kind: [speech.messages.get(kind, ""), tail] for kind, tail in speech.tails.items()}
        cursor = {"interaction": self._stored.known, "said": said, "calls": self._calls.copy(), **self._kept}
        return cursor if self._stored.place is None else {**cursor, "after": self._stored.place}

    def _begins(self, interaction: Frame) -> Arrival:
        self._stored.told(interaction.get("id"))
        model = interaction.get("model") or interaction.get("agent")
        model = model if type(model) is str and model != self._model else None
        self._model = model or self._model
        return Arrival(model=model)

    def _changes(self, status: str) -> Arrival:
        if status in _FAILURES:
            raise SourceRefused(f"the upstream ended the interaction with status {status!r}")
        return Arrival()

    def _ends(self, interaction: Frame) -> Arrival:
        status = text_of(interaction.get("status") or "completed")
        if status in _FAILURES and (error := read_error(interaction)) is not None:
            raise refused_by_frame(error._replace(retryable=False))
        self._changes(status)
        finish = _FINISHES.get(status, "other")
        if finish == "stop" and self._calls:
            finish = "tool_calls"
        told = interaction.get("usage")
        return self._begins(interaction)._replace(end=End(finish, status), usage=_usage(told) if told else None)

    # -- its steps --------------------------------------------------------------------------------------------------

    def _begins_step(self, index: int, step: Frame) -> tuple[Part, ...]:
        kind = text_of(step["type"])
        if kind == "function_call" and index not in self._calls:
            return self._calls_tool(index, step)
        if kind in {"text", "thought"} and "text" in step:
            return self._says(index, text_of(step["text"]), "text" if kind == "text" else "reasoning")
        if kind in _BEGUN:
            # The beginning of a step may have its first words in it; the deltas go on behind them.
            field, said = _BEGUN[kind]
            texts = (text_of(one["text"]) for one in step.get(field) or () if one.get("type") == "text")
            return self._says(index, "".join(texts), said)
        # What a tool of the provider's does has its steps, and nothing to show.
        return ()

    def _calls_tool(self, index: int, call: Frame) -> tuple[Part, ...]:
        arguments = call.get("arguments")
        whole = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        whole = whole if arguments else ""
        self._calls[index] = bool(whole)
        fields = {"index": index, "args_delta": whole, "name": text_of(call["name"])}
        return (Part("tool_call", fields={**fields, **({"id": text_of(call["id"])} if call.get("id") else {})}),)

    def _goes_on(self, index: int, delta: Frame) -> tuple[Part, ...]:
        kind = text_of(delta["type"])
        if kind == "text":
            return self._says(index, text_of(delta["text"]), "text")
        if kind in {"thought_summary", "thought"}:
            content = delta.get("content") or delta
            return self._says(index, text_of(content.get("text") or content.get("thought") or ""), "reasoning")
        if kind == "arguments_delta":
            self._calls[index] = True
            return (Part("tool_call", fields={"index": index, "args_delta": text_of(delta["arguments"])}),)
        if kind == "function_call" and index not in self._calls:  # in older revisions as a whole
            return self._calls_tool(index, delta)
        if kind == "function_result":
            failed = delta.get("is_error") is True
            return (tool_result(ASSISTANT, text_of(delta["call_id"]), delta.get("result"), failed=failed),)
        return ()  # signatures, annotations, what a tool of the provider's does

    def _says(self, index: int, text: str, kind: str) -> tuple[Part, ...]:
        return self._speech.says(text, message=str(index), kind=kind)

    def _ends_step(self, index: int) -> tuple[Part, ...]:
        if index not in self._calls:
            return ()
        whole = "" if self._calls[index] else "{}"
        self._calls[index] = True
        return (Part("tool_call", fields={"index": index, "args_delta": whole, "final": True}),)


def _usage(told: Frame) -> dict[str, int]:
    usage = used(told.get, _USED)
    # Thoughts are paid as output and counted beside it.
    answer = usage.pop("answer", None)
    if answer is not None or "reasoning" in usage:
        usage["output"] = (answer or 0) + usage.get("reasoning", 0)
    return usage
