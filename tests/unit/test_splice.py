"""Joining a resumed call to what is shown: no character doubled, lost or changed, and no guess."""

import pytest
from recording import Recording, run

from nbstream.clock import Clock
from nbstream.errors import SourceMalformed
from nbstream.recorder.live import Live
from nbstream.recorder.progress import Progress
from nbstream.recorder.shown import Shown
from nbstream.recorder.splice import Splice
from nbstream.recorder.writer import Writer
from nbstream.records import Delta, Part
from nbstream.sources.contract import Arrival, End

LONG = "".join(f"{number} bottles of beer on the wall, " for number in range(99, 0, -1))


class Shows:
    """A log that shows *text* behind *cursor*, and one connection that is joined to it."""

    def __init__(self, text="", cursor=None, *, behind=0, parts=None):
        log = Recording().log
        self.progress = Progress(tail=0, opens=1)
        if text or parts:
            parts = parts or (Part("text", text, sequence=1),)
            record = Delta(parts, 1.0, cursor, behind)
            log.append(1, record)
            self.progress.add(record)
        writer = Writer(log, self.progress, Live(), Clock(), lambda: None)
        self.splice = Splice("s1", Shown(log, writer, self.progress), self.progress)

    async def says(self, *arrivals):
        """Return the texts let through, one for each arrival let through."""
        out = []
        for one in arrivals:
            arrival = Arrival((Part("text", one),)) if isinstance(one, str) else one
            if self.splice.lets_pass(arrival):
                out.append(arrival)
            else:
                out += await self.splice.new(arrival)
            if arrival.end:
                self.splice.finish()
        return ["".join(part.text for part in arrival.parts) for arrival in out]


def said(shows, *arrivals):
    """What a connection adds to what is shown, as one text."""
    return "".join(run(shows.says(*arrivals)))


def at(start, text):
    """A frame that says where it begins."""
    return Arrival((Part("text", text),), start=start)


def frame(number, text, agent="assistant", event_id=None):
    """A frame that counts itself."""
    return Arrival((Part("text", text, agent),), number=number, event_id=event_id)


def event(event_id, text):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": event_id}, event_id=event_id)


END = Arrival(end=End())


def test_a_first_call_passes():
    """Nothing is shown yet: everything is new."""
    assert said(Shows(), "a", "b", END) == "ab"


# -- frames that say where they begin -------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(6))
def test_overlap_is_cut_wherever_it_begins(first):
    """A source that goes on too early is checked and cut, at every place."""
    shows = Shows("abcde", {"id": "5", "offset": 5})
    assert said(shows, *[at(place, "abcdefgh"[place]) for place in range(first, 8)], END) == "fgh"


def test_overlap_inside_a_frame_is_cut():
    """A frame that begins shown and ends new is let through from the first new character on."""
    assert said(Shows("abcde", {"offset": 5}), at(3, "defgh")) == "fgh"


def test_offsets_that_start_over():
    """A server that starts over, with offsets, is verified against what is shown."""
    assert said(Shows("abcde", {"offset": 5}), at(0, "abc"), at(3, "def"), at(6, "g"), END) == "fg"


def test_a_hole_is_an_error_that_may_be_asked_again():
    """Missing characters are never papered over."""
    with pytest.raises(SourceMalformed, match="goes on at character 7, but only 5 have come") as caught:
        said(Shows("abcde", {"offset": 5}), at(7, "h"))
    assert caught.value.retryable


def test_changed_overlap_is_an_error():
    """Another text at a shown place is an error that names the place, and is not asked for again."""
    with pytest.raises(SourceMalformed, match="something else at character 3") as caught:
        said(Shows("abcde", {"offset": 5}), at(2, "cXe"))
    assert not caught.value.retryable


# -- frames with numbers --------------------------------------------------------------------------------------------


def numbered(**numbers):
    """Three characters are shown, in frames up to these numbers."""
    return Shows("abc", {"id": "3", "numbers": numbers})


def test_numbers_cut_overlap():
    """Frames that came before are dropped."""
    assert said(numbered(assistant=3), frame(2, "b"), frame(3, "c"), frame(4, "d"), frame(5, "e")) == "de"


def test_numbers_show_a_hole():
    """A number left out is an error that names both, and may be asked again."""
    with pytest.raises(SourceMalformed, match="frame 5 of assistant came after frame 3") as caught:
        said(numbered(assistant=3), frame(5, "e"))
    assert caught.value.retryable


def test_numbers_are_each_agents_own():
    """Agents count separately, from any first number."""
    shows = numbered(assistant=3)
    assert (
        said(shows, frame(17, "x", "other"), frame(4, "d"), frame(18, "y", "other"), frame(17, "x", "other")) == "xdy"
    )


