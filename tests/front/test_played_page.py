"""`PlayedPage`: a real kernel, and a page that does what docs/protocol.md asks of one."""

import os
import time

import pytest

from nbstream.demo import DemoModel
from nbstream.pace import LIVE_BYTES
from nbstream.testing import PlayedPage

PROMPT = "What is a page?"
#: Some 400 KB/s.
FLOOD = "import nbstream, time\nstream = nbstream.show(time.sleep(0.01) or f'{n:3999} ' for n in range(2000))"


@pytest.fixture
def page(home):
    """Return a page of this test's home."""
    with PlayedPage() as page:
        yield page


def cell(max_tokens, tokens_per_s):
    """Return a cell that shows an answer."""
    asked = f'nbstream.chat("{PROMPT}", max_tokens={max_tokens}, tokens_per_s={tokens_per_s})'
    return f"import nbstream\nstream = nbstream.show({asked})\nprint(stream.id)"


def test_a_page_shows_the_text_once(page):
    """What is on screen is the answer, once, while it comes and after a reload; each further page brings new text."""
    assert page.run(cell(100, 50)).strip() == page.stream
    page.until(lambda: page.done)
    assert page.said["state"] == "complete"
    text = DemoModel().text(PROMPT, max_tokens=100)
    assert (page.text, page.chars) == (text, len(text))
    assert len(page.pages) > 2
    assert page.wire_bytes > len(text)
    page.reload()
    assert page.text == ""
    page.until(lambda: page.done)
    assert page.text == text


def test_what_a_browser_says_of_itself_goes_along(page):
    """The kernel knows the device from the page's requests, and says so."""
    page.device = {"net": "2g"}
    page.run(cell(100, 100))
    page.until(lambda: "2g" in page.said.get("pace", ""))


@pytest.mark.parametrize("acks", [True, False])
def test_a_page_without_acks_is_sent_less(home, acks):
    """A page that hangs gets what may lie unacknowledged, and then one page a second; one that paints gets twelve."""
    with PlayedPage(acks=acks) as page:
        page.run(FLOOD)
        page.until(lambda: page.chars > 3 * LIVE_BYTES)
        before, began = len(page.pages), time.monotonic()
        page.until(lambda: time.monotonic() > began + 2)
        came = len(page.pages) - before
    assert came > 8 if acks else came <= 3


def test_ranges_and_places_are_asked_for(page):
    """`asked` gives the answer to its own question."""
    page.run(cell(60, 0))
    page.until(lambda: page.done)
    place = {"agent": "assistant", "kind": "text"}
    assert page.asked("read", **place, **{"from": 3, "to": 40})["text"] == page.text[3:40]
    found = page.asked("find", text="let us", after=None, back=False)
    assert found["at"] == {**place, "at": page.text.lower().index("let us")}


def test_what_goes_wrong_is_said(page):
    """A cell that raises is a RuntimeError with its words; what does not come is a TimeoutError that says what did."""
    with pytest.raises(RuntimeError, match="the cell raised ZeroDivisionError: division by zero"):
        page.run("1 / 0")
    with pytest.raises(TimeoutError, match=r"waited 0\.1 s; the page has 0 characters"):
        page.until(lambda: False, 0.1)
    with pytest.raises(TimeoutError, match=r"waited 0\.5 s"):
        page.run("import time; time.sleep(30)", 0.5)


def test_a_killed_kernel_is_gone(page):
    """`kill` returns when the process is gone; shutting it down once more is harmless."""
    pid = int(page.run("import os; print(os.getpid())"))
    page.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    page.shut_down()
