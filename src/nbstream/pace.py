"""
How often and how much a page is sent, and why. Pure: time and measurements come in as arguments.

Measured (JupyterLab 4.6, a token every 10 ms): a comm message costs about 850 bytes on the websocket whatever it
carries, an acknowledgement with the kernel's busy and idle messages about 1.9 kB. Seven pages a second read as
smoothly as twenty and stay within 0.2 MB for 20 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Shortest time between two live pages of a stream, and the longest a slow page can stretch it to, seconds.
SHORTEST_S = 0.14
LONGEST_S = 1.0
#: The shortest in a flood, whose pages are full: 12 a second bring 1 MB in 1.4 s.
FLOOD_S = 0.08
#: A page may spend a fifth of its time painting; in a flood half of it. (Each page is 64 KiB then, and what the reader
#: waits for is its end: with 5, 1 MB took 6 s to show, because each page was followed by four times its painting.)
SHARE, FLOOD_SHARE = 5, 2
#: Text of one live page, and of one answer to `ask`, bytes.
LIVE_BYTES = 64 * 1024
ASKED_BYTES = 1024 * 1024
#: Without an acknowledgement for this long (a blocking cell hides it) we go on, at one page in this time.
SILENT_S = 1.0
#: Messages a second, over all streams of a kernel; the server drops everything beyond 1,000.
KERNEL_RATE = 100

#: What `navigator.connection.effectiveType` says of a slow one (Chromium: 2g is 50 to 70 kbit/s with 1.4 s there and
#: back): the interval, and a page that is through in about one such interval.
NETS = {"slow-2g": (1.0, 4 * 1024), "2g": (0.6, 8 * 1024), "3g": (0.25, 32 * 1024)}
#: The user asked for less data; each message costs some.
SAVES_S = 0.5
#: A tab that nobody sees gets its timers once a second.
HIDDEN_S = 1.0
#: A device with so little memory (GB, as `navigator.deviceMemory` says it) is busy with the rest of the notebook.
SMALL_GB, SMALL_S = 2, 0.2
#: Behind so many characters a paint costs more than its text: layout, scrolling, the browser's own bookkeeping.
LONG_CHARS, LONG_S = 1_000_000, 0.25


@dataclass(frozen=True, slots=True)
class Viewer:
    """What one view says of itself and its device."""

    render_ms: float = 0.0
    net: str = ""
    saves: bool = False
    hidden: bool = False
    memory_gb: float | None = None

    def told(self, message: Mapping[str, Any]) -> Viewer:
        """Return what is known behind one more request: what it does not name is as it usually is."""
        memory = message.get("memory", self.memory_gb)
        return Viewer(
            render_ms=self.render_ms,
            net=str(message.get("net", "")),
            saves=bool(message.get("saves")),
            hidden=bool(message.get("hidden")),
            memory_gb=None if memory is None else float(memory),
        )

    def painted(self, ms: float) -> Viewer:
        """Return it behind a paint: the slowest of the last ones counts, but one hiccup is forgotten soon."""
        render_ms = ms if ms > self.render_ms else 0.7 * self.render_ms + 0.3 * ms
        return Viewer(render_ms, self.net, self.saves, self.hidden, self.memory_gb)


def interval(viewer: Viewer, *, chars: int = 0, flood: bool = False) -> tuple[float, str]:
    """
    Return the seconds between two live pages, and why they are what they are, in words.

    *chars*: the message's length so far; *flood*: more text waits than one page takes.
    """
    share = FLOOD_SHARE if flood else SHARE
    paint_s = share * viewer.render_ms / 1000
    paint = f"{share} x {viewer.render_ms:.0f} ms to paint"
    reasons = [
        (FLOOD_S if flood else SHORTEST_S, "the shortest"),
        (min(LONGEST_S, paint_s), paint if paint_s < LONGEST_S else f"the longest: {viewer.render_ms:.0f} ms to paint"),
    ]
    if viewer.net in NETS:
        reasons.append((NETS[viewer.net][0], f"{viewer.net} connection"))
    if viewer.saves:
        reasons.append((SAVES_S, "data saver on"))
    if viewer.hidden:
        reasons.append((HIDDEN_S, "tab hidden"))
    if viewer.memory_gb is not None and viewer.memory_gb <= SMALL_GB:
        reasons.append((SMALL_S, f"device with {viewer.memory_gb:g} GB of memory"))
    if chars > LONG_CHARS and not flood:
        reasons.append((LONG_S, "long message"))
    return max(reasons, key=lambda reason: reason[0])


def live_bytes(viewer: Viewer) -> int:
    """
    Return how much text one live page of *viewer* takes.

    The network alone decides: a slow device splits what it paints itself, and with small pages it would only wait.
    """
    return NETS[viewer.net][1] if viewer.net in NETS else LIVE_BYTES


def asked_bytes(viewer: Viewer) -> int:
    """Return how much text one answer to an `ask` of *viewer* takes; it asks again for the rest."""
    return 8 * NETS[viewer.net][1] if viewer.net in NETS else ASKED_BYTES


def behind(unacked: int, page_bytes: int) -> bool:
    """Whether a page is slow: two pages lie unacknowledged, so the rest merges until it has painted some."""
    return unacked >= 2 * page_bytes


def wait_s(now: float, *, sent_at: float, acked_at: float, behind: bool, pause_s: float) -> float:
    """
    Return how long the next live page has to wait (0: send it now).

    *sent_at*: the last live page; *acked_at*: the last sign of the page; *pause_s*: the interval.
    """
    pause = pause_s
    if behind:
        silent_s = now - acked_at
        pause = max(pause, SILENT_S) if silent_s >= SILENT_S else SILENT_S - silent_s + now - sent_at
    return max(0.0, sent_at + pause - now)
