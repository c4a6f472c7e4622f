"""
What LangGraph's stream modes say, in our parts: the same for the events of its server and for what a graph yields.

Text comes from `messages` (pieces of messages) or from snapshots of whole messages (`messages/partial` and
`/complete`, messages in `updates` or `values`), whichever a run was asked for: where pieces come, the same text in
`updates` and `values` is not shown again.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival
from nbstream.sources.formats.langgraph_seats import Seats
from nbstream.sources.formats.speech import ToolCalls, last, text_of, tool_result, waiting
from nbstream.sources.formats.usage import SNAKE, used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nbstream.sources.formats.langgraph_seats import Seat

#: Understood, and nothing to show: the inside of the machine.
_SILENT = frozenset({"metadata", "debug", "tasks", "checkpoints", "feedback", "ping"})
#: Calls without a result, and questions, in a cursor: those of long ago are somebody else's business by now.
KEPT = 32
#: Enough of an id to tell messages apart: the cursor of every record carries some.
_ID_CHARS = 12


class LangGraphParts:
    """Reads one run; *state* is what `to_json` gave for the cursor it goes on behind."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._seats = Seats(state)
        #: Those that have no result yet; and of those whose pieces come, which it is by message and place in it.
        self._calls = ToolCalls(state.get("calls"))
        self._open: dict[str, str] = dict(state.get("open", {}))
        #: Pieces of messages have come, or updates of nodes: the lesser ones say nothing new then.
        self._best: int = state.get("best", 0)
        self._known: int | None = state.get("known")
        self._asked: dict[str, None] = dict.fromkeys(state.get("asked", ()))
        self._usage: Counter[str] = Counter(state.get("usage", {}))
        self._model: str | None = None
        #: Snapshots: what the message of each agent said last, and whose it is.
        self._before: dict[str, str] = {}
        self._about: dict[str, Any] = {}

        self._modes: dict[str, Callable[[Sequence[str], Any], Arrival]] = {
            "messages": self._pieces,
            "messages-tuple": self._pieces,
            "messages/partial": self._partial,
            "messages/complete": partial(self._partial, complete=True),
            "messages/metadata": self._metadata,
            "updates": lambda namespace, data: Arrival(self._updates(namespace, data)),
            "values": lambda namespace, data: Arrival(self._values(namespace, data)),
            "custom": lambda namespace, data: Arrival(self._written(namespace, data)),
        }

    def to_json(self) -> dict[str, Any]:
        """Return what a cursor carries: as much of a long run as of a short one."""
        rest = {
            "calls": self._calls.newest(KEPT), "open": last(self._open, KEPT), "best": self._best, "known": self._known,
            "asked": [*last(self._asked, KEPT)], "usage": dict(self._usage),
        }  # fmt: skip
        return {**self._seats.to_json(), **{name: value for name, value in rest.items() if value}}

    @property
    def paused(self) -> bool:
        """Whether the run waits for a person."""
        return bool(self._asked)

    def event(self, mode: str, namespace: Sequence[str], data: Any) -> Arrival:
        """Return what an event says; `AttributeError`, `TypeError` or `LookupError` for what is not one."""
        if mode in self._modes:
            return self._modes[mode](namespace, data)
        if mode in _SILENT:
            return Arrival()
        return Arrival((Part("raw", fields={"type": mode}),))

    def _pieces(self, namespace: Sequence[str], data: Any) -> Arrival:
        self._best = 2
        message, about = data
        return self._arrival(self._message(namespace, message, about or {}), message, about)

    def _partial(self, namespace: Sequence[str], data: Any, *, complete: bool = False) -> Arrival:
        self._best = 2
        parts: tuple[Part, ...] = ()
        for message in data:
            about = (self._about.get(_short(message)) or {}).get("metadata") or {}
            parts += self._snapshot(namespace, message, about, complete=complete)
        return self._arrival(parts, data[-1] if data and complete else {}, {})

    def _metadata(self, namespace: Sequence[str], data: Any) -> Arrival:  # noqa: ARG002 - as all of them
        self._about.update({key[-_ID_CHARS:]: value for key, value in data.items()})
        return Arrival()

    def _arrival(self, parts: tuple[Part, ...], message: Mapping[str, Any], about: Mapping[str, Any] | None) -> Arrival:
        told = message.get("usage_metadata")
        usage = None
        if told:
            self._usage.update(used(told.get, SNAKE))
            usage = dict(self._usage)
        model = (message.get("response_metadata") or {}).get("model_name") or (about or {}).get("ls_model_name")
        if type(model) is not str or model == self._model:
            return Arrival(parts, usage=usage)
        self._model = model
        return Arrival(parts, usage=usage, model=model)

    # -- messages ---------------------------------------------------------------------------------------------------

    def _message(
        self, namespace: Sequence[str], message: Mapping[str, Any], about: Mapping[str, Any]
    ) -> tuple[Part, ...]:
        kind = text_of(message["type"])
        if kind in {"tool", "ToolMessageChunk"}:
            return self._result(namespace, message, about)
        if kind == "ai":  # a whole one, from a node that made it without a model
            return self._snapshot(namespace, message, about, complete=True)
        if kind != "AIMessageChunk":
            return ()
        seat, parts = self._seats.take(namespace, about, str(message.get("name") or ""))
        for kind_of_text, text in _texts(message):
            parts += seat.speech.says(text, message=_short(message), kind=kind_of_text)
        for chunk in message.get("tool_call_chunks") or ():
            parts += self._call_chunk(seat, _short(message), chunk)
        self._seats.moved(seat)
        return parts

    def _snapshot(
        self, namespace: Sequence[str], message: Mapping[str, Any], about: Mapping[str, Any], *, complete: bool
    ) -> tuple[Part, ...]:
        """Read a message as far as it has come: what is new of it, behind what it says otherwise now."""
        kind = text_of(message["type"])
        if kind == "tool":
            return self._result(namespace, message, about) if complete else ()
        if kind not in {"ai", "AIMessageChunk"}:
            return ()
        key = _short(message)
        parts: tuple[Part, ...] = ()
        seat = self._seats.saying(key) if key else None
        if seat is None:
            seat, parts = self._seats.take(namespace, about, str(message.get("name") or ""))
        for kind_of_text, whole in _texts(message):
            parts += self._replaces(seat, kind_of_text, key, whole)
        if complete:
            for call in message.get("tool_calls") or ():
                parts += self._whole_call(seat, call)
        self._seats.moved(seat)
        return parts

    def _replaces(self, seat: Seat, kind: str, message: str, whole: str) -> tuple[Part, ...]:
        """Return what makes *whole* of what was said of *message*."""
        speech, at = seat.speech, f"{seat.speech.agent} {kind}"
        if speech.messages.get(kind) != message:
            parts = speech.says(whole, message=message, kind=kind)
            seat.begins[kind] = speech.lengths.get(kind, 0) - len(whole)
        else:
            begins = seat.begins.get(kind, 0)
            # Behind a resume only the length is known: what a message has said it goes on saying.
            before = self._before.get(at, whole[: speech.lengths.get(kind, 0) - begins])
            same = _alike(before, whole)
            parts = speech.takes_back(begins + same, kind=kind, tail=whole[:same][-2:])
            parts += speech.says(whole[same:], message=message, kind=kind)
        self._before[at] = whole
        return parts

    # -- tools ------------------------------------------------------------------------------------------------------

    def _call_chunk(self, seat: Seat, message: str, chunk: Mapping[str, Any]) -> tuple[Part, ...]:
        """Read a piece of a call: only its first one has id and name, the others its place in the message."""
        place = f"{message} {chunk.get('index')}"
        call, arguments = chunk.get("id"), text_of(chunk.get("args") or "")
        begun: tuple[Part, ...] = ()
        if call and self._open.get(place) != call:
            begun = (self._calls.begin(seat.speech, text_of(call), text_of(chunk.get("name") or "")),)
            self._open[place] = call
        return (*begun, self._calls.goes_on(self._open[place], arguments)) if arguments else begun

    def _whole_call(self, seat: Seat, call: Mapping[str, Any]) -> tuple[Part, ...]:
        begun = self._calls.begin(seat.speech, text_of(call["id"]), text_of(call["name"]))
        arguments = json.dumps(call.get("args"), ensure_ascii=False)
        return begun, self._calls.goes_on(call["id"], arguments, final=True)

    def _result(
        self, namespace: Sequence[str], message: Mapping[str, Any], about: Mapping[str, Any]
    ) -> tuple[Part, ...]:
        call = text_of(message["tool_call_id"])
        parts: tuple[Part, ...] = ()
        agent = self._calls.maker(call)
        self._calls.forget(call)
        self._open = {place: other for place, other in self._open.items() if other != call}
        if agent is None:
            seat, parts = self._seats.take(namespace, about, "")
            agent = seat.speech.agent
        return (*parts, tool_result(agent, call, message.get("content"), failed=message.get("status") == "error"))

    # -- what nodes write themselves --------------------------------------------------------------------------------

    def _written(self, namespace: Sequence[str], data: Any) -> tuple[Part, ...]:
        """
        Return what a node wrote with the stream writer: its text, bare or as the only field; what else it is, is data.

        Nobody says which node of a graph it was, so it is the whole graph's.
        """
        text = next(iter(data.values())) if isinstance(data, dict) and len(data) == 1 else data
        if not isinstance(text, str):
            return (Part("raw", fields={"type": "custom"}),)
        seat, begun = self._seats.take(namespace, {}, "")
        said = seat.speech.says(text, message="custom")
        self._seats.moved(seat)
        return (*begun, *said)

    # -- updates and values -----------------------------------------------------------------------------------------

    def _updates(self, namespace: Sequence[str], data: Mapping[str, Any]) -> tuple[Part, ...]:
        parts: tuple[Part, ...] = ()
        for node, update in data.items():
            if node == "__interrupt__":
                parts += self._interrupts(update)
                continue
            if self._best < 2:
                self._best = 1
                for message in _messages(update):
                    parts += self._snapshot(namespace, message, {"langgraph_node": node}, complete=True)
            parts += self._seats.end(namespace, node)
        return parts

    def _values(self, namespace: Sequence[str], data: Mapping[str, Any]) -> tuple[Part, ...]:
        """Read the whole state: the first one is what the run was given."""
        parts = self._interrupts(data.get("__interrupt__") or ())
        messages = list(_messages(data))
        if namespace or self._best:
            return parts
        if self._known is not None:
            for message in messages[self._known :]:
                parts += self._snapshot((), message, {}, complete=True)
        self._known = len(messages)
        return parts

    def _interrupts(self, interrupts: Iterable[Mapping[str, Any]]) -> tuple[Part, ...]:
        """Return what waits for a person; a subgraph's interrupt comes once more from each graph around it."""
        parts = []
        for one in interrupts:
            key = str(one.get("id") or one.get("interrupt_id") or json.dumps(one.get("value"), default=str))[:_ID_CHARS]
            if key not in self._asked:
                self._asked[key] = None
                parts.append(waiting(self._seats.speaker or ASSISTANT, one.get("value")))
        return tuple(parts)


