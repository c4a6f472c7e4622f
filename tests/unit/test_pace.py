"""How often a page is sent to, how much, and why: a table of cases."""

import pytest

from nbstream import pace
from nbstream.pace import Viewer

CASES = [
    (Viewer(), {}, 0.14, "the shortest"),
    (Viewer(render_ms=20), {}, 0.14, "the shortest"),
    (Viewer(render_ms=34), {}, 0.17, "5 x 34 ms to paint"),
    (Viewer(render_ms=400), {}, 1.0, "the longest: 400 ms to paint"),
    (Viewer(render_ms=100), {"flood": True}, 0.2, "2 x 100 ms to paint"),
    (Viewer(net="slow-2g"), {}, 1.0, "slow-2g connection"),
    (Viewer(net="2g", render_ms=34), {}, 0.6, "2g connection"),
    (Viewer(net="2g", render_ms=180), {}, 0.9, "5 x 180 ms to paint"),
    (Viewer(net="3g"), {}, 0.25, "3g connection"),
    (Viewer(net="4g"), {}, 0.14, "the shortest"),
    (Viewer(saves=True), {}, 0.5, "data saver on"),
    (Viewer(hidden=True, net="2g"), {}, 1.0, "tab hidden"),
    (Viewer(memory_gb=1), {}, 0.2, "device with 1 GB of memory"),
    (Viewer(memory_gb=8), {}, 0.14, "the shortest"),
    (Viewer(), {"chars": 2_000_000}, 0.25, "long message"),
    (Viewer(), {"chars": 2_000_000, "flood": True}, 0.08, "the shortest"),
]


@pytest.mark.parametrize(("viewer", "facts", "seconds", "why"), CASES)
def test_the_interval_and_its_reason(viewer, facts, seconds, why):
    """The strongest reason counts, and is the one that is told."""
    told_s, told = pace.interval(viewer, **facts)
    assert (round(told_s, 6), told) == (seconds, why)


def test_a_page_is_through_a_slow_connection_in_about_an_interval():
    """What a slow connection carries in an interval (2g: 70 kbit/s, 3g: 700) bounds a page."""
    for net, kbit_s in (("slow-2g", 50), ("2g", 70), ("3g", 700)):
        seconds, _ = pace.interval(Viewer(net=net))
        assert pace.live_bytes(Viewer(net=net)) <= 2 * seconds * kbit_s * 1000 / 8
        assert pace.asked_bytes(Viewer(net=net)) < 10 * kbit_s * 1000 / 8, "an answer, too, in some seconds"
    assert pace.asked_bytes(Viewer()) == pace.ASKED_BYTES


def test_what_a_request_does_not_name_is_as_usual():
    """A tab seen again, a connection that got better: no word of it is the word."""
    viewer = Viewer().told({"net": "2g", "hidden": True, "saves": True, "memory": 2}).painted(30)
    assert viewer == Viewer(30, "2g", saves=True, hidden=True, memory_gb=2)
    assert viewer.told({}) == Viewer(30, memory_gb=2)


def test_one_hiccup_is_forgotten():
    """One slow paint counts at once, and less with every faster one behind it."""
    viewer = Viewer().painted(200)
    assert viewer.render_ms == 200
    for _ in range(8):
        viewer = viewer.painted(10)
    assert viewer.render_ms < 25


@pytest.mark.parametrize(
    ("sent_at", "acked_at", "behind", "wait"),
    [
        (0.0, 9.9, False, 0.0),  # long ago
        (9.9, 9.9, False, 0.025),  # the rest of the interval
        (9.9, 9.5, True, 0.5),  # unacknowledged: a second from the last sign on
        (9.9, 8.0, True, 0.9),  # silent: one page a second
        (8.0, 8.0, True, 0.0),
    ],
)
def test_the_wait(sent_at, acked_at, behind, wait):
    """The interval from page to page; behind two unacknowledged pages, a second from the page's last sign on."""
    told = pace.wait_s(10.0, sent_at=sent_at, acked_at=acked_at, behind=behind, pause_s=0.125)
    assert told == pytest.approx(wait)
