"""What SDKs yield, told by its shape: exactly what the wire says, once, and nothing cut is complete."""

import asyncio
import collections
import itertools
import json
import threading
from types import SimpleNamespace as Thing

import pydantic
import pytest
import sdk_doubles
import sdk_wire as wire
from sdk_doubles import Model, model, thing

import nbstream
from nbstream.errors import SourceLost, SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import End
from nbstream.sources.objects.items import ItemReader

FORMATS = {
    "openai.chat": wire.openai_chat,
    "openai.responses": wire.openai_responses,
    "anthropic": wire.anthropic_messages,
    "gemini": wire.gemini_generate,
    "ollama": wire.ollama_chat,
    "bedrock": wire.bedrock_converse,
    "mistral": wire.mistral_chat,
}


def wrapped(items):
    """Return chunks as Mistral's SDK wraps them."""
    return [Model({}, data=one) for one in items]


#: Format -> how its SDKs yield the frames.
SHAPES = {
    "openai.chat": {
        "dicts": lambda frames: frames, "models": model, "things": thing, "stream()": sdk_doubles.chat_helper,
    },
    "openai.responses": {
        "dicts": lambda frames: frames, "models": model, "things": thing, "stream()": sdk_doubles.responses_helper,
    },
    "anthropic": {
        "dicts": lambda frames: frames, "models": model, "things": thing, "stream()": sdk_doubles.messages_helper,
    },
    "gemini": {"dicts": lambda frames: frames, "models": model},
    "ollama": {"dicts": lambda frames: frames, "models": model},
    "bedrock": {
        "dicts": lambda frames: frames,
        "things in dicts": lambda frames: [{name: dict(value) for name, value in one.items()} for one in frames],
    },
    "mistral": {"models": lambda frames: wrapped(model(frames)), "dicts": lambda frames: frames},
}  # fmt: skip
CASES = [
    pytest.param(FORMATS[name](), shape, id=f"{name} as {kind}")
    for name, shapes in SHAPES.items()
    for kind, shape in shapes.items()
]


def recorded(items, **options):
    """Return the stream that recorded *items*, at rest."""
    stream = nbstream.start(items, save=False, **options)
    stream.wait(10)
    return stream


def hears(*items, end=True):
    """Return what an iterator of *items* says."""
    reader = ItemReader()
    arrivals = [reader.read(item) for item in items]
    for error in filter(None, (arrival.error for arrival in arrivals)):
        raise error
    return [*arrivals, reader.eof()] if end else arrivals


@pytest.mark.parametrize("resumable", [False, True])
def test_text_in_the_chunk_that_fails_is_kept(resumable):
    """The chunk whose finish says that the answer failed may have its last words: they are stored before it fails."""
    words = [("Hel", None), ("lo", None), (" there", "error")]
    items = [{"id": "c", "choices": [{"delta": {"content": text}, "finish_reason": why}]} for text, why in words]
    stream = recorded((lambda cursor: iter(items)) if resumable else iter(items))
    assert stream.text == "Hello there"
    assert stream.state in {"failed", "interrupted"}
    assert "finish_reason 'error'" in stream.error["message"]


def text_of(arrivals, kind="text"):
    """Return the text in *arrivals*."""
    return "".join(part.text for arrival in arrivals for part in arrival.parts if part.kind == kind)


def raw_of(arrivals):
    """Return the types that nobody knew."""
    return [part.fields["type"] for arrival in arrivals for part in arrival.parts if part.kind == "raw"]


@pytest.mark.parametrize(("sent", "shape"), CASES)
def test_everything_comes_out_once(sent, shape):
    """Text, reasoning, tool calls, usage, finish and model, from a sync iterator and from an async one."""
    stream = recorded(iter(list(shape(sent.frames))))
    assert stream.error is None
    assert wire.told(stream) == sent.whole

    async def agen():
        for one in shape(sent.frames):
            yield one

    async def main():
        stream = nbstream.start(agen(), save=False)
        await stream
        return wire.told(stream)

    assert asyncio.run(main()) == sent.whole


