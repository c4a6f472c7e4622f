"""Lines of JSON: the same events however the bytes are cut, and no line that was cut off."""

import pytest

from nbstream.wire.ndjson import LineParser
from nbstream.wire.sse import EventTooLarge


def lines(*chunks, **options):
    """Return the data of all events of *chunks*."""
    parser = LineParser(**options)
    return [event.data for chunk in chunks for event in parser.feed(chunk)]


RAW = '\ufeff{"a": "船 🌬️"}\r\n\n  \n{"b": 1}\n{"c": "über"}\n'.encode()


def test_every_split_gives_the_same_lines():
    """BOM, CRLF and empty lines say nothing; a character that was cut is whole."""
    at_once = ['{"a": "船 🌬️"}', '{"b": 1}', '{"c": "über"}']
    for cut in range(len(RAW) + 1):
        assert lines(RAW[:cut], RAW[cut:]) == at_once, cut
    assert lines(*(RAW[at : at + 1] for at in range(len(RAW)))) == at_once


def test_a_line_that_was_cut_off_is_none():
    """Behind the last LF nothing counts, even where it looks whole: more of it may have been to come."""
    for cut in range(1, len(RAW)):
        assert len(lines(RAW[:cut])) == sum(b"{" in line for line in RAW[:cut].split(b"\n")[:-1]), cut


def test_the_last_line_needs_no_end_if_it_is_a_whole_object():
    """At the end of the stream a JSON object is whole or it is cut, whichever byte it was; a number may be either."""
    last = '{"c": {"d": "über }"}}'.encode()
    for cut in range(len(last) + 1):
        parser = LineParser()
        parser.feed(b'{"a": 1}\n')
        parser.feed(last[:cut])
        rest = [event.data for event in parser.rest()]
        assert rest == ([last.decode()] if cut == len(last) else []), cut
        assert parser.cut is (0 < cut < len(last)), cut
    for odd in (b"12", b'"a"', b"[1]", b"null", b"tru", b'{"a": "\xc3"}x'):
        parser = LineParser()
        parser.feed(odd)
        assert (parser.rest(), parser.cut) == ([], True), odd
    for nothing in (b"", b" \t", b"\r", b"\xef\xbb\xbf"):
        parser = LineParser()
        parser.feed(nothing)
        assert (parser.rest(), parser.cut) == ([], False), nothing


@pytest.mark.parametrize("chunks", [[b'{"a": 1}\n', b"x" * 65 + b"\n"], [b'{"a": 1}\n' + b"x" * 40, b"x" * 40]])
def test_a_line_that_is_too_large_is_an_error(chunks):
    """In one piece or in many; the lines before it are not lost."""
    parser, before = LineParser(max_event_bytes=64), []
    *first, last = chunks
    for chunk in first:
        before += parser.feed(chunk)
    with pytest.raises(EventTooLarge, match="a line is larger than 64 bytes") as caught:
        parser.feed(last)
    assert [event.data for event in before + caught.value.events] == ['{"a": 1}']
