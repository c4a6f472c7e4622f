"""The log of one stream in Redis, and what one process holds of the store."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from itertools import chain
from typing import Any, Literal, cast

from nbstream.errors import Fenced, LogDamaged, LogError, RecordsLost, StoreFull
from nbstream.log import rows
from nbstream.log.contract import Want
from nbstream.log.hub import Hub
from nbstream.log.readback import one_by_one
from nbstream.log.redis_holds import Holds
from nbstream.log.redis_looks import COUNT, MARKS, READ
from nbstream.log.redis_scripts import FIRST_STAMP, WRITE, Write
from nbstream.log.redis_server import RedisServer
from nbstream.log.work_queue import WorkQueue
from nbstream.records import Close, Open, Record, decode, encode

#: Stop rows are remembered so long: a Redis that saves every second has lost no more than the last two.
STOPS_S = 30.0


class Attached:
    """A store in Redis, opened: for one process, since threads do not survive a fork."""

    def __init__(self, url: str, now: float) -> None:
        self.server = RedisServer(url)
        try:
            self.server.check()
            known = ""
            with suppress(StoreFull):  # what is saved can be read where there is no memory left, too
                known = self.server.run(FIRST_STAMP, repr(now)).decode()
        except BaseException:
            self.server.close()
            raise
        self.hub = Hub(self._changed)
        self._marks: dict[str, Any] = {}
        #: Stream, token and offset of the appends whose answer was lost: tried again, they may be found stored.
        self._unanswered: set[tuple[str, ...]] = set()
        #: Stop rows that were set of late, and when.
        self._stops: deque[tuple[float, Write]] = deque()
        self._queue: WorkQueue[Write] = WorkQueue(self._store, signal=self.hub.signal)
        self.holds = Holds(self.server, self.submit, known, self._stop_again)

    def submit(self, write: Write) -> Future[None]:
        """Hand *write* over; returns at once."""
        return self._queue.submit(write, stream=write.stream)

    def close(self) -> None:
        """Write what is waiting, then release everything."""
        self.holds.release_all()
        self._queue.close()
        self.holds.close()
        self.hub.close()
        self.server.close()

    def _store(self, group: list[Write]) -> list[tuple[Any, Exception | None]]:
        """Write what waits in one round trip."""
        args: list[str | bytes] = []
        for write in group:
            args += [*write, "1" if write[1:4] in self._unanswered else ""]
        try:
            answers = self.server.run(WRITE, *args)
        except LogError as exc:
            self._unanswered.update(write[1:4] for write in group)
            return [(None, exc) for _ in group]
        self._unanswered.difference_update(write[1:4] for write in group)
        self._remember_stops(group, answers)
        return [(None, _refused(write, answer)) for write, answer in zip(group, answers, strict=True)]

    def _remember_stops(self, group: list[Write], answers: list[Any]) -> None:
        now = time.monotonic()
        for write, answer in zip(group, answers, strict=True):
            if write.what == "stop" and _is_ok(answer):
                self._stops.append((now, write._replace(token=answer.decode().partition(" ")[2])))
        while self._stops and now - self._stops[0][0] > STOPS_S:
            self._stops.popleft()

    def _stop_again(self) -> None:
        """Set the stop rows again that Redis may have lost, each for the very `open` that it was meant for."""
        for at, write in list(self._stops):
            if time.monotonic() - at <= STOPS_S:
                self.submit(write)

    def _changed(self, streams: Collection[str]) -> Collection[str]:
        before = self._marks
        try:
            self._marks = dict(zip(streams, self.server.run(MARKS, *streams), strict=True))
        except LogError:
            self._marks = {}  # as soon as it is back, everybody looks again
            return ()
        return [stream for stream, mark in self._marks.items() if before.get(stream) != mark]


class RedisLog:
    """A `Log`; *here* returns what this process holds of the store, *noted* is when the stream was last touched."""

    def __init__(self, stream: str, here: Callable[[], Attached], clock: Callable[[], float], *, noted: float) -> None:
        self._stream = stream
        self._here = here
        self._clock = clock
        self._noted = noted
        #: Held from the question to the answer's check: of two answers the older one would look like a loss.
        self.reading = threading.Lock()
        #: The last record that was read here, and the last hold on the stream at that time.
        self._seen = -1
        self._hold = ""

    @property
    def stream(self) -> str:
        """See `Log.stream`."""
        return self._stream

    def submit(self, offset: int, record: Record) -> Future[None]:
        """See `Log.submit`."""
        row, here, now = encode(record), self._here(), self._clock()
        what: Literal["open", "delta", "end"] = "open" if isinstance(record, Open) else "delta"
        if isinstance(record, Close) and record.says_why:
            what = "end"
        touches = isinstance(record, (Open, Close)) or now - self._noted > rows.NOTE_EVERY_S
        if touches:
            self._noted = now
        write = Write(
            what, self._stream, here.holds.token_of(self._stream), str(offset), row,
            record.key.encode() if isinstance(record, Open) else b"", repr(now) if touches else "",
        )  # fmt: skip
        return here.submit(write)

    def append(self, offset: int, record: Record) -> None:
        """See `Log.append`."""
        self.submit(offset, record).result()

    def read(self, after: int = -1, *, limit: int = 1000) -> list[Record]:
        """
        See `Log.read`.

        Raises `RecordsLost` for ever once Redis has lost records that were read here: others may have taken their
        offsets. Who asks behind a record that is there has read it.
        """
        with self.reading:
            (answer,) = self._here().server.run(READ, *_asked(self._stream, after, limit))
            self.check(after, answer)
        return _records(self._stream, after, answer)

    def tail(self) -> int:
        """See `Log.tail`."""
        count: int = self._here().server.run(COUNT, self._stream)
        if count < 0:
            raise rows.gone(self._stream)
        return count - 1

    def wait(self, after: int, timeout_s: float) -> bool:
        """See `Log.wait`."""
        return self._here().hub.wait(self._stream, lambda: self.tail() > after, timeout_s)

    def subscribe(self, look: Callable[[], None]) -> Callable[[], None]:
        """See `Log.subscribe`."""
        return self._here().hub.subscribe(self._stream, look)

    def check(self, after: int, answer: list[Any]) -> None:
        """
        Raise `StreamGone`, or `RecordsLost` if something that was read here is no longer there; note what is read now.

        Who takes the stream writes behind everything that is there. So if there are fewer records now, or one who took
        it later began at or before what we had read, Redis has lost what we had.
        """
        if not answer:
            raise rows.gone(self._stream)
        holds, count, entries = answer[0].decode(), answer[1], answer[2]
        begins, tokens = holds.split()[::2], holds.split()[1::2]
        if self._seen >= 0:
            since = tokens.index(self._hold) + 1 if self._hold in tokens else 0
            left = min([count, *map(int, begins[since:])])
            if left <= self._seen:
                raise _lost(self._stream, left, self._seen)
        read = max(after, -1) + len(entries)
        self._seen, self._hold = max(self._seen, read if read < count else -1), tokens[-1] if tokens else ""


def read_logs(server: RedisServer, wants: Sequence[Want]) -> list[list[Record] | LogError]:
    """
    Read several logs in one journey, see `Store.read`; what is wanted twice is fetched and decoded once.

    The journey is the lesser part: behind each, the thread that reads waits until the loop lets the interpreter go.
    """
    logs = [cast("RedisLog", want.log) for want in wants]
    with ExitStack() as held:
        for log in sorted(set(logs), key=id):  # two who read several must not wait for each other
            held.enter_context(log.reading)
        asked = [_asked(want.log.stream, want.after, want.limit) for want in wants]
        places = dict.fromkeys(asked)
        try:
            answers = dict(zip(places, server.run(READ, *chain.from_iterable(places)), strict=True))
        except LogDamaged:
            answers = {}  # of one of them: which one, each tells for itself
        except LogError as exc:
            return [exc for _ in wants]
        records: dict[tuple[str, str, str], list[Record]] = {}
        found: list[list[Record] | LogError] = []
        for log, want, place in zip(logs, wants, asked, strict=True) if answers else ():
            try:
                log.check(want.after, answers[place])
                if place not in records:
                    records[place] = _records(log.stream, want.after, answers[place])
                found.append(records[place])
            except LogError as exc:
                found.append(exc)
    return found if answers else one_by_one(wants)


def _asked(stream: str, after: int, limit: int) -> tuple[str, str, str]:
    """Return the arguments of the script for one log."""
    return stream, f"{max(after, -1) + 2}-0", str(limit)


def _records(stream: str, after: int, answer: list[Any]) -> list[Record]:
    records: list[Record] = []
    for offset, entry in enumerate(answer[2], max(after, -1) + 1):
        try:
            records.append(_record(stream, offset, *entry))
        except LogDamaged:
            if not records:
                raise
            break  # the next read begins here and raises
    return records


def _record(stream: str, offset: int, at: bytes, fields: list[bytes]) -> Record:
    if at != b"%d-0" % (offset + 1):
        raise rows.missing(stream, offset)
    if len(fields) != 2 or fields[0] != b"r":
        raise rows.foreign(stream, offset)
    return decode(fields[1], stream=stream, offset=offset)


def _is_ok(answer: Any) -> bool:
    return isinstance(answer, bytes) and answer.partition(b" ")[0] == b"ok"


def _refused(write: Write, answer: Any) -> LogError | None:
    if _is_ok(answer):
        return None
    if answer == b"gone":
        return rows.gone(write.stream)
    if answer == b"foreign":
        return rows.foreign(write.stream, int(write.at))
    if isinstance(answer, int) and write.token:
        return Fenced(
            f"record {write.at} of stream {write.stream} was refused: the store ends before record {answer}. Redis was"
            " restarted and had not saved the rest (appendfsync); `%stream resume` goes on behind what is left"
        )
    return rows.not_behind_tail(write.stream, int(write.at))


def _lost(stream: str, left: int, seen: int) -> RecordsLost:
    return RecordsLost(
        f"stream {stream} is shorter than what was shown of it: Redis was restarted and has lost records {left} to"
        f" {seen} (appendfsync); run the cell again to go on behind what is left"
    )
