"""
Ranges of a message's text, read back from its log for a page that does not keep all of it, and words found in it.

A page asks by agent, kind and code points. Where they stand is noted once, record by record, as the log grows;
`truncate` takes notes back, so what is read is the text that stands now. Nothing here holds text.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nbstream.errors import LogDamaged, StreamError
from nbstream.log.readback import PAGE
from nbstream.records import TEXT_KINDS, Delta, Open
from nbstream.truncation import truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Part
    from nbstream.stream import Stream

#: Bytes of text in one answer; the page asks again for the rest.
ANSWER_BYTES = 262_144
#: A note stands for at most this much, so a range is reached by reading a few records too many.
RUN_CHARS = 65_536
RUN_RECORDS = 64
#: Code points searched at a time, and how many a match may reach over into the next block.
BLOCK = 131_072
LONGEST_MATCH = 2_048
LONGEST_QUERY = 500
#: Order of an agent's kinds in a stretch of the page, and what ends a stretch.
KINDS = ("reasoning", "text", "refusal")
BREAKS = frozenset({"tool_call", "seam", "gap"})


@dataclass(slots=True)
class _Run:
    """Code points `start` to `end` of one agent and kind: `skip` parts into the records behind `after`, unbroken."""

    start: int
    end: int
    after: int
    skip: int
    #: The stretch of its agent that it stands in.
    stretch: int
    open: bool = True


class Place(NamedTuple):
    """A code point of a message."""

    agent: str
    kind: str
    at: int

    def to_json(self) -> dict[str, Any]:
        """Return it as docs/protocol.md has it."""
        return self._asdict()


class TextIndex:
    """Where the text that stands is in *log*. Blocking; one thread at a time."""

    def __init__(self, log: Log) -> None:
        self.log = log
        #: The record up to which this is noted.
        self.upto = -1
        #: Why nothing behind that can be read, where that is so.
        self.damage: LogDamaged | None = None
        self._runs: dict[tuple[str, str], list[_Run]] = {}
        self._stretches: Counter[str] = Counter()
        #: The agents of a team in their order.
        self._team: list[str] = []

    def advance(self) -> bool:
        """Note the next few records; False at the end of what can be read. Raises `StreamGone`."""
        try:
            records = self.log.read(self.upto, limit=PAGE)
        except LogDamaged as exc:
            self.damage = exc
            return False
        self.damage = None
        for record in records:
            if isinstance(record, Delta):
                for position, part in enumerate(record.parts):
                    self._note(part, position)
            elif isinstance(record, Open):
                self._team = list(record.source.get("agents", ()))
            self.upto += 1
        return bool(records)

    def _note(self, part: Part, position: int) -> None:
        if (back := truncated(part)) is not None:
            self._take_back(*back)
        self._stretches[part.agent] += part.kind in BREAKS
        if part.kind not in TEXT_KINDS:
            return
        runs = self._runs.setdefault((part.agent, part.kind), [])
        last = runs[-1] if runs else None
        end = part.off + len(part.text)
        stretch = self._stretches[part.agent]
        joins = last is not None and last.open and last.end == part.off and last.stretch == stretch
        if last is not None and joins and end - last.start <= RUN_CHARS and self.upto - last.after < RUN_RECORDS:
            last.end = end
        else:
            runs.append(_Run(part.off, end, self.upto, position, stretch))

    def _take_back(self, lane: tuple[str, str], length: int) -> None:
        # Each run is dropped once at the most, so a thousand truncates cost no more than the text they take back.
        runs = self._runs.get(lane, [])
        while runs and runs[-1].start >= length:
            runs.pop()
        if runs:
            runs[-1].end = min(runs[-1].end, length)
            runs[-1].open = False

    def passages(self) -> list[tuple[Place, int]]:
        """
        Return the beginning and the end of each passage of text, in the order in which a page shows them.

        That is by agent, and of each agent by stretch: what it thought, said and called, as it came.
        """
        ends: dict[tuple[str, int, str], tuple[Place, int]] = {}
        for (agent, kind), runs in self._runs.items():
            for run in runs:
                begin, _ = ends.get((agent, run.stretch, kind), (Place(agent, kind, run.start), 0))
                ends[agent, run.stretch, kind] = begin, run.end
        lanes = {
            name: place for place, name in enumerate(dict.fromkeys([*self._team, *(name for name, _ in self._runs)]))
        }

        def order(name: tuple[str, int, str]) -> tuple[int, int, int, int]:
            agent, stretch, kind = name
            voice = agent.partition("/")[0]  # agents inside a voice stand with it
            return lanes.get(voice, lanes[agent]), lanes[agent], stretch, KINDS.index(kind)

        return [ends[name] for name in sorted(ends, key=order)]

    def length(self, agent: str, kind: str) -> int:
        """Return the code points of *agent* and *kind*."""
        runs = self._runs.get((agent, kind))
        return runs[-1].end if runs else 0

    def text(self, agent: str, kind: str, start: int, end: int) -> str:
        """Return the code points from *start* to *end*, as far as they are there and can be read."""
        runs = self._runs.get((agent, kind), [])
        first = max(0, bisect_right(runs, start, key=lambda run: run.start) - 1)
        out: list[str] = []
        for run in runs[first:]:
            if run.start >= end:
                break
            out.extend(self._pieces(run, agent, kind, max(start, run.start), min(end, run.end)))
        return "".join(out)

    def _pieces(self, run: _Run, agent: str, kind: str, start: int, end: int) -> Iterator[str]:
        if start >= end:
            return
        for part in self._parts(run):
            if part.agent != agent or part.kind != kind:
                continue
            if part.off >= end:
                return
            if part.off + len(part.text) > start:
                yield part.text[max(0, start - part.off) : end - part.off]
            if part.off + len(part.text) >= end:
                return

    def _parts(self, run: _Run) -> Iterator[Part]:
        after, skip = run.after, run.skip
        while records := self.log.read(after, limit=16):
            for record in records:
                if isinstance(record, Delta):
                    yield from record.parts[skip:]
                skip = 0
            after += len(records)


def pattern(query: str) -> re.Pattern[str] | None:
    """
    Return what finds *query* in Markdown: letter case, kinds of space and marks of emphasis between words do not count.

    None when there is nothing to look for.
    """
    words = query[:LONGEST_QUERY].split()
    return re.compile(r"[*_~`]*\s+[*_~`]*".join(map(re.escape, words)), re.IGNORECASE) if words else None


class RangeAnswers:
    """Answers `read` and `find` of the pages of one session, through *send* (on the loop)."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._index: TextIndex | None = None
        self._busy = asyncio.Lock()
        #: The newest `find` of each view: an older one of the same view that still runs ends. Only those that run.
        self._finding: dict[str, object] = {}

    async def answer(self, stream: Stream, message: Mapping[str, Any]) -> None:
        """Answer one request, if it is about the stream that is shown."""
        if message.get("stream") != stream.id:
            return
        reply: dict[str, Any] = {"view": message.get("view"), "id": message.get("id"), "stream": stream.id}
        if message["type"] == "read":
            await self._read(stream, message, reply)
        else:
            await self._find(stream, message, reply)

    async def _read(self, stream: Stream, message: Mapping[str, Any], reply: dict[str, Any]) -> None:
        start, end = int(message["from"]), int(message["to"])
        reply.update(type="text", text="")
        reply["from"] = start
        try:
            index = await self._current(stream)
            agent, kind = str(message["agent"]), str(message["kind"])
            end = min(end, start + ANSWER_BYTES)
            text = await self._call(index.text, agent, kind, start, end)
            reply["text"] = text.encode()[:ANSWER_BYTES].decode(errors="ignore")
            if not text and index.damage is not None:
                reply["reason"] = str(index.damage)
        except StreamError as exc:
            reply["reason"] = str(exc)
        self._send(reply)

    async def _find(self, stream: Stream, message: Mapping[str, Any], reply: dict[str, Any]) -> None:
        view, token = str(message.get("view")), object()
        self._finding[view] = token
        try:
            await self._search(stream, message, reply, lambda: self._finding.get(view) is not token)
        finally:
            if self._finding.get(view) is token:
                del self._finding[view]

    async def _search(
        self, stream: Stream, message: Mapping[str, Any], reply: dict[str, Any], ended: Callable[[], bool]
    ) -> None:
        reply.update(type="found", at=None)
        wanted = pattern(str(message.get("text", "")))
        if wanted is not None:
            after, back = message.get("after"), bool(message.get("back"))
            try:
                index = await self._current(stream)
                for block, end in _blocks(index, after and Place(**after), back=back):
                    place = await self._call(_match, index, wanted, block, end, back)
                    if ended():
                        return
                    if place is not None:
                        reply["at"] = place.to_json()
                        break
            except StreamError as exc:
                reply["reason"] = str(exc)
        self._send(reply)

    async def _current(self, stream: Stream) -> TextIndex:
        """Return the notes on *stream*, up to its tail."""
        if self._index is None or self._index.log.stream != stream.id:
            self._index = TextIndex(stream.log)
        index = self._index
        while await self._call(index.advance):
            pass
        return index

    async def _call(self, work: Callable[..., Any], *args: Any) -> Any:
        # One at a time: two views may ask at once, and a step takes some milliseconds.
        async with self._busy:
            return await asyncio.to_thread(work, *args)


