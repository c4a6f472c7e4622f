"""How much, and how long, the relay's HTTP side puts up with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HTTPLimits:
    """Times are seconds. The defaults are those of docs/protocol.md; tests shorten them."""

    #: Connections at once; one more is told 503 and closed.
    connections: int = 1500
    #: Readers of one stream at once: open event streams and waiting polls.
    readers: int = 64
    body_bytes: int = 16 * 2**20
    #: One write of an event stream: what a reader that takes nothing can cost in memory.
    batch_bytes: int = 256 * 1024
    page_bytes: int = 2**20
    page_records: int = 1000

    #: A whole request head must be there after so long, the body after so long again.
    head_s: float = 10.0
    body_s: float = 30.0
    #: An idle connection stays for its next request.
    keep_alive_s: float = 30.0
    #: A client that takes nothing of what was written for it is cut off.
    send_s: float = 30.0
    #: Comments in silence. Clients count a connection as dead after three of them.
    ping_s: float = 15.0
    #: Live status is looked at this often at most: 5 times a second.
    live_s: float = 0.2
    #: Longest wait of a poll.
    wait_s: float = 30.0
    ticket_s: float = 60.0
    cookie_s: float = 3600.0