@pytest.mark.parametrize(("sent", "shape"), CASES)
def test_nothing_is_unknown(sent, shape):
    """Every item is understood: nothing is counted as of a kind that nobody knows."""
    assert raw_of(hears(*shape(sent.frames))) == []


@pytest.mark.parametrize(("sent", "shape"), CASES)
def test_what_is_cut_is_never_complete(sent, shape):
    """At every item before the end mark the iterator may just end: that is a loss, and what came is what was sent."""
    frames = sent.frames
    for upto in range(1, len(frames) - sent.end_frames + 1):
        reader = ItemReader()
        arrivals = [reader.read(item) for item in shape(frames[:upto])]
        assert sent.text.startswith(text_of(arrivals))
        with pytest.raises(SourceLost, match="probably cut"):
            reader.eof()


@pytest.mark.parametrize(("sent", "shape"), CASES)
def test_one_message_behind_the_other(sent, shape):
    """A loop of calls yields several messages: each needs its own end, and the calls of each are its own."""
    told = json.dumps(sent.frames)
    for one, other in (('"c1"', '"c2"'), ('"r1"', '"r2"'), ("_1", "_2"), (":00Z", ":01Z")):
        told = told.replace(one, other)
    again = json.loads(told)
    arrivals = hears(*shape(sent.frames), *shape(again))
    assert text_of(arrivals) == sent.text * 2
    assert arrivals[-1].end.finish == sent.finish
    with pytest.raises(SourceLost):
        hears(*shape(sent.frames), *list(shape(again))[: -2 * sent.end_frames])


@pytest.mark.parametrize(("sent", "shape"), CASES)
def test_what_it_raises_ends_it(sent, shape):
    """An exception behind half of a message: interrupted, with what came."""

    def broken():
        yield from shape(sent.frames[: len(sent.frames) - sent.end_frames])
        raise ConnectionResetError("gone")

    stream = recorded(broken())
    assert stream.state == "interrupted"
    assert stream.text == sent.text


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([Model({"type": "content.delta", "delta": one, "snapshot": ""}) for one in wire.TEXT], "".join(wire.TEXT)),
        ([Model({"type": "text", "text": one, "snapshot": ""}) for one in wire.TEXT], "".join(wire.TEXT)),
        ([Model({"type": "thinking", "thinking": "hm", "snapshot": ""}), Model({"type": "text", "text": "a"})], "a"),
    ],
)
def test_what_is_derived_is_text_where_it_comes_alone(items, text):
    """A user who picks only the derived events of a helper gets them all."""
    arrivals = hears(*items)
    assert text_of(arrivals) == text
    assert arrivals[-1].end == End()


def test_an_item_is_read_when_it_is_yielded():
    """SDKs go on changing what they have handed out: what it was then is what counts."""
    call = Thing(type="function_call", call_id="call_1", id="fc_1", name="weather", arguments="")
    done = wire.openai_responses().frames[-1]

    def changing():
        yield Thing(type="response.output_item.added", output_index=0, item=call)
        for piece in wire.ARGUMENTS:
            call.arguments += piece
            yield Thing(type="response.function_call_arguments.delta", output_index=0, delta=piece)
        yield done

    stream = recorded(changing())
    assert stream.tool_calls[0]["arguments"] == "".join(wire.ARGUMENTS)


