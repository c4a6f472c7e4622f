"""Teams by chance: frames of agents inside agents, in any order, late, doubled, lost, cut, over several processes."""

import random

from recording import run
from teams import CUT, END, Team
from test_ordering import any_events, assembled, frame, marks, named

from nbstream.recorder.progress import Progress
from nbstream.testing import ScriptedSource

RUNS, RUNS_SOAK = 12, 400
#: Calls that are cut; behind those every call is whole, so that each run comes to an end.
CUTS = 4
#: Processes that die at any moment.
DEATHS = 2


class Server:
    """
    What one member's upstream sends: frames of several agents, each with numbers of its own.

    Neighbours may change places, share an id, or be lost for good; pauses are longer and shorter than a hole is waited
    for, calls are cut anywhere, and whoever asks behind an id gets what is behind it.
    """

    def __init__(self, chance):
        self.chance = chance
        self.texts, self.sent = any_events(chance)
        while not self._ends_are_sent():
            self.texts, self.sent = any_events(chance)
        self.cuts = chance.randint(0, CUTS)

    def _ends_are_sent(self):
        # Behind a last frame that shares its id with the one before it, nothing would show that it is missing.
        sent = {(agent, number) for _, (agent, number, _) in self.sent}
        return all((agent, len(said)) in sent for agent, said in self.texts.items())

    def script(self, cursor):
        """Answer one call."""
        chance = self.chance
        behind = int(cursor["id"]) if cursor else 0
        rest = [(at, event) for at, event in self.sent if at > behind]
        cut = self.cuts > 0
        self.cuts -= cut
        for at, (agent, number, text) in rest[: chance.randint(0, len(rest)) if cut else None]:
            for _ in range(chance.choice((1, 1, 1, 2))):
                yield frame(number, text, agent, event_id=at)
        yield CUT if cut else END

    def source(self, clock):
        """Return a source that asks it, with pauses in the time of *clock*."""
        chance = self.chance

        class Slow(ScriptedSource):
            async def connect(self, cursor, pulse):
                async for arrival in super().connect(cursor, pulse):
                    yield arrival
                    if pause := chance.choice((0, 0, 0, 0, 0, 0.1, 0.5, 3)):
                        await clock.sleep(pause)

        return Slow(*[self.script] * 200, replayable=True, clock=clock)


async def to_the_end(stream, chance, deaths):
    """Let time pass until *stream* is complete: processes die, and others go on; return how many there were."""
    for process in range(1, 30):
        lives = chance.randint(1, 40) if process <= deaths else 10_000
        while not stream.task.done() and lives:
            await stream.after(0.5)
            lives -= 1
        if not stream.task.done():
            await stream.dies()
        elif (await stream).how == "complete":
            return process
        stream.resume(**{name: server.source(stream.clock) for name, server in stream.servers.items()})
    raise AssertionError(f"not complete: {stream.close}")


def check(stream):
    """
    What came is shown once, in order; what is not shown is named; the next process counts as the last one did.

    A frame that came behind the end of its process may stay a named gap: nobody sends it again.
    """
    stream.check()
    gaps = named(stream)
    for name, server in stream.servers.items():
        came = {(agent, number) for _, (agent, number, _) in server.sent}
        for agent, said in server.texts.items():
            lane = f"{name}/{agent}"
            there = max((number for who, number in came if who == agent), default=0)
            text = [said[number - 1] for number in range(1, there + 1) if (lane, number) not in gaps]
            assert assembled(stream, lane) == "".join(text), lane
            missing = {(lane, number) for number in range(1, there + 1) if (agent, number) not in came}
            assert missing <= gaps, lane
    progress, live = Progress.of(stream.log), stream.recorder.progress
    assert (progress.lengths, progress.sequences, progress.voices) == (live.lengths, live.sequences, live.voices)
    return len(gaps), len(marks(stream, "late"))


class Stream(Team):
    """A team of servers."""

    def __init__(self, servers, rules):
        self.servers = servers
        super().__init__(rules, **{name: ScriptedSource() for name in servers})
        self.team = self.team.of_agents({name: server.source(self.clock) for name, server in servers.items()})


def test_any_order_any_loss_any_death(seed, soak):
    """
    Members whose frames name agents inside them, numbered each from 1, with every fault at once (12 runs, soak: 400).

    Each lane is exact to the frame, in every process; nothing is shown twice, and nothing is missing without a name.
    """
    totals = [0, 0, 0]
    for number in range(RUNS_SOAK if soak else RUNS):
        chance = random.Random(f"{seed} {number}")
        rules = chance.choice(({}, {"limit": 1}, {"limit": 2}, {"wait_for": {"b": ["a"]}}))
        servers = {name: Server(chance) for name in "abc"[: chance.randint(2, 3)]}

        async def main(chance=chance, rules=rules, servers=servers):
            stream = Stream(servers, rules).start()
            processes = await to_the_end(stream, chance, chance.randint(0, DEATHS))
            return (processes, *check(stream))

        print(f"run {number}")
        totals = [total + one for total, one in zip(totals, run(main(), 60), strict=True)]
    print("processes, gaps, late:", totals)
