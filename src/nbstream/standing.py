"""How a stream stands: the facts behind its state line, live or at rest."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from nbstream import words
from nbstream.errors import LogDamaged, StoreFull
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import records_of
from nbstream.prices import cost
from nbstream.prices import prepare as prepare_prices
from nbstream.recorder import continuation
from nbstream.recorder.plan import state_of
from nbstream.recorder.progress import Progress
from nbstream.recorder.together import in_words
from nbstream.records import Close, Delta, Open
from nbstream.sources.continuing import can_continue
from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.log.contract import Log, Status, Store
    from nbstream.recorder.at_work import AgentAtWork, AtWork
    from nbstream.recorder.progress import Track
    from nbstream.records import Record
    from nbstream.runtime import Runtime


def in_relay(status: Status) -> bool:
    """Whether a relay is the live writer of a stream."""
    return status.live and status.open.writer.startswith("relay ")


class Place(Protocol):
    """Where a stream is: what of its host is needed here."""

    @property
    def store(self) -> Store:
        """The store it lies in."""

    @property
    def runtime(self) -> Runtime:
        """The runtime at work."""


class Standing:
    """
    Counts along with *log*, holding no text.

    *from_store*: the saved answer is shown instead of a call; *offered*: it was left behind elsewhere.
    """

    def __init__(self, place: Place, log: Log, *, from_store: bool, offered: bool) -> None:
        #: Why the log cannot be read to its tail.
        self.damage: LogDamaged | None = None
        self._place, self._store, self._log = place, place.store, log
        self._from_store, self._offered = from_store, offered
        self._in_memory = isinstance(place.store, MemoryStore)
        self._asked: str | None = place.store.status(log.stream).open.source.get("model")
        self._progress = Progress()
        #: The last call has brought something.
        self._begun = False
        self._last_at = 0.0
        self._took_s: float | None = 0.0
        #: Of that, until the first piece of each call.
        self._waited_s = 0.0
        self._waits = True
        self._reading = threading.Lock()
        #: What keeps a new generation from going on behind the text up to this record.
        self._half: str | None = None
        self._read_at: int | None = None

    def read_on(self) -> Progress:
        """Count what was appended since the last time, up to the tail or to what cannot be read."""
        with self._reading:
            try:
                for record in records_of(self._log, self._progress.tail):
                    self._progress.add(record)
                    self._begun = isinstance(record, Delta) or (self._begun and isinstance(record, Close))
                    self._time(record)
            except LogDamaged as exc:
                self.damage = exc
            except StoreFull:  # out of reach: as far as it was read
                pass
            return self._progress

    @property
    def resumable(self) -> bool:
        """Whether the message can go on behind its last record without repeating text or money."""
        source, progress = self._store.status(self._log.stream).open.source, self.read_on()
        if progress.team and self.damage is None:
            return any(facts.resumable for facts in self.agent_facts().values() if facts.state is not State.COMPLETE)
        if source.get("kind") == "object" or self.damage is not None:
            return False
        return progress.can_resume(replayable=bool(source.get("replayable")))

    @property
    def hindrance(self) -> str | None:
        """Why no new generation can go on behind the text, in words; empty where there is nothing to say of it."""
        source, progress = self._store.status(self._log.stream).open.source, self.read_on()
        if self.damage is not None or not can_continue(source):
            return ""
        return continuation.hindrance(progress) or self._half_a_word(progress)

    def _half_a_word(self, progress: Progress) -> str | None:
        tail = progress.tail
        if self._read_at != tail:
            self._half, self._read_at = continuation.half_a_word(self._log, progress), tail
        return self._half

    def facts(self) -> words.Facts:
        """Return what the state line says."""
        recorder = self._runtime.at_work(self._log.stream)
        # What is heard of a recorder elsewhere may come behind its last record; one here leaves a moment after it.
        over = self._far or (recorder is not None and not recorder.live.state.live)
        if recorder is None or (over and self._store.status(self._log.stream).close is not None):
            return self._at_rest()
        return self._live(recorder)

    def agent_facts(self) -> dict[str, words.Facts]:
        """Return what the lines of a team's agents say, in their order; empty for a source with one voice."""
        progress = self.read_on()
        if not progress.team:
            return {}
        status, recorder = self._store.status(self._log.stream), self._runtime.at_work(self._log.stream)
        at_work = recorder.agents if recorder is not None and status.close is None else {}
        specs = {**status.open.source["agents"]}
        specs.update((name, track.spec) for name, track in tuple(progress.voices.items()) if track.spec is not None)
        names = dict.fromkeys((*specs, *at_work))
        now = time.monotonic()
        return {
            name: _agent_live(at_work[name], progress.voices.get(name), now) if name in at_work
            else _agent_at_rest(specs[name], progress.voices.get(name), status, self._stopped(status, name))
            for name in names
        }  # fmt: skip

    def _stopped(self, status: Status, agent: str) -> Callable[[], bool]:
        return lambda: self._store.stop_requested(self._log.stream, opened=status.opened, agent=agent)

    @property
    def _runtime(self) -> Runtime:
        return self._place.runtime  # each time anew: the extension may have been unloaded and loaded

    @property
    def _far(self) -> bool:
        """Whether no recorder of this process records the stream."""
        return self._runtime.recorder(self._log.stream) is None

    def _live(self, recorder: AtWork) -> words.Facts:
        prepare_prices()
        live, now, runtime = recorder.live, time.monotonic(), self._runtime
        # What is heard of a recorder elsewhere is older than what it has stored.
        stored = self.read_on() if self._far else recorder
        late = self._far and self._begun and live.state is State.CONNECTING
        state = State.STREAMING if late else live.state
        return words.Facts(
            state=state, chars=stored.chars, tail=stored.tail, model=recorder.model or stored.model or self._asked,
            saved=live.saved, note=recorder.note or runtime.note(self._log.stream) or runtime.warning,
            error=live.error, retries=live.retries, outlives_kernel=self._far,
            retry_in_s=max(0.0, live.retry_at - now) if live.retry_at is not None else None,
            silent_s=now - live.last_at if live.last_at is not None else None,
            speed=live.speed, resumable=recorder.can_reconnect, repeatable=recorder.repeatable,
            in_memory=self._in_memory,
        )  # fmt: skip

    def _at_rest(self) -> words.Facts:
        status, progress = self._store.status(self._log.stream), self.read_on()
        close, hindrance = status.close, self.hindrance
        return words.Facts(
            state=status.state, chars=progress.chars, tail=status.tail,
            model=(close.model if close else None) or progress.model or self._asked,
            error=close.error if close else None, finish=close.finish if close else None,
            took_s=self._took_s if close else None, usage=close.usage if close else {},
            came_s=self._took_s - self._waited_s if close and self._took_s is not None else None,
            cost=_cost(status, close) if close else None,
            ended_at=close.at if close else None,
            elsewhere=status.live and not in_relay(status), outlives_kernel=in_relay(status),
            resumable=self.resumable, from_store=self._from_store,
            continuable=hindrance is None, hindrance=hindrance,
            repeatable=status.open.source.get("kind") != "object", resumed=progress.opens - 1 - progress.continues,
            continued=progress.seams,
            note=self._note() or self._count_agents(),
            in_memory=self._in_memory, unknown=dict(progress.unknown),
        )  # fmt: skip

    def _time(self, record: Record) -> None:
        """Add up how long the calls took, without the time between them; a clock that was set back tells no time."""
        if not isinstance(record, Open):
            passed = record.at - self._last_at
            self._took_s = self._took_s + passed if passed >= 0 and self._took_s is not None else None
            self._waited_s += passed if self._waits else 0.0
        self._waits = isinstance(record, Open)
        self._last_at = record.at

    def _count_agents(self) -> str | None:
        agents = self.agent_facts()
        return in_words(facts.state for facts in agents.values()) if agents else None

    def _note(self) -> str | None:
        if self.damage is not None:
            return str(self.damage)
        if self._offered:
            return "left here from before; running the cell again asks anew"
        return self._runtime.note(self._log.stream)


