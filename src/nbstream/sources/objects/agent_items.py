"""
What agent frameworks yield in Python: LangGraph, LangChain, AG-UI events, pydantic-ai, the OpenAI Agents SDK.

Recognised by shape, never by class: importing a framework to compare would be slow, and its next version has others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from nbstream.errors import SourceLost
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End
from nbstream.sources.formats.agui import AGUI
from nbstream.sources.formats.langgraph_parts import LangGraphParts
from nbstream.sources.objects.agents_sdk import EVENTS, AgentsSDK
from nbstream.sources.objects.langchain import MESSAGES, Endings, RunEvents
from nbstream.sources.objects.pydantic_ai import PydanticAI

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: LangGraph's stream modes.
_MODES = frozenset({"messages", "updates", "values", "custom", "debug", "tasks", "checkpoints"})


class AgentItems:
    """Reads one run; an item that no framework here yields is None."""

    def __init__(self) -> None:
        self._graph = LangGraphParts()
        self._agui = AGUI()
        self._sdk = AgentsSDK()
        self._pydantic = PydanticAI()
        self._endings, self._events = Endings(), RunEvents()
        #: An AG-UI run has begun, and its own end.
        self._running = False
        self._end: Arrival | None = None

    def read(self, item: Any) -> Arrival | None:
        """Return what *item* says."""
        if isinstance(item, tuple):
            return self._tuple(item)
        if isinstance(item, dict):
            return self._dict(item)
        if isinstance(getattr(item, "event_kind", None), str):
            return self._pydantic.event(item)
        return self._typed(item)

    def eof(self) -> Arrival | None:
        """Return the end if a framework has one of its own; raises `SourceLost` for a run that has not ended."""
        if self._end is not None:
            return self._end
        if self._running:
            raise SourceLost("the iterator ended without RUN_FINISHED: the run was probably cut")
        end = self._endings.eof()
        return Arrival(end=End("pause", "interrupt")) if self._graph.paused else end

    def _typed(self, item: Any) -> Arrival | None:
        kind = getattr(item, "type", None)
        if not isinstance(kind, str):
            kind = getattr(kind, "value", None)  # an enumeration's
        if not isinstance(kind, str):
            return None
        if kind in EVENTS:
            return self._sdk.event(item)
        if kind in MESSAGES and hasattr(item, "content") and hasattr(item, "model_dump"):
            return self._mode("messages", (), (item, {}))
        if kind.isupper() and hasattr(item, "model_dump"):
            return self._event(item.model_dump(mode="json", by_alias=True, exclude_none=True))
        return None

    def _event(self, frame: Mapping[str, Any]) -> Arrival:
        arrival = self._agui.frame(frame)
        # Others name their types in capitals, too: an event that AG-UI does not know begins no run of its.
        self._running = self._running or [part.kind for part in arrival.parts] != ["raw"]
        if arrival.end is None:
            return arrival
        self._end = arrival._replace(parts=())
        return arrival._replace(end=None)

    def _tuple(self, item: tuple[Any, ...]) -> Arrival | None:
        if len(item) == 3 and isinstance(item[0], (tuple, list)) and _is_mode(item[1]):
            return self._mode(item[1], item[0], item[2])
        if len(item) != 2:
            return None
        first, second = item
        if _is_mode(first):
            return self._mode(first, (), second)
        if str(getattr(first, "type", None)) in MESSAGES and isinstance(second, dict):
            return self._mode("messages", (), item)
        if isinstance(first, tuple) and isinstance(second, (tuple, dict)):  # one mode, and subgraphs
            return self._mode("messages" if isinstance(second, tuple) else "updates", first, second)
        return None

    def _dict(self, item: dict[Any, Any]) -> Arrival | None:
        kind = item.get("type")
        if isinstance(kind, str) and kind.isupper():
            return self._event(item)
        if _is_mode(kind) and "ns" in item and "data" in item:
            return self._mode(kind, item["ns"], item["data"])
        event = item.get("event")
        if isinstance(event, str) and event.startswith("on_") and "data" in item:
            said = self._events.choose(item)
            if said is None or isinstance(said, str):
                return Arrival((Part("text", said),) if said else ())
            return self._mode("messages", (), (said, item.get("metadata") or {}), run=item.get("run_id"))
        mode = _mode_of(item)
        return None if mode is None else self._mode(mode, (), item)

    def _mode(self, mode: str, namespace: Sequence[str], data: Any, *, run: Any = None) -> Arrival:
        if mode == "messages":
            message, about = _message(data[0]), data[1]
            self._endings.note(message, about or {}, run)
            data = message, about
        elif mode == "updates":
            data = {
                node: _interrupts(update) if node == "__interrupt__" else _state(update)
                for node, update in data.items()
            }
        elif mode == "values":
            data = {**_state(data), "__interrupt__": _interrupts(data.get("__interrupt__") or ())}
        return self._graph.event(mode, namespace, data)


def _is_mode(name: Any) -> TypeGuard[str]:
    return isinstance(name, str) and name in _MODES


def _mode_of(item: dict[Any, Any]) -> str | None:
    """Return the mode whose bare dicts look like *item*: a graph that streams only one mode does not name it."""
    if isinstance(item.get("messages"), list) and "choices" not in item:
        return "values"
    updates = [update for node, update in item.items() if node != "__interrupt__"]
    if not all(isinstance(update, dict) or update is None for update in updates):
        return None
    return "updates" if "__interrupt__" in item or any("messages" in (one or ()) for one in updates) else None


def _message(message: Any) -> Any:
    return message if isinstance(message, dict) else message.model_dump()


def _state(state: Any) -> dict[str, Any]:
    """Return the messages of a state, or of an update; the rest of it may be anything."""
    messages = state.get("messages") if isinstance(state, dict) else None
    if not isinstance(messages, list):
        messages = [] if messages is None else [messages]
    return {"messages": [_message(one) for one in messages if isinstance(one, dict) or hasattr(one, "model_dump")]}


def _interrupts(interrupts: Any) -> list[dict[str, Any]]:
    return [{"id": getattr(one, "id", None), "value": getattr(one, "value", one)} for one in interrupts]
