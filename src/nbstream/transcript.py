"""What a stream has said so far, folded from its parts: text, reasoning, tool calls and results, by agent, in order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from nbstream.records import TEXT_KINDS, Close, Delta, Open
from nbstream.truncation import truncated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbstream.records import Part, Record

#: Pieces that come by the token are joined by as many, so that they do not cost more memory than their text.
JOINED = 256


class Passage:
    """
    Running text of one kind, without a break.

    Each piece is kept whole, with how much of it counts: taking text back costs the same, however long a piece is.
    Other threads may read while one writes.
    """

    def __init__(self) -> None:
        self._pieces: list[tuple[str, int]] = []
        self._loose = 0

    def add(self, text: str) -> None:
        """Add *text*."""
        self._pieces.append((text, len(text)))
        self._loose += 1
        if self._loose >= JOINED:
            whole = _whole(self._pieces[-JOINED:])
            self._pieces[-JOINED:] = [(whole, len(whole))]  # in one step, for readers
            self._loose = 0

    def take_back(self, count: int) -> int:
        """Take the last *count* code points back; return how many more than there were."""
        pieces = self._pieces
        while pieces and count:
            text, kept = pieces[-1]
            if kept > count:
                pieces[-1] = text, kept - count
                return 0
            pieces.pop()
            self._loose = max(0, self._loose - 1)
            count -= kept
        return count

    @property
    def text(self) -> str:
        """All of it."""
        return _whole(list(self._pieces))


def _whole(pieces: list[tuple[str, int]]) -> str:
    return "".join(text if kept == len(text) else text[:kept] for text, kept in pieces)


class Section:
    """What an agent says between two tool calls (or other breaks): a passage of each kind of text."""

    def __init__(self) -> None:
        self.passages: dict[str, Passage] = {}

    def text(self, kind: str) -> str:
        """Return its text of *kind*; may be empty."""
        passage = self.passages.get(kind)
        return passage.text if passage is not None else ""


class Call:
    """A tool call. Its pieces share an index, and only the first carries id and name."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self.id: str | None = None
        self.name = ""
        self._arguments = Passage()

    def add(self, fields: Mapping[str, Any]) -> None:
        """Add one piece."""
        self.id = fields.get("id") or self.id
        self.name = fields.get("name") or self.name
        self._arguments.add(fields.get("args_delta") or "")

    @property
    def arguments(self) -> str:
        """The JSON text that came."""
        return self._arguments.text


