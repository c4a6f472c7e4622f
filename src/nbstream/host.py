"""
The kernel as host of streams: starting, attaching, resuming, regenerating, from a source and a key to a stream.

`rerun` decides what running a cell again means; here it is done. Key -> stream is one compare-and-set, so of two that
start the same key at once the loser attaches and sends nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nbstream.errors import Fenced, LogDamaged, StoreFull, StreamGone
from nbstream.recorder import Recorder
from nbstream.recorder.progress import Progress
from nbstream.records import Open
from nbstream.rerun import Act, Ask, decide, left_behind
from nbstream.runtime import runtime
from nbstream.stream import Stream

if TYPE_CHECKING:
    from asyncio import Semaphore
    from collections.abc import Callable

    from nbstream.log.contract import Lock, Log, Status, Store
    from nbstream.records import Intent
    from nbstream.runtime import Runtime
    from nbstream.sources.contract import Source

#: Tries to win the key before giving up: each loss means that somebody else made progress.
TRIES = 8

#: How often expired streams are looked for.
SWEEP_EVERY_S = 86_400.0

#: How long a call that is being stopped is waited for.
END_S = 5.0

#: Sources are kept for Resume and Regenerate: they can hold what is not saved, like the user's headers.
KEPT = 256

_seen: set[str] = set()
#: The moment of each store's last sweep.
_swept: WeakKeyDictionary[Store, float] = WeakKeyDictionary()
_sources: OrderedDict[str, Source] = OrderedDict()
#: Guards all of these.
_memory = threading.Lock()


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of silence that stall a stream: before the first output, and between outputs."""

    first_s: float = 120.0
    idle_s: float = 60.0


class KernelHost:
    """
    Records in this process, into *store*. Streams hold their host: it knows how they go on.

    *scope*: the notebook, whose calls share the slots.
    """

    def __init__(self, store: Store, scope: str, limits: Limits) -> None:
        self.store, self.scope, self.limits = store, scope, limits

    @property
    def runtime(self) -> Runtime:
        """The runtime at work."""
        return runtime()

    def launch(self, source: Source, key: str, ask: Ask) -> Stream:
        """Do what running the cell under *key* means: start, attach, resume, or show what is saved."""
        store = self.store
        _sweep_daily(store)
        with _memory:
            others = _seen - {key}
            ask = replace(ask, first_run=ask.first_run and key not in _seen)
            _seen.add(key)
        for _ in range(TRIES):
            named = store.find(key)
            if named is None and ask.replay:
                msg = "nothing is saved under this cell; without --replay it asks"
                raise StreamGone(msg)
            if named is None and ask.offers and ask.first_run and not ask.fresh:
                left = _left_behind(store, key, ask, others)
                if left is not None:
                    return Stream(self, store.log(left.stream), offered_to=key)
            found, act = self._look(named, _unless_shown(ask, named))
            if found is not None and act in (Act.ATTACH, Act.SAVED):
                if act is Act.SAVED:
                    runtime().painted(found.stream)
                return self.open(found.stream, from_store=act is Act.SAVED)
            if found is not None and act is Act.RESUME:
                return self._resume(source, found, key)
            if named is not None and act is Act.REPLACE:
                self._stop_and_wait(named)
            stream = self._begin(source, _open(new_id(), key, "new", source), named)
            if stream is not None:
                return stream
        raise _contested(key)

    def open(self, stream: str, *, from_store: bool = False) -> Stream:
        """Return a stream that exists; it counts as displayed. *from_store*: as it is saved, without a call."""
        with suppress(StoreFull):  # it is shown all the same
            self.store.touch(stream)
        return Stream(self, self.store.log(stream), from_store=from_store)

    def resume(self, stream: Stream) -> Stream:
        """Go on behind the last record; attaches when somebody already does. It is one answer to a stall, too."""
        recorder = self._recorder(stream.id)
        if recorder is not None:
            runtime().call(recorder.reconnect)  # which changes nothing unless it is stalled
            return stream
        if not stream.resumable:
            return self.open(stream.id, from_store=True)
        found = self.store.status(stream.id)
        return self._resume(_source_of(found), found, stream.offered_to or found.open.key)

    def regenerate(self, stream: Stream) -> Stream:
        """Ask the question anew: a new stream that names the old one as its parent, and takes its key."""
        old = self.store.status(stream.id)
        source, key = _source_of(old), stream.offered_to or old.open.key
        if runtime().recorder(stream.id) is not None:
            self._stop_and_wait(stream.id)
        for _ in range(TRIES):
            named = self.store.find(key)
            _, act = self._look(named, Ask(source.fingerprint, fresh=True))
            if named is not None and act is Act.REPLACE:
                self._stop_and_wait(named)
            new = self._begin(source, _open(new_id(), key, "regenerate", source, parent=stream.id), named)
            if new is not None:
                return new
        raise _contested(key)

    def _look(self, named: str | None, ask: Ask) -> tuple[Status | None, Act]:
        """Decide about the stream that a key names; its status is None when it cannot and need not be known."""
        held_here = named is not None and self._recorder(named) is not None
        try:
            found = self.store.status(named) if named is not None else None
        except (LogDamaged, StreamGone):  # gone just now, that is
            if not ask.anew:
                raise
            return None, Act.REPLACE if held_here else Act.NEW
        return found, decide(found, ask, held_here=held_here)

    def _begin(self, source: Source, first: Open, replaces: str | None) -> Stream | None:
        """Start the stream of *first* and its call; None when its key names something else than *replaces* by now."""
        started = self.store.start(first, replaces=replaces)
        if started.lock is None:
            return None
        self._record(started.log, source, started.lock, Progress(tail=0, opens=1))
        return self.open(first.stream)

    def _resume(self, source: Source, found: Status, key: str) -> Stream:
        log, lock = self.store.log(found.stream), self.store.lock(found.stream)
        if lock is None and found.close is not None:
            self._recorder(found.stream)  # behind its `close` a writer holds on for a moment
            lock = self.store.lock(found.stream)
        if lock is None:
            return self.open(found.stream)  # somebody else goes on with it already
        try:
            progress = Progress.of(log)
            status = self.store.status(found.stream)
            final = status.close is not None and status.close.how == "complete"
            if final or not (progress.cursor is not None or source.replayable or not progress.shown):
                lock.release()
                return self.open(found.stream, from_store=True)
            again = _open(found.stream, key, "resume", source)
            log.append(progress.tail + 1, again)
            progress.add(again)
        except BaseException:
            lock.release()
            raise
        self._record(log, source, lock, progress)
        return self.open(found.stream)

    def _record(self, log: Log, source: Source, lock: Lock, progress: Progress) -> None:
        if source.fingerprint is not None:
            _keep(log.stream, source)  # a used-up object can do nothing more

        def make(changed: Callable[[], None], slots: Semaphore) -> Recorder:
            return Recorder(
                self.store, log, source, lock, progress,
                first_s=self.limits.first_s, idle_s=self.limits.idle_s, changed=changed, slots=slots,
                attended=lambda: runtime().attended(log.stream),
            )  # fmt: skip

        runtime().record(log.stream, self.scope, make)

    def _recorder(self, stream: str) -> Recorder | None:
        """Return the recorder of *stream* at work here, once one that is about to end has ended."""
        recorder = runtime().recorder(stream)
        if recorder is not None:
            heard = threading.Event()
            runtime().call(heard.set)  # behind a Stop that is still on its way
            heard.wait(END_S)
            if recorder.ending or self.store.stop_requested(stream, opened=recorder.opened):
                _wait_for_end(stream, recorder)
        return runtime().recorder(stream)

    def _stop_and_wait(self, stream: str) -> None:
        """Stop *stream* for good: its upstream is closed before the new call is made."""
        recorder = runtime().recorder(stream)
        if recorder is not None:
            runtime().call(recorder.stop)
        with suppress(LogDamaged):  # then nobody can resume it
            Stream(self, self.store.log(stream)).stop()
        if recorder is not None:
            _wait_for_end(stream, recorder)


