"""Following one stream that a relay records: signals, its live status, and the pings that hold it."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING

from nbstream.errors import LogError, RelayError, StreamError
from nbstream.log.bell import bell
from nbstream.recorder.gathering import Gathering
from nbstream.relay.far import FarRecorder
from nbstream.runtime import runtime
from nbstream.standing import in_relay

if TYPE_CHECKING:
    from nbstream.log.contract import Status
    from nbstream.relay.link.client import RelayClient
    from nbstream.relay.reach import Reach

#: A ping holds the stream for so long, and is sent so often. The same figures as for any connection: 45 s is dead.
HOLD_S = 45.0
PING_S = 15.0
#: How often this process looks whether it still holds the stream.
LOOK_S = 0.25
#: How soon a relay that was lost is looked for again.
AGAIN_S = 0.5


class Following:
    """
    Runs while the stream has readers here or is held here, and as long as a relay records it.

    What comes is news for the runtime: records as signals only, since they are read from the store.
    """

    def __init__(self, reach: Reach, stream: str) -> None:
        self.stream = stream
        self.readers = 0
        self._reach = reach
        self._client: RelayClient | None = None
        self._held: bool | None = None
        self._pinged_at = 0.0
        self._presses: set[asyncio.Task[object]] = set()
        #: Nobody wants it any more; who does from now on makes another one.
        self.closed = False
        #: Something happened: look again.
        self.moved = asyncio.Event()
        runtime().spawn(self._run())

    async def leave(self, *, end: bool) -> None:
        """Say that this process lets go; *end*: for good, so what only it holds is over at once."""
        if self._client is not None:
            try:
                await self._client.hold(self.stream, self._reach.holder, 0, end=end)
            except RelayError as exc:
                if exc.status != 403 or not end:
                    raise
                # With a token that may not stop only this process's own hold is over.
                await self._client.hold(self.stream, self._reach.holder, 0)

    async def _run(self) -> None:
        moved, loop = self.moved, asyncio.get_running_loop()
        try:
            log = await asyncio.to_thread(self._reach.store.log, self.stream)
        except LogError:
            self._reach.forget(self)
            return  # deleted
        end = log.subscribe(bell(moved))
        try:
            while self._reach.wants(self):
                moved.clear()
                status = await asyncio.to_thread(self._reach.store.status, self.stream)
                client = await asyncio.to_thread(self._reach.recorder_of, status)
                if client is not None:
                    await self._follow(client, status)
                elif not in_relay(status) and not self._reach.is_read(self):
                    if not status.live:
                        runtime().hand_over(self.stream)
                    return  # nobody would see a relay take it up
                # At rest the store says when somebody goes on with it; a relay that was lost may be back any time.
                due = loop.call_later(AGAIN_S, moved.set) if in_relay(status) else None
                await moved.wait()
                if due is not None:
                    due.cancel()
        except LogError:
            return  # deleted, or out of reach: whoever reads it is told by the store
        finally:
            self._reach.forget(self)
            end()
            runtime().appoint(self.stream, None)

    @property
    def wanted(self) -> bool:
        """Whether anybody here reads or holds the stream."""
        return self.readers > 0 or runtime().held(self.stream)

    async def _follow(self, client: RelayClient, status: Status) -> None:
        """Follow the stream in its relay until the relay has no more of it, or nobody here wants it."""
        self._client, self._held = client, None
        listening = asyncio.ensure_future(self._listen(client, status.tail))
        holding = asyncio.ensure_future(self._hold(client))
        try:
            await asyncio.wait({listening, holding}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (listening, holding):
                task.cancel()
            # A relay that is gone is no error here: the store says how the stream stands, and the next look who has it.
            for outcome in await asyncio.gather(listening, holding, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, StreamError):
                    raise outcome
            self._client = None
            runtime().appoint(self.stream, None)

    async def _listen(self, client: RelayClient, after: int) -> None:
        async with aclosing(client.follow(self.stream, after, holder=self._reach.holder)) as events:
            gathering, asked = Gathering(), time.monotonic()
            async for event in events:
                came = time.monotonic()
                if event.kind == "live":
                    status = json.loads(event.data)
                    if status is None:
                        if not await self._elsewhere(client):
                            return
                        runtime().appoint(self.stream, None)
                        continue
                    runtime().appoint(self.stream, FarRecorder(status, partial(self._press, client)))
                elif event.kind in ("record", "lost"):
                    runtime().signal(self.stream)
                    # A record a token is a wake-up a token; pages do not look so often.
                    rest_s = gathering.rest_s(came, waited_s=came - asked, pieces=1, chars=0)
                    if rest_s and runtime().unhurried(self.stream):
                        await asyncio.sleep(rest_s)
                asked = time.monotonic()

    async def _elsewhere(self, client: RelayClient) -> bool:
        """Whether another relay records what this one, out of many, serves all the same: the store says so."""
        return client.address.remote and in_relay(await asyncio.to_thread(self._reach.store.status, self.stream))

    async def _hold(self, client: RelayClient) -> None:
        """Tell the relay whether anybody here holds the stream: at once when that changes, and again as a ping."""
        while self.wanted:
            held, now = runtime().held(self.stream), time.monotonic()
            if held is not self._held or (held and now - self._pinged_at >= PING_S):
                attended = runtime().attended(self.stream)
                with suppress(RelayError):  # the connection that listens finds out what is wrong
                    await client.hold(self.stream, self._reach.holder, HOLD_S if held else 0, attended=attended)
                    self._held, self._pinged_at = held, now
            await asyncio.sleep(LOOK_S)
        if self._held:
            with suppress(RelayError):
                await client.hold(self.stream, self._reach.holder, 0)

    def _press(self, client: RelayClient, button: str, agent: str | None) -> None:
        """Send a button to the relay; the row of a stop lies in the store already or will in a moment."""

        async def send() -> None:
            with suppress(StreamError):
                await press(client, self.stream, button, agent)

        task: asyncio.Task[object] = asyncio.ensure_future(send())
        self._presses.add(task)
        task.add_done_callback(self._presses.discard)


async def press(client: RelayClient, stream: str, button: str, agent: str | None = None) -> None:
    """Press one of `stop`, `keep`, `resume` in the relay, for one agent or for all."""
    if button == "stop":
        await client.stop(stream, agent)
    elif button == "keep":
        await client.keep(stream, agent)
    else:
        await client.resume(stream, {} if agent is None else {"agent": agent})
