"""
What tests need to put a stream through its paces, ours and yours: nothing here is a mock.

- `FaultServer` with `Answer`, `Pause`: a real HTTP server on 127.0.0.1 that cuts, stalls, resets and lies on command;
  `Request` is what it was asked.
- `ScriptedSource`: a source that says what the test scripted; `SILENCE` and `PING` are steps of its script.
- `Gate`: a step of either script that waits for the test.
- `ChildKernel`: a Jupyter kernel to kill.
- `PlayedPage`: a kernel and the page in front of it, without a browser.
- `RelayProcess`: a relay with a store of its own, for what is said over HTTP.
- `FakeClock`: time that passes when the test says so.
- `read_sse`: bytes in, server-sent events out, through the reader that streams use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.testing.answer import Answer, Pause, Request
from nbstream.testing.fake_clock import FakeClock
from nbstream.testing.fault_server import FaultServer
from nbstream.testing.gate import Gate
from nbstream.testing.scripted import PING, SILENCE, ScriptedSource

if TYPE_CHECKING:
    from nbstream.testing.child_kernel import ChildKernel
    from nbstream.testing.played_page import PlayedPage
    from nbstream.testing.relay_process import RelayProcess
    from nbstream.testing.sse_bytes import read_sse

__all__ = [
    "PING",
    "SILENCE",
    "Answer",
    "ChildKernel",
    "FakeClock",
    "FaultServer",
    "Gate",
    "Pause",
    "PlayedPage",
    "RelayProcess",
    "Request",
    "ScriptedSource",
    "read_sse",
]


def __getattr__(name: str) -> Any:
    if name == "ChildKernel":  # imports jupyter_client
        from nbstream.testing.child_kernel import ChildKernel

        return ChildKernel
    if name == "read_sse":  # imports httpx
        from nbstream.testing.sse_bytes import read_sse

        return read_sse
    if name == "PlayedPage":  # imports jupyter_client
        from nbstream.testing.played_page import PlayedPage

        return PlayedPage
    if name == "RelayProcess":  # imports what a relay needs
        from nbstream.testing.relay_process import RelayProcess

        return RelayProcess
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
