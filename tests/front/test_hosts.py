"""Where the recorder runs: the relay where that is possible, the kernel otherwise, and the state line says which."""

import json

import pytest
import relays
from server_words import DONE, delta, until

import nbstream
from nbstream.options import NbStream
from nbstream.runtime import runtime
from nbstream.testing import Answer, Gate

pytestmark = pytest.mark.host("relay")


@pytest.fixture
def runtime_dir(home, tmp_path):
    """Return the runtime directory of this test, where the host is chosen as for a user."""
    return tmp_path / "runtime"


def held(server, *texts):
    """Script an answer that says *texts* and stands; return its gate."""
    gate = Gate()
    server.script([Answer.sse(*map(delta, texts), gate, DONE)])
    return gate


def test_an_address_is_recorded_in_the_relay(runtime_dir, store, server):
    """By default a stream of an address has the relay for its writer, and this process hears of it at once."""
    gate = held(server, "so ", "far")
    stream = nbstream.start(nbstream.sse(server.url))
    until(lambda: stream.text == "so far", "the text")
    (pid,) = relays.pids(runtime_dir)
    assert store.status(stream.id).open.writer == f"relay {pid}"
    until(lambda: stream.status()["connections"] == 1, "the live status")
    assert stream.status()["host"] == "relay"
    gate.open()
    assert stream.wait(10) == "complete"
    assert len(server.requests) == 1


def test_an_object_is_recorded_here(runtime_dir, store):
    """A Python object lives in this process: no relay is started for it, and none can be asked for."""
    stream = nbstream.start(iter(["one ", "two"]))
    assert stream.wait(10) == "complete"
    assert store.status(stream.id).open.writer.startswith("pid ")
    with pytest.raises(nbstream.RelayError, match="lives in this process"):
        nbstream.start(iter(["one"]), host="relay")
    with pytest.raises(ValueError, match="use auto, kernel, relay"):
        nbstream.start(iter(["one"]), host="moon")
    assert not relays.pids(runtime_dir)


def test_what_is_kept_in_memory_is_recorded_here(runtime_dir, store, server):
    """A relay could not show it to anybody: `--no-save` streams stay in this process."""
    server.script([Answer.sse(delta("text"), DONE)] * 2)
    stream = nbstream.start(nbstream.sse(server.url), save=False)
    assert stream.wait(10) == "complete"
    with pytest.raises(nbstream.RelayError, match="no relay of this machine records in this store"):
        nbstream.start(nbstream.sse(server.url), save=False, host="relay")
    assert not relays.pids(runtime_dir)


def test_without_a_relay_the_kernel_records_and_says_so(runtime_dir, store, server, monkeypatch):
    """A relay that cannot start is no reason not to answer: the line says what a restart will cost, and why."""
    runtime_dir.write_text("a file where a directory ought to be")
    gate = held(server, "so far")
    stream = nbstream.start(nbstream.sse(server.url))
    until(lambda: stream.text == "so far", "the text")
    assert "a kernel restart will interrupt this" in stream.status()["line"]
    assert "JUPYTER_RUNTIME_DIR" in stream.status()["line"]
    assert stream.status()["host"] == "kernel"
    gate.open()
    assert stream.wait(10) == "complete"
    with pytest.raises(nbstream.RelayError, match="the relay cannot be started"):
        nbstream.start(nbstream.sse(server.url), host="relay")
    runtime_dir.unlink()


def test_stop_resume_and_regenerate_through_the_relay(runtime_dir, store, server):
    """The buttons reach the recorder in the relay, in whatever order."""
    server.script(
        [
            Answer.sse('id: 1\ndata: {"type": "delta", "text": "one "}\n\n', Gate()),
            Answer.sse('id: 2\ndata: {"type": "delta", "text": "two"}\n\n', DONE),
            Answer.sse(delta("anew"), DONE),
        ]
    )
    stream = nbstream.start(nbstream.sse(server.url))
    until(lambda: stream.text == "one ", "the text")
    stream.stop()
    assert stream.wait(5) == "stopped"
    again = stream.resume()
    assert again.wait(10) == "complete"
    assert (again.id, again.text) == (stream.id, "one two")
    new = again.regenerate()
    assert new.wait(10) == "complete"
    assert (new.text, store.status(new.id).open.parent) == ("anew", stream.id)
    assert [request.last_event_id for request in server.requests] == [None, "1", None]


def test_status_says_what_kernel_relay_and_pages_use(runtime_dir, cells, server):
    """`%stream status`: one line each, live streams below; without a relay it says so."""
    said = cells("%stream status")
    assert "kernel  0 live, 0 upstream" in said
    assert "relay   none runs" in said
    assert "nothing is live" in said
    gate = held(server, "so far")
    cells(f"import nbstream; s = nbstream.start(nbstream.sse({server.url!r}))")
    until(lambda: "so far" in json.dumps([one.text for one in nbstream.streams()]), "the text")
    until(lambda: "streaming" in cells("%stream status"), "the live status")
    said = cells("%stream status")
    assert "relay   1 live, 1 upstream" in said
    assert max(map(len, said.splitlines())) < 120
    gate.open()
    cells("s.wait()")


def test_usage_and_what_is_above_its_bound(runtime_dir, store, server, monkeypatch):
    """Above a bound the callback is called once and the line of every live stream says so."""
    monkeypatch.setenv("NBSTREAM_MEMORY_MB", "1")
    NbStream.clear_instance()
    told = []
    end = nbstream.on_excess(told.append)
    gate = held(server, "so far")
    stream = nbstream.start(nbstream.sse(server.url), host="kernel")
    until(lambda: "MB of memory in use (limit 1)" in stream.status()["line"], "the warning", 15)
    until(lambda: told, "the callback")
    assert nbstream.usage()["kernel"]["resident_bytes"] > 1e6
    assert nbstream.usage()["relay"] is None
    end()
    gate.open()
    assert stream.wait(10) == "complete"
    assert len(told) == 1


def test_a_stream_that_outlives_an_unload_goes_on(runtime_dir, store, server):
    """After %unload_ext and %load_ext an old `Stream` is followed and asked anew as before."""
    server.script([Answer.sse(delta("one"), Gate()), Answer.sse(delta("two"), DONE)])
    stream = nbstream.start(nbstream.sse(server.url))
    until(lambda: stream.text == "one", "the text")
    runtime().close()  # what unloading does
    until(lambda: stream.status()["host"] == "relay", "the stream to be seen again")
    new = stream.regenerate()
    assert new.wait(10) == "complete"
    assert (new.text, stream.state) == ("two", "stopped")
