"""Python objects as sources: what they yield, where they run, how they end and how they are closed."""

import asyncio
import collections
import copy
import functools
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from recording import Recording, until
from recording import run as run_recorder
from sdk_doubles import events_of

import nbstream
from nbstream.errors import SourceError, SourceLost, SourceMalformed, SourceRefused
from nbstream.log.readback import records_of
from nbstream.records import Part
from nbstream.sources.contract import End, Pulse
from nbstream.sources.objects.handover import LIMIT
from nbstream.sources.objects.pump import INSIST_S
from nbstream.sources.objects.source import LEFT_RUNNING, NEEDS_ITS_LOOP, from_object


def chunk(content=None, finish=None):
    """Return what an SDK yields."""
    return SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=content), finish_reason=finish)])


async def collect(source, cursor=None):
    """Return all that *source* yields."""
    async with aclosing(source.connect(cursor, Pulse(0))) as arrivals:
        return [arrival async for arrival in arrivals]


def run(make, cursor=None):
    """Collect from an object made inside a running loop."""

    async def main():
        return await collect(from_object(make()), cursor)

    return asyncio.run(main())


def text_of(arrivals):
    """Return the text in *arrivals*."""
    return "".join(part.text for arrival in arrivals for part in arrival.parts if part.kind == "text")


async def agen(*items):
    """Yield *items*."""
    for item in items:
        await asyncio.sleep(0)
        yield item


async def awaited(*items):
    """Return, when awaited, what yields *items*."""
    return agen(*items)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ["He", "", "llo"],
        lambda: iter(["He", "llo"]),
        lambda: (one for one in ("He", "llo")),
        lambda: agen("He", "llo"),
        lambda: awaited("He", "llo"),
        lambda: lambda: ["He", "llo"],
        lambda: lambda cursor: agen("He", "llo"),
        lambda: lambda: awaited("He", "llo"),
        lambda: [chunk("He"), chunk("llo"), chunk(None, "stop")],
        lambda: [{"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}],
        lambda: agen(Part("reasoning", "hm"), "Hello"),
        lambda: [{"type": "delta", "offset": 0, "text": "Hello"}],
        lambda: [{"type": "agent_output", "agent": "a", "content": "Hello", "sequence": 1}],
    ],
)
def test_every_kind_of_iterator_streams(make):
    """Iterables, generators, async ones, awaitables of them and factories; str, chunks, parts and frames."""
    arrivals = run(make)
    assert text_of(arrivals) == "Hello"
    assert arrivals[0].parts == ()
    assert arrivals[-1].end is not None


def test_a_cut_sdk_stream_is_not_complete():
    """SDKs end a cut stream like a whole one: without a finish_reason chunks are lost, not complete."""
    with pytest.raises(SourceLost, match="finish_reason"):
        run(lambda: [chunk("Hel")])
    assert run(lambda: [chunk("Hel", "length")])[-1].end == End("length", "length")


def test_unknown_items_are_named_and_bytes_refused():
    """
    What is not text is recorded by its type's name. Where nothing else comes that is an error, no empty answer; bytes
    are a mistake that is said at once.
    """
    arrivals = run(lambda: [("agent", "text"), None, "known", 5])
    assert [part for arrival in arrivals for part in arrival.parts if part.kind == "raw"] == [
        Part("raw", fields={"type": name}) for name in ("tuple", "NoneType", "int")
    ]
    with pytest.raises(SourceMalformed, match="yields tuple; let it yield str"):
        run(lambda: [("agent", "text"), None, 5])
    with pytest.raises(SourceMalformed, match="decode"):
        run(lambda: [b"x"])
    with pytest.raises(SourceMalformed, match="no chunk"):
        run(lambda: [{"choices": [3]}])


@pytest.mark.parametrize("wrong", ["text", b"bytes", {"a": 1}, 5, None])
def test_what_is_no_stream_is_refused_when_given(wrong):
    """One line that says what to give."""
    with pytest.raises(TypeError, match="is no stream: give an iterator"):
        from_object(wrong)


