"""
Who speaks in a stream of several messages: what the readers of agent protocols share.

A protocol sends messages with ids, and tool calls with ids; a log has agents, whose text runs on, and tool calls with a
number. Messages of one agent are set apart by a blank line, or two of them would run into one word.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from nbstream.records import ASSISTANT, Part, whole_characters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

K = TypeVar("K")
V = TypeVar("V")

#: Longer results of tools are cut: they are data for the model, not text for a reader. (A page shows as much.)
RESULT_CHARS = 64 * 1024

_GAP = "\n\n"


@dataclass(slots=True)
class Speech:
    """What one agent has said, as far as its next part depends on it."""

    agent: str
    #: Code points by kind.
    lengths: dict[str, int] = field(default_factory=dict)
    #: The message that is being said, by kind.
    messages: dict[str, str] = field(default_factory=dict)
    #: The last two characters, by kind: they say whether a blank line is there already.
    tails: dict[str, str] = field(default_factory=dict)
    #: Tool calls begun.
    calls: int = 0

    def says(self, text: str, *, message: str = "", kind: str = "text") -> tuple[Part, ...]:
        """Return the part for *text* of this *message*, behind a blank line where another message ended."""
        if not text:
            return ()
        tail = self.tails.get(kind, "")
        if tail and self.messages.get(kind) != message:
            text = _GAP[2 - _missing(tail) :] + text
        self.messages[kind] = message
        self.lengths[kind] = self.lengths.get(kind, 0) + len(text)
        self.tails[kind] = whole_characters((tail + text)[-2:])  # it stands in cursors
        return (Part(kind, text, self.agent),)

    def takes_back(self, length: int, *, kind: str = "text", tail: str = "") -> tuple[Part, ...]:
        """Return the part that leaves *length* code points of what was said; *tail* are the last two of them."""
        if self.lengths.get(kind, 0) <= length:
            return ()
        self.lengths[kind], self.tails[kind] = length, tail
        return (taken_back(self.agent, length, kind),)

    def interrupts(self) -> None:
        """Note that something else comes between: more text is a message of its own, whatever its id."""
        self.messages.clear()


def _missing(tail: str) -> int:
    return 0 if tail.endswith(_GAP) else 1 if tail.endswith("\n") else 2


def taken_back(agent: str, length: int, kind: str = "text") -> Part:
    """Return the part that takes back what *agent* said of *kind* behind *length*; of tool calls it counts calls."""
    fields: dict[str, Any] = {"length": length}
    if kind != "text":
        fields["of"] = kind
    return Part("truncate", agent=agent, fields=fields)


class Names:
    """
    Gives every speaker a name of its own: a second reporter is `reporter-2`.

    *counts* is what an earlier one had counted, for those that are not in *taken* any more.
    """

    def __init__(self, taken: Iterable[str] = (ASSISTANT,), counts: Mapping[str, int] | None = None) -> None:
        self._taken = set(taken)
        #: By wanted name, the last one given last.
        self.counts = dict(counts or {})

    def new(self, wanted: str) -> str:
        """Return *wanted*, or a number of it that was never given."""
        number = self.counts.pop(wanted, 0) + 1
        while (name := wanted if number == 1 else f"{wanted}-{number}") in self._taken or name in self.counts:
            number += 1
        self.counts[wanted] = number
        self._taken.add(name)
        return name


class ToolCalls:
    """The tool calls of a stream by id: who *made* each, and the number it has with that agent; the newest last."""

    def __init__(self, made: Mapping[str, Sequence[Any]] | None = None) -> None:
        self._made: dict[str, tuple[str, int]] = {call: (agent, index) for call, (agent, index) in (made or {}).items()}

    def newest(self, count: int) -> dict[str, tuple[str, int]]:
        """Return so many of those that were made last, as another one can be made of them."""
        return last(self._made, count)

    def maker(self, call: str) -> str | None:
        """Return the agent that made *call*."""
        return self._made[call][0] if call in self._made else None

    def begin(self, speech: Speech, call: str, name: str) -> Part:
        """Return the part that begins *call*."""
        fields = {"index": speech.calls, "args_delta": "", "id": call, "name": name}
        self._made[call] = speech.agent, speech.calls
        speech.calls += 1
        speech.interrupts()
        return Part("tool_call", agent=speech.agent, fields=fields)

    def goes_on(self, call: str, arguments: str, *, final: bool = False) -> Part:
        """Return the part with more *arguments* of *call*; `LookupError` for one that never began."""
        agent, index = self._made[call]
        fields: dict[str, Any] = {"index": index, "args_delta": arguments}
        if final:
            fields["final"] = True
        return Part("tool_call", agent=agent, fields=fields)

    def forget(self, call: str) -> None:
        """Forget *call*: it has its result, and nothing more is said of it."""
        self._made.pop(call, None)

    def take_back(self, speech: Speech, calls: int) -> tuple[Part, ...]:
        """Return the part that leaves the first so many of *speech*; what is told again under the same id is new."""
        if speech.calls <= calls:
            return ()
        speech.calls = calls
        for call, (agent, index) in list(self._made.items()):
            if agent == speech.agent and index >= calls:
                del self._made[call]
        return (taken_back(speech.agent, calls, "tool_call"),)


def last(table: dict[K, V], count: int) -> dict[K, V]:
    """Return the *count* entries of *table* that came last; costs as much as they do, not as much as the table."""
    return dict(reversed([*islice(reversed(table.items()), count)]))


def tool_result(agent: str, call: str, content: Any, *, failed: bool = False) -> Part:
    """Return what a tool answered, as text; JSON for everything that is none."""
    text = content if isinstance(content, str) else _as_text(content)
    fields: dict[str, Any] = {"id": call, "content": text[:RESULT_CHARS]}
    if len(text) > RESULT_CHARS:
        fields["length"] = len(text)
    if failed:
        fields["failed"] = True
    return Part("tool_result", agent=agent, fields=fields)


def _as_text(content: Any) -> str:
    if isinstance(content, list) and content and all(isinstance(one, dict) and "text" in one for one in content):
        return "\n".join(str(one["text"]) for one in content)
    return json.dumps(content, ensure_ascii=False, default=str)


def waiting(agent: str, on: Any) -> Part:
    """Return the part that says what *agent* waits for: a question to a person, an approval."""
    said = on if isinstance(on, str) else json.dumps(on, ensure_ascii=False, default=str)
    return Part("waiting", agent=agent, fields={"on": said[:RESULT_CHARS]})


def started(agent: str, parent: str | None = None) -> Part:
    """Return the part that begins the work of *agent*."""
    return Part("agent_start", agent=agent, fields={"name": agent, **({"parent": parent} if parent else {})})


def ended(agent: str, status: str = "complete", message: str = "") -> Part:
    """Return the part that ends it; *status* is one of `complete stopped interrupted failed`, as in a `close`."""
    return Part("agent_end", agent=agent, fields={"status": status, **({"message": message} if message else {})})


def text_of(value: Any) -> str:
    """Return *value*, which the format says is text; `TypeError` for anything else."""
    if type(value) is not str:
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def number_of(value: Any) -> int:
    """Return *value*, which the format says is a number of something; `TypeError` for anything else."""
    if type(value) is not int:
        raise TypeError(f"expected a number, found {type(value).__name__}")
    return value
