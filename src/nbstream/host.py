"""
The host of a notebook's streams: from a source and a key to a stream, by starting, attaching, resuming, regenerating.

`rerun` decides what running a cell again means; here it is done, by recorders in this process or in a relay. Key ->
stream is one compare-and-set, so of two that start the same key at once the loser attaches and sends nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from nbstream.errors import Fenced, LogDamaged, SourceRefused, StoreFull, StreamError, StreamGone
from nbstream.owner import owner_of_scope, owns, without_owner
from nbstream.recording import Birth, ended, wait_for_end
from nbstream.rerun import Act, Ask, decide, left_behind
from nbstream.runtime import runtime
from nbstream.sources.team import Team
from nbstream.state import State
from nbstream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.log.contract import Status, Store
    from nbstream.recording import Recording
    from nbstream.runtime import Runtime
    from nbstream.sources.contract import Source

#: Tries to win the key before giving up: each loss means that somebody else made progress.
TRIES = 8

#: How often expired streams are looked for.
SWEEP_EVERY_S = 86_400.0

#: Sources are kept for Resume and Regenerate: they can hold what is not saved, like the user's headers.
KEPT = 256

_seen: set[str] = set()
#: The moment of each store's last sweep.
_swept: WeakKeyDictionary[Store, float] = WeakKeyDictionary()
_sources: OrderedDict[str, Source] = OrderedDict()
#: Guards all of these.
_memory = threading.Lock()


class Reach(Protocol):
    """How this process reaches recorders elsewhere: relays."""

    def held_elsewhere(self, status: Status) -> bool:
        """Whether a relay records the stream and another process holds it there."""

    def recorded(self, status: Status) -> bool:
        """Whether a relay within reach records the stream."""

    def follow(self, stream: str) -> Callable[[], None]:
        """Hear of everything that happens to *stream* at once, its live status too; returns the end of that."""

    def press(self, status: Status, button: str, agent: str | None = None) -> None:
        """Let the relay that records a stream stop, keep or resume it; without one nothing happens."""


class Host:
    """
    Streams hold their host: it knows how they go on.

    *scope*: the notebook. *where* says where a source is recorded, *reach* how recorders elsewhere are reached. One
    that *remembers* knows which cells have run in this process: the second run of a complete one asks anew.
    *auto_continue*: a cell whose message was cut and cannot be resumed is continued when it runs again.
    """

    def __init__(
        self,
        store: Store,
        scope: str,
        where: Callable[[Source], Recording],
        reach: Callable[[], Reach | None] = lambda: None,
        *,
        remembers: bool = True,
        auto_continue: bool = False,
    ) -> None:
        self.store, self.scope, self._reach = store, scope, reach
        self._auto_continue = auto_continue
        self._remembers = remembers
        self._where = where

    @property
    def runtime(self) -> Runtime:
        """The runtime at work."""
        return runtime()

    @property
    def reach(self) -> Reach | None:
        """How recorders elsewhere are reached, by the runtime at work."""
        return self._reach()

    def mine(self, key: str) -> bool:
        """Whether a stream under *key* is this user's: in a store of one's own every one is."""
        user = owner_of_scope(self.scope)
        return user is None or owns(user, key)

    def launch(self, source: Source, key: str, ask: Ask, turn: Mapping[str, Any] | None = None) -> Stream:
        """
        Do what running the cell under *key* means: start, attach, resume, or show what is saved.

        *turn*: which turn of a conversation it is, see `Open.turn`.
        """
        store = self.store
        _sweep_daily(store)
        others = frozenset(_seen) - {key}
        if self._remembers:
            ask = replace(ask, first_run=ask.first_run and _first_run(key))
        for _ in range(TRIES):
            named = store.find(key)
            if named is None and (offered := self._offer(key, ask, others)) is not None and turn is None:
                return offered
            found, act = self._look(named, _unless_shown(ask, named))
            if found is not None and act in (Act.ATTACH, Act.SAVED):
                if act is Act.SAVED:
                    runtime().painted(found.stream)
                return self.open(found.stream, from_store=act is Act.SAVED)
            if found is not None and act is Act.RESUME:
                return self._resume(source, found.stream, key, unasked=self._auto_continue)
            if named is not None and act is Act.REPLACE:
                self._stop_and_wait(named)
            stream = self._begin(source, Birth(key, replaces=named, turn=turn))
            if stream is not None:
                return stream
        raise _contested(key)

    def open(self, stream: str, *, from_store: bool = False) -> Stream:
        """Return a stream that exists; it counts as displayed. *from_store*: as it is saved, without a call."""
        with suppress(StoreFull):  # it is shown all the same
            self.store.touch(stream)
        return Stream(self, self.store.log(stream), from_store=from_store)

    def resume(self, stream: Stream, agent: str | None = None) -> Stream:
        """Go on behind the last record; attaches when somebody already does. It is one answer to a stall, too."""
        if ended(self.store, stream.id):
            recorder = runtime().recorder(stream.id)
            if recorder is not None:
                runtime().call(lambda: recorder.reconnect(agent))  # which changes nothing unless somebody is stalled
            return stream
        found = self.store.status(stream.id)
        if found.live and self.reach is not None:
            self.reach.press(found, "resume", agent)
            return stream
        if not stream.resumable:
            if found.state is not State.COMPLETE:
                _source_of(found)  # a used-up object, say: it raises, as Regenerate does, instead of doing nothing
            return self.open(stream.id, from_store=True)
        return self._resume(_source_of(found), stream.id, stream.offered_to or found.open.key, agent)

    def continue_(self, stream: Stream) -> Stream:
        """Let a new generation go on behind the text; see `Stream.continue_`."""
        if ended(self.store, stream.id):
            return stream  # it goes on already
        found = self.store.status(stream.id)
        if found.live:
            return stream
        if found.state is State.COMPLETE:
            return self.open(stream.id, from_store=True)
        if stream.resumable:
            raise StreamError(
                f"stream {stream.id} can go on as the same message: resume it, no new generation is needed"
            )
        key = stream.offered_to or found.open.key
        return self._resume(_source_of(found), stream.id, key, anew=True)

    def regenerate(self, stream: Stream, agent: str | None = None) -> Stream:
        """
        Ask the question anew: a new stream that names the old one as its parent, and takes its key.

        With *agent* only that one of a team is asked, and the others' words are taken over; for that all must rest.
        """
        old = self.store.status(stream.id)
        source, key = _source_of(old), stream.offered_to or old.open.key
        if agent is not None and (ended(self.store, stream.id) or self.store.status(stream.id).live):
            raise StreamError(f"agent {agent} can be asked anew when the others are at rest; or stop them first")
        gone = [name for name in source.gone if agent in (None, name)] if isinstance(source, Team) else []
        if gone:
            raise SourceRefused(f"agent {gone[0]} came from Python code of the notebook: run the cell again")
        if self._holds(old):
            self._stop_and_wait(stream.id)
        for _ in range(TRIES):
            named = self.store.find(key)
            _, act = self._look(named, Ask(source.fingerprint, fresh=True))
            if named is not None and act is Act.REPLACE:
                self._stop_and_wait(named)
            birth = Birth(key, "regenerate", parent=stream.id, replaces=named, agent=agent, turn=old.open.turn)
            new = self._begin(source, birth)
            if new is not None:
                return new
        raise _contested(key)

    def follow(self, stream: str) -> Callable[[], None]:
        """Hear at once of what recorders elsewhere do with *stream*; returns the end of that."""
        return self.reach.follow(stream) if self.reach is not None else _nothing

    def press(self, status: Status, button: str, agent: str | None = None) -> None:
        """Tell a recorder elsewhere what the user wants; the row in the store says it too, but is seen later."""
        if self.reach is not None and status.live:
            self.reach.press(status, button, agent)

    def _offer(self, key: str, ask: Ask, others: frozenset[str]) -> Stream | None:
        """Return what may be offered to *key*, which names nothing."""
        if ask.replay:
            msg = "nothing is saved under this cell; without --replay it asks"
            raise StreamGone(msg)
        if not ask.offers or not ask.first_run or ask.fresh:
            return None
        left = _left_behind(self.store, key, ask, others)
        return Stream(self, self.store.log(left.stream), offered_to=key) if left is not None else None

    def _look(self, named: str | None, ask: Ask) -> tuple[Status | None, Act]:
        """Decide about the stream that a key names; its status is None when it cannot and need not be known."""
        here = False
        try:
            here = named is not None and ended(self.store, named)
            found = self.store.status(named) if named is not None else None
        except (LogDamaged, StreamGone):  # gone just now, that is
            if not ask.anew:
                raise
            return None, Act.REPLACE if here else Act.NEW
        return found, decide(found, ask, held_here=here or (found is not None and self._holds(found)))

    def _holds(self, status: Status) -> bool:
        """Whether this notebook's kernel is the one whose stream that is: it may be stopped for a new one."""
        if runtime().recorder(status.stream) is not None:
            return True
        reach = self.reach
        return status.live and reach is not None and reach.recorded(status) and not reach.held_elsewhere(status)

    def _begin(self, source: Source, birth: Birth) -> Stream | None:
        """Start a stream and its call; None when its key names something else than it replaces by now."""
        started = self._where(source).begin(source, birth)
        if started is None:
            return None
        _keep(started, source)
        return self.open(started)

    def _resume(
        self, source: Source, stream: str, key: str, agent: str | None = None, *, anew: bool = False,
        unasked: bool = False,
    ) -> Stream:  # fmt: skip
        goes_on = self._where(source).resume(source, stream, key, agent, anew=anew)
        if not goes_on and unasked:
            with suppress(SourceRefused):  # what is saved is shown, and why it cannot be continued
                goes_on = self._where(source).resume(source, stream, key, anew=True)
        if goes_on:
            _keep(stream, source)
        return self.open(stream, from_store=not goes_on)

    def _stop_and_wait(self, stream: str) -> None:
        """Stop *stream* for good: its upstream is closed before the new call is made."""
        recorder = runtime().recorder(stream)
        if recorder is not None:
            runtime().call(recorder.stop)
        with suppress(LogDamaged):  # then nobody can resume it
            Stream(self, self.store.log(stream)).stop()
        with suppress(LogDamaged, StreamGone):
            wait_for_end(self.store, stream)


