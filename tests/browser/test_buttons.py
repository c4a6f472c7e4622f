"""Stop means stop, and the other buttons do what they say."""

import time

import pytest
from cells import answer, ask, at_least, block, lost, state, whole
from lab import wait_for

#: What the design promises, and ten times that as the bound on a noisy machine.
CLOSED_S, CLOSED_WHILE_BLOCKED_S = 0.1, 0.3
MARGIN = 10


def stopped_in(tab, demo, button="Stop"):
    """Press Stop and return the seconds until the server saw its connection closed."""
    began = time.monotonic()
    tab.press_now(button)
    until = began + 10
    while demo.open_connections and time.monotonic() < until:
        time.sleep(0.002)
    return time.monotonic() - began


def test_stop_in_the_text(notebook, demo):
    """The call is closed at once, what came stays, pressing twice changes nothing, and running the cell asks anew."""
    tab = notebook(ask(demo, tokens=1500))
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    took = stopped_in(tab, demo)
    print(f"upstream closed after {1000 * took:.0f} ms")
    assert took < CLOSED_S * MARGIN
    view = tab.wait_stream("the stop", state("stopped"))
    assert "stopped by you" in view["line"]
    assert view["buttons"] == ["Copy", "Resume", "Regenerate"]
    assert answer(tokens=1500).startswith(tab.copied())
    wait_for("the end in the file", lambda: "stopped by you" in tab.saved(1))
    assert len(demo.requests) == 1

    tab.run(1)
    tab.wait_stream("a new stream", lambda new: new["stream"] != view["stream"] and state("streaming")(new))
    assert len(demo.requests) == 2
    assert demo.requests[-1].last_event_id is None


def test_stop_pressed_twice(notebook, demo):
    """Two clicks in one moment are one Stop: one close, no error, no request after it."""
    tab = notebook(ask(demo, tokens=1500))
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    for _ in range(2):
        tab.press_now("Stop")
    view = tab.wait_stream("the stop", state("stopped"))
    assert "stopped by you" in view["line"]
    assert (len(demo.requests), demo.open_connections) == (1, 0)
    assert not tab.errors


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("stall:0", "waiting for the first text", id="before the first token"),
        pytest.param("stall:200", "streaming", id="in silence"),
        pytest.param("429:60", "next try in", id="in back-off"),
    ],
)
def test_stop_while_nothing_comes(notebook, demo, fault, says):
    """Stop works where no text would bring the news of it, and no request follows it."""
    tab = notebook(ask(demo, fault=fault))
    tab.run(1)
    chars = 200 if fault == "stall:200" else 0
    view = tab.wait_stream("the wait", lambda view: at_least(chars)(view) and says in view["line"])
    assert view["buttons"] == ["Copy", "Stop"]
    wait_for("the call", lambda: demo.open_connections == (fault != "429:60"))
    took = stopped_in(tab, demo)
    view = tab.wait_stream("the stop", state("stopped"))
    print(f"{says}: upstream closed after {1000 * took:.0f} ms; {view['line']}")
    assert took < CLOSED_S * MARGIN
    assert (len(demo.requests), demo.open_connections) == (1, 0)


def test_stop_while_another_cell_blocks(notebook, demo, tmp_path):
    """The button does not wait for the kernel to be free, and the state line does not either."""
    free = tmp_path / "free"
    tab = notebook(ask(demo, tokens=1500), block(free))
    tab.run(1)
    tab.wait_stream("text", at_least(100))
    tab.run(2)
    tab.wait_stream("text while the cell blocks", at_least(int(tab.stream()["chars"]) + 200))
    took = stopped_in(tab, demo)
    print(f"upstream closed after {1000 * took:.0f} ms while a cell blocks")
    assert took < CLOSED_WHILE_BLOCKED_S * MARGIN
    view = tab.wait_stream("the stop", state("stopped"))
    assert "Interrupt kernel" not in view["buttons"]
    assert not free.exists()
    free.touch()
    assert len(demo.requests) == 1


