"""
The HTTP server in front of the demo model: loopback only, real sockets, a loop of its own or the running one.

    POST /v1/chat/completions   OpenAI chat completions, streamed or not
    GET  /stream                one voice: delta frames, offset and length in code points, done with sha256
    GET  /agents                agent_output frames of a planner and a reporter
    GET  /poll                  a page of text behind an offset
    GET  /healthz   /log        is it there; what it served, and how many streams are open

All streams resume behind `Last-Event-ID`; `/stream` and chat also behind `offset`. Chat goes on behind an assistant
message at the end of the conversation, if that is how its answer begins (else 400); `max_tokens` counts it. `ask.py`
names the parameters, `faults.py` what can go wrong on request.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable

from nbstream.demo.endpoints import Endpoints, Served
from nbstream.wire.listening import stop_listening


class DemoServer:
    """
    A demo server on a random port of 127.0.0.1, at `url`.

    `async with` runs it on the running loop, `with` in a daemon thread with a loop of its own. Leaving the block ends
    all its connections.
    """

    def __init__(self) -> None:
        self.url = ""
        self._endpoints = Endpoints()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self._thread: threading.Thread | None = None
        self._end_thread: Callable[[], object] = lambda: None

    @property
    def requests(self) -> list[Served]:
        """The last 10,000 requests, newest last; without `/healthz` and `/log`."""
        return list(self._endpoints.requests)

    @property
    def open_connections(self) -> int:
        """How many streaming answers are open now."""
        return self._endpoints.open

    async def __aenter__(self) -> DemoServer:  # noqa: PYI034  `Self` is in `typing` from 3.11 on
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            await stop_listening(self._server.sockets)
            self._server.close()
            for task, writer in self._connections.items():
                task.cancel()
                writer.transport.abort()  # a task that is cancelled before its first step closes nothing
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._server.wait_closed()

    def __enter__(self) -> DemoServer:  # noqa: PYI034
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(started)), name="nbstream-demo", daemon=True
        )
        self._thread.start()
        started.result()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end_thread()
        if self._thread is not None:
            self._thread.join()

    async def _live(self, started: concurrent.futures.Future[None]) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._end_thread = lambda: loop.call_soon_threadsafe(ended.set)
        try:
            await self.__aenter__()
        except OSError as exc:
            started.set_exception(exc)
            return
        started.set_result(None)
        await ended.wait()
        await self.__aexit__()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of ours, not the one asyncio makes for a coroutine: closing the server has to end it.
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that left or never asked is no error: there is nobody to tell.
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            try:
                await self._endpoints.answer(reader, writer)
            finally:
                if writer.transport.get_write_buffer_size():
                    writer.transport.abort()  # a client that does not read could hold a polite close up for ever
                writer.close()
                await writer.wait_closed()


_starting = threading.Lock()
_own: dict[int, DemoServer] = {}  # by process id: a forked child has our memory, but not our thread


def demo_url() -> str:
    """Return the URL of this process's demo server; the first call starts it in a daemon thread."""
    with _starting:
        server = _own.get(os.getpid())
        if server is None:
            _own.clear()
            server = _own[os.getpid()] = DemoServer().__enter__()
        return server.url
