"""How a call ends: what its task came to, and telling the upstream that nobody wants the rest."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from nbstream.errors import LeaseOver, NotCancelled, SourceError, StreamError, TeamFailed
from nbstream.records import whole_characters
from nbstream.sources.redaction import Redactor, secrets_of_environment
from nbstream.sources.refusal import plain_text
from nbstream.state import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.clock import Clock
    from nbstream.recorder.live import Live
    from nbstream.records import Cursor, Finish
    from nbstream.sources.contract import End, Source

#: How long an upstream has to answer that it ends a call.
CANCEL_S = 5.0
NOTE = "telling the server to end the call"


class Ended(Exception):
    """The call is over without an end mark."""

    def __init__(self, event: Event, error: SourceError) -> None:
        super().__init__(str(error))
        self.event, self.error = event, error


class Outcome(NamedTuple):
    """What a call came to."""

    event: Event
    end: End | None = None
    error: StreamError | None = None

    @classmethod
    def of(cls, pulled: asyncio.Task[End], intent: Event | None, left: StreamError | None) -> Outcome:
        """Read it from the task that made the call, and from what it was cancelled for."""
        try:
            end = pulled.result()
            raw = end.raw_finish and whole_characters(end.raw_finish)  # as the server wrote it
            return cls(Event.FINISHED, end._replace(raw_finish=raw))
        except asyncio.CancelledError:
            return cls(Event.STOP) if intent is Event.STOP else cls(Event.LEFT, error=left)
        except Ended as ended:
            if intent is Event.STOP and ended.event is not Event.REFUSED:
                return cls(Event.STOP)  # it came in the moment of the cut: nothing may resume it
            return cls(ended.event, error=ended.error)

    @property
    def finish(self) -> Finish:
        """How the `close` calls it."""
        if self.end is not None:
            return self.end.finish
        return "error" if isinstance(self.error, SourceError) else "cancelled"

    @property
    def interrupted(self) -> bool:
        """Whether somebody may go on by itself."""
        return self.event not in (Event.FINISHED, Event.STOP, Event.REFUSED)

    @property
    def unwanted(self) -> bool:
        """Whether nobody wants the rest. A process that just goes does not count: another one may resume the call."""
        return self.event is Event.STOP or isinstance(self.error, (LeaseOver, TeamFailed))

    def add(self, remark: NotCancelled) -> Outcome:
        """Return the outcome with one more line in its error."""
        return self._replace(error=remark if self.error is None else type(self.error)(f"{self.error}; {remark}"))


async def call_off(
    source: Source, cursor: Cursor | None, live: Live, clock: Clock, changed: Callable[[], None]
) -> NotCancelled | None:
    """
    Tell the upstream that nobody wants the rest, and return what went wrong with that, if anything did.

    The note of *live* says so meanwhile, if that takes longer than a moment; *changed* is called then.
    """
    telling = asyncio.ensure_future(source.cancel(cursor))
    limit = asyncio.ensure_future(clock.sleep(CANCEL_S))
    try:
        await asyncio.sleep(0)
        if not telling.done():
            live.note = live.note or NOTE
            changed()
            await asyncio.wait({telling, limit}, return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            return _not_cancelled(f"no answer within {CANCEL_S:g} s")
        error = asyncio.CancelledError() if telling.cancelled() else telling.exception()
        if error is None:
            return None
        return _not_cancelled(str(error) if isinstance(error, StreamError) else f"{type(error).__name__}: {error}")
    finally:
        await ended(telling, limit)
        if live.note == NOTE:
            live.note = None


def _not_cancelled(why: str) -> NotCancelled:
    # What a source raises is redacted; what a library under it raises is not.
    said = plain_text(Redactor(secrets_of_environment(os.environ))(why))
    return NotCancelled(f"the server could not be told to end the call and may go on with it: {said}")


def error_json(error: StreamError) -> dict[str, Any]:
    """Return *error* as `close` records carry it."""
    return {"type": error.type, "message": whole_characters(str(error)), "retryable": error.retryable}


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel *tasks* and wait until they have cleaned up; what they returned or raised is asked for elsewhere."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
