"""A kernel, or a relay with it, killed while five agents speak: nothing lost, nothing doubled, in any lane."""

import random
import time

from questions import native, read_lanes, wait_until

AGENTS = ("one", "two", "three", "four", "five")


def five(choose, demo):
    """Return five questions, and the cell that asks them as one team."""
    asked = {}
    for name in AGENTS:
        tokens, speed = choose.randint(60, 150), choose.choice((100, 300))
        asked[name] = native(demo, f"{name} {choose.random()}", tokens=tokens, speed=speed)
    team = ", ".join(f"{name}=nbstream.sse({question.url!r})" for name, question in asked.items())
    return asked, f"nbstream.show(nbstream.merge({team}))"


def shown(page, agent):
    """What a page shows of one agent."""
    return page.lanes.get(page.stream, {}).get((agent, "text"), "")


def any_moment(choose, run):
    """Wait for a random moment in the life of a team's stream; return the page."""
    wait_until(lambda: run.pages and run.pages[0].stream, "the stream to be shown")
    page, goal = run.page, choose.randint(0, 1500)
    wait_until(lambda: sum(len(shown(page, name)) for name in AGENTS) >= goal or page.shows == "complete", "text", 30)
    time.sleep(choose.choice((0, choose.uniform(0, 0.1))))
    return page


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
        lanes = read_lanes(store, page.stream)
        assert not page.contradictions
        behind = {}
        for name, question in asked.items():
            said = lanes.text(name)
            assert said.startswith(shown(page, name)), name
            assert question.text.startswith(said), name
            over = lanes.ended(name) == "complete" or lanes.status.state == "complete"
            behind[name] = [] if over else [lanes.last_event_id(name)]
        kernel = successor.load()
        again = kernel.execute(cell, f"team-{number}").page
        again.wait_state("complete")
        assert (again.stream, again.contradictions) == (page.stream, [])
        lanes = read_lanes(store, page.stream)
        for name, question in asked.items():
            assert shown(again, name) == lanes.text(name) == question.text
            # Killed before its first call, or behind it.
            assert question.asked() in (behind[name], [None, *behind[name]]), name
        print(f"kill {number + 1}: called again behind {behind}")


def test_a_stopped_agent_of_a_dead_kernel_stays_stopped(kernels, store, demo):
    """One is stopped, its kernel is killed: the cell run again resumes the others, and never that one."""
    asked, cell = five(random.Random(0), demo)
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