def _alike(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    if other.startswith(one):
        return len(one)
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other))


def _short(message: Mapping[str, Any]) -> str:
    return str(message.get("id") or "")[-_ID_CHARS:]


def _messages(update: Any) -> list[Mapping[str, Any]]:
    """Return the messages in the update of a node, or in a state; how else state is made is the graph's business."""
    messages = update.get("messages") if isinstance(update, dict) else None
    if isinstance(messages, dict):
        messages = [messages]
    return [one for one in messages or () if isinstance(one, dict) and "type" in one]


def _texts(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the texts of a message, or of a piece of one, by kind."""
    content = message.get("content")
    thought = (message.get("additional_kwargs") or {}).get("reasoning_content")
    texts = [("reasoning", thought)] if isinstance(thought, str) else []
    if isinstance(content, str):
        return [*texts, ("text", content)]
    by_kind: dict[str, str] = dict(texts)
    for block in content or ():
        kind, text = ("text", block) if isinstance(block, str) else _text_of_block(block)
        if text:
            by_kind[kind] = by_kind.get(kind, "") + text
    return list(by_kind.items())


def _text_of_block(block: Mapping[str, Any]) -> tuple[str, str]:
    kind = block.get("type")
    if kind in {"reasoning", "thinking"}:
        summary = block.get("summary") or ()
        said = block.get("reasoning") or block.get("thinking") or "".join(str(one.get("text", "")) for one in summary)
        return "reasoning", str(said)
    if kind == "refusal":
        return "refusal", str(block.get("refusal") or "")
    return "text", str(block.get("text") or "") if kind == "text" else ""