def test_an_object_is_used_up_by_its_first_run():
    """It has no fingerprint and cannot be replayed; a second connection is refused in one line."""

    async def main():
        source = from_object(iter(["a"]))
        assert source.fingerprint is None
        assert not source.replayable
        assert source.traits.resume == "none"
        await collect(source)
        with pytest.raises(SourceRefused, match="used up"):
            await collect(source)

        source = from_object(failing())
        with pytest.raises(SourceLost):
            await collect(source)
        with pytest.raises(SourceRefused, match=r"APIConnectionError in failing, line \d+: gone; an object is used up"):
            await collect(source)

    async def failing():
        raise APIConnectionError("gone")
        yield

    asyncio.run(main())


def test_a_factory_goes_on_behind_the_cursor():
    """It is called with None first, then with what has already arrived, and its cursor goes on counting."""
    asked = []

    def factory(cursor):
        asked.append(cursor)
        yield from ["a", "bc", "d"][cursor["items"] if cursor else 0 :]

    async def main():
        source = from_object(factory)
        assert source.traits.resume == "cursor"
        whole = await collect(source)
        assert [arrival.cursor for arrival in whole[1:-1]] == [
            {"items": 1, "chars": 1},
            {"items": 2, "chars": 3},
            {"items": 3, "chars": 4},
        ]
        rest = await collect(source, whole[2].cursor)
        assert text_of(rest) == "d"
        assert rest[1].cursor == whole[3].cursor
        assert asked == [None, {"items": 2, "chars": 3}]

    asyncio.run(main())


def test_the_fingerprint_of_a_factory_is_its_code():
    """Two lambdas of one name differ by what they do and what they close over; the same code is the same question."""

    def make(prompt, limit=3):
        return lambda cursor: [prompt][:limit]

    one, same, other = (from_object(make(text)).fingerprint for text in ("a", "a", "b"))
    assert one == same != other
    assert one.startswith(f"factory:{__name__}.")
    assert from_object(lambda: ["x"]).fingerprint != from_object(lambda: ["y"]).fingerprint


def notebook(code, **names):
    """Return the names that *code* defines, run as a cell would be; *names* are what earlier cells left."""
    space = {"__name__": "__main__", **names}
    exec(compile(code, "<cell>", "exec"), space)
    return space


def fingerprint(code, **names):
    """Return the fingerprint of what *code* calls `ask`."""
    return from_object(notebook(code, **names)["ask"]).fingerprint


CELLS = {
    "directly": "ask = lambda cursor: send(prompt)",
    "in a function": "def build(): return [prompt]\nask = lambda cursor: build()",
    "in a generator in a function": "def build():\n    def inner(): yield prompt\n    return inner()\nask = build",
    "in a comprehension": "ask = lambda: [prompt for _ in range(3)]",
    "in a method of a class": "class Agent:\n    def run(self): return [prompt]\nask = lambda: Agent().run()",
    "in an attribute of a class": "class Agent:\n    system = prompt\nask = lambda: Agent.system",
    "in a partial": "import functools\nask = functools.partial(lambda prompt, cursor: [prompt], prompt)",
    "in a bound method": "class Agent:\n    @classmethod\n    def run(cls): return [prompt]\nask = Agent.run",
    "as a default": "ask = lambda cursor, text=prompt: [text]",
}


@pytest.mark.parametrize("code", CELLS.values(), ids=CELLS)
def test_an_edited_global_is_another_question(code):
    """What a factory of the notebook reads counts by its value, wherever it reads it; other globals do not count."""
    asked = fingerprint(code, prompt="Why?")
    assert asked is not None
    assert fingerprint(code, prompt="Why?", text="an answer") == asked
    assert fingerprint("# another cell, another line\n\n" + code, prompt="Why?") == asked
    assert fingerprint(code, prompt="How?") != asked


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a", "b"], ["ab"]),
        ([["a"], "b"], [["a", "b"]]),
        ([1], (1,)),
        (1, True),
        (1, 1.0),
        ("1", 1),
        ("b'a'", b"a"),
        ({"a": "b"}, [("a", "b")]),
        ({"a", "b"}, {"a", "c"}),
        ([10**5000], [10**5000 + 1]),
        ("\ud800", "\ud801"),
        (range(3), range(4)),
    ],
)
def test_simple_data_count_by_value(one, other):
    """Values of another type, or put together otherwise, are told apart; equal ones made anew are the same."""
    code = "ask = lambda: data"
    assert None is not fingerprint(code, data=one) != fingerprint(code, data=other) is not None
    assert fingerprint(code, data=copy.deepcopy(one)) == fingerprint(code, data=one)