def test_other_chunks():
    """Plain completions as llama.cpp and OpenAI's old API send them, choices beside each other, slotted objects."""
    plain = [{"choices": [{"index": 0, "text": one, "finish_reason": None}]} for one in ("Hel", "lo")]
    arrivals = hears(*plain, {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
    assert text_of(arrivals) == "Hello"
    assert arrivals[-1].end == End("length", "length")

    class Slotted:
        __slots__ = ("choices",)

        def __init__(self, content, finish=None):
            self.choices = [Thing(index=0, delta=Thing(content=content), finish_reason=finish)]

    assert text_of(hears(Slotted("Hel"), Slotted("lo"), Slotted(None, "stop"))) == "Hello"
    two = [{"choices": [{"index": at, "delta": {"content": "x"}, "finish_reason": "stop"}]} for at in (0, 1)]
    assert [part.agent for arrival in hears(*two) for part in arrival.parts] == ["assistant", "assistant-2"]


class Told(pydantic.BaseModel):
    """A model of pydantic's that keeps what it does not know, as OpenAI's do."""

    model_config = pydantic.ConfigDict(extra="allow")


class Delta(Told):
    content: str | None = None
    role: str | None = None
    tool_calls: list | None = None


class Choice(Told):
    delta: Delta
    index: int = 0
    finish_reason: str | None = None


class Chunk(Told):
    choices: list[Choice]
    id: str = "c1"
    model: str = "m-1"
    usage: dict | None = None


CALL = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}
COUNTS = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"delta": {"role": "assistant"}},
        {"delta": {"content": ""}},
        {"delta": {"content": None}},
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"refusal": "No."}},
        {"delta": {"tool_calls": [CALL]}},
        {"choice": {"finish_reason": "length"}},
        {"choice": {"index": 1}},
        {"chunk": {"usage": COUNTS}},
        {"chunk": {"model": "m-2"}},
        {"chunk": {"id": "c2"}},
        {"chunk": {"x_groq": {"usage": COUNTS}}},
        {"chunk": {"choices": []}},
    ],
)
def test_the_short_way_says_what_the_long_one_does(more):
    """Whatever else a chunk between two texts says is read: as an object it says what it says as a dict."""
    first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "id": "c1", "model": "m-1"}
    choice = {"index": 0, "delta": {"content": "b", **more.get("delta", {})}, **more.get("choice", {})}
    odd = {"choices": [choice], "id": "c1", "model": "m-1", **more.get("chunk", {})}
    text = {**first, "choices": [{"index": 0, "delta": {"content": "a"}}]}
    ends = [{"index": index, "delta": {}, "finish_reason": "stop"} for index in {0, choice["index"]}]
    end = {**first, "choices": ends, "id": odd["id"]}
    dicts = [first, text, text, odd, text, text, end]
    assert hears(*(Chunk(**one) for one in dicts)) == hears(*dicts)
    with pytest.raises(SourceRefused, match="gone"):
        hears(*(Chunk(**one) for one in (first, text, {**text, "error": {"message": "gone"}})))


def test_a_refusal_comes_out():
    """Chat, Responses and the helper's derived event."""
    chat = {"choices": [{"index": 0, "delta": {"refusal": "No."}, "finish_reason": "stop"}]}
    assert text_of(hears(chat), "refusal") == "No."
    assert text_of(hears({"type": "refusal.delta", "delta": "No.", "snapshot": "No."}), "refusal") == "No."
    refused = {"type": "response.refusal.delta", "delta": "No.", "output_index": 0, "content_index": 0}
    assert text_of(hears(refused, wire.openai_responses().frames[-1]), "refusal") == "No."


def test_what_bedrock_s_models_send_themselves():
    """InvokeModel's stream holds the bytes of the events of the model's own provider."""
    sent = wire.anthropic_messages()
    items = [{"chunk": {"bytes": json.dumps(one).encode()}} for one in sent.frames]
    assert text_of(hears(*items)) == sent.text
    with pytest.raises(SourceMalformed, match="no chunk"):
        hears({"chunk": {"bytes": b"{"}})


def test_boto3_s_answer_is_taken_for_its_stream():
    """`converse_stream()` returns a dict that holds the iterator; a factory may return it too."""
    sent = wire.bedrock_converse()
    for given in ({"ResponseMetadata": {}, "stream": iter(sent.frames)}, lambda: {"stream": iter(sent.frames)}):
        assert wire.told(recorded(given)) == sent.whole


