"""Bytes as real servers send them: slow, odd, compressed, broken, or never ending. Exact, or an honest error."""

import json
import random
import time

import pytest
from chain import KEY, TEXT, Chain, Message, sse_data, until

import nbstream
from nbstream.testing import Answer, Gate, Pause

DELTA = Message.of("delta")
DONE = b"event: done\ndata: {}\n\n"


def delta(text, offset=None):
    """Return one native frame."""
    return sse_data({"type": "delta", "text": text} | ({} if offset is None else {"offset": offset}))


def plain(chain: Chain, text, *replies, **options):
    """Start a stream whose format is found out, and that ought to say *text*."""
    chain.server.script(replies)
    return chain.begin(nbstream.sse(chain.server.url + "/stream", **options), text)


# --- slow and cut into odd pieces -----------------------------------------------------------------------------------


def test_a_slow_link_byte_by_byte(chain):
    """3 KB/s, one byte a packet: text is shown as it comes, and the message is exact."""
    text = TEXT[:300]
    message = Message.of("delta", text, piece_chars=20)
    total = len(b"".join(message.frames()))
    stream = chain.start(message, message.whole(piece_bytes=1, bytes_per_s=3000))
    began = time.monotonic()
    first = until(lambda: stream.text, "the first text")
    assert not stream.settled
    assert chain.rest(stream) == "complete"
    took = time.monotonic() - began
    print(f"{total} bytes in {took:.1f} s, first text after {first:.2f} s")
    assert took > 0.5 * total / 3000
    assert first < took / 2


@pytest.mark.parametrize("name", ["delta", "text", "chat", "agents"])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_any_way_of_cutting_the_bytes_gives_the_same_text(chain, name, size):
    """Packets of 1, 2, 3 and 7 bytes: characters, lines and events come out whole."""
    message = Message.of(name, TEXT[:200])
    stream = chain.start(message, message.whole(piece_bytes=size, framing="close"))
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_other_line_ends_and_a_bom(chain, line_end, size, bom):
    """CRLF or CR instead of LF, with a byte order mark in front, whole or byte by byte; cut in the middle too."""
    frames = [frame.replace(b"\n", line_end) for frame in DELTA.frames()]
    first = Answer.sse(bom, *frames[:20], frames[20][:9], piece_bytes=size, end="reset")
    stream = chain.start(DELTA, first, Answer.sse(bom, *frames[20:], piece_bytes=size))
    assert chain.rest(stream) == "complete"
    assert chain.requests[1].last_event_id == "20"


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_complete_answer_in_every_framing(chain, framing):
    """However HTTP says where the body ends, the message is complete by its own end mark."""
    stream = chain.start(DELTA, DELTA.whole(framing=framing))
    assert chain.rest(stream) == "complete"


# --- signs of life --------------------------------------------------------------------------------------------------


def with_pings(frames, ping):
    """Return *frames* with *ping* before each."""
    return [piece for frame in frames for piece in (ping, frame)]


@pytest.mark.parametrize(
    "ping",
    [
        b": ping\n\n",
        b":\n",
        b"event: ping\ndata: {}\n\n",
        b"event: ping\n\n",
        b"id: 0\n: hb\n\n",
        b"id: hb-7\n\n",
        b"\n\n",
    ],
    ids=["comment", "bare comment", "ping event", "ping without data", "comment with id", "id alone", "blank lines"],
)
def test_heartbeats_are_no_text_and_no_cursor(chain, ping):
    """Heartbeats between all events, before and behind a cut: no text of their own, no event lost, exact."""

    def rest(request):
        assert request.query["offset"] == str(20 * DELTA.piece_chars)
        return Answer.sse(*with_pings(DELTA.frames(20), ping))

    stream = chain.start(DELTA, Answer.sse(*with_pings(DELTA.frames()[:20], ping), ping, end="reset"), rest)
    assert chain.rest(stream) == "complete"


