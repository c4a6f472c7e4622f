"""Several agents in one cell: each with a pane of its own, its state, its buttons; twenty at once, and in turns."""

import contextlib
import json
import time
from statistics import median

import pytest
from cells import state
from lab import wait_for

from nbstream.demo import DemoModel
from nbstream.log.disk import open_disk_store
from nbstream.testing import Answer, FaultServer, Gate

#: What each agent says, in ten events.
WORDS = {name: [f"{name}{number} 🧵 " for number in range(10)] for name in ("planner", "writer", "critic")}
AGENTS, RATE = 20, 50
#: What is promised of an idle machine; on a busy one a test asks for a tenth of it.
MESSAGES_S, LONGEST_MS, MARGIN = 100, 200, 10
#: Text that is recorded and not painted may be so old.
BEHIND_S = 1

LANES = """() => Object.fromEntries([...document.querySelectorAll('.nbstream-lane')].map((lane) => {
  const pane = lane.closest('.nbstream-pane');
  return [lane.dataset.agent, {
    state: lane.dataset.state,
    text: [...lane.querySelectorAll('.nbstream-text')].map((text) => text.textContent).join(''),
    line: pane.querySelector('.nbstream-agent-state').textContent,
    buttons: [...pane.querySelectorAll('.nbstream-agent-actions button:not([hidden])')].map((one) => one.textContent),
    folded: pane.querySelector('.nbstream-fold').getAttribute('aria-expanded') === 'false',
    of: pane.querySelector('.nbstream-of').textContent,
  }];
}))"""
LONG_TASKS = """() => {
  window.longTasks = [];
  new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({type: 'longtask'});
}"""


def lanes(tab):
    """Agent -> what its pane shows, in the order of the page."""
    return tab.page.evaluate(LANES)


def press(tab, agent, button):
    """Click a button of one agent."""
    tab.page.get_by_role("button", name=f"{agent}: {button}", exact=True).click()


class Agents:
    """Serves the agents; *held* stand still behind their fifth event until their gate is open."""

    def __init__(self, server, *held):
        self.server = server
        self.gates = {name: Gate() for name in held}
        server.script([], otherwise=self._answer)

    def _answer(self, request):
        name = request.path.strip("/")
        first, gate = int(request.last_event_id or 0), self.gates.get(name)
        frames = [
            f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"
            for number, text in enumerate(WORDS[name], 1)
        ]
        held = [gate] if gate is not None and first < 5 else []
        return Answer.sse(*frames[first:5], *held, *frames[max(first, 5) :], "event: done\ndata: {}\n\n")

    def asked(self, name):
        """Return what each call of an agent was asked to go on behind."""
        return [one.last_event_id for one in self.server.requests if one.path == f"/{name}"]


@pytest.fixture
def server():
    """Return a server for agents."""
    with FaultServer() as server:
        yield server


