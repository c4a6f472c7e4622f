"""The end of a listening socket, which asyncio leaves open to a race."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from asyncio.trsock import TransportSocket
    from collections.abc import Iterable

#: Turns of the loop from accepting a connection until its protocol hears of it (a task, then a callback), and one.
ARRIVAL_TURNS = 3


async def stop_listening(sockets: Iterable[socket.socket | TransportSocket]) -> None:
    """
    Accept nothing more, and return when the protocols of everything accepted have heard of it.

    To be called before `Server.close()`, which drops a connection that is just being accepted without closing it: its
    transport cannot attach to a closed server (measured with CPython 3.11).
    """
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows' proactor accepts in another way
        for one in sockets:
            loop.remove_reader(one)
    for _ in range(ARRIVAL_TURNS):
        await asyncio.sleep(0)
