"""A kernel, or a relay with it, killed while five agents speak: nothing lost, nothing doubled, in any lane."""

import random
import time

import pytest
from questions import native, read_lanes, wait_until

AGENTS = ("one", "two", "three", "four", "five")


def five(choose, demo, *, long=False):
    """Return five questions, and the cell that asks them as one team; *long*: nobody is through within 5 s."""
    asked = {}
    for name in AGENTS:
        tokens, speed = (500, 100) if long else (choose.randint(60, 150), choose.choice((100, 300)))
        asked[name] = native(demo, f"{name} {choose.random()}", tokens=tokens, speed=speed)
    team = ", ".join(f"{name}=nbstream.sse({question.url!r})" for name, question in asked.items())
    return asked, f"nbstream.show(nbstream.merge({team}))"


def shown(page, agent):
    """What a page shows of one agent."""
    return page.lanes.get(page.stream, {}).get((agent, "text"), "")


def any_moment(choose, run, names=AGENTS, most=1500):
    """Wait for a random moment in the life of a team's stream, of about *most* characters; return the page."""
    wait_until(lambda: run.pages and run.pages[0].stream, "the stream to be shown")
    page, goal = run.page, choose.randint(0, most)
    wait_until(lambda: sum(len(shown(page, name)) for name in names) >= goal or page.shows == "complete", "text", 30)
    time.sleep(choose.choice((0, choose.uniform(0, 0.1))))
    return page


def check_cut(page, lanes, asked):
    """Nothing that was shown is missing, in any lane; return what each agent must be asked with when it goes on."""
    assert not page.contradictions
    behind = {}
    for name, question in asked.items():
        said = lanes.text(name)
        assert said.startswith(shown(page, name)), name
        assert question.text.startswith(said), name
        over = lanes.ended(name) == "complete" or lanes.status.state == "complete"
        behind[name] = [] if over else [lanes.last_event_id(name)]
    return behind


def check_whole(page, lanes, asked, behind):
    """Every lane is whole, and nobody was asked but those who were not complete, behind their last record."""
    assert page.contradictions == []
    for name, question in asked.items():
        assert shown(page, name) == lanes.text(name) == question.text, name
        # Killed before its first call, or behind it.
        assert question.asked() in (behind[name], [None, *behind[name]]), name


def test_five_agents_killed_at_random_moments(kernels, store, demo, soak, seed):
    """
    SIGKILL at random moments (3 times, soak: 50): what was shown is a prefix of each lane, and each lane goes on.

    Whoever was complete is not asked again; whoever was not is asked behind its last record.
    """
    choose = random.Random(seed)
    kernel = kernels.start().load()
    for number in range(50 if soak else 3):
        asked, cell = five(choose, demo)
        successor = kernels.start()
        page = any_moment(choose, kernel.execute(cell, f"team-{number}"))
        kernel.kill()
        behind = check_cut(page, read_lanes(store, page.stream), asked)
        kernel = successor.load()
        again = kernel.execute(cell, f"team-{number}").page
        again.wait_state("complete")
        assert again.stream == page.stream
        check_whole(again, read_lanes(store, page.stream), asked, behind)
        print(f"kill {number + 1}: called again behind {behind}")


def test_a_stopped_agent_of_a_dead_kernel_stays_stopped(kernels, store, demo):
    """One is stopped, its kernel is killed: the cell run again resumes the others, and never that one."""
    asked, cell = five(random.Random(0), demo, long=True)
    kernel = kernels.start().load()
    page = kernel.execute(cell, "team").page
    wait_until(lambda: all(shown(page, name) for name in AGENTS), "all to speak", 30)
    page.press("stop", agent="two")
    wait_until(lambda: page.state.get("agents", {}).get("two") == "stopped", "the stop to be shown", 10)
    kernel.kill()
    before = read_lanes(store, page.stream).text("two")
    again = kernels.start().load().execute(cell, "team").page
    again.wait_state("stopped")
    assert again.state["agents"] == {**dict.fromkeys(AGENTS, "complete"), "two": "stopped"}
    assert shown(again, "two") == before
    assert asked["two"].asked() == [None]
    assert all(shown(again, name) == asked[name].text for name in AGENTS if name != "two")


class Team:
    """Agents of a cell in which some wait for others, for a place, or are spawned; and what each was asked."""

    def __init__(self, choose, demo):
        self.asked = {}
        for name in ("lead", "helper", "reader", "one", "two"):
            tokens, speed = choose.randint(30, 100), choose.choice((100, 300))
            self.asked[name] = native(demo, f"{name} {choose.random()}", tokens=tokens, speed=speed)
        url = {name: repr(question.url) for name, question in self.asked.items()}
        self.cell = f"""
def lead(team):
    team.spawn("helper", nbstream.sse({url["helper"]}), parent="lead")
    return nbstream.sse({url["lead"]})

def reader(team):
    assert team["lead"] and team["one"]
    return nbstream.sse({url["reader"]})

nbstream.show(nbstream.merge(
    lead=nbstream.Agent(lead), reader=nbstream.Agent(reader),
    one=nbstream.sse({url["one"]}), two=nbstream.sse({url["two"]}),
    limit=2, wait_for={{"reader": ["lead", "one"]}},
))"""