def test_an_id_that_came_alone_is_what_the_next_event_carries(chain):
    """`id:` in a block without data moves the last event id, as the standard says; the next data event names it."""
    body = [b"id: a\n\n", delta("One "), b"id: b\n\n"]
    stream = plain(chain, "One two", Answer.sse(*body, end="reset"), Answer.sse(delta("two"), DONE))
    assert chain.rest(stream) == "complete"
    assert chain.requests[1].last_event_id == "a"


@pytest.mark.parametrize(
    ("field", "least_s", "most_s"),
    [("700", 0.7, 1.4), ("0", 0.0, 0.14), ("-5", 0.14, 0.6), ("+7", 0.14, 0.6), ("1e1", 0.14, 0.6), ("", 0.14, 0.6)],
)
def test_the_retry_field_is_the_wait(chain, field, least_s, most_s):
    """`retry: N` milliseconds replaces our wait; anything but ASCII digits is ignored."""
    first = Answer.sse(f"retry: {field}\n\n", DELTA.frames()[0], Pause(0.05), end="cut")
    stream = chain.start(DELTA, first, DELTA.rest)
    assert chain.rest(stream) == "complete"
    waited = chain.requests[1].at - chain.requests[0].at - 0.05
    print(f"retry: {field!r} -> {waited:.2f} s")
    assert least_s <= waited < most_s + 0.3  # the call itself takes time on a busy machine


def test_a_retry_field_of_more_than_two_minutes_ends_as_interrupted(chain):
    """`retry: 600000`: nobody waits ten minutes unasked; the line names the time."""
    stream = chain.start(DELTA, Answer.sse("retry: 600000\n\n", *DELTA.frames()[:3]), otherwise=DELTA.rest)
    assert chain.rest(stream) == "interrupted"
    assert "600 s" in stream.error["message"]
    assert len(chain.requests) == 1


# --- compressed -----------------------------------------------------------------------------------------------------


def test_gzip_although_identity_was_asked(chain):
    """A proxy compresses all the same: the text is exact, event by event."""
    stream = chain.start(DELTA, DELTA.whole(gzip=True))
    assert chain.rest(stream) == "complete"
    assert chain.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("end", ["reset", "cut", "clean"])
def test_gzip_that_breaks_off_goes_on(chain, end):
    """A compressed body that is cut is a lost connection like any other: resumed behind the last event."""
    frames = DELTA.frames()
    stream = chain.start(DELTA, Answer.sse(*frames[:20], gzip=True, end=end), DELTA.rest)
    assert chain.rest(stream) == "complete"
    assert chain.requests[1].last_event_id == "20"


def test_what_is_not_gzip_though_it_says_so(chain):
    """`Content-Encoding: gzip` over plain text: one line, no text, no endless retry."""
    stream = chain.start(DELTA, otherwise=DELTA.whole(headers={"Content-Encoding": "gzip"}))
    assert chain.rest(stream) in ("failed", "interrupted")
    assert stream.text == ""
    assert "decompress" in stream.error["message"]
    assert len(chain.requests) <= 4


# --- garbage --------------------------------------------------------------------------------------------------------


def test_garbage_instead_of_http(chain, seed):
    """Random bytes where a status line should be: interrupted after the tries, in one printable line."""
    noise = random.Random(seed).randbytes(600)
    stream = chain.start(DELTA, otherwise=Answer([noise], framing="bare"))
    assert chain.rest(stream) == "interrupted"
    assert len(chain.requests) == 4


def test_garbage_behind_the_headers(chain, seed):
    """Random bytes in place of events: no event, so no text; interrupted, not complete."""
    noise = bytes(byte for byte in random.Random(seed).randbytes(4000) if byte not in b"d:")
    stream = chain.start(DELTA, otherwise=Answer.sse("retry: 10\n\n", noise))
    assert chain.rest(stream) == "interrupted"
    assert stream.text == ""


