"""The records of a log and their bytes."""

import itertools
import json
import random

import pytest

from nbstream.errors import LogDamaged
from nbstream.records import Close, Delta, Open, Part, decode, encode, join, whole_characters

OPEN = Open("s1", "nb/cell/0", "new", {"kind": "sse", "url": "http://127.0.0.1/x"}, "fp", "w", "host", "boot", 1.5)
TEXT = Part("text", "a\r\n\x00\u2028\U0001f600", sequence=3, off=7)
CALL = Part("tool_call", agent="b", sequence=1, fields={"name": "f", "args_delta": '{"x', "text": "its own"})
RECORDS = [
    OPEN,
    Open("s2", "k", "regenerate", {}, "", "", "", "", 0.0, parent="s1"),
    Delta((), at=1.0),
    Delta((TEXT,), at=2.0, cursor={"id": "17", "n": [1]}, behind=4),
    Delta((CALL, TEXT._replace(fields={"later": True}), Part("seam", sequence=2, fields={"why": "cut"})), at=0.5),
    Close("complete", at=3.0),
    Close(
        "failed",
        at=3.0,
        finish="error",
        raw_finish="server_error",
        usage={"input": 1, "output": 2},
        error={"type": "SourceRefused", "message": "no", "retryable": False},
        model="m",
        chars=9,
    ),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_comes_back_as_it_went(record):
    """`decode` gives back what `encode` was given, from one line of JSON in UTF-8."""
    data = encode(record)
    assert decode(data, stream="s", offset=0) == record
    assert json.loads(data)["v"] == 1
    assert b"\n" not in data


@pytest.mark.parametrize("record", RECORDS)
def test_a_cut_record_is_damaged(record):
    """No beginning of a record is taken for a record."""
    data = encode(record)
    for length in range(len(data)):
        with pytest.raises(LogDamaged, match="record 7 of stream s9"):
            decode(data[:length], stream="s9", offset=7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"open"',
        b"7",
        b"\xff",
        b"\x80\x04N.",  # a pickle
        b"[" * 100_000,  # deeper than Python recurses
        b'{"type":"delta","at":1,"parts":[]}',
        b'{"v":2,"type":"delta","at":1,"parts":[]}',
        b'{"v":1,"type":"other"}',
        b'{"v":1,"type":["delta"]}',
        b'{"v":1,"type":"delta","at":1}',
        b'{"v":1,"type":"delta","parts":[]}',
        b'{"v":1,"type":"delta","at":1,"parts":[],"more":1}',
        b'{"v":1,"type":"delta","at":1,"parts":[7]}',
        b'{"v":1,"type":"delta","at":1,"parts":[{"kind":"text","agent":"a","sequence":1,"off":0}]}',
        b'{"v":1,"type":"delta","at":1,"parts":[{"kind":"text","agent":"a","sequence":"1","off":0,"text":"x"}]}',
        b'{"v":1,"type":"delta","at":1,"parts":[{"kind":"text","agent":"a","sequence":true,"off":0,"text":"x"}]}',
        b'{"v":1,"type":"delta","at":1,"parts":[{"kind":[],"agent":"a","sequence":1}]}',
        b'{"v":1,"type":"close","at":1}',
        b'{"v":1,"type":"close","at":1,"how":"paused"}',  # no state of a stream
    ],
)
def test_what_is_no_record_is_damaged(data):
    """Anything that is not a record raises `LogDamaged` with stream, offset and what to do, in one line."""
    with pytest.raises(LogDamaged, match=r"record 3 of stream s1.*%stream show s1") as caught:
        decode(data, stream="s1", offset=3)
    assert "\n" not in str(caught.value)


def test_unknown_keys_of_a_part_are_kept():
    """A part may carry more than this version knows; it is not lost on the way through."""
    data = (
        b'{"v":1,"type":"delta","at":1,"parts":[{"kind":"text","agent":"a","sequence":1,"off":0,"text":"x","new":[1]}]}'
    )
    (part,) = decode(data, stream="s", offset=0).parts
    assert part.fields == {"new": [1]}
    assert part.to_json()["new"] == [1]


def test_a_lone_surrogate_is_refused():
    """Text that UTF-8 cannot carry is an error where it is encoded, not another text in the store."""
    with pytest.raises(UnicodeEncodeError):
        encode(Delta((Part("text", "\ud83d", sequence=1),), at=1.0))


def test_half_a_character_in_a_name_loses_no_end():
    """What a server calls its model, and what an error quotes, may be cut anywhere: the end is stored all the same."""
    close = Close("complete", 1.0, raw_finish="sto\ud800", model="m\ud83d", error={"message": "\udc00"})
    stored = decode(encode(close), stream="s1", offset=0)
    assert (stored.raw_finish, stored.model, stored.error) == ("sto\ufffd", "m\ufffd", {"message": "\ufffd"})


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("plain", "plain"),
        ("ünïcode \U0001f600", "ünïcode \U0001f600"),
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00b", "\ufffdb"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    ],
)
def test_surrogates_become_characters(text, whole):
    """Pairs are joined, lone ones replaced one by one, and the result can be encoded."""
    assert whole_characters(text) == whole
    whole_characters(text).encode()


def test_join_keeps_every_character(seed):
    """Joining any run of parts keeps the text of each agent and kind, and the order of what cannot be joined."""
    choose = random.Random(seed)
    for _ in range(200):
        parts = [
            Part(choose.choice(["text", "reasoning", "tool_call"]), choose.choice("abc"), choose.choice("xy"), n)
            for n in range(choose.randrange(12))
        ]
        joined = join(parts)
        for agent in "xy":
            for kind in ("text", "reasoning"):
                wanted = "".join(part.text for part in parts if (part.agent, part.kind) == (agent, kind))
                assert "".join(part.text for part in joined if (part.agent, part.kind) == (agent, kind)) == wanted
        assert [part for part in joined if part.kind == "tool_call"] == [p for p in parts if p.kind == "tool_call"]
        for one, other in itertools.pairwise(joined):
            assert one.kind == "tool_call" or (one.kind, one.agent) != (other.kind, other.agent)
        assert join(joined) == joined


def test_a_joined_part_keeps_the_place_of_the_first():
    """Sequence and `off` of a joined part are those of its first piece."""
    parts = [Part("text", "ab", sequence=4, off=10), Part("text", "c", sequence=5, off=12)]
    assert join(parts) == [Part("text", "abc", sequence=4, off=10)]
    assert join([]) == []
