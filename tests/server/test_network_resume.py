"""A server that resumes badly: twice the same, too little, another text, all of it again. Exact, or an honest error."""

import pytest
from chain import DIALECTS, TEXT, Message

import nbstream
from nbstream.testing import Answer

CUT = 8
LONG = 30  # frames; more than 256 code points are shown


def behind(message, first, *, skip=()):
    """Return an answer that goes on at frame *first*, leaving out the frames *skip*."""
    frames = message.frames()
    return Answer.sse(*(frame for at, frame in enumerate(frames) if at >= first and at not in skip))


@pytest.mark.parametrize("name", ["delta", "delta-post", "delta-id", "agents", "text", "chat"])
def test_the_last_event_sent_once_more_is_dropped(chain, name):
    """A server that repeats the event whose id we named: it is recognised, and its text is not doubled."""
    message = Message.of(name)
    stream = chain.start(message, message.cut_in(CUT, end="reset"), lambda _: behind(message, CUT - 1))
    assert chain.rest(stream) == "complete"
    assert len(chain.requests) == 2


@pytest.mark.parametrize("name", ["delta", "delta-offset", "agents", "chat"])
def test_overlap_is_cut_where_frames_say_where_they_stand(chain, name):
    """Five events sent again: dropped by offset or sequence."""
    message = Message.of(name)
    stream = chain.start(message, message.cut_in(CUT, end="reset"), lambda _: behind(message, CUT - 5))
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize("name", ["delta", "chat"])
def test_overlap_of_other_cuts_is_cut_inside_an_event(chain, name):
    """The server cuts the text into other pieces when it resumes: a frame half known gives its other half."""
    message = Message.of(name)
    wider = Message.of(name, piece_chars=17)
    stream = chain.start(message, message.cut_in(CUT, end="reset"), lambda _: behind(wider, CUT * 11 // 17 - 1))
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize("name", ["delta", "delta-offset", "agents", "chat"])
def test_a_gap_that_closes_when_asked_again_is_no_harm(chain, name):
    """An event is missing behind the cut: nothing behind the hole is shown, it is asked for again, and all is there."""
    message = Message.of(name)
    stream = chain.start(
        message, message.cut_in(CUT, end="reset"), lambda _: behind(message, CUT + 1), otherwise=message.rest
    )
    assert chain.rest(stream) == "complete"
    assert len(chain.requests) == 3


@pytest.mark.parametrize("name", ["delta", "delta-offset", "chat"])
def test_a_gap_that_stays_is_an_error(chain, name):
    """An event is missing however often one asks: failed, and what is shown ends before the hole."""
    message = Message.of(name)
    stream = chain.start(
        message, message.cut_in(CUT, end="reset"), otherwise=lambda _: behind(message, CUT, skip={CUT + 2})
    )
    assert chain.rest(stream) == "failed"
    assert stream.text == "".join(message.pieces[: CUT + 2])
    assert len(chain.requests) <= 5


def test_a_gap_between_frames_that_count_themselves_is_named(chain):
    """A frame is missing however often one asks: a `gap` names it, the text goes on, and its place is known."""
    message = Message.of("agents")
    chain.server.script([message.cut_in(CUT, end="reset")], otherwise=lambda _: behind(message, CUT, skip={CUT + 2}))
    stream = chain.begin(chain.source(message), "".join(one for n, one in enumerate(message.pieces) if n != CUT + 2))
    assert chain.rest(stream) == "complete"
    (gap,) = [part for delta in stream.log.read(-1) for part in getattr(delta, "parts", ()) if part.kind == "gap"]
    assert gap.fields == {"expected": CUT + 3, "got": CUT + 4, "at": 11 * (CUT + 2)}
    # Behind the last record, behind the event before it, behind the event before the first resume.
    asked = [request.last_event_id for request in chain.requests]
    assert asked == [None, str(CUT), str(CUT + 1), str(CUT - 1)]


@pytest.mark.parametrize("name", ["delta", "agents", "chat"])
def test_a_gap_inside_one_answer_is_seen(chain, name):
    """The hole may be in the first answer as well: asked again behind the last record before it."""
    message = Message.of(name)
    stream = chain.start(message, behind(message, 0, skip={CUT}), otherwise=message.rest)
    assert chain.rest(stream) == "complete"
    assert chain.requests[1].last_event_id == str(CUT)


def test_a_gap_that_no_frame_shows_is_seen_at_the_end_mark(chain):
    """Ids alone show no hole, but `length` and `sha256` of the end mark do: never complete with a hole."""
    message = Message.of("delta-id")
    stream = chain.start(
        message, message.cut_in(CUT, end="reset"), otherwise=lambda _: behind(message, CUT, skip={CUT + 2})
    )
    state = stream.wait(10)
    chain.server.wait_closed(1.0)
    assert state in ("failed", "interrupted")
    assert "characters" in stream.error["message"]


@pytest.mark.parametrize(
    "end",
    [
        {"length": len(TEXT) + 1},
        {"length": len(TEXT) - 1},
        {"length": len(TEXT), "sha256": "0" * 64},
        {"sha256": "f" * 64},
    ],
    ids=["longer", "shorter", "sha256", "sha256 alone"],
)
def test_an_end_mark_that_does_not_fit_the_text_is_no_end(chain, end):
    """Length or hash of the end mark differ from what came: not complete, text kept, the line says which."""
    message = Message.of("delta")
    done = b"event: done\ndata: " + str(end).replace("'", '"').encode() + b"\n\n"

    def wrong(request):
        return Answer.sse(*message.frames(message.next_frame(request))[:-1], done)

    stream = chain.start(message, otherwise=wrong)
    assert chain.rest(stream) in ("failed", "interrupted")
    assert stream.text == TEXT
    assert "end mark" in stream.error["message"]
    assert len(chain.requests) <= 4


# --- another text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 40, 87])
def test_a_repeated_get_that_says_something_else_stops(chain, at):
    """A GET sent again tells another text: failed at the first difference, the shown text stays, the place is named."""
    message = Message.of("replay")
    other = message.said(f"{TEXT[:at]}#{TEXT[at + 1 :]}")
    stream = chain.start(message, message.cut_in(CUT, end="reset"), other.whole())
    assert chain.rest(stream) == "failed"
    assert stream.text == TEXT[: CUT * 11]
    assert f"at character {at}" in stream.error["message"]
    assert "Regenerate" in stream.error["message"]


def test_a_repeated_get_that_ends_too_early_stops(chain):
    """The repetition ends, with an end mark, before what is shown: another message, not this one."""
    message = Message.of("replay")
    stream = chain.start(message, message.cut_in(CUT, end="reset"), message.said(TEXT[:44]).whole())
    assert chain.rest(stream) == "failed"
    assert stream.text == TEXT[: CUT * 11]


@pytest.mark.parametrize("name", ["delta", "delta-offset", "chat"])
def test_overlap_that_says_something_else_stops(chain, name):
    """Frames that say where they stand, but not the same text there: failed, nothing replaced."""
    message = Message.of(name)
    other = message.said("#" * len(TEXT))
    stream = chain.start(message, message.cut_in(CUT, end="reset"), lambda _: behind(other, CUT - 3))
    assert chain.rest(stream) == "failed"
    assert stream.text == TEXT[: CUT * 11]
    assert "something else" in stream.error["message"]


@pytest.mark.parametrize("name", ["delta", "delta-id", "text", "chat"])
def test_a_start_over_with_another_text_stops(chain, name):
    """The server forgot us and tells another message from id 1 on: failed, not a mixture of both."""
    message = Message.of(name)
    other = message.said("Something quite different was told the second time, " * 8)
    stream = chain.start(message, message.cut_in(CUT, end="reset"), other.whole())
    assert chain.rest(stream) == "failed"
    assert stream.text == TEXT[: CUT * 11]


# --- all of it again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, CUT, LONG], ids=["one frame", "eight frames", "more than 256 characters"])
@pytest.mark.parametrize("name", ["delta", "delta-id", "delta-offset", "agents", "text", "chat"])
def test_a_server_that_starts_over_with_the_same_ids(chain, name, cut):
    """Last-Event-ID is ignored and all is sent again: recognised by first id, offset or sequence; shown once."""
    message = Message.of(name)
    stream = chain.start(message, message.cut_in(cut, end="reset"), message.whole())
    assert chain.rest(stream) == "complete"
    assert len(chain.requests) == 2


@pytest.mark.parametrize("cut", [CUT, LONG], ids=["all that is shown", "256 characters of it"])
@pytest.mark.parametrize("name", ["delta-id", "text"])
def test_a_server_that_starts_over_with_new_ids(chain, name, cut):
    """Only the text gives it away: it repeats all that is shown, or its first 256 characters; shown once."""
    message = Message.of(name, id_prefix="first-")
    again = Message.of(name, id_prefix="second-")
    stream = chain.start(message, message.cut_in(cut, end="reset"), again.whole())
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize("name", ["delta-id", "text"])
def test_a_start_over_is_cut_again(chain, name):
    """The repetition breaks too, inside what is shown and behind it, before it comes through: exact."""
    message = Message.of(name)
    answers = [message.cut_in(CUT, end="reset"), message.cut_in(4, 5, end="reset"), message.cut_in(LONG, end="reset")]
    stream = chain.start(message, *answers, otherwise=message.whole())
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize("name", ["delta-id", "text"])
def test_a_continuation_that_begins_like_the_message_is_kept(chain, name):
    """What comes behind the cut begins with the same words as the message: that is text, not a start-over."""
    first = "A ferry left. "
    text = first + "The pilot waves. Nobody waits.".ljust(14 * 22, ".") + first + "Then it was night. ✓"
    message = Message.of(name, text, piece_chars=len(first))
    cut = text.rindex(first) // len(first)
    stream = chain.start(message, message.cut_in(cut, end="reset"), message.rest)
    assert chain.rest(stream) == "complete"


def test_sequences_that_start_over_with_a_new_call_are_not_shown_twice(chain):
    """Frames numbered from 1 again: what has come is dropped by its number."""
    message = Message.of("agents")
    stream = chain.start(message, message.cut_in(LONG, 3, end="reset"), message.whole())
    assert chain.rest(stream) == "complete"
    assert set(stream.agents) == {"pilot"}


@pytest.mark.parametrize("name", ["delta", "delta-id", "agents", "text", "chat"])
def test_a_resume_by_hand_starts_over(chain, name):
    """Failed or interrupted, resumed later by the user, and the server tells all of it again: exact."""
    message = Message.of(name)
    stream = chain.start(
        message, message.cut_in(CUT, end="reset"), Answer(["gone for now"], 404), otherwise=message.whole()
    )
    assert chain.rest(stream) == "failed"
    stream = nbstream.resume(stream)
    assert chain.rest(stream) == "complete"


def test_an_id_that_is_not_ascii_comes_back_as_it_came(chain):
    """The last id goes out again byte for byte, whatever is in it."""
    message = Message.of("delta-id", id_prefix="Ü-船 ")
    stream = chain.start(message, message.cut_in(CUT, end="reset"), message.rest)
    assert chain.rest(stream) == "complete"
    assert chain.requests[1].last_event_id == f"Ü-船 {CUT}"


def test_an_offset_in_the_address_is_replaced(chain):
    """A query of the user's stays as it is, but for `offset`, which a resume sets."""
    message = Message.of("delta-offset")
    stream = chain.start(message, message.cut_in(CUT, end="reset"), message.rest, path="/s?q=a%20b&offset=0&z=1")
    assert chain.rest(stream) == "complete"
    assert chain.requests[1].target == f"/s?q=a%20b&z=1&offset={CUT * 11}"


def test_dialects_say_what_they_promise():
    """The table and the frames agree: ids where ids are promised, offsets where offsets are."""
    for name, dialect in DIALECTS.items():
        first = Message.of(name).frames()[0]
        assert (b"id: 1\n" in first, b'"offset": 0' in first) == (dialect.ids, dialect.offsets)
