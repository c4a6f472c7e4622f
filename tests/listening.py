"""Listening in tests: an asyncio server that leaves nothing open, and an `accept` that meets no strangers."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

from nbstream.wire.listening import stop_listening


@asynccontextmanager
async def listening(serve, port=0):
    """Serve *serve(reader, writer)* on 127.0.0.1; enter with the port. Leaving ends every connection."""
    open_now = {}

    def connected(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        open_now[task] = writer
        task.add_done_callback(open_now.pop)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_listening(server.sockets)
        server.close()
        writers = list(open_now.values())
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def accept(server):
    """Accept the next client. A ZeroMQ socket that looks for a dead kernel on a port that is ours now is none."""
    while True:
        client, _ = server.accept()
        if client.recv(1, socket.MSG_PEEK) != b"\xff":  # how ZeroMQ begins
            return client
        client.close()