def test_garbage_between_events_is_ignored(chain, seed):
    """Unknown fields, lines without a colon and control characters are no events: ignored, as the standard says."""
    noise = bytes(byte for byte in random.Random(seed).randbytes(300) if byte not in b"\r\n:dier") + b"\n"
    stream = chain.start(DELTA, Answer.sse(*with_pings(DELTA.frames(), noise)))
    assert chain.rest(stream) == "complete"


def test_garbage_in_the_chunk_sizes(chain):
    """A chunk size that is no number: lost, and resumed behind the last event."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(DELTA.frames()[:6])
    broken = Answer([head, b"%x\r\n%s\r\n" % (len(body), body), b"zz\r\nnonsense\r\n"], framing="bare")
    stream = chain.start(DELTA, broken, DELTA.rest)
    assert chain.rest(stream) == "complete"
    assert chain.requests[1].last_event_id == "6"


def test_invalid_utf8_is_replaced_and_seen(chain):
    """Bytes that are no UTF-8 become U+FFFD, as in a browser; the events around them are exact."""
    body = [delta("Fair "), b'data: {"type": "delta", "text": "w\xffnd\xc3 "}\n\n', delta("today"), DONE]
    stream = plain(chain, "Fair w\ufffdnd\ufffd today", Answer.sse(*body))
    assert chain.rest(stream) == "complete"


def test_half_of_an_emoji_in_json_does_not_break_the_store(chain):
    """Surrogates, paired over two frames or alone: joined where they pair, replaced where not, and stored."""
    body = [
        b'data: {"type": "delta", "text": "ship \\ud83d"}\n\n',
        b'data: {"type": "delta", "text": "\\udea2, pin \\ud83d"}\n\n',
        delta(" end"),
        DONE,
    ]
    stream = plain(chain, "ship 🚢, pin \ufffd end", Answer.sse(*body))
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize(
    "frame",
    [
        b'data: {"type": "delta", "text": "br\n\n',
        b"data: [1, 2]\n\n",
        b'data: "words"\n\n',
        b'data: {"type": "delta"}\n\n',
        b'data: {"type": "delta", "text": 7}\n\n',
        b"data: " + b"[" * 5000 + b"\n\n",
        b'data: {"type": "delta", "text": null}\n\n',
    ],
    ids=["cut off", "a list", "a string", "no text", "a number for text", "deep", "null for text"],
)
def test_a_broken_frame_is_an_error_that_quotes_it(chain, frame):
    """A frame that is not of its format: failed, the text before it kept, the line quotes its beginning."""
    body = [*DELTA.frames()[:4], frame]
    stream = chain.start(DELTA, Answer.sse(*body), otherwise=DELTA.rest)
    assert chain.rest(stream) == "failed"
    assert stream.text == "".join(DELTA.pieces[:4])
    assert "not of its format" in stream.error["message"]
    assert len(chain.requests) == 1


def test_a_broken_frame_does_not_quote_a_key(chain):
    """The frame that is quoted holds a key of ours: it is blanked out."""
    stream = chain.start(DELTA, Answer.sse(*DELTA.frames()[:2], f"data: oops {KEY} oops\n\n"))
    assert chain.rest(stream) == "failed"
    assert "oops" in stream.error["message"]


@pytest.mark.parametrize("kind", ["error event", "error frame"])
def test_an_error_inside_the_stream_is_told(chain, kind):
    """The server reports an error in its own words: failed, text kept, its words quoted in one line."""
    error = {"error": {"message": "the\nwell is\x00 dry", "type": "out_of_water"}}
    frame = (b"event: error\n" if kind == "error event" else b"") + sse_data(error)
    stream = chain.start(DELTA, Answer.sse(*DELTA.frames()[:3], frame), otherwise=DELTA.rest)
    assert chain.rest(stream) == "failed"
    assert "well is" in stream.error["message"]
    assert len(chain.requests) == 1


def test_frames_of_no_known_format_are_no_message(chain):
    """JSON that nbstream cannot read: failed, and the line says to give format= or read=."""
    body = [sse_data({"weather": "fair"}), sse_data({"weather": "rain"})]
    stream = plain(chain, "", Answer.sse(*body))
    assert chain.rest(stream) == "failed"
    assert "format=" in stream.error["message"]


def test_text_that_looks_like_an_end_mark_is_text(chain):
    """`[DONE]` and `event: done` inside a text are only text: they stand in JSON, not on a line of their own."""
    text = 'He wrote "[DONE]"\n\nevent: done\ndata: {}\n\nand sailed on.'
    body = [delta(text[at : at + 5], at) for at in range(0, len(text), 5)]
    stream = plain(chain, text, Answer.sse(*body, DONE))
    assert chain.rest(stream) == "complete"


@pytest.mark.parametrize(
    "text", ["\x00 nul", " leading blank", "tab\tand\x1b[31mescape", "a\u2028b\u2029c\x85d\x0be", "\ufeffmark"]
)
def test_odd_characters_are_kept(chain, text):
    """Line separators, controls, blanks and marks are text like any other, in JSON and on a line of their own."""
    for name in ("delta", "text"):
        message = Message.of(name, f"x{text}y{text}", piece_chars=3)
        stream = chain.start(message, message.cut_in(1, end="reset"), message.rest)
        assert chain.rest(stream) == "complete"


# --- endings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["delta", "agents", "text", "chat"])
@pytest.mark.parametrize("end", ["stall", "keep"])
def test_the_end_mark_ends_though_the_connection_stays_open(chain, name, end):
    """The server keeps the connection open behind its end mark: complete at once, and we close it."""
    message = Message.of(name)
    began = time.monotonic()
    stream = chain.start(message, message.whole(end=end))
    assert chain.rest(stream) == "complete"
    assert time.monotonic() - began < 2
    assert len(chain.requests) == 1


def test_what_comes_behind_the_end_mark_is_not_read(chain):
    """Text behind the end mark is no part of the message."""
    stream = chain.start(DELTA, Answer.sse(*DELTA.frames(), delta("and more"), DELTA.end, end="stall"))
    assert chain.rest(stream) == "complete"


def test_an_empty_message_with_an_end_mark_is_complete(chain):
    """Nothing was said, and the end mark says so: complete and empty."""
    stream = plain(chain, "", Answer.sse(DONE))
    assert chain.rest(stream) == "complete"


def test_an_empty_body_is_not_complete(chain):
    """200, the right type, and nothing at all: tried again, then interrupted; never complete and empty."""
    stream = plain(chain, "", *[Answer.sse("retry: 10\n\n")] * 4)
    assert chain.rest(stream) == "interrupted"
    assert len(chain.requests) == 4


def test_an_endless_event_is_refused(chain):
    """One event that does not end is given up at 16 MiB; text before it is kept."""
    flood = (b"x" * 65536 for _ in range(300))
    answer = Answer(iter([*DELTA.frames()[:2], b"data: ", *flood]), headers={"Content-Type": "text/event-stream"})
    stream = chain.start(DELTA, answer, otherwise=DELTA.rest)
    assert chain.rest(stream) == "failed"
    assert stream.text == "".join(DELTA.pieces[:2])
    assert "larger than" in stream.error["message"]


def test_every_piece_is_saved_before_the_next_one_comes(chain):
    """The server waits behind each of its frames until the test has read the text back from the store."""
    gates = [Gate() for _ in range(5)]
    steps = [step for frame, gate in zip(DELTA.frames(), gates, strict=False) for step in (frame, gate)]
    stream = chain.start(DELTA, Answer.sse(*steps, *DELTA.frames(5)))
    for count, gate in enumerate(gates, 1):
        gate.wait()
        until(lambda count=count: stream.text == "".join(DELTA.pieces[:count]), f"frame {count} in the store")
        assert json.dumps(DELTA.pieces[count - 1], ensure_ascii=False).strip('"').encode() in chain.raw()
        gate.open()
    assert chain.rest(stream) == "complete"
