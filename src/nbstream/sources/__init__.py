"""Sources: iterators of deltas, one file a format. Whatever a user hands over becomes one here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.sources.contract import Source


def as_source(given: Any, *, cumulative: bool = False) -> Source:
    """
    Return *given* if it is a source, else the source for a Python object, *cumulative* or not: see `from_object`.

    Raises `TypeError` with one line for what cannot be streamed.
    """
    if hasattr(given, "connect") and hasattr(given, "spec"):
        if cumulative:
            raise TypeError("cumulative=True is for iterators that repeat the whole text: leave it out here")
        source: Source = given
        return source
    if isinstance(given, str):
        msg = "show() takes a source, not a prompt: nbstream.show(nbstream.chat('...'))"
        raise TypeError(msg)
    from nbstream.sources.objects.source import from_object

    return from_object(given, cumulative=cumulative)


def from_spec(spec: Mapping[str, Any]) -> Source:
    """
    Make the source again that the log describes, in a process that never saw it.

    Raises `SourceRefused` with one line for what cannot be made from its description: a Python object, or a call whose
    keys were given by the user's code. A team is made again with those of its agents that can be.
    """
    if "agents" in spec:
        from nbstream.sources.team import of_spec

        return of_spec(spec, from_spec)
    if spec.get("kind") != "sse" or str(spec.get("format", "")).startswith("read:"):
        msg = "it came from Python code of the notebook: run the cell that made it"
        raise SourceRefused(msg)
    from nbstream.sources.http.call import Call
    from nbstream.sources.http.sse import SSESource

    return SSESource(Call.of_spec(spec), spec["format"])
