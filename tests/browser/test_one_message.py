"""A message in a cell: it streams, it is saved, several stand side by side, and nothing jumps."""

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from cells import answer, ask, at_least, whole
from lab import wait_for

#: Renewed with NBSTREAM_SCREENSHOT=1.
SCREENSHOT = Path(__file__).parents[2] / "docs" / "screenshot.png"


def test_a_cell_streams_into_the_page_and_into_the_file(notebook, demo):
    """The text arrives piece by piece, ends complete and exact, and the notebook file holds it with how it ended."""
    tab = notebook(ask(demo))
    tab.run(1)
    early = tab.wait_stream("the first text", at_least(1))
    assert (early["state"], early["buttons"]) == ("streaming", ["Copy", "Stop"])
    middle = tab.wait_stream("more text", at_least(int(early["chars"]) + 300))
    assert middle["state"] == "streaming"
    end = tab.wait_stream("the end", whole(answer()))
    assert end["buttons"] == ["Copy", "Regenerate"]
    assert letters(end["text"]).endswith(letters(answer())[-60:])
    assert tab.copied() == answer()
    saved = wait_for("the end in the file", lambda: "complete" in (text := tab.saved(1)) and text)
    assert saved.startswith(answer().strip())
    assert len(demo.requests) == 1
    assert not tab.errors


@pytest.mark.host("kernel")  # about the page
def test_the_demo_model_needs_nothing(notebook):
    """A bare %%stream answers from the embedded model, its buttons in sight in a low window too (README's picture)."""
    tab = notebook("%%stream\nWhy does a log only grow?", width=1000, height=620)
    tab.command("application:toggle-left-area")
    began = time.monotonic()
    tab.run(1)
    tab.wait_stream("the first text", at_least(1))
    print(f"cold cell to first text {1000 * (time.monotonic() - began):.0f} ms")
    tab.wait_stream("half a page", at_least(900))
    assert tab.page.get_by_role("button", name="Stop").bounding_box()["y"] < 620
    if "NBSTREAM_SCREENSHOT" in os.environ:
        tab.page.mouse.move(990, 610)
        tab.page.screenshot(path=SCREENSHOT)


@pytest.mark.host("kernel")  # about the page
def test_copy_gives_the_source_while_it_streams(notebook, demo):
    """Copy puts the Markdown source of what is shown on the clipboard, not its rendering, and says that it did."""
    tab = notebook(ask(demo, tokens=1000))
    tab.run(1)
    shown = tab.wait_stream("text", at_least(400))
    copied = tab.copied()
    assert len(copied) >= int(shown["chars"])
    assert answer(tokens=1000).startswith(copied)
    assert tab.page.locator(".nbstream button[data-done]").count() == 1


def test_several_streams_in_one_cell_and_in_several_cells(notebook, demo):
    """Each stream has its own view, its own text and its own place, whatever runs beside it."""
    prompts = ("rivers", "logs", "gardens")
    loop = f"""\
import nbstream
for prompt in {prompts}:
    nbstream.show(nbstream.chat(prompt, model="demo", base_url="{demo.url}/v1", max_tokens=200, tokens_per_s=60))"""
    tab = notebook(loop, ask(demo, "bread", tokens=200))
    tab.run(1)
    tab.run(2)
    for nth, prompt in enumerate((*prompts, "bread")):
        tab.wait_stream(f"the answer about {prompt}", whole(answer(prompt, tokens=200)), nth=nth)
        assert tab.copied(nth) == answer(prompt, tokens=200)
    assert len(demo.requests) == 4
    old = tab.stream(1)["stream"]
    tab.press("Regenerate", 1)
    again = whole(answer(prompts[1], tokens=200))
    tab.wait_stream("the answer again", lambda view: view["stream"] != old and again(view), nth=1)
    assert len(demo.requests) == 5
    assert [tab.copied(nth) for nth in (0, 1, 2)] == [answer(prompt, tokens=200) for prompt in prompts]


def test_a_cut_connection_goes_on_by_itself(notebook, demo):
    """Behind a cut of the network the text goes on within 3 s, exact, without anybody doing anything."""
    tab = notebook(ask(demo, fault="cut:400"))
    record_growth(tab)
    tab.run(1)
    tab.wait_stream("the end", whole(answer()))
    assert tab.copied() == answer()
    assert [request.last_event_id is not None for request in demo.requests] == [False, True]
    growth = tab.page.evaluate("() => window.growth")
    pauses = [(after - before, chars) for (before, _), (after, chars) in pairwise(growth)]
    longest, at = max(pauses)
    print(f"longest pause {longest:.0f} ms, before character {at}")
    assert longest < 3000


