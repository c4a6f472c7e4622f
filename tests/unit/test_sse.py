"""Server-sent events from bytes: every corner of the standard, however the bytes are cut."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING, NamedTuple

import httpx
import httpx_sse
import pytest

from nbstream.wire.sse import EventSource, EventTooLarge, SSEParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Event = tuple[str, str, str, "int | None"]


class Reading(NamedTuple):
    """What a reader knows after some bytes."""

    events: list[Event]
    last_event_id: str = ""
    retry_ms: int | None = None
    comments: int = 0


def message(data: str, event_id: str = "", *, event: str = "message", retry: int | None = None) -> Event:
    """An event as a tuple."""
    return (event, data, event_id, retry)


def plain(events: Iterable[httpx_sse.ServerSentEvent]) -> list[Event]:
    """Events as tuples, which can be compared."""
    return [(e.event, e.data, e.id, e.retry) for e in events]


def read(chunks: Iterable[bytes]) -> Reading:
    """What the parser makes of *chunks*."""
    parser = SSEParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return Reading(plain(events), parser.last_event_id, parser.retry_ms, parser.comments)


def by_the_book(body: bytes) -> Reading:
    """The algorithm of the standard, word by word, over the whole body at once."""
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    lines = re.split("\r\n|\r|\n", text)[:-1]
    events: list[Event] = []
    data_buffer = event_type_buffer = id_buffer = last_event_id = ""
    reconnection_time = block_retry = None
    comments = 0
    for line in lines:
        if line == "":
            last_event_id = id_buffer
            if data_buffer != "":
                events.append((event_type_buffer or "message", data_buffer[:-1], last_event_id, block_retry))
            data_buffer = event_type_buffer = ""
            block_retry = None
            continue
        colon = line.find(":")
        if colon == 0:
            comments += 1
            continue
        field, value = (line, "") if colon < 0 else (line[:colon], line[colon + 1 :])
        if value[:1] == " ":
            value = value[1:]
        if field == "event":
            event_type_buffer = value
        elif field == "data":
            data_buffer += value + "\n"
        elif field == "id" and "\0" not in value:
            id_buffer = value
        elif field == "retry" and value and set(value) <= set("0123456789"):
            reconnection_time = block_retry = int(value)
    return Reading(events, last_event_id, reconnection_time, comments)


CASES: dict[str, tuple[bytes, Reading]] = {
    # dispatch
    "nothing": (b"", Reading([])),
    "blank lines alone": (b"\n\r\n\r\r\n\n", Reading([])),
    "one line": (b"data: tea\n\n", Reading([message("tea")])),
    "lines joined": (b"data: a\ndata: b\n\n", Reading([message("a\nb")])),
    "many blank lines": (b"\n\ndata: a\n\n\n\n\ndata: b\n\n\n", Reading([message("a"), message("b")])),
    "data, empty value": (b"data:\n\n", Reading([message("")])),
    "data, no colon": (b"data\n\n", Reading([message("")])),
    "two empty data lines": (b"data\ndata:\n\n", Reading([message("\n")])),
    "three empty data lines": (b"data\ndata: \ndata\n\n", Reading([message("\n\n")])),
    "block without data": (b"event: x\n\ndata: a\n\n", Reading([message("a")])),
    "unfinished block": (b"data: a\n\ndata: lost\n", Reading([message("a")])),
    "unfinished line": (b"data: a\n\ndata: lost", Reading([message("a")])),
    "unfinished from the start": (b"data: lost", Reading([])),
    # line ends
    "CRLF": (b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", Reading([message("a\nb"), message("c")])),
    "CR": (b"data: a\rdata: b\r\rdata: c\r\r", Reading([message("a\nb"), message("c")])),
    "CR LF mixed": (b"data: a\n\rdata: b\r\n\ndata: c\r\r\n", Reading([message("a"), message("b"), message("c")])),
    "CR, CRLF, LF": (b"data: a\rdata: b\r\ndata: c\n\n", Reading([message("a\nb\nc")])),
    "CR first, then LF": (b"data: a\rdata: b\n\n", Reading([message("a\nb")])),
    "LF after CRLF is a blank line": (b"data: a\r\n\ndata: b\r\n\n", Reading([message("a"), message("b")])),
    "not line ends": (
        "data: a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\u0085h\n\n".encode(),
        Reading([message("a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\u0085h")]),
    ),
    # fields
    "no space": (b"data:tea\n\n", Reading([message("tea")])),
    "one space removed": (b"data:  tea \n\n", Reading([message(" tea ")])),
    "tab kept": (b"data:\ttea\n\n", Reading([message("\ttea")])),
    "only the first colon": (b"data: a: b:c\n\n", Reading([message("a: b:c")])),
    "colon as value": (b"data::\n\n", Reading([message(":")])),
    "upper case": (b"Data: a\nDATA: b\ndata: c\n\n", Reading([message("c")])),
    "space before colon": (b"data : a\ndata: b\n\n", Reading([message("b")])),
    "space before name": (b" data: a\ndata: b\n\n", Reading([message("b")])),
    "longer name": (b"datas: a\ndat: b\ndata: c\n\n", Reading([message("c")])),
    "unknown field": (b"time: now\nnonsense\ndata: a\n\n", Reading([message("a")])),
    "name not UTF-8": (b"dat\xe1: a\n\xff\ndata: b\n\n", Reading([message("b")])),
    "line of one space": (b"data: a\n \ndata: b\n\n", Reading([message("a\nb")])),
    "NUL in data": (b"data: a\0b\n\n", Reading([message("a\0b")])),
    # event type
    "event": (b"event: tick\ndata: a\n\ndata: b\n\n", Reading([message("a", event="tick"), message("b")])),
    "event after data": (b"data: a\nevent: tick\n\n", Reading([message("a", event="tick")])),
    "last event line wins": (b"event: a\nevent:b\ndata: x\n\n", Reading([message("x", event="b")])),
    "empty event": (b"event: a\nevent:\ndata: x\n\n", Reading([message("x")])),
    "event, no colon": (b"event: a\nevent\ndata: x\n\n", Reading([message("x")])),
    "event does not leave its block": (b"event: a\n: c\n\ndata: x\n\n", Reading([message("x")], comments=1)),
    # id
    "id stays": (
        b"id: 7\ndata: a\n\ndata: b\n\n: ping\n\ndata: c\n\n",
        Reading([message("a", "7"), message("b", "7"), message("c", "7")], "7", comments=1),
    ),
    "id after data": (b"data: a\nid: 7\n\n", Reading([message("a", "7")], "7")),
    "last id line wins": (b"id: 1\nid: 2\ndata: a\n\n", Reading([message("a", "2")], "2")),
    "id without data": (b"id: 7\n\ndata: a\n\n", Reading([message("a", "7")], "7")),
    "id alone gives no event": (b"id: 7\n\n: ping\n\n", Reading([], "7", comments=1)),
    "id emptied": (b"id: 7\ndata: a\n\nid\ndata: b\n\n", Reading([message("a", "7"), message("b")])),
    "id emptied with colon": (b"id: 7\ndata: a\n\nid:\ndata: b\n\n", Reading([message("a", "7"), message("b")])),
    "id with NUL": (b"id: 7\nid: 8\0\ndata: a\n\n", Reading([message("a", "7")], "7")),
    "id keeps a second space": (b"id:  7 \ndata: a\n\n", Reading([message("a", " 7 ")], " 7 ")),
    "id of an unfinished block": (b"id: 7\ndata: a\n\nid: 8\ndata: b\n", Reading([message("a", "7")], "7")),
    "id of an unfinished block comes back": (b"id: 7\n\nid: 8\n", Reading([], "7")),
    "id in UTF-8": ("id: \u540d\ndata: a\n\n".encode(), Reading([message("a", "\u540d")], "\u540d")),
    # retry
    "retry": (b"retry: 1500\ndata: a\n\ndata: b\n\n", Reading([message("a", retry=1500), message("b")], "", 1500)),
    "retry without data": (b"retry: 1500\n\ndata: a\n\n", Reading([message("a")], "", 1500)),
    "retry counts at once": (b"retry: 1500\n", Reading([], "", 1500)),
    "retry, leading zeros": (b"retry:007\n\n", Reading([], "", 7)),
    "retry, zero": (b"retry: 0\n\n", Reading([], "", 0)),
    "retry, last valid wins": (b"retry: 1\nretry: 2\nretry: x\n\n", Reading([], "", 2)),
    "retry, not digits": (
        "".join(
            f"retry: {value}\n" for value in ["-5", "+7", "1_000", "1.5", "1e3", "0x9", " 9", "9 ", "\u0663", "\u00b2"]
        ).encode(),
        Reading([]),
    ),
    "retry, empty": (b"retry\nretry:\nretry: \n\n", Reading([])),
    "retry, too long for a number": (b"retry: " + b"9" * 5000 + b"\n\n", Reading([])),
    # comments
    "comments": (b":\n: a\n:data: b\ndata: c\n: d\n\n", Reading([message("c")], comments=4)),
    "comment splits no block": (b"data: a\n: c\ndata: b\n\n", Reading([message("a\nb")], comments=1)),
    "unfinished comment": (b": a\n: b", Reading([], comments=1)),
    # UTF-8
    "BOM": (b"\xef\xbb\xbfdata: a\n\n", Reading([message("a")])),
    "BOM alone": (b"\xef\xbb\xbf", Reading([])),
    "BOM before a comment": (b"\xef\xbb\xbf: c\ndata: a\n\n", Reading([message("a")], comments=1)),
    "second BOM is part of a name": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", Reading([message("b")])),
    "BOM inside": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", Reading([message("a")])),
    "BOM as data": (b"data: \xef\xbb\xbfa\n\n", Reading([message("\ufeffa")])),
    "half a BOM": (b"\xef\xbbdata: a\n\ndata: b\n\n", Reading([message("b")])),
    "half a BOM alone": (b"\xef\xbb", Reading([])),
    "two, three, four bytes": (
        "data: \u00e9\u20ac\U0001f600\n\n".encode(),
        Reading([message("\u00e9\u20ac\U0001f600")]),
    ),
    "not UTF-8": (b"data: a\xffb\xe9c\n\n", Reading([message("a\ufffdb\ufffdc")])),
    "character cut by a line end": (
        b"data: a\xf0\x9f\n\ndata: \xe2\x82\r\r",
        Reading([message("a\ufffd"), message("\ufffd")]),
    ),
    "character cut by a line, then data": (
        b"data: \xf0\x9f\ndata: \x98\x80\n\n",
        Reading([message("\ufffd\n\ufffd\ufffd")]),
    ),
    "surrogates and overlong": (b"data: \xed\xa0\x80\xc0\x80\n\n", Reading([message("\ufffd" * 5)])),
    "overlong NUL in id": (b"id: 1\xc0\x80\n\n", Reading([], "1\ufffd\ufffd")),
}
LONG = 200  # bytes from which two cuts at every place would take too long


def cuts(body: bytes) -> Iterator[list[bytes]]:
    """Yield *body* in one piece, byte by byte, with empty chunks, and cut at every place and every two places."""
    yield [body]
    yield [body[i : i + 1] for i in range(len(body))]
    yield [b"", *(piece for i in range(len(body)) for piece in (body[i : i + 1], b""))]
    for first in range(len(body)):
        yield [body[:first], body[first:]]
        if len(body) < LONG:
            for second in range(first, len(body)):
                yield [body[:first], body[first:second], body[second:]]


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES.keys())
def test_every_way_of_cutting_gives_the_events_of_the_standard(body: bytes, expected: Reading) -> None:
    """A body means the same in one piece, byte by byte, and cut anywhere."""
    if b"9" * 5000 not in body:  # the one case where the standard asks for a number Python does not build
        assert by_the_book(body) == expected
    for chunks in cuts(body):
        assert read(chunks) == expected, chunks


@pytest.mark.parametrize("body", [body for body, _ in CASES.values() if len(body) < LONG])
def test_nothing_is_held_back(body: bytes) -> None:
    """After each single byte the reader knows what the standard knows from the bytes so far: no event waits."""
    parser = SSEParser()
    events: list[Event] = []
    for end in range(1, len(body) + 1):
        events += plain(parser.feed(body[end - 1 : end]))
        assert Reading(events, parser.last_event_id, parser.retry_ms, parser.comments) == by_the_book(body[:end])


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r", b"\r\n\n", b"\n\r"])
def test_an_event_is_out_with_the_first_byte_of_its_blank_line(end: bytes) -> None:
    """The byte that ends the blank line brings the event, also when it is a CR that an LF may follow."""
    parser = SSEParser()
    assert parser.feed(b"data: a" + end[:-1]) == []
    assert plain(parser.feed(end[-1:])) == [message("a")]


def test_random_streams_read_as_the_standard_says() -> None:
    """Random mixtures of fields, line ends and broken characters, cut at random, give the standard's events."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pieces = [b"data", b"data: ", b"data:", b"event: e", b"id: ", b"id", b"retry: ", b"retry:5", b": c", b":", b" "]
    pieces += [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"data: x\n\n"] * 2
    pieces += [b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\x80", b"\xff", b"\xc2\x85", b"7", b"a", b"\0"]
    for _ in range(20_000):
        body = b"".join(chance.choices(pieces, k=chance.randrange(40)))
        places = sorted(chance.choices(range(len(body) + 1), k=chance.randrange(6)))
        chunks = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
        assert read(chunks) == by_the_book(body), (seed, chunks)


def test_a_seeded_id_lasts_until_the_stream_gives_one() -> None:
    """A reader that resumes knows its id before the first event, and passes it on."""
    parser = SSEParser(last_event_id="41")
    assert parser.last_event_id == "41"
    assert plain(parser.feed(b": hi\n\ndata: a\n\n")) == [message("a", "41")]
    assert plain(parser.feed(b"id: 42\ndata: b\n\n")) == [message("b", "42")]


def test_every_byte_is_counted() -> None:
    """BOM, comments, line ends and unfinished lines are all signs of life."""
    body = b"\xef\xbb\xbf: ping\r\n\r\ndata: x"
    for chunks in cuts(body):
        parser = SSEParser()
        for chunk in chunks:
            parser.feed(chunk)
        assert parser.bytes_seen == len(body)


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (b"data: 7890\n\n", True),
        (b"data: 78901\n\n", False),
        (b"data: 78901", False),
        (b"data:6\ndata\n\n", True),
        (b"data:6\ndata:\n\n", False),
        (b": 34567890\n", True),
        (b": 345678901\n", False),
        (b"id: 567890\n\n", True),
        (b"id: 5678901\n\n", False),
        (b": 34567890\n" * 5 + b"event: 890\ndata: 7890\n: 34567890\n\n", True),
        (b"data: 7890\n\n" * 5, True),
        (b"data: 7890\r\n\r\n" * 5, True),
    ],
)
def test_an_event_beyond_the_limit_is_an_error(body: bytes, fits: bool) -> None:
    """One line, or the data lines of one event, may be as long as the limit; cutting does not change the verdict."""
    for first, *others in cuts(body):
        parser = SSEParser(max_event_bytes=10)
        events = []
        failure = None
        try:
            for chunk in [b"data: ok\n\n" + first, *others]:  # an event in the same chunk must not get lost
                events += parser.feed(chunk)
        except EventTooLarge as error:
            events += error.events
            failure = error
        assert (failure is None) == fits, (first, others)
        if failure is not None:
            assert plain(events) == [message("ok")]
            assert "larger than 10 bytes" in str(failure)


