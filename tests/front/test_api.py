"""The functions and objects of the package, as a program uses them."""

import asyncio
import inspect
import io
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from server_words import DONE, delta, until

import nbstream
from nbstream.api import find
from nbstream.runtime import runtime
from nbstream.sources.objects.source import from_object
from nbstream.testing import Answer, FaultServer, Gate, ScriptedSource
from nbstream.view.terminal import stream_to


def quick(prompt: str = "hi", **params):
    """Return a source that answers at full speed."""
    return nbstream.chat(prompt, tokens_per_s=0, **{"max_tokens": 6, **params})


def held(server: FaultServer, *texts: str) -> tuple:
    """Start a stream that has said *texts* and whose connection stays open; return it and the gate it stands at."""
    gate = Gate()
    server.script([Answer.sse(*map(delta, texts), gate, DONE)])
    stream = nbstream.start(nbstream.sse(server.url))
    gate.wait()
    until(lambda: stream.text == "".join(texts), "what was sent to come")
    return stream, gate


def test_every_public_name_is_there(store):
    """All names of `__all__` resolve and are documented; a name that is not there says so."""
    for name in nbstream.__all__:
        assert getattr(nbstream, name).__doc__, name
    assert set(nbstream.__all__) <= set(dir(nbstream))
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = nbstream.nope


def test_start_records_and_show_shows(store, capsys):
    """`start` returns at once and shows nothing; `show` in a program prints the answer and how it ended."""
    stream = nbstream.start(quick())
    assert stream.wait(5) == "complete"
    assert capsys.readouterr().out == ""
    shown = nbstream.show(quick())
    out = capsys.readouterr().out
    assert out.startswith(shown.text)
    assert out.endswith("]\n")


def test_a_stream_says_everything_about_itself(store):
    """The properties of a finished stream, read back from the store by another object as well."""
    stream = nbstream.start(nbstream.chat("What is a log?", tokens_per_s=0, max_tokens=6))
    stream.wait(5)
    for one in (stream, find(stream.id)):
        assert one.text.startswith("You asked: `What is a")
        assert one.state is nbstream.State.COMPLETE
        assert (one.reasoning, one.refusal, one.tool_calls, one.seams, one.error) == ("", "", [], [], None)
        assert (one.finish, one.model, one.title) == ("length", "demo", "What is a log?")
        assert one.usage["output"] == 6
        assert one.offset == one.log.tail() > 0
        assert one.agents["assistant"].text == one.text
        assert one.status()["offset"] == one.offset
        assert one.settled


def test_repr_is_one_plain_line(store, capsys):
    """`repr` names the stream and its state; it is no second view (nothing that a notebook would render)."""
    stream = nbstream.start(quick())
    stream.wait(5)
    assert repr(stream).startswith(f"Stream {stream.id}: complete")
    assert len(repr(stream).splitlines()) == 1
    for name in ("_repr_html_", "_repr_markdown_", "_repr_mimebundle_"):
        assert not hasattr(stream, name)
    capsys.readouterr()
    stream._ipython_display_()
    assert capsys.readouterr().out == f"{stream!r}\n"


def test_a_stream_is_found_by_id_prefix_and_key(store):
    """A stream is found by its id, the beginning of it, or the name the user gave; others are not in the store."""
    stream = nbstream.start(quick(), key="mine")
    stream.wait(5)
    for name in (stream.id, stream.id[:-2], "mine"):
        assert find(name).id == stream.id
        assert nbstream.resume(name).id == stream.id
    assert [one.id for one in nbstream.streams()] == [stream.id]
    with pytest.raises(nbstream.StreamGone, match="'yours': not in the store; `list`"):
        find("yours")
    assert nbstream.clean(days=0) == [stream.id]
    with pytest.raises(nbstream.StreamGone):
        _ = stream.state
    with pytest.raises(nbstream.StreamGone):
        nbstream.regenerate(stream.id)


def test_a_memory_store_is_opened_by_name(store):
    """`open_store` returns the same object for the same address; what is no address says what is."""
    assert nbstream.open_store() is store
    assert nbstream.open_store("memory:") is nbstream.open_store("memory:") is not store
    with pytest.raises(ValueError, match="unknown kind of store ftp://: use a directory, memory:, redis://"):
        nbstream.open_store("ftp://x")


@pytest.mark.parametrize("address", ["redis:127.0.0.1:1/0", "rediss:/user:secret@x", "Redis:x", "unix:/run/redis.sock"])
def test_an_address_that_lacks_its_slashes_makes_no_directory(home, tmp_path, monkeypatch, address):
    """A slip in the address of a Redis is one line, also from the environment, and makes no such folder."""
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    monkeypatch.setenv("NBSTREAM_STORE", address)
    for given in (address, None):
        with pytest.raises(ValueError, match=r"is no address: write [a-z]+:///?[HP]") as raised:
            nbstream.open_store(given)
        assert "secret" not in str(raised.value)
    assert set(tmp_path.iterdir()) == before
    nbstream.open_store(f"./{address.replace('/', '_')}").close()


