"""
The store in Redis, for several machines: every process that knows the address shares it.

What is done there is in `redis_scripts`, who may write in `redis_holds`. Nothing is kept in memory that a SIGKILL of
ours could take away; what a crash of Redis takes away is its own setting (`appendfsync`, docs/hub.md).
"""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from nbstream.errors import Fenced, LogDamaged, LogError, StoreFull
from nbstream.log import redis_looks as looks
from nbstream.log import redis_scripts as scripts
from nbstream.log import rows
from nbstream.log.contract import Lock, Started, Status, Want
from nbstream.log.life import is_dead
from nbstream.log.per_process import PerProcess
from nbstream.log.redis_log import Attached, RedisLog, read_logs
from nbstream.log.redis_scripts import Script, Write
from nbstream.log.retention import clock_is_sane, expired
from nbstream.records import Open, Record, decode, encode

#: Streams asked about in one script: others wait for some milliseconds.
CHUNK = 250
#: Streams of which a script says no more than a line.
PIECE = 1000
#: With more streams than that the size is an estimate.
SAMPLE = 500
#: Logs read in one: 8 MiB at the recorder's 16 KiB a record, 16 at first.
JOURNEY = 32


def open_redis_store(url: str, *, clock: Callable[[], float] = time.time) -> RedisStore:
    """
    Open the store in the Redis at *url*: `redis://`, `rediss://` (TLS) or `unix://`.

    `?prefix=NAME:` keeps it apart from other stores there. Raises `StoreFull` when Redis cannot be reached, refuses us
    or would evict keys, `LogDamaged` when what answers is no Redis, `ValueError` for what is no address.
    """
    return RedisStore(url, clock=clock)


