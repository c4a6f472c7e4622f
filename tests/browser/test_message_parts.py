"""What a message is made of besides text: each part is shown for what it is, at its place, and after a reload again."""

import shutil
import time
from pathlib import Path

import pytest
import rich_answer
from cells import at_least, whole
from lab import wait_for

from nbstream.log.disk import open_disk_store
from nbstream.records import Close, Delta, Open, Part

pytestmark = pytest.mark.host("kernel")  # about the page

#: All of the rich answer is painted.
everything = whole("x" * rich_answer.CHARS)
#: What stands in a lane, in order.
FLOW = """\
(root) => {
  const text = (el) => el?.textContent.trim().replace(/\\s+/g, ' ') ?? null;
  const body = (el) => text(el.querySelector('.jp-RenderedHTMLCommon'));
  return [...root.querySelectorAll('.nbstream-flow > *')].map((el) => {
    if (el.matches('.nbstream-reasoning')) return ['reasoning', body(el)];
    if (el.matches('.nbstream-tool')) return ['tool', text(el.querySelector('.nbstream-name')), el.dataset.status];
    if (el.matches('.nbstream-mark')) return ['mark', text(el)];
    if (el.matches('.nbstream-refusal')) return ['refusal', body(el)];
    return ['text', text(el).slice(0, 17)];
  });
}"""
EVERYTHING = [
    ["reasoning", rich_answer.REASONING.replace("**", "")],
    ["text", rich_answer.FIRST[:17]],
    ["tool", "get_weather", "done"],
    ["tool", "get_map", "failed"],
    ["text", "Weather in Lisbon"],
    ["mark", "missing: pieces 12-14"],
    ["text", rich_answer.BEFORE_SEAM[:17]],
    ["mark", "continued here by a new generation: the connection was lost"],
    ["text", rich_answer.BEHIND_SEAM.strip()],
    ["tool", "book_a_table", "called"],
    ["refusal", rich_answer.REFUSAL],
]


@pytest.fixture
def rich(notebook, lab):
    """Return a function that opens a notebook whose cell shows the rich answer."""
    shutil.copy(Path(rich_answer.__file__), lab.root)

    def open_rich(arguments="", **size):
        return notebook(f"import nbstream, rich_answer\nnbstream.show(rich_answer.answer({arguments}))", **size)

    return open_rich


def view_of(tab, nth=0):
    """Return the n-th view's element."""
    return tab.page.locator(".nbstream").nth(nth)


def flow(tab, nth=0):
    """Return what stands in the n-th view, in order."""
    return view_of(tab, nth).evaluate(FLOW)


def facts(tab, kind, nth=0):
    """Return what the line of a folded part says."""
    return tab.page.locator(f".nbstream-{kind} .nbstream-facts").nth(nth).text_content()


def test_every_part_is_shown_live_and_after_a_reload(rich, tmp_path):
    """Reasoning, tools, gap, seam, refusal, unknown parts stand folded or named where they came; Copy has the text."""
    free = {"reasoning": tmp_path / "reasoning", "call": tmp_path / "call"}
    holds = {3: str(free["reasoning"]), rich_answer.number_of("tool_call", 4): str(free["call"])}
    tab = rich(f"holds={holds}")
    tab.run(1)
    tab.wait_stream("reasoning", at_least(21))
    assert facts(tab, "reasoning") == "21 characters, goes on ..."
    free["reasoning"].touch()
    wait_for("the call", lambda: ["tool", "get_weather", "running"] in flow(tab))
    call = tab.page.locator(".nbstream-tool").first
    arguments = call.locator("pre").first
    wait_for("its arguments as they come", lambda: arguments.text_content() == rich_answer.ARGUMENTS[:21])
    free["call"].touch()

    tab.wait_stream("the end", everything)
    assert flow(tab) == EVERYTHING
    assert facts(tab, "reasoning") == f"{len(rich_answer.REASONING)} characters"
    assert arguments.text_content() == rich_answer.indented()
    assert "unheard_of (2)" in tab.page.locator(".nbstream-notes").text_content()
    assert "call-1" not in view_of(tab).text_content()
    assert tab.copied() == rich_answer.COPIED

    tab.page.locator(".nbstream-tool").nth(1).locator("summary").click()
    dump = tab.page.locator(".nbstream-tool").nth(1).locator(".nbstream-verbatim").last
    before = dump.locator("pre").first.text_content()
    assert before == rich_answer.LONG[: len(before)]
    assert len(before) == 65_536
    dump.get_by_role("button", name="Show all").click()
    assert "".join(dump.locator("pre").all_text_contents()) == rich_answer.LONG
    assert not tab.page.locator(".nbstream-reasoning").evaluate("(el) => el.open")

    tab.save()
    tab.reload()
    tab.wait_stream("the view to come back", everything)
    assert flow(tab) == EVERYTHING
    assert tab.copied() == rich_answer.COPIED
    assert not tab.errors


