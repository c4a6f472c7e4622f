"""
The events of pydantic-ai (`agent.run_stream_events()`, or a node's `stream()`): parts that begin, grow and end.

Tool calls are announced once more when they are carried out, and the result of the run holds its text again: neither is
told twice.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.records import ASSISTANT
from nbstream.sources.contract import Arrival
from nbstream.sources.formats.speech import Speech, ToolCalls, text_of, tool_result
from nbstream.sources.formats.usage import used

if TYPE_CHECKING:
    from nbstream.records import Part

_KINDS = {"text": "text", "thinking": "reasoning"}
_USED = {"input": "input_tokens", "output": "output_tokens", "cached": "cache_read_tokens", "total": "total_tokens"}


class PydanticAI:
    """Reads one run, of one model's answer or of several."""

    def __init__(self) -> None:
        self._speech = Speech(ASSISTANT)
        self._calls = ToolCalls()
        #: Answers so far; the parts of each are numbered from 0.
        self._answers = 0
        #: Of the answer that comes, by the number of the part: its call, until arguments of it were told.
        self._asked: dict[int, str] = {}
        self._untold: set[str] = set()

    def event(self, event: Any) -> Arrival:
        """Return what *event* says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        kind = event.event_kind
        if kind == "part_start":
            return Arrival(self._begins(event.index, event.part))
        if kind == "part_delta":
            return Arrival(self._goes_on(event.index, event.delta))
        if kind == "part_end" and event.index in self._asked:
            return Arrival(self._ends(self._asked.pop(event.index), event.part.args))
        if kind in {"function_tool_result", "output_tool_result"}:
            return Arrival(self._answered(getattr(event, "part", None) or event.result))
        if kind == "agent_run_result":
            return self._result(event.result)
        return Arrival()  # what is done with the parts

    def _begins(self, index: int, part: Any) -> tuple[Part, ...]:
        self._answers += index == 0
        kind = part.part_kind
        if kind in _KINDS:
            return self._says(index, _KINDS[kind], part.content)
        if not kind.endswith("tool-call"):
            return ()
        call = self._asked[index] = text_of(part.tool_call_id)
        self._untold.add(call)
        begun = self._calls.begin(self._speech, call, text_of(part.tool_name))
        return (begun, *self._asks(call, part.args))

    def _goes_on(self, index: int, delta: Any) -> tuple[Part, ...]:
        kind = delta.part_delta_kind
        if kind in _KINDS:
            return self._says(index, _KINDS[kind], delta.content_delta)
        return self._asks(self._asked[index], delta.args_delta) if kind == "tool_call" else ()

    def _says(self, index: int, kind: str, text: str | None) -> tuple[Part, ...]:
        return self._speech.says(text_of(text or ""), message=f"{self._answers}.{index}", kind=kind)

    def _asks(self, call: str, arguments: Any) -> tuple[Part, ...]:
        """Return the next piece of the arguments; those that come as a dict are told as a whole, at the end."""
        if not arguments or not isinstance(arguments, str):
            return ()
        self._untold.discard(call)
        return (self._calls.goes_on(call, arguments),)

    def _ends(self, call: str, arguments: Any) -> tuple[Part, ...]:
        whole = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        untold = call in self._untold
        self._untold.discard(call)
        return (self._calls.goes_on(call, whole if untold else "", final=True),)

    def _answered(self, part: Any) -> tuple[Part, ...]:
        call = text_of(part.tool_call_id)
        return (tool_result(ASSISTANT, call, part.content, failed=part.part_kind == "retry-prompt"),)

    def _result(self, result: Any) -> Arrival:
        usage = result.usage
        if not hasattr(usage, "input_tokens"):  # a method, before version 2
            usage = usage()
        model = getattr(getattr(result, "response", None), "model_name", None)
        counts = used(lambda name: getattr(usage, name, None), _USED)
        return Arrival(usage=counts or None, model=model if isinstance(model, str) else None)
