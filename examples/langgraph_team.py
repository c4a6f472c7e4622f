"""
A LangGraph team: a planner, then a reporter in a subgraph, each in a lane of its own. Runs offline.

In a notebook `nbstream.show(team)` instead of `start`. The factory is called when the stream starts, so that running
the cell again while it streams attaches to it and starts no second run.
"""

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph

import nbstream


def model(answer):
    """Return a model that streams *answer*, word by word; put your own here."""
    return GenericFakeChatModel(messages=iter([AIMessage(answer)]))


def graph():
    """Return the team."""
    plans, reports = model("First the harbour, then the pears."), model("The harbour is quiet, and the pears are ripe.")

    async def planner(state):
        return {"messages": [await plans.ainvoke(state["messages"])]}

    async def reporter(state):
        return {"messages": [await reports.ainvoke(state["messages"])]}

    newsroom = StateGraph(MessagesState).add_node("reporter", reporter).add_edge(START, "reporter").compile()
    team = StateGraph(MessagesState).add_node("planner", planner).add_node("newsroom", newsroom)
    return team.add_edge(START, "planner").add_edge("planner", "newsroom").compile()


async def team():
    """Run the team once; nbstream takes what the graph streams as it is."""
    question = {"messages": [HumanMessage("What is new on the island?")]}
    async for item in graph().astream(question, stream_mode=["messages", "updates"], subgraphs=True):
        yield item


if __name__ == "__main__":
    stream = nbstream.start(team)
    stream.wait()
    for agent in stream.agents.values():
        print(f"{agent.name}: {agent.text}")
    print(stream.state)
