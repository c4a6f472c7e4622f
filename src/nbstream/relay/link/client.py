"""The relay as a client sees it: start, resume, stop, keep, hold, describe, and follow a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from nbstream.relay.held import Held
from nbstream.relay.link.feed import Feed
from nbstream.relay.link.follow import Follower
from nbstream.relay.link.line import Line
from nbstream.relay.link.ways import Route, Timing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from nbstream.relay.address import Address
    from nbstream.relay.link.feed import Event

#: Requests at a time; each takes milliseconds.
CONNECTIONS: Final = 8


class RelayClient:
    """
    Asks the relay at *address*; all of it on one event loop.

    Every connection has proved itself before the token or a key goes over it. Raises the errors of `nbstream.errors`:
    those the relay met, and `RelayError` when it cannot be reached or refuses.
    """

    def __init__(self, address: Address, *, timing: Timing | None = None) -> None:
        self.address = address
        self._timing = timing or Timing()
        self._route = Route()
        self._line = Line(address, connections=CONNECTIONS)

    async def start(self, body: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
        """Start a stream, or attach to the one of its key; return whether a call was started, and where it stands."""
        answer = await self._line.ask("POST", "/v1/streams", body)
        return answer.status == 201, answer.body

    async def resume(self, stream: str, body: Mapping[str, Any], *, anew: bool = False) -> dict[str, Any]:
        """
        Go on behind the last record; *body* is like that of `start`, all of it optional.

        *anew*: by a new generation.
        """
        return await self._press(stream, "continue" if anew else "resume", body)

    async def stop(self, stream: str, agent: str | None = None) -> dict[str, Any]:
        """Stop the stream, or one agent of it, for good."""
        return await self._press(stream, "stop", {} if agent is None else {"agent": agent})

    async def keep(self, stream: str, agent: str | None = None) -> dict[str, Any]:
        """Keep waiting: the answer to a stall, of one agent or of all."""
        return await self._press(stream, "keep", {} if agent is None else {"agent": agent})

    async def hold(self, stream: str, holder: str, for_s: float, *, end: bool = False, attended: bool = True) -> None:
        """Hold the stream for so long under the name *holder*, 0 lets go; *end*: the holder is gone for good."""
        body = {"holder": holder, "for_s": for_s, "end": end, "attended": attended}
        await self._line.ask("PUT", _path(stream, "hold"), body)

    async def describe(self, stream: str) -> dict[str, Any]:
        """Return everything the relay knows of a stream."""
        answer = await self._line.ask("GET", _path(stream))
        return dict(answer.body)

    async def health(self) -> dict[str, Any]:
        """Return how the relay itself is: version, connections, memory, counters."""
        answer = await self._line.ask("GET", "/healthz")
        return dict(answer.body)

    async def ticket(self, stream: str) -> str:
        """Return an address that a browser can open, once, within a minute: it shows the stream without the token."""
        answer = await self._line.ask("POST", _path(stream, "ticket"), {})
        return f"{self.address.url}{answer.body['url']}"

    def follow(
        self, stream: str, after: int = -1, *, at: float | None = None, holder: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """
        Yield what happens to the stream: each record behind *after* once and in order, and its live status.

        A store that was restarted may have lost records that were read, and others may have written in their place:
        then an event "lost" comes, and every record from the beginning. *at* is the `at` of record *after*: with it
        that is noticed at once; of records that came here it is known.

        Goes over server-sent events, over polls where a proxy holds those back, and makes lost connections anew. Ends
        behind `close(complete)`, or with an event "gone" when the stream is deleted. *holder* names a follower that
        holds the stream with `hold`; without it the connection itself does. To be closed (`contextlib.aclosing`).

        Raises `RelayError` when the relay is dead, refuses, or was lost three times without progress in between.
        """
        query = {} if holder is None else {"holder": holder}
        line = Line(self.address, connections=2)  # one in use, one to see whether events come through by now
        return Follower(
            Feed(line, _path(stream, "records"), query), Held(after, at), self._timing, self._route
        ).events()

    async def close(self) -> None:
        """Close the connections that are kept; followers close their own."""
        await self._line.close()

    async def _press(self, stream: str, button: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._line.ask("POST", _path(stream, button), body)
        return dict(answer.body)


def _path(stream: str, *more: str) -> str:
    return "/".join(("/v1/streams", quote(stream, safe=""), *more))
