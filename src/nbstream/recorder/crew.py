"""
The agents of a team at work: who calls when, who waits for whom, and what they come to together.

    wait_for  ->  limit  ->  the notebook's slots  ->  the call  ->  agent_end

Each agent is a voice that ends by itself, and its `agent_end` is a record: so a process that comes later knows whom not
to call again. Together they end as the first that applies: interrupted (an agent can go on), failed, stopped, complete.
An agent that goes on while others speak opens the stream anew, so that an older stop does not concern it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceError
from nbstream.log.readback import parts_of
from nbstream.recorder.ending import Ended
from nbstream.recorder.plan import agents_of, state_of
from nbstream.recorder.together import ENDINGS, ending_of, in_words, live_of
from nbstream.recorder.voice import Voice
from nbstream.records import Close, Open, Part
from nbstream.sources import as_source
from nbstream.sources.member import Gone, Member, check_name
from nbstream.state import Event, State, step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from nbstream.recorder.at_work import AgentAtWork
    from nbstream.recorder.live import Live
    from nbstream.recorder.plan import Plan
    from nbstream.recorder.progress import Progress
    from nbstream.recorder.voice import Setting
    from nbstream.records import Finish, How
    from nbstream.sources.contract import Source
    from nbstream.sources.team import Team


class Crew:
    """
    The voices of *team*, of which *progress* is stored.

    *plan* names those that are called, None is all. To the functions of a team this is the
    `TeamAtWork`.
    """

    def __init__(self, team: Team, progress: Progress, setting: Callable[[Crew], Setting], plan: Plan | None) -> None:
        self.opens = [progress.tail]
        self._team, self._progress = team, progress
        self._given = agents_of(team, progress)
        self._after, self._parents = dict(team.wait_for), dict(team.parents)
        self._parents.update((name, track.parent) for name, track in progress.voices.items() if track.parent)
        self._setting = setting(self)
        self._limit = asyncio.Semaphore(team.limit) if team.limit else None
        self._queue: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._reopening = asyncio.Lock()
        self.voices: dict[str, Voice] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = plan.stopped if plan else ()
        for name in plan.called if plan else self._given:
            self._add(name).since = progress.tail

    # -- as a recorder sees it ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Let those that are called go to work."""
        for name in self._stopped:
            self._mark(name, "agent_end", {"status": "stopped", "finish": "cancelled"})
        self._tasks.append(asyncio.ensure_future(self._setting.writer.flush()))
        self._tasks += [asyncio.ensure_future(self._perform(voice)) for voice in self.voices.values()]

    @property
    def working(self) -> set[asyncio.Task[None]]:
        """What is still to come to an end."""
        return {task for task in self._tasks if not task.done()}

    def check(self) -> None:
        """Raise what an agent met and could not tell."""
        for task in self._tasks:
            task.result()

    @property
    def at_work(self) -> list[Voice]:
        """The voices whose calls may still be told something."""
        return [voice for voice in tuple(self.voices.values()) if voice.outcome is None]

    def chosen(self, agent: str | None) -> list[Voice]:
        """Return the voices that *agent* means: None is all that are called."""
        return [voice for name, voice in self.voices.items() if agent in (None, name)]

    def stop(self, agent: str | None) -> None:
        """See `Recorder.stop`. One that was interrupted before is stopped too: it does not go on by itself."""
        for voice in self.chosen(agent):
            if voice.outcome is None:
                voice.stop()
            elif voice.live.state is State.INTERRUPTED and voice.rested.is_set():
                voice.live.state = step(voice.live.state, Event.STOP)
                self._mark(voice.name, "agent_end", {"status": "stopped", "finish": "cancelled"})

    def resume(self, agent: str | None) -> None:
        """See `Recorder.reconnect`."""
        unfinished = {State.INTERRUPTED, State.FAILED} | ({State.STOPPED} if agent else set())
        for name in [agent] if agent in self._given else [] if agent else list(self._given):
            voice = self.voices.get(name)
            if voice is not None and voice.outcome is None:
                voice.reconnect()
            elif self._state(name) in unfinished and (voice is None or voice.rested.is_set()):
                new = self._add(name)
                if new.can_reconnect and not isinstance(self._given[name], Gone):
                    self._tasks.append(asyncio.ensure_future(self._perform(new)))
                elif voice is not None:
                    self.voices[name] = voice
                else:
                    del self.voices[name]
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
        state = next(state for state in ENDINGS if state in states.values())
        of_state = [name for name in states if states[name] is state]
        usage: Counter[str] = Counter()
        for track in self._progress.voices.values():
            usage.update(track.usage)
        how: How = state.value  # type: ignore[assignment]  # all are at rest
        return Close(
            how=how, at=at, finish=self._finish(state), usage=dict(usage), model=self.model,
            error=next((error for name in of_state if (error := self._error(name)) is not None), None),
            chars=self._progress.chars,
        )  # fmt: skip

    # -- as an agent's function sees it: from any thread --------------------------------------------------------

    def __getitem__(self, name: str) -> str:
        """See `TeamAtWork`."""
        if name not in self._given:
            raise KeyError(name)
        parts = parts_of(self._setting.log)
        return "".join(part.text for part in parts if part.kind == "text" and part.agent == name)

    def spawn(self, name: str, source: Any, *, parent: str | None = None, wait_for: Iterable[str] = ()) -> None:
        """See `TeamAtWork`."""
        check_name(name)
        given = as_source(source)
        after = tuple(wait_for)
        if missing := [one for one in (*after, *([parent] if parent else [])) if one not in self._given]:
            raise ValueError(f"spawn({name!r}): {missing[0]!r} is none of the agents")
        self._loop.call_soon_threadsafe(self._spawn, name, given, parent, after)

    def _spawn(self, name: str, source: Source, parent: str | None, after: tuple[str, ...]) -> None:
        if name in self._given and self._state(name) not in (State.INTERRUPTED, State.FAILED):
            return
        self._given[name] = source
        self._after[name] = after
        if parent is not None:
            self._parents[name] = parent
        voice = self._add(name)
        voice.since = self.opens[-1]
        self._tasks.append(asyncio.ensure_future(self._perform(voice)))
        self._setting.changed()

    # -- one agent ----------------------------------------------------------------------------------------------

    def _add(self, name: str) -> Voice:
        member = Member(name, self._given[name], self)
        voice = self.voices[name] = Voice(name, member, self._progress.track(name), self._setting)
        return voice

    async def _perform(self, voice: Voice) -> None:
        if voice.since is None:
            await self._reopen()
        outcome = await voice.run()
        state = step(voice.live.state, outcome.event)
        if state is not State.COMPLETE:
            voice.rest(outcome)  # at once; complete is complete only when all of it is stored
            self._setting.changed()
        self._mark(voice.name, "agent_end", ending_of(state, outcome, voice))
        await self._setting.writer.flush()
        if state is State.COMPLETE:
            voice.rest(outcome)
        voice.rested.set()
        if state is State.FAILED and self._team.fail_fast:
            for other in self.at_work:
                other.leave(f"agent {voice.name} has failed, and the others end with it")
        self._setting.changed()

    @asynccontextmanager
    async def turn(self, voice: Voice) -> AsyncIterator[None]:
        """Wait until *voice* may call: those before it are complete, and there is a place."""
        await self._others(voice)
        async with self._place(voice):
            source = {} if voice.name in self._team.agents else {"source": dict(voice.source.spec)}
            parent = self._parents.get(voice.name)
            self._mark(voice.name, "agent_start", {**({"parent": parent} if parent else {}), **source})
            yield

    async def _others(self, voice: Voice) -> None:
        names = self._after.get(voice.name, ())
        waiting = [name for name in names if name in self.voices and not self.voices[name].rested.is_set()]
        if waiting:
            self._mark(voice.name, "waiting", {"on": waiting})
            voice.live.note = f"waiting for {', '.join(waiting)}"
            self._setting.changed()
            await asyncio.gather(*(self.voices[name].rested.wait() for name in waiting))
            voice.live.note = None
        for name in names:
            state = self._state(name)
            if state is not State.COMPLETE:
                raise Ended(Event.CUT, SourceError(f"it waits for {name}, which is {state}"))

    @asynccontextmanager
    async def _place(self, voice: Voice) -> AsyncIterator[None]:
        if self._limit is None:
            yield
            return
        if self._limit.locked():
            self._mark(voice.name, "waiting", {"on": []})
            self._queue.append(voice.name)
        self._tell_queue()
        try:
            await self._limit.acquire()
        finally:
            if voice.name in self._queue:
                self._queue.remove(voice.name)
            self._tell_queue()
        try:
            voice.live.note = None
            yield
        finally:
            self._limit.release()

    def _tell_queue(self) -> None:
        for place, name in enumerate(self._queue):
            before = f", {place} before it" if place else ""
            self.voices[name].live.note = f"waiting for a slot{before}"
        self._setting.changed()

    async def _reopen(self) -> None:
        """Open the stream anew for those that go on while others speak."""
        async with self._reopening:
            waiting = [voice for voice in self.voices.values() if voice.since is None]
            if not waiting:
                return
            log = self._setting.log
            (last,) = await asyncio.to_thread(log.read, self.opens[-1] - 1, limit=1)
            assert isinstance(last, Open)  # noqa: S101 - that is where it stands
            anew = replace(last, intent="resume", parent=None, at=self._setting.clock.time())
            self.opens.append(await self._setting.writer.append(anew))
            for voice in waiting:
                voice.since = self.opens[-1]

    def _mark(self, name: str, kind: str, fields: Mapping[str, Any]) -> None:
        self._setting.writer.add((Part(kind, agent=name, fields=fields or None),), None, name)

    def _state(self, name: str) -> State:
        voice = self.voices.get(name)
        if voice is not None:
            return voice.live.state
        return state_of(self._progress.voices.get(name), lambda: name in self._stopped)

    def _error(self, name: str) -> Mapping[str, Any] | None:
        voice, track = self.voices.get(name), self._progress.track(name)
        error = voice.live.error if voice is not None else (track.ended or {}).get("error")
        return {**error, "message": f"{name}: {error['message']}"} if error else None

    def _finish(self, state: State) -> Finish:
        if state is not State.COMPLETE:
            return "error" if state is State.FAILED else "cancelled"
        ends = ((self._progress.track(name).ended or {}).get("finish") for name in self._given)
        finish: Finish = next((end for end in ends if end not in (None, "stop")), "stop")
        return finish
