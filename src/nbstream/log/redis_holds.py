"""
The writers' holds on streams in Redis: who may write, for as long as his process gives a sign of life.

A hold is a token in the stream's entry. Its process beats every 2 s; without a beat for 6 s others may take the stream,
on the same machine as soon as they see that it is dead. Then the old token opens nothing any more, however long its
process slept.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from itertools import count

from nbstream.errors import LogError, StoreFull
from nbstream.log.life import identity
from nbstream.log.redis_scripts import BEAT, Write
from nbstream.log.redis_server import RedisServer

BEAT_S = 2.0
#: While Redis is out of reach: others may take over as soon as it is back.
AGAIN_S = 0.25


class RedisLock:
    """One hold."""

    def __init__(self, holds: Holds, stream: str, token: str) -> None:
        self._holds, self.stream, self.token = holds, stream, token

    def release(self) -> None:
        """See `Lock.release`; returns at once."""
        self._holds.release(self)


class Holds:
    """
    The holds of this process on streams of *server*. Safe to use from any thread.

    *submit* hands a write over to be done behind those that wait: a stream is let go of behind its last record.
    """

    def __init__(self, server: RedisServer, submit: Callable[[Write], Future[None]]) -> None:
        self._server, self._submit = server, submit
        self._process = secrets.token_hex(8)
        #: Who beats, for others on this machine.
        self.who = identity()
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._held: dict[str, RedisLock] = {}
        #: What is being let go of.
        self._leaving: dict[Write, Future[None]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def token(self) -> str:
        """Return a token that no hold has had."""
        return f"{self._process}.{next(self._numbers)}"

    def token_of(self, stream: str) -> str:
        """Return the token by which this process holds *stream*; empty if it does not."""
        held = self._held.get(stream)
        return held.token if held is not None else ""

    def hold(self, stream: str, token: str) -> RedisLock:
        """Note that *stream* is held by *token*, and beat from now on."""
        self._begin()
        with self._lock:
            lock = self._held[stream] = RedisLock(self, stream, token)
        return lock

    def release(self, lock: RedisLock) -> None:
        """Let go of *lock*; twice is harmless."""
        with self._lock:
            if self._held.get(lock.stream) is not lock:
                return
            del self._held[lock.stream]
        self.leave(lock.stream, lock.token)

    def leave(self, stream: str, token: str) -> None:
        """Take *token* from *stream*, if that has it; while Redis is out of reach it is tried again."""
        self._begin()
        self._leave(Write("release", stream, token, ""))

    def settle(self) -> None:
        """Wait until what was let go of is free, unless Redis is out of reach."""
        wait(list(self._leaving.values()))

    def release_all(self) -> None:
        """Let go of everything."""
        for lock in list(self._held.values()):
            self.release(lock)

    def close(self) -> None:
        """End the beat: what could not be let go of ends with it."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
            with suppress(LogError):
                self._server.forget_beat(self._process)

    def _leave(self, write: Write) -> None:
        future = self._leaving[write] = self._submit(write)

        def left(future: Future[None]) -> None:
            if not isinstance(future.exception(), StoreFull):
                self._leaving.pop(write, None)

        future.add_done_callback(left)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="nbstream-beat", daemon=True)
                self._thread.start()

    def _beat(self) -> None:
        pause_s = BEAT_S
        while not self._closed.wait(pause_s):
            try:
                self._server.run(BEAT, self._process, self.who)
            except LogError:
                pause_s = AGAIN_S
                continue
            pause_s = BEAT_S
            with suppress(RuntimeError):  # the store is being closed
                for write, future in list(self._leaving.items()):
                    if future.done():
                        self._leave(write)
