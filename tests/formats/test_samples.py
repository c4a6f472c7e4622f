"""What providers send: the same parts however the bytes are cut, and nothing that was cut is ever complete."""

import json
import random
import re

import pytest
from format_samples import ERRORS, ONE_EACH, SAMPLES, expected, heard, told
from httpx_sse import ServerSentEvent

from nbstream.errors import SourceError, SourceMalformed, SourceRefused
from nbstream.recorder.characters import Characters
from nbstream.records import Delta, decode, encode
from nbstream.sources.contract import End
from nbstream.sources.formats.registry import READERS
from nbstream.sources.http.call import Call

FILES = [pytest.param(sample, id=sample.file) for sample in SAMPLES]
FORMATS = [pytest.param(sample, id=sample.format) for sample in ONE_EACH]


def whole(sample, *chunks, format=None):
    """Return what *chunks* of *sample* say, the end behind a clean end of the connection included."""
    reader = READERS[format or sample.format](None)
    arrivals = heard(reader, sample.parser(), *chunks)
    if not arrivals or arrivals[-1].end is None:
        end = reader.eof()
        arrivals += [end] if end is not None else []
    return arrivals


@pytest.mark.parametrize("sample", FILES)
@pytest.mark.parametrize("format", ["auto", None])
def test_a_whole_answer(sample, format):
    """Text, reasoning, refusal, tool calls, usage, model and finish come out; nothing twice, nothing unknown."""
    assert told(whole(sample, sample.raw, format=format)) == expected(sample)


@pytest.mark.parametrize("sample", FILES)
def test_every_split_says_the_same(sample):
    """Cut in two at any byte, and byte by byte, the bytes give the same parts, cursors and end."""
    raw, at_once = sample.raw, whole(sample, sample.raw)
    for cut in range(1, len(raw)):
        assert whole(sample, raw[:cut], raw[cut:]) == at_once, cut
    assert whole(sample, *(raw[at : at + 1] for at in range(len(raw)))) == at_once


@pytest.mark.parametrize("sample", FILES)
def test_nothing_cut_is_ever_complete(sample):
    """Cut off behind any byte before the end mark there is no end, and what came is a beginning of the answer."""
    raw, says = sample.raw, expected(sample)
    for cut in range(sample.whole_at):
        came = told(whole(sample, raw[:cut]))
        assert came["end"] is None, cut
        for name in ("text", "reasoning", "refusal"):
            assert says[name].startswith(came[name]), cut
    assert told(whole(sample, raw[: sample.whole_at]))["end"] is not None


@pytest.mark.parametrize("sample", FILES)
def test_an_error_inside_is_the_upstreams_own_words(sample):
    """Behind any frame an error ends the answer with its words, and everything before it was read."""
    error, retryable = ERRORS[sample.format]
    frames = sample.before_the_end
    for count in range(1, len(frames)):
        reader, parser = READERS[sample.format](None), sample.parser()
        before = told(heard(reader, parser, *frames[:count]))
        with pytest.raises(SourceRefused, match="out of cheese") as caught:
            heard(reader, parser, error)
        assert caught.value.retryable is retryable
        assert before["end"] is None
        assert expected(sample)["text"].startswith(before["text"])


@pytest.mark.parametrize("sample", FORMATS)
@pytest.mark.parametrize(
    "broken", ['{"type": "nonsense', "[1, 2]", '{"candidates": 7, "choices": 7, "message": 7, "content": 7, "stop": 1}']
)
def test_what_is_not_of_the_format_is_quoted(sample, broken):
    """Broken JSON, another kind of JSON and fields of another type end the answer in one line that quotes them."""
    frame = broken.encode() + b"\n" if sample.lines else f"data: {broken}\n\n".encode()
    reader, parser = READERS[sample.format](None), sample.parser()
    heard(reader, parser, *sample.before_the_end)
    with pytest.raises(SourceMalformed) as caught:
        heard(reader, parser, frame)
    assert broken[:20] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sample", FORMATS)
def test_what_nobody_knows_is_counted_and_not_fatal(sample):
    """An event of a later version of the format is named by its type; the answer goes on."""
    later = {
        "openai.responses": '{"type": "weather.changed"}', "anthropic.messages": '{"type": "weather_changed"}',
        "gemini.interactions": '{"event_type": "weather.changed"}', "openai.chat": '{"object": "weather.changed"}',
    }.get(sample.format)  # fmt: skip
    if later is None:
        return  # its frames have no types
    first, *rest = sample.frames
    says = told(whole(sample, first, f"data: {later}\n\n".encode(), *rest))
    assert [name.replace("_", ".") for name in says["raw"]] == ["weather.changed"]
    assert {**says, "raw": []} == expected(sample)


@pytest.mark.parametrize("sample", FORMATS)
def test_traits_are_told(sample):
    """Each format says what ends it, what reports an error, how it goes on and how it is ended."""
    traits = READERS[sample.format](None).traits
    assert all(isinstance(word, str) and word for word in (traits.end_mark, traits.error_mark, traits.cancel))
    assert traits.resume in {"event-id", "cursor", "replay", "none"}


def behind(sample, cursor):
    """Return the frames of *sample* that its server sends to whoever asks for what is behind *cursor*."""
    frames = sample.frames
    if sample.format == "llamacpp":
        return frames  # all over again
    if sample.format == "openai.responses":
        numbers = [re.search(rb'"sequence_number":(\d+)', frame) for frame in frames]  # [DONE] has none
        numbered = zip(frames, numbers, strict=True)
        return [frame for frame, number in numbered if number and int(number[1]) > cursor["after"]]
    mark = json.dumps(cursor["after"]).encode() if "after" in cursor else None
    return frames[next((at for at, frame in enumerate(frames) if mark and mark in frame), -1) + 1 :]