class RedisStore:
    """A `Store` in Redis; made by `open_redis_store`."""

    def __init__(self, url: str, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._own = PerProcess(lambda: Attached(url, clock()))
        #: Where it lies, without user and password.
        self.address = self._here.server.address

    def __repr__(self) -> str:
        return f"<RedisStore {self.address}>"

    def start(self, first: Open, *, replaces: str | None = None) -> Started:
        """See `Store.start`."""
        here, stream, now = self._here, rows.stream_id(first.stream), self._clock()
        key, row, who = _text(first.key), encode(first), here.holds.who
        with here.holds.token() as token:
            try:
                answer = here.server.run(scripts.START, stream, key, replaces or "", token, row, repr(now), who)
            except StoreFull:
                here.holds.leave(stream, token)  # whether it was started is unknown
                raise
            if answer[0] == b"taken":
                raise rows.taken(stream)
            if answer[0] == b"named":
                return Started(self._log(answer[1].decode()), None)
            return Started(self._log(stream, noted=now), here.holds.hold(stream, token))

    def find(self, key: str) -> str | None:
        """See `Store.find`."""
        return self._here.server.run(looks.FIND, _text(key)).decode() or None

    def log(self, stream: str) -> RedisLog:
        """See `Store.log`."""
        log = self._log(stream)
        log.tail()
        return log

    def read(self, wants: Sequence[Want]) -> builtins.list[builtins.list[Record] | LogError]:
        """See `Store.read`."""
        found: builtins.list[builtins.list[Record] | LogError] = []
        for at in range(0, len(wants), JOURNEY):
            found += read_logs(self._here.server, wants[at : at + JOURNEY])
        return found

    def lock(self, stream: str) -> Lock | None:
        """See `Store.lock`."""
        here = self._settled
        with here.holds.token() as token:
            try:
                answer = _despite_dead(here, scripts.LOCK, stream, token, here.holds.who)
            except StoreFull:
                here.holds.leave(stream, token)
                raise
            if answer == b"gone":
                raise rows.gone(stream)
            return here.holds.hold(stream, token) if answer == b"ok" else None

    def status(self, stream: str) -> Status:
        """See `Store.status`."""
        (found,) = self._settled.server.run(looks.STATUS, stream)
        if not found:
            raise rows.gone(stream)
        return _status(stream, found)

    def list(self, *, key: Callable[[str], bool] | None = None) -> builtins.list[Status]:
        """See `Store.list`."""
        found = (stream for piece in self._index() for stream, one in piece if key is None or key(one))
        return self._list(builtins.list(dict.fromkeys(found)))

    def left(
        self, *, key: Callable[[str], bool] | None = None, known: Container[tuple[str, int]] = ()
    ) -> builtins.list[Status]:
        """See `Store.left`; nor is one returned of which Redis has lost how it ended."""
        alive: dict[str, bool] = {"": False}
        some: dict[str, None] = {}
        for piece in self._pieces(looks.BEGUN, CHUNK):
            for stream, one, beats, count in piece:
                if beats not in alive:
                    alive[beats] = not is_dead(beats)
                if not alive[beats] and (key is None or key(one)) and (stream, count - 1) not in known:
                    some[stream] = None
        return [status for status in self._list(builtins.list(some)) if status.left]

    def _list(self, streams: builtins.list[str]) -> builtins.list[Status]:
        found = []
        for some in _chunks(streams, CHUNK):
            for stream, answer in zip(some, self._settled.server.run(looks.STATUS, *some), strict=True):
                if answer:  # not deleted meanwhile
                    with suppress(LogDamaged):  # not to be shown
                        found.append(_status(stream, answer))
        return sorted(found, key=lambda status: status.created, reverse=True)

    def request_stop(self, stream: str, *, opened: int, agent: str | None = None) -> Future[None]:
        """See `Store.request_stop`."""
        return self._here.submit(Write("stop", stream, "", _stop(opened, agent)))

    def stop_requested(self, stream: str, *, opened: int, agent: str | None = None) -> bool:
        """See `Store.stop_requested`."""
        answer: int = self._here.server.run(looks.STOPPED, stream, _stop(opened, None), _stop(opened, agent))
        if answer < 0:
            raise rows.gone(stream)
        return answer == 1

    def touch(self, stream: str) -> None:
        """See `Store.touch`."""
        if not self._here.server.run(scripts.TOUCH, stream, repr(self._clock())):
            raise rows.gone(stream)

    def touched(self, streams: Sequence[str]) -> dict[str, float]:
        """See `Store.touched`."""
        return {stream: float(touched) for stream, touched in self._touched(streams)}

    def delete(self, stream: str) -> None:
        """See `Store.delete`."""
        self._delete(stream)

    def sweep(self, *, days: float = 30, now: float | None = None, asked: bool = False) -> builtins.list[str]:
        """See `Store.sweep`."""
        when = self._clock() if now is None else now
        stamp = self._here.server.run(scripts.STAMP, repr(when))
        if not asked and not _is_sane(when, stamp):
            return []
        swept = []
        for piece in self._index():
            for stream, touched in self._touched([stream for stream, _ in piece]):
                with suppress(Fenced):  # live
                    # And asked again in the script: somebody may display it just now.
                    if expired(float(touched), now=when, days=days) and self._delete(stream, touched):
                        swept.append(stream)
        return swept

    def size(self) -> int:
        """See `Store.size`."""
        run = self._here.server.run
        number = int(run(looks.NUMBER))
        if number <= SAMPLE:
            return int(run(looks.SIZE, "0")) + self._size([stream for piece in self._index() for stream, _ in piece])
        some = [stream.decode() for stream in run(looks.SAMPLE, str(SAMPLE))]
        return int(run(looks.SIZE, "5")) + self._size(some) * number // max(1, len(some))

    def settings(self, pattern: str) -> dict[str, str]:
        """Return what Redis is set to, of the names that fit *pattern*; none where we may not ask."""
        return self._here.server.settings(pattern)

    @property
    def closed(self) -> bool:
        """See `Store.closed`."""
        return self._own.closed

    def close(self) -> None:
        """See `Store.close`."""
        self._own.close()

    @property
    def _here(self) -> Attached:
        """What this process holds of the store."""
        return self._own.here

    @property
    def _settled(self) -> Attached:
        """The same, behind what was let go of: for whoever asks which streams are live."""
        self._here.holds.settle()
        return self._here

    def _log(self, stream: str, *, noted: float = 0.0) -> RedisLog:
        return RedisLog(stream, lambda: self._here, self._clock, noted=noted)

    def _delete(self, stream: str, touched: str = "") -> bool:
        answer = _despite_dead(self._settled, scripts.DELETE, stream, touched)
        if isinstance(answer, list):
            raise rows.writer_lives(stream)
        if answer == b"ok":
            self._here.hub.signal(stream)
        return bool(answer == b"ok")

    def _pieces(self, script: Script, size: int) -> Iterator[Any]:
        """Return what a script says piece by piece of all streams: each that is there all the time, some twice."""
        here, cursor = self._settled, "0"
        while True:
            told = here.server.run(script, cursor, str(size)).decode("utf-8", "surrogateescape")
            cursor, piece = json.loads(told)
            yield piece or ()
            if cursor == "0":
                return

    def _index(self) -> Iterator[builtins.list[tuple[str, str]]]:
        """Return every stream and its key, in pieces."""
        for flat in self._pieces(looks.INDEX, PIECE):
            yield builtins.list(zip(flat[::2], flat[1::2], strict=True))

    def _touched(self, streams: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Return when each was touched, as it stands there, without those that are gone or of unknown age."""
        for some in _chunks(streams, PIECE):
            for stream, touched in zip(some, self._here.server.run(looks.TOUCHED, *some), strict=True):
                with suppress(ValueError):
                    float(touched)
                    yield stream, touched.decode()

    def _size(self, streams: builtins.list[str]) -> int:
        return sum(int(self._here.server.run(looks.SIZE, "0", *some)) for some in _chunks(streams, CHUNK))


def _despite_dead(here: Attached, script: Script, *args: str) -> Any:
    """Run a script that who holds the stream may forbid; not one whose process we see to be dead."""
    answer = here.server.run(script, *args, "")
    if isinstance(answer, list) and is_dead(answer[1].decode("ascii", "replace")):
        answer = here.server.run(script, *args, answer[0])
    return answer


def _chunks(streams: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (streams[at : at + size] for at in range(0, len(streams), size))


def _text(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _stop(opened: int, agent: str | None) -> str:
    """Return the name of a stop row; `*` is all agents, and an agent that is called "*" is only itself."""
    return f"stop:{opened}" + ("*" if agent is None else f":{agent}")


def _is_sane(now: float, stamp: bytes) -> bool:
    try:
        return clock_is_sane(now, float(stamp))
    except ValueError:
        return False  # nobody knows when it was swept


def _status(stream: str, found: builtins.list[Any]) -> Status:
    if len(found) == 1:
        raise LogDamaged(f"the entry of stream {stream} is another program's and was not touched; {rows.ANEW}")
    key, *numbers, beats, stops, count, opening, first, last = found
    try:
        opened, created, touched = int(numbers[0]), float(numbers[1]), float(numbers[2])
    except ValueError as exc:
        raise LogDamaged(f"the entry of stream {stream} is damaged or foreign ({exc}); {rows.ANEW}") from exc
    kept = {count - 1: last, 0: first, opened: opening}

    def record(offset: int) -> Record:
        if not kept[offset]:
            raise rows.missing(stream, offset)
        return decode(kept[offset], stream=stream, offset=offset)

    return rows.describe(
        stream,
        rows.Meta(key.decode("utf-8", "replace"), opened, created, touched),
        tail=count - 1,
        record=record,
        live=beats != b"" and not is_dead(beats.decode("ascii", "replace")),
        stop_requested=bool(stops),
    )