@dataclass(slots=True)
class AgentText:
    """One agent's output."""

    name: str
    #: In the order in which it came; a break (a call, a result, a seam, a gap) ends a section.
    said: list[Section | Call | Part] = field(default_factory=list)
    #: The agent that started this one, where the source says so.
    parent: str | None = None
    #: How it ended, where the source says so of each agent.
    status: str | None = None
    #: Frames that came behind the gap they belong in: place in the text, number, text.
    late: list[tuple[int, int, str]] = field(default_factory=list)
    #: Places whose gap is closed.
    closed: set[int] = field(default_factory=set)
    _passages: dict[str, list[Passage]] = field(default_factory=dict, repr=False)
    _lengths: dict[str, int] = field(default_factory=dict, repr=False)
    #: Index -> the last call of it: later pieces carry neither id nor name.
    _calls: dict[Any, Call] = field(default_factory=dict, repr=False)

    def _joined(self, kind: str) -> str:
        return "".join(passage.text for passage in tuple(self._passages.get(kind, ())))

    @property
    def text(self) -> str:
        """The answer."""
        text, out, at = self._joined("text"), [], 0
        for place, _, came in sorted(self.late, key=itemgetter(0, 1)):
            out += [text[at:place], came]
            at = place
        return "".join([*out, text[at:]]) if out else text

    @property
    def reasoning(self) -> str:
        """What the model let us see of its thinking."""
        return self._joined("reasoning")

    @property
    def refusal(self) -> str:
        """Why the model would not answer."""
        return self._joined("refusal")

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The calls, in order: `{index, id, name, arguments}`, arguments as the JSON text that came."""
        calls = (one for one in tuple(self.said) if isinstance(one, Call))
        return [{"index": one.index, "id": one.id, "name": one.name, "arguments": one.arguments} for one in calls]

    def add(self, part: Part) -> None:
        """Add one part."""
        fields = part.fields or {}
        if part.kind in TEXT_KINDS:
            self._write(part.kind, part.text)
        elif part.kind == "tool_call":
            self._call(fields)
        elif part.kind in ("tool_result", "seam", "gap"):
            self.said.append(part)
        elif part.kind == "late":
            self._late(fields)
        elif part.kind == "agent_start":
            self.parent = _word(fields.get("parent")) or self.parent
        elif part.kind == "agent_end":
            self.status = _word(fields.get("status"))
        elif (back := truncated(part)) is not None:
            self._take_back(back[0][1], back[1])

    def came_late(self, at: int) -> str:
        """Return the text that came behind the gap at code point *at*, in the order of its frames."""
        return "".join(text for place, _, text in sorted(self.late, key=itemgetter(0, 1)) if place == at)

    def _late(self, fields: Mapping[str, Any]) -> None:
        at, number, text = fields.get("at"), fields.get("number"), fields.get("text")
        if type(at) is not int or type(number) is not int or type(text) is not str:
            return  # of no place
        self.late.append((at, number, text))
        if fields.get("closes"):
            self.closed.add(at)

    def _write(self, kind: str, text: str) -> None:
        section = self.said[-1] if self.said else None
        if not isinstance(section, Section):
            section = Section()
            self.said.append(section)
        passages = self._passages.setdefault(kind, [])
        passage = section.passages.get(kind)
        if passage is None:
            passage = section.passages[kind] = Passage()
        if not passages or passages[-1] is not passage:
            passages.append(passage)
        passage.add(text)
        self._lengths[kind] = self._lengths.get(kind, 0) + len(text)

    def _take_back(self, kind: str, length: int) -> None:
        if kind == "tool_call":
            self._take_calls_back(length)
            return
        surplus = self._lengths.get(kind, 0) - length
        if surplus <= 0:
            return
        self._lengths[kind] = length
        passages = self._passages[kind]
        while surplus and passages:
            surplus = passages[-1].take_back(surplus)
            if surplus:
                passages.pop()

    def _take_calls_back(self, count: int) -> None:
        gone = {id(call) for index, call in self._calls.items() if type(index) is int and index >= count}
        self.said = [one for one in self.said if id(one) not in gone]
        self._calls = {index: call for index, call in self._calls.items() if id(call) not in gone}

    def _call(self, fields: Mapping[str, Any]) -> None:
        name = fields.get("id")
        index = fields.get("index", name or len(self._calls))
        call = self._calls.get(index)
        # The next turn of an agent counts its calls from 0 again.
        if call is None or (name and call.id and call.id != name):
            call = self._calls[index] = Call(index)
            self.said.append(call)
        call.add(fields)


@dataclass(slots=True)
class Transcript:
    """A fold over records: `add` them in order."""

    tail: int = -1
    agents: dict[str, AgentText] = field(default_factory=dict)
    #: Parts that are neither text nor tool calls, in order.
    marks: list[Part] = field(default_factory=list)
    open: Open | None = None
    opened: int = -1
    close: Close | None = None

    def add(self, records: Iterable[Record]) -> None:
        """Move behind *records*."""
        for record in records:
            self.tail += 1
            if isinstance(record, Delta):
                for part in record.parts:
                    self._add_part(part)
            elif isinstance(record, Open):
                self.open, self.opened, self.close = record, self.tail, None
            else:
                self.close = record

    def _add_part(self, part: Part) -> None:
        agent = self.agents.get(part.agent)
        if agent is None:
            agent = self.agents[part.agent] = AgentText(part.agent)
        agent.add(part)
        if part.kind not in TEXT_KINDS and part.kind != "tool_call":
            self.marks.append(part)

    def joined(self, kind: str) -> str:
        """Return all agents' *kind* (`text`, `reasoning`, `refusal`) in order of appearance, a blank line between."""
        texts = (getattr(agent, kind) for agent in self.agents.values())
        return "\n\n".join(text for text in texts if text)


def result_of(fields: Mapping[str, Any]) -> str:
    """Return what a tool answered, as text: results come as text or as any JSON."""
    result = next((fields[name] for name in ("content", "result", "output", "text") if name in fields), "")
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, indent=2, default=str)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
