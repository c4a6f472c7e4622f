"""
The recorder: pulls the sources of one stream and appends to one log. Nothing else writes to a stream.

It works from an `open` to its `close`. A reader learns everything from the log; `Recorder.live` adds what is true only
meanwhile (retries, waits, speed). Everything here belongs to the loop that runs `run`.

The voices of the stream do the calling (`voice.py`): one for a source, one an agent for a team. What agents do for and
with each other is in `crew.py`.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from nbstream.clock import Clock
from nbstream.errors import LogError, SourceRefused, StoreFull
from nbstream.recorder.continuation import MOST_UNASKED, continued, hindrance
from nbstream.recorder.crew import Crew
from nbstream.recorder.ending import ended, error_json
from nbstream.recorder.live import Live
from nbstream.recorder.solo import Solo
from nbstream.recorder.totals import Totals
from nbstream.recorder.voice import Setting
from nbstream.recorder.writer import Writer
from nbstream.records import Open
from nbstream.sources.origin import raised_under
from nbstream.sources.team import Team
from nbstream.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from nbstream.lease import Lease
    from nbstream.log.contract import Lock, Log, Store
    from nbstream.recorder.at_work import AgentAtWork
    from nbstream.recorder.plan import Plan
    from nbstream.recorder.progress import Progress
    from nbstream.recorder.voice import Voice
    from nbstream.records import Close
    from nbstream.sources.contract import Source

#: How often stop rows of other processes, the lease and silence are looked at.
LOOK_S = 0.25
#: So long after the last look, this process was asleep (its machine, or stopped): nothing could come meanwhile.
ASLEEP_S = 2.0
#: Calls at a time where nobody says how many.
UNBOUNDED = 2**31


class Recorder:
    """
    Records one call of *source* into *log*, whose last record (`progress.tail`) is the `open` of this call.

    *first_s*, *idle_s*: seconds of silence, before the first output and between outputs, that stall the stream.
    *attended* says whether somebody is there to answer the stall's question, *lease* how long the call goes on while
    nobody holds the stream (None: for ever). *changed* is called whenever `live` has changed in a way a reader may want
    to see. *slots* bounds how many calls are made at a time. *totals* counts over all recorders. *unhurried* says
    whether only pages look, so that tokens may be gathered for some hundredths of a second. *plan*: of a team, who is
    called (None: all); the others stay as they ended. *auto_continue*: what is cut and cannot be resumed is continued
    by a new generation without being asked for.
    """

    def __init__(
        self,
        store: Store,
        log: Log,
        source: Source,
        lock: Lock,
        progress: Progress,
        *,
        idle_s: float = 60.0,
        first_s: float = 120.0,
        clock: Clock | None = None,
        attended: Callable[[], bool] = lambda: True,
        changed: Callable[[], None] = lambda: None,
        jitter: Callable[[], float] = random.random,
        slots: asyncio.Semaphore | None = None,
        lease: Lease | None = None,
        totals: Totals | None = None,
        unhurried: Callable[[], bool] = lambda: False,
        plan: Plan | None = None,
        auto_continue: bool = False,
    ) -> None:
        self.source = source
        self._auto_continue = auto_continue
        self._store, self._log, self._lock, self._progress = store, log, lock, progress
        self._clock, self._changed = clock or Clock(), changed
        self._lease = lease
        #: The one voice's, or what is true of the whole: then its state counts only once all is over.
        self._live = Live()
        self._writer = Writer(log, progress, self._live, self._clock, self._saving, unhurried=unhurried)
        self._close: Close | None = None
        progress.team = isinstance(source, Team)
        if isinstance(source, Team) and source.limit:
            slots = None  # its user has said how many run at a time, which may be more than a notebook's calls

        def setting(crew: Crew | Solo) -> Setting:
            return Setting(
                log, self._writer, self._clock, totals or Totals(), first_s, idle_s, attended, changed, jitter,
                slots or asyncio.Semaphore(UNBOUNDED), unhurried, self._voice_stop_requested, crew.turn,
                self._go_on,
            )  # fmt: skip

        self._crew: Crew | Solo
        if isinstance(source, Team):
            self._crew = Crew(source, progress, setting, plan)
        else:
            self._crew = Solo(source, progress, setting, self._live)

    @property
    def opened(self) -> int:
        """Offset of the last `open`."""
        return self._crew.opens[-1]

    def stop(self, agent: str | None = None) -> None:
        """
        Close the upstream at once; `close(stopped)` follows. At rest, or a second time, it changes nothing.

        *agent*: only that one of a team; the others go on.
        """
        self._crew.stop(agent)

    def leave(self, why: str | None = None) -> None:
        """
        Close the upstream; `close(interrupted)` follows. A stop that comes before it is stored is a stop all the same.

        *why* says in one line why nobody wants the rest, and an upstream that needs to be told is told. Without it this
        process just goes, and another one may resume the call.
        """
        self._crew.leave(why)

    def keep(self, agent: str | None = None) -> None:
        """Keep waiting: one answer to a stall."""
        for voice in self._crew.chosen(agent):
            voice.keep()

    def reconnect(self, agent: str | None = None) -> None:
        """
        Resume, the other answer to a stall: drop the silent connection and call again behind the last record.

        An agent at rest that can go on does so, also a stopped one if it is named.
        """
        if self._close is None:
            self._crew.resume(agent)

    @property
    def live(self) -> Live:
        """What is true only meanwhile; of a team, of all its agents together."""
        return self._crew.live_of_all(self._live)

    @property
    def agents(self) -> Mapping[str, AgentAtWork]:
        """The agents of a team that are called, each for itself; empty for a source with one voice."""
        return self._crew.agents

    @property
    def can_reconnect(self) -> bool:
        """Whether calling again would repeat neither text nor money."""
        return all(voice.can_reconnect for voice in self._crew.voices.values())

    @property
    def ending(self) -> bool:
        """Whether the call is over, or told to be: only its `close` is to come, and the release of the stream."""
        return all(voice.ending for voice in self._crew.voices.values())

    @property
    def calling(self) -> bool:
        """Whether a call is being made: only then may a connection of this stream stand."""
        return any(self.callings.values())

    @property
    def callings(self) -> dict[str, bool]:
        """Owner of connections -> whether it makes a call."""
        return {voice.owner: voice.calling for voice in self._crew.voices.values()}

    @property
    def progress(self) -> Progress:
        """What is stored, counted."""
        return self._progress

    @property
    def note(self) -> str | None:
        """One more thing the state line says."""
        return self._live.note or self._crew.note

    @property
    def repeatable(self) -> bool:
        """Whether the question can be asked anew from here."""
        return self.source.fingerprint is not None

    @property
    def raised(self) -> list[tuple[str, BaseException]]:
        """What the user's own code raised, each with the message that tells of it."""
        ends = [voice.outcome for voice in self._crew.voices.values()]
        errors = [end.error for end in ends if end is not None and end.error is not None]
        return [(str(error), raised) for error in errors if (raised := raised_under(error)) is not None]

    @property
    def chars(self) -> int:
        """Code points of text stored."""
        return self._progress.chars

    @property
    def tail(self) -> int:
        """The last stored record."""
        return self._progress.tail

    @property
    def model(self) -> str | None:
        """The model's own name, once it said it."""
        return self._crew.model

    def status_json(self) -> dict[str, Any]:
        """Describe how it stands to another process; `Live.from_json` reads the live part of it. From any thread."""
        now = self._clock.monotonic()
        status = {
            **self.live.to_json(now),
            "note": self.note,
            "offset": self.tail,
            "chars": self.chars,
            "model": self.model,
            "resumable": self.can_reconnect,
            "repeatable": self.repeatable,
        }
        agents = dict(self.agents)
        if agents:
            status["agents"] = {
                name: {
                    **agent.live.to_json(now), "note": agent.note, "chars": agent.chars,
                    "resumable": agent.can_reconnect,
                }
                for name, agent in agents.items()
            }  # fmt: skip
        return status

    async def run(self) -> None:
        """Record until the call is at rest and its `close` is stored. The source's errors end up in the records."""
        helpers = asyncio.ensure_future(self._writer.run()), asyncio.ensure_future(self._watch())
        self._crew.begin()
        try:
            await self._work(helpers)
            self._crew.close()
            await ended(*self._crew.working)  # also when a helper gave up: the upstreams are closed first
            for helper in helpers:
                if helper.done():
                    helper.result()
            self._crew.check()
            self._close = self._crew.closing(self._clock.time())
            self._saving()
            await self._writer.append(self._close)
            self._rest(State(self._close.how), self._close.error)
        except LogError as exc:
            # Another writer has the stream, or it is gone: whoever reads the log sees what is true.
            self._rest(State.INTERRUPTED, error_json(exc))
        finally:
            self._crew.close()
            self._lock.release()
            await ended(*self._crew.working, *helpers)
            self._changed()

    async def _work(self, helpers: Iterable[asyncio.Task[None]]) -> None:
        """Wait until nobody is at work, or a helper gave up."""
        while not any(helper.done() for helper in helpers):
            if self._crew.working:
                await asyncio.wait({*self._crew.working, *helpers}, return_when=asyncio.FIRST_COMPLETED)
                continue
            await self._stop_as_requested()  # by rows set since the last look: the `close` says what they say
            if not self._crew.working:
                return

    async def _watch(self) -> None:
        """Look for what no arrival tells: a stop row of another process, a lease that is over, a silence."""
        looked = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_S)
            now = self._clock.monotonic()
            if now - looked > ASLEEP_S:
                self._slept(now - looked - LOOK_S, now)
            looked = now
            # *now* stays that of the beginning: a sleep while the store is asked is seen at the next look.
            # The lease is looked at first, and its end acted on last: a stop of the same moment is a stop.
            over = self._lease is not None and self._lease.over(now)
            await self._stop_as_requested()
            if over and self._lease is not None:
                self.leave(self._lease.reason)
            for voice in self._crew.at_work:
                voice.look(now)

    def _slept(self, seconds: float, now: float) -> None:
        for voice in self._crew.at_work:
            voice.skip(seconds, now)
        if self._lease is not None:
            self._lease.skip(seconds)

    async def _stop_as_requested(self) -> None:
        """Stop those for whom a row stands in the store."""
        known = self._crew.stoppable
        if not known:
            return
        stopped = await asyncio.to_thread(lambda: [one for one in known if self._is_stopped(one[0], one[2])])
        for name, voice, _ in stopped:
            if self._crew.voices.get(name) is voice:  # it did not go on meanwhile
                self._crew.stop(name)

    async def _voice_stop_requested(self, voice: Voice) -> bool:
        since = voice.since
        return since is not None and await asyncio.to_thread(self._is_stopped, voice.name, since)

    async def _go_on(self, voice: Voice) -> Source | None:
        """Open the stream for a new generation behind a message that was cut, if nobody needs to be asked first."""
        progress = self._progress
        unasked = self._auto_continue and progress.continues < MOST_UNASKED and progress.begun
        hindered = not unasked or voice.can_reconnect or hindrance(progress) is not None
        if hindered or await self._voice_stop_requested(voice):  # set while nobody looked: it ends as stopped
            return None
        progress.usage = voice.intake.usage  # no `close` tells of what this call has cost
        await self._writer.flush()
        try:
            source = await self._writer.read_back(lambda: continued(self.source, self._log, progress))
        except SourceRefused:
            return None  # whoever presses Continue is told why not
        (last,) = await self._writer.read_back(lambda: self._log.read(self._crew.opens[-1] - 1, limit=1))
        assert isinstance(last, Open)  # noqa: S101 - that is where it stands
        anew = replace(last, intent="continue", parent=None, at=self._clock.time())
        self._crew.opens.append(await self._writer.append(anew))
        return source

    def _is_stopped(self, name: str, since: int) -> bool:
        """Look (blocking) whether a stop row stands for a voice: one set since the `open` it began with."""
        try:
            return any(
                self._store.stop_requested(self._log.stream, opened=opened, agent=name or None)
                for opened in tuple(self._crew.opens)
                if opened >= since
            )
        except StoreFull:
            return False  # out of reach; it is asked again at the next look

    def _saving(self) -> None:
        """
        Say so when the call is over but its end cannot be saved yet: stopped is stopped.

        Complete is complete only when all of it is stored: whoever waits for the text gets the whole.
        """
        if self._close is not None and self._close.how != "complete" and not self._live.saved:
            self._live.state, self._live.error = State(self._close.how), self._close.error
        self._changed()

    def _rest(self, state: State, error: Mapping[str, Any] | None) -> None:
        self._live.state, self._live.error, self._live.connections = state, error, 0
