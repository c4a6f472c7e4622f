"""
How often and how much a page is sent. Pure: time and measurements come in as arguments.

Measured (JupyterLab 4.6, a token every 10 ms): a comm message costs about 650 bytes on the websocket whatever it
carries, an acknowledgement with the kernel's busy and idle messages about 1.4 kB. Eight pages a second read as
smoothly as twenty and stay within 0.25 MB for 20 s.
"""

from __future__ import annotations

#: Shortest time between two live pages of a stream, and the longest a slow page can stretch it to, seconds.
SHORTEST_S = 0.12
LONGEST_S = 1.0
#: A page may spend half its time painting. (The page itself spends less on small pieces; with 5 here, 1 MB at full
#: speed took 6 s to show, because each 64 KiB page was followed by a pause of four times its painting.)
SHARE = 2
#: Text of one live page, and of one answer to `ask`, bytes.
LIVE_BYTES = 64 * 1024
ASKED_BYTES = 1024 * 1024
#: A page that has not acknowledged this much is slow: the rest merges until it does.
UNACKED_BYTES = 2 * LIVE_BYTES
#: Without an acknowledgement for this long (a blocking cell hides it) we go on, at one page in this time.
SILENT_S = 1.0
#: Messages a second, over all streams of a kernel; the server drops everything beyond 1,000.
KERNEL_RATE = 100


def interval_s(render_ms: float) -> float:
    """Return the time between two live pages for a page that needs *render_ms* to paint one."""
    return min(LONGEST_S, max(SHORTEST_S, SHARE * render_ms / 1000))


def wait_s(now: float, *, sent_at: float, acked_at: float, unacked: int, render_ms: float) -> float:
    """
    Return how long the next live page has to wait (0: send it now).

    *sent_at*: the last live page; *acked_at*: the last sign of the page; *unacked*: bytes on their way.
    """
    pause = interval_s(render_ms)
    if unacked >= UNACKED_BYTES:
        pause = max(pause, SILENT_S) if now - acked_at >= SILENT_S else SILENT_S - (now - acked_at) + now - sent_at
    return max(0.0, sent_at + pause - now)