def test_a_numbered_frame_that_was_cut_by_a_record():
    """A frame whose first half is stored is verified and goes on behind it: its number is not the whole truth."""
    shows = Shows("abcdef", {"id": "3", "numbers": {"assistant": 3}}, behind=3)
    assert said(shows, frame(3, "c"), frame(4, "defgh"), frame(5, "i")) == "ghi"


def test_numbers_and_the_first_id():
    """Numbered frames that start over under the first id are verified, not skipped by number."""
    cursor = {"id": "3", "first": "1", "numbers": {"assistant": 3}}
    again = frame(1, "a", event_id="1"), frame(2, "b", event_id="2"), frame(3, "c", event_id="3"), frame(4, "d")
    assert said(Shows("abc", cursor), *again, END) == "d"
    with pytest.raises(SourceMalformed, match="something else at character 1"):
        said(Shows("abc", cursor), again[0], frame(2, "X", event_id="2"))


def test_a_hole_in_a_repetition_is_seen():
    """Numbers are checked in a repetition too."""
    with pytest.raises(SourceMalformed, match="frame 5 of assistant came after frame 3"):
        said(Shows("abc"), frame(1, "a"), frame(2, "b"), frame(3, "c"), frame(5, "e"))


# -- what is behind the cursor --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(3,), (1, 2), (5,), (2, 5), (7,)])
def test_what_is_behind_the_cursor_is_dropped_once(cuts):
    """The upstream sends once more what is stored behind its cursor: exactly that is verified and dropped."""
    shows = Shows("abcdefg", {"id": "1"}, behind=4)
    text, pieces = "defghijklm", []
    for cut in cuts:
        pieces.append(text[:cut])
        text = text[cut:]
    assert said(shows, *pieces, text, END) == "hijklm"


def test_behind_the_cursor_stands_the_same_text():
    """Another text behind the cursor is an error."""
    with pytest.raises(SourceMalformed, match="something else at character 5"):
        said(Shows("abcdefg", {"id": "1"}, behind=4), "deX")


def test_each_agent_and_kind_has_its_own_behind():
    """What is behind the cursor is told apart by agent and kind, and by the order it came in."""
    parts = (
        Part("text", "abc", sequence=1), Part("reasoning", "rst", sequence=2), Part("text", "de", sequence=3, off=3),
        Part("tool_call", sequence=4, fields={"id": "t"}), Part("text", "xyz", "planner", 1),
    )  # fmt: skip
    shows = Shows(parts=parts, cursor={"id": "1"}, behind=2 + 2 + 1 + 3)
    again = [
        Arrival((Part("reasoning", "stu"),)),
        Arrival((Part("text", "def"), Part("tool_call", fields={"id": "t"}))),
        Arrival((Part("text", "xyz!", "planner"), Part("tool_call", fields={"id": "u"}))),
    ]
    assert run(shows.says(*again)) == ["u", "f", "!"]
    assert shows.splice.lengths == {
        ("assistant", "text"): 6, ("assistant", "reasoning"): 4, ("assistant", "tool_call"): 2, ("planner", "text"): 4,
    }  # fmt: skip


# -- frames that say nothing ----------------------------------------------------------------------------------------


def test_a_continuation_goes_on():
    """Behind a cursor, text is new."""
    assert said(Shows("Once upon a time", {"id": "4"}), event("5", " there"), event("6", " was"), END) == " there was"


def test_the_last_event_sent_once_more_is_dropped():
    """A server that counts the last id in sends one event twice; it is known by its id and its text."""
    assert said(Shows("Once upon a time", {"id": "4"}), event("4", " time"), event("5", " there"), END) == " there"


def test_an_id_used_twice_is_no_duplicate():
    """Ids are not always unique: another text under the last id is another event."""
    assert said(Shows("Once upon a time", {"id": "4"}), event("4", " there"), event("5", " was"), END) == " there was"


def test_the_first_id_is_a_start_over():
    """The stream's first event id: everything is sent again, verified, and only the rest is new."""
    shows = Shows("Hello", {"id": "2", "first": "1"})
    assert said(shows, event("1", "He"), event("2", "llo"), event("3", " you"), END) == " you"


def test_a_start_over_with_another_text_is_an_error():
    """The first difference stops the stream."""
    with pytest.raises(SourceMalformed, match="something else at character 4"):
        said(Shows("Hello", {"id": "2", "first": "1"}), event("1", "He"), event("2", "lla"))


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
@pytest.mark.parametrize("shown", [8, 100, 255, 256, 257, 1500])
def test_text_alone_gives_a_start_over_away(shown, size):
    """Without ids, repeating everything shown, or its first 256 characters, is a start-over."""
    pieces = [LONG[start : start + size] for start in range(0, len(LONG), size)]
    assert said(Shows(LONG[:shown], {"id": "x"}), *pieces, END) == LONG[shown:]


