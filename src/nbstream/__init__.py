"""
Stream LLM output into live Jupyter cells; every piece is saved before it is shown.

    %load_ext nbstream
    %%stream                      the cell is the prompt

    stream = nbstream.show(source)   returns at once; recording and display go on
    text = await stream              the whole text, when done
    stream.stop(); nbstream.resume(stream.id); nbstream.regenerate(stream.id)

Importing this package costs nothing: everything is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nbstream.version import __version__ as __version__

if TYPE_CHECKING:
    from nbstream.api import clean, continue_, inspect, regenerate, replay, resume, show, start, streams
    from nbstream.conversation import Conversation
    from nbstream.errors import (
        Fenced,
        LeaseOver,
        LogDamaged,
        LogError,
        NoStore,
        NotCancelled,
        RecordsLost,
        RelayError,
        SourceError,
        SourceLost,
        SourceMalformed,
        SourceRefused,
        SourceSilent,
        StoreFull,
        StreamError,
        StreamGone,
        TeamFailed,
    )
    from nbstream.log.stores import open_store
    from nbstream.overview import on_excess, usage
    from nbstream.sources.agent import Agent
    from nbstream.sources.http.sse import sse
    from nbstream.sources.models.chat import chat
    from nbstream.sources.team import merge
    from nbstream.state import State
    from nbstream.stream import Stream

_ERRORS = (
    "Fenced", "LeaseOver", "LogDamaged", "LogError", "NoStore", "NotCancelled", "RecordsLost", "RelayError",
    "SourceError", "SourceLost", "SourceMalformed", "SourceRefused", "SourceSilent", "StoreFull", "StreamError",
    "StreamGone", "TeamFailed",
)  # fmt: skip
_HOMES = {
    **dict.fromkeys(
        ("clean", "continue_", "inspect", "regenerate", "replay", "resume", "show", "start", "streams"), "nbstream.api"
    ),
    **dict.fromkeys(_ERRORS, "nbstream.errors"),
    **dict.fromkeys(("on_excess", "usage"), "nbstream.overview"),
    "open_store": "nbstream.log.stores",
    "chat": "nbstream.sources.models.chat",
    "sse": "nbstream.sources.http.sse",
    "Agent": "nbstream.sources.agent",
    "merge": "nbstream.sources.team",
    "State": "nbstream.state",
    "Stream": "nbstream.stream",
    "Conversation": "nbstream.conversation",
}

__all__ = [
    "Agent", "Conversation", "Fenced", "LeaseOver", "LogDamaged", "LogError", "NoStore", "NotCancelled", "RecordsLost",
    "RelayError", "SourceError", "SourceLost", "SourceMalformed", "SourceRefused", "SourceSilent", "State", "StoreFull",
    "Stream", "StreamError", "StreamGone", "TeamFailed", "chat", "clean", "continue_", "inspect", "merge", "on_excess",
    "open_store", "regenerate", "replay", "resume", "show", "sse", "start", "streams", "usage",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module 'nbstream' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nbstream`: adds `%%stream` and `%stream`. Prints nothing; loading twice changes nothing."""
    from nbstream.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nbstream`: takes the magics and what was started away again."""
    from nbstream.magics import unload

    unload(shell)