def test_resume_after_stop(notebook, demo):
    """Resume goes on in the same view behind the saved record: the same stream, the exact text."""
    tab = notebook(ask(demo))
    tab.run(1)
    stream = tab.wait_stream("text", at_least(300))["stream"]
    tab.press("Stop")
    tab.wait_stream("the stop", state("stopped"))
    tab.press("Resume")
    end = tab.wait_stream("the end", whole(answer()))
    assert end["stream"] == stream
    assert tab.copied() == answer()
    assert [request.last_event_id is not None for request in demo.requests] == [False, True]
    wait_for("the end in the file", lambda: "complete" in tab.saved(1))


@pytest.mark.host("kernel")  # a restart interrupts no other
def test_resume_an_interrupted_stream(notebook, demo):
    """A new kernel can show an interrupted stream and go on with it from the button."""
    cell = ask(demo, "rivers", "--key", "mine")
    tab = notebook(cell, cell.replace("--key", "--replay --key"))
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    tab.restart_kernel()
    tab.wait_stream("the view to notice", lost)
    tab.run(0, wait=True)
    tab.run(2)
    view = tab.wait_stream("the saved text", lambda view: state("interrupted")(view) and at_least(300)(view), nth=1)
    assert view["buttons"] == ["Copy", "Resume", "Regenerate"]
    tab.press("Resume", 1)
    tab.wait_stream("the end", whole(answer()), nth=1)
    assert tab.copied(1) == answer()
    assert [request.last_event_id is not None for request in demo.requests] == [False, True]


def test_regenerate(notebook, demo, lab):
    """The same output shows a new stream; the old one stays in the store, its answer whole."""
    tab = notebook(ask(demo))
    tab.run(1)
    first = tab.wait_stream("the end", whole(answer()))
    tab.press("Regenerate")
    second = tab.wait_stream("another answer", lambda view: view["stream"] != first["stream"] and whole(answer())(view))
    assert tab.page.locator(".nbstream").count() == 1
    assert tab.copied() == answer()
    assert [request.last_event_id for request in demo.requests] == [None, None]
    kept = tab.ask_kernel("[s.id for s in __import__('nbstream').streams() if s.state == 'complete']")
    assert first["stream"] in kept
    assert second["stream"] in kept
    assert len(tab.save()["cells"][1]["outputs"]) == 2

    # The same output turns to the old answer and back; nobody is asked.
    pager = tab.page.get_by_role("group", name="Answers to this question")
    assert pager.inner_text().split() == ["‹", "2", "of", "2", "›"]
    pager.get_by_role("button", name="Earlier answer").click()
    old = tab.wait_stream("the old answer", lambda view: view["stream"] == first["stream"] and whole(answer())(view))
    assert old["buttons"] == ["Copy"]
    assert "1 of 2" in pager.inner_text()
    pager.get_by_role("button", name="Later answer").click()
    tab.wait_stream("the new answer", lambda view: view["stream"] == second["stream"] and whole(answer())(view))
    assert tab.stream()["buttons"] == ["Copy", "Regenerate"]
    assert len(demo.requests) == 2
    assert not tab.errors


def test_a_stall_asks_what_to_do(notebook, demo):
    """Silence is never a retry by itself: Keep waiting waits, Resume asks behind the saved record."""
    tab = notebook("%config NbStream.idle_s = 2", ask(demo, fault="stall:300"))
    tab.run(1, wait=True)
    tab.run(2)
    view = tab.wait_stream("the stall", state("stalled"))
    assert view["buttons"] == ["Copy", "Stop", "Keep waiting", "Resume"]
    assert "nothing has come for" in view["line"]
    tab.press("Keep waiting")
    tab.wait_stream("the wait", state("streaming"))
    tab.wait_stream("the next stall", state("stalled"))
    assert len(demo.requests) == 1
    tab.press("Resume")
    tab.wait_stream("the end", whole(answer()))
    assert tab.copied() == answer()
    assert [request.last_event_id is not None for request in demo.requests] == [False, True]
