"""The relay as a service: bound to a network, for users with tokens, until it is told to end, and then calmly."""

from __future__ import annotations

import os
import signal
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nbstream.errors import RelayError
from nbstream.log.memory import MemoryStore
from nbstream.log.stores import open_store
from nbstream.monitor import Bounds, watch
from nbstream.relay.http.app import make_app
from nbstream.relay.http.connection import server_config
from nbstream.relay.http.limits import HTTPLimits
from nbstream.relay.hub.access import SharedAccess
from nbstream.relay.hub.journal import Journal, Requests
from nbstream.relay.hub.keeper import Keeper
from nbstream.relay.hub.tokens import Tokens
from nbstream.relay.hub.upstreams import Upstreams
from nbstream.relay.service import Service
from nbstream.relay.serving import END_S, Redacted, Server, allow_connections, listen_on, say
from nbstream.runtime import runtime
from nbstream.sources.http.fence import is_loopback
from nbstream.version import __version__

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from nbstream.log.contract import Store

#: Live streams of one relay, whoever's: each is a connection, a task and some memory.
MAX_LIVE: Final = 500
MAX_CONNECTIONS: Final = 5000
#: Above this much memory its streams warn.
RESIDENT_MB: Final = 2000
#: How often a relay that ends looks whether its streams have.
LOOK_S: Final = 0.1


@dataclass(frozen=True)
class Hub:
    """How to serve: where, from which files, and (seconds) how long live streams may go on behind a SIGTERM."""

    host: str
    port: int
    tokens: Path
    upstreams: Path
    store: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    allow_hosts: tuple[str, ...] = ()
    drain_s: float = 30.0


def serve(hub: Hub) -> int:
    """
    Be a relay for many users until a signal; returns the exit code.

    SIGTERM and SIGINT: no new calls, the live ones go on for `drain_s` at most; a second one ends that at once. SIGHUP:
    the files are read again (they are, too, when they change), not the certificate. Raises `StreamError` with one line
    when it cannot serve.
    """
    _check(hub)
    journal = Journal()
    journal.take_logs()  # what is to be said of the files is a line like others
    tokens, upstreams = Tokens(hub.tokens), Upstreams(hub.upstreams)
    with listen_on(hub.host, hub.port) as listener:
        store = open_store(hub.store)
        try:
            if isinstance(store, MemoryStore):
                raise RelayError("--store memory: a service needs a store that outlives it, a directory or redis://")
            allow_connections()
            watch(runtime(), Bounds(resident_mb=RESIDENT_MB))
            return _Relay(hub, store, tokens, upstreams, journal).run(listener)
        finally:
            runtime().close()
            store.close()


def _check(hub: Hub) -> None:
    """Refuse what would send tokens over a network for everybody to read, and a certificate that is none."""
    if (hub.tls_cert is None) != (hub.tls_key is None):
        raise RelayError("TLS needs both --tls-cert and --tls-key")
    if hub.tls_cert is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(hub.tls_cert, hub.tls_key)
        except (OSError, ssl.SSLError) as exc:
            raise RelayError(f"--tls-cert {hub.tls_cert}, --tls-key {hub.tls_key}: {exc.strerror or exc}") from exc
    elif not is_loopback(hub.host) and not hub.behind_proxy:
        raise RelayError(
            f"--bind {hub.host} without TLS sends tokens in the clear: give --tls-cert and --tls-key, or say"
            " --behind-proxy if a proxy in front has the certificate"
        )


class _Relay:
    def __init__(self, hub: Hub, store: Store, tokens: Tokens, upstreams: Upstreams, journal: Journal) -> None:
        self._hub, self._store, self._journal = hub, store, journal
        self._service = Service(store, max_live=MAX_LIVE, admit=upstreams.admit)
        self._service.know(upstreams.keys)
        journal.redact = self._service.secrets
        secure = hub.tls_cert is not None or hub.behind_proxy
        self._access = SharedAccess(tokens, store, journal, secure=secure)
        self._keeper = Keeper(self._service, self._access, tokens, upstreams, journal)
        self._over, self._now = threading.Event(), threading.Event()

    def run(self, listener: socket.socket) -> int:
        """Serve on *listener* until it is over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, lambda *_: setattr(self._keeper, "asked", True))
        sys.stderr = Redacted(sys.stderr, self._service.secrets)
        host, port = listener.getsockname()[:2]
        limits = HTTPLimits(connections=MAX_CONNECTIONS)
        app = make_app(
            self._service, access=self._access, port_of=lambda: port, allow_hosts=self._hub.allow_hosts,
            draining=self._over.is_set, limits=limits, report=self._journal.failed,
        )  # fmt: skip
        tls = (self._hub.tls_cert, self._hub.tls_key) if self._hub.tls_cert and self._hub.tls_key else None
        server = Server(server_config(app, around=lambda app: Requests(app, self._journal), tls=tls))
        serving = runtime().submit(server.serve(sockets=[listener]))
        serving.add_done_callback(lambda _: server.ready.set())
        serving.add_done_callback(lambda _: self._over.set())
        keeping = runtime().submit(self._keeper.run())
        keeping.add_done_callback(lambda _: self._over.set())
        try:
            server.ready.wait()
            scheme = "https" if tls else "http"
            shown = f"[{host}]" if ":" in host else host
            say(f"nbstream relay for users: {scheme}://{shown}:{port}")
            self._journal.note(
                "ready", version=__version__, pid=os.getpid(), host=host, port=port, tls=scheme == "https"
            )
            import nbstream.sources.http.answer  # noqa: F401 - the first call needs it, and must not wait for it

            self._over.wait()
            if keeping.done() and not keeping.cancelled():
                keeping.result()  # an error of ours ends the relay, and is told
            self._drain()
        finally:
            self._keeper.leaving = True
            late = threading.Timer(END_S, os._exit, (1,))
            late.daemon = True
            late.start()
            runtime().leave()  # interrupted, for another relay or the user to go on with
            server.should_exit = True
            serving.result()
            self._journal.note("ended")
        return 0

    def _end(self, *_: object) -> None:
        if self._over.is_set():
            self._now.set()
        self._over.set()

    def _drain(self) -> None:
        """Wait until the live streams have ended, for so long."""
        self._keeper.leaving = True
        self._journal.note("draining", live=len(runtime().recorders), drain_s=self._hub.drain_s)
        until = time.monotonic() + self._hub.drain_s
        while runtime().recorders and (left := until - time.monotonic()) > 0:
            if self._now.wait(min(left, LOOK_S)):
                return