@pytest.mark.host("kernel")  # about the page
def test_the_box_follows_its_end_only_while_the_reader_is_there(notebook, demo):
    """A reader who scrolls up keeps his place while text arrives; Jump to newest brings him back."""
    tab = notebook(ask(demo, tokens=3000, rate=250), height=500)
    tab.run(1)
    tab.wait_stream("a text longer than its box", lambda view: at_least(1)(view) and box(tab)["scrolls"], 60)
    tab.wait_stream("more", at_least(int(tab.stream()["chars"]) + 500))
    wait_for("the box to be at its end", lambda: box(tab)["left"] < 30)
    jump = tab.page.get_by_role("button", name="Jump to newest")
    assert not jump.is_visible()

    tab.page.locator(".nbstream-box").hover()
    tab.page.mouse.wheel(0, -300)
    jump.wait_for()
    place = box(tab)["top"]
    tab.wait_stream("more text below", at_least(int(tab.stream()["chars"]) + 1500))
    assert box(tab)["top"] == place
    assert box(tab)["left"] > 300

    jump.click()
    tab.wait_stream("more text at the end", at_least(int(tab.stream()["chars"]) + 500))
    wait_for("the box to be at its end", lambda: box(tab)["left"] < 30)
    assert not jump.is_visible()


@pytest.mark.host("kernel")  # about the page
@pytest.mark.parametrize("seen_above", [0, 200])  # pixels of the code cell above it; Chromium anchors without them only
def test_the_notebook_does_not_jump(notebook, demo, seen_above):
    """What the reader looks at in the notebook stays where it is while an answer grows above it or below it."""
    filler = "\n".join(f"# line {number} of a cell that fills the screen" for number in range(40))
    tab = notebook(filler, ask(demo, "above", tokens=500), filler, filler, ask(demo, "below", tokens=500), filler)
    cell = tab.page.locator(".jp-Notebook .jp-Cell").nth(4)
    for nth in (3, 4):  # an editor that was never seen has a height that was guessed
        tab.page.locator(".jp-Notebook .jp-Cell").nth(nth).scroll_into_view_if_needed()
        wait_for("the notebook to come to rest", lambda: at_rest(cell))
    tab.run(2)
    tab.run(5)
    tab.wait_stream("the first text above", at_least(100))
    tab.wait_stream("the first text below", at_least(100), nth=1)
    # The reader looks at the cell between both.
    cell.evaluate(
        """(cell, seen) => {
          const notebook = cell.closest(".jp-WindowedPanel-outer");
          notebook.scrollTop += cell.getBoundingClientRect().top - notebook.getBoundingClientRect().top - seen;
        }""",
        seen_above,
    )
    place = wait_for("the notebook to come to rest", lambda: at_rest(cell))
    early = int(tab.stream()["chars"])
    assert early < len(answer("above", tokens=500)) / 2, "most of the answer above had come before anybody looked"
    for nth, prompt in enumerate(("above", "below")):
        tab.wait_stream("the end", whole(answer(prompt, tokens=500)), nth=nth)
    moved = cell.bounding_box()["y"] - place
    print(f"the cell moved by {moved:.0f} px")
    assert abs(moved) < 5


def record_growth(tab):
    """Note in the page when the painted text grew, and to how many characters."""
    tab.page.evaluate(
        """() => {
          window.growth = [];
          new MutationObserver(() => {
            const chars = Number(document.querySelector('.nbstream')?.dataset.chars ?? 0);
            if (chars > (window.growth.at(-1)?.[1] ?? 0)) window.growth.push([performance.now(), chars]);
          }).observe(document.body, {subtree: true, attributes: true, attributeFilter: ['data-chars']});
        }"""
    )


def box(tab):
    """Return where the reader is in the box of the first view."""
    return tab.page.evaluate(
        """() => {
          const box = document.querySelector('.nbstream-box');
          const left = box.scrollHeight - box.clientHeight - box.scrollTop;
          return {top: box.scrollTop, left, scrolls: box.scrollHeight > box.clientHeight + 400};
        }"""
    )


def letters(text):
    """Return what Markdown and its rendering have in common."""
    return "".join(filter(str.isalpha, text))


def at_rest(element):
    """Return the place of an element once it did not move for ten frames."""
    return element.evaluate(
        """async (element) => {
          let last = element.getBoundingClientRect().y;
          for (let still = 0; still < 10; still++) {
            await new Promise(requestAnimationFrame);
            const now = element.getBoundingClientRect().y;
            if (now !== last) still = 0;
            last = now;
          }
          return last;
        }"""
    )
