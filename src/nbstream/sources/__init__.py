"""Sources: iterators of deltas, one file a format. Whatever a user hands over becomes one here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbstream.sources.contract import Source


def as_source(given: Any) -> Source:
    """
    Return *given* if it is a source, else the source for a Python object.

    Raises `TypeError` with one line for what cannot be streamed.
    """
    if hasattr(given, "connect") and hasattr(given, "spec"):
        source: Source = given
        return source
    if isinstance(given, str):
        msg = "show() takes a source, not a prompt: nbstream.show(nbstream.chat('...'))"
        raise TypeError(msg)
    from nbstream.sources.objects import from_object

    return from_object(given)
