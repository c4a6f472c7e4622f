"""
Tool calls in chat completions: which one a piece of a call is of.

OpenAI numbers the calls of an answer and sends the id and the name of each with its first piece. Others send every call
as number 0 (Gemini's and older Ollama's servers), no number, the name with every piece, or a new id with every piece
(older vLLM). So a piece with a name begins a call, unless it repeats that of a call whose arguments are not yet whole;
everything else goes on with the last call of its number.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from nbstream.records import Part
from nbstream.sources.formats.speech import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class ChatCalls:
    """The calls of one answer."""

    def __init__(self) -> None:
        #: The last call of an agent under one of the server's numbers.
        self._last: dict[tuple[str, Any], _Call] = {}
        #: Our numbers: that of the server as long as no other call has it.
        self._numbers: set[tuple[str, Any]] = set()

    def piece(self, call: Mapping[str, Any], function: Mapping[str, Any], agent: str, at: int) -> Part:
        """Return the part that a piece of a call makes; *function* is what it asks, *at* its place in the chunk."""
        index = call.get("index")
        # Some servers do not number calls: several in one chunk are several all the same.
        index = at if index is None else index
        known, name = text_of(call.get("id") or ""), text_of(function.get("name") or "")
        arguments = function.get("arguments") or ""
        # Some servers send them decoded.
        arguments = json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else text_of(arguments)
        last = self._last.get((agent, index))
        begins = last is None or last.is_another(known, name)
        if begins:
            last = self._last[agent, index] = _Call(self._number(agent, index), known, name)
        assert last is not None  # noqa: S101 - for the type checker
        fields: dict[str, Any] = {"index": last.index, "args_delta": arguments}
        # Only the first piece of a call carries its id and name; those that come later, or again, are its own.
        if known and (begins or not last.id):
            fields["id"] = last.id = known
        if name and (begins or not last.name):
            fields["name"] = last.name = name
        last.arguments.append(arguments)
        return Part("tool_call", agent=agent, fields=fields)

    def _number(self, agent: str, index: Any) -> Any:
        if (agent, index) in self._numbers:
            index = next(number for number in count() if (agent, number) not in self._numbers)
        self._numbers.add((agent, index))
        return index


class _Call:
    def __init__(self, index: Any, id: str, name: str) -> None:
        self.index, self.id, self.name = index, id, name
        self.arguments: list[str] = []

    def is_another(self, id: str, name: str) -> bool:
        if not name or not self.name:
            return False
        return name != self.name or bool(id and self.id and id != self.id) or self._whole()

    def _whole(self) -> bool:
        try:
            json.loads("".join(self.arguments))
        except (ValueError, RecursionError):
            return False
        return True
