"""A message too long for the page (3 MB; 10 MB under `make soak`): there to scroll, find and copy, the page small."""

import os
import random
import time

import pytest
from lab import LOAD, Tab, wait_for

SEED = int(os.environ.get("NBSTREAM_SEED") or random.randrange(2**32))
PARAGRAPHS = 36_000 if "NBSTREAM_SOAK" in os.environ else 12_000


def paragraphs(count):
    """Return Markdown whose every paragraph says which it is; about 280 characters each."""
    blocks = []
    for n in range(count):
        if n % 50 == 0:
            blocks.append(f"## Chapter {n}\n\n")
        if n % 97 == 0:
            blocks.append("```python\n" + "".join(f"value_{i} = {n} + {i}\n" for i in range(12)) + "```\n\n")
        water = "water under the bridge " * (4 + n % 9)
        blocks.append(f"Paragraph {n}: what is written is **never** lost, 🦜 naïve {water}end {n}.\n\n")
    return "".join(blocks)


TEXT = paragraphs(PARAGRAPHS)

MAKE = """\
import nbstream
text = open({path!r}, encoding="utf-8", newline="").read()
stream = nbstream.start((text[at : at + 20_000] for at in range(0, len(text), 20_000)), key="long")
print(stream.wait(timeout=60))"""
SHOW = "get_ipython().run_line_magic('stream', f'replay {stream.id}')"

#: In the page: what the reader sees in the box, and how much of the message is there at all.
SEEN = """() => {
  const root = document.querySelector('.nbstream'), box = root.querySelector('.nbstream-box');
  const {top, bottom} = box.getBoundingClientRect();
  const near = (el) => {
    const rect = el.getBoundingClientRect();
    return rect.height > 0 && rect.bottom > top && rect.top < bottom;
  };
  const places = [...root.querySelectorAll('.nbstream-out, .nbstream-groups:empty')].filter(near).length;
  const seen = [...root.querySelectorAll('.nbstream-group')].filter(near)
    .flatMap((group) => [...group.children].filter(near).map((el) => el.textContent));
  const text = [...root.querySelectorAll('.nbstream-text')].reduce((sum, el) => sum + el.textContent.length, 0);
  return {top: box.scrollTop, height: box.scrollHeight, left: box.scrollHeight - box.scrollTop - box.clientHeight,
    places, seen, text, missing: root.querySelectorAll('[data-missing]').length};
}"""


CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.map((cell) => cell.model.id)"


@pytest.fixture(scope="module")
def tab(lab, browser, aside, tmp_path_factory, soak):  # `soak`: it has a larger number
    """Return a page on the whole message, saved and complete, shown to its end."""
    path = tmp_path_factory.mktemp("long") / "text.md"
    path.write_bytes(TEXT.encode())
    lab.write("long.ipynb", LOAD, MAKE.format(path=str(path)), SHOW, "1 + 1")
    tab = Tab(browser, lab, "long.ipynb")
    for cell in (0, 1):
        tab.run(cell, wait=True)
    assert "complete" in tab.visible(1)
    tab.session = tab.context.new_cdp_session(tab.page)
    tab.session.send("Performance.enable")
    began = time.monotonic()
    tab.run(2)
    wait_for("all of it", lambda: chars(tab) == len(TEXT), 90)
    print(f"{len(TEXT) / 1e6:.1f} MB shown after {time.monotonic() - began:.1f} s")
    yield tab
    tab.page.screenshot(path=path.parent / "end.png")
    tab.close()
    aside.submit(lab.end_kernels, "long.ipynb")


def chars(tab):
    """Return the code points painted."""
    return tab.page.evaluate("() => Number(document.querySelector('.nbstream')?.dataset.chars ?? 0)")


def seen(tab):
    """Return what the reader sees, once no place in sight waits for its text."""

    def probe():
        state = tab.page.evaluate(SEEN)
        return state if state["places"] == 0 and state["seen"] else None

    return wait_for("the text in sight", probe)


def scroll_to(tab, share):
    """Put the box to a share of its height; return what is seen there."""
    tab.page.evaluate(
        """(share) => {
          const box = document.querySelector('.nbstream-box');
          box.scrollTop = share * (box.scrollHeight - box.clientHeight);
        }""",
        share,
    )
    return seen(tab)


def shown(text):
    """Return a piece of the source as it looks, white space apart."""
    return "".join(text.replace("**", "").split())


def numbers(state):
    """Return the paragraphs in sight; each must be as its source says."""
    found = [text for text in state["seen"] if text.startswith("Paragraph ")]
    for text in found:
        n = int(text.split()[1].rstrip(":"))
        begin = TEXT.index(f"Paragraph {n}:")
        assert "".join(text.split()) == shown(TEXT[begin : TEXT.index("\n\n", begin)])
    return [int(text.split()[1].rstrip(":")) for text in found]


