"""Notebook 7, served by the same server: the same widget, the same promises."""

import itertools

import pytest
from cells import answer, ask, at_least, block, state, whole
from lab import LOAD, Tab, wait_for

pytestmark = pytest.mark.host("kernel")  # about the page

_count = itertools.count(1)


class Notebook7(Tab):
    """A page of Notebook 7."""

    def _goto(self) -> None:
        url = f"http://127.0.0.1:{self._lab.port}/notebooks/{self.name}?token={self._lab.token}"
        self.page.goto(url, wait_until="domcontentloaded")


@pytest.fixture
def notebook7(lab, browser, aside, host):
    """Return a function that opens a notebook with these cells in Notebook 7, with the extension loaded."""
    tabs = []

    def open_notebook(*cells):
        name = f"seven-{next(_count)}.ipynb"
        lab.write(name, f"{LOAD}\n%config NbStream.host = {host!r}", *cells)
        tabs.append(Notebook7(browser, lab, name))
        tabs[-1].run(0, wait=True)
        return tabs[-1]

    yield open_notebook
    for tab in tabs:
        tab.close()
        aside.submit(lab.end_kernels, tab.name)


def ours(errors):
    """
    Leave out what is not ours: Notebook 7 misses a settings schema and a command of its file browser, and anywidget
    complains 2 s after a widget was closed that it had begun to set up.
    """
    theirs = ("'schema'", "[anywidget]", "'filebrowser:open-path'")
    return [error for error in errors if not any(one in error for one in theirs)]


def test_a_message_from_its_stream_to_its_saved_form(notebook7, demo):
    """It streams; reloaded and run again it attaches; Copy and the file hold it exactly; one call is made."""
    tab = notebook7(ask(demo, tokens=1500))
    tab.run(1)
    before = tab.wait_stream("text", at_least(200))
    assert (before["state"], before["buttons"]) == ("streaming", ["Copy", "Stop"])
    tab.reload()
    tab.run(1)
    back = tab.wait_stream("the view to come back", at_least(int(before["chars"])))
    assert back["stream"] == before["stream"]
    tab.wait_stream("the end", whole(answer(tokens=1500)))
    assert tab.copied() == answer(tokens=1500)
    saved = wait_for("the end in the file", lambda: "complete" in (text := tab.saved(1)) and text)
    assert saved.startswith(answer(tokens=1500).strip())
    assert len(demo.requests) == 1
    assert not ours(tab.errors)


def test_stop_while_another_cell_blocks(notebook7, demo, tmp_path):
    """Stop reaches a kernel that a cell keeps busy: the control channel is there too."""
    free = tmp_path / "free"
    tab = notebook7(ask(demo, tokens=4000), block(free))
    tab.run(1)
    tab.wait_stream("text", at_least(200))
    tab.run(2)
    tab.press("Stop")
    wait_for("the call to be closed", lambda: demo.open_connections == 0)
    tab.wait_stream("the stop", state("stopped"))
    free.touch()
    assert not ours(tab.errors)
