"""
Joining a resumed call to what is shown, without a doubled, lost or changed character.

Every frame that says where its text begins (or which number it has) is checked against what is recorded: overlap is
verified and dropped, a hole is an error. Where frames say nothing, a call that was resumed behind a cursor is a
continuation, unless it gives itself away as a start-over: by the stream's first event id, or by repeating all shown
text or at least its first 256 code points. A call that was simply repeated must repeat what is shown. The first
difference is an error that the user sees: nothing shown is ever silently replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.errors import SourceMalformed
from nbstream.recorder.progress import measure
from nbstream.records import TEXT_KINDS, Part

if TYPE_CHECKING:
    from nbstream.recorder.progress import Name, Track
    from nbstream.recorder.shown import Shown
    from nbstream.sources.contract import Arrival

#: Text alone proves a start-over only from this length on (or when it repeats everything shown) ...
PROOF_CHARS = 256
#: ... but a handful of characters proves nothing: "Ha" may well be followed by "Ha!".
LEAST_PROOF_CHARS = 8


class Splice:
    """
    Lets through what is new of one connection, which was made behind *track*.

    *shown* gives the text recorded so far; `lengths` and `numbers` count on from *track* what was let through.
    """

    def __init__(self, stream: str, shown: Shown, track: Track) -> None:
        self.lengths = dict(track.lengths)
        self.numbers = dict(track.numbers)
        #: Code points that came once more since somebody set this to 0, were verified and dropped.
        self.dropped = 0
        self._stream, self._shown = stream, shown
        self._first_id = (track.cursor or {}).get("first")
        self._last_id = (track.cursor or {}).get("id")
        #: What the upstream sends once more before anything new, by agent and kind.
        self._behind = track.behind_of
        #: How far a repetition has come, and how far it must come; None when this call is no repetition.
        self._repeated: dict[Name, int] | None = {} if track.cursor is None and track.begun else None
        self._goal = dict(track.lengths)
        #: Marks that a repetition makes once more.
        self._marks = track.marks.copy() if self._repeated is not None else type(track.marks)()
        self._made = track.marks.copy()
        #: Held back until it is clear whether they start over.
        self._held: list[Arrival] = []
        self._deciding = track.cursor is not None and track.begun

    def lets_pass(self, arrival: Arrival) -> bool:
        """Whether *arrival* is new as a whole, without a look at what is shown; it is counted then."""
        if self._deciding or self._repeated is not None or self._behind or self._marks or len(arrival.parts) != 1:
            return False
        part = arrival.parts[0]
        name = part.agent, part.kind
        have = self.lengths.get(name, 0)
        if (part.kind in TEXT_KINDS and not part.text) or arrival.start not in (None, have):
            return False
        if arrival.number is not None:
            if self.numbers.get(part.agent, arrival.number - 1) != arrival.number - 1:
                return False
            self.numbers[part.agent] = arrival.number
        self.lengths[name] = have + measure(part)
        return True

    def trust_numbers(self) -> None:
        """Take the numbers of frames for the whole truth from here on: what was to come once more did not come."""
        self._deciding = False
        self._behind.clear()

    async def new(self, arrival: Arrival) -> list[Arrival]:
        """Return what of *arrival* (and of those held back before it) is new, oldest first."""
        if self._deciding and await self._hold(arrival):
            return []
        arrivals, self._held = [*self._held, arrival], []
        return [await self._place(one) for one in arrivals]

    def finish(self) -> None:
        """Check, at the source's end mark, that a repetition has come as far as what is shown."""
        if self._repeated is None:
            return
        for name, goal in self._goal.items():
            came = self._repeated.get(name, 0)
            if name[1] in TEXT_KINDS and came < goal:
                raise self._changed(f"said the message again but ended after {came:,} of {goal:,} characters")

    # -- is it a start-over? ------------------------------------------------------------------------------------

    async def _hold(self, arrival: Arrival) -> bool:
        """Return whether *arrival* is held back, or dropped, because it is not clear yet what this call does."""
        if not self._held and arrival.event_id is not None and arrival.event_id == self._first_id != self._last_id:
            self._repeat()
            return False
        if arrival.start is not None or arrival.number is not None:
            self._deciding = False
            return False
        if not arrival.parts and arrival.end is None:
            if self._held:
                self._held.append(arrival)
            return bool(self._held)
        if not self._held and arrival.event_id == self._last_id and await self._is_last_event(arrival):
            self._drop(arrival)
            return True  # sent once more; the next event decides
        if await self._may_start_over([*self._held, arrival]):
            self._held.append(arrival)
            return True
        self._deciding = False
        return False

    async def _may_start_over(self, held: list[Arrival]) -> bool:
        """Return whether it takes more to tell; once it is a start-over, everything is a repetition."""
        parts = [part for one in held for part in one.parts]
        if not parts or parts[0].kind not in TEXT_KINDS:
            return False
        name = parts[0].agent, parts[0].kind
        text = "".join(part.text for part in parts if (part.agent, part.kind) == name)
        have, behind = self.lengths.get(name, 0), self._behind[name]
        expected = await self._shown.text(name, have - behind, have)
        if expected and (expected.startswith(text) or text.startswith(expected)):
            return False  # what the upstream has to send once more
        proof = await self._shown.text(name, 0, min(have, PROOF_CHARS))
        if len(proof) < LEAST_PROOF_CHARS or not (proof.startswith(text) or text.startswith(proof)):
            return False
        if len(text) >= len(proof):
            self._repeat()
            return False
        return held[-1].end is None

    async def _is_last_event(self, arrival: Arrival) -> bool:
        if arrival.event_id is None or arrival.end is not None or not arrival.parts:
            return False
        for part in arrival.parts:
            name = part.agent, part.kind
            end = self.lengths.get(name, 0) - self._behind[name]
            start = end - len(part.text)
            if part.kind not in TEXT_KINDS or start < 0 or await self._shown.text(name, start, end) != part.text:
                return False
        return True

    def _repeat(self) -> None:
        self._deciding, self._repeated = False, {}
        self._marks = self._made.copy()
        self._behind.clear()
        self.numbers.clear()

    # -- what of it is new? -------------------------------------------------------------------------------------

    async def _place(self, arrival: Arrival) -> Arrival:
        """Return *arrival* with only those parts that are new."""
        if arrival.number is not None and arrival.parts and not self._is_next(arrival.parts[0].agent, arrival.number):
            self._drop(arrival)
            return arrival._replace(parts=())
        parts = []
        start = arrival.start
        for part in arrival.parts:
            name = part.agent, part.kind
            at = self._begin(name)
            if start is not None and part.kind == "text":
                at, start = start, start + len(part.text)
            fresh = await self._behind_shown(part, at)
            if fresh is not None:
                parts.append(fresh)
                self.lengths[name] = self.lengths.get(name, 0) + measure(fresh)
            self._passed(name, at + measure(part))
        return arrival._replace(parts=tuple(parts))

    def _drop(self, arrival: Arrival) -> None:
        self.dropped += sum(len(part.text) for part in arrival.parts)

    def _is_next(self, agent: str, number: int) -> bool:
        """Return False for a frame that came before; a hole in front of it is an error."""
        have = self.numbers.get(agent)
        if have is not None and number <= have:
            return False
        if have is not None and number > have + 1:
            raise self._hole(f"frame {number} of {agent} came after frame {have}")
        self.numbers[agent] = number
        return True

    def _begin(self, name: Name) -> int:
        """Return where the next part of *name* begins if it does not say so itself."""
        if self._repeated is not None:
            return self._repeated.get(name, 0)
        return self.lengths.get(name, 0) - self._behind[name]

    def _passed(self, name: Name, at: int) -> None:
        """Note that the upstream has come to *at*."""
        if self._repeated is None:
            self._behind[name] = max(0, self.lengths.get(name, 0) - at)
            if not any(self._behind.values()):
                self._behind.clear()
        else:
            self._repeated[name] = at
            if all(self._repeated.get(other, 0) >= goal for other, goal in self._goal.items()):
                self._repeated = None

    async def _behind_shown(self, part: Part, at: int) -> Part | None:
        """Return what of *part*, which begins at *at*, is not shown yet, after checking what is."""
        name = part.agent, part.kind
        overlap = self.lengths.get(name, 0) - at
        if self._marks[name] > 0:
            self._marks -= type(self._marks)([name])  # what is at 0 is gone
            return None
        if part.kind not in TEXT_KINDS:
            return part if overlap <= 0 else None
        if overlap < 0:
            raise self._hole(f"the source goes on at character {at:,}, but only {at + overlap:,} have come")
        again = part.text[:overlap]
        shown = await self._shown.text(name, at, at + len(again)) if again else ""
        if shown != again:
            same = next(i for i, (ours, theirs) in enumerate(zip(shown, again, strict=True)) if ours != theirs)
            raise self._changed(f"now says something else at character {at + same:,}")
        self.dropped += len(again)
        return part._replace(text=part.text[overlap:]) if len(part.text) > overlap else None

    def _hole(self, what: str) -> SourceMalformed:
        return SourceMalformed(
            f"stream {self._stream}: {what}: something is missing between them; everything shown is saved,"
            f" Resume asks for the rest",
            retryable=True,
        )

    def _changed(self, what: str) -> SourceMalformed:
        return SourceMalformed(
            f"stream {self._stream}: the source {what}; everything shown is saved and unchanged,"
            f" Regenerate asks for a new answer"
        )