def test_regenerate_is_a_new_stream(store):
    """`regenerate` asks the same question anew, under the same key; the old stream is kept and is its parent."""
    old = nbstream.start(quick(), key="k")
    old.wait(5)
    new = nbstream.regenerate(old)
    assert new.wait(5) == "complete"
    assert new.log.read(limit=1)[0].parent == old.id
    assert find("k").id == new.id
    assert old.text == new.text


def test_resume_completes_the_same_message(store, server):
    """A stream that failed after some text goes on behind its last record, by the object or by the id."""
    first = f"id: 1\n{delta('one, ')}"
    server.script([Answer.sse(first, end="cut"), Answer(status=400), Answer.sse(f"id: 2\n{delta('two')}", DONE)])
    stream = nbstream.start(nbstream.sse(server.url))
    assert stream.wait(5) == "failed"
    again = nbstream.resume(stream)
    assert again.wait(5) == "complete"
    assert (again.id, again.text) == (stream.id, "one, two")
    assert nbstream.resume(stream.id).text == "one, two"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer.sse(delta("a"), end="cut"), nbstream.SourceLost, "interrupted"),
        (Answer(status=401), nbstream.SourceRefused, "401"),
        (Answer.sse("data: {broken\n\n"), nbstream.SourceMalformed, "failed"),
    ],
)
def test_await_returns_the_text_or_raises_what_happened(store, server, answer, error, says):
    """`await stream` is the whole text; a stream that is not complete raises its own kind of error, naming itself."""

    async def answered(source):
        return await nbstream.start(source)

    assert asyncio.run(answered(quick())).startswith("You asked")
    server.script([answer])
    source = nbstream.sse(server.url, method="POST", format="nbstream")
    with pytest.raises(error, match=says) as caught:
        asyncio.run(answered(source))
    (stream, _) = nbstream.streams()
    assert str(caught.value).startswith(f"stream {stream.id}: ")
    assert isinstance(caught.value, nbstream.StreamError)


def _line_in(function, words):
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if words in line)


@pytest.mark.host("kernel")
@pytest.mark.parametrize("kind", ["generator", "async generator", "factory", "agent", "function of an agent"])
def test_what_your_code_raised_is_the_cause(store, kind):
    """
    An error in the user's own code: the record names function and line, and no text or value; whoever waits in the
    process that ran it gets the exception itself as the cause, with its traceback from the user's own line on.
    """

    def bad(cursor=None):
        yield "so far"
        int("5 rows")  # what the exception says

    async def worse():
        yield "so far"
        int("5 rows")

    def planner(team):
        return int("5 rows")

    source, culprit = {
        "generator": lambda: (bad(), bad),
        "async generator": lambda: (worse(), worse),
        "factory": lambda: (bad, bad),
        "agent": lambda: (nbstream.merge(a=bad(), b=["fine"]), bad),
        "function of an agent": lambda: (nbstream.merge(a=nbstream.Agent(planner), b=["fine"]), planner),
    }[kind]()
    stream = nbstream.start(source)
    assert stream.wait(5) == "failed"
    message = stream.error["message"]
    assert f" raised ValueError in {culprit.__name__}, line {_line_in(culprit, 'int(')}: invalid literal" in message
    assert "what the exception says" not in message
    with pytest.raises(nbstream.SourceRefused) as caught:
        asyncio.run(_text(stream))
    for error in (caught.value, nbstream.streams()[0].exception()):
        assert isinstance(error.__cause__, ValueError)
        assert error.__cause__.__traceback__.tb_frame.f_code is culprit.__code__
        *shown, line = error._render_traceback_()
        assert line.startswith(f"SourceRefused: stream {stream.id}: failed: ")
        assert shown[0] == "Traceback (most recent call last):"
        assert any(f", in {culprit.__name__}" in one for one in shown)
        assert "ValueError: invalid literal for int() with base 10: '5 rows'" in shown
        assert not any("nbstream/sources" in one for one in shown)


@pytest.mark.host("kernel")
def test_without_its_process_an_error_is_one_line(store, server):
    """What no code of the user's raised, or another process saw, is told in one line: a traceback is in no log."""

    def bad():
        yield "so far"
        raise ValueError("row 5")

    stream = nbstream.start(bad())
    assert stream.wait(5) == "failed"
    runtime().close()
    error = nbstream.streams()[0].exception()
    assert error.__cause__ is None
    assert len(error._render_traceback_()) == 1
    assert "ValueError in bad, line " in str(error)
    server.script([Answer.sse("data: {broken\n\n")])
    stream = nbstream.start(nbstream.sse(server.url, method="POST", format="nbstream"))
    assert stream.wait(5) == "failed"
    assert stream.exception().__cause__ is None


