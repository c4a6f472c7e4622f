"""The stream of a team, recorded in a test's own time."""

import asyncio

from recording import Recording

import nbstream
from nbstream.errors import SourceLost, SourceRefused
from nbstream.log.readback import parts_of
from nbstream.recorder.plan import plan
from nbstream.recorder.progress import Progress
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End

END = End()
CUT = SourceLost("the connection was reset")
NO = SourceRefused("no such model", status=404)


def event(number, text):
    """A text event with an id."""
    return Arrival((Part("text", text),), {"id": str(number), "first": "1"}, event_id=str(number))


class Team(Recording):
    """The stream of a team, recorded in a test's own time."""

    def __init__(self, rules=None, log=None, **agents):
        self.team = nbstream.merge(agents, **(rules or {}))
        super().__init__(spec=dict(self.team.spec), log=log)

    def start(self, **options):
        return super().start(self.team, **options)

    def resume(self, agent=None, **agents):
        """Go on as a new process would, with these sources: as the table in `plan.py` says."""
        self.team = self.team.of_agents({**self.team.agents, **agents})
        status = self.store.status("s1")
        who = plan(
            self.team, Progress.of(self.log), agent=agent, was_stopped=status.state == "stopped",
            stopped=lambda name: self.store.stop_requested("s1", opened=status.opened, agent=name),
        )  # fmt: skip
        return super().resume(self.team, plan=who)

    async def dies(self):
        """Let its process die: nothing is said any more."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def state_of(self, agent):
        return self.recorder.agents[agent].live.state

    def marks(self, kind):
        return [(part.agent, dict(part.fields or {})) for part in parts_of(self.log) if part.kind == kind]

    @property
    def ends(self):
        """Agent -> how it ended last."""
        return {agent: fields["status"] for agent, fields in self.marks("agent_end")}
