"""
Stop means stop: the upstream call is closed at once and no request follows, whatever the kernel is doing.

The promise is 100 ms, 300 ms while a cell blocks or from another process. The bounds here are ten times that, for busy
machines; what was measured is printed, and bench/ holds the figures.
"""

import os
import subprocess
import sys
import time

import pytest
from kernels import interpreter
from questions import chat, native, read, show, wait_until

from nbstream.testing import Answer, Gate

VERSIONS = ("", "7.3", "6.31")
BOUND_S, SLOW_BOUND_S = 1.0, 3.0
BLOCK = "import time\nfor _ in range(1200): time.sleep(0.05)"
#: A retry would come within 0.2 s.
QUIET_S = 0.4
FROM_ELSEWHERE = """
import sys, time
from nbstream import api
stream = api.find(sys.argv[1])
print(time.monotonic())
stream.stop()
"""


def closed_after(server, act, bound_s):
    """Do it, wait until the server has no connection left, check the time it took."""
    began = time.monotonic()
    act()
    wait_until(lambda: server.open_connections == 0, "the call to be closed", 10 * bound_s)
    took = time.monotonic() - began
    print(f"closed after {took * 1000:.0f} ms")
    assert took < bound_s


def check_stopped(store, page, asked, *, quiet_s=QUIET_S):
    """The page and the store say stopped, and no request follows."""
    before = asked()
    page.wait_state("stopped", timeout_s=SLOW_BOUND_S)
    assert "stopped by you" in page.state["line"]
    wait_until(lambda: store.status(page.stream).close, "the close record")
    assert store.status(page.stream).close.how == "stopped"
    assert read(store, page.stream).text == page.text
    time.sleep(quiet_s)
    assert asked() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_while_the_streams_own_cell_blocks(kernels, store, demo, version):
    """The cell that shows the stream blocks the kernel: Stop closes the call, the page says stopped meanwhile."""
    question = native(demo, tokens=5000, speed=100)
    kernel = kernels.start(python=interpreter(version)).load()
    run = kernel.execute(f"{question.cell}\n{BLOCK}", "blocking")
    run.page.wait_text(50)
    closed_after(demo, lambda: run.page.press("stop"), SLOW_BOUND_S)
    check_stopped(store, run.page, question.asked)
    assert run.reply is None, "the cell does not block any more: this proves nothing"
    kernel.interrupt()
    assert run.wait() == "error"


@pytest.mark.parametrize("version", VERSIONS)
def test_while_another_cell_blocks(kernels, store, demo, version):
    """Another cell blocks the kernel: Stop from the page, from a reloaded page and from another process."""
    kernel = kernels.start(python=interpreter(version)).load()
    questions = [native(demo, tokens=5000, speed=100) for _ in range(3)]
    pages = [kernel.execute(question.cell, question.id).page for question in questions]
    blocking = kernel.execute(BLOCK, "blocking")
    for page in pages:
        page.wait_text(50)
    asked = [lambda question=question: question.asked() for question in questions]
    reloaded = pages[1].again()
    reloaded.wait_text(50)
    for page, count in ((pages[0], 2), (reloaded, 1)):
        began = time.monotonic()
        page.press("stop")
        wait_until(lambda count=count: demo.open_connections == count, "the call to be closed")
        print(f"closed after {(time.monotonic() - began) * 1000:.0f} ms")
        assert time.monotonic() - began < SLOW_BOUND_S
    stopped_elsewhere(kernels, demo, pages[2])
    for page, one in zip((pages[0], reloaded, pages[2]), asked, strict=True):
        check_stopped(store, page, one, quiet_s=QUIET_S / 3)
    assert blocking.reply is None, "the cell does not block any more: this proves nothing"
    kernel.interrupt()
    assert blocking.wait() == "error"


