"""
What every store promises. Memory, disk and redis pass one suite (tests/contract).

A stream is an append-only log of records with dense offsets 0, 1, 2 ... One writer appends; everybody else asks what
comes after an offset. Signals only say "look again": a lost, doubled or late one is harmless.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from concurrent.futures import Future

    from nbstream.errors import LogError
    from nbstream.records import Close, Open, Record


class Log(Protocol):
    """The log of one stream. Safe to use from any thread."""

    @property
    def stream(self) -> str:
        """Id of the stream."""

    def submit(self, offset: int, record: Record) -> Future[None]:
        """
        Hand *record* over to be stored at *offset*; returns at once.

        The future is done once the record is stored (survives SIGKILL on disk). It fails with `Fenced` unless *offset*
        is right behind the tail, with `StoreFull` when the store cannot be written (nothing of the record was stored;
        submitting it again is right), with `StreamGone` when the stream was deleted. Records submitted in order by one
        thread are stored in order; after one fails, those submitted behind it fail too: as `Fenced`, or as `StoreFull`
        if they were in the same transaction. A future cancelled before its turn is as if it had never been submitted.

        An `open` under another key than the stream's moves the stream to that key, unless it names another stream.
        """

    def append(self, offset: int, record: Record) -> None:
        """Store *record* at *offset* and wait until it is stored: `submit(...).result()`."""

    def read(self, after: int = -1, *, limit: int = 1000) -> list[Record]:
        """
        Return up to *limit* records with offsets greater than *after*, oldest first.

        Offsets are dense: item i has offset `after + 1 + i`. An empty list means "nothing yet", unless the last record
        read was `close(complete)`. Raises `StreamGone` when the stream has expired or was deleted, so that no reader
        waits for ever; `LogDamaged` when the first wanted record is unreadable (a damaged record further on ends the
        list before it).
        """

    def tail(self) -> int:
        """Return the offset of the last record, -1 for none. Raises `StreamGone`."""

    def wait(self, after: int, timeout_s: float) -> bool:
        """
        Block until there is a record behind *after* (True) or *timeout_s* seconds are over (False).

        Raises `StreamGone` when the stream is deleted meanwhile.
        """

    def subscribe(self, look: Callable[[], None]) -> Callable[[], None]:
        """
        Call *look* (from any thread, must not block) when something was appended, a stop requested, the stream deleted.

        Appends by other processes are noticed within 250 ms. Returns the function that ends the subscription; a call
        that is already on its way may still arrive after it.
        """


class Want(NamedTuple):
    """What somebody wants to read of a log; see `Log.read`."""

    log: Log
    after: int
    limit: int


class Lock(Protocol):
    """The writer's hold on one stream; the operating system ends it with the process."""

    def release(self) -> None:
        """Let go; doing so twice is harmless."""


class Started(NamedTuple):
    """
    What `Store.start` did.

    With a lock the caller is the writer of a new stream whose `open` is record 0; without one somebody else set the key
    first, and `log` is theirs.
    """

    log: Log
    lock: Lock | None


@dataclass(frozen=True, slots=True)
class Status:
    """One stream as the store sees it. Times are seconds since the epoch."""

    stream: str
    #: The last `open` (the first one, if that is damaged) and the offset of the last.
    open: Open
    opened: int
    tail: int
    #: The last record, if it is a `close` and can be read.
    close: Close | None
    #: A writer holds the stream's lock.
    live: bool
    #: A stop row stands for the last `open`, for the whole stream.
    stop_requested: bool
    created: float
    #: Last `open`, `close` or display; retention counts from here.
    touched: float

    @property
    def state(self) -> State:
        """
        The state at rest, or `streaming` while a writer lives (only the writer knows it finer).

        `open` without `close` and without a live writer is *stopped* if a stop row stands for it, else *interrupted*.
        """
        if self.close is not None:
            return State(self.close.how)
        if self.live:
            return State.STREAMING
        return State.STOPPED if self.stop_requested else State.INTERRUPTED

    @property
    def left(self) -> bool:
        """Whether its writer went in the middle, or as its last deed; nobody has it now, and it is not to stop."""
        return not (self.live or self.stop_requested or (self.close is not None and self.close.says_why))

    @property
    def has_text(self) -> bool:
        """Whether anything was recorded besides `open` and `close`. A stream opened more than once counts as yes."""
        return self.opened > 0 or self.tail > (1 if self.close else 0)


