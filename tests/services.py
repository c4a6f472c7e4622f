"""Relays for many users, as processes of their own: their files, their tokens, what they say."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from urllib.parse import urlsplit

from nbstream.relay.hub.tokens import make_token
from nbstream.wire.sse import SSEParser

NBSTREAM = [sys.executable, "-m", "nbstream"]
PATIENCE_S = 20.0
#: What stands in the environment of every relay here, and may be nowhere else.
CANARY = "sk-canary-of-the-server-5b1f9e7c2a"


def lines_of_token(user, scopes=("read", "start", "stop"), **limits):
    """Return a token and its lines for the file."""
    token, lines = make_token(user, scopes)
    return token, lines + "".join(f"{name} = {value}\n" for name, value in limits.items())


def upstream(url, *, key=True, **more):
    """Return an entry for the file of upstreams."""
    fields = {"url": url, **({"key_env": "CANARY_KEY"} if key else {}), **more}
    return "[[upstream]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


class ServiceRelay:
    """One relay process; a context manager. *files* are the contents of `tokens.toml` and `upstreams.toml`."""

    def __init__(self, place, files, *options, store=None, tls=None, name="relay"):
        place.mkdir(parents=True, exist_ok=True)
        self.tokens, self.upstreams = place / "tokens.toml", place / "upstreams.toml"
        for file, text in zip((self.tokens, self.upstreams), files, strict=True):
            file.write_text(text, "utf-8")
            file.chmod(0o600)
        self.log = place / f"{name}.log"
        self.store = store or place / "store"
        self.tls = tls
        self.readers = []
        given = ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])] if tls else []
        self.command = [
            *NBSTREAM, "relay", "--bind", "127.0.0.1:0", "--store", str(self.store), "--tokens", str(self.tokens),
            "--upstreams", str(self.upstreams), *given, *options,
        ]  # fmt: skip

    def __enter__(self):
        environment = {**os.environ, "CANARY_KEY": CANARY}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command, env=environment, stdout=subprocess.PIPE, stderr=log)
        said = self.process.stdout.readline().decode()
        assert "http" in said, self.log.read_text()
        self.url = said.split()[-1]
        self.port = urlsplit(self.url).port
        return self

    def __exit__(self, *_):
        for reader in self.readers:
            reader.close()
        self.kill()

    def kill(self):
        """End it as a crash does; enter it again to start it again."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()

    def end(self, number=signal.SIGTERM):
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def lines(self, event=None):
        """Return what stands in its log by now; every line of it is JSON."""
        found = [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]
        return [one for one in found if event in (None, one["event"])]

    def connection(self):
        """Return a connection of one's own."""
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls[0])
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE_S, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(self, method, path, body=None, *, token=None, **headers):
        """Send one request; return the answer, read, with its `body` and `json`."""
        connection = self.connection()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, sent)
            answer = connection.getresponse()
            answer.body = answer.read()
            is_json = answer.getheader("content-type", "").startswith("application/json")
            answer.json = json.loads(answer.body) if is_json and answer.body else None
            return answer
        finally:
            connection.close()

    def start(self, url, *, token, **more):
        """Start a stream of *url*; return the answer."""
        return self.ask("POST", "/v1/streams", {"source": {"url": url, "format": "nbstream"}, **more}, token=token)

    def state(self, stream, *, token):
        """Return how a stream stands."""
        return self.ask("GET", f"/v1/streams/{stream}", token=token).json["state"]

    def text(self, stream, *, token):
        """Return all text of a stream by now."""
        page = self.ask("GET", f"/v1/streams/{stream}/records?after=-1", token=token).json
        return text_of(page["records"])

    def events(self, stream, *, token=None, after=-1, more="", **headers):
        """Return a reader of the stream's events; *more* of its query, and headers."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        self.readers.append(
            Events(self, f"/v1/streams/{stream}/records?after={after}{more}", after, {**sent, **headers})
        )
        return self.readers[-1]


class Events:
    """Reads an event stream as it comes."""

    def __init__(self, relay, path, after, headers):
        self.connection = relay.connection()
        self.connection.request("GET", path, headers={"Accept": "text/event-stream", **headers})
        self.answer = self.connection.getresponse()
        self.raw, self.last, self.records, self._parser = b"", after, [], SSEParser()

    def step(self):
        """Read on; False at the end."""
        try:
            data = self.answer.read1(65536)
        except (OSError, http.client.HTTPException):
            return False
        self.raw += data
        for event in self._parser.feed(data):
            if event.event == "message":
                self.last = int(event.id)
                self.records.append(json.loads(event.data))
        return bool(data)

    def read(self, until):
        """Read until *until* holds; fails at the end."""
        while not until(self):
            assert self.step(), f"the stream ended after {self.raw[-300:]!r}"

    @property
    def text(self):
        return text_of(self.records)

    def close(self):
        self.answer.close()
        self.connection.close()


def text_of(records):
    """Return the text in records."""
    return "".join(
        part.get("text", "") for record in records for part in record.get("parts", ()) if part["kind"] == "text"
    )


def until(condition, within_s=PATIENCE_S):
    """Wait until *condition* holds and return what it returned."""
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.01)  # nothing tells when
    return found