def test_each_agent_stands_for_itself(notebook, server):
    """Text, state, line and buttons are each agent's own; Stop and Resume of one leave the others alone."""
    agents = Agents(server, "planner", "writer")
    tab = notebook(f"""\
import nbstream
team = {{name: nbstream.sse(f"{server.url}/{{name}}") for name in {list(WORDS)}}}
stream = nbstream.show(nbstream.merge(team, wait_for={{"critic": ["planner"]}}, parents={{"critic": "planner"}}))""")
    tab.run(1)
    half = {name: "".join(words[:5]).strip() for name, words in WORDS.items()}
    shown = wait_for(
        "half of two",
        lambda: (now := lanes(tab)) and all(
            (now[name]["text"], now[name]["state"]) == (half[name], "streaming") for name in agents.gates
        ) and now,
    )  # fmt: skip
    assert shown["critic"]["state"] == "connecting"
    assert shown["critic"]["text"] == ""
    wait_for("for whom it waits", lambda: "waiting for planner" in lanes(tab)["critic"]["line"])
    assert shown["writer"]["buttons"] == ["Copy", "Stop"]

    press(tab, "writer", "Stop")
    shown = wait_for("the stop of one", lambda: (now := lanes(tab))["writer"]["state"] == "stopped" and now)
    assert "stopped by you" in shown["writer"]["line"]
    assert shown["writer"]["buttons"] == ["Copy", "Resume"]
    assert shown["planner"]["state"] == "streaming"
    assert state("streaming")(tab.stream())

    press(tab, "writer", "Resume")
    wait_for("its end", lambda: lanes(tab)["writer"]["state"] == "complete")
    assert agents.asked("writer") == [None, "5"]
    assert (lanes(tab)["planner"]["state"], agents.asked("critic")) == ("streaming", [])
    for gate in agents.gates.values():
        gate.open()
    tab.wait_stream("the end of all", state("complete"))
    shown = lanes(tab)
    assert {name: one["text"] for name, one in shown.items()} == {
        name: "".join(words).strip() for name, words in WORDS.items()
    }
    assert {one["state"] for one in shown.values()} == {"complete"}
    # A child stands behind its parent.
    assert list(shown) == ["planner", "critic", "writer"]
    assert shown["critic"]["of"] == "child of planner"
    assert agents.asked("planner") == [None]

    press(tab, "writer", "Copy")
    clipboard = "navigator.clipboard.readText()"
    wait_for("one agent's text", lambda: tab.page.evaluate(clipboard) == "".join(WORDS["writer"]))
    assert tab.copied().startswith(f"## planner\n\n{WORDS['planner'][0]}")
    assert not tab.errors


@pytest.mark.host("kernel")  # about the page
def test_in_order_and_find(notebook, server):
    """In order, each speaker's name stands before what it says; find looks in all panes, and shows the one it is in."""
    agents = Agents(server, "writer")
    tab = notebook(f"""\
import nbstream
team = {{name: nbstream.sse(f"{server.url}/{{name}}") for name in ("planner", "writer")}}
stream = nbstream.show(nbstream.merge(team, wait_for={{"writer": ["planner"]}}))""")
    tab.run(1)
    wait_for("both", lambda: lanes(tab).get("writer", {}).get("text"))
    tab.press("In order")
    order = tab.page.locator(".nbstream-in-order")
    assert not tab.page.locator(".nbstream-panes").is_visible()
    agents.gates["writer"].open()
    tab.wait_stream("the end", state("complete"))
    said = [f"{name} {''.join(WORDS[name])}".split() for name in ("planner", "writer")]
    stretches = order.locator(".nbstream-stretch")
    wait_for("all of it", lambda: [text.split() for text in stretches.all_inner_texts()] == said)
    order.locator(".nbstream-box").focus()
    tab.page.keyboard.press("Control+f")
    tab.page.get_by_role("searchbox").fill("writer7")
    tab.page.keyboard.press("Enter")
    wait_for("the pane", tab.page.locator(".nbstream-panes").is_visible)
    assert tab.page.locator(".nbstream-found-count").text_content() == "1 of 1"
    found = "() => [...CSS.highlights.get('nbstream-found')].map((one) => one.toString())"
    wait_for("the match", lambda: tab.page.evaluate(found) == ["writer7"])
    assert not tab.errors


@pytest.mark.host("kernel")  # about the page
def test_a_frame_that_comes_late_stands_at_its_gap(notebook, server):
    """What is missing is named; when it comes it is shown and copied at its place, and the gap is named no more."""

    def frame(agent, sequence, content):
        said = {"type": "agent_output", "agent": agent, "content": content, "sequence": sequence}
        return f"data: {json.dumps(said)}\n\n"

    gate = Gate()
    frames = [frame("a", 1, "one "), frame("b", 1, "other"), frame("a", 3, "three "), gate, frame("a", 2, "two ")]
    server.script([Answer.sse(*frames, frame("a", 4, "four"), "event: done\ndata: {}\n\n")])
    tab = notebook(f"import nbstream\nstream = nbstream.show(nbstream.sse({server.url!r}, method='POST', json={{}}))")
    tab.run(1)
    gap = tab.page.locator(".nbstream-gap")
    wait_for("the gap", lambda: gap.count() == 1 and gap.is_visible())
    assert lanes(tab)["a"]["text"].split() == ["onethree"]
    gate.open()
    tab.wait_stream("the end", state("complete"))
    assert not gap.is_visible()
    assert tab.page.locator(".nbstream-lane[data-agent=a] .nbstream-text").all_inner_texts() == [
        "one",
        "two",
        "three four",
    ]
    assert tab.copied() == "## a\n\none two three four\n\n## b\n\nother"
    assert {name: one["buttons"] for name, one in lanes(tab).items()} == {"a": ["Copy"], "b": ["Copy"]}
    assert not tab.errors


