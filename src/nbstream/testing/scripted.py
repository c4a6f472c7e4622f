"""A source whose every word is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from nbstream.clock import Clock
from nbstream.errors import SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End, Pulse, Resume, Traits
from nbstream.testing.gate import Gate

if TYPE_CHECKING:
    from nbstream.records import Cursor


class Sign(Enum):
    """Steps that are neither output nor an end."""

    PING = "a sign of life"
    SILENCE = "nothing more, for ever"


PING = Sign.PING
SILENCE = Sign.SILENCE

#: str: a text part; Part: one part; Arrival: as it is; End: the end mark; an exception: raised.
Step: TypeAlias = "str | Part | Arrival | End | Gate | Sign | Exception"
#: The steps of one connection, or what makes them from the cursor it was resumed behind.
Script: TypeAlias = "Iterable[Step] | Callable[[Cursor | None], Iterable[Step]]"


@dataclass(slots=True)
class Connection:
    """What became of one call."""

    cursor: Cursor | None
    #: Steps begun so far.
    pulled: int = 0
    #: Nothing holds it open any more, however it ended.
    closed: bool = False
    #: It ended because its task was cancelled.
    cancelled: bool = False


class ScriptedSource:
    """
    Says what its scripts say: the first script to the first connection, and so on.

        source = ScriptedSource(["Hel", SourceLost("cut")], [Arrival(...), "lo", End()])

    A script that is over without an `End` is a connection that just ended. A connection too many is refused, and
    counted in `connections` like all others. Scripts are pulled step by step: a generator shows how far.

    Args:
        scripts: One for each connection.
        replayable: See `Source.replayable`.
        fingerprint: See `Source.fingerprint`.
        resume: What `traits` say.
        spec: See `Source.spec`.
        clock: The recorder's, when that is a fake one: `PING` is stamped with it.
        cancel: The script of `Source.cancel`: a `Gate` or `SILENCE` lets it take its time, an exception fails it.
    """

    note: str | None = None

    def __init__(
        self,
        *scripts: Script,
        replayable: bool = False,
        fingerprint: str | None = "scripted",
        resume: Resume = "event-id",
        spec: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        cancel: Iterable[Step] = (),
    ) -> None:
        self.connections: list[Connection] = []
        #: The cursors of the calls of `cancel`.
        self.cancelled: list[Cursor | None] = []
        self.replayable = replayable
        self.fingerprint = fingerprint
        self.spec: Mapping[str, Any] = spec or {"kind": "scripted"}
        self.traits = Traits(end_mark="End()", error_mark="an exception", heartbeat="PING", resume=resume)
        self._scripts: Sequence[Script] = scripts
        self._clock = clock or Clock()
        self._cancel = cancel

    @property
    def open_connections(self) -> int:
        """How many calls are being made."""
        return sum(not connection.closed for connection in self.connections)

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        """Play the next script; see `Source.connect`."""
        number = len(self.connections)
        connection = Connection(cursor)
        self.connections.append(connection)
        try:
            if number >= len(self._scripts):
                msg = f"connection {number + 1}, but only {len(self._scripts)} are scripted"
                raise SourceRefused(msg)
            script = self._scripts[number]
            for step in script(cursor) if callable(script) else script:
                connection.pulled += 1
                arrival = await self._play(step, pulse)
                if arrival is not None:
                    yield arrival
        except asyncio.CancelledError:
            connection.cancelled = True
            raise
        finally:
            connection.closed = True

    async def cancel(self, cursor: Cursor | None) -> None:
        """Play its script; see `Source.cancel`."""
        self.cancelled.append(cursor)
        for step in self._cancel:
            await self._play(step, Pulse(self._clock.monotonic()))

    async def _play(self, step: Step, pulse: Pulse) -> Arrival | None:
        pulse.last_byte = self._clock.monotonic()
        if isinstance(step, str):
            return Arrival((Part("text", step),))
        # Part, End and Arrival are tuples: asked for by their own names.
        if isinstance(step, Part):
            return Arrival((step,))
        if isinstance(step, End):
            return Arrival(end=step)
        if isinstance(step, Arrival):
            return step
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Gate):
            await step.passage()
        elif step is Sign.PING:
            pulse.pings += 1
        else:
            await asyncio.Event().wait()
        return None