class Store(Protocol):
    """
    Many streams, and the keys that name them.

    Safe to use from any thread. Every call may block, so none belongs on an event loop; only `Log.submit` and
    `request_stop` return at once.
    """

    def start(self, first: Open, *, replaces: str | None = None) -> Started:
        """
        Start stream `first.stream` under `first.key`, in one transaction.

        Succeeds only if the key names no stream, or *replaces*, at that moment; else the stream it names is returned
        without a lock. The lock is held before `first` can be read by anybody. Raises `StoreFull`, `Fenced` when the
        stream's id is in use, and `ValueError` for an id that is not 1 to 128 letters, digits, "-" and "_".
        """

    def find(self, key: str) -> str | None:
        """Return the stream that *key* names, or None. A deleted stream is not named."""

    def log(self, stream: str) -> Log:
        """Return the log of *stream*; raises `StreamGone`."""

    def read(self, wants: Sequence[Want]) -> builtins.list[builtins.list[Record] | LogError]:
        """Read several logs of this store at once: for each what its `Log.read` returns, or the error it raises."""

    def lock(self, stream: str) -> Lock | None:
        """
        Become the writer of *stream* (to append a further `open`), or None while another writer lives.

        Raises `StreamGone`.
        """

    def status(self, stream: str) -> Status:
        """
        Return one stream's status; raises `StreamGone`.

        A damaged last record counts as no close. Raises `LogDamaged` when it cannot be told what the stream is.
        """

    def list(self, *, key: Callable[[str], bool] | None = None) -> builtins.list[Status]:
        """
        Return every stream's status, newest first; damaged ones are left out.

        *key* keeps the streams whose key it accepts; it is asked before a log is touched, so that looking for the few
        of one notebook among thousands is cheap.
        """

    def left(
        self, *, key: Callable[[str], bool] | None = None, known: Container[tuple[str, int]] = ()
    ) -> builtins.list[Status]:
        """
        Return the streams that are `Status.left`, as `list`, for who goes on with what a dead writer left.

        *known* leaves out those whose (stream, tail) is in it. In Redis it is cheap however many streams have ended,
        and nothing is read of those that are known; the other stores look at all streams. Nothing is left for 6 s once
        Redis was restarted, and never a stream of which it has lost how it ended: that may have been a Stop.
        """

    def request_stop(self, stream: str, *, opened: int, agent: str | None = None) -> Future[None]:
        """
        Set the stop row for the `open` at offset *opened* (one agent, or all); idempotent, returns at once.

        The future is done when it is stored, fails with `StoreFull` or `StreamGone`. A later `open` is not touched.
        """

    def stop_requested(self, stream: str, *, opened: int, agent: str | None = None) -> bool:
        """Say whether a stop row stands for the `open` at *opened* (for *agent*, or for all); raises `StreamGone`."""

    def touch(self, stream: str) -> None:
        """Note that the stream is displayed now (retention counts from here). Raises `StreamGone`, `StoreFull`."""

    def touched(self, streams: Sequence[str]) -> dict[str, float]:
        """Return when each of *streams* was touched last, see `Status.touched`; those that are gone are left out."""

    def delete(self, stream: str) -> None:
        """Remove a stream whole, its key and rows too. A live one is refused with `Fenced`; a missing one is fine."""

    def sweep(self, *, days: float = 30, now: float | None = None, asked: bool = False) -> builtins.list[str]:
        """
        Delete the streams not touched for *days*, never a live one; return their ids.

        *now* (seconds since the epoch) defaults to the clock. Does nothing when *now* is behind the last sweep's stamp
        or more than 7 days past it (a clock that jumped is no reason to delete); it then only sets the new stamp. A new
        store counts as just swept. With *asked* (a user said so) the clock is believed.
        """

    def size(self) -> int:
        """
        Return the bytes that all streams take, in memory or on disk, with all that is kept to find them.

        A disk keeps the room of what was deleted for what comes. In Redis it is exact up to 500 streams; of more it is
        an estimate, by 500 of them taken by chance.
        """

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    def close(self) -> None:
        """Write what is waiting and release everything, held locks too; further use raises `RuntimeError`."""