@pytest.mark.host("kernel")
def test_agents_that_wait_and_spawn_killed_at_random_moments(kernels, store, demo, soak, seed):
    """
    With `limit`, `wait_for` and a spawned agent, SIGKILL at random moments (3 times, soak: 50): all come to be whole.

    One that was spawned and waited for a place goes on, too, whether its parent had ended or not.
    """
    choose = random.Random(f"{seed} spawn")
    kernel = kernels.start().load()
    for number in range(50 if soak else 3):
        team = Team(choose, demo)
        successor = kernels.start()
        page = any_moment(choose, kernel.execute(team.cell, f"spawn-{number}"), team.asked, most=700)
        kernel.kill()
        lanes = read_lanes(store, page.stream)
        behind = check_cut(page, lanes, team.asked)
        kernel = successor.load()
        again = kernel.execute(team.cell, f"spawn-{number}").page
        again.wait_state("complete")
        assert again.stream == page.stream
        check_whole(again, read_lanes(store, page.stream), team.asked, behind)
        print(f"kill {number + 1}: called again behind {behind}")


def wait_anew(page, old, least):
    """Wait until *least* characters of the agent that is asked anew are shown, in a stream that is not *old*."""
    wait_until(lambda: not least or (page.stream != old and len(shown(page, "two")) >= least), "text asked anew", 30)


def test_killed_while_one_is_asked_anew(kernels, store, demo, soak, seed):
    """
    Regenerate of one agent, SIGKILL at random moments from the press on (3 times, soak: 50).

    Nobody but that agent is ever asked again, and the new stream says of the others what the old one said.
    """
    choose = random.Random(f"{seed} anew")
    kernel = kernels.start().load()
    for number in range(50 if soak else 3):
        asked, cell = five(choose, demo)
        page = kernel.execute(cell, f"anew-{number}").page
        page.wait_state("complete")
        old, whole = page.stream, {name: shown(page, name) for name in AGENTS}
        successor = kernels.start()
        page.press("regenerate", agent="two")
        wait_anew(page, old, choose.choice((0, 0, 1, 50)))
        time.sleep(choose.choice((0, choose.uniform(0, 0.15))))
        kernel.kill()
        kernel = successor.load()
        again = kernel.execute(cell, f"anew-{number}").page
        again.wait_state("complete")
        assert again.contradictions == []
        assert {name: shown(again, name) for name in AGENTS} == whole
        calls = {name: question.asked() for name, question in asked.items()}
        # Once for the cell; of the one that is asked anew once more, and once more where it was cut.
        assert {name: len(calls[name]) for name in AGENTS if name != "two"} == dict.fromkeys(set(AGENTS) - {"two"}, 1)
        assert calls["two"][:2] in ([None], [None, None])
        assert len(calls["two"]) <= 3
        print(f"kill {number + 1}: {'the old' if again.stream == old else 'a new'} stream, asked {calls['two']}")


@pytest.mark.host("kernel")
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_killed_while_the_others_are_taken_over(kernels, store, demo, taken):
    """SIGKILL behind so many records of the others: the cell run again takes over the rest, and asks it alone."""
    asked, cell = five(random.Random(taken), demo)
    kernel, successor = kernels.start().load(), kernels.start()
    page = kernel.execute(cell, "copy").page
    page.wait_state("complete")
    old, whole = page.stream, {name: shown(page, name) for name in AGENTS}
    # What is taken over is appended record by record, all else is submitted.
    kernel.execute(f"""
import os, signal
from nbstream.log.disk_log import DiskLog
append, left = DiskLog.append, iter(range({taken}))

def dies(*args):
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    append(*args)

DiskLog.append = dies""").ok()
    page.press("regenerate", agent="two")
    wait_until(lambda: [one.live for one in store.list()] == [False, False], "the kernel to kill itself", 20)
    kernel.kill()
    new = store.list()[0]
    assert (new.open.parent, new.open.agent, new.tail, new.state) == (old, "two", taken, "interrupted")
    again = successor.load().execute(cell, "copy").page
    again.wait_state("complete")
    assert (again.stream, again.contradictions) == (new.stream, [])
    assert {name: shown(again, name) for name in AGENTS} == whole
    assert {name: question.asked() for name, question in asked.items()} == {
        name: [None, None] if name == "two" else [None] for name in AGENTS
    }  # fmt: skip