def stopped_elsewhere(kernels, server, page):
    """Stop the stream from another process, check the time until the server has no connection left."""
    child = subprocess.Popen(
        [sys.executable, "-c", FROM_ELSEWHERE, page.stream],
        env={**os.environ, "NBSTREAM_HOME": str(kernels.home)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: server.open_connections == 0, "the call to be closed")
    closed_at = time.monotonic()
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    took = closed_at - float(out)  # one clock for all processes
    print(f"closed {took * 1000:.0f} ms after another process called stop()")
    assert 0 < took < SLOW_BOUND_S


def test_mid_text_pressed_twice(kernels, store, demo):
    """Mid-text, over the comm where there is no control channel; pressed again, it changes nothing."""
    question = native(demo, tokens=5000, speed=100)
    kernel = kernels.start().load()
    page = kernel.execute(question.cell, question.id).page
    page.wait_text(50)

    def twice():
        page.press("stop", channel="comm")
        page.press("stop")

    closed_after(demo, twice, BOUND_S)
    check_stopped(store, page, question.asked)
    tail = store.status(page.stream).tail
    page.press("stop")
    kernel.execute("1", "later").ok()
    assert store.status(page.stream).tail == tail
    assert question.asked() == [None]


@pytest.mark.parametrize("head_came", [False, True])
def test_before_the_first_token(kernels, store, faults, head_came):
    """The server has accepted the call, or has even answered with its headers, but no text has come."""
    silent = Answer.sse(end="stall") if head_came else Answer.sse(before=[Gate()])
    faults.script([silent])
    kernel = kernels.start().load()
    page = kernel.execute(show(f"{faults.url}/silent"), "silent").page
    faults.wait_requests(1)
    if head_came:
        page.wait_state("streaming")
    closed_after(faults, lambda: page.press("stop"), BOUND_S)
    check_stopped(store, page, lambda: len(faults.requests))
    assert page.text == ""


def test_in_silence(kernels, store, demo):
    """Text has come, then nothing for so long that the stream is stalled."""
    question = native(demo, fault="stall:100")
    kernel = kernels.start().load()
    cell = question.cell.removesuffix(")") + ", idle_s=0.3)"
    page = kernel.execute(cell, question.id).page
    page.wait_state("stalled")
    closed_after(demo, lambda: page.press("stop"), BOUND_S)
    check_stopped(store, page, question.asked)


@pytest.mark.parametrize("status", [429, 503])
def test_in_back_off(kernels, store, faults, status):
    """The server said to come back in a second: Stop ends the wait, and nobody comes back."""
    faults.script([Answer([b"busy"], status, {"Retry-After": "1"}, framing="length")])
    kernel = kernels.start().load()
    page = kernel.execute(show(f"{faults.url}/busy"), "busy").page
    page.wait_state("retrying")
    page.press("stop")
    check_stopped(store, page, lambda: len(faults.requests), quiet_s=1.5)
    assert len(faults.requests) == 1


def test_from_a_second_process(kernels, store, demo):
    """Another process calls `stop()`: the kernel that records finds the row and closes the call."""
    question = native(demo, tokens=5000, speed=100)
    kernel = kernels.start().load()
    page = kernel.execute(question.cell, question.id).page
    page.wait_text(50)
    stopped_elsewhere(kernels, demo, page)
    check_stopped(store, page, question.asked)


@pytest.mark.parametrize(("waiting", "version"), [*(("magic", version) for version in VERSIONS), ("method", "")])
def test_interrupt_while_its_cell_waits(kernels, store, demo, waiting, version):
    """Interrupt in a cell that waits is Stop; one line is left, and the cells queued behind it (Run All) do not run."""
    kernel = kernels.start(python=interpreter(version)).load()
    ask = chat if waiting == "magic" else native
    question = ask(demo, tokens=5000, speed=100)
    cell = question.cell.replace("%%stream", "%%stream --wait") if waiting == "magic" else f"{question.cell}.wait()"
    run = kernel.execute(cell, question.id)
    queued = [kernel.execute("print('ran')", f"queued-{n}", queued=True) for n in range(2)]
    run.page.wait_text(50)
    closed_after(demo, kernel.interrupt, BOUND_S)
    assert run.wait() == "error"
    assert "stopped by Interrupt" in run.traceback
    assert len(run.traceback.splitlines()) == 1
    assert [one.wait() for one in queued] == ["aborted", "aborted"]
    assert not any(one.printed for one in queued)
    check_stopped(store, run.page, question.asked)
    assert kernel.execute("print('alive')", "later").ok().printed == "alive\n"