class Messages:
    """When messages came on the kernel's websocket."""

    def __init__(self):
        self.times = []

    def watch(self, context):
        """Begin with the first page."""
        context.on("page", lambda page: page.on("websocket", self._listen))

    def _listen(self, socket):
        if "/channels" in socket.url:
            socket.on("framereceived", lambda _: self.times.append(time.monotonic()))

    def most(self):
        """Return the most that came within a second."""
        return max(sum(1 for one in self.times if 0 <= one - at < 1) for at in self.times)


@pytest.mark.host("kernel")  # about the page
@pytest.mark.parametrize("limit", [AGENTS, 4])
def test_twenty_agents(notebook, demo, lab, soak, limit):
    """Twenty of 50 tokens/s: few messages, no growing lag, all text right; no more at a time than the limit."""
    tokens = (1000 if soak else 200) // (AGENTS // limit)
    messages = Messages()
    tab = notebook(f"""\
import nbstream
how = {{"model": "demo", "base_url": "{demo.url}/v1", "max_tokens": {tokens}, "tokens_per_s": {RATE}}}
team = {{f"agent{{n}}": nbstream.chat(f"part {{n}}", **how) for n in range({AGENTS})}}
stream = nbstream.show(nbstream.merge(team, limit={limit}))""", prepare=messages.watch)  # fmt: skip
    tab.page.evaluate(LONG_TASKS)
    messages.times.clear()
    tab.run(1)
    first = tab.wait_stream("the first text", lambda view: int(view["chars"]) > 0)
    began, at_once, waiting, behind = time.monotonic(), [], False, []
    with contextlib.closing(open_disk_store(lab.store / "store")) as store:
        while (view := tab.stream())["state"] != "complete" and time.monotonic() - began < 60:
            now = lanes(tab).values()
            at_once.append(sum(one["state"] == "streaming" for one in now))
            waiting = waiting or any("waiting for a slot" in one["line"] for one in now)
            store_tail = store.status(first["stream"]).tail
            behind.append(max(0, store_tail - int(view["offset"])))
            tab.page.wait_for_timeout(100)
    longest = max(tab.page.evaluate("longTasks"), default=0)
    print(f"{messages.most()} messages/s at most, {max(at_once)} at once, longest task {longest:.0f} ms, "
          f"{time.monotonic() - began:.1f} s")  # fmt: skip
    third = len(behind) // 3
    early, late = median(behind[:third]), median(behind[-third:])
    records_s = store_tail / (time.monotonic() - began)
    print(f"records behind: {early:g} early, {late:g} late, of {records_s:.0f} a second")
    assert late < early + BEHIND_S * records_s
    assert messages.most() < MESSAGES_S
    assert longest < LONGEST_MS * MARGIN
    assert 1 < max(at_once) <= limit
    assert waiting is (limit < AGENTS)
    said = {f"agent{n}": DemoModel(0).text(f"part {n}", max_tokens=tokens) for n in range(AGENTS)}
    assert tab.copied() == "\n\n".join(f"## {name}\n\n{text}" for name, text in said.items())

    # Those at rest are folded, unless somebody looks into one.
    tab.page.mouse.move(0, 0)
    wait_for("all folded", lambda: all(one["folded"] for one in lanes(tab).values()))
    tab.page.get_by_role("button", name="agent3: its text").click()
    tab.page.mouse.move(0, 0)
    assert [name for name, one in lanes(tab).items() if not one["folded"]] == ["agent3"]
    last = said["agent3"].split()[-1]
    assert last in tab.page.locator(".nbstream-lane[data-agent=agent3]").inner_text()
    assert not tab.errors
