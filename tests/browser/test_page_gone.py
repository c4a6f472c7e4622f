"""The page is reloaded, or a second one looks: one call, one text, the same everywhere."""

import time

from cells import answer, ask, at_least, block, state, whole
from lab import CURRENT, Tab, wait_for


def test_reload_mid_message(notebook, demo):
    """A saved notebook shows its stream again by itself, and the text goes on; no second call."""
    tab = notebook(ask(demo, tokens=1200))  # 12 s: a page takes its time on a busy machine
    tab.run(1)
    before = tab.wait_stream("text", at_least(200))
    tab.save()
    tab.reload()
    began = time.monotonic()
    back = tab.wait_stream("the view to come back", at_least(int(before["chars"])))
    print(f"connected page to old text {1000 * (time.monotonic() - began):.0f} ms")
    assert back["state"] == "streaming"
    tab.wait_stream("the end", whole(answer(tokens=1200)))
    assert tab.copied() == answer(tokens=1200)
    assert len(demo.requests) == 1


def test_reload_of_a_notebook_that_was_not_saved(notebook, demo):
    """The output is gone with the page, the stream is not: running the cell attaches to it, and Stop reaches it."""
    tab = notebook(ask(demo, tokens=1500))
    tab.run(1)
    before = tab.wait_stream("text", at_least(200))
    tab.reload()
    assert tab.stream() is None
    tab.run(1)
    back = tab.wait_stream("the view to come back", at_least(int(before["chars"])))
    assert (back["state"], back["stream"]) == ("streaming", before["stream"])
    tab.press("Stop")
    tab.wait_stream("the stop", settled)
    assert answer(tokens=1500).startswith(tab.copied())
    assert (len(demo.requests), demo.open_connections) == (1, 0)


def test_a_lost_websocket(notebook, demo):
    """What was sent while the page had no connection is asked for again: the text goes on, exact."""
    tab = notebook(ask(demo))
    tab.run(1)
    tab.wait_stream("text", at_least(200))
    tab.page.evaluate(f"() => {CURRENT}.sessionContext.session.kernel.reconnect()")
    tab.wait_stream("the end", whole(answer()))
    assert tab.copied() == answer()
    assert len(demo.requests) == 1


def test_reload_while_another_cell_blocks_the_kernel(notebook, demo, tmp_path):
    """The saved text is readable at once; the live view takes over when the kernel is free, with all that came."""
    free = tmp_path / "free"
    tab = notebook(ask(demo, tokens=400), block(free))
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    wait_for("text in the file", lambda: "Let us begin with rivers" in tab.saved(1))
    tab.run(2)
    tab.save()
    tab.reload()
    wait_for("the saved text", lambda: "Let us begin with rivers" in tab.visible(1))
    wait_for("the upstream to end", lambda: demo.open_connections == 0)
    free.touch()
    tab.wait_stream("the end", whole(answer(tokens=400)))
    assert tab.copied() == answer(tokens=400)
    assert len(demo.requests) == 1


def test_two_pages_on_one_notebook(notebook, lab, browser, demo):
    """Both pages show the same text as it grows; Stop in the second one stops the stream for both."""
    tab = notebook(ask(demo, tokens=1500))
    tab.run(1)
    tab.wait_stream("text", at_least(200))
    tab.save()
    second = Tab(browser, lab, tab.name)
    try:
        seen = second.wait_stream("the same stream", at_least(300))
        assert seen["stream"] == tab.stream()["stream"]
        for one in (tab, second):
            one.wait_stream("it to go on", at_least(int(seen["chars"]) + 200))
        began = time.monotonic()
        second.press("Stop")
        wait_for("the call to be closed", lambda: demo.open_connections == 0)
        print(f"upstream closed after {1000 * (time.monotonic() - began):.0f} ms from the second page")
        ends = [one.wait_stream("the stop", settled) for one in (second, tab)]
        assert ends[0]["chars"] == ends[1]["chars"]
        assert ends[0]["text"] == ends[1]["text"]
        assert len(demo.requests) == 1
        assert tab.copied() == second.copied()
        assert answer(tokens=1500).startswith(tab.copied())
    finally:
        second.close()


def settled(view):
    """Stopped, and everything that was saved is painted."""
    return state("stopped")(view) and f"{int(view['chars']):,} characters" in view["line"]
