"""
Waking an iterator that waits for its server: nothing but the end of its socket does.

Closing would not wake a read, and `SSLSocket.shutdown` would take the reader's TLS state away under it: so the plain
socket is shut, and the read that waits for it ends.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from types import FrameType

#: From the call that waits outwards: TLS and buffers lie between a library and its socket.
FRAMES = 4


def shut_what_it_reads(thread: threading.Thread) -> None:
    """
    Shut the socket that *thread* waits for, whichever library reads it: it stands in its innermost frames.

    Nothing happens if it waits for something else.
    """
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - the only way to look at another thread
    for value in _locals(frame):
        found = next((one for one in (value, *_held(value)) if isinstance(one, socket.socket)), None)
        if found is not None:
            _shut(found)
            return


def shut_under(stream: Any) -> None:
    """Shut the socket under an SDK's *stream*, where its response leads to it."""
    response = getattr(stream, "response", None) or getattr(stream, "_response", None)
    extensions = getattr(response, "extensions", None)
    network: Any = extensions.get("network_stream") if isinstance(extensions, dict) else None
    found = network.get_extra_info("socket") if hasattr(network, "get_extra_info") else None
    found = getattr(found, "_sock", found)  # asyncio hands out a wrapper
    if isinstance(found, socket.socket):
        _shut(found)


def _locals(frame: FrameType | None) -> Iterator[Any]:
    for _ in range(FRAMES):
        if frame is None:
            return
        yield from list(frame.f_locals.values())
        frame = frame.f_back


def _held(value: Any) -> list[Any]:
    """Return what a stream of a library, or a file made of a socket, calls its socket."""
    held = getattr(value, "__dict__", None) or {}
    return [held[name] for name in ("_sock", "sock", "_socket") if name in held]


def _shut(found: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already closed
        socket.socket.shutdown(found, socket.SHUT_RDWR)
