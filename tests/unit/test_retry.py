"""Whether and when a failed call is sent again."""

import pytest

from nbstream.errors import SourceLost, SourceMalformed, SourceRefused, SourceSilent
from nbstream.retry import JITTER, last_words, verdict, wait_s
from nbstream.state import Event

LOST = SourceLost("gone")
SILENT = SourceSilent("nothing")
NO = SourceRefused("401", status=401)
BUSY = SourceRefused("503", status=503, retryable=True)
BROKEN = SourceMalformed("not JSON")
HOLE = SourceMalformed("a hole", retryable=True)


@pytest.mark.parametrize(
    ("error", "shown", "resumable", "event"),
    [
        (LOST, False, False, Event.LOST),
        (LOST, False, True, Event.LOST),
        (LOST, True, True, Event.LOST),
        (LOST, True, False, Event.CUT),  # again would repeat text or money
        (SILENT, False, True, Event.CUT),  # never a retry by itself
        (SILENT, True, True, Event.CUT),
        (NO, False, True, Event.REFUSED),
        (BUSY, False, False, Event.LOST),
        (BUSY, True, True, Event.LOST),
        (BUSY, True, False, Event.REFUSED),
        (BROKEN, False, True, Event.REFUSED),
        (HOLE, True, True, Event.LOST),
        (HOLE, True, False, Event.REFUSED),
    ],
)
def test_verdict(error, shown, resumable, event):
    """A call is sent again only where that can repeat neither text nor money."""
    assert verdict(error, shown=shown, resumable=resumable) is event


def test_waits_are_short_and_few():
    """The waits are 0.2, 0.6, 1.6 s, then it is over."""
    assert [wait_s(attempt, jitter=0.0) for attempt in range(4)] == [0.2, 0.6, 1.6, None]


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_jitter_only_shortens(jitter):
    """The first retry is promised within 300 ms, whatever chance says."""
    for attempt, longest in enumerate((0.2, 0.6, 1.6)):
        assert longest * (1 - JITTER) <= wait_s(attempt, jitter=jitter) <= longest


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 0.0), (7.0, 7.0), (120.0, 120.0), (120.1, None), (86400.0, None)])
def test_the_servers_wait_replaces_ours_up_to_two_minutes(asked, wait):
    """A wait the server asks for is kept exactly; a longer one ends the call."""
    assert wait_s(1, jitter=1.0, server_s=asked) == wait


def test_the_server_cannot_ask_for_more_tries():
    """The number of tries is ours, whatever the server asks for."""
    assert wait_s(3, jitter=0.0, server_s=1.0) is None


def test_a_server_that_starts_is_waited_for_and_not_for_ever():
    """Every 2 s for five minutes; its own wait, if it names one, replaces ours."""
    waits = [wait_s(attempt, jitter=0.5, starting=True) for attempt in range(151)]
    assert waits == [2.0] * 150 + [None]
    assert wait_s(7, jitter=0.5, server_s=9.0, starting=True) == 9.0


def test_last_words_name_the_tries_or_the_wait():
    """Who gives up says how often it was tried, or how long the server wants to be left alone."""
    assert last_words(LOST, 3) == "gone (3 retries)"
    assert "3,600 s" in last_words(BUSY, 0, server_s=3600)