def test_the_order_of_a_set_is_no_part_of_the_question():
    """Sets of text come in another order in every process."""
    code = f"""
import sys
sys.path[:] = {sys.path!r}
from nbstream.sources.objects.source import from_object
names = {{"one", "two", "three", "four"}}
print(from_object(lambda: names).fingerprint)
"""
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


class Client:
    """Something that holds who knows what."""

    def stream(self):
        """Be a bound method."""


@dataclass
class Settings:
    temperature: float = 0.0


@pytest.mark.parametrize(
    "held",
    [Client(), Client().stream, Settings(), [Client()], {"a": {"b": Client()}}, threading.Lock(), "x" * 10**7,
     list(range(10**6)), functools.reduce(lambda inner, _: [inner], range(5000), [])],
    ids=["object", "method", "dataclass", "in a list", "in dicts", "lock", "long text", "long list", "deep list"],
)  # fmt: skip
def test_what_cannot_be_digested_makes_no_fingerprint(held):
    """Then nobody can say that it is the same question: it is described as an object, and each run is a new stream."""
    for source in (from_object(notebook("ask = lambda: held", held=held)["ask"]), from_object(lambda: held)):
        assert source.fingerprint is None
        assert source.spec["kind"] == "object"


def test_a_factory_without_a_fingerprint_goes_on_within_its_run():
    """The same factory may be called again behind its cursor, as after a cut."""
    client = Client()

    def factory(cursor):
        assert client
        yield from ["a", "b", "c"][cursor["items"] if cursor else 0 :]

    async def main():
        source = from_object(factory)
        assert source.fingerprint is None
        whole = await collect(source)
        assert text_of(await collect(source, whole[1].cursor)) == "bc"

    asyncio.run(main())


def test_what_is_installed_counts_by_name():
    """Modules, classes and functions that can be imported are what they are called; what they hold is not looked at."""
    code = "import json, collections\nfrom contextlib import aclosing\nask = lambda: [json, {}, aclosing, len, made]"
    named = (asyncio.sleep, chunk, dict, time, len, collections.OrderedDict, str.upper, time.time)
    told = [fingerprint(code.format("collections.deque"), made=one) for one in named]
    assert None not in told
    assert len(set(told)) == len(told)


def test_a_factory_that_calls_itself():
    """Through a closure, through a global and in a circle: it has a fingerprint, and what it reads still counts."""

    def local(prompt):
        def walk(n):
            yield prompt
            if n:
                yield from walk(n - 1)

        return lambda: walk(2)

    one, same, other = (from_object(local(text)).fingerprint for text in ("a", "a", "b"))
    assert None is not one == same != other
    assert text_of(run(lambda: local("a"))) == "aaa"
    code = "def ask(n=1): return again(n)\ndef again(n): return ask(n) if n else [prompt]"
    assert None is not fingerprint(code, prompt="a") == fingerprint(code, prompt="a") != fingerprint(code, prompt="b")
    circle = ["a"]
    circle.append(circle)
    assert fingerprint("ask = lambda: circle", circle=circle) is not None


def test_a_factory_may_close_over_what_is_not_there_yet():
    """An empty closure cell is a value like another."""

    def make():
        factory = lambda: [later]  # noqa: E731
        source = from_object(factory)
        later = "x"
        return source, from_object(factory)

    early, late = make()
    assert None is not early.fingerprint != late.fingerprint is not None
    assert text_of(asyncio.run(collect(early))) == "x"


def test_the_fingerprint_is_that_of_the_moment_it_was_given():
    """A factory that counts its calls stays the same question while it runs."""
    calls = []
    source = from_object(lambda: calls.append(1) or ["a"])
    asked = source.fingerprint
    asyncio.run(collect(source))
    assert source.fingerprint == asked


# Where it runs


def test_a_sync_iterator_never_holds_the_loop_up():
    """It blocks a thread of its own; the loop goes on meanwhile."""
    go = threading.Event()

    def slow():
        yield threading.current_thread().name
        go.wait(5)
        yield "end"

    async def main():
        async with aclosing(from_object(slow()).connect(None, Pulse(0))) as arrivals:
            await anext(arrivals)
            first = await anext(arrivals)
            assert text_of([first]) == "nbstream-iterator"
            waiting = asyncio.ensure_future(anext(arrivals))
            for _ in range(5):
                await asyncio.sleep(0.005)
            assert not waiting.done()
            go.set()
            assert text_of([await waiting]) == "end"

    asyncio.run(main())