def _blocks(index: TextIndex, after: Place | None, *, back: bool) -> list[tuple[Place, int]]:
    """Return what is to be searched from *after* on, block by block: beginning and end of each."""
    passages = index.passages()
    lane = after and after[:2]
    here = [n for n, (begin, _) in enumerate(passages) if after and begin[:2] == lane and begin.at <= after.at]
    if after is not None and here:
        begin, end = passages[here[-1]]
        if back:
            passages = [*passages[: here[-1]], (begin, min(end, after.at))]
        else:
            passages = [(after, end), *passages[here[-1] + 1 :]]
    blocks = [
        (begin._replace(at=start), min(end, start + BLOCK))
        for begin, end in passages
        for start in range(begin.at, end, BLOCK)
    ]
    return blocks[::-1] if back else blocks


def _match(index: TextIndex, wanted: re.Pattern[str], block: Place, end: int, back: bool) -> Place | None:  # noqa: FBT001
    """Return the first match (the last, if *back*) that begins between the block's start and *end*."""
    agent, kind, start = block
    text = index.text(agent, kind, start, end + LONGEST_MATCH)
    found = None
    for match in wanted.finditer(text):
        if match.start() >= end - start:
            break
        found = Place(agent, kind, start + match.start())
        if not back:
            break
    return found
