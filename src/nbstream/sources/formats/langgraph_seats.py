"""
Who speaks in a LangGraph: nodes have names, tasks have ids, and a node runs again and again.

A node is an agent. It stays the same agent when it runs again in a later step; two tasks of it in one step are two
agents. A subgraph that was called again is the same agent again only if it was seen to end, else another one.

A cursor stands in every record, so it carries only those who spoke last: behind a cut one that had been silent for long
goes on as another agent. Between cuts all of them are known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbstream.records import ASSISTANT
from nbstream.sources.formats.speech import Names, Speech, ended, last, started

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbstream.records import Part

#: Nodes that are no name: the parts of a prebuilt agent, whose own name is that of its subgraph.
_PARTS_OF_AN_AGENT = frozenset({"agent", "model", "model_request", "call_model", "llm", "tools"})


#: Seats in a cursor, and names of those that are not: about 6 KB where a run has so many.
KEPT_SEATS, KEPT_NAMES = 32, 64
#: Enough of the id of a task to tell it from the others of its node.
_ID_CHARS = 8


@dataclass(slots=True)
class Seat:
    """One place at the table: a node (of one subgraph), the task that has it now, and what it has said."""

    node: str
    task: str
    step: int | None
    speech: Speech
    active: bool = True
    parent: str | None = None
    #: Where in its text the message begins that comes as snapshots, by kind.
    begins: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> list[Any]:
        """Return what a cursor carries of it."""
        speech = self.speech
        said = [speech.agent, speech.lengths, speech.messages, speech.tails, speech.calls]
        begins = dict(self.begins)
        return [self.node, self.task, self.step, self.active, self.parent, [*map(_copied, said)], begins]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Seat:
        """Read back what `to_json` made."""
        node, task, step, active, parent, said, begins = data
        return cls(node, task, step, Speech(*map(_copied, said)), active, parent, dict(begins))


class Seats:
    """Finds who says an event; *state* is what `to_json` gave."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        #: In the order in which they came, and the same by node, and by node and task.
        self._seats: list[Seat] = []
        self._nodes: dict[str, list[Seat]] = {}
        self._tasks: dict[tuple[str, str], Seat] = {}
        self._numbers: dict[str, int] = {}
        #: What a cursor carries, by number: made anew only for the one that moved, which is the last one then.
        self._rows: dict[int, list[Any]] = {}
        for row in state.get("seats", ()):
            self._add(Seat.from_json(row))
        self._names = Names(self._numbers, state.get("names"))
        self._some_are_gone = "names" in state
        #: How many tasks of a node have ended, when nobody said which.
        self._ends: dict[str, int] = {}
        #: Who spoke last.
        self.speaker: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what a cursor carries: those who spoke last, in the order in which they came."""
        state: dict[str, Any] = {"seats": [row for _, row in sorted(last(self._rows, KEPT_SEATS).items())]}
        if len(self._rows) > KEPT_SEATS or self._some_are_gone:
            state["names"] = last(self._names.counts, KEPT_NAMES)
        return state

    def moved(self, seat: Seat) -> None:
        """Note that *seat* has changed."""
        self.speaker = seat.speech.agent
        number = self._numbers[seat.speech.agent]
        self._rows.pop(number, None)
        self._rows[number] = seat.to_json()

    def saying(self, message: str) -> Seat | None:
        """Return who says *message* at the moment."""
        return next((seat for seat in self._seats if message in seat.speech.messages.values()), None)

    def take(self, namespace: Sequence[str], about: Mapping[str, Any], name: str) -> tuple[Seat, tuple[Part, ...]]:
        """
        Return the seat of an event, and the part that begins its work if it is new or begins again.

        *namespace* is that of the event, *about* the metadata of its message, *name* the author's own, if it has one.
        """
        place = str(about.get("langgraph_checkpoint_ns") or "").split("|")
        if not place[0]:
            node = about.get("langgraph_node")
            place = [*namespace, str(node)] if node else [*namespace] or [ASSISTANT]
        if len(place) > 1 and place[-1].partition(":")[0] in _PARTS_OF_AN_AGENT:
            place.pop()
            step = None
        else:
            step = about.get("langgraph_step")
        *outer, inner = place
        name_of_node, _, task = inner.partition(":")
        node = _node_of(outer, name_of_node)
        seat = self._seat(node, task[:_ID_CHARS], step)
        if seat is None:
            agent = self._names.new(str(about.get("lc_agent_name") or name or name_of_node))
            parent = outer[-1].partition(":")[0] if outer else None
            seat = Seat(node, task[:_ID_CHARS], step, Speech(agent), parent=parent)
            self._add(seat)
        elif seat.active:
            return seat, ()
        seat.active = True
        self.moved(seat)
        # A model alone is no graph: it has no node, and its one speaker needs no introduction.
        return seat, (started(seat.speech.agent, seat.parent),) if seat.node != ASSISTANT else ()

    def end(self, namespace: Sequence[str], node: str) -> tuple[Part, ...]:
        """Return what ends the agents of *node*: all of them, once as many tasks of it have ended."""
        key = _node_of(namespace, node)
        active = [seat for seat in self._nodes.get(key, ()) if seat.active]
        self._ends[key] = self._ends.get(key, 0) + 1
        if not active or self._ends[key] < len(active):
            return ()
        self._ends[key] = 0
        for seat in active:
            seat.active = False
            seat.speech.interrupts()
            self._rows[self._numbers[seat.speech.agent]] = seat.to_json()
        return tuple(ended(seat.speech.agent) for seat in active)

    def _add(self, seat: Seat) -> None:
        number = self._numbers[seat.speech.agent] = len(self._seats)
        self._seats.append(seat)
        self._nodes.setdefault(seat.node, []).append(seat)
        self._tasks[seat.node, seat.task] = seat
        self._rows[number] = seat.to_json()

    def _seat(self, node: str, task: str, step: int | None) -> Seat | None:
        same = self._nodes.get(node, ())
        if task:
            found = self._tasks.get((node, task))
        else:
            found = next((seat for seat in same if not seat.task and (not seat.active or seat.step == step)), None)
        if found is None:
            free = (seat for seat in same if not seat.active or (step is not None and seat.step != step))
            found = next(free, None)
        if found is not None:
            self._tasks.pop((node, found.task), None)
            found.task, found.step = task, step
            self._tasks[node, task] = found
        return found


def _node_of(outer: Sequence[str], name: str) -> str:
    """Return what a node is known by: its name behind those of the subgraphs that it is in, and their tasks."""
    names = (one.partition(":") for one in outer)
    return "|".join([*(f"{graph}{colon}{task[:_ID_CHARS]}" for graph, colon, task in names), name])


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value