@pytest.mark.parametrize("alike", [1, 20, 255])
def test_a_continuation_that_begins_alike_is_one(alike):
    """Text that repeats less than everything, and less than 256 characters, was written again by the model."""
    more = LONG[:alike] + "and so on"
    assert said(Shows(LONG[:400], {"id": "x"}), *more, END) == more


def test_a_start_over_that_turns_out_another_text_is_an_error():
    """256 characters prove the start-over; the difference behind them is an error."""
    with pytest.raises(SourceMalformed, match="something else at character 300"):
        said(Shows(LONG[:400], {"id": "x"}), LONG[:300] + "@" + LONG[301:])


def test_a_short_text_proves_nothing():
    """One "Ha" may be followed by another: "Ha!"."""
    assert said(Shows("Ha", {"id": "x"}), "Ha!", END) == "Ha!"


def test_what_is_held_back_comes_out_at_the_end():
    """A continuation that ends while it still looks like a start-over is let through whole, in order."""
    shows = Shows(LONG[:400], {"id": "x"})
    assert run(shows.says(LONG[:10], Arrival(), LONG[10:20], END)) == [LONG[:10], "", LONG[10:20], ""]


def test_reasoning_gives_a_start_over_away_too():
    """A model that thinks first starts over with its thoughts; text that waits behind them is not held up by others."""
    parts = (Part("reasoning", LONG[:300], sequence=1), Part("text", "So be it.", sequence=2))
    again = [Arrival((Part("reasoning", LONG[:300]),)), "So be it.", " Amen.", END]
    assert said(Shows(parts=parts, cursor={"id": "x"}), *again) == " Amen."
    fresh = Arrival((Part("reasoning", "Hm."),))
    assert run(Shows(parts=parts, cursor={"id": "x"}).says(fresh)) == ["Hm."]


def test_what_is_behind_the_cursor_is_no_start_over():
    """An event sent once more because it was cut may well begin with the first text of its agent."""
    parts = Part("text", "Go on.", sequence=1), Part("reasoning", LONG[:300], sequence=2)
    shows = Shows(parts=parts, cursor={"id": "1"}, behind=300)
    assert run(shows.says(Arrival((Part("reasoning", LONG[:400]),)), END)) == [LONG[300:400], ""]


def test_a_start_over_with_something_behind_the_cursor():
    """A start-over is told from the event that has to come once more by its text."""
    assert said(Shows(LONG[:400], {"id": "1"}, behind=20), LONG[:300], LONG[300:500], END) == LONG[400:500]


def test_tool_calls_are_not_held_back():
    """What is no text decides at once: a continuation."""
    call = Arrival((Part("tool_call", fields={"args_delta": "{"}),))
    shows = Shows(LONG[:300], {"id": "x"})
    run(shows.says(call))
    assert shows.splice.lengths["assistant", "tool_call"] == 1


# -- the same request again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 11, 2000])
def test_a_repetition_is_verified_and_skipped(size):
    """Without a cursor the same request is sent again: what is shown is checked, the rest is new."""
    pieces = [LONG[start : start + size] for start in range(0, len(LONG), size)]
    assert said(Shows(LONG[:1000]), *pieces, END) == LONG[1000:]


def test_a_repetition_with_another_text_is_an_error():
    """A regenerated answer is never spliced into the old one."""
    with pytest.raises(SourceMalformed, match="something else at character 2"):
        said(Shows("Hello"), "Hey you", END)


def test_a_repetition_must_come_as_far_as_what_is_shown():
    """A shorter message that ends is another message."""
    with pytest.raises(SourceMalformed, match="ended after 3 of 5 characters"):
        said(Shows("Hello"), "Hel", END)


def test_a_repetition_skips_tool_calls_it_has():
    """Parts without text are counted off in a repetition, also behind its last text."""
    call = Part("tool_call", fields={"id": "t"})
    shows = Shows(parts=(Part("text", "Hi", sequence=1), call._replace(sequence=2), call._replace(sequence=3)))
    run(shows.says("Hi", Arrival((call,)), Arrival((call,)), Arrival((call,)), END))
    assert shows.splice.lengths == {("assistant", "text"): 2, ("assistant", "tool_call"): 3}


def test_empty_text_is_no_output():
    """An empty delta is let through as nothing."""
    shows = Shows()
    assert run(shows.says("", frame(1, ""), "a")) == ["", "", "a"]
    assert shows.splice.lengths == {("assistant", "text"): 1}