ODD = [
    None, 0, -1, 1.5, True, 10**30, "", "x", "\ud83c", [], [None], ["x"], [[]], [{}], {}, {"a": 1}, {"type": "text"},
    [{"type": "text", "text": "q"}],
]  # fmt: skip


def places(value, path=()):
    """Yield the path to everything in a decoded *value*."""
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in pairs:
        yield from places(one, (*path, name))


def with_odd(data, rng):
    """Return the JSON *data* with something else in one random place, or without it."""
    frame = json.loads(data)
    *above, last = rng.choice([*places(frame)])
    inner = frame
    for name in above:
        inner = inner[name]
    if rng.random() < 0.2:
        del inner[last]
    else:
        inner[last] = rng.choice(ODD)
    return json.dumps(frame)


@pytest.mark.parametrize("sample", [pytest.param(one, id=one.file) for one in SAMPLES])
def test_an_odd_value_is_read_or_is_an_error_of_the_source(sample, seed):
    """Whatever stands in a frame: what is read of it can be stored and gone on behind, and nothing else is raised."""
    rng = random.Random(f"{seed} {sample.file}")
    parser = sample.parser()
    events = [event for frame in sample.frames for event in parser.feed(frame) if event.data.startswith("{")]
    for _ in range(150):
        odd, characters = rng.choice(events), Characters()
        changed = ServerSentEvent(odd.event, with_odd(odd.data, rng), odd.id)
        reader = listener(sample) if sample.goes_on else READERS[rng.choice([sample.format, "auto"])](None)
        try:
            for event in events:
                arrival = reader.read(changed if event is odd else event)
                if arrival is not None:
                    whole_one = characters.whole(arrival)
                    stored = encode(Delta(whole_one.parts, 0.0, whole_one.cursor))
                    READERS[sample.format](decode(stored, stream="s", offset=0).cursor)
            reader.eof()
        except SourceError:
            pass
        except Exception as exc:  # noqa: BLE001 - none may come, and whichever does is told with its frame
            pytest.fail(f"{changed.data}: {exc!r}")


CALL = Call.of("POST", "http://127.0.0.1/v1", json_body={"background": True}, headers={"X-Conversation-Id": "c7"})


def listener(sample, cursor=None):
    """Return a reader of a call that goes on without listeners, behind *cursor*."""
    made = READERS[sample.format](cursor)
    made.met(CALL if cursor is None else CALL.beside("GET", CALL.url), {})
    return made


@pytest.mark.parametrize("sample", [pytest.param(one, id=one.file) for one in SAMPLES if one.goes_on])
def test_behind_any_cursor_comes_the_rest(sample):
    """A new reader behind any cursor says exactly what is missing: no letter, tool call or blank line less or twice."""
    arrivals = heard(listener(sample), sample.parser(), sample.raw)
    places = [at for at, arrival in enumerate(arrivals) if arrival.cursor is not None]
    assert len(places) > 4
    for at in places:
        cursor = json.loads(json.dumps(arrivals[at].cursor))
        rest = heard(listener(sample, cursor), sample.parser(), *behind(sample, cursor))
        says = told([*arrivals[: at + 1], *rest])
        assert {**says, "model": sample.model} == expected(sample), cursor


@pytest.mark.parametrize(
    ("file", "was", "now", "finish"),
    [
        (
            "openai.responses.wholes.sse",
            b'"background":false',
            b'"background":true',
            End("length", "max_output_tokens"),
        ),
        ("gemini.interactions.background.sse", b"requires_action", b"completed", End("tool_calls", "completed")),
    ],
)
def test_what_had_begun_before_a_cut_is_known_behind_it(file, was, now, finish):
    """A content that has said nothing yet, a tool call that decides the finish: the cursor knows of both."""
    sample = next(one for one in SAMPLES if one.file == file)
    frames = [frame.replace(was, now) for frame in sample.frames]
    arrivals = heard(listener(sample), sample.parser(), *frames)
    for at, arrival in enumerate(arrivals):
        if arrival.cursor is not None and arrival.end is None:
            cursor = json.loads(json.dumps(arrival.cursor))
            behind_it = [frame.replace(was, now) for frame in behind(sample, cursor)]
            says = told([*arrivals[: at + 1], *heard(listener(sample, cursor), sample.parser(), *behind_it)])
            assert {**says, "model": sample.model} == {**expected(sample), "end": finish}, cursor


def test_events_that_come_again_are_dropped_and_a_hole_is_an_error():
    """A server that begins before the place it was asked for says nothing twice, and one behind it leaves no hole."""
    sample = next(one for one in SAMPLES if one.file == "openai.responses.background.sse")
    arrivals = heard(listener(sample), sample.parser(), sample.raw)
    at = next(at for at, arrival in enumerate(arrivals) if any(part.kind == "text" for part in arrival.parts)) + 2
    cursor = arrivals[at].cursor
    says = told([*arrivals[: at + 1], *heard(listener(sample, cursor), sample.parser(), sample.raw)])
    assert {**says, "model": sample.model} == expected(sample)
    with pytest.raises(SourceMalformed, match="something is missing") as caught:
        heard(listener(sample, cursor), sample.parser(), *behind(sample, cursor)[1:])
    assert caught.value.retryable


@pytest.mark.parametrize("sample", [pytest.param(one, id=one.file) for one in SAMPLES if not one.goes_on])
def test_a_call_that_ends_with_its_connection_has_no_cursor(sample):
    """Asked again it would be another answer, and cost: nothing may look like a place to go on behind."""
    assert {arrival.cursor is None for arrival in whole(sample, sample.raw)} == {True}
