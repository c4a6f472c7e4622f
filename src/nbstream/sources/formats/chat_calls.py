"""
Tool calls in chat completions: which one a piece of a call is of.

OpenAI numbers the calls of an answer and sends the id and the name of each with its first piece. Others send every call
as number 0 (Gemini's and older Ollama's servers), no number, the name with every piece, or a new id with every piece
(older vLLM), or the name itself in pieces. So a piece with the id of a call is of that call; one with a name begins a
call, unless it repeats that of a call whose arguments are not yet whole, says nothing more, or comes before any
arguments, where it goes on with the name; everything else goes on with the last call of its number.
"""

from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING, Any

from nbstream.records import Part
from nbstream.sources.formats.speech import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping


#: What tells where a JSON object ends: quotes, brackets, and what a backslash takes from them.
_MARKS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class ChatCalls:
    """The calls of one answer."""

    def __init__(self) -> None:
        #: The last call of an agent under one of the server's numbers.
        self._last: dict[tuple[str, Any], _Call] = {}
        #: All calls by agent, the server's number and id.
        self._known: dict[tuple[str, Any, str], _Call] = {}
        #: Our numbers: that of the server as long as no other call has it.
        self._numbers: set[tuple[str, Any]] = set()

    def piece(self, call: Mapping[str, Any], function: Mapping[str, Any], agent: str, at: int) -> Part:
        """Return the part that a piece of a call makes; *function* is what it asks, *at* its place in the chunk."""
        number = index = call.get("index")
        # Some servers do not number calls: several in one chunk are several all the same.
        index = at if index is None else index
        known, name = text_of(call.get("id") or ""), text_of(function.get("name") or "")
        arguments = function.get("arguments")
        # Some servers send them decoded.
        decoded = isinstance(arguments, dict)
        arguments = json.dumps(arguments, ensure_ascii=False) if decoded else text_of(arguments or "")
        last = self._known.get((agent, number, known)) if known else None
        begins = False
        if last is None:
            last = self._last.get((agent, index))
            begins = last is None or last.is_another(known, name, arguments)
        if begins or last is None:
            last = _Call(self._number(agent, index), known, name)
        self._last[agent, index] = last
        if known:
            self._known[agent, number, last.id or known] = last
        if known == last.id and last.is_repeat(arguments):
            arguments = ""
        fields: dict[str, Any] = {"index": last.index, "args_delta": arguments}
        # Only the first piece of a call carries its id and name; those that come later, or again, are its own.
        if known and (begins or not last.id):
            fields["id"] = last.id = known
        if name and not begins and not last.begun and name != last.name:
            last.name += name  # it came in pieces
            fields["name"] = last.name
        elif name and begins:
            fields["name"] = name
        last.goes_on(arguments)
        return Part("tool_call", agent=agent, fields=fields)

    def _number(self, agent: str, index: Any) -> Any:
        if (agent, index) in self._numbers:
            index = next(number for number in count() if (agent, number) not in self._numbers)
        self._numbers.add((agent, index))
        return index


class _Call:
    def __init__(self, index: Any, id: str, name: str) -> None:
        self.index, self.id, self.name = index, id, name
        self._pieces: list[str] = []
        self._chars = 0
        #: How many brackets are open, and whether a text is; what a backslash at the end of a piece holds back.
        self._depth, self._quoted, self._held = 0, False, ""

    @property
    def begun(self) -> bool:
        """Whether any arguments came."""
        return self._chars > 0

    def goes_on(self, arguments: str) -> None:
        """Add *arguments*, each looked at once: parsing all of them at each piece would cost their square."""
        self._pieces.append(arguments)
        self._chars += len(arguments)
        text, self._held = self._held + arguments, ""
        for mark in _MARKS.findall(text):
            if mark == '"':
                self._quoted = not self._quoted
            elif mark[0] == "\\":
                self._held = mark if len(mark) == 1 else ""
            elif not self._quoted:
                self._depth += 1 if mark in "{[" else -1

    def is_another(self, id: str, name: str, arguments: str) -> bool:
        """Whether a piece that is not known by its *id* begins another call."""
        if not name or not self.name:
            return False
        if id and self.id:
            return True
        return (self.begun and name != self.name) or (bool(arguments) and self._is_whole())

    def is_repeat(self, arguments: str) -> bool:
        """Whether *arguments* are all of the call once more."""
        return len(arguments) == self._chars > 0 and self._is_whole() and arguments == "".join(self._pieces)

    def _is_whole(self) -> bool:
        return self.begun and not self._depth and not self._quoted
