"""The same answer in every way in which servers and proxies write it: line ends, escapes, spaces, nulls."""

import json
import random

import pytest
from format_samples import SAMPLES, expected, heard, told

from nbstream.sources.formats.registry import READERS

FILES = [pytest.param(sample, id=sample.file) for sample in SAMPLES]
EVENTS = [pytest.param(sample, id=sample.file) for sample in SAMPLES if not sample.lines]


def datas(frame):
    """Return the lines of *frame*, those with JSON decoded."""
    for line in frame.decode().splitlines():
        name, _, value = line.partition(": ")
        if name == "data" and value.startswith("{"):
            yield name, json.loads(value)
        elif line.startswith("{"):
            yield None, json.loads(line)
        elif line:
            yield name, value


def written(sample, dump, *, data="data: ", end="\n"):
    """Return all frames of *sample* anew, each JSON object as *dump* writes it."""
    for frame in sample.frames:
        lines = []
        for name, value in datas(frame):
            if not isinstance(value, dict):
                lines.append(f"{name}: {value}")
            elif name is None:
                lines.append(dump(value))
            else:
                lines += [data + line for line in dump(value).split("\n")]
        yield (end.join(lines) + end * (1 if sample.lines else 2)).encode()


#: What a tool is asked is the model's: nothing there is a field of the format.
ARGUMENTS = {"args", "arguments", "input"}


def with_nulls(value):
    """Return *value* with an unknown null field in every object: later versions of a format have more of them."""
    if isinstance(value, dict):
        inside = {name: one if name in ARGUMENTS else with_nulls(one) for name, one in value.items()}
        return {**inside, "of_tomorrow": None}
    return [with_nulls(one) for one in value] if isinstance(value, list) else value


def hears(sample, frames, rng=None, format=None):
    """Return what *frames* say, cut at random places if *rng* is given; the end is that of the connection, too."""
    raw = b"".join(frames)
    places = sorted(rng.sample(range(1, len(raw)), min(40, len(raw) - 1))) if rng else []
    pieces = [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]
    reader, parser = READERS[format or sample.format](None), sample.parser()
    arrivals = heard(reader, parser, *pieces)
    if not arrivals or arrivals[-1].end is None:
        arrivals += filter(None, [reader.eof()])
    return told(arrivals)


WAYS = {
    "escaped": {"dump": json.dumps},
    "not escaped, tight": {"dump": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))},
    "CRLF": {"dump": json.dumps, "end": "\r\n"},
    "sorted": {"dump": lambda value: json.dumps(value, sort_keys=True)},
    "with nulls": {"dump": lambda value: json.dumps(with_nulls(value))},
}
#: Of events only.
EVENT_WAYS = {
    "CR": {"dump": json.dumps, "end": "\r"},
    "no space": {"dump": json.dumps, "data": "data:"},
    "several lines": {"dump": lambda value: json.dumps(value, indent=1)},
    "several lines, CRLF": {"dump": lambda value: json.dumps(value, indent="\t"), "end": "\r\n"},
}


@pytest.mark.parametrize("sample", FILES)
@pytest.mark.parametrize("way", [*WAYS, *EVENT_WAYS])
def test_every_way_of_writing_says_the_same(sample, way, seed):
    """Nothing but what it says counts, and it may be cut anywhere."""
    if way in EVENT_WAYS and sample.lines:
        return
    frames = list(written(sample, **(WAYS.get(way) or EVENT_WAYS[way])))
    assert hears(sample, frames) == expected(sample)
    for _ in range(5):
        assert hears(sample, frames, random.Random(f"{seed} {sample.file} {way}")) == expected(sample)


@pytest.mark.parametrize("sample", FILES)
def test_a_mark_in_front_and_garbage_behind_change_nothing(sample):
    """A BOM, and what a server sends behind the end mark: pings, another end, an error of a proxy, half a line."""
    bom = b"\xef\xbb\xbf"
    behind = [b'{"error": "too late"}\n', b"\n\n", b"\x00\xff<html>"]
    if not sample.lines:
        behind = [b": ping\n\n", b"data: [DONE]\n\n", b'data: {"error": "too late"}\n\n', *behind]
    if sample.format != "gemini.generate":  # its end is that of the connection
        assert hears(sample, [bom, *sample.frames, *behind]) == expected(sample)
    assert hears(sample, [bom, *sample.frames]) == expected(sample)


@pytest.mark.parametrize("sample", EVENTS)
def test_what_is_no_data_says_nothing(sample):
    """Comments, fields that nobody knows, times, and ids with NUL in them, between any two frames."""
    beside = b": PROCESSING\n\n:\n\nretry: 10\n\nfoo: bar\n\nid: a\x00b\n\nid\n\n"
    frames = [piece for frame in sample.frames for piece in (beside, frame)]
    assert hears(sample, frames, format="auto") == expected(sample)


@pytest.mark.parametrize("sample", FILES)
def test_a_frame_of_usage_that_comes_twice_counts_once(sample):
    """Servers tell it with every chunk, or once more at the end; it is no sum."""
    frames = sample.frames
    at = next((at for at, frame in enumerate(frames) if b'_tokens"' in frame or b'TokenCount"' in frame), None)
    if at is None or b"delta" in frames[at] or sample.format in {"gemini.generate", "ollama.chat", "llamacpp"}:
        return  # the frame has text, or is the end
    says = hears(sample, [*frames[:at], frames[at], frames[at], *frames[at + 1 :]])
    assert {**says, "raw": []} == expected(sample)
