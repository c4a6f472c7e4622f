"""
Joining a resumed call to what is shown, without a doubled, lost or changed character.

Every frame that says where its text begins (or which number it has) is checked against what is recorded: overlap is
verified and dropped, a hole is an error. Where frames say nothing, a call that was resumed behind a cursor is a
continuation, unless it gives itself away as a start-over: by the stream's first event id, or by repeating all shown
text or at least its first 256 code points. A call that was simply repeated must repeat what is shown. The first
difference is an error that the user sees: nothing shown is ever silently replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from nbstream.errors import SourceMalformed
from nbstream.records import TEXT_KINDS, Part

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nbstream.records import Cursor
    from nbstream.sources.contract import Arrival

    #: (agent, kind, start, end) -> the recorded text of that range
    Shown: TypeAlias = Callable[[str, str, int, int], Awaitable[str]]

#: Text alone proves a start-over only from this length on (or when it repeats everything shown) ...
PROOF_CHARS = 256
#: ... but a handful of characters proves nothing: "Ha" may well be followed by "Ha!".
LEAST_PROOF_CHARS = 8


class Splice:
    """
    Lets through what is new of one connection.

    One per connection: *cursor* is what the call was resumed behind (None: it was sent from the start). *lengths* and
    *numbers* are the recorder's tables of everything received so far; the splice keeps them up to date.
    """

    def __init__(
        self,
        stream: str,
        shown: Shown,
        lengths: dict[tuple[str, str], int],
        numbers: dict[str, int],
        *,
        cursor: Cursor | None,
        behind: int,
    ) -> None:
        self._stream = stream
        self._shown = shown
        self._lengths = lengths
        self._numbers = numbers
        self._cursor = cursor
        self._behind = behind
        #: How far a repeated call has come, by (agent, kind); None when this call is not a repetition.
        self._replayed: dict[tuple[str, str], int] | None = {} if cursor is None and lengths else None
        self._goal = dict(lengths)
        self._held: list[Arrival] = []
        self._deciding = cursor is not None and bool(lengths)

    async def new(self, arrival: Arrival) -> list[tuple[Arrival, tuple[Part, ...]]]:
        """Return what of *arrival* (and of those held back before it) is to be recorded, oldest first."""
        if arrival.start is not None or arrival.number is not None:
            self._deciding = False
        if not self._deciding:
            return [(arrival, await self._place(arrival))]
        if not arrival.parts and arrival.end is None:
            return [(arrival, ())]
        if await self._undecided(arrival):
            return []
        self._deciding = False
        held, self._held = self._held, []
        return [(one, await self._place(one)) for one in held]

    async def finish(self) -> None:
        """Check, at the source's end mark, that a repetition has come as far as what is shown."""
        if self._replayed is None:
            return
        for name, goal in self._goal.items():
            if self._replayed.get(name, 0) < goal:
                raise self._changed(f"repeated the message but ended after {self._replayed.get(name, 0)} of {goal}")

    async def _undecided(self, arrival: Arrival) -> bool:
        """Hold *arrival* back while it may still be a start-over."""
        first = self._cursor.get("first") if self._cursor else None
        last = self._cursor.get("id") if self._cursor else None
        if not self._held and arrival.event_id is not None:
            if arrival.event_id == first != last:
                self._repeat(arrival)
                return False
            if arrival.event_id == last and await self._is_last_event(arrival):
                return True  # sent once more: dropped, and the next event decides
        self._held.append(arrival)
        text = "".join(part.text for one in self._held for part in one.parts if part.kind == "text")
        if arrival.end is not None:
            return False
        agent = next((p.agent for one in self._held for p in one.parts), "")
        have = self._lengths.get((agent, "text"), 0)
        proof = await self._shown(agent, "text", 0, min(have, PROOF_CHARS))
        if len(proof) < LEAST_PROOF_CHARS or not (proof.startswith(text) or text.startswith(proof)):
            return False
        if len(text) < len(proof):
            return True
        held, self._held = self._held, []
        self._repeat()
        self._held = held
        return False

    async def _is_last_event(self, arrival: Arrival) -> bool:
        for part in arrival.parts:
            have = self._lengths.get((part.agent, part.kind), 0)
            if part.kind not in TEXT_KINDS or have < len(part.text):
                return False
            if await self._shown(part.agent, part.kind, have - len(part.text), have) != part.text:
                return False
        return bool(arrival.parts) and arrival.end is None

    def _repeat(self, *arrivals: Arrival) -> None:
        self._replayed, self._behind = {}, 0
        self._held.extend(arrivals)

    async def _place(self, arrival: Arrival) -> tuple[Part, ...]:
        if arrival.number is not None and self._replayed is None and arrival.start is None:
            return self._by_number(arrival)
        out = []
        start = arrival.start
        for part in arrival.parts:
            if start is not None and part.kind == "text":
                fresh = await self._by_start(part, start)
                start += len(part.text)
            elif self._replayed is not None:
                fresh = await self._by_replay(part)
            elif self._behind and part.kind in TEXT_KINDS:
                have = self._lengths.get((part.agent, part.kind), 0)
                fresh = await self._drop(part, have - self._behind, self._behind)
                self._behind = max(0, self._behind - len(part.text))
            else:
                fresh = part
            if fresh is not None:
                out.append(fresh)
                self._count(fresh)
        if arrival.number is not None and arrival.parts:
            agent = arrival.parts[0].agent
            self._numbers[agent] = max(arrival.number, self._numbers.get(agent, arrival.number))
        return tuple(out)

    def _by_number(self, arrival: Arrival) -> tuple[Part, ...]:
        if not arrival.parts or arrival.number is None:
            return arrival.parts
        agent, number = arrival.parts[0].agent, arrival.number
        have = self._numbers.get(agent)
        if have is not None and number <= have:
            return ()
        if have is not None and number > have + 1:
            raise SourceMalformed(
                f"stream {self._stream}: frame {number} of {agent} came after frame {have}: something is missing"
                f" between them; everything shown is saved, `%stream resume` asks for the rest",
                retryable=True,
            )
        self._numbers[agent] = number
        for part in arrival.parts:
            self._count(part)
        return arrival.parts

    def _count(self, part: Part) -> None:
        name = part.agent, part.kind
        self._lengths[name] = self._lengths.get(name, 0) + (len(part.text) if part.kind in TEXT_KINDS else 1)

    async def _by_start(self, part: Part, start: int) -> Part | None:
        have = self._lengths.get((part.agent, "text"), 0)
        if start > have:
            raise SourceMalformed(
                f"stream {self._stream}: the source goes on at character {start}, but only {have} have come;"
                f" everything shown is saved, `%stream resume` asks for the rest",
                retryable=True,
            )
        return part if start == have else await self._drop(part, start, have - start)

    async def _by_replay(self, part: Part) -> Part | None:
        replayed = self._replayed
        assert replayed is not None  # noqa: S101 - for the type checker
        name = part.agent, part.kind
        at, goal = replayed.get(name, 0), self._goal.get(name, 0)
        replayed[name] = at + (len(part.text) if part.kind in TEXT_KINDS else 1)
        if at >= goal:
            return part
        return await self._drop(part, at, goal - at) if part.kind in TEXT_KINDS else None

    async def _drop(self, part: Part, at: int, count: int) -> Part | None:
        """Drop the first *count* code points of *part* after checking that they are those recorded from *at* on."""
        again = part.text[:count]
        shown = await self._shown(part.agent, part.kind, at, at + len(again))
        if shown != again:
            same = next((i for i, (a, b) in enumerate(zip(shown, again, strict=False)) if a != b), len(shown))
            raise self._changed(f"now says something else at character {at + same}")
        return part._replace(text=part.text[count:]) if len(part.text) > count else None

    def _changed(self, what: str) -> SourceMalformed:
        return SourceMalformed(
            f"stream {self._stream}: the source {what}; everything shown is saved and unchanged,"
            f" Regenerate asks for a new answer"
        )
