"""A call that is cut: it goes on behind the last record, or says honestly that it cannot."""

import random
import time

import pytest
from chain import DIALECTS, RESUMABLE, Message, Stamp, long_text

import nbstream
from nbstream.testing import Answer, FaultServer

#: What happens to the connection, 5 whole frames into the message.
WHOLE = 5


def _inside_a_character(frame):
    return next(at for at, byte in enumerate(frame) if byte >= 0x80) + 1


CUTS = {
    "reset inside an event": lambda m: m.cut_in(WHOLE, 9, end="reset"),
    "reset inside a character": lambda m: m.cut_in(WHOLE, _inside_a_character(m.frames()[WHOLE]), end="reset"),
    "reset between events": lambda m: m.cut_in(WHOLE, end="reset"),
    "clean EOF without an end mark": lambda m: m.cut_in(WHOLE),
    "clean EOF inside an event": lambda m: m.cut_in(WHOLE, 9),
    "last chunk missing": lambda m: m.cut_in(WHOLE, 9, end="cut"),
    "close-delimited EOF": lambda m: m.cut_in(WHOLE, 9, framing="close"),
    "content-length too large": lambda m: m.cut_in(
        WHOLE, 9, framing="length", end="cut", headers={"Content-Length": "100000"}
    ),
}


@pytest.fixture(params=CUTS)
def cut(request):
    """Return each way to cut an answer behind five frames."""
    return CUTS[request.param]


def in_dialect(name):
    """Return a message whose sixth frame holds characters of several bytes."""
    message = Message.of(name, "Äpfel, 船 und 🚢 – " * 20)
    assert any(byte >= 0x80 for byte in message.frames()[WHOLE])
    return message


#: Every cut in one dialect, every dialect with two cuts.
PAIRS = [
    (kind, name)
    for kind in CUTS
    for name in RESUMABLE
    if name == "delta" or kind in {"reset inside a character", "clean EOF inside an event"}
]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_a_cut_message_goes_on_behind_its_last_record(chain, kind, name):
    """However the connection ends, the next request names the last whole event, and no character is lost or doubled."""
    message = in_dialect(name)
    stream = chain.start(message, CUTS[kind](message), message.rest)
    assert chain.rest(stream) == "complete"
    last_id = str(WHOLE) if message.dialect.ids else None
    offset = str(WHOLE * message.piece_chars) if message.dialect.offsets else None
    assert chain.resumed_behind() == [(None, None), (last_id, offset)]


def test_a_get_without_ids_is_repeated_and_verified(chain, cut):
    """Without any cursor a GET is sent again; what it repeats is compared with what is shown, and not shown again."""
    message = in_dialect("replay")
    stream = chain.start(message, cut(message), message.whole())
    assert chain.rest(stream) == "complete"
    assert chain.resumed_behind() == [(None, None), (None, None)]


def test_a_post_without_a_cursor_is_sent_exactly_once(chain, cut):
    """Once text was shown, a POST that cannot resume is not repeated: interrupted, and offered is all but Resume."""
    message = in_dialect("chat-once")
    stream = chain.start(message, cut(message), otherwise=message.whole())
    assert chain.rest(stream) == "interrupted"
    assert stream.text == "".join(message.pieces[:WHOLE])
    assert not stream.resumable
    assert stream.status()["actions"] == ["continue", "regenerate"]
    assert "Continue lets a new generation go on" in stream.status()["line"]
    assert chain.rest(nbstream.resume(stream)) == "interrupted"  # asked all the same, it is shown as it is
    assert len(chain.requests) == 1


@pytest.mark.parametrize(
    "cut",
    [
        lambda m: m.cut_in(0, end="reset"),
        lambda m: m.cut_in(0, 20, end="reset"),
        lambda m: Answer.sse(": connected\n\n"),
        lambda m: Answer(framing="bare", end="reset"),
        lambda m: Answer.sse(),
    ],
    ids=["reset at once", "reset inside the first event", "EOF after a comment", "reset before headers", "empty body"],
)
def test_a_post_cut_before_any_text_is_sent_again(chain, cut):
    """Nothing was shown, so nothing is repeated: the same request goes out once more, without a cursor."""
    message = in_dialect("chat-once")
    stream = chain.start(message, cut(message), message.whole())
    assert chain.rest(stream) == "complete"
    first, second = chain.requests
    assert (first.method, first.target, first.body) == (second.method, second.target, second.body)
    assert chain.resumed_behind() == [(None, None)] * 2


