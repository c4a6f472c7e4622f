"""
Starting, attaching, resuming, regenerating: from a source and a key to a stream.

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
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nbstream.errors import Fenced, StreamGone
from nbstream.recorder import Recorder
from nbstream.recorder.progress import Progress
from nbstream.records import Open
from nbstream.rerun import Act, decide, left_behind
from nbstream.runtime import runtime
from nbstream.stream import Stream

if TYPE_CHECKING:
    from asyncio import Semaphore
    from collections.abc import Callable

    from nbstream.log.contract import Lock, Log, Status, Store
    from nbstream.records import Intent
    from nbstream.rerun import Ask
    from nbstream.sources.contract import Source

#: Tries to win the key before giving up: each loss means that somebody else made progress.
TRIES = 8

#: How often expired streams are looked for.
SWEEP_EVERY_S = 86_400.0

_seen: set[str] = set()
#: id of a store (they live as long as the process) -> moment of its last sweep.
_swept: dict[int, float] = {}
_sources: dict[str, Source] = {}
_seen_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of silence that stall a stream: before the first output, and between outputs."""

    first_s: float = 120.0
    idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Setting:
    """Where streams are recorded, and how patiently. *scope*: the notebook, whose calls share the slots."""

    store: Store
    scope: str
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Launched:
    """A stream and what was done to get it."""

    stream: Stream
    act: Act


def launch(setting: Setting, source: Source, key: str, ask: Ask) -> Launched:
    """Do what running the cell means: start, attach, resume, or show what is saved."""
    store = setting.store
    _sweep_daily(store)
    with _seen_lock:
        others = _seen - {key}
        ask = replace(ask, first_run=ask.first_run and key not in _seen)
        _seen.add(key)
    for _ in range(TRIES):
        found = _found(store, key)
        if found is None and ask.replay:
            msg = "nothing is saved under this cell; without --replay it asks"
            raise StreamGone(msg)
        if found is None and ask.offers and ask.first_run and not ask.fresh:
            left = _left_behind(store, key, ask, others)
            if left is not None:
                return Launched(Stream(store, store.log(left.stream), runtime(), offered_to=key), Act.OFFER)
        act = decide(found, ask, held_here=found is not None and runtime().recorder(found.stream) is not None)
        if act in (Act.ATTACH, Act.SAVED) and found is not None:
            return Launched(_stream(store, found.stream, from_store=act is Act.SAVED), act)
        if act is Act.RESUME and found is not None:
            return Launched(_resume(setting, source, found), act)
        if act is Act.REPLACE and found is not None:
            _stop_and_wait(store, found)
        first = _open(new_id(), key, "new", source)
        started = store.start(first, replaces=found.stream if found else None)
        if started.lock is not None:
            _record(setting, started.log, source, started.lock, Progress(tail=0, opens=1))
            return Launched(_stream(store, first.stream), Act.NEW)
    msg = f"other kernels keep starting streams under the same key ({key}); give this one its own with key="
    raise Fenced(msg)


def resume(setting: Setting, stream: str, source: Source, *, key: str | None = None) -> Stream:
    """
    Go on behind the last record of *stream*; attaches when somebody already does. Resume is one answer to a stall.

    *key*: the key it was offered to, and is found under from now on.
    """
    recorder = runtime().recorder(stream)
    if recorder is not None:
        runtime().call(recorder.reconnect)
    return _resume(setting, source, setting.store.status(stream), key)


def regenerate(setting: Setting, stream: str, source: Source, *, key: str | None = None) -> Stream:
    """Ask the question of *stream* anew: a new stream that names it as its parent."""
    store = setting.store
    status = store.status(stream)
    if status.state.live:
        _stop_and_wait(store, status)
    first = _open(new_id(), key or status.open.key, "regenerate", source, parent=stream)
    started = store.start(first, replaces=store.find(first.key))
    if started.lock is not None:
        _record(setting, started.log, source, started.lock, Progress(tail=0, opens=1))
    return _stream(store, started.log.stream)


def source_of(stream: str) -> Source | None:
    """Return the source that this process used for *stream*."""
    return _sources.get(stream)


def new_id() -> str:
    """Return an unguessable stream id that sorts by time of birth only for people who read it: date, then chance."""
    return time.strftime("%m%d-%H%M-") + secrets.token_urlsafe(12).replace("_", "a").replace("-", "b").lower()


def _sweep_daily(store: Store) -> None:
    """Delete what has expired, in the background: with the first stream of this process, and once a day after."""
    now = time.monotonic()
    with _seen_lock:
        if now < _swept.get(id(store), -SWEEP_EVERY_S) + SWEEP_EVERY_S:
            return
        _swept[id(store)] = now
    runtime().submit(asyncio.to_thread(store.sweep))


def _left_behind(store: Store, key: str, ask: Ask, seen: set[str]) -> Status | None:
    """Return what was left interrupted elsewhere and may be offered to *key*; nothing that ran in this kernel is."""
    scope, name, _ = json.loads(key)

    def near(other: str) -> bool:
        other_scope, other_name, _ = json.loads(other)
        return other not in seen and (other_scope == scope or other_name == name)

    found = store.list(key=near)
    return next((one for one in found if left_behind(one, key, ask, exists=lambda path: Path(path).exists())), None)


def _found(store: Store, key: str) -> Status | None:
    stream = store.find(key)
    return store.status(stream) if stream is not None else None


def _stream(store: Store, stream: str, *, from_store: bool = False) -> Stream:
    store.touch(stream)
    return Stream(store, store.log(stream), runtime(), from_store=from_store)


def _resume(setting: Setting, source: Source, found: Status, key: str | None = None) -> Stream:
    store, log = setting.store, setting.store.log(found.stream)
    lock = store.lock(found.stream)
    if lock is None:
        return _stream(store, found.stream)  # somebody else goes on with it already
    try:
        progress = Progress.of(log)
        status = store.status(found.stream)
        final = status.close is not None and status.close.how == "complete"
        if final or not (progress.cursor is not None or source.replayable or not progress.shown):
            lock.release()
            return _stream(store, found.stream, from_store=True)
        again = _open(found.stream, key or found.open.key, "resume", source)
        log.append(progress.tail + 1, again)
        progress.add(again)
    except BaseException:
        lock.release()
        raise
    _record(setting, log, source, lock, progress)
    return _stream(store, found.stream)


def _record(setting: Setting, log: Log, source: Source, lock: Lock, progress: Progress) -> None:
    _sources[log.stream] = source

    def make(changed: Callable[[], None], slots: Semaphore) -> Recorder:
        return Recorder(
            setting.store, log, source, lock, progress,
            first_s=setting.limits.first_s, idle_s=setting.limits.idle_s, changed=changed, slots=slots,
            attended=lambda: runtime().attended(log.stream),
        )  # fmt: skip

    runtime().record(log.stream, setting.scope, make)


def _stop_and_wait(store: Store, found: Status) -> None:
    """Stop *found* for good: its upstream is closed before the new call is made."""
    old = _stream(store, found.stream)
    old.stop()
    old.wait(timeout=5)


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