def _nothing() -> None:
    """End nothing."""


def _first_run(key: str) -> bool:
    """Say whether no cell of this key ran before in this process; from now on one did."""
    with _memory:
        first = key not in _seen
        _seen.add(key)
        return first


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
    if source.fingerprint is None:
        return  # a used-up object can do nothing more
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


def _sweep_daily(store: Store) -> None:
    """Delete what has expired, in the background: with the first stream of this process, and once a day after."""
    now = time.monotonic()
    with _memory:
        if now < _swept.get(store, -SWEEP_EVERY_S) + SWEEP_EVERY_S:
            return
        _swept[store] = now
    runtime().spawn(asyncio.to_thread(store.sweep))


def _left_behind(store: Store, key: str, ask: Ask, seen: frozenset[str]) -> Status | None:
    """Return what was left interrupted elsewhere and may be offered to *key*; nothing that ran in this kernel is."""
    scope, name, _ = json.loads(key)

    def near(other: str) -> bool:
        other_scope, other_name, _ = json.loads(other)
        return (
            other not in seen
            and owner_of_scope(other_scope) == owner_of_scope(scope)
            and (other_scope == scope or other_name == name)
        )

    found = store.list(key=near)
    return next(
        (one for one in found if left_behind(one, key, ask, exists=lambda scope: Path(without_owner(scope)).exists())),
        None,
    )