def test_a_saved_answer_opens_at_its_beginning_and_the_page_stays_small(tab):
    """At most 2.5 MB of text and 150 MB of script memory stay on the page; the reader sees the beginning."""
    state = seen(tab)
    assert (state["top"], numbers(state)[0]) == (0, 0)
    assert state["text"] < 2_500_000
    tab.session.send("HeapProfiler.collectGarbage")
    figures = {one["name"]: one["value"] for one in tab.session.send("Performance.getMetrics")["metrics"]}
    print(f"heap {figures['JSHeapUsedSize'] / 1e6:.0f} MB, page {figures['TaskDuration']:.1f} s, {state['height']} px")
    assert figures["JSHeapUsedSize"] < 150e6


def test_every_place_shows_its_text(tab):
    """Wherever the reader goes, he sees the text of that place, whole and in order, to both ends."""
    print(f"NBSTREAM_SEED={SEED}")
    dice = random.Random(SEED)
    for share in [0.5, *(dice.random() for _ in range(8)), 1, 0]:
        state = scroll_to(tab, share)
        found = numbers(state)
        assert found == list(range(found[0], found[0] + len(found)))
        assert abs(found[0] / PARAGRAPHS - share) < 0.1
        assert not state["missing"]
    assert numbers(scroll_to(tab, 1))[-1] == PARAGRAPHS - 1
    assert numbers(scroll_to(tab, 0))[0] == 0


@pytest.mark.parametrize("direction", [-1, 1], ids=["up", "down"])
def test_scrolling_moves_the_text_as_far_as_the_reader_scrolls(tab, direction):
    """Step by step through text that comes back on the way, no paragraph jumps."""
    scroll_to(tab, 0.3 if direction > 0 else 0.7)
    moved = tab.page.evaluate(
        """async (direction) => {
          const box = document.querySelector('.nbstream-box');
          const frame = () => new Promise(requestAnimationFrame);
          const moved = [];
          for (let step = 0; step < 80; step++) {
            const {top, height} = box.getBoundingClientRect();
            const pieces = [...box.querySelectorAll('.nbstream-group > *')];
            // What the browser has not painted yet (content-visibility) has a place, but nobody sees it move.
            const painted = (one) => one.checkVisibility({contentVisibilityAuto: true});
            const el = pieces.find((one) => one.getBoundingClientRect().bottom > top + height / 2 && painted(one));
            const before = el.getBoundingClientRect().top;
            await new Promise((resolve) => setTimeout(resolve)); // as a reader does: between two frames
            box.scrollTop += 250 * direction;
            for (let wait = 0; wait < 3; wait++) await frame();
            if (el.isConnected) moved.push(before - el.getBoundingClientRect().top - 250 * direction);
          }
          return moved;
        }""",
        direction,
    )
    print(f"{len(moved)} steps, largest jump {max(map(abs, moved)):.1f} px")
    assert len(moved) > 70
    assert max(map(abs, moved)) < 3


def test_a_selection_survives(tab):
    """What is selected stays selected while the reader looks elsewhere."""
    scroll_to(tab, 0.4)
    selected = tab.page.evaluate(
        """() => {
          const box = document.querySelector('.nbstream-box'), {top} = box.getBoundingClientRect();
          const pieces = [...box.querySelectorAll('.nbstream-group p')];
          const el = pieces.find((one) => one.getBoundingClientRect().top > top);
          getSelection().selectAllChildren(el);
          return String(getSelection());
        }"""
    )
    assert selected.startswith("Paragraph ")
    scroll_to(tab, 0.9)
    scroll_to(tab, 0.1)
    assert tab.page.evaluate("() => String(getSelection())") == selected
    tab.page.evaluate("() => getSelection().removeAllRanges()")


