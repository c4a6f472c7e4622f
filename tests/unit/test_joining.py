"""Joining what one chunk brought: less to record, and no place of the upstream lost."""

from nbstream.records import Part
from nbstream.sources.contract import Arrival
from nbstream.sources.http.joining import joined


def says(text, place=None, kind="text"):
    """Return the arrival of one event, which names a place or not."""
    return Arrival((Part(kind, text),), cursor=None if place is None else {"after": place})


def test_a_run_of_text_is_one_arrival_with_the_last_place():
    """Adjacent text of one kind joins, and whoever resumes does so behind all of it."""
    assert joined([says("a", 1), says("b", 2), says("c", 3)]) == [says("abc", 3)._replace(pieces=3)]
    assert joined([says("a"), says("b"), says("c", 3)]) == [says("abc", 3)._replace(pieces=3)]
    assert joined([says("a", 1), says("b", 2, "reasoning")]) == [says("a", 1), says("b", 2, "reasoning")]


def test_a_place_in_the_middle_is_kept():
    """Where only some events name a place, text behind one is told apart: it will come again, and be dropped."""
    assert joined([says("a"), says("b", 2), says("c"), says("d")]) == [
        says("ab", 2)._replace(pieces=2),
        says("cd")._replace(pieces=2),
    ]