def test_a_stopped_stream_raises_stream_error(store, server):
    """Whoever awaits a stream that somebody stops is told so."""
    stream, _ = held(server, "so far")

    async def wait():
        waiting = asyncio.ensure_future(_text(stream))
        await asyncio.sleep(0)
        stream.stop()
        return await waiting

    with pytest.raises(nbstream.StreamError, match="stopped by you"):
        asyncio.run(wait())
    assert stream.text == "so far"


async def _text(stream):
    return await stream


def test_parts_come_as_they_are_saved(store, server):
    """`async for part in stream` yields from the beginning, each part once it is saved, to the end."""
    stream, gate = held(server, "one ", "two ")

    async def read():
        seen = ""
        async for part in stream:
            seen += part.text
            if seen == "one two ":
                gate.open()
        return seen

    assert asyncio.run(read()) == "one two " == stream.text


def test_wait_gives_up_after_its_timeout(store, server):
    """`wait(timeout)` returns the state, also when that is still a live one."""
    stream, gate = held(server, "so far")
    began = time.monotonic()
    assert stream.wait(0.2) == "streaming"
    assert 0.2 <= time.monotonic() - began < 1
    gate.open()
    assert stream.wait(5) == "complete"


def chunk(content=None, finish=None):
    """Return a chat-completion chunk as an SDK's object."""
    delta = SimpleNamespace(content=content, tool_calls=None, refusal=None, role=None)
    choice = SimpleNamespace(index=0, delta=delta, finish_reason=finish)
    return SimpleNamespace(
        id="c", object="chat.completion.chunk", model="pear-1", choices=[choice], usage=None,
        model_dump=lambda **_: {
            "id": "c", "object": "chat.completion.chunk", "model": "pear-1",
            "choices": [{"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}],
        },
    )  # fmt: skip


async def _three():
    for text in ("one ", "two ", "three"):
        yield text


@pytest.mark.parametrize(
    ("make", "text", "model"),
    [
        (lambda: iter(["one ", "two"]), "one two", None),
        (lambda: (text for text in ("a", "b")), "ab", None),
        (lambda: [chunk("one "), chunk("two"), chunk(finish="stop")], "one two", "pear-1"),
        (lambda: lambda: iter(["made"]), "made", None),
        (_three, "one two three", None),
    ],
)
def test_python_objects_are_streamed(store, make, text, model):
    """Generators, SDK chunks, factories and async generators without a loop of their own are recorded to their end."""
    stream = nbstream.start(make())
    assert stream.wait(5) == "complete"
    assert (stream.text, stream.model) == (text, model)


def test_an_async_generator_runs_on_the_loop_it_belongs_to(store):
    """An async iterator made in a running loop is iterated there."""
    loops = []

    async def made():
        loops.append(asyncio.get_running_loop())
        yield "here"

    async def main():
        return await nbstream.start(made()), asyncio.get_running_loop()

    text, loop = asyncio.run(main())
    assert text == "here"
    assert loops == [loop]


def test_a_factory_goes_on_behind_its_cursor(store):
    """A factory that takes a cursor is called again with what has arrived, and completes the same message."""
    cursors = []

    def make(cursor):
        cursors.append(cursor)
        yield from ("one ", "two ")[(cursor or {}).get("items", 0) :]
        if cursor is None or cursor["items"] < 2:
            raise ConnectionResetError("gone")
        yield "three"

    stream = nbstream.start(make, key="k")
    assert stream.wait(5) == "complete"
    assert stream.text == "one two three"
    assert cursors == [None, {"items": 2, "chars": 8}]


def test_the_factory_of_the_readme_goes_on(store):
    """The README's factory says all of it, can be resumed, and says the rest when it is asked for that."""
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (code,) = re.findall(r"^def rows\(cursor\):\n(?:    .*\n)+", readme, re.MULTILINE)
    names = {}
    exec(code, names)
    stream = nbstream.start(names["rows"])
    assert stream.wait(5) == "complete"
    assert stream.text == "".join(f"- row {number}\n" for number in range(60))
    assert stream.status()["offset"] > 0
    assert from_object(names["rows"]).traits.resume == "cursor"
    assert "".join(names["rows"]({"items": 26, "chars": 224})) == stream.text[224:]
    assert stream.text[224:].startswith("- row 26")


def test_an_object_is_never_asked_twice(store):
    """
    An object that breaks is not retried: its call was made before we saw it, and there is only one. Resume says so, as
    Regenerate does.
    """
    made = []

    def items():
        made.append(1)
        yield "so far"
        raise ConnectionResetError("gone")

    stream = nbstream.start(items(), key="k")
    assert stream.wait(5) == "interrupted"
    assert "the source cannot resume" in stream.status()["line"]
    for go_on in (nbstream.resume, nbstream.regenerate):
        with pytest.raises(nbstream.SourceRefused, match="run the cell that made it"):
            go_on(stream)
    assert (stream.state, stream.text) == ("interrupted", "so far")
    done = nbstream.start(iter(["all"]))
    assert done.wait(5) == "complete"
    assert nbstream.resume(done).text == "all"  # nothing is missing
    assert made == [1]


def test_stop_does_not_wait_for_a_blocked_iterator(store):
    """A sync iterator blocked in next(): stopped at once, and the line says that the call may run on."""
    entered, release = threading.Event(), threading.Event()

    def items():
        yield "so far"
        entered.set()
        release.wait(30)
        yield "too late"

    stream = nbstream.start(items())
    assert entered.wait(5)
    began = time.monotonic()
    stream.stop()
    until(lambda: stream.state == "stopped", "stopped")
    assert stream.wait(5) == "stopped"
    assert time.monotonic() - began < 1
    line = stream.status()["line"]
    release.set()
    assert "the call may run until its next item" in line
    assert stream.text == "so far"


def test_what_is_no_stream_is_refused_in_one_line(store):
    """A prompt, a number, bytes: a TypeError that says what to give."""
    with pytest.raises(TypeError, match=r"takes a source, not a prompt: nbstream.show\(nbstream.chat"):
        nbstream.start("hi")
    for wrong in (3, b"hi", {"a": 1}, None):
        with pytest.raises(TypeError, match="give an iterator, an async iterator or a factory"):
            nbstream.start(wrong)
    for wrong in ("hi", 3, {"a": 1}):
        with pytest.raises(TypeError, match=r"^agent a: .*give a"):
            nbstream.merge(a=wrong, b=iter("x"))
    assert nbstream.streams() == []


def test_a_ninth_call_waits_for_a_slot(store, server):
    """Eight calls a notebook: the ninth says that it waits, can be stopped while it does, the tenth gets the slot."""
    gate = Gate()
    server.script([], otherwise=Answer.sse(delta("x"), gate, DONE))
    running = [nbstream.start(nbstream.sse(f"{server.url}/{n}")) for n in range(8)]
    server.wait_requests(8)
    ninth, tenth = (nbstream.start(nbstream.sse(f"{server.url}/{n}")) for n in (8, 9))
    for one in (ninth, tenth):
        until(lambda one=one: "waiting for a slot" in one.status()["line"], "waiting")
        assert one.state == "connecting"
    ninth.stop()
    assert ninth.wait(5) == "stopped"
    running[0].stop()
    server.wait_requests(9)
    gate.open()
    assert [one.wait(5) for one in (*running[1:], tenth)] == ["complete"] * 8
    assert sorted(request.path for request in server.requests) == [f"/{n}" for n in (0, 1, 2, 3, 4, 5, 6, 7, 9)]


def test_two_threads_start_the_same_key_once(store, server):
    """Two threads that start the same key at the same moment get the same stream, and one call is made."""
    gate = Gate()
    server.script([], otherwise=Answer.sse(delta("x"), gate, DONE))
    for turn in range(5):
        barrier, got = threading.Barrier(2), []

        def begin(turn=turn, barrier=barrier, got=got):
            source = nbstream.sse(f"{server.url}/{turn}")
            barrier.wait()
            got.append(nbstream.start(source, key=f"k{turn}").id)

        threads = [threading.Thread(target=begin) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(got) == 2
        assert got[0] == got[1]
        server.wait_requests(turn + 1)
    gate.open()
    for stream in nbstream.streams():
        assert stream.wait(5) == "complete"
    assert len(server.requests) == 5


def test_the_same_prompt_twice_is_two_streams(store):
    """Outside a notebook the n-th use of a question is its own stream: nobody attaches to what was asked before."""
    one, two = nbstream.start(quick()), nbstream.start(quick())
    assert one.id != two.id
    assert {one.wait(5), two.wait(5)} == {"complete"}


def test_many_readers_read_the_same(store):
    """A terminal, an iterator and `text` read one live stream; each gets all of it."""
    gate = Gate()
    stream = nbstream.start(ScriptedSource(["one ", gate, "two", nbstream_end()], fingerprint=None))
    gate.wait()
    out = io.StringIO()
    reader = threading.Thread(target=stream_to, args=(stream, out))
    reader.start()
    gate.open()
    assert asyncio.run(_text(stream)) == "one two"
    reader.join(5)
    assert out.getvalue().startswith("one two\n[complete")


def nbstream_end():
    """Return an end mark."""
    from nbstream.sources.contract import End

    return End()
