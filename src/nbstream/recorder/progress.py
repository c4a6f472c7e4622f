"""
How far a stream has come: what the next part's numbers are, and where its upstreams go on.

A stream with one upstream is one `Track`. In the stream of a team each agent is a voice with an upstream of its own,
and the cursor of a record is `{"voices": {name: {"cursor", "behind"}}}`, of the voices that speak in this record only:
a record costs what it says, not what the team has.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from nbstream.log.readback import records_of
from nbstream.recorder.gaps import Gaps
from nbstream.records import MARKS, TEXT_KINDS, Close, Delta
from nbstream.truncation import text_truncated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbstream.log.contract import Log
    from nbstream.records import Cursor, Part, Record

#: Whose output, and which kind of it: (agent, kind).
Name: TypeAlias = tuple[str, str]

#: What an agent says; the other kinds of output are about it.
SPOKEN = TEXT_KINDS | {"tool_call", "tool_result"}

#: A server may name as many types as it likes.
UNKNOWN_TYPES = 16


def measure(part: Part) -> int:
    """Return how far *part* moves its agent and kind: code points of text, one for anything else."""
    return len(part.text) if part.kind in TEXT_KINDS else part.kind not in MARKS


def voice_of(agent: str) -> str:
    """Return the voice of a team that *agent* belongs to: agents inside it are called "voice/name"."""
    return agent.partition("/")[0]


def _is_of_crew(part: Part, voice: str | None) -> bool:
    """Whether the crew of a team says *part* of *voice*, and not its upstream: then no repetition says it again."""
    if part.agent != voice:
        return False
    # An upstream waits for something that it tells in words, the crew for agents by name, or for a slot.
    return part.kind in ("agent_start", "agent_end") or (
        part.kind == "waiting" and isinstance((part.fields or {}).get("on"), list)
    )


def take_back(part: Part, lengths: Mapping[Name, int], taken: dict[Name, int]) -> int:
    """Note in *taken* what a `truncate` part takes back of *lengths*, which only grow; returns the code points."""
    found = text_truncated(part)
    if found is None:
        return 0
    name, stays = found
    back = max(0, lengths.get(name, 0) - taken.get(name, 0) - stays)
    taken[name] = taken.get(name, 0) + back
    return back


@dataclass(slots=True)
class Track:
    """The numbers of one upstream behind the last record."""

    #: Code points of text kinds, or number of parts of the others; what was taken back still counts.
    lengths: dict[Name, int] = field(default_factory=dict)
    #: What was said about each agent, by kind: an upstream that repeats itself says it again.
    marks: Counter[Name] = field(default_factory=Counter)
    #: Code points that `truncate` parts took back.
    taken: dict[Name, int] = field(default_factory=dict)
    #: Code points of text, of all its agents.
    chars: int = 0
    #: Parts stored so far.
    parts: int = 0
    cursor: Cursor | None = None
    #: What is stored behind the cursor, in order: at every resume the upstream sends it once more.
    trail: list[tuple[Name, int]] = field(default_factory=list)
    #: agent -> the source's own number of the last frame before the cursor.
    numbers: dict[str, int] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str | None = None
    #: What its last `agent_end` says, once it has one and did not begin again.
    ended: Mapping[str, Any] | None = None
    #: Frames that are missing, code points of those that came late, and whether there ever was a gap.
    gaps: Gaps = field(default_factory=Gaps)
    late: int = 0
    gapped: bool = False
    #: An agent of a team was called, and does not only wait for others.
    started: bool = False
    #: Output has come; of a stream that was continued: since its last generation began.
    begun: bool = False
    #: The agent and kind that spoke last.
    last: Name | None = None
    #: Who spawned it, and the source it was spawned with: nobody else knows of it.
    parent: str | None = None
    spec: Mapping[str, Any] | None = None

    @property
    def shown(self) -> bool:
        """Whether anything has been recorded that a reader could see."""
        return bool(self.lengths)

    def can_go_on(self, *, replayable: bool) -> bool:
        """Whether calling again would repeat neither text nor money; *replayable*: the source says all of it again."""
        return not self.begun or self.cursor is not None or replayable

    @property
    def behind(self) -> int:
        """How much is stored behind the cursor."""
        return sum(length for _, length in self.trail)

    @property
    def behind_of(self) -> Counter[Name]:
        """How much is stored behind the cursor, of each agent and kind."""
        total: Counter[Name] = Counter()
        for name, length in self.trail:
            total[name] += length
        return total

    def count(self, part: Part, *, voice: str | None = None) -> None:
        """Move behind *part*; what the agents inside a team's *voice* end with does not end the voice."""
        self.parts += 1
        if part.kind in MARKS:
            if not _is_of_crew(part, voice):
                self.marks[part.agent, part.kind] += 1
            if part.kind in ("gap", "late") or voice in (None, part.agent):
                self._mark(part)
            return
        name, length = (part.agent, part.kind), measure(part)
        self.lengths[name] = self.lengths.get(name, 0) + length
        self.begun = True
        if part.kind in SPOKEN:
            self.last = name
        if part.kind in TEXT_KINDS:
            self.chars += length
        elif part.kind == "truncate":
            self.chars -= take_back(part, self.lengths, self.taken)

    def follow(self, parts: Iterable[Part], cursor: Cursor | None, behind: int) -> None:
        """Move the cursor, and keep of the trail what is *behind* it; *parts* are those of the record."""
        if cursor is None:
            return
        self.cursor = cursor
        self.numbers.update(cursor.get("numbers") or {})
        trail = self.trail if behind else []
        for part in parts if behind else ():
            name, length = (part.agent, part.kind), measure(part)
            if trail and trail[-1][0] == name:
                length += trail.pop()[1]
            trail.append((name, length))
        surplus = sum(length for _, length in trail) - behind
        while surplus > 0:
            name, length = trail.pop(0)
            if length > surplus:
                trail.insert(0, (name, length - surplus))
            surplus -= length
        self.trail = trail

    def begin_anew(self) -> None:
        """Go on with a new generation, whose upstream knows none of the places before it."""
        self.begun, self.cursor, self.trail, self.numbers = False, None, [], {}

    def _mark(self, part: Part) -> None:
        fields = part.fields or {}
        if part.kind in ("agent_start", "waiting"):
            self.ended, self.parent = None, fields.get("parent") or self.parent
            self.started = part.kind == "agent_start"
            self.spec = fields.get("source") or self.spec
        elif part.kind in ("gap", "late"):
            self.gaps.count(part)
            self.gapped, self.late = True, self.late + len(str(fields.get("text", "")))
        elif part.kind == "agent_end":
            self.ended = fields
            self.usage, self.model = fields.get("usage") or self.usage, fields.get("model") or self.model