def _wait_for_end(stream: str, recorder: Recorder) -> None:
    """Wait until *recorder* has left the runtime; not for ever, a full disk may keep it."""
    moved = threading.Event()
    end = runtime().subscribe(stream, moved.set)
    until = time.monotonic() + END_S
    try:
        while runtime().recorder(stream) is recorder and (left := until - time.monotonic()) > 0:
            moved.wait(left)
            moved.clear()
    finally:
        end()


def _unless_shown(ask: Ask, named: str | None) -> Ask:
    """
    Take a run for the first one where no page has painted the whole answer yet.

    A page that was reloaded before its notebook was saved has lost the output: whoever runs the cell again wants to see
    what was answered meanwhile, not to pay for it twice.
    """
    unseen = ask.offers and named is not None and not runtime().was_painted(named)
    return replace(ask, first_run=True) if unseen else ask


def _contested(key: str) -> Fenced:
    return Fenced(f"other kernels keep starting streams under the same key ({key}); give this one its own with key=")


def _keep(stream: str, source: Source) -> None:
    with _memory:
        _sources[stream] = source
        _sources.move_to_end(stream)
        if len(_sources) > KEPT:
            _sources.popitem(last=False)


def _source_of(found: Status) -> Source:
    known = _sources.get(found.stream)
    if known is not None:
        return known
    from nbstream.sources import from_spec

    return from_spec(found.open.source)


def new_id() -> str:
    """Return an unguessable stream id that begins with its time of birth, for people who read it."""
    return time.strftime("%m%d-%H%M-") + secrets.token_urlsafe(12).replace("_", "a").replace("-", "b").lower()


def _sweep_daily(store: Store) -> None:
    """Delete what has expired, in the background: with the first stream of this process, and once a day after."""
    now = time.monotonic()
    with _memory:
        if now < _swept.get(store, -SWEEP_EVERY_S) + SWEEP_EVERY_S:
            return
        _swept[store] = now
    runtime().submit(asyncio.to_thread(store.sweep))


def _left_behind(store: Store, key: str, ask: Ask, seen: set[str]) -> Status | None:
    """Return what was left interrupted elsewhere and may be offered to *key*; nothing that ran in this kernel is."""
    scope, name, _ = json.loads(key)

    def near(other: str) -> bool:
        other_scope, other_name, _ = json.loads(other)
        return other not in seen and (other_scope == scope or other_name == name)

    found = store.list(key=near)
    return next((one for one in found if left_behind(one, key, ask, exists=lambda path: Path(path).exists())), None)


def _open(stream: str, key: str, intent: Intent, source: Source, parent: str | None = None) -> Open:
    return Open(
        stream=stream, key=key, intent=intent, source={**source.spec, "replayable": source.replayable},
        fingerprint=source.fingerprint or "", writer=f"pid {os.getpid()}", host=platform.node(), boot=_boot(),
        at=time.time(), parent=parent,
    )  # fmt: skip


@lru_cache
def _boot() -> str:
    """Return what tells one boot of this machine from the next (Linux; elsewhere the lock alone decides)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
