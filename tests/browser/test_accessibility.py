"""Everybody can use it: by the keyboard alone, by listening, in light and dark; a key pressed there harms nothing."""

import os
import shutil
from pathlib import Path

import pytest
import rich_answer
from cells import ask, at_least, state
from lab import CURRENT, wait_for

pytestmark = pytest.mark.host("kernel")  # about the page

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"
THEMES = ["JupyterLab Light", "JupyterLab Dark"]
FOCUSED = "document.activeElement?.textContent"
CELLS = f"{CURRENT}.content.widgets.length"


@pytest.fixture
def axe():
    """Return a function that loads axe-core into a page and returns what it finds there within a selector."""
    if not AXE.exists():
        why = "axe-core is not installed: `make js`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)

    def findings(tab, selector, *, colours=True):
        if not tab.page.evaluate("() => 'axe' in window"):
            tab.page.evaluate(AXE.read_text(encoding="utf-8"))
            # JupyterLab's page has no height of its own and clips what is over: axe takes all text for unseen then.
            tab.page.add_style_tag(content="body { min-height: 100vh; }")
        found = tab.page.evaluate("(selector) => axe.run(selector)", selector)
        looked = {one["id"] for one in found["passes"] + found["violations"]}
        assert not colours or "color-contrast" in looked, found["incomplete"]
        return [
            f"{one['impact']} {one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    return findings


@pytest.fixture
def rich(notebook, lab):
    """Return a function that opens a notebook whose cell shows the rich answer."""
    shutil.copy(Path(rich_answer.__file__), lab.root)
    return lambda arguments="", **size: notebook(
        f"import nbstream, rich_answer\nnbstream.show(rich_answer.answer({arguments}))", **size
    )


def change_theme(tab, theme):
    """Change it, and wait until JupyterLab has taken away what it lays over the page meanwhile."""
    tab.command("apputils:change-theme", {"theme": theme})
    light = str(theme == THEMES[0]).lower()
    changed = f"() => document.body.dataset.jpThemeLight === '{light}' && !document.getElementById('jupyterlab-splash')"
    wait_for(theme, lambda: tab.page.evaluate(changed))


def announced(tab):
    """Return what was last spoken."""
    return tab.page.locator(".nbstream-said").text_content()


def test_axe_finds_nothing_serious(rich, axe):
    """A failed answer with something of every kind, unfolded, in light and dark, wide and narrow."""
    tab = rich("fails='the model is overloaded'")
    tab.run(1)
    tab.wait_stream("the end", state("failed"))
    # But for the long result: axe gives up on text that is far outside of its box, and with it on all colours.
    folded = ".nbstream details:not([data-status=failed])"
    tab.page.evaluate("(folded) => document.querySelectorAll(folded).forEach((one) => (one.open = true))", folded)
    for theme in THEMES:
        change_theme(tab, theme)
        assert axe(tab, ".nbstream") == [], theme
        if folder := os.environ.get("NBSTREAM_SCREENSHOTS"):
            for width, height in ((1100, 2600), (640, 3000)):
                tab.page.set_viewport_size({"width": width, "height": height})
                tab.page.locator(".nbstream").screenshot(path=f"{folder}/{theme.split()[1]}-{width}.png")
    code = tab.page.locator(".nbstream-text pre")
    tab.page.set_viewport_size({"width": 1400, "height": 2600})
    wait_for("no stop at narrow code", lambda: code.get_attribute("tabindex") is None)
    tab.page.set_viewport_size({"width": 560, "height": 2600})
    wait_for("a stop at wide code", lambda: code.get_attribute("tabindex") == "0")
    assert axe(tab, ".nbstream", colours=False) == [], "narrow"  # the end of a wide line stops axe too
    inner = tab.page.locator(".nbstream").evaluate("(el) => [el.scrollWidth, el.clientWidth]")
    assert inner[0] <= inner[1]
    link = tab.page.locator(".nbstream-text a").first
    assert "underline" in link.evaluate("(el) => getComputedStyle(el).textDecoration")


def test_axe_finds_nothing_serious_in_a_team(notebook, axe):
    """Seven agents, all but one folded, in light and dark; the narrow page has them below each other."""
    tab = notebook("""\
import nbstream
def fails():
    yield "half"
    raise RuntimeError("the tool is gone")
team = {f"agent{n}": iter([f"# Title {n}\\n\\n", "A line.\\n\\n", "Another one."]) for n in range(6)}
stream = nbstream.show(nbstream.merge(team, limit=7, tool=fails(), parents={"tool": "agent1"}))""")
    tab.page.mouse.move(0, 0)
    tab.run(1)
    tab.wait_stream("the end", state("failed"))
    wait_for("all folded", lambda: tab.page.locator(".nbstream-pane[data-folded]").count() == 7)
    unfold = tab.page.get_by_role("button", name="agent3: its text")
    unfold.focus()
    tab.page.keyboard.press("Enter")
    assert unfold.get_attribute("aria-expanded") == "true"
    for theme in THEMES:
        change_theme(tab, theme)
        assert axe(tab, ".nbstream") == [], theme
        if folder := os.environ.get("NBSTREAM_SCREENSHOTS"):
            for width, height in ((1600, 1000), (1100, 1200), (640, 1800)):
                tab.page.set_viewport_size({"width": width, "height": height})
                tab.page.locator(".nbstream").screenshot(path=f"{folder}/team-{theme.split()[1]}-{width}.png")
    tab.page.set_viewport_size({"width": 560, "height": 1800})
    lefts = """() => [...document.querySelectorAll('.nbstream-pane')].map((one) => one.getBoundingClientRect().left)"""
    wait_for("one column", lambda: len(set(tab.page.evaluate(lefts))) == 1)
    inner = tab.page.locator(".nbstream").evaluate("(el) => [el.scrollWidth, el.clientWidth]")
    assert inner[0] <= inner[1]
    assert not tab.errors


def test_stop_by_the_keyboard_alone(notebook, demo):
    """Tab reaches Stop, Enter stops, the focus stays in the answer, and keys pressed there leave the notebook alone."""
    tab = notebook(ask(demo, tokens=1500))
    tab.run(1)
    tab.wait_stream("text", at_least(200))
    tab.page.locator(".jp-Cell.jp-mod-active").focus()
    for _ in range(12):
        tab.page.keyboard.press("Tab")
        if tab.page.evaluate(FOCUSED) == "Stop":
            break
    assert tab.page.evaluate(FOCUSED) == "Stop"
    tab.page.keyboard.press("Enter")
    tab.wait_stream("the stop", state("stopped"))
    assert tab.page.evaluate(FOCUSED) == "Copy"
    assert "stopped by you" in announced(tab)

    cells = tab.page.evaluate(CELLS)
    for key in ("d", "d", "b", "x", "Shift+d", "Shift+Enter", "Control+Enter"):
        tab.page.keyboard.press(key)
    assert tab.page.evaluate(CELLS) == cells
    assert tab.page.evaluate(FOCUSED) == "Copy"
    view = tab.stream()
    assert (view["state"], len(demo.requests)) == ("stopped", 1)

    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate(FOCUSED) == "Resume"
    tab.page.keyboard.press("Space")
    tab.wait_stream("more text", at_least(int(view["chars"]) + 100))
    assert len(demo.requests) == 2
    assert not tab.errors


def test_stop_stays_under_the_mouse(notebook, demo):
    """While text grows Stop does not move, and a second click there does not resume what the first one stopped."""
    tab = notebook(ask(demo, tokens=1500))
    tab.run(1)
    tab.wait_stream("the first text", at_least(1))
    places = tab.page.evaluate(
        """async () => {
          const stop = [...document.querySelectorAll('.nbstream button')].find((one) => one.textContent === 'Stop');
          const chars = () => Number(document.querySelector('.nbstream').dataset.chars);
          const places = new Set();
          for (const until = chars() + 600; chars() < until; ) {
            const {left, top, width} = stop.getBoundingClientRect();
            places.add(`${left} ${top} ${width}`);
            await new Promise(requestAnimationFrame);
          }
          return [...places];
        }"""
    )
    assert len(places) == 1
    left, top, width = map(float, places[0].split())
    tab.page.mouse.move(left + width / 2, top + 8)
    # Clicks follow each other as fast as they can, until one comes behind the news that it is stopped.
    stopped = False
    while not stopped:
        stopped = state("stopped")(tab.stream())
        tab.page.mouse.down()
        tab.page.mouse.up()
    view = tab.wait_stream("the stop", state("stopped"))
    assert view["buttons"] == ["Copy", "Resume", "Regenerate"]
    assert (len(demo.requests), demo.open_connections) == (1, 0)


def test_a_copy_that_fails_says_so(notebook, demo):
    """In words for who listens, by a sign for who looks; one that works as well."""
    tab = notebook(ask(demo, tokens=20))
    tab.run(1)
    tab.wait_stream("the end", state("complete"))
    tab.press("Copy")
    wait_for("the words", lambda: announced(tab).startswith("Copied"))
    tab.page.evaluate(
        """() => {
          navigator.clipboard.writeText = navigator.clipboard.write = () => Promise.reject(new Error('denied'));
          document.execCommand = () => false;
        }"""
    )
    tab.press("Copy")
    wait_for("the words", lambda: "browser did not let it" in announced(tab))
    assert tab.page.locator(".nbstream button[data-failed]").text_content() == "Copy"
    assert not tab.errors
