"""
A source in a process of its own, so that it shares no interpreter lock with what is measured.

    GET /paced?rate=100&s=20   tokens that are the time they were sent at (seconds of `time.monotonic`), then `done`
    GET /bulk?mb=10            so much text as fast as it is taken
    GET /quiet                 one token, then silence until the client leaves
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"event: done\ndata: {}\n\n"
#: A token: the clock's seconds, always as wide.
TOKEN = re.compile(rb"t([0-9]{9}\.[0-9]{6}) ")
BULK = "Rivers carry what the hills let go, and logs keep what the rivers said; nobody writes the same line twice. " * 3


def frame(text: str) -> bytes:
    """Return one event of the format `nbstream`."""
    return b'data: {"type":"delta","text":"%b"}\n\n' % text.encode()


def token() -> bytes:
    """Return the event that says when it was made."""
    return frame(f"t{time.monotonic():016.6f} ")


@contextmanager
def source() -> Iterator[str]:
    """Run the server in a child; gives its URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_run, args=(theirs,), daemon=True)
    child.start()
    try:
        yield ours.recv()
    finally:
        child.terminate()
        child.join()


def _run(pipe) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(serve())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Who leaves early was asked to.
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        asked = urlsplit((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        query = dict(parse_qsl(asked.query))
        writer.write(HEAD)
        if asked.path == "/quiet":
            writer.write(token())
            await reader.read()
        elif asked.path == "/bulk":
            await _bulk(writer, float(query["mb"]))
        else:
            await _paced(writer, float(query["rate"]), float(query["s"]))
        await writer.drain()
    writer.close()


async def _paced(writer: asyncio.StreamWriter, rate: float, seconds: float) -> None:
    began = time.monotonic()
    for n in range(int(rate * seconds)):
        await asyncio.sleep(began + n / rate - time.monotonic())
        writer.write(token())
    writer.write(DONE)


async def _bulk(writer: asyncio.StreamWriter, megabytes: float) -> None:
    # Tens of frames a write: the source is not what is measured.
    block = frame(BULK) * 50
    for _ in range(int(megabytes * 1e6 / (50 * len(BULK)))):
        writer.write(block)
        await writer.drain()
    writer.write(DONE)