def _cost(status: Status, close: Close) -> float | None:
    prepare_prices()
    return cost(str(status.open.source.get("url", "")), close.model, close.usage)


def _agent_live(agent: AgentAtWork, track: Track | None, now: float) -> words.Facts:
    live = agent.live
    return words.Facts(
        state=live.state, chars=track.chars if track else 0, note=agent.note, error=live.error, retries=live.retries,
        retry_in_s=max(0.0, live.retry_at - now) if live.retry_at is not None else None,
        silent_s=now - live.last_at if live.last_at is not None else None,
        speed=live.speed, resumable=agent.can_reconnect, repeatable=False, saved=live.saved,
    )  # fmt: skip


def _agent_at_rest(
    spec: Mapping[str, Any], track: Track | None, status: Status, stopped: Callable[[], bool]
) -> words.Facts:
    ended = track.ended if track is not None else None
    if status.live and ended is None:  # somebody else records it, and says no more of it
        state = State.STREAMING if track is not None and track.shown else State.CONNECTING
    else:
        state = state_of(track, stopped)
    goes_on = track is None or track.can_go_on(replayable=bool(spec.get("replayable")))
    return words.Facts(
        state=state, chars=track.chars if track else 0, error=(ended or {}).get("error"),
        finish=(ended or {}).get("finish"), model=track.model if track else None,
        resumable=goes_on and spec.get("kind") != "object",
        repeatable=spec.get("kind") != "object" and not status.live,
    )  # fmt: skip


def in_short(facts: words.Facts) -> dict[str, Any]:
    """Return what is told of a stream and of each of its agents."""
    return {
        "state": str(facts.state),
        "line": words.line(facts),
        "actions": words.actions(facts),
        "chars": facts.chars,
        "retries": facts.retries,
        "error": facts.error,
    }
