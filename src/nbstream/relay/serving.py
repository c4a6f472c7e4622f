"""The relay itself: one process, one loop for recorders and HTTP; the main thread waits for the end."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TextIO

import uvicorn
from filelock import FileLock, Timeout

from nbstream.errors import RelayError
from nbstream.log.disk import DiskStore
from nbstream.log.home import private
from nbstream.log.stores import open_store
from nbstream.monitor import Bounds, watch
from nbstream.relay.address import Address, find, our_address, publish, runtime_file, withdraw
from nbstream.relay.http.app import make_app
from nbstream.relay.http.connection import server_config
from nbstream.relay.service import Service
from nbstream.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nbstream.relay.http.activity import Activity

#: From a signal to the end of the process, whatever hangs.
END_S: Final = 5.0
#: How often a relay looks whether anybody still needs it.
LOOK_S: Final = 1.0
#: What a relay complains about may be so much; then its log begins anew.
LOG_BYTES: Final = 1024 * 1024
#: Above this its streams warn: with 50 live ones it takes some 100 MB.
RESIDENT_MB: Final = 500
#: Connections that may wait to be accepted: a thousand clients may come at once.
BACKLOG: Final = 2048


def serve(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    exit_after_s: float = 600.0,
    allow_hosts: Sequence[str] = (),
) -> int:
    """
    Be the relay of the store in *directory* until a signal, or until nobody needed it for *exit_after_s* seconds.

    Says one line on stdout once it serves. Returns the exit code; raises `StreamError` when it cannot serve.
    """
    with listen(host, port) as listener:
        store = open_store(str(directory))
        try:
            if not isinstance(store, DiskStore):
                raise RelayError("a relay needs a store on disk, which other processes can open too")
            running = find(store.directory)
            if running is not None:
                raise RelayError(f"a relay of this store runs already (process {running.pid})")
            with _only_one(runtime_file(store.directory)):
                allow_connections()
                watch(runtime(), Bounds(resident_mb=RESIDENT_MB))
                return _Relay(store, exit_after_s).run(listener, tuple(allow_hosts))
        finally:
            runtime().close()
            store.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on this machine only; port 0 is any. Raises `RelayError`."""
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise RelayError(
            f"--bind {host}: a relay listens on this machine only, on 127.0.0.1 or ::1; with --tokens on a network"
        )
    return listen_on(host, port)


def listen_on(host: str, port: int) -> socket.socket:
    """Return a socket that listens on any address of this machine."""
    # With its protocol named: asyncio takes Nagle's delay off TCP only where it is, and accepted sockets inherit it. An
    # answer in two writes would else wait 40 ms for the acknowledgement of the first.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise RelayError(
            f"cannot listen on {host}, port {port} ({exc.strerror}); leave --port away for a free one"
        ) from exc
    return listener


@contextmanager
def _only_one(file: Path) -> Iterator[None]:
    """Be the only relay of its store and version, as long as it lives; one that is just ending is waited for."""
    lock = FileLock(file.with_suffix(".serves"), timeout=END_S + 1, mode=0o600)
    try:
        private(file.parent)
        lock.acquire(poll_interval=0.02)
    except Timeout:
        raise RelayError("another relay of this store is starting, or does not end; `nbstream relay --stop`") from None
    except OSError as exc:
        raise _no_place(file, exc) from exc
    try:
        yield
    finally:
        lock.release()


def _no_place(file: Path, exc: OSError) -> RelayError:
    return RelayError(f"{file} cannot be written ({exc}); set JUPYTER_RUNTIME_DIR to a writable place")


def allow_connections() -> None:
    """Let this process open as many files as it may: the usual soft limit of 1024 is below what it serves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Relay:
    def __init__(self, store: DiskStore, exit_after_s: float) -> None:
        self._directory = store.directory
        self._service = Service(store)
        self._exit_after_s = exit_after_s
        self._over = threading.Event()
        #: No call begins any more.
        self._draining = False

    def run(self, listener: socket.socket, allow_hosts: tuple[str, ...]) -> int:
        """Serve on *listener* until it is over; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._over.set())
        sys.stderr = Redacted(sys.stderr, self._service.secrets)
        host, port = listener.getsockname()[:2]
        address = our_address(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        app = make_app(
            self._service, token=address.token, port_of=lambda: port, allow_hosts=allow_hosts,
            draining=lambda: self._draining,
        )  # fmt: skip
        server = Server(server_config(app))
        serving = runtime().submit(server.serve(sockets=[listener]))
        serving.add_done_callback(lambda _: server.ready.set())
        serving.add_done_callback(lambda _: self._over.set())
        try:
            server.ready.wait()
            self._publish(address)
            watching = runtime().submit(self._watch(app.activity, address))
            watching.add_done_callback(lambda _: self._over.set())
            # The first call needs it; imported only then, it would hold up the loop.
            import nbstream.sources.http.answer  # noqa: F401

            self._over.wait()
            if watching.done():
                watching.result()  # an error of ours ends the relay, and is told
        finally:
            self._draining = True
            withdraw(address, self._directory)
            # A daemon: it strikes only if something hangs. What is on disk by then is safe.
            late = threading.Timer(END_S, os._exit, (1,))
            late.daemon = True
            late.start()
            runtime().leave()  # first, so that readers are sent the recorders' last words
            server.should_exit = True
            serving.result()
        return 0

    def _publish(self, address: Address) -> None:
        file = runtime_file(self._directory)
        try:
            private(file.parent)
            publish(address, self._directory)
        except OSError as exc:
            raise _no_place(file, exc) from exc
        say(f"nbstream relay of {self._directory}: {address.url}, token in {file}")

    async def _watch(self, activity: Activity, address: Address) -> None:
        """Return when nobody has needed this relay for long enough."""
        log = runtime_file(self._directory).with_suffix(".log")
        while time.monotonic() - activity.last_used < self._exit_after_s:
            await asyncio.sleep(min(LOOK_S, self._exit_after_s / 4))
            if self._service.busy or activity.readers:
                activity.touch()
            _shorten(log)
            if find(self._directory) is None:
                await asyncio.to_thread(self._publish, address)  # somebody removed its file
        self._draining = True  # here, on the loop: nobody is let in between


class Server(uvicorn.Server):
    """Says when it serves. Signals are the main thread's, where this never runs."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        self.ready.set()


class Redacted(io.TextIOBase):
    """A text stream that keeps keys out of what is written to it: a log of complaints is a file."""

    def __init__(self, stream: TextIO, redact: Callable[[str], str]) -> None:
        self._stream, self._redact = stream, redact

    def write(self, text: str) -> int:
        """Write *text* without any key this process was given."""
        self._stream.write(self._redact(text))
        return len(text)

    def flush(self) -> None:
        """Write what is waiting."""
        self._stream.flush()


def say(line: str) -> None:
    """Say *line* to whoever started us, and nothing more: then nobody has to listen."""
    with suppress(OSError):  # who started us has gone
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _shorten(log: Path) -> None:
    """Empty our own log when it is too long; whoever started us by hand has another one, and keeps it."""
    with suppress(OSError):
        found = os.fstat(2)
        if found.st_size > LOG_BYTES and os.path.samestat(found, log.stat()):
            os.ftruncate(2, 0)  # it is opened to append: the next line is the first
