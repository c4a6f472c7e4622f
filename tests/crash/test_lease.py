"""The lease: a lost view is not a stop, but a call that nobody holds is ended (DESIGN 5), in both hosts."""

import time

import pytest
from questions import Question, native, read, wait_until


def question_of(demo, linger_s, call="show", tokens=4000):
    """Return a question whose stream nobody holds lives *linger_s* more."""
    asked = native(demo, f"held by a page, {linger_s}", tokens=tokens, speed=100)
    url = asked.cell.removeprefix("nbstream.show(nbstream.sse(").removesuffix("))")
    cell = f"s = nbstream.{call}(nbstream.sse({url}), linger_s={linger_s})"
    return Question(cell, asked.text, asked.asked, asked.id)


def closed(demo):
    """Say whether the upstream connection is closed."""
    return lambda: not demo.open_connections


def test_the_last_page_closed_and_the_lease_over(kernels, store, demo):
    """Lease 0: the upstream is closed soon after the last view, the state is interrupted, the text is kept."""
    kernel = kernels.start().load()
    question = question_of(demo, 0)
    first = kernel.execute(question.cell, question.id).ok().page
    first.wait_text(50)
    second = first.again()
    second.wait_text(50)
    first.bye()
    time.sleep(3)
    assert demo.open_connections == 1, "one view is left"
    second.bye()
    took = wait_until(closed(demo), "the call to be closed", timeout_s=30)
    print(f"closed {took:.1f} s after the last view")
    assert took > 1, "a view that moves is gone for a moment"
    wait_until(lambda: not store.status(first.stream).live, "the close record")
    found = read(store, first.stream)
    assert found.status.close.how == "interrupted"
    assert found.text.startswith(second.text)
    assert question.text.startswith(found.text)
    again = kernel.execute(question.cell, question.id).page
    again.wait_text(len(found.text) + 50)
    assert again.stream == first.stream
    assert question.asked() == [None, found.last_event_id]


def test_a_page_that_comes_back_finds_its_stream(kernels, demo):
    """Gone for less than the lease, the call goes on; gone for longer, it is closed."""
    kernel = kernels.start().load()
    question = question_of(demo, 5)
    first = kernel.execute(question.cell, question.id).ok().page
    first.wait_text(50)
    second = first.again()
    first.bye()
    second.bye()
    time.sleep(4)
    third = first.again()
    third.wait_text(200)
    time.sleep(4)
    assert demo.open_connections == 1
    third.bye()
    took = wait_until(closed(demo), "the call to be closed", timeout_s=60)
    assert took > 5
    assert question.asked() == [None]


def test_a_blocking_cell_ends_no_stream(kernels, demo, tmp_path):
    """A page that is reloaded while a cell blocks cannot be heard: nothing ends before the cell does."""
    kernel = kernels.start().load()
    question, until = question_of(demo, 0), tmp_path / "until"
    page = kernel.execute(question.cell, question.id).ok().page
    page.wait_text(50)
    kernel.execute(f"import pathlib, time\nwhile not pathlib.Path({str(until)!r}).exists(): time.sleep(0.02)", "block")
    page.wait_text(len(page.text) + 50)
    page.bye()
    time.sleep(6)
    assert demo.open_connections == 1
    back = page.again()
    back.wait_text(300)
    until.touch()
    time.sleep(4)
    assert demo.open_connections == 1, "the page is back"
    back.press("stop")
    back.wait_state("stopped")


@pytest.mark.host("relay")
@pytest.mark.parametrize("restart", [True, False])
def test_a_kernel_shut_down_ends_its_calls_a_restarted_one_does_not(kernels, store, demo, restart):
    """In a relay: shut down for good, the lease is over at once; told that it comes back, the call goes on."""
    kernel = kernels.start().load()
    question = question_of(demo, 600)
    page = kernel.execute(question.cell, question.id).ok().page
    page.wait_text(50)
    (kernel.restart if restart else kernel.shut_down)()
    if restart:
        time.sleep(4)
        assert demo.open_connections == 1
        assert store.status(page.stream).live
    else:
        wait_until(closed(demo), "the call to be closed", timeout_s=10)
        wait_until(lambda: not store.status(page.stream).live, "the close record")
        assert read(store, page.stream).status.close.how == "interrupted"


def test_a_started_stream_is_held_by_its_process(kernels, store, demo):
    """`start` shows nothing: the process holds its stream, and pages that look at it in passing change nothing."""
    kernel = kernels.start().load()
    question = question_of(demo, 0, call="start", tokens=500)
    kernel.execute(question.cell, question.id).ok()
    stream = store.find(question.key(kernel))
    wait_until(lambda: store.status(stream).close, "the answer to be complete", timeout_s=30)
    assert read(store, stream).text == question.text
    assert question.asked() == [None]


@pytest.mark.host("relay")
def test_a_killed_kernel_starts_the_lease(kernels, store, demo):
    """SIGKILL says no goodbye: its connection does, and the relay ends the call when the lease is over."""
    kernel = kernels.start().load()
    question = question_of(demo, 2)
    page = kernel.execute(question.cell, question.id).ok().page
    page.wait_text(50)
    kernel.kill(alone=True)
    took = wait_until(closed(demo), "the call to be closed", timeout_s=30)
    assert took > 2
    wait_until(lambda: not store.status(page.stream).live, "the close record")
    assert read(store, page.stream).status.close.how == "interrupted"