@dataclass(slots=True)
class Progress(Track):
    """The numbers of one stream behind its last record. Other threads may look at it while one moves it."""

    tail: int = -1
    #: agent -> its last sequence.
    sequences: dict[str, int] = field(default_factory=dict)
    #: The stream is a team's: then these are its upstreams, by name.
    team: bool = False
    voices: dict[str, Track] = field(default_factory=dict)
    #: Type -> how many pieces came of it that no reader here understands.
    unknown: Counter[str] = field(default_factory=Counter)
    #: How often the call was opened: once, and once more for every resume and every new generation behind the text.
    opens: int = 0
    #: New generations that were asked for.
    continues: int = 0

    @classmethod
    def of(cls, log: Log) -> Progress:
        """Read *log* through (blocking; about a second for 100 MB) and return where it stands."""
        progress = cls()
        for record in records_of(log):
            progress.add(record)
        return progress

    def add(self, record: Record) -> None:
        """Move behind *record*."""
        if isinstance(record, Delta):
            for part in record.parts:
                self._count(part)
            if self.team:
                self._follow_voices(record)
            else:
                self.follow(record.parts, record.cursor, record.behind)
        elif isinstance(record, Close):
            self.usage, self.model = record.usage or self.usage, record.model or self.model
        else:
            self.opens += 1
            self.team = "agents" in record.source
            if record.intent == "continue":
                self.continues += 1
                self.begin_anew()
        self.tail += 1

    def can_resume(self, *, replayable: bool) -> bool:
        """Whether the same message can go on; a new generation that is cut is continued by a further one."""
        return not self.continues and self.can_go_on(replayable=replayable)

    @property
    def seams(self) -> int:
        """How many new generations have said something."""
        return sum(count for (_, kind), count in tuple(self.marks.items()) if kind == "seam")

    def track(self, voice: str) -> Track:
        """Return the upstream of this name; "" is that of a stream which has only one."""
        if not voice:
            return self
        found = self.voices.get(voice)
        if found is None:
            found = self.voices[voice] = Track()
        return found

    def _count(self, part: Part) -> None:
        self.count(part)
        self.sequences[part.agent] = part.sequence
        if self.team:
            voice = voice_of(part.agent)
            self.track(voice).count(part, voice=voice)
        if part.kind == "raw":
            kind = str((part.fields or {}).get("type"))
            self.unknown[kind if kind in self.unknown or len(self.unknown) < UNKNOWN_TYPES else "others"] += 1

    def _follow_voices(self, record: Delta) -> None:
        for name, place in ((record.cursor or {}).get("voices") or {}).items():
            own = [part for part in record.parts if voice_of(part.agent) == name]
            self.track(name).follow(own, place["cursor"], place["behind"])
