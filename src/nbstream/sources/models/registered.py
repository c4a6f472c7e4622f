"""
Models that other packages add.

A package registers a name in the entry-point group `nbstream.sources`; the object is a function
`make(model, messages, **params)`, called for `chat(model="NAME:MODEL")` with what stands behind the colon, the messages
(the system message in front) and every further argument of `chat` that was given. It returns whatever `nbstream.show`
takes: a source of `nbstream.sse` or `nbstream.chat`, a factory, an iterator.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from nbstream.sources import as_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbstream.sources.contract import Source
    from nbstream.sources.models.messages import Message

GROUP = "nbstream.sources"


def registered() -> dict[str, EntryPoint]:
    """Return what installed packages have registered, by name; of two under one name the first on the path counts."""
    found: dict[str, EntryPoint] = {}
    for one in entry_points(group=GROUP):
        found.setdefault(one.name, one)
    return dict(sorted(found.items()))


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package that registered *entry*."""
    return entry.dist.name if entry.dist is not None else entry.value


def made_by(entry: EntryPoint, model: str, messages: Sequence[Message], given: Mapping[str, Any]) -> Source:
    """
    Let a package make the source; raises `ValueError` with one line if it cannot be loaded.

    What its function raises about the arguments goes to the user as it is.
    """
    try:
        make = entry.load()
    except Exception as exc:
        what = f"{entry.name}: of the package {package_of(entry)} cannot be loaded ({type(exc).__name__}: {exc})"
        raise ValueError(f"the model {what}") from exc
    source = make(model, messages, **given)
    try:
        return as_source(source)
    except TypeError as exc:
        raise TypeError(f"the model {entry.name}: of the package {package_of(entry)}: {exc}") from None