def test_an_async_iterator_runs_on_the_loop_it_was_given_on():
    """The loop that was running at from_object() iterates and closes it; the note says so; order and text are kept."""
    home, where = {}, []

    async def gen():
        try:
            for i in range(3 * LIMIT):
                where.append(asyncio.get_running_loop())
                yield f"{i} "
                if i % 50 == 0:
                    await asyncio.sleep(0)
        finally:
            where.append(asyncio.get_running_loop())

    async def give():
        home["source"], home["loop"] = from_object(gen()), asyncio.get_running_loop()

    with running_loop() as loop:
        asyncio.run_coroutine_threadsafe(give(), loop).result(5)
        assert home["source"].note == NEEDS_ITS_LOOP
        arrivals = asyncio.run(collect(home["source"]))
    assert text_of(arrivals) == "".join(f"{i} " for i in range(3 * LIMIT))
    assert set(where) == {loop}


def test_an_iterator_of_a_closed_loop_is_lost():
    """One line, and no coroutine is left unawaited."""
    sources = []

    async def give():
        sources.append(from_object(agen("a")))

    asyncio.run(give())
    with pytest.raises(SourceLost, match="closed"):
        asyncio.run(collect(sources[0]))


def test_a_factory_is_called_off_the_loop():
    """A sync factory may wait for its server's first byte without holding anybody up."""
    called = []

    def factory():
        called.append(threading.current_thread().name)
        return agen("x")

    assert text_of(run(lambda: factory)) == "x"
    assert called == ["nbstream-factory"]


def test_a_fast_iterator_waits_for_its_reader():
    """What is made ahead is bounded, however fast the iterator is."""
    made = []

    def flood():
        for i in range(10_000):
            made.append(i)
            yield "x"

    async def main():
        async with aclosing(from_object(flood()).connect(None, Pulse(0))) as arrivals:
            for _ in range(2):
                await anext(arrivals)
            await asyncio.sleep(0.05)
            assert len(made) <= 2 * LIMIT + 2
            rest = [arrival async for arrival in arrivals]
        assert len(made) == 10_000
        assert rest[-1].end is not None

    asyncio.run(main())


# Closing


class Stream:
    """Looks like an SDK's stream: iterable, with close()."""

    def __init__(self):
        self.closed = 0

    def __iter__(self):
        while not self.closed:
            time.sleep(0.001)
            yield "x"

    def close(self):
        self.closed += 1


class AsyncStream(Stream):
    __iter__ = None

    async def __aiter__(self):
        while not self.closed:
            await asyncio.sleep(0.001)
            yield "x"

    async def close(self):
        self.closed += 1


@pytest.mark.parametrize("kind", [Stream, AsyncStream])
def test_stopping_closes_the_stream(kind):
    """Closing the generator, or cancelling its task, calls the object's close() before it returns."""

    async def main():
        stream = kind()
        arrivals = from_object(stream).connect(None, Pulse(0))
        for _ in range(3):
            await anext(arrivals)
        started = time.monotonic()
        await arrivals.aclose()
        assert time.monotonic() - started < 0.1
        assert stream.closed

        stream = kind()
        source = from_object(stream)
        task = asyncio.ensure_future(collect(source))
        await asyncio.sleep(0.02)
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.closed
        assert source.note != LEFT_RUNNING

    asyncio.run(main())


@pytest.mark.parametrize("whose", ["ours", "the user's"])
def test_a_cancellation_that_is_lost_is_sent_again(whose):
    """Stop ends what LangChain awaits inside, also where that takes a first cancellation for a chunk; ours or not."""
    closed, given = threading.Event(), {}

    async def give():
        given["source"] = from_object(events_of(["a"], closed.set))

    async def main():
        if whose == "ours":
            given["source"] = from_object(lambda: events_of(["a"], closed.set))
        arrivals = given["source"].connect(None, Pulse(0))
        assert [text_of([await anext(arrivals)]) for _ in range(2)] == ["", "a"]
        await arrivals.aclose()
        assert await asyncio.to_thread(closed.wait, 10 * INSIST_S)

    with running_loop() as loop:
        asyncio.run_coroutine_threadsafe(give(), loop).result(5)
        asyncio.run(main())


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_clean_up_that_takes_its_time_has_it(whose):
    """What an iterator does when it is closed (0.8 s: a slow server's good-bye) is not cut short by closing it."""
    said, over, given = [], threading.Event(), {}

    async def slow():
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            said.append("cleaning")
            try:
                await asyncio.sleep(0.8)
                said.append("cleaned")
            finally:
                over.set()

    async def give():
        given["source"] = from_object(slow())

    async def main():
        if whose == "ours":
            given["source"] = from_object(slow)
        arrivals = given["source"].connect(None, Pulse(0))
        assert [text_of([await anext(arrivals)]) for _ in range(2)] == ["", "a"]
        await arrivals.aclose()
        assert await asyncio.to_thread(over.wait, 15)

    with running_loop() as loop:
        asyncio.run_coroutine_threadsafe(give(), loop).result(5)
        asyncio.run(main())
    assert said == ["cleaning", "cleaned"]