def test_find_goes_to_what_is_not_on_the_page(tab):
    """Find goes from match to match through all of the message, back and round, and marks what it found."""
    scroll_to(tab, 0)
    tab.page.locator(".nbstream-find-open").click()
    field = tab.page.get_by_role("searchbox", name="Find in this answer")
    field.fill("Is Never  lost, 🦜 naïve water")

    def at():
        state = seen(tab)
        marked = tab.page.evaluate("() => [...(CSS.highlights.get('nbstream-found') ?? [])].map(String)")
        rect = tab.page.evaluate(
            """() => {
              const [range] = CSS.highlights.get('nbstream-found') ?? [];
              const box = document.querySelector('.nbstream-box').getBoundingClientRect();
              const place = range?.getBoundingClientRect();
              return place && place.top >= box.top && place.bottom <= box.bottom;
            }"""
        )
        return (numbers(state), marked) if rect else None

    found, marked = None, None
    for n in (0, 1):
        field.press("Enter")
        found, marked = wait_for("the match", at)
        assert n in found
    assert marked == ["is never lost, 🦜 naïve water"]

    field.fill(f"end {PARAGRAPHS // 3}.")
    field.press("Enter")
    wait_for("a match far below", lambda: (here := at()) and PARAGRAPHS // 3 in here[0])
    field.press("Enter")  # the only one: round to itself
    wait_for("the search to go round", lambda: "beginning" in told(tab))
    assert PARAGRAPHS // 3 in at()[0]
    field.fill("Chapter 3500")
    field.press("Shift+Enter")
    wait_for("the match before", lambda: (here := at()) and 3500 in here[0])
    field.fill("nobody wrote this")
    field.press("Enter")
    wait_for("an answer", lambda: told(tab) == "not found")
    field.press("Escape")
    assert not field.is_visible()
    assert tab.page.evaluate("() => document.activeElement.className").startswith("nbstream-find-open")


def told(tab):
    """Return what the find bar says."""
    return tab.page.locator(".nbstream-found-count").text_content()


def test_copy_gives_the_whole_source(tab):
    """Copy puts every character on the clipboard, though most of them are not on the page."""
    scroll_to(tab, 0.5)
    tab.page.bring_to_front()
    tab.page.evaluate("() => navigator.clipboard.writeText('')")
    tab.press("Copy")
    tab.page.wait_for_selector(".nbstream button[data-done]", timeout=30_000)
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == TEXT


@pytest.mark.parametrize("how", ["at once", "later", "collapsed"])
def test_the_place_is_kept_when_the_cell_leaves_the_page(tab, how):
    """Detached and attached again (as JupyterLab does out of sight), or collapsed: the reader is where he was."""
    # The reader looks at the end: the box begins above the window.
    tab.page.locator(".nbstream").get_by_role("button", name="Copy").focus()
    tab.page.evaluate("() => document.querySelector('.nbstream').scrollIntoView({block: 'end'})")
    before = numbers(scroll_to(tab, 0.6))
    tab.page.evaluate(
        """async (how) => {
          const root = document.querySelector('.nbstream'), {parentElement} = root;
          const frames = async () => { for (let i = 0; i < 5; i++) await new Promise(requestAnimationFrame); };
          if (how === 'collapsed') parentElement.style.display = 'none';
          else root.remove();
          if (how !== 'at once') await frames();
          if (how === 'collapsed') parentElement.style.display = '';
          else parentElement.append(root);
          await frames();
        }""",
        how,
    )
    assert numbers(seen(tab)) == before


def test_the_keyboard_scrolls_the_box_and_not_the_notebook(tab):
    """End, Home and Page Down move the text; keys that command the notebook do nothing while the box has the focus."""
    scroll_to(tab, 0.5)
    cells = tab.page.evaluate(CELLS)
    tab.page.locator(".nbstream-box").focus()
    tab.page.keyboard.press("End")
    wait_for("the end", lambda: seen(tab)["left"] < 2)
    tab.page.keyboard.press("Home")
    wait_for("the beginning", lambda: seen(tab)["top"] == 0)
    tab.page.keyboard.press("PageDown")
    wait_for("the second page", lambda: 200 < seen(tab)["top"] < 1200)
    for key in "ddba":
        tab.page.keyboard.press(key)
    assert tab.page.evaluate(CELLS) == cells
    tab.page.keyboard.press("Control+f")
    assert tab.page.get_by_role("searchbox", name="Find in this answer").is_visible()
    tab.page.keyboard.press("Escape")
    assert tab.page.evaluate("() => document.activeElement.className").startswith("nbstream-box")


def test_another_width_keeps_the_place(tab):
    """A narrower window lays all text out anew, and the reader still sees what he saw."""
    before = numbers(scroll_to(tab, 0.55))[0]
    tab.page.set_viewport_size({"width": 700, "height": 850})
    narrow = wait_for(
        "the text at its place", lambda: (now := numbers(seen(tab))) and abs(now[0] - before) <= 1 and now
    )
    tab.page.set_viewport_size({"width": 1100, "height": 850})
    wait_for("the text at its place", lambda: abs(numbers(seen(tab))[0] - narrow[0]) <= 1)
    assert not tab.errors


def test_print_shows_all_that_is_on_the_page_and_says_what_is_not(tab):
    """On paper the box has no end of its own, and a long answer says where a part of it is left out."""
    scroll_to(tab, 0.5)
    tab.page.emulate_media(media="print")
    box = tab.page.evaluate(
        """() => {
          const box = document.querySelector('.nbstream-box'), out = box.querySelector('.nbstream-out');
          const word = getComputedStyle(out, '::before').content;
          return {hidden: box.scrollHeight - box.clientHeight, word, height: out.getBoundingClientRect().height};
        }"""
    )
    tab.page.emulate_media(media="screen")
    assert box["hidden"] < 2
    assert "not printed" in box["word"]
    assert box["height"] < 60


def test_without_a_kernel_what_is_not_on_the_page_says_so(tab):
    """When the kernel is gone the text on the page stays, and a place whose text cannot be read says why."""
    scroll_to(tab, 0.5)
    tab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    wait_for("the view to notice", lambda: tab.stream()["link"] == "lost")
    text = tab.page.evaluate(SEEN)["text"]  # until now the page may have been leaving out what is far
    assert text > 10_000
    tab.page.evaluate("() => { document.querySelector('.nbstream-box').scrollTop = 0; }")
    wait_for("the place to say so", lambda: tab.page.evaluate(SEEN)["missing"])
    word = tab.page.evaluate("() => document.querySelector('[data-missing]').dataset.missing")
    assert word.startswith("Saved, but not on this page: the kernel ")
    assert tab.page.evaluate(SEEN)["text"] >= text