@pytest.mark.parametrize("line_end", [b"", b"\ndata: "], ids=["one line", "many lines"])
def test_a_huge_event_in_small_chunks_takes_linear_time(line_end: bytes) -> None:
    """10 MB in pieces of 1 KB are read in a moment; copying what is there for each piece would take a minute."""
    piece = b"x" * 1000 + line_end
    parser = SSEParser()
    started = time.perf_counter()
    parser.feed(b"data: ")
    for _ in range(10_000):
        assert parser.feed(piece) == []
    (event,) = parser.feed(b"\n\n")
    assert time.perf_counter() - started < 3
    assert event.data.count("x") == 10_000_000


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=ISO-8859-1", True),
        ("text/event-stream ;v=1", True),
        ("text/event-stream-extra", False),
        ("x-text/event-stream", False),
        ("text/html", False),
        ("text/html; text/event-stream", False),
        ("", False),
        (None, False),
    ],
)
def test_only_the_exact_media_type_is_an_event_stream(content_type: str | None, expected: bool) -> None:
    """Parameters and case do not matter, everything else does."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert EventSource(httpx.Response(200, headers=headers)).is_event_stream is expected


def test_a_synchronous_response_is_read_the_same_way() -> None:
    """iter_sse() gives the events of the standard too, each chunk counted, and fails after the events before."""
    sizes: list[int] = []
    chunks = [b"\xef\xbb\xbfid: 1\rdata: a\r\r: ping\r\r", b"data: b\n\ndata: " + b"x" * 100]
    source = EventSource(
        httpx.Response(200, content=iter(chunks)), last_event_id="0", max_event_bytes=50, on_bytes=sizes.append
    )
    assert isinstance(source, httpx_sse.EventSource)
    events = source.iter_sse()
    assert plain([next(events), next(events)]) == [message("a", "1"), message("b", "1")]
    with pytest.raises(EventTooLarge):
        next(events)
    assert sizes == [len(chunk) for chunk in chunks]
    assert source.parser.last_event_id == "1"


@pytest.mark.parametrize("tail", ["", "\n", "\r\n", "\r"])
@pytest.mark.parametrize("data", ['{"a": "x"}', "[DONE]"])
@pytest.mark.parametrize("front", ["", ": ping\n", "event: done\n", "id: 7\n"])
def test_the_end_of_the_stream_tells_a_whole_event_from_a_cut_one(front: str, data: str, tail: str) -> None:
    """Cut at every byte: only the last blank line may be missing, and everything short of that is a cut."""
    body = f"data: first\n\n{front}data: {data}{tail}".encode()
    first, whole = len(b"data: first\n\n"), len(body) - len(tail)
    for at in range(first, len(body) + 1):
        parser = SSEParser()
        parser.feed(body[:at])
        rest = parser.rest()
        if at >= whole:
            assert ([event.data for event in rest], parser.cut) == ([data], False), at
        else:
            nothing = all(line.startswith(b":") for line in body[first:at].splitlines())
            assert (rest, parser.cut) == ([], not nothing), at


def test_a_block_that_may_have_lost_its_id_is_cut() -> None:
    """Read again behind the last id, its text would come twice; half an id is none."""
    for body in (b'id: 1\ndata: {}\n\ndata: {"a": 1}\n', b'data: {"a": 1}\nid: 1', b'data: {"a": 1}\nevent: er'):
        parser = SSEParser()
        parser.feed(body)
        assert (parser.rest(), parser.cut) == ([], True)
