"""What a member of a team and the agents inside it are called."""

import random

from recording import Recording, run

import nbstream
from nbstream.log.readback import parts_of
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End
from nbstream.testing import ScriptedSource
from nbstream.transcript import Transcript

END = End()


def recorded(**agents):
    """Return the record of a team, with the names and texts of all that spoke."""

    async def main():
        team = nbstream.merge(agents)
        stream = Recording(spec=dict(team.spec)).start(team)
        await stream
        return stream, {part.agent: stream.text_of("text", part.agent) for part in parts_of(stream.log)}

    return run(main())


def test_an_inner_agent_of_the_members_own_name_is_another_one(seed):
    """P1: frames of `assistant` and of `planner` inside a member `planner`, each counted from 1, are all kept."""
    chance = random.Random(seed)
    left = {agent: [f"{agent[0]}{number} " for number in range(1, 9)] for agent in ("assistant", "planner", "other")}
    told = {agent: "".join(texts) for agent, texts in left.items()}
    frames = []
    while any(left.values()):
        agent = chance.choice([agent for agent, texts in left.items() if texts])
        text = left[agent].pop(0)
        frames.append(Arrival((Part("text", text, agent),), number=8 - len(left[agent])))
    _, texts = recorded(planner=ScriptedSource([*frames, END]))
    assert texts == {
        "planner": told["assistant"], "planner/planner": told["planner"], "planner/other": told["other"],
    }  # fmt: skip


def test_a_parent_inside_a_member_is_its_own_agent():
    """A child that names its parent means the one beside it, not a member of the team with that name."""
    inner = [
        Part("agent_start", agent="planner", fields={"name": "planner", "parent": "assistant"}),
        Part("agent_start", agent="reporter", fields={"name": "reporter", "parent": "planner"}),
        Part("text", "r", "reporter"),
        Part("agent_end", agent="reporter", fields={"status": "complete"}),
        END,
    ]
    stream, _ = recorded(planner=ScriptedSource(["I am another", END]), graph=ScriptedSource(inner))
    transcript = Transcript()
    transcript.add(stream.records)
    parents = {name: agent.parent for name, agent in transcript.agents.items()}
    assert parents == {"planner": None, "graph": None, "graph/planner": "graph", "graph/reporter": "graph/planner"}
