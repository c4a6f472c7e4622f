"""
The writers' holds on streams in Redis: who may write, for as long as his process gives a sign of life.

A hold is a token in the stream's entry. Its process beats every 2 s; without a beat for 6 s others may take the stream,
on the same machine as soon as they see that it is dead. Then the old token opens nothing any more, however long its
process slept.

A Redis that was restarted, or took another one's place, may have lost that a stream was let go of. Its process would
beat for it as long as it lives; so with its first beat there it says which of its holds are none.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress

from nbstream.errors import LogError, StoreFull
from nbstream.log.life import identity
from nbstream.log.redis_scripts import BEAT, RECKON, Write
from nbstream.log.redis_server import RedisServer

BEAT_S = 2.0
#: While Redis is out of reach: others may take over as soon as it is back.
AGAIN_S = 0.25
#: Holds looked at in one script.
PIECE = 1000


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
    *known* is which Redis it was so far (empty: nobody knows); *reckoned* is called behind what another one has lost.
    """

    def __init__(
        self, server: RedisServer, submit: Callable[[Write], Future[None]], known: str, reckoned: Callable[[], None]
    ) -> None:
        self._server, self._submit = server, submit
        self.known, self._reckoned = known, reckoned
        self._process = secrets.token_hex(8)
        #: Who beats, for others on this machine.
        self.who = identity()
        #: The number of the last token.
        self._last = 0
        self._lock = threading.Lock()
        #: Tokens of holds that are being asked for.
        self._asked: set[str] = set()
        self._held: dict[str, RedisLock] = {}
        #: What is being let go of.
        self._leaving: dict[Write, Future[None]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextmanager
    def token(self) -> Iterator[str]:
        """Give a token that no hold has had, to ask for one; `hold` and `leave` belong inside."""
        with self._lock:
            self._last += 1
            token = f"{self._process}.{self._last}"
            self._asked.add(token)
        try:
            yield token
        finally:
            with self._lock:
                self._asked.discard(token)

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
            # Never in neither: what was submitted before it is still to be written with its token.
            self._leave(Write("release", lock.stream, lock.token, ""))
            del self._held[lock.stream]

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
                self._meet(self._server.run(BEAT, self._process, self.who).decode())
            except LogError:
                pause_s = AGAIN_S
                continue
            pause_s = BEAT_S
            with suppress(RuntimeError):  # the store is being closed
                for write, future in list(self._leaving.items()):
                    if future.done():
                        self._leave(write)

    def _meet(self, server: str) -> None:
        """Put right what *server* says of our holds, if it is another Redis than before."""
        if self.known and server != self.known:
            with self._lock:
                upto = str(self._last)
                ours = dict.fromkeys((write.token for write in list(self._leaving)), "leaving")
                ours |= dict.fromkeys((*self._asked, *(lock.token for lock in self._held.values())), "held")
            cursor = "0"
            while True:
                told = (part for token in ours.items() for part in token)
                cursor = self._server.run(RECKON, self._process, upto, cursor, str(PIECE), *told).decode()
                if cursor == "0":
                    break
            with suppress(RuntimeError):  # the store is being closed
                self._reckoned()
        self.known = server
