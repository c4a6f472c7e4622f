"""The two ends of a text that is too long for a notebook file, taken while it passes by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream import words
from nbstream.records import TEXT_KINDS, Delta, Part
from nbstream.transcript import AgentText, Call, Section, Transcript, result_of
from nbstream.truncation import Remaining
from nbstream.view.harmless import FENCE, Fence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbstream.records import Record

#: Characters kept of each end.
KEPT = 64 * 1024
#: An end is cut at a line if one begins this near.
NEAR = 2000


class Excerpt:
    """Takes Markdown in pieces and holds no more than its ends; a code block that is cut goes on behind the gap."""

    def __init__(self, keep: int = KEPT) -> None:
        self._keep, self._near = keep, min(NEAR, keep // 4)
        self._fences = Fences()
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


class Fences:
    """Takes Markdown in pieces and knows whether the text so far ends in a fenced block."""

    def __init__(self) -> None:
        #: The block that the whole lines so far leave open.
        self.open: Fence | None = None
        self._line = ""

    @property
    def inside(self) -> bool:
        """Whether a text that ended here would end inside of a block."""
        last = FENCE.match(self._line)
        if self.open is None or last is None:
            return (self.open or last) is not None
        return not _closes(self.open, last["marks"], last["info"])

    def feed(self, text: str) -> None:
        """Take the next piece."""
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
        elif _closes(self.open, fence.marks, fence.info):
            self.open = None


def _closes(opened: Fence, marks: str, info: str) -> bool:
    return marks.startswith(opened.marks) and not info.strip()


def excerpts(read: Callable[[], Iterable[Record]], *, stream: str, keep: int = KEPT) -> Transcript:
    """
    Fold the records that *read* gives (it is called twice) into a transcript of excerpts, holding no more than that.

    The texts of an agent stand before its calls and their results, of which each is cut where it is longer;
    with them its gaps, and in these what came late.
    """
    remaining = Remaining(read())
    transcript, ends = Transcript(), dict[tuple[str, str], Excerpt]()
    for record in read():
        if isinstance(record, Delta):
            rest = []
            for part in filter(None, map(remaining.of, record.parts)):
                if part.kind in TEXT_KINDS:
                    transcript.agents.setdefault(part.agent, AgentText(part.agent))
                    ends.setdefault((part.agent, part.kind), Excerpt(keep)).add(part.text)
                else:
                    rest.append(part)
            record = Delta(tuple(rest), record.at)  # noqa: PLW2901 - the record without its text
        transcript.add([record])
    for agent in transcript.agents.values():
        behind, agent.said = agent.said, []
        for kind in sorted(TEXT_KINDS):
            if (excerpt := ends.get((agent.name, kind))) is not None:
                agent.add(Part(kind, excerpt.text(stream)))
        agent.said += [_cut(one, keep) for one in behind if not isinstance(one, Section)]
    return transcript


def shortened(transcript: Transcript, *, stream: str, limit: int) -> Transcript:
    """Return *transcript* with excerpts for its long texts, so that together they come to about *limit* characters."""
    keep = min(KEPT, limit // (2 * sum(len(agent.said) + 2 for agent in transcript.agents.values())))
    short = Transcript(open=transcript.open, close=transcript.close)
    for agent in transcript.agents.values():
        out = short.agents[agent.name] = AgentText(agent.name, parent=agent.parent, status=agent.status)
        out.late, out.closed = [(at, n, _ends(text, keep)) for at, n, text in agent.late], agent.closed
        for one in agent.said:
            if not isinstance(one, Section):
                out.said.append(_cut(one, keep))
                continue
            for kind in one.passages:
                excerpt = Excerpt(keep)
                excerpt.add(one.text(kind))
                out.add(Part(kind, excerpt.text(stream)))
    return short


def _cut(one: Call | Part, keep: int) -> Call | Part:
    if isinstance(one, Call):
        short = Call(one.index)
        short.add({"id": one.id, "name": one.name, "args_delta": _ends(one.arguments, keep)})
        return short
    if one.kind != "tool_result":
        return one
    fields = one.fields or {}
    return one._replace(
        fields={"id": fields.get("id"), "name": fields.get("name"), "content": _ends(result_of(fields), keep)}
    )


def _ends(text: str, keep: int) -> str:
    return text if len(text) <= 2 * keep else f"{text[:keep]} … {text[-keep:]}"