@pytest.mark.parametrize(
    ("item", "words", "retryable"),
    [
        ({"error": {"message": "overloaded", "type": "server_error"}}, "overloaded", True),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "busy", True),
        (Thing(type="error", error=Thing(type="invalid_request_error", message="wrong")), "wrong", False),
        (Model({"type": "error", "code": "server_error", "message": "broken", "sequence_number": 3}), "broken", True),
        ({"throttlingException": {"message": "too fast"}}, "too fast", True),
        ({"validationException": {"message": "bad"}}, "bad", False),
        ({"message": None, "done": False, "error": "no model"}, "no model", False),
        (Model({"candidates": None, "promptFeedback": {"blockReason": "SAFETY"}}), "SAFETY", False),
    ],
)
def test_an_error_among_the_items(item, words, retryable):
    """It ends the stream in its own words, whatever came before."""
    with pytest.raises(SourceRefused, match=words) as caught:
        hears("text before", item)
    assert caught.value.retryable is retryable


@pytest.mark.parametrize(
    "item",
    [
        {"choices": 3},
        {"choices": [{"delta": {"content": 5}}]},
        {"type": "content_block_delta", "index": 0},
        {"type": "response.output_text.delta", "output_index": 0},
        {"candidates": [3]},
        {"message": {"content": 5}, "done": False},
        {"contentBlockDelta": {"delta": {"text": "x"}}},
        Thing(choices=[Thing(delta=Thing(content=7), index=0, finish_reason=None)]),
    ],
)
def test_what_has_the_shape_but_not_the_content_is_malformed(item):
    """One line that quotes it, not a crash."""
    with pytest.raises(SourceMalformed, match="no chunk"):
        hears(item)


def test_a_circle_is_no_crash():
    """An object that leads back to itself is malformed."""
    chunk = Thing(index=0)
    chunk.choices = [chunk]
    with pytest.raises(SourceMalformed, match="no chunk"):
        hears(chunk)


def test_unknown_items_are_counted_and_not_fatal():
    """Among known ones: by their type, as they come."""
    items = [Thing(type="weird"), {"type": "unheard.of"}, {"a": 1}, 5, None, "text", Model({"type": "other"}),
             Thing(type=[]), {"type": {}, "ns": ()}, (1, 2, 3), ([], [], [])]  # fmt: skip
    arrivals = hears(*items)
    known = ["SimpleNamespace", "unheard.of", "dict", "int", "NoneType", "Model"]
    assert raw_of(arrivals) == [*known, "SimpleNamespace", "dict", "tuple", "tuple"]
    stream = recorded(iter(items))
    assert (stream.state, stream.text) == ("complete", "text")
    assert stream.facts().unknown == collections.Counter(raw_of(arrivals))


# Iterators that repeat the whole text


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (["H", "He", "He", "", "Hello"], "Hello"),
        (["Grü", "Grüße 🌊", "Grüße 🌊!"], "Grüße 🌊!"),
        (["I think", "I thank you", "I thank you."], "I thank you."),
        (["wrong", "Right"], "Right"),
        (["Hello!", "Hello"], "Hello"),
        ([Part("reasoning", "h"), Part("reasoning", "hm"), "a", "ab"], "ab"),
    ],
)
def test_cumulative(items, text):
    """Each item is the whole text so far: what is new is shown, what is said otherwise is taken back."""
    for given in (items, iter(items), lambda: items):
        stream = recorded(given, cumulative=True)
        assert (stream.state, stream.text) == ("complete", text)


