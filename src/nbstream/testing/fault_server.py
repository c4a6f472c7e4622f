"""A real HTTP server on 127.0.0.1 that does what real servers do wrong, on command."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import string
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING

from nbstream.testing.answer import Answer, Pause, Reply, Request
from nbstream.testing.gate import PATIENCE_S, Gate
from nbstream.wire.listening import stop_listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from typing_extensions import Self

MAX_REQUEST_BYTES = 16 * 1024 * 1024
#: How a client's first byte may look: a method's name, or a TLS handshake.
GREETINGS = frozenset(string.ascii_letters.encode() + b"\x16")
#: SO_LINGER on, 0 s: closing sends RST and drops what was not read.
RESET = struct.pack("ii", 1, 0)


class FaultServer:
    r"""
    Answers request after request by script; a context manager, with its own thread, for sync and async tests.

        with FaultServer() as server:
            server.script([Answer.sse("data: one\n\n", end="reset"), Answer(status=503)])
            ...
            assert [request.method for request in server.requests] == ["GET", "GET"]
            server.wait_closed(1.0)

    A request behind the end of the script gets 404 (or *otherwise*) and is recorded all the same. Nothing lasts for
    ever: a connection older than *limit_s* seconds is reset, one more than *max_connections* at a time is refused. An
    error in a script is raised when the context ends.
    """

    def __init__(self, *, max_connections: int = 64, limit_s: float = 120.0) -> None:
        self.requests: list[Request] = []
        self.max_connections, self.limit_s = max_connections, limit_s
        self._replies: list[Reply] = []
        self._otherwise: Reply = Answer([b"the script has no answer left"], 404, framing="length")
        self._connections: set[_Connection] = set()
        self._accepted = self._made = 0
        self._errors: list[BaseException] = []
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-server", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(PATIENCE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()
        if error is None and self._errors:
            raise self._errors[0]

    @property
    def accepted(self) -> int:
        """Connections that were made to it so far, whether anything was asked on them or not, strangers aside."""
        return self._made

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        with self._changed:
            return len(self._connections)

    def script(self, replies: Iterable[Reply], *, otherwise: Reply | None = None) -> None:
        """Answer the next requests with *replies*, one each (a function gets the request), others with *otherwise*."""
        with self._changed:
            self._replies = list(replies)
            if otherwise is not None:
                self._otherwise = otherwise

    def wait_requests(self, count: int, timeout_s: float = PATIENCE_S) -> list[Request]:
        """Block until *count* requests have come; return all. `TimeoutError` after *timeout_s* seconds."""
        self._wait(lambda: len(self.requests) >= count, timeout_s, lambda: f"{len(self.requests)} of {count} requests")
        return list(self.requests)

    def wait_closed(self, timeout_s: float = PATIENCE_S) -> None:
        """Block until no connection is open; `TimeoutError` after *timeout_s* seconds."""
        self._wait(lambda: not self._connections, timeout_s, lambda: f"{len(self._connections)} connections still open")

    def _wait(self, ready: Callable[[], bool], timeout_s: float, have: Callable[[], str]) -> None:
        with self._changed:
            if not self._changed.wait_for(ready, timeout_s):
                msg = f"after {timeout_s} s: {have()}"
                raise TimeoutError(msg)

    async def _start(self) -> None:
        self._server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        await stop_listening(self._server.sockets)
        self._server.close()
        tasks = [connection.task for connection in self._connections if connection.task]
        for connection in tuple(self._connections):
            connection.transport.abort()
        # What is left ends by connection_lost, one turn of the loop later.
        await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- called by connections, on the server's loop -----------------------------------------------------------

    def opened(self, connection: _Connection) -> bool:
        """Count a connection; False when there are too many."""
        with self._changed:
            self._made += 1
            if len(self._connections) >= self.max_connections:
                return False
            self._connections.add(connection)
            self._changed.notify_all()
            return True

    def greeted(self) -> int:
        """Return the number of the next client."""
        self._accepted += 1
        return self._accepted - 1

    def sent_away(self) -> None:
        """Note that a connection was no client's."""
        self._made -= 1

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def reply(self, request: Request) -> Answer:
        """Record *request* and return what the script says to it."""
        with self._changed:
            self.requests.append(request)
            reply = self._replies.pop(0) if self._replies else self._otherwise
            self._changed.notify_all()
        answer = reply if isinstance(reply, Answer) else reply(request)
        return answer.fixed() if answer.framing == "length" else answer

    def failed(self, error: Exception) -> None:
        """Keep an error of a script, or a request that is none, for the end of the context."""
        self._errors.append(error)


