"""Reading a message while it is written: the reader's place is his, and the end is followed only where he is there."""

import time

import pytest
from cells import at_least
from lab import wait_for

pytestmark = pytest.mark.host("kernel")  # about the page

#: Grows past what the page keeps, then a paragraph every 20 ms until a file is there.
LONG = """\
import asyncio, pathlib, nbstream
def paragraph(n):
    return f"Paragraph {{n}} of a text that grows{{' and grows' * {filler}}}, and has **no** end till then.\\n\\n"
async def source():
    for at in range(0, {first}, 100):
        yield "".join(map(paragraph, range(at, at + 100)))
    n = {first}
    while not pathlib.Path({until!r}).exists():
        await asyncio.sleep(0.02)
        yield paragraph(n)
        n += 1
stream = nbstream.show(source)"""

#: Follow one paragraph frame by frame while text arrives; how far it moved, and how much text came.
WATCH = """async (grow) => {
  const root = document.querySelector('.nbstream'), box = root.querySelector('.nbstream-box');
  const {top, height} = box.getBoundingClientRect();
  const pieces = [...box.querySelectorAll('.nbstream-group > *')];
  const el = pieces.find((one) => one.getBoundingClientRect().bottom > top + height / 2);
  const place = () => el.getBoundingClientRect().top - box.getBoundingClientRect().top;
  const before = place(), chars = Number(root.dataset.chars), until = performance.now() + 20_000;
  let moved = 0;
  while (Number(root.dataset.chars) < chars + grow && performance.now() < until) {
    await new Promise(requestAnimationFrame);
    moved = Math.max(moved, Math.abs(place() - before));
  }
  return {moved, grown: Number(root.dataset.chars) - chars, there: el.isConnected};
}"""

BOX = """() => {
  const box = document.querySelector('.nbstream-box');
  const pieces = document.querySelectorAll('.nbstream-group > *').length;
  return {top: box.scrollTop, left: box.scrollHeight - box.scrollTop - box.clientHeight, pieces};
}"""


@pytest.mark.parametrize(("first", "filler"), [(200, 1), (2_600, 80)], ids=["all on the page", "a part on the page"])
def test_the_reader_keeps_his_place_while_text_arrives(notebook, tmp_path, first, filler):
    """Pinned to the end the box follows; scrolled up not a pixel moves; detached and back too; Jump brings back."""
    until = tmp_path / "enough"
    tab = notebook(LONG.format(first=first, filler=filler, until=str(until)))
    tab.run(1)
    tab.wait_stream("a long text", at_least(first * (60 + 10 * filler)), 90)
    wait_for("the end to be followed", lambda: tab.page.evaluate(BOX)["left"] < 30)
    if first > 2_000:
        wait_for("only a part on the page", lambda: tab.page.evaluate(BOX)["pieces"] < 2_000)
    jump = tab.page.get_by_role("button", name="Jump to newest")
    assert not jump.is_visible()

    tab.page.locator(".nbstream-box").hover()
    tab.page.mouse.wheel(0, -1500)
    jump.wait_for()
    wait_for("the box to come to rest", lambda: at_rest(tab))
    watched = tab.page.evaluate(WATCH, 2_000)
    print(watched)
    assert watched["grown"] >= 2_000
    assert watched["there"]
    assert watched["moved"] < 1

    # JupyterLab takes cells out of the page while they are out of sight.
    tab.page.evaluate(
        """async () => {
          const root = document.querySelector('.nbstream'), {parentElement} = root;
          const chars = Number(root.dataset.chars);
          root.remove();
          while (Number(root.dataset.chars) < chars + 500) await new Promise((resolve) => setTimeout(resolve, 50));
          parentElement.append(root);
        }"""
    )
    wait_for("the box to come to rest", lambda: at_rest(tab))
    assert jump.is_visible()
    assert tab.page.evaluate(BOX)["left"] > 500

    jump.click()
    wait_for("the end to be followed", lambda: tab.page.evaluate(BOX)["left"] < 30)
    tab.wait_stream("more text", at_least(int(tab.stream()["chars"]) + 500))
    wait_for("the end to be followed", lambda: tab.page.evaluate(BOX)["left"] < 30)
    assert not jump.is_visible()
    until.touch()
    tab.wait_stream("the end", lambda view: view["state"] == "complete")
    assert not tab.errors


def at_rest(tab):
    """Whether the box stands still for a fifth of a second."""
    before = tab.page.evaluate(BOX)["top"]
    time.sleep(0.2)
    return tab.page.evaluate(BOX)["top"] == before