def test_a_blocked_iterator_is_left_and_said_so():
    """Nothing wakes a sync iterator inside next(): closing returns at once, says so, and its close() comes later."""
    go, ended = threading.Event(), threading.Event()

    def blocked():
        try:
            yield "a"
            go.wait(10)
            yield "b"
        finally:
            ended.set()

    async def main():
        source = from_object(blocked())
        arrivals = source.connect(None, Pulse(0))
        assert [text_of([await anext(arrivals)]) for _ in range(2)] == ["", "a"]
        await asyncio.sleep(0.02)
        started = time.monotonic()
        await arrivals.aclose()
        assert time.monotonic() - started < 0.3
        assert source.note == LEFT_RUNNING
        assert not ended.is_set()
        go.set()
        assert ended.wait(5)

    asyncio.run(main())


def test_a_read_that_waits_for_a_socket_is_woken():
    """Where the socket under an SDK's stream can be reached it is shut, and the blocked read ends."""
    import socket

    here, there = socket.socketpair()
    network = SimpleNamespace(get_extra_info=lambda name: here if name == "socket" else None)

    class Reading:
        response = SimpleNamespace(extensions={"network_stream": network})

        def __iter__(self):
            yield "a"
            yield here.recv(10).decode() or "eof"

    async def main():
        source = from_object(Reading())
        arrivals = source.connect(None, Pulse(0))
        await anext(arrivals)
        await anext(arrivals)
        await asyncio.sleep(0.02)
        await arrivals.aclose()
        assert source.note is None

    asyncio.run(main())
    assert there.recv(10) == b""
    here.close()
    there.close()


def through_a_generator(read):
    """Yield what is behind several generators, as frameworks have them."""
    yield "a"
    yield from (line.decode() for line in read)


class Buffered:
    """A library's stream, which holds its socket and reads it from C."""

    def __init__(self, sock):
        self._sock = sock

    def __iter__(self):
        return iter(lambda: self._sock.recv(10), b"")


@pytest.mark.parametrize(
    "make",
    [lambda here: through_a_generator(here.makefile("rb")), lambda here: through_a_generator(Buffered(here))],
    ids=["a file", "a library"],
)
def test_whatever_reads_the_socket_is_woken(make):
    """However deep in a library the read is, the thread that waits for it says where: no response leads there."""
    import socket

    here, there = socket.socketpair()

    async def main():
        source = from_object(make(here))
        arrivals = source.connect(None, Pulse(0))
        await anext(arrivals)
        await anext(arrivals)
        await asyncio.sleep(0.02)
        await arrivals.aclose()
        assert source.note is None

    asyncio.run(main())
    assert there.recv(10) == b""
    here.close()
    there.close()


def test_an_async_iterator_that_is_stopped_before_it_begins_is_closed():
    """Its own loop was busy all the time: once it is free, the connection under the stream is closed all the same."""
    busy, closed, given = threading.Event(), threading.Event(), {}

    class Stream:
        def __aiter__(self):
            raise AssertionError

        async def close(self):
            closed.set()

    async def give():
        given["source"] = from_object(Stream())

    async def main():
        arrivals = given["source"].connect(None, Pulse(0))
        await anext(arrivals)
        waiting = asyncio.ensure_future(anext(arrivals))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert given["source"].note == LEFT_RUNNING
        assert not closed.is_set()

    with running_loop() as loop:
        asyncio.run_coroutine_threadsafe(give(), loop).result(5)
        loop.call_soon_threadsafe(busy.wait, 10)
        asyncio.run(main())
        busy.set()
        assert closed.wait(5)


