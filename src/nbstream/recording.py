"""Where recorders run: in this process (here), or in a relay. A host decides what is to be done, this does it."""

from __future__ import annotations

import os
import platform
import secrets
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nbstream.lease import Lease
from nbstream.log.bell import News
from nbstream.recorder import Recorder
from nbstream.recorder.continuation import continued
from nbstream.recorder.copying import check, take_over
from nbstream.recorder.plan import Plan, plan
from nbstream.recorder.progress import Progress
from nbstream.records import Open
from nbstream.runtime import runtime
from nbstream.sources.team import Team
from nbstream.state import State

if TYPE_CHECKING:
    from asyncio import Semaphore
    from collections.abc import Callable, Mapping

    from nbstream.log.contract import Lock, Log, Status, Store
    from nbstream.records import Intent
    from nbstream.sources.contract import Source

#: How long a recorder that is about to end is waited for: telling an upstream to end its call takes up to 5 s.
END_S = 8.0


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Seconds of silence that stall a stream, before the first output and between outputs.

    And seconds a stream goes on while nobody holds it.
    """

    first_s: float = 120.0
    idle_s: float = 60.0
    linger_s: float = 600.0
    #: What is cut and cannot be resumed is continued by a new generation, without being asked for.
    auto_continue: bool = False

    @property
    def unusual(self) -> dict[str, Any] | None:
        """Those that are not the usual ones."""
        return {name: value for name, value in asdict(self).items() if value != getattr(Limits, name)} or None


@dataclass(frozen=True, slots=True)
class Birth:
    """What a new stream is: its key, and the stream that was named by it until now (None: there was none)."""

    key: str
    intent: Intent = "new"
    parent: str | None = None
    replaces: str | None = None
    #: The id to give it; None: drawn by whoever records it.
    stream: str | None = None
    #: Of a team that is regenerated, the one agent that is asked anew: what the others said is taken from the parent.
    agent: str | None = None
    #: Which turn of a conversation it is; see `Open.turn`.
    turn: Mapping[str, Any] | None = None


class Recording(Protocol):
    """Where recorders run. Everything blocks."""

    def begin(self, source: Source, birth: Birth) -> str | None:
        """
        Start a stream and its call; return its id, None when its key names something else than `replaces` by now.

        The `open` is on disk before the first byte goes upstream.
        """

    def resume(self, source: Source, stream: str, key: str, agent: str | None = None, *, anew: bool = False) -> bool:
        """
        Go on behind the last record of *stream*, under *key*; of a team with *agent* only, or with all unfinished ones.

        True also if somebody else does so already; False when going on would repeat text or money: show what is saved.
        *anew*: a new generation goes on behind what *source* has said; raises `SourceRefused` where none can.
        """


class Here:
    """
    Recorders in this process.

    *held* says whether anybody holds a stream, *attended* whether somebody is there to answer a question about it;
    *writer* names this process in `open` records.
    """

    def __init__(
        self,
        store: Store,
        scope: str,
        limits: Limits,
        *,
        writer: str = "pid",
        held: Callable[[str], bool] | None = None,
        attended: Callable[[str], bool] | None = None,
        remark: str | None = None,
    ) -> None:
        self._store, self._scope, self._limits = store, scope, limits
        self._writer = f"{writer} {os.getpid()}"
        self._held = held or (lambda stream: runtime().held(stream))
        self._attended = attended or (lambda stream: runtime().attended(stream))
        self._remark = remark

    def begin(self, source: Source, birth: Birth) -> str | None:
        """See `Recording.begin`."""
        first = self._open(birth.stream or new_id(), birth.key, birth.intent, source, birth.parent)
        first, who = replace(first, turn=birth.turn), None
        if birth.agent is not None:
            first, who = replace(first, agent=birth.agent), Plan(frozenset({birth.agent}), frozenset())
            check(self._store, first)
        started = self._store.start(first, replaces=birth.replaces)
        if started.lock is None:
            return None
        progress = Progress(tail=0, opens=1, team=isinstance(source, Team))
        try:
            take_over(self._store, first, started.log, progress)
        except BaseException:
            started.lock.release()  # interrupted now: whoever resumes it takes over the rest
            raise
        self._record(started.log, source, started.lock, progress, who)
        return first.stream

    def resume(self, source: Source, stream: str, key: str, agent: str | None = None, *, anew: bool = False) -> bool:
        """See `Recording.resume`."""
        found = self._store.status(stream)
        log, lock = self._store.log(stream), self._store.lock(stream)
        if lock is None and found.close is not None:
            ended(self._store, stream)  # behind its `close` a writer holds on for a moment
            lock = self._store.lock(stream)
        if lock is None:
            return True  # somebody else goes on with it already
        try:
            progress = Progress.of(log)
            (first,) = log.read(limit=1)
            if isinstance(first, Open):
                take_over(self._store, first, log, progress)
            status = self._store.status(stream)
            final = status.close is not None and status.close.how == "complete"
            who = self._plan(source, progress, status, agent) if isinstance(source, Team) and not anew else None
            if anew and not final:
                source, goes_on = continued(source, log, progress), True
            elif who is not None:
                goes_on = bool(who.called) or status.close is None
            else:
                goes_on = progress.can_resume(replayable=source.replayable)
            if final or not goes_on:
                lock.release()
                return False
            again = self._open(stream, key, "continue" if anew else "resume", source, None)
            again = replace(again, turn=status.open.turn)
            if who is not None:  # made again from the log, a team may know less of its agents than the log does
                again = replace(again, source=status.open.source, fingerprint=status.open.fingerprint)
            log.append(progress.tail + 1, again)
            progress.add(again)
        except BaseException:
            lock.release()
            raise
        self._record(log, source, lock, progress, who)
        return True

    def _plan(self, team: Team, progress: Progress, status: Status, agent: str | None) -> Plan:
        def stopped(name: str) -> bool:
            return self._store.stop_requested(status.stream, opened=status.opened, agent=name)

        was_stopped = status.state is State.STOPPED
        return plan(team, progress, agent=agent, was_stopped=was_stopped, stopped=stopped)

    def _record(self, log: Log, source: Source, lock: Lock, progress: Progress, who: Plan | None = None) -> None:
        stream, limits = log.stream, self._limits
        lease = Lease(limits.linger_s, lambda: self._held(stream))

        def make(changed: Callable[[], None], slots: Semaphore) -> Recorder:
            return Recorder(
                self._store, log, source, lock, progress,
                first_s=limits.first_s, idle_s=limits.idle_s, changed=changed, slots=slots,
                attended=lambda: self._attended(stream), lease=lease, totals=runtime().totals,
                unhurried=lambda: runtime().unhurried(stream), plan=who, auto_continue=limits.auto_continue,
            )  # fmt: skip

        if self._remark:
            runtime().remark(stream, self._remark)
        runtime().record(stream, self._scope, make)

    def _open(self, stream: str, key: str, intent: Intent, source: Source, parent: str | None) -> Open:
        return Open(
            stream=stream, key=key, intent=intent, source={**source.spec, "replayable": source.replayable},
            fingerprint=source.fingerprint or "", writer=self._writer, host=platform.node(), boot=boot_id(),
            at=time.time(), parent=parent, limits=self._limits.unusual,
        )  # fmt: skip


def ended(store: Store, stream: str) -> bool:
    """Wait until a recorder of *stream* that is about to end has ended, wherever it is; return whether one goes on."""
    recorder = runtime().recorder(stream)
    if recorder is not None:
        heard = News()
        runtime().call(heard.tell)  # behind a Stop that is still on its way
        heard.wait(END_S)
        if recorder.ending or store.stop_requested(stream, opened=recorder.opened):
            _until(stream, lambda: runtime().recorder(stream) is not recorder)
        return runtime().recorder(stream) is not None
    status = store.status(stream)
    if status.live and (status.stop_requested or status.close is not None):
        _until(stream, lambda: not store.status(stream).live)
    return False


def wait_for_end(store: Store, stream: str) -> None:
    """Wait until nobody records *stream*; not for ever, a full disk may keep its recorder."""
    recorder = runtime().recorder(stream)
    if recorder is not None:
        _until(stream, lambda: runtime().recorder(stream) is not recorder)
    else:
        _until(stream, lambda: not store.status(stream).live)


def _until(stream: str, true: Callable[[], bool]) -> None:
    news = News()
    end = runtime().subscribe(stream, news.tell)
    until = time.monotonic() + END_S
    try:
        while not true() and (left := until - time.monotonic()) > 0:
            # Another process sends no signal.
            news.wait(min(left, 0.05))
    finally:
        end()


def new_id() -> str:
    """Return an unguessable stream id that begins with its time of birth, for people who read it."""
    return time.strftime("%m%d-%H%M-") + secrets.token_urlsafe(12).replace("_", "a").replace("-", "b").lower()


@lru_cache
def boot_id() -> str:
    """Return what tells one boot of this machine from the next (Linux; elsewhere the lock alone decides)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