def test_two_views_and_a_moved_cell_show_all(rich):
    """Another view of the same output, opened mid-message, and a cell that is moved, hold every part once."""
    tab = rich("pause_s=0.04")
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    tab.command("notebook:create-output-view")
    tab.wait_stream("the other view", at_least(1), nth=1)
    tab.command("notebook:move-cell-up")
    for nth in range(2):
        tab.wait_stream(f"all in view {nth}", everything, nth=nth)
        assert flow(tab, nth) == EVERYTHING
    assert tab.page.locator(".nbstream").count() == 2
    tab.command("notebook:move-cell-down")
    tab.wait_stream("all in the moved cell", everything)
    assert flow(tab) == EVERYTHING
    assert not tab.errors


def test_text_that_was_taken_back(notebook, lab):
    """What a log takes back is not shown, what follows joins on, and one quiet note counts how often it happened."""
    parts = [
        Part("text", "The river flows west", off=0),
        Part("truncate", fields={"length": 16}),
        Part("text", "east", off=16),
        *[one for _ in range(200) for one in (Part("text", "!?", off=20), Part("truncate", fields={"length": 20}))],
        Part("text", ".\n", off=20),
    ]
    parts = [part._replace(sequence=number) for number, part in enumerate(parts, 1)]
    store = open_disk_store(lab.store / "store")
    key, now = '["", "taken back", 0]', time.time()
    started = store.start(Open("taken-back", key, "new", {"kind": "test"}, "fp", "writer", "host", "boot", now))
    started.log.append(1, Delta(tuple(parts[:2]), at=now))
    started.log.append(2, Delta(tuple(parts[2:]), at=now))
    started.log.append(3, Close("complete", at=now, chars=22))
    started.lock.release()
    store.close()

    tab = notebook("%stream show taken-back")
    tab.run(1, wait=True)
    view = tab.wait_stream("the text", lambda view: int(view["offset"]) == 3)
    assert view["text"] == "The river flows east."
    assert view["chars"] == "22"
    assert tab.page.locator(".nbstream-notes").text_content() == "text was taken back 201 times"
    assert tab.copied() == "The river flows east.\n"


def test_a_short_answer_is_still(notebook):
    """When nothing comes, nothing moves: no element of the view changes its size or its place in three seconds."""
    # Around the number of lines at which the box begins to scroll.
    tab = notebook("import nbstream\nfor lines in range(12, 24):\n    nbstream.show(iter(['a line\\n\\n'] * lines))")
    tab.run(1)
    for nth in range(12):
        chars = len("a line\n\n") * (nth + 12)
        tab.wait_stream("the end", lambda view, chars=chars: whole("x" * chars)(view), nth=nth)
    changes = tab.page.evaluate(
        """async () => {
          const all = [...document.querySelectorAll('.nbstream, .nbstream *')];
          const places = () => JSON.stringify(all.map((el) => el.getBoundingClientRect()));
          let resized = 0;
          const sizes = new ResizeObserver((entries) => (resized += entries.length));
          all.forEach((el) => sizes.observe(el));
          await new Promise((resolve) => setTimeout(resolve, 500));
          resized = 0; // it tells the first size of each
          const changed = [];
          const tree = new MutationObserver((list) => changed.push(...list.map((one) => one.target.className)));
          for (const root of document.querySelectorAll('.nbstream')) {
            tree.observe(root, {subtree: true, childList: true, attributes: true, characterData: true});
          }
          const before = places();
          await new Promise((resolve) => setTimeout(resolve, 3000));
          return {resized, changed, moved: places() !== before};
        }"""
    )
    assert changes == {"resized": 0, "changed": [], "moved": False}