def test_a_factory_that_is_given_up_closes_what_it_made():
    """Stopped while the factory waits for its server: what it returns at last is closed, not leaked."""
    go, closed = threading.Event(), threading.Event()
    made = SimpleNamespace(close=closed.set)

    def factory():
        go.wait(10)
        return made

    async def main():
        task = asyncio.ensure_future(collect(from_object(factory)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        assert await asyncio.to_thread(closed.wait, 5)

    asyncio.run(main())


# What it raises


class APIConnectionError(Exception):
    """As the SDKs name it, on whatever HTTP library."""


class RateLimitError(Exception):
    def __init__(self, message, body=None, headers=None):
        super().__init__(message)
        self.status_code, self.body = 429, body
        self.response = SimpleNamespace(headers=headers or {})


class APIError(Exception):
    def __init__(self, message, body):
        super().__init__(message)
        self.body = body


class ReadError(Exception):
    pass


def of(name, told="x", **fields):
    """Return an exception of class *name* with *fields*, as an SDK raises it."""
    exc = type(name, (Exception,), {})(told)
    for field, value in fields.items():
        setattr(exc, field, value)
    return exc


MID_STREAM = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
THROTTLED = {"Error": {"Code": "throttlingException", "Message": "slow"}, "ResponseMetadata": {"HTTPStatusCode": 200}}


def caused(exc, cause):
    """Return *exc* as if raised from *cause*."""
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    ("raised", "kind", "status", "retryable"),
    [
        (APIConnectionError("gone"), SourceLost, None, True),
        (ConnectionResetError("gone"), SourceLost, None, True),
        (caused(RuntimeError("odd"), ReadError("gone")), SourceLost, None, True),
        (RateLimitError("slow down"), SourceRefused, 429, True),
        (RateLimitError("pay", {"code": "insufficient_quota", "message": "pay"}), SourceRefused, 429, False),
        (type("AuthenticationError", (Exception,), {})("key"), SourceRefused, 401, False),
        (APIError("mid-stream", {"type": "server_error", "message": "x"}), SourceRefused, None, True),
        (ValueError("my bug"), SourceRefused, None, False),
        (KeyError("x"), SourceRefused, None, False),
        (SourceMalformed("ours"), SourceMalformed, None, False),
        (of("APIStatusError", status_code=200, body=MID_STREAM), SourceRefused, None, True),
        (of("ServerError", code=503), SourceRefused, 503, True),
        (of("ResponseError", status_code=-1), SourceRefused, None, False),
        (of("EventStreamError", response=THROTTLED), SourceRefused, None, True),
        (
            of("ClientError", response={**THROTTLED, "ResponseMetadata": {"HTTPStatusCode": 403}}),
            SourceRefused,
            403,
            False,
        ),
        (KeyboardInterrupt(), SourceRefused, None, False),
    ],
)
def test_exceptions_are_told_by_name(raised, kind, status, retryable):
    """Lost, refused or a bug: by class name along the MRO and __cause__, since every SDK brings its own classes."""

    def failing():
        yield "a"
        raise raised

    with pytest.raises(SourceError) as caught:
        run(failing)
    assert type(caught.value) is kind
    assert getattr(caught.value, "status", None) == status
    assert caught.value.retryable is retryable
    if not isinstance(raised, SourceError):
        assert type(raised).__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_wait_of_an_sdk_error_is_kept_and_keys_are_not():
    """Retry-After in the SDK's response is read; what looks like a key in its text is replaced."""

    async def failing():
        yield "a"
        raise RateLimitError("slow sk-proj-0123456789abcdefghij", headers={"retry-after": "4"})

    with pytest.raises(SourceRefused) as caught:
        run(failing)
    assert caught.value.retry_after_s == 4
    assert "sk-proj" not in str(caught.value)


def test_an_interrupt_reaches_the_loop_it_belongs_to():
    """A KeyboardInterrupt in an async iterator is not swallowed: its own loop sees it."""

    async def interrupted():
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted)


