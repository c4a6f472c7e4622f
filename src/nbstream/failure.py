"""The exception for a stream that is not complete: what its log says, and what the user's own code raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream import errors
from nbstream.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def exception_of(error: Mapping[str, Any], said: str, raised: Iterable[tuple[str, BaseException]] = ()) -> StreamError:
    """
    Return the exception that says *said*, of the kind that *error* (`{type, message, ...}` or nothing) names.

    *raised*: what the user's code raised in this process, with the message that went into the log: the one that *error*
    tells of is its cause. A traceback is in no log, so elsewhere, and after a restart, there is none.
    """
    kind = getattr(errors, error.get("type", ""), StreamError)
    made: StreamError = kind(said) if issubclass(kind, StreamError) else StreamError(said)
    made.original = next((exc for told, exc in raised if told in error.get("message", "")), None)
    if made.original is not None:
        made.__cause__ = made.original  # as `raise ... from` does, for whoever raises it
    return made
