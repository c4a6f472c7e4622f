"""
Everything that can go wrong, as one short tree.

    StreamError
      SourceError:  SourceLost  SourceSilent  SourceRefused(status)  SourceMalformed
      LogError:     Fenced  StreamGone  LogDamaged (RecordsLost)  StoreFull  NoStore
      RelayError(status)
      LeaseOver  TeamFailed  NotCancelled

The tree says what happened; `nbstream.state` decides what follows. A message names what failed, in which stream, at
which offset, and what to do now.
"""

from __future__ import annotations

import traceback


class StreamError(Exception):
    """Anything nbstream reports about a stream."""

    #: May the same request be sent again without asking the user (as far as the error itself can tell)?
    retryable = False
    #: What the user's own code raised, as long as the process lives that ran it; also its `__cause__`.
    original: BaseException | None = None

    @property
    def type(self) -> str:
        """Name of the error as `close` records and pages carry it."""
        return type(self).__name__

    def _render_traceback_(self) -> list[str]:
        """Show one line in IPython, behind what the user's code raised: our own frames say nothing to a user."""
        line, raised = f"{self.type}: {self}", self.original
        if raised is None:
            return [line]
        shown = "".join(traceback.format_exception(type(raised), raised, raised.__traceback__))
        return [*shown.splitlines(), "", line]


class SourceError(StreamError):
    """The upstream did not deliver."""


class SourceLost(SourceError):
    """The connection could not be made, or ended without the source's own end mark."""

    retryable = True


class SourceSilent(SourceError):
    """The connection stands but nothing comes (seconds of silence in the message)."""


class SourceRefused(SourceError):
    """
    The upstream answered, and the answer was no.

    `status` is the HTTP status (None for an error frame inside the stream), `retry_after_s` the wait the server asked
    for, in seconds. `starting`: the server is there and says that it is not ready yet, as while it loads its model.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
        starting: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.starting = starting


class SourceMalformed(SourceError):
    """
    The upstream sent something that is not its format, not the same text again, or text with a hole.

    A hole is `retryable`: asked again behind the last record, the source may send what is missing.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class LogError(StreamError):
    """The store could not do what was asked."""


class Fenced(LogError):
    """An append came from a writer that is no longer (or never was) the writer of this stream."""


class StreamGone(LogError):
    """The stream has expired, was deleted, or never was in this store."""


class LogDamaged(LogError):
    """A record is not readable; the message names stream and offset. The records before it stay readable."""


class RecordsLost(LogDamaged):
    """The store has lost records that were read here; who begins at the beginning reads what is left."""


class StoreFull(LogError):
    """The store has no room or cannot be written; nothing of the refused batch was stored."""

    retryable = True


class NoStore(LogError, ValueError):
    """What is given as the address of a store is none."""


class RelayError(StreamError):
    """
    The relay cannot be reached or started, or refused what was asked.

    `status` is its HTTP status, None when there was no answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class LeaseOver(StreamError):
    """Nobody held the stream for longer than it lingers, so its call was ended. What came is saved."""

    retryable = True


class TeamFailed(StreamError):
    """Another agent of a team that fails fast has failed, so this one's call was ended. What came is saved."""

    retryable = True


class NotCancelled(StreamError):
    """The call was ended here, but the upstream, which needs to be told, could not be: it may go on, and cost."""
