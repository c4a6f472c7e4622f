"""
The relay's HTTP side on a real socket, over a real store into which the test itself writes.

What a recorder would do (start, stop, live status) is scripted; everything that reads, holds or describes is the
relay's own service.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections import defaultdict
from contextlib import contextmanager

import psutil
import uvicorn

from nbstream.records import Close, Delta, Open, Part
from nbstream.relay.http.app import make_app
from nbstream.relay.http.connection import server_config
from nbstream.relay.http.limits import HTTPLimits
from nbstream.relay.service import Service
from nbstream.wire.listening import stop_listening
from nbstream.wire.sse import SSEParser

TOKEN = "relay-token-of-these-tests-0123456789"
KEY = "sk-relay-1b9f7e20c4d8"
PATIENCE_S = 10.0


class ScriptedService(Service):
    """Reads, holds and describes like the relay's service; what it is told to do, it notes."""

    def __init__(self, store):
        super().__init__(store)
        self.asked = []
        self.error = None
        self.lives = {}
        self.looks = defaultdict(list)
        self._secrets[KEY] = None

    def start(self, ask):
        return self._note(("start", ask), (not ask.get("attach"), {"id": "s1", "state": "connecting", "offset": 0}))

    def resume(self, stream, ask):
        return self._note(("resume", stream, ask), {"id": stream, "state": "connecting", "offset": 0})

    def stop(self, stream, agent=None):
        self.store.log(stream)
        return self._note(("stop", stream, agent), {"id": stream, "state": "stopped", "offset": 0})

    def keep(self, stream, agent=None):
        return self._note(("keep", stream, agent), {"id": stream, "state": "streaming", "offset": 0})

    def drop(self, holder):
        self.asked.append(("drop", holder))
        super().drop(holder)

    def live(self, stream):
        return self.lives.get(stream)

    def subscribe(self, stream, look):
        end = self.store.log(stream).subscribe(look)
        self.looks[stream].append(look)

        def both():
            end()
            self.looks[stream].remove(look)

        return both

    def goes(self, stream, live):
        """Let the live status be *live* from now on."""
        self.lives[stream] = live
        for look in list(self.looks[stream]):
            look()

    def _note(self, what, answer):
        self.asked.append(what)
        if self.error is not None:
            raise self.error
        return answer


class Writer:
    """Writes one stream, as a recorder would."""

    def __init__(self, store, stream="s1"):
        first = Open(stream, f"key of {stream}", "new", {"kind": "demo"}, "fp", "relay", "host", "boot", 1.0)
        started = store.start(first)
        self.log, self.lock, self.next = started.log, started.lock, 1
        self.sequence = defaultdict(int)
        self.length = defaultdict(int)

    def part(self, text, agent="assistant", kind="text"):
        self.sequence[agent] += 1
        off = self.length[agent, kind]
        self.length[agent, kind] += len(text)
        return Part(kind, text, agent, self.sequence[agent], off)

    def submit(self, *parts):
        """Append one record of these parts, or of one text; returns the future."""
        parts = [self.part(part) if isinstance(part, str) else part for part in parts]
        return self._append(Delta(tuple(parts), at=2.0))

    def write(self, *parts):
        self.submit(*parts).result(PATIENCE_S)

    def close(self, how="complete"):
        self._append(Close(how, at=3.0)).result(PATIENCE_S)
        self.lock.release()

    def _append(self, record):
        self.next += 1
        return self.log.submit(self.next - 1, record)


class Relay:
    """The server, in a thread with a loop of its own; a context manager."""

    def __init__(self, store, *, draining=lambda: False, allow_hosts=(), **limits):
        self.store, self.service = store, ScriptedService(store)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.app = make_app(
            self.service, token=TOKEN, port_of=lambda: self.port, allow_hosts=allow_hosts, draining=draining,
            limits=HTTPLimits(**limits),
        )  # fmt: skip
        self.activity = self.app.activity
        self.server = uvicorn.Server(server_config(self.app))
        self.loop = asyncio.new_event_loop()
        self.complaints = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        until(lambda: self.server.started)
        return self

    def __exit__(self, *_):
        listening = [one for server in self.server.servers for one in server.sockets]
        asyncio.run_coroutine_threadsafe(stop_listening(listening), self.loop).result(PATIENCE_S)
        self.server.should_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        assert self.complaints == []

    def _run(self):
        self.loop.run_until_complete(self.server.serve(sockets=[self.socket]))
        for connection in tuple(self.server.server_state.connections):  # that outlived its patience
            connection.transport.abort()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def sockets(self):
        """Return how many connections the system says are open at this end."""
        found = psutil.Process().net_connections("tcp")
        return sum(one.laddr.port == self.port and one.status != psutil.CONN_LISTEN for one in found)

    def tasks(self):
        """Return how many tasks the server's loop has, without the one that counts."""

        async def count():
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(PATIENCE_S)

    def ask(self, method, path, body=None, *, token=TOKEN, **headers):
        """Send one request on a connection of its own; return the answer, read, with its `body` and `json`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            answer.body = answer.read()
            is_json = answer.getheader("content-type", "").startswith("application/json")
            answer.json = json.loads(answer.body) if is_json and answer.body else None
            return answer
        finally:
            connection.close()

    @contextmanager
    def events(self, path, **headers):
        """Open an event stream."""
        reader = EventReader(self.port, path, headers)
        try:
            yield reader
        finally:
            reader.close()

    def connect(self, data=b""):
        """Return a plain socket to the server, with *data* sent."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        client.sendall(data)
        return client

    def head(self, method, path, *headers):
        """Return the bytes of a request's head."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {TOKEN}"]
        return "\r\n".join([*lines, *headers, "\r\n"]).encode()


class EventReader:
    """A client of an event stream: reads when it is asked to, and keeps what it has read."""

    def __init__(self, port, path, headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream", **given}
        self.connection.request("GET", path, headers={name: value for name, value in sent.items() if value})
        self.answer = self.connection.getresponse()
        self.raw = b""
        self.events = []
        self._parser = SSEParser()

    def read(self, *, until):
        """Read on until *until* (which is given this reader) is true; fails at the end of the stream."""
        while not until(self):
            assert self.step(), f"the stream ended after {self.raw[-300:]!r}"
        return self

    def rest(self):
        """Read to the end of the stream."""
        while self.step():
            pass
        return self

    def step(self):
        data = self.answer.read1(65536)
        self.raw += data
        self.events += self._parser.feed(data)
        return bool(data)

    def of(self, name):
        """Return the data of the events of this name; records are `message`."""
        return [json.loads(event.data) for event in self.events if event.event == name]

    @property
    def records(self):
        return self.of("message")

    @property
    def ids(self):
        return [int(event.id) for event in self.events if event.event == "message"]

    def close(self):
        self.answer.close()
        self.connection.close()


def until(condition, within_s=PATIENCE_S):
    """Wait until *condition* holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.005)  # nothing tells when