def test_cumulative_chunks_keep_their_end():
    """It is about text: ends and the rest stay what they are."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": one}, "finish_reason": None}]} for one in ("He", "Hello")]
    assert recorded(chunks, cumulative=True).state == "interrupted"
    stream = recorded([*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}], cumulative=True)
    assert (stream.state, stream.text) == ("complete", "Hello")


def test_cumulative_costs_what_is_new(seed):
    """A thousand items of a growing text are one text in the log, and no more."""
    import random

    chance = random.Random(seed)
    whole, items = "", []
    for _ in range(1000):
        whole += "x" * chance.randrange(20)
        items.append(whole)
    stream = recorded(iter(items), cumulative=True)
    assert stream.text == whole
    assert stream.facts().chars == len(whole)


def test_cumulative_is_for_iterators_that_repeat():
    """One line for what has a cursor of its own, or is no iterator; and another question to the fingerprint."""
    with pytest.raises(TypeError, match="leave cumulative=True out"):
        nbstream.start(lambda cursor: ["a"], cumulative=True)
    with pytest.raises(TypeError, match="leave it out"):
        nbstream.start(nbstream.chat("x"), cumulative=True)


# What has to be entered


class Helper:
    """What a `.stream()` returns: no iterator yet."""

    def __init__(self, items, log):
        self._items, self._log = items, log

    def __enter__(self):
        self._log.append("enter")
        return iter(self._items)

    def __exit__(self, *exc):
        self._log.append("exit")


class AsyncHelper:
    """The same where it is async."""

    def __init__(self, items, log):
        self._items, self._log = items, log

    async def __aenter__(self):
        self._log.append("enter")
        return self._agen()

    async def __aexit__(self, *exc):
        self._log.append("exit")

    async def _agen(self):
        try:
            for one in self._items:
                yield one
        finally:
            self._log.append("closed")


def test_a_helper_is_entered_and_left():
    """It is entered where it is iterated, and left whatever happens; a factory may return one."""
    log = []
    assert recorded(Helper(["He", "llo"], log)).text == "Hello"
    assert recorded(lambda: Helper(["He", "llo"], log)).text == "Hello"
    assert recorded(lambda: AsyncHelper(["He", "llo"], log)).text == "Hello"
    assert log == ["enter", "exit", "enter", "exit", "enter", "closed", "exit"]

    async def main():
        stream = nbstream.start(AsyncHelper(["He", 5, "llo"], log), save=False)
        return await stream

    log.clear()
    assert asyncio.run(main()) == "Hello"
    assert log == ["enter", "closed", "exit"]


def test_a_helper_that_fails_to_open_is_not_left():
    """What it raises ends the stream; there is nothing to leave."""
    log = []

    class Failing(Helper):
        def __enter__(self):
            raise ConnectionRefusedError("nobody there")

    stream = recorded(Failing([], log))
    assert stream.state == "failed"
    assert "nobody there" in stream.error["message"]
    assert log == []

    class Odd(Helper):
        def __enter__(self):
            return 5

    assert "'int' object is not iterable" in recorded(Odd([], log)).error["message"]
    assert log == ["exit"]


@pytest.mark.parametrize("kind", [Helper, AsyncHelper])
def test_stop_leaves_a_helper(kind):
    """Stopped in the middle: it is left."""
    left = threading.Event()

    class Log(list):
        def append(self, one):
            super().append(one)
            if one == "exit":
                left.set()

    stream = nbstream.start(lambda: kind(itertools.repeat("x"), Log()), save=False)
    while not stream.text:
        assert not left.wait(0.001)
    stream.stop()
    stream.wait(5)
    assert stream.state == "stopped"
    assert left.wait(5)


# Both at once


def test_a_wrapper_that_is_both_runs_as_what_it_wraps():
    """LiteLLM's is an iterator and an async one: over something sync it would hold the loop up."""
    threads = []

    class Both:
        def __init__(self, completion_stream, make_call=None):
            self.completion_stream, self.make_call = completion_stream, make_call

        def __iter__(self):
            return self

        def __aiter__(self):
            return self

        def __next__(self):
            threads.append(threading.current_thread().name)
            return next(self.completion_stream)

        async def __anext__(self):
            threads.append("async")
            if self.completion_stream is None:
                self.completion_stream = await self.make_call()
            return await anext(self.completion_stream)

    async def agen():
        yield "Hello"

    async def call():
        return agen()

    assert recorded(lambda: Both(iter(["Hello"]))).text == "Hello"
    assert set(threads) == {"nbstream-iterator"}
    threads.clear()
    assert recorded(lambda: Both(agen())).text == "Hello"
    assert recorded(lambda: Both(None, call)).text == "Hello"
    assert set(threads) == {"async"}
