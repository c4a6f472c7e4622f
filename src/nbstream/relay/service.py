"""The streams of one store as the relay's HTTP side sees them: start, read, hold, stop."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from nbstream.errors import LogError, RelayError, StreamGone
from nbstream.host import Host
from nbstream.recorder.progress import Progress
from nbstream.recording import Birth, Here, Limits, ended
from nbstream.relay.again import source_again
from nbstream.relay.asking import flag, key_of, seconds, text, turn_of
from nbstream.relay.holders import LONGEST_S, Holders
from nbstream.rerun import Ask
from nbstream.runtime import runtime
from nbstream.sources.portable import endpoints_of, unpack
from nbstream.sources.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nbstream.log.contract import Status, Store
    from nbstream.runtime import Runtime
    from nbstream.sources.contract import Source

#: Live streams of one relay. Each is a connection, a task and at most 16 MiB of one unfinished event.
MAX_LIVE = 64
#: How long whoever asked for a stream holds it before it has said so: a page is on its way.
FIRST_HOLD_S = 10.0
#: Every key and header value counts; what is older than so many belongs to calls long over.
KEPT_SECRETS = 2000
#: Streams that were served here and are remembered, the newest.
KEPT_STREAMS = 10_000
#: How often speed and counts are told.
COUNTERS_S = 0.5


class _Said(NamedTuple):
    """The live status as last told."""

    number: int
    at: float
    still: dict[str, Any]
    pieces: int


class Service:
    """
    Safe to use from any thread. Everything blocks, so nothing of it belongs on an event loop, unless it says so.

    Raises the errors of `nbstream.errors`, and `ValueError` or `TypeError` for what cannot be understood.
    """

    def __init__(
        self, store: Store, *, max_live: int = MAX_LIVE, admit: Callable[[Source], Source] | None = None
    ) -> None:
        self.store = store
        #: Returns a source as it may be called, with the keys that this relay has; None: keys come with the requests.
        self._admit = admit
        self.holders = Holders()
        self._max_live = max_live
        #: Streams this process has served, the newest last: when one is gone, it is gone, not unknown.
        self._served: OrderedDict[str, None] = OrderedDict()
        #: Of the calls this process was given, the newest last.
        self._secrets: OrderedDict[str, None] = OrderedDict()
        self._redact: Redactor | None = None
        self._lock = threading.Lock()
        self._said: dict[str, _Said] = {}

    @property
    def runtime(self) -> Runtime:
        """The runtime of this process."""
        return runtime()

    def start(self, ask: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
        """Start a stream, or attach to the one of its key; return whether a call was started, and where it stands."""
        source = self._admitted(unpack(ask.get("source") or {}))
        key, scope, here = key_of(ask), text(ask, "scope") or "relay", self._here(ask)
        if "replaces" in ask:
            self._room()
            parent = text(ask, "parent")
            birth = Birth(
                key, "regenerate" if parent else "new", parent=parent, replaces=text(ask, "replaces"),
                stream=text(ask, "id"), agent=text(ask, "agent"), turn=turn_of(ask),
            )  # fmt: skip
            if birth.stream is not None and self.store.find(key) == birth.stream:
                return True, self._answer(birth.stream, ask)  # asked again: the first answer was lost
            started = here.begin(source, birth)
            stream = started or self._named(key)
            return started is not None, self._answer(stream, ask)
        before = self.store.find(key)
        host = Host(self.store, scope, lambda _: self._with_room(here), remembers=False)
        found = host.launch(source, key, Ask(source.fingerprint, fresh=bool(ask.get("fresh"))), turn_of(ask)).id
        return found != before, self._answer(found, ask)

    def resume(self, stream: str, ask: Mapping[str, Any], *, anew: bool = False) -> dict[str, Any]:
        """
        Go on behind the last record; of one that is live: end its stall, if it is stalled.

        With `agent` that one of a team goes on, else all that are unfinished. *anew*: a new generation goes on.
        """
        agent = self._agent(stream, text(ask, "agent"))
        if ended(self.store, stream):
            recorder = runtime().recorder(stream)
            if recorder is not None:
                runtime().call(lambda: recorder.reconnect(agent))
            return {**self._answer(stream, ask), "resumed": True}
        status, goes_on = self.store.status(stream), True
        if not status.live:
            source = self._admitted(
                unpack(ask["source"]) if ask.get("source")
                else source_again(self.store, status, ask, agent, keyless=self._admit is not None)
            )  # fmt: skip
            key = key_of(ask) if ask.get("key") else status.open.key
            goes_on = self._with_room(self._here(ask)).resume(source, stream, key, agent, anew=anew)
        return {**self._answer(stream, ask), "resumed": goes_on}

    def stop(self, stream: str, agent: str | None = None) -> dict[str, Any]:
        """Stop all of it or one agent: the upstream is closed at once and never resumes by itself. At rest: nothing."""
        agent, recorder = self._agent(stream, agent), runtime().recorder(stream)
        if recorder is not None:
            runtime().call(lambda: recorder.stop(agent))
        status = self.store.status(stream)
        if status.close is None:
            try:
                self.store.request_stop(stream, opened=status.opened, agent=agent).result(5)
            except (LogError, TimeoutError):
                if recorder is None:
                    raise
                # The socket is closed all the same; the recorder keeps the intent and says "not saved".
        ended(self.store, stream)
        return self._answer(stream, {})

    def keep(self, stream: str, agent: str | None = None) -> dict[str, Any]:
        """Keep waiting: the answer to a stall."""
        agent, recorder = self._agent(stream, agent), runtime().recorder(stream)
        if recorder is not None:
            runtime().call(lambda: recorder.keep(agent))
        return self._answer(stream, {})

    def hold(
        self, stream: str, holder: str, for_s: float, *, end: bool = False, attended: bool = True
    ) -> dict[str, Any]:
        """
        Let *holder* hold the stream for so long; 0 lets go: the lease begins when nobody is left.

        With *end* the lease is over at once, unless somebody else holds it: the holder's kernel was shut down.
        Does not block.
        """
        if not 0 <= for_s <= LONGEST_S:  # NaN is not, either
            raise ValueError(f"for_s: a number of seconds from 0 to {LONGEST_S:g}")
        self.holders.hold(stream, holder, for_s, attended=attended)
        recorder = runtime().recorder(stream)
        if end and recorder is not None and not self.holders.held(stream):
            runtime().call(lambda: recorder.leave("its kernel was shut down"))
        return {"id": stream, "holders": self.holders.of(stream)}

    def drop(self, holder: str) -> None:
        """Note that a holder's connection broke. Does not block."""
        self.holders.drop(holder)

    def back(self, holder: str) -> None:
        """Note that a holder has a connection again. Does not block."""
        self.holders.back(holder)

    def describe(self, stream: str) -> dict[str, Any]:
        """Return everything there is to know about one stream."""
        return self._describe(self.store.status(stream))

    def list(self, own: Callable[[str], bool] | None = None) -> list[dict[str, Any]]:
        """Return every stream whose key *own* accepts, newest first."""
        return [self._describe(status) for status in self.store.list(key=own)]

    def delete(self, stream: str) -> None:
        """Remove a stream at rest; a live one is refused with `Fenced`."""
        self.store.status(stream)
        self.store.delete(stream)

    def live(self, stream: str) -> dict[str, Any] | None:
        """
        Return the live status of a stream that is recorded here, with a number `n` that grows with each change.

        None when it is not. Does not block.
        """
        recorder = runtime().recorder(stream)
        if recorder is None:
            self._said.pop(stream, None)
            return None
        status = recorder.status_json()
        status["note"] = status.get("note") or runtime().note(stream) or runtime().warning
        # What grows with every piece of text is told twice a second: its record says the rest.
        still, now = {k: v for k, v in status.items() if k not in _COUNTING}, time.monotonic()
        said = self._said.get(stream)
        if said is None:
            for other in tuple(self._said):
                if runtime().recorder(other) is None:
                    self._said.pop(other, None)  # nobody has asked since it ended
        if said is None or said.still != still or (said.pieces != status["pieces"] and now - said.at >= COUNTERS_S):
            said = self._said[stream] = _Said(said.number + 1 if said else 1, now, still, status["pieces"])
        return {"n": said.number, **status}

    def subscribe(self, stream: str, look: Callable[[], None]) -> Callable[[], None]:
        """Call *look* (from any thread, must not block) when there may be news; returns the end of that."""
        ends = self.store.log(stream).subscribe(look), runtime().subscribe(stream, look)

        def end() -> None:
            for one in ends:
                one()

        return end

    def knew(self, stream: str) -> bool:
        """Whether this process has served the stream. Does not block."""
        return stream in self._served

    @property
    def busy(self) -> bool:
        """Whether a recorder is at work. Does not block."""
        return bool(runtime().recorders)

    def secrets(self, text: str) -> str:
        """Return *text* without any key this process was given. Does not block."""
        with self._lock:
            if self._redact is None:
                self._redact = Redactor(tuple(self._secrets))
            redact = self._redact
        return redact(text)

    def know(self, secrets: Iterable[str]) -> None:
        """Keep *secrets* out of what is said and logged."""
        with self._lock:
            for secret in secrets:
                self._secrets[secret] = None
                self._secrets.move_to_end(secret)
            while len(self._secrets) > KEPT_SECRETS:
                self._secrets.popitem(last=False)
            self._redact = None

    def _admitted(self, source: Source) -> Source:
        source = self._admit(source) if self._admit is not None else source
        self.know(secret for one in endpoints_of(source) for secret in one.call.secrets)
        return source

    def _agent(self, stream: str, agent: str | None) -> str | None:
        """Return the agent of a team that is meant; a source with one voice has but that."""
        if agent is None:
            return None
        agents = self.store.status(stream).open.source.get("agents")
        # One that was spawned stands in no `open`.
        if agents and agent not in agents and agent not in Progress.of(self.store.log(stream)).voices:
            raise ValueError(f"agent: the stream has none called {agent!r}")
        return agent if agents else None

    def _here(self, ask: Mapping[str, Any]) -> Here:
        given = ask.get("limits") or {}
        if not isinstance(given, dict):
            raise TypeError("limits: an object of seconds")
        auto = flag(ask, "auto_continue")
        limits = Limits(**{name: seconds(name, value) for name, value in given.items()}, auto_continue=auto)
        return Here(
            self.store, text(ask, "scope") or "relay", limits,
            writer="relay", held=self.holders.held, attended=self.holders.attended,
        )  # fmt: skip

    def _with_room(self, here: Here) -> Here:
        self._room()
        return here

    def _room(self) -> None:
        live = len(runtime().recorders)
        if live >= self._max_live:
            raise RelayError(
                f"{live} streams are live in this relay: stop one, or wait until one has ended", status=429
            )

    def _named(self, key: str) -> str:
        named = self.store.find(key)
        if named is None:
            raise StreamGone("the stream of this key was deleted just now; ask again")
        return named

    def _serve(self, stream: str) -> None:
        with self._lock:
            self._served[stream] = None
            self._served.move_to_end(stream)
            if len(self._served) > KEPT_STREAMS:
                self._served.popitem(last=False)

    def _answer(self, stream: str, ask: Mapping[str, Any]) -> dict[str, Any]:
        self._serve(stream)
        if ask:
            self.holders.begin(stream, text(ask, "holder") or f"request:{secrets.token_hex(4)}", FIRST_HOLD_S)
        status = self.store.status(stream)
        return {"id": stream, "state": str(self._state(status)), "offset": status.tail}

    def _state(self, status: Status) -> str:
        recorder = runtime().recorder(status.stream)
        return recorder.live.state if recorder is not None else status.state

    def _describe(self, status: Status) -> dict[str, Any]:
        self._serve(status.stream)
        source = status.open.source
        return {
            "id": status.stream, "key": status.open.key, "state": str(self._state(status)), "offset": status.tail,
            "title": source.get("title", ""), "model": source.get("model"), "url": source.get("url"),
            "created": status.created, "touched": status.touched, "fingerprint": status.open.fingerprint,
            "recorded_here": runtime().recorder(status.stream) is not None, "holders": self.holders.of(status.stream),
            "live": self.live(status.stream),
        }  # fmt: skip


_COUNTING = frozenset({"pieces", "first_ago_s", "last_ago_s", "silent_s", "speed", "offset", "chars", "retry_in_s"})
