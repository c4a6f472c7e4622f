"""The two ends of a text that is too long for a notebook file, taken while it passes by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream import words
from nbstream.records import TEXT_KINDS, Delta
from nbstream.transcript import AgentText, Transcript
from nbstream.view.harmless import FENCE, Fence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbstream.records import Record

#: Characters kept of each end.
KEPT = 64 * 1024
#: An end is cut at a line if one begins this near.
NEAR = 2000


class Excerpt:
    """Takes Markdown in pieces and holds no more than its ends; a code block that is cut goes on behind the gap."""

    def __init__(self, keep: int = KEPT) -> None:
        self._keep, self._near = keep, min(NEAR, keep // 4)
        self._fences = _Fences()
        self._head: str | None = None
        self._after_head: Fence | None = None
        self._size = self._held_size = 0
        self._held: list[str] = []

    def add(self, piece: str) -> None:
        """Take the next piece."""
        self._size += len(piece)
        self._held_size += len(piece)
        self._held.append(piece)
        # Twice, so that each character is moved at most a few times.
        if self._held_size > 4 * self._keep:
            self._advance()

    def text(self, stream: str) -> str:
        """Return all of it if it is short, else both ends and between them where the rest is."""
        if self._size <= 2 * self._keep:
            return "".join(self._held)
        self._advance()
        tail = self._held[0]
        line = tail.find("\n", 0, self._near) + 1
        self._fences.feed(tail[:line])
        tail, head = tail[line:], self._head or ""
        left_out = self._size - len(head) - len(tail)
        closed = f"\n{self._after_head.closing}" if self._after_head else ""
        opened = self._fences.open
        again = f"{opened.margin}{opened.marks}{opened.info}\n" if opened else ""
        notice = f"*… {words.size(left_out)} of {self._size:,} left out here; all of it:* `nbstream show {stream}`"
        return f"{head.rstrip()}{closed}\n\n{notice}\n\n{again}{tail}"

    def _advance(self) -> None:
        """Drop what belongs to neither end."""
        held = "".join(self._held)
        if self._head is None:
            line = held.rfind("\n", self._keep - self._near, self._keep) + 1
            self._head, held = held[: line or self._keep], held[line or self._keep :]
            self._fences.feed(self._head)
            self._after_head = self._fences.open
        middle, tail = held[: -self._keep], held[-self._keep :]
        self._fences.feed(middle)
        self._held, self._held_size = [tail], len(tail)


class _Fences:
    """Knows whether the text so far ends in a fenced block."""

    def __init__(self) -> None:
        self.open: Fence | None = None
        self._line = ""

    def feed(self, text: str) -> None:
        end = text.rfind("\n") + 1
        if not end:
            # The beginning of a line says whether it is a fence.
            self._line = (self._line + text)[:NEAR]
            return
        for found in FENCE.finditer(self._line + text[:end]):
            self._line_of(Fence(found["lead"], found["marks"], found["info"]))
        self._line = text[end:][:NEAR]

    def _line_of(self, fence: Fence) -> None:
        if self.open is None:
            self.open = fence
        elif fence.marks.startswith(self.open.marks) and not fence.info.strip():
            self.open = None


def excerpts(records: Iterable[Record], *, stream: str, keep: int = KEPT) -> Transcript:
    """Fold *records* into a transcript whose texts are excerpts, holding no more than that."""
    transcript, ends = Transcript(), dict[tuple[str, str], Excerpt]()
    for record in records:
        if isinstance(record, Delta):
            for part in record.parts:
                if part.kind in TEXT_KINDS:
                    transcript.agents.setdefault(part.agent, AgentText(part.agent))
                    ends.setdefault((part.agent, part.kind), Excerpt(keep)).add(part.text)
            rest = tuple(part for part in record.parts if part.kind not in TEXT_KINDS)
            record = Delta(rest, record.at)  # noqa: PLW2901 - the record without its text
        transcript.add([record])
    for (agent, kind), excerpt in ends.items():
        transcript.agents[agent].pieces[kind] = [excerpt.text(stream)]
    return transcript


def shortened(transcript: Transcript, *, stream: str, limit: int) -> Transcript:
    """Return *transcript* with excerpts for its long texts, so that together they come to about *limit* characters."""
    texts = sum(len(agent.tool_calls) + len(agent.pieces) for agent in transcript.agents.values())
    keep = min(KEPT, limit // (2 * texts))
    short = Transcript(open=transcript.open, close=transcript.close)
    for agent in transcript.agents.values():
        out = short.agents[agent.name] = AgentText(agent.name)
        for kind, pieces in agent.pieces.items():
            excerpt = Excerpt(keep)
            for piece in pieces:
                excerpt.add(piece)
            out.pieces[kind] = [excerpt.text(stream)]
        for call in agent.tool_calls:
            arguments = call["arguments"]
            if len(arguments) > 2 * keep:
                arguments = f"{arguments[:keep]} … {arguments[-keep:]}"
            out.tool_calls.append({**call, "arguments": arguments})
    return short
