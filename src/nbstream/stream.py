"""`Stream`: what a user holds. A reader of the log, with the buttons."""

from __future__ import annotations

import threading
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Protocol

from nbstream import words
from nbstream.errors import LogDamaged, LogError
from nbstream.failure import exception_of
from nbstream.log.readback import PAGE
from nbstream.place import here
from nbstream.records import Delta
from nbstream.standing import Standing, in_short
from nbstream.state import State
from nbstream.transcript import Transcript
from nbstream.waiting import follow, wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Mapping

    from nbstream.errors import StreamError
    from nbstream.log.contract import Log, Status, Store
    from nbstream.pictures.timeline import Timeline
    from nbstream.recorder.at_work import AtWork
    from nbstream.records import Part, Record
    from nbstream.runtime import Runtime
    from nbstream.transcript import AgentText


class Host(Protocol):
    """Where streams are recorded; it knows how they go on."""

    @property
    def store(self) -> Store:
        """The store they lie in."""

    @property
    def runtime(self) -> Runtime:
        """The runtime of this process."""

    def open(self, stream: str, *, from_store: bool = False) -> Stream:
        """Return a stream that exists; it counts as displayed. *from_store*: as it is saved, without a call."""

    def resume(self, stream: Stream, agent: str | None = None) -> Stream:
        """See `Stream.resume`."""

    def continue_(self, stream: Stream) -> Stream:
        """See `Stream.continue_`."""

    def regenerate(self, stream: Stream, agent: str | None = None) -> Stream:
        """See `Stream.regenerate`."""

    def follow(self, stream: str) -> Callable[[], None]:
        """Hear at once of what recorders elsewhere do with *stream*; returns the end of that."""

    def press(self, status: Status, button: str, agent: str | None = None) -> None:
        """Tell a recorder elsewhere what the user wants."""


