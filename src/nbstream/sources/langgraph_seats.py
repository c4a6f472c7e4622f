"""
Who speaks in a LangGraph: nodes have names, tasks have ids, and a node runs again and again.

A node is an agent. It stays the same agent when it runs again in a later step; two tasks of it in one step are two
agents. A subgraph that was called again is the same agent again only if it was seen to end, else another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbstream.records import ASSISTANT
from nbstream.sources.speech import Names, Speech, ended, started

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbstream.records import Part

#: Nodes that are no name: the parts of a prebuilt agent, whose own name is that of its subgraph.
_PARTS_OF_AN_AGENT = frozenset({"agent", "model", "model_request", "call_model", "llm", "tools"})


@dataclass(slots=True)
class Seat:
    """One place at the table: a node (of one subgraph), the task that has it now, and what it has said."""

    node: str
    task: str
    step: int | None
    speech: Speech
    active: bool = True
    parent: str | None = None

    def to_json(self) -> list[Any]:
        """Return what a cursor carries of it."""
        speech = self.speech
        said = [speech.agent, speech.lengths, speech.messages, speech.tails, speech.calls]
        return [self.node, self.task, self.step, self.active, self.parent, [*map(_copied, said)]]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Seat:
        """Read back what `to_json` made."""
        node, task, step, active, parent, said = data
        return cls(node, task, step, Speech(*map(_copied, said)), active, parent)


class Seats:
    """Finds who says an event."""

    def __init__(self, rows: Sequence[Sequence[Any]] = ()) -> None:
        self._seats = [Seat.from_json(row) for row in rows]
        self._names = Names({seat.speech.agent for seat in self._seats})
        #: What a cursor carries, by agent: made anew only for the one that moved.
        self._rows = {seat.speech.agent: seat.to_json() for seat in self._seats}
        #: How many tasks of a node have ended, when nobody said which.
        self._ends: dict[str, int] = {}
        #: Who spoke last.
        self.speaker: str | None = None

    def to_json(self) -> list[list[Any]]:
        """Return what a cursor carries."""
        return list(self._rows.values())

    def moved(self, seat: Seat) -> None:
        """Note that *seat* has changed."""
        self.speaker = seat.speech.agent
        self._rows[seat.speech.agent] = seat.to_json()

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
            place = [*namespace, str(about.get("langgraph_node") or ASSISTANT)]
        if len(place) > 1 and place[-1].partition(":")[0] in _PARTS_OF_AN_AGENT:
            place.pop()
            step = None
        else:
            step = about.get("langgraph_step")
        *outer, last = place
        name_of_node, _, task = last.partition(":")
        node = "|".join([*outer, name_of_node])
        seat = self._seat(node, task[:8], step)
        if seat is None:
            agent = self._names.new(str(about.get("lc_agent_name") or name or name_of_node))
            parent = outer[-1].partition(":")[0] if outer else None
            seat = Seat(node, task[:8], step, Speech(agent), parent=parent)
            self._seats.append(seat)
        elif seat.active:
            return seat, ()
        seat.active = True
        self.moved(seat)
        # A model alone is no graph: it has no node, and its one speaker needs no introduction.
        return seat, (started(seat.speech.agent, seat.parent),) if seat.node != ASSISTANT else ()

    def _seat(self, node: str, task: str, step: int | None) -> Seat | None:
        same = [seat for seat in self._seats if seat.node == node]
        for seat in same:
            if seat.task == task and (task or not seat.active or seat.step == step):
                seat.step = step
                return seat
        for seat in same:
            if not seat.active or (step is not None and seat.step != step):
                seat.task, seat.step = task, step
                return seat
        return None

    def end(self, namespace: Sequence[str], node: str) -> tuple[Part, ...]:
        """Return what ends the agents of *node*: all of them, once as many tasks of it have ended."""
        key = "|".join([*namespace, node])
        active = [seat for seat in self._seats if seat.node == key and seat.active]
        self._ends[key] = self._ends.get(key, 0) + 1
        if not active or self._ends[key] < len(active):
            return ()
        self._ends[key] = 0
        for seat in active:
            seat.active = False
            seat.speech.interrupts()
            self._rows[seat.speech.agent] = seat.to_json()
        return tuple(ended(seat.speech.agent) for seat in active)


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value