class _Connection(asyncio.Protocol):
    """One connection: requests in, answers out, one at a time."""

    transport: asyncio.Transport

    def __init__(self, server: FaultServer) -> None:
        self.task: asyncio.Task[None] | None = None
        self._server = server
        self._number = -1
        self._received = bytearray()
        self._more = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self.transport = transport
        transport.set_write_buffer_limits(0)  # `_written` means what it says
        if not self._server.opened(self):
            self._reset()
            return
        self.task = asyncio.ensure_future(self._serve())
        self._limit = asyncio.get_running_loop().call_later(self._server.limit_s, self._reset)

    def data_received(self, data: bytes) -> None:
        if self._number < 0:
            if data[0] not in GREETINGS:
                # A ZeroMQ socket somewhere still looks for a dead kernel, whose port the system has given to us.
                self._server.sent_away()
                self._reset()
                return
            self._number = self._server.greeted()
        self._received += data
        self._more.set()

    def eof_received(self) -> None:
        # HTTP clients do not half-close: who stops sending has gone.
        self.transport.abort()

    def pause_writing(self) -> None:
        self._written.clear()

    def resume_writing(self) -> None:
        self._written.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.task is not None:
            self.task.cancel()
            self._limit.cancel()
        self._server.closed(self)

    async def _serve(self) -> None:
        try:
            while await self._answer(self._server.reply(await self._request())):
                pass
        except Exception as exc:  # noqa: BLE001 - a test's script may fail in any way; raised where the test sees it
            self._server.failed(exc)
        finally:
            self.transport.close()

    async def _request(self) -> Request:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            await self._receive()
        first, *lines = self._take(end + 4).decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self._received) < length:
            await self._receive()
        return Request(method, target, headers, self._take(length), time.monotonic(), self._number)

    async def _receive(self) -> None:
        if len(self._received) > MAX_REQUEST_BYTES:
            msg = "a request of more than 16 MiB"
            raise ValueError(msg)
        self._more.clear()
        await self._more.wait()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    async def _answer(self, answer: Answer) -> bool:
        """Send *answer*; return whether the connection stays for the next request."""
        for step in answer.before:
            await _wait(step)
        await self._send(answer.head(), answer)
        chunked = answer.framing == "chunked"
        for part in answer.steps() if answer.has_body else ():
            if not isinstance(part, bytes):
                await _wait(part)
            elif part:
                await self._send(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part, answer)
        if answer.end == "stall":
            await asyncio.Event().wait()
        elif answer.end == "reset":
            await self._delivered()
            self._reset()
        elif answer.end != "cut" and chunked and answer.has_body:
            await self._send(b"0\r\n\r\n", answer)
        return answer.end == "keep"

    async def _send(self, data: bytes, answer: Answer) -> None:
        size = answer.piece_bytes or (64 if answer.bytes_per_s else len(data)) or 1
        due = time.monotonic()
        for start in range(0, len(data), size):
            self.transport.write(data[start : start + size])
            await self._written.wait()
            if answer.bytes_per_s:
                due += size / answer.bytes_per_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            elif answer.piece_bytes:
                await asyncio.sleep(0)  # other connections have their turn

    async def _delivered(self) -> None:
        """Wait until the client's kernel has everything: a reset throws away what is still on its way."""
        sock = self.transport.get_extra_info("socket")
        while struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # nothing tells when

    def _reset(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


async def _wait(step: Pause | Gate) -> None:
    if isinstance(step, Gate):
        await step.passage()
    else:
        await asyncio.sleep(step.seconds)
