"""The line above the answer holds still: its height while text streams, and the places of what is always there."""

import re

import pytest
from cells import answer, ask, at_least, state, whole
from lab import wait_for

#: At rest a line may say more than fits.
LONG = re.compile("saved at|resumed")
#: In every frame: how high the bar is, and where the left edge of each button is, the pager's from the right.
WATCH = """() => {
  window.seen = [];
  const look = () => {
    const root = document.querySelector('.nbstream');
    const bar = root?.querySelector('.nbstream-bar');
    if (bar) {
      const at = bar.getBoundingClientRect();
      const places = {};
      for (const el of bar.querySelectorAll('button')) {
        const {left, right, width} = el.getBoundingClientRect();
        const place = el.closest('.nbstream-views') ? at.right - right : left - at.left;
        if (width) places[el.ariaLabel ?? el.textContent] = Math.round(place);
      }
      const line = bar.querySelector('.nbstream-state');
      seen.push({state: root.dataset.state, height: Math.round(at.height), line: line.textContent,
        places, pager: 'Later answer' in places});
    }
    requestAnimationFrame(look);
  };
  look();
}"""


def watched(tab, *states):
    """What was seen in these states, all if none is named."""
    return [one for one in tab.page.evaluate("seen") if one["state"] in states or not states]


def heights(seen):
    """State, and whether there is a pager -> the heights."""
    found = {}
    for one in seen:
        found.setdefault((one["state"], one["pager"]), set()).add(one["height"])
    return found


@pytest.mark.host("kernel")  # about the page
@pytest.mark.parametrize("width", [1100, 1600, 480])
def test_the_bar_holds_still_through_a_life(notebook, demo, width):
    """Streaming, stopped, resumed, complete, regenerated, turned back: one height, and nothing constant moves."""
    tab = notebook(ask(demo, tokens=200), width=width)
    if width < 600:
        tab.command("application:toggle-left-area")
    tab.page.evaluate(WATCH)
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    tab.press("Stop")
    tab.wait_stream("the stop", state("stopped"))
    tab.press("Resume")
    tab.wait_stream("the end", whole(answer(tokens=200)))
    assert tab.copied() == answer(tokens=200)
    wait_for("the sign", lambda: tab.page.locator(".nbstream button[data-done]").count() == 1)
    tab.press("Regenerate")
    tab.wait_stream("the new answer", lambda view: at_least(100)(view) and view["state"] == "streaming")
    tab.wait_stream("its end", whole(answer(tokens=200)))
    tab.page.get_by_role("button", name="Earlier answer").click()
    tab.wait_stream("the old one", lambda view: view["buttons"] == ["Copy"])
    seen = watched(tab)
    for name in ("Copy", "Stop", "Earlier answer", "Later answer"):
        assert len({one["places"][name] for one in seen if name in one["places"]}) == 1, name
    assert all("Copy" in one["places"] for one in seen if one["state"] != "connecting")
    # What is said at rest breaks where it is too long; a second answer may bring a line of its own.
    still = ("connecting", "streaming", "stopped", "complete") if width >= 1100 else ("streaming",)
    for pager in (False, True):
        usual = [
            one for one in seen if one["state"] in still and one["pager"] == pager and not LONG.search(one["line"])
        ]
        assert {one["state"] for one in usual} >= {"streaming"}
        assert len({one["height"] for one in usual}) == 1, heights(seen)
    assert not tab.errors


@pytest.mark.host("kernel")  # about the page
def test_the_bar_of_a_team_holds_still(notebook, demo):
    """While six agents stream, one after the other ends, and when all have: one height; Stop does not move."""
    chat = f"nbstream.chat('rivers', base_url='{demo.url}/v1', model='demo', tokens_per_s=100, max_tokens=40 * (n + 2))"
    tab = notebook(
        f"import nbstream\nteam = {{f'agent{{n}}': {chat} for n in range(6)}}\ns = nbstream.show(nbstream.merge(team))"
    )
    tab.page.evaluate(WATCH)
    tab.run(1)
    tab.wait_stream("the end", state("complete"))
    wait_for("a look at the end", lambda: watched(tab, "complete"))
    seen = [one for one in watched(tab, "streaming", "complete") if "In order" in one["places"]]
    assert {one["state"] for one in seen} == {"streaming", "complete"}
    assert len({one["height"] for one in seen}) == 1, heights(seen)
    stops = {one["places"]["Stop"] for one in watched(tab) if "Stop" in one["places"]}
    assert len(stops) == 1
    tab.press("In order")
    assert tab.page.locator(".nbstream-bar").evaluate("(el) => el.offsetHeight") == seen[0]["height"]
    # No border is cut off: what scrolls or clips around the answer has all of it.
    clipped = """() => {
      const pane = [...document.querySelectorAll('.nbstream-pane')].at(-1);
      const {left, right} = document.querySelector('.nbstream-panes').getBoundingClientRect();
      for (let el = pane; (el = el.parentElement); ) {
        if (getComputedStyle(el).overflowX === 'visible') continue;
        const at = el.getBoundingClientRect();
        if (left < at.left + el.clientLeft || right > at.left + el.clientLeft + el.clientWidth) return el.className;
      }
      return '';
    }"""
    tab.press("Side by side")
    assert tab.page.evaluate(clipped) == ""
    assert not tab.errors