class Stream:
    """
    One message and everything that happens to it. Made by `nbstream.show`, `start`, `resume`, `regenerate`.

    All text attributes are what is *saved* so far; reading them never waits for the source.
    """

    def __init__(self, host: Host, log: Log, *, from_store: bool = False, offered_to: str | None = None) -> None:
        #: The key of the cell this stream was offered to: it is found there once it is resumed.
        self.offered_to = offered_to
        #: The run of a cell that shows this stream; empty where there is none.
        self.shown_in = ""
        self._host, self._log, self._from_store = host, log, from_store
        self._standing = Standing(host, log, from_store=from_store, offered=offered_to is not None)
        self._transcript = Transcript()
        self._reading = threading.Lock()

    def __repr__(self) -> str:
        return f"Stream {self.id}: {words.line(self.facts(), buttons=False)}"

    def _ipython_display_(self) -> None:
        """Print that line for a cell that ends with the stream, unless the cell shows it: the line would get stale."""
        if not self.shown_in or self.shown_in != here().run:
            print(self)  # noqa: T201 - what IPython asks for here

    # -- what was said ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The stream's id, for `%stream show ID`, `nbstream.resume(ID)`."""
        return self._log.stream

    @property
    def text(self) -> str:
        """The answer so far; with several agents all their texts, a blank line between."""
        return self._read().joined("text")

    @property
    def reasoning(self) -> str:
        """What the model let us see of its thinking."""
        return self._read().joined("reasoning")

    @property
    def refusal(self) -> str:
        """Why the model would not answer, in its words."""
        return self._read().joined("refusal")

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The tool calls so far: `{index, id, name, arguments}`, arguments as the JSON text that came."""
        return [call for agent in self._read().agents.values() for call in agent.tool_calls]

    @property
    def agents(self) -> Mapping[str, AgentText]:
        """What each agent said: `stream.agents["planner"].text`."""
        return self._read().agents

    @property
    def seams(self) -> list[Part]:
        """Where a new generation goes on behind the text of another (none unless the stream was continued)."""
        return [part for part in self._read().marks if part.kind == "seam"]

    @property
    def usage(self) -> Mapping[str, int]:
        """Tokens as the provider counted them: `input output reasoning cached total`; empty when it did not say."""
        close = self._status().close
        return close.usage if close else {}

    @property
    def finish(self) -> str | None:
        """Why the model ended: `stop length tool_calls content_filter refusal pause cancelled error other`."""
        close = self._status().close
        return close.finish if close else None

    @property
    def model(self) -> str | None:
        """The model's own name once it said it, else the one asked for."""
        status = self._status()
        return (status.close.model if status.close else None) or status.open.source.get("model")

    @property
    def title(self) -> str:
        """The beginning of the question, to recognise the stream by; empty when there is none."""
        return str(self._status().open.source.get("title", ""))

    @property
    def error(self) -> Mapping[str, Any] | None:
        """`{type, message, retryable}` of the last trouble, None when all is well."""
        recorder = self._recorder
        if recorder is not None:
            return recorder.live.error
        close = self._status().close
        return close.error if close else None

    @property
    def offset(self) -> int:
        """The last saved record."""
        return self._log.tail()

    # -- how it stands ------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the stream is now; equal to its name: `stream.state == "complete"`."""
        recorder = self._recorder
        return recorder.live.state if recorder is not None else self._status().state

    @property
    def settled(self) -> bool:
        """At rest, and everything that can be saved is saved."""
        recorder = self._recorder
        if recorder is not None:
            return not recorder.live.state.live and not recorder.live.saved
        return not self._status().state.live

    def facts(self) -> words.Facts:
        """Return what the state line says. Costs no more than what was appended since the last time."""
        return self._standing.facts()

    def agent_facts(self) -> dict[str, words.Facts]:
        """Return what the line of each agent says; empty for a source with one voice. Costs what `facts` costs."""
        return self._standing.agent_facts()

    @property
    def damage(self) -> LogDamaged | None:
        """Why the log cannot be read to its tail; None when it can. `text` raises it, views show what is before."""
        self._standing.read_on()
        return self._standing.damage

    @property
    def resumable(self) -> bool:
        """Whether the message can go on behind its last record without repeating text or money."""
        return self._standing.resumable

    def status(self) -> dict[str, Any]:
        """Return one dict: state, retries, speed (pieces per second), saved record, a page's pace and why, and more."""
        facts, recorder = self.facts(), self._recorder
        interval_s, why = self._host.runtime.page_interval(self.id)
        return {
            "id": self.id,
            **in_short(facts),
            "offset": facts.tail,
            "saved": facts.saved,
            "retry_in_s": facts.retry_in_s,
            "speed": facts.speed,
            "connections": recorder.live.connections if recorder else 0,
            "page_interval_s": interval_s,
            "page_interval_why": why,
            "host": self._recorded_by(facts),
            "agents": {name: in_short(facts) for name, facts in self.agent_facts().items()},
        }

    def timeline(self) -> Timeline:
        """
        Return a picture of what happened: text over time, saves, cuts, retries, resumes, stalls, Stop, the end.

        Drawn from the log: an SVG that the notebook file keeps and that needs no kernel. What a log of an older version
        does not tell (a retry, a silence that ended) is not in it.
        """
        from nbstream.pictures.story import Story
        from nbstream.pictures.timeline import Timeline

        facts = self.facts()
        now = time.time() if facts.state.live else None
        return Timeline(self.id, Story().read_on(self._log), words.line(facts, buttons=False), now=now)

    # -- the buttons --------------------------------------------------------------------------------------------

    def stop(self, agent: str | None = None) -> None:
        """
        Stop: the upstream call is closed at once and never resumes by itself. Twice, or at rest, changes nothing.

        *agent*: only that one of a team; the others go on.

        The intent is stored beside the log, so that it holds even if this process dies now, and reaches a recorder in
        another process within 250 ms.
        """
        agent, recorder = self._one(agent), self._recorder
        if recorder is not None:
            self._host.runtime.call(lambda: recorder.stop(agent))
        try:
            status = self._status()
            if status.close is None:
                stored = self._host.store.request_stop(self.id, opened=status.opened, agent=agent)
                if recorder is None:
                    self._host.press(status, "stop", agent)
                stored.result(5)
        except (LogError, TimeoutError, FutureTimeoutError):  # two classes before Python 3.11
            if recorder is None:
                raise
            # The socket is closed all the same; the recorder keeps the intent and says "not saved".

    def keep(self, agent: str | None = None) -> None:
        """Keep waiting: the answer to a stall, of one *agent* or of all."""
        agent, recorder = self._one(agent), self._recorder
        if recorder is not None:
            self._host.runtime.call(lambda: recorder.keep(agent))
        else:
            self._host.press(self._status(), "keep", agent)

    def resume(self, agent: str | None = None) -> Stream:
        """
        Go on behind the last record; attaches when somebody already does. It is an answer to a stall, too.

        A source that cannot resume gives the stream as it is saved; one that cannot be made again here (a Python
        object, a call with the user's own headers) raises `SourceRefused`. Of a team the unfinished agents go on, or
        only *agent*: then also one that was stopped, and the others are left alone.
        """
        return self._host.resume(self, self._one(agent))

    def continue_(self) -> Stream:
        """
        Let a new generation go on behind the text of a message that was cut and cannot be resumed.

        It costs a call and may say something else than the first one would have: the place is a seam (`seams`, and a
        line in the text). The text stays as it is but for its last word, which may be half of one and is taken back.
        The model gets the text as the beginning of its answer where it takes that, else in a further turn of the user;
        what it repeats is left out. Attaches when somebody already does; one that is complete is given as it is saved.
        Raises `SourceRefused` where it cannot be done (inside a tool call or reasoning, say), `StreamError` where
        `resume` does it.
        """
        return self._host.continue_(self)

    def regenerate(self, agent: str | None = None) -> Stream:
        """
        Ask the same question anew: returns a new stream whose parent is this one, which is kept.

        *agent*: only that one of a team is asked; the new stream says the same as this one of the others.
        """
        return self._host.regenerate(self, self._one(agent))

    def anew(self) -> Stream:
        """Return the same stream as the store has it now, after it has lost records that were read here."""
        new = Stream(self._host, self.store.log(self.id), from_store=self._from_store, offered_to=self.offered_to)
        new.shown_in = self.shown_in
        return new

    def other(self, stream: str) -> Stream:
        """Return another stream of the same store, as it is saved."""
        return self._host.open(stream, from_store=True)

    # -- waiting ------------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> State:
        """
        Wait until the stream is at rest, or *timeout* seconds; return its state.

        Interrupt (the stop button of the notebook, Ctrl-C) stops the stream and raises, so that Run All halts.
        """
        wait(self, timeout)
        return self.state

    def __await__(self) -> Generator[Any, None, str]:
        """Wait and return the text; raises unless the message is complete."""
        return self._text_when_complete().__await__()

    async def _text_when_complete(self) -> str:
        async for _ in self:
            pass
        if self.state is not State.COMPLETE:
            raise self.exception()
        return self.text

    def exception(self) -> StreamError:
        """Return the error that describes why the stream is not complete; its cause is what your code raised here."""
        error = {"type": self.damage.type} if self.damage else self.error or {}
        said = f"stream {self.id}: {words.line(self.facts(), buttons=False)}"
        return exception_of(error, said, self._host.runtime.raised(self.id))

    async def __aiter__(self) -> AsyncIterator[Part]:
        """Yield the parts from the beginning, each once it is saved, until the stream is at rest."""
        async for records in follow(self, self._page):
            for record in records:
                if isinstance(record, Delta):
                    for part in record.parts:
                        yield part

    def subscribe(self, look: Callable[[], None]) -> Callable[[], None]:
        """Call *look* (from any thread, must not block) when there may be news; returns the end of that."""
        ends = self._log.subscribe(look), self._host.runtime.subscribe(self.id, look), self._host.follow(self.id)

        def end() -> None:
            for one in ends:
                one()

        return end

    @property
    def log(self) -> Log:
        """The stream's log."""
        return self._log

    @property
    def store(self) -> Store:
        """The store it lies in."""
        return self._host.store

    def hold(self, who: str) -> Callable[[], None]:
        """Hold the stream: its call goes on as long as *who* does not end that."""
        end = self._host.runtime.hold(self.id, who)
        self._host.follow(self.id)()  # a relay hears of it, as long as it is held
        return end

    def _one(self, agent: str | None) -> str | None:
        """Return the agent of a team that is meant; a source with one voice has but that."""
        agents = self.agent_facts() if agent is not None else {}
        if agents and agent not in agents:
            raise ValueError(f"stream {self.id} has no agent {agent!r}: {', '.join(agents)}")
        return agent if agents else None

    @property
    def _recorder(self) -> AtWork | None:
        runtime = self._host.runtime
        recorder = runtime.at_work(self.id)
        if recorder is not None and runtime.recorder(self.id) is None and self._status().close is not None:
            return None  # at rest: what is heard of a recorder elsewhere may come behind its last record
        return recorder

    def _recorded_by(self, facts: words.Facts) -> str | None:
        if self._host.runtime.recorder(self.id) is not None:
            return "kernel"
        return "relay" if facts.outlives_kernel else "elsewhere" if facts.elsewhere else None

    def _status(self) -> Status:
        return self._host.store.status(self.id)

    def transcript(self) -> Transcript:
        """Return everything said so far, or before the damage, folded by agent. Holds the whole text."""
        try:
            return self._read()
        except LogDamaged:  # `damage` says so
            self._transcript.close = self._status().close
            return self._transcript

    def _read(self) -> Transcript:
        """Bring the transcript up to the tail and return it."""
        with self._reading:
            read = self._transcript
            while records := self._page(read.tail):
                read.add(records)
            return read

    def _page(self, after: int) -> list[Record]:
        try:
            return self._log.read(after, limit=PAGE)
        except LogDamaged as exc:
            self._standing.damage = exc
            raise
