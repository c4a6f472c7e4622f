"""What a stream has said so far, folded from its parts: text, reasoning, tool calls, by agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from nbstream.records import Close, Delta, Open

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbstream.records import Part, Record


@dataclass(slots=True)
class AgentText:
    """One agent's output. Text is kept in pieces and joined when asked, so that adding stays cheap."""

    name: str
    pieces: dict[str, list[str]] = field(default_factory=lambda: {"text": [], "reasoning": [], "refusal": []})
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    #: Frames that came behind the gap they belong in: place in the text, number, text.
    late: list[tuple[int, int, str]] = field(default_factory=list)

    def _joined(self, kind: str) -> str:
        pieces = self.pieces[kind]
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0] if pieces else ""

    @property
    def text(self) -> str:
        """The answer."""
        text, out, at = self._joined("text"), [], 0
        for place, _, said in sorted(self.late, key=itemgetter(0, 1)):
            out += [text[at:place], said]
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

    def add(self, part: Part) -> None:
        """Add one part."""
        if part.kind in self.pieces:
            self.pieces[part.kind].append(part.text)
        elif part.kind == "tool_call":
            self._add_tool_call(part.fields or {})
        elif part.kind == "late" and part.fields:
            self.late.append((part.fields["at"], part.fields["number"], part.fields["text"]))
        elif part.kind == "truncate" and part.fields:
            self._take_back(part.fields)

    def _take_back(self, fields: Mapping[str, Any]) -> None:
        """Keep the first `length` code points of a kind, or as many tool calls."""
        kind, length = fields.get("of", "text"), fields["length"]
        if kind == "tool_call":
            self.tool_calls = [call for call in self.tool_calls if call["index"] < length]
        elif kind in self.pieces:
            self.pieces[kind] = [self._joined(kind)[:length]]

    def _add_tool_call(self, fields: Mapping[str, Any]) -> None:
        """Join the pieces of one call: they share an index, and only the first carries id and name."""
        index = fields.get("index", len(self.tool_calls))
        call = next((call for call in self.tool_calls if call["index"] == index), None)
        if call is None:
            call = {"index": index, "id": None, "name": "", "arguments": ""}
            self.tool_calls.append(call)
        call["id"] = fields.get("id") or call["id"]
        call["name"] = fields.get("name") or call["name"]
        call["arguments"] += fields.get("args_delta") or ""


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
        if part.kind not in agent.pieces and part.kind != "tool_call":
            self.marks.append(part)

    def joined(self, kind: str) -> str:
        """Return all agents' *kind* (`text`, `reasoning`, `refusal`) in order of appearance, a blank line between."""
        texts = (getattr(agent, kind) for agent in self.agents.values())
        return "\n\n".join(text for text in texts if text)
