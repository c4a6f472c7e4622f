"""
What a streamed run of the OpenAI Agents SDK yields (`result.stream_events()`).

Three kinds of events: what the model streams (those of the Responses API), what the SDK makes of it (messages, tools),
and which agent runs. Text is taken from the first, results of tools from the second, agents from the third.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.records import ASSISTANT
from nbstream.sources.contract import Arrival
from nbstream.sources.formats.speech import Speech, ToolCalls, ended, started, tool_result
from nbstream.sources.formats.usage import SNAKE, used
from nbstream.sources.refusal import ErrorObject, plain_text, refused_by_frame

if TYPE_CHECKING:
    from nbstream.records import Part

#: Their types.
EVENTS = frozenset({"raw_response_event", "run_item_stream_event", "agent_updated_stream_event"})

_TEXTS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}


class AgentsSDK:
    """Reads one run. Hand-offs move the word from agent to agent; one that has it again is the same one."""

    def __init__(self) -> None:
        self._speeches: dict[str, Speech] = {}
        self._speech = self._speeches[ASSISTANT] = Speech(ASSISTANT)
        self._calls = ToolCalls()
        #: Call ids by the place of the call in the answer that comes.
        self._places: dict[int, str] = {}
        self._told: set[str] = set()
        self._answers = 0
        self._heard: set[str] = set()
        self._usage: Counter[str] = Counter()

    def event(self, event: Any) -> Arrival:
        """Return what *event* says; `AttributeError` or `TypeError` for what is not one."""
        if event.type == "raw_response_event":
            return self._raw(event.data)
        if event.type == "agent_updated_stream_event":
            return Arrival(self._hands_over(str(event.new_agent.name)))
        return Arrival(self._item(event.name, event.item))

    def _hands_over(self, name: str) -> tuple[Part, ...]:
        before = self._speech
        if before.agent == name:
            return ()
        parts: tuple[Part, ...] = (ended(before.agent),) if before.agent != ASSISTANT else ()
        self._speech = self._speeches.setdefault(name, Speech(name))
        self._speech.interrupts()
        return (*parts, started(name))

    # -- what the model streams -------------------------------------------------------------------------------------

    def _raw(self, data: Any) -> Arrival:
        kind = data.type
        if kind in _TEXTS:
            message = f"{self._answers}:{data.output_index}"
            self._heard.add(self._speech.agent)
            return Arrival(self._speech.says(data.delta, message=message, kind=_TEXTS[kind]))
        if kind in {"response.output_item.added", "response.output_item.done"}:
            return Arrival(self._output_item(data, done=kind.endswith("done")))
        if kind == "response.function_call_arguments.delta":
            call = self._places[data.output_index]
            self._told.add(call)
            return Arrival((self._calls.goes_on(call, data.delta),) if data.delta else ())
        if kind in {"response.completed", "response.incomplete"}:
            self._answers += 1
            self._places.clear()
            return self._completed(data.response)
        if kind == "response.failed":
            error = data.response.error
            raise SourceRefused(f"the model's answer failed: {plain_text(str(getattr(error, 'message', error)))}")
        if kind == "error":
            raise refused_by_frame(ErrorObject(plain_text(str(data.message)), (str(data.code).lower(),)))
        return Arrival()

    def _output_item(self, data: Any, *, done: bool) -> tuple[Part, ...]:
        item = data.item
        if item.type != "function_call":
            return ()
        self._places[data.output_index] = item.call_id
        return self._tool_call(item, whole=done)

    def _tool_call(self, item: Any, *, whole: bool) -> tuple[Part, ...]:
        call = str(item.call_id)
        parts: tuple[Part, ...] = ()
        if self._calls.maker(call) is None:
            parts = (self._calls.begin(self._speech, call, str(item.name)),)
        if not whole:
            return parts
        arguments = "" if call in self._told else str(item.arguments or "")
        self._told.add(call)
        return (*parts, self._calls.goes_on(call, arguments, final=True))

    def _completed(self, response: Any) -> Arrival:
        usage = getattr(response, "usage", None)
        self._usage.update(used(lambda name: getattr(usage, name, None), SNAKE))
        model = getattr(response, "model", None)
        return Arrival(usage=dict(self._usage) or None, model=model if isinstance(model, str) and model else None)

    # -- what the SDK makes of it -----------------------------------------------------------------------------------

    def _item(self, name: str, item: Any) -> tuple[Part, ...]:
        raw = getattr(item, "raw_item", None)
        if name in {"tool_called", "handoff_requested"} and getattr(raw, "type", None) == "function_call":
            return () if str(getattr(raw, "call_id", "")) in self._told else self._tool_call(raw, whole=True)
        if name in {"tool_output", "handoff_occured", "handoff_occurred"}:
            call = raw.get("call_id") if isinstance(raw, dict) else getattr(raw, "call_id", None)
            output = getattr(item, "output", None)
            if output is None and isinstance(raw, dict):
                output = raw.get("output")
            agent = self._calls.maker(str(call)) or self._speech.agent
            return (tool_result(agent, str(call), output),)
        if name == "message_output_created" and self._speech.agent not in self._heard:
            # A model that does not stream.
            text = "".join(str(getattr(one, "text", "") or "") for one in getattr(raw, "content", ()))
            return self._speech.says(text, message=str(getattr(raw, "id", "")))
        return ()
