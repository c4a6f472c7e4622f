"""The guard: no upstream connection outlives its owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nbstream.clock import Clock
from nbstream.guard import Suspicion, faults
from nbstream.sources.http.connections import connections, forget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.guard import Finding
    from nbstream.recorder import Recorder
    from nbstream.recorder.totals import Totals
    from nbstream.sources.http.connections import Connection

#: How often it looks, and at how many looks in a row a connection must be unwanted: it stands 4 to 6 s longer.
EVERY_S = 2.0
LOOKS = 3
#: How long closing one may take.
CLOSE_S = 5.0


class Guard:
    """
    Closes the connections of its loop that no call wants; see `nbstream.guard`.

    *recorders* returns those at work, by stream; each agent of a team owns the connections of its own calls.
    Connections on other loops belong to somebody else.
    """

    def __init__(
        self,
        recorders: Callable[[], Mapping[str, Recorder]],
        totals: Totals,
        *,
        every_s: float = EVERY_S,
        clock: Clock | None = None,
    ) -> None:
        self._recorders, self._totals = recorders, totals
        self._every_s, self._clock = every_s, clock or Clock()
        self._suspicion: Suspicion[Connection] = Suspicion(LOOKS)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(self._every_s)
            await self.look()

    async def look(self) -> list[Finding[Connection]]:
        """Look once; return what was closed."""
        loop = asyncio.get_running_loop()
        here = [connection for connection in connections() if connection.loop is loop]
        calling = {
            owner: calls for recorder in self._recorders().values() for owner, calls in recorder.callings.items()
        }
        found = self._suspicion.confirmed(faults(here, calling))
        for finding in found:
            await self._close(finding)
        return found

    async def _close(self, finding: Finding[Connection]) -> None:
        connection = finding.connection
        try:
            await asyncio.wait_for(connection.close(), CLOSE_S)
        except Exception as exc:  # noqa: BLE001 - whatever a library says: the next one is to be closed all the same
            message = f"closing a {finding.fault} connection to {connection.url} failed"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": exc})
        finally:
            forget(connection)
            self._totals.leaks_closed += 1
