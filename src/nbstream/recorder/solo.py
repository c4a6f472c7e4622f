"""A source with one voice: what it comes to is what its stream comes to."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

from nbstream.errors import LeaseOver
from nbstream.recorder.ending import error_json
from nbstream.recorder.voice import Voice
from nbstream.records import Close, How
from nbstream.state import step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from nbstream.recorder.at_work import AgentAtWork
    from nbstream.recorder.ending import Outcome
    from nbstream.recorder.live import Live
    from nbstream.recorder.progress import Progress
    from nbstream.recorder.voice import Setting
    from nbstream.sources.contract import Source


class Solo:
    """The one voice of a recorder, in the place of a `Crew`."""

    agents: Mapping[str, AgentAtWork] = {}

    def __init__(self, source: Source, progress: Progress, setting: Callable[[Solo], Setting], live: Live) -> None:
        self.opens = [progress.tail]
        self._progress = progress
        self._voice = Voice("", source, progress, setting(self), live)
        self._voice.since = progress.tail
        self.voices = {"": self._voice}
        self._task: asyncio.Task[Outcome] | None = None

    def begin(self) -> None:
        """Call."""
        self._task = asyncio.ensure_future(self._voice.run())

    @property
    def working(self) -> set[asyncio.Task[Outcome]]:
        """What is still to come to an end."""
        return {self._task} if self._task is not None and not self._task.done() else set()

    def close(self) -> None:
        """Let nobody begin any more: there is nobody else."""

    def check(self) -> None:
        """Raise what the voice met and could not tell."""
        if self._task is not None:
            self._task.result()

    @property
    def at_work(self) -> list[Voice]:
        """The voices whose calls may still be told something."""
        return [self._voice]

    @property
    def stoppable(self) -> list[tuple[str, Voice | None, int]]:
        """The voice, with the `open` it began with."""
        return [("", self._voice, self.opens[0])] if self._voice.outcome is None else []

    def chosen(self, agent: str | None) -> list[Voice]:  # noqa: ARG002 - there is but one
        """Return the voices that *agent* means."""
        return [self._voice]

    def stop(self, agent: str | None) -> None:  # noqa: ARG002 - as above
        """See `Recorder.stop`."""
        self._voice.stop()

    def leave(self, why: str | None) -> None:
        """See `Recorder.leave`."""
        self._voice.leave(None if why is None else LeaseOver(why))

    def resume(self, agent: str | None) -> None:  # noqa: ARG002 - as above
        """See `Recorder.reconnect`."""
        self._voice.reconnect()

    def turn(self, voice: Voice) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 - as above
        """Wait for nobody."""
        return nullcontext()

    def live_of_all(self, live: Live) -> Live:
        """Return what is true of the whole, which is what is true of its voice."""
        return live

    @property
    def note(self) -> str | None:
        """See `Recorder.note`."""
        return self._voice.note

    @property
    def model(self) -> str | None:
        """See `Recorder.model`."""
        return self._progress.model

    def closing(self, at: float) -> Close:
        """Say how the call ended."""
        outcome = self._voice.outcome
        assert outcome is not None  # noqa: S101 - its task has ended well
        how: How = step(self._voice.live.state, outcome.event).value  # type: ignore[assignment]  # all are at rest
        return Close(
            how=how,
            at=at,
            finish=outcome.finish,
            raw_finish=outcome.end.raw_finish if outcome.end else None,
            usage=self._voice.intake.usage,
            error=error_json(outcome.error) if outcome.error else None,
            model=self._progress.model,
            chars=self._voice.intake.chars,
        )
