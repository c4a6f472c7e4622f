"""
The agents of a team at work: who calls when, who waits for whom, and what they come to together.

    wait_for  ->  limit  ->  the notebook's slots  ->  the call  ->  agent_end

Each agent is a voice that ends by itself, and its `agent_end` is a record: so a process that comes later knows whom not
to call again. Together they end as the first that applies: interrupted (an agent can go on), failed, stopped, complete.
An agent that goes on while others speak opens the stream anew, so that an older stop does not concern it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbstream.errors import LeaseOver, LogDamaged, TeamFailed
from nbstream.recorder.asking import told
from nbstream.recorder.plan import agents_of, going_on, may_call, state_of
from nbstream.recorder.seat import Seat
from nbstream.recorder.together import close_of, ending_of, in_words, live_of
from nbstream.recorder.turns import Turns
from nbstream.recorder.voice import Voice
from nbstream.records import Open, Part
from nbstream.sources.agent import Agent
from nbstream.sources.member import Member
from nbstream.state import Event, State, step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping

    from nbstream.recorder.at_work import AgentAtWork
    from nbstream.recorder.ending import Outcome
    from nbstream.recorder.live import Live
    from nbstream.recorder.plan import Plan
    from nbstream.recorder.progress import Progress
    from nbstream.recorder.voice import Setting
    from nbstream.records import Close
    from nbstream.sources.contract import Source
    from nbstream.sources.team import Team

#: How the `agent_end` of one that is stopped at rest puts it.
STOPPED = {"status": "stopped", "finish": "cancelled"}


class Crew:
    """
    The voices of *team*, of which *progress* is stored.

    *plan* names those that are called, None is all.
    """

    def __init__(self, team: Team, progress: Progress, setting: Callable[[Crew], Setting], plan: Plan | None) -> None:
        self.opens = [progress.tail]
        self.voices: dict[str, Voice] = {}
        self._team, self._progress = team, progress
        self._given = agents_of(team, progress)
        self._parents = dict(team.parents)
        self._parents.update((name, track.parent) for name, track in progress.voices.items() if track.parent)
        self._setting = setting(self)
        self._turns = Turns(
            self.voices, team.limit, team.wait_for, state=self._state, mark=self._mark, changed=self._setting.changed
        )
        self._seat = Seat(self._setting.log, self._given, self._turns, self._spawn)
        self._reopening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        #: What one that is spawned from now on meets: the end of all others.
        self._ends: Callable[[Voice], None] | None = None
        self._closed = False
        #: Those that go on once their end is stored, unless somebody stops them before.
        self._wanted: set[str] = set()
        #: Those that are not called and were stopped, by a process that could not record it or while others speak.
        self._stopped = set(plan.stopped) if plan else set()
        for name in plan.called if plan else self._given:
            self._add(name).since = progress.tail

    # -- as a recorder sees it ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Let those that are called go to work."""
        for name in self._stopped:
            self._mark(name, "agent_end", STOPPED)
        self._work(self._setting.writer.flush())
        for voice in self.voices.values():
            self._work(self._perform(voice))

    @property
    def working(self) -> set[asyncio.Task[None]]:
        """What is still to come to an end."""
        return set(self._tasks)

    def close(self) -> None:
        """Let nobody begin any more."""
        self._closed = True

    def check(self) -> None:
        """Raise what an agent met and could not tell."""
        if self._error is not None:
            raise self._error

    @property
    def at_work(self) -> list[Voice]:
        """The voices whose calls may still be told something."""
        return [voice for voice in tuple(self.voices.values()) if voice.outcome is None]

    @property
    def stoppable(self) -> list[tuple[str, Voice | None, int]]:
        """Those that a stop may concern, with the `open` each began with: who is at work, and who may be resumed."""
        found = []
        for name in tuple(self._given):
            voice = self.voices.get(name)
            since = voice.since if voice is not None else self.opens[0]
            working = voice is not None and voice.outcome is None
            if since is not None and (working or self._state(name) is State.INTERRUPTED):
                found.append((name, voice, since))
        return found

    def chosen(self, agent: str | None) -> list[Voice]:
        """Return the voices that *agent* means: None is all that are called."""
        return [voice for name, voice in self.voices.items() if agent in (None, name)]

    def stop(self, agent: str | None) -> None:
        """See `Recorder.stop`. One that was interrupted before is stopped too: it does not go on by itself."""
        if agent is None:
            self._ends = Voice.stop
        for name in [name for name in self._given if agent in (None, name)]:
            self._wanted.discard(name)
            voice = self.voices.get(name)
            if voice is not None and voice.outcome is None:
                voice.stop()
            elif self._state(name) is State.INTERRUPTED:
                if voice is not None:
                    voice.live.state, voice.live.error = step(voice.live.state, Event.STOP), None
                self._stopped.add(name)
                self._mark(name, "agent_end", STOPPED)
        self._setting.changed()

    def leave(self, why: str | None) -> None:
        """See `Recorder.leave`."""
        self._leave(None if why is None else LeaseOver(why))

    def resume(self, agent: str | None) -> None:
        """See `Recorder.reconnect`."""
        for voice in self.chosen(agent):
            if voice.outcome is None:
                voice.reconnect()
            elif not voice.rested.is_set():
                self._wanted.add(voice.name)
                self._work(self._resume_behind(voice, agent))
        self._call_again([name for name in self._given if self._is_at_rest(name)], agent)

    async def _resume_behind(self, voice: Voice, agent: str | None) -> None:
        """Let one go on whose end everybody sees and that is still being stored."""
        await voice.rested.wait()
        if voice.name in self._wanted:
            self._wanted.discard(voice.name)
            self._call_again([voice.name], agent)

    def _call_again(self, at_rest: Iterable[str], agent: str | None) -> None:
        for name in going_on({name: self._state(name) for name in at_rest}, agent):
            if may_call(name, self._given[name], self._progress.track(name)):
                self._ends = None
                self._work(self._perform(self._add(name)))
        self._setting.changed()

    def live_of_all(self, live: Live) -> Live:
        """Return what is true of all together; *live* says whether all is saved, and how it ended once it did."""
        return live_of([voice.live for voice in tuple(self.voices.values())], live, self.note)

    @property
    def agents(self) -> Mapping[str, AgentAtWork]:
        """See `Recorder.agents`."""
        return dict(self.voices)

    @property
    def note(self) -> str | None:
        """Count the agents by state."""
        return in_words(self._state(name) for name in tuple(self._given))

    @property
    def model(self) -> str | None:
        """Name the models of all agents."""
        models = dict.fromkeys(track.model for track in tuple(self._progress.voices.values()) if track.model)
        return ", ".join(models) or None

    def closing(self, at: float) -> Close:
        """Say how all of it ended."""
        states = {name: self._state(name) for name in self._given}
        tracks = self._progress.voices
        return close_of(states, tracks, self._error_of, at=at, model=self.model, chars=self._progress.chars)

    # -- spawned agents -----------------------------------------------------------------------------------------

    def _spawn(self, name: str, given: Agent | Source, parent: str | None) -> None:
        if self._closed:
            return
        if name in self._given:
            unfinished = self._is_at_rest(name) and self._state(name) in (State.INTERRUPTED, State.FAILED)
            if not unfinished or not may_call(name, given, self._progress.track(name)):
                return
        self._given[name] = given
        if parent is not None:
            self._parents[name] = parent
        voice = self._add(name)
        voice.since = self.opens[-1]
        # Before anything else is said of it or of its parent: nobody else knows what to call if this process dies.
        origin = {"parent": parent} if parent is not None else {}
        waits = {"on": list(self._turns.before(name)), **origin, "source": dict(voice.source.spec)}
        self._mark(name, "waiting", waits)
        if self._ends is not None:
            self._ends(voice)
        self._work(self._perform_unless_stopped(voice))
        self._setting.changed()

    async def _perform_unless_stopped(self, voice: Voice) -> None:
        """Call one that was spawned; a stop of all by another process may stand since before it was there."""
        if await self._setting.stop_requested(voice):
            voice.stop()
        await self._perform(voice)

    # -- one agent ----------------------------------------------------------------------------------------------

    def _add(self, name: str) -> Voice:
        given = self._given[name]
        asked = told(given, name, self._setting.log.stream) if isinstance(given, Agent) else given
        voice = self.voices[name] = Voice(
            name, Member(name, asked, self._seat), self._progress.track(name), self._setting
        )
        return voice

    def _work(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._error = self._error or task.exception()

    async def _perform(self, voice: Voice) -> None:
        try:
            outcome = await self._outcome(voice)
            state = step(voice.live.state, outcome.event)
            if state is not State.COMPLETE:
                voice.rest(outcome)  # at once; complete is complete only when all of it is stored
                self._setting.changed()
            self._mark(voice.name, "agent_end", ending_of(state, outcome, voice))
            await self._setting.writer.flush()
            if state is State.COMPLETE:
                voice.rest(outcome)
        finally:
            voice.rested.set()  # whatever happened: others wait for it
        if state is State.FAILED and self._team.fail_fast:
            self._leave(TeamFailed(f"agent {voice.name} has failed, and the others end with it"))
        self._setting.changed()

    async def _outcome(self, voice: Voice) -> Outcome:
        if voice.since is None:
            try:
                await self._reopen()
            except LogDamaged as exc:
                return voice.give_up(exc)
        return await voice.run()

    def _leave(self, why: LeaseOver | TeamFailed | None) -> None:
        self._ends = lambda voice: voice.leave(why)
        self._wanted.clear()
        for voice in self.at_work:
            voice.leave(why)

    @asynccontextmanager
    async def turn(self, voice: Voice) -> AsyncIterator[None]:
        """Wait until *voice* may call, and say that it begins."""
        async with self._turns.turn(voice):
            parent = self._parents.get(voice.name)
            self._mark(voice.name, "agent_start", {"parent": parent} if parent else {})
            yield

    async def _reopen(self) -> None:
        """Open the stream anew for those that go on while others speak."""
        async with self._reopening:
            waiting = [voice for voice in self.voices.values() if voice.since is None]
            if not waiting:
                return
            log, writer = self._setting.log, self._setting.writer
            (last,) = await writer.read_back(lambda: log.read(self.opens[-1] - 1, limit=1))
            assert isinstance(last, Open)  # noqa: S101 - that is where it stands
            anew = replace(last, intent="resume", parent=None, at=self._setting.clock.time())
            self.opens.append(await writer.append(anew))
            for voice in waiting:
                voice.since = self.opens[-1]

    def _mark(self, name: str, kind: str, fields: Mapping[str, Any]) -> None:
        self._setting.writer.add((Part(kind, agent=name, fields=fields or None),), None, name)

    def _state(self, name: str) -> State:
        voice = self.voices.get(name)
        if voice is not None:
            return voice.live.state
        return state_of(self._progress.voices.get(name), lambda: name in self._stopped)

    def _is_at_rest(self, name: str) -> bool:
        voice = self.voices.get(name)
        return voice is None or voice.rested.is_set()

    def _error_of(self, name: str) -> Mapping[str, Any] | None:
        voice, track = self.voices.get(name), self._progress.track(name)
        if voice is None and name in self._stopped:
            return None
        error = voice.live.error if voice is not None else (track.ended or {}).get("error")
        if error is None or f"agent {name}:" in error["message"]:
            return error
        return {**error, "message": f"{name}: {error['message']}"}
