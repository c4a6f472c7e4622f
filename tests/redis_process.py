"""A real redis-server of the tests: on 127.0.0.1, with a directory of its own, ended by its process."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count

import pytest
import redis

PATIENCE_S = 20.0


class RedisProcess:
    """
    A Redis to kill, stop and start again on the same port and files.

    *settings* are those of redis.conf: `appendonly="yes"`. Without any it keeps nothing over a restart. *files*: it
    begins with a copy of them.
    """

    def __init__(self, files: str | None = None, **settings: str) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("no redis-server found: `make redis`")
        self._program, self._settings = program, {"save": "", "appendonly": "no", **settings}
        self._directory = tempfile.mkdtemp(prefix="nbstream-redis-")
        if files is not None:
            shutil.copytree(files, self._directory, dirs_exist_ok=True)
        self._numbers = count()
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def url(self, *, user: str = "") -> str:
        """Return the address of an empty store."""
        return f"redis://{user}127.0.0.1:{self.port}/0?prefix=test{next(self._numbers)}:"

    def client(self) -> redis.Redis:
        """Return a plain client."""
        return redis.Redis(port=self.port, password=self._settings.get("requirepass"), protocol=2)

    def on_disk(self) -> RedisProcess:
        """Return another one that has what this one has on its disk by now, as if this one had crashed."""
        return RedisProcess(self._directory, **self._settings)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        settings = [part for name, value in self._settings.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._directory, *settings],
            stdout=subprocess.DEVNULL,
        )
        with self.client() as client:
            until = time.monotonic() + PATIENCE_S
            while True:
                assert self.process.poll() is None, "redis-server has ended"
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    assert time.monotonic() < until, "redis-server does not answer"
                    time.sleep(0.01)

    def kill(self) -> None:
        """End the process as a crash does."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Let it say nothing: connections stand, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End the pause."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it for good and remove what it kept."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