@pytest.mark.parametrize("name", ["delta", "replay"])
def test_progress_resets_the_count_of_tries(chain, name):
    """Seven cuts in a row, each after three more frames, are survived: only tries without progress are counted."""
    message = in_dialect(name)

    def three_more(request):
        start = message.next_frame(request) if message.dialect.resumes else 0
        upto = start + 3 if message.dialect.resumes else 3 * len(chain.requests)
        return Answer.sse("retry: 20\n\n", *message.frames()[start:upto], end="reset")

    stream = chain.start(
        message, *[three_more] * 7, otherwise=message.rest if message.dialect.resumes else message.whole()
    )
    assert chain.rest(stream) == "complete"
    assert len(chain.requests) == 8


def test_tries_without_progress_end(chain):
    """After three repetitions that brought nothing the stream is interrupted; Resume is offered, and completes it."""
    message = in_dialect("replay")
    stream = chain.start(message, message.cut_in(WHOLE), otherwise=Answer.sse())
    assert chain.rest(stream) == "interrupted"
    assert len(chain.requests) == 4
    assert "without an end mark" in stream.error["message"]
    assert stream.status()["actions"] == ["resume", "regenerate"]
    chain.server.script([message.whole()])
    stream = nbstream.resume(stream)
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize("name", ["delta", "text", "chat", "replay"])
def test_the_first_retry_is_quick(chain, name):
    """After a cut the first retry begins within 300 ms (asserted: 3 s) and text goes on within 3 s."""
    message, stamp = in_dialect(name), Stamp()
    frames = message.frames()
    cut = Answer(stamp.behind(*frames[:WHOLE]), headers={"Content-Type": "text/event-stream"}, end="reset")
    went_on = []

    def rest(request):
        answer = message.rest(request) if message.dialect.resumes else message.whole()
        return Answer(_noted(answer.body, went_on), headers=answer.headers)

    stream = chain.start(message, cut, rest)
    assert chain.rest(stream) == "complete"
    retry_s, text_s = chain.requests[1].at - stamp.at, went_on[0] - stamp.at
    print(f"{name}: first retry after {retry_s * 1000:.0f} ms, text after {text_s * 1000:.0f} ms")
    assert retry_s < 3
    assert text_s < 3


def _noted(steps, moments):
    for step in steps:
        moments.append(time.monotonic())
        yield step


@pytest.mark.parametrize("name", ["delta", "replay"])
def test_ten_megabytes_with_a_cut_in_the_middle(chain, name, seed):
    """10 MB, reset in the middle of an event in the middle: exact, resumed by id or verified by replay."""
    text = long_text(random.Random(seed), 10_000_000)
    message = Message.of(name, text, piece_chars=20_000)
    half = len(message.pieces) // 2
    began = time.monotonic()
    stream = chain.start(
        message, message.cut_in(half, 7777, end="reset"), message.rest if name != "replay" else message.whole()
    )
    assert chain.rest(stream, within_s=60) == "complete"
    print(f"{name}: {len(text.encode()) / 1e6:.1f} MB in {time.monotonic() - began:.1f} s")
    assert len(chain.requests) == 2


@pytest.mark.parametrize("name", ["delta", "text"])
def test_an_event_larger_than_a_record_is_cut_and_goes_on(chain, name):
    """Events of 100 KB span several records; cut inside the third one, the message is exact."""
    message = Message.of(name, long_text(random.Random(7), 500_000), piece_chars=100_000)
    stream = chain.start(message, message.cut_in(2, 60_000, end="reset"), message.rest)
    assert chain.rest(stream) == "complete"


def test_what_is_shown_is_on_disk_and_keys_are_not(chain):
    """The raw bytes of the store hold the text (so the search for keys is no empty one) and the headers' names."""
    message = Message.of("delta")
    stream = chain.start(message, message.whole())
    assert chain.rest(stream) == "complete"
    raw = chain.raw()
    assert message.pieces[0].encode() in raw
    assert b"X-Api-Key" in raw
    assert chain.requests[0].headers["x-api-key"].encode() not in raw


def test_resume_in_a_second_life_names_the_stored_cursor(chain):
    """After the tries are used up and the server has come back, Resume asks for what is missing only."""
    message = Message.of("delta-id")
    refusing = Answer(["busy"], 503)
    stream = chain.start(message, message.cut_in(9, end="reset"), otherwise=refusing)
    assert chain.rest(stream) == "interrupted"
    with FaultServer() as elsewhere:  # its own port: the stream must go where its source says, not here
        chain.server.script([message.rest])
        assert chain.rest(nbstream.resume(stream.id)) == "complete"
        assert elsewhere.requests == []
    assert chain.resumed_behind()[-1] == ("9", None)


def test_the_table_covers_every_dialect():
    """No dialect of the table is left out of the cuts."""
    assert {*RESUMABLE, "replay", "chat-once"} == set(DIALECTS)