class running_loop:  # noqa: N801 - used as a function
    """A loop that runs in another thread."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self.loop

    def __exit__(self, *exc):
        asyncio.run_coroutine_threadsafe(self._rest(), self.loop).result(15)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _rest(self):
        """Let what is being closed there end."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=10)


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), MemoryError()])
@pytest.mark.parametrize("shape", ["iterator", "factory", "awaitable"])
def test_what_is_raised_in_our_loop_ends_one_stream(raised, shape):
    """`sys.exit()` in an async iterator without a loop of its own fails its stream; the loop of all streams goes on."""

    async def iterator():
        yield "a"
        raise raised

    async def factory():
        raise raised

    made = {"iterator": iterator(), "factory": factory, "awaitable": None}[shape]
    beside = nbstream.start(slowly(), save=False)
    stream = nbstream.start(factory() if made is None else made, save=False)
    assert stream.wait(10) in ("failed", "interrupted")
    assert stream.text == ("a" if shape == "iterator" else "")
    assert beside.wait(10) == "complete"
    assert beside.text == "one two three "


async def slowly():
    """Yield three words, each a moment later."""
    for word in ("one ", "two ", "three "):
        await asyncio.sleep(0.02)
        yield word


@pytest.mark.parametrize("begins", [True, False])
def test_a_loop_that_ends_cuts_what_moves_on_it(begins):
    """`asyncio.run` that is over before the iterator is: its text is kept, and it is no error of the iterator's."""

    async def main():
        stream = nbstream.start(endlessly(), save=False)
        while begins and not stream.text:  # noqa: ASYNC110 - the iterator moves on this loop meanwhile
            await asyncio.sleep(0.001)
        return stream

    async def endlessly():
        while True:
            yield "a "
            await asyncio.sleep(0.01)

    stream = asyncio.run(main())
    assert stream.wait(10) == ("interrupted" if begins else "failed"), "what has not begun cannot be asked again"
    assert "event loop" in stream.error["message"]


@pytest.mark.parametrize(
    "part", [Part("text", "a", agent=None), Part("text", "a", agent=3), Part(None, "a"), Part("text", None)]
)
def test_a_part_that_no_log_can_hold_is_refused(part):
    """It would make everything before and behind it unreadable."""
    stream = nbstream.start(iter(["before ", part]), save=False)
    assert stream.wait(10) == "failed"
    assert stream.text == "before "
    assert "no text" in stream.error["message"]


def test_half_a_character_in_the_name_of_an_agent():
    """It is replaced there too, and the text is kept."""
    stream = nbstream.start(iter([Part("text", "a", agent="x\ud800"), Part("text", "b", agent="x\ud800")]), save=False)
    assert stream.wait(10) == "complete"
    assert {name: agent.text for name, agent in stream.agents.items()} == {"x\ufffd": "ab"}


@pytest.mark.parametrize("kind", ["TEXT", "ERROR", "X"])
def test_types_in_capitals_are_not_all_of_one_protocol(kind):
    """An unknown one is counted, and begins no run that would have to end."""
    stream = nbstream.start(iter(["a ", {"type": kind, "text": "x"}, "b"]), save=False)
    assert stream.wait(10) == "complete"
    assert stream.text == "a b"
    assert stream.facts().unknown == {kind: 1}


def test_somebody_elses_message_is_of_unknown_kind():
    """What is called `ai` and is no model of LangChain's is counted, not fatal."""
    stream = nbstream.start(iter(["a ", SimpleNamespace(type="ai", content="x"), "b"]), save=False)
    assert stream.wait(10) == "complete"
    assert stream.text == "a b"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_object_that_never_got_its_turn_is_closed(asynchronous):
    """Its call was made before we saw it: Stop while it waits for a slot ends that too."""
    closed = threading.Event()

    def close():
        closed.set()

    async def aclose():
        closed.set()

    async def main():
        never = {"__aiter__": None} if asynchronous else {"__iter__": None}
        obj = type("Unread", (), {**never, "close": staticmethod(aclose if asynchronous else close)})()
        slots = asyncio.Semaphore(0)
        stream = Recording(spec={"kind": "object"}).start(from_object(obj), slots=slots)
        await until(lambda: stream.live.note)
        stream.recorder.stop()
        assert (await stream).how == "stopped"
        assert closed.is_set()

    run_recorder(main())


def test_the_close_of_a_cumulative_stream_counts_what_stands():
    """What was taken back is not counted, though what stands in its place comes with it."""
    stream = nbstream.start(iter(["Hello wor", "Hello world", "Hello, all"]), cumulative=True, save=False)
    assert stream.wait(10) == "complete"
    *_, close = records_of(stream.log)
    assert (stream.text, close.chars) == ("Hello, all", len("Hello, all"))
