"""
A hand-off of the OpenAI Agents SDK: triage calls a tool and hands over to the pilot. Runs offline.

Put your own agents in place of these; what `stream_events()` yields goes to nbstream as it is.
"""

import json
import time

from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.models.interface import Model
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
)

import nbstream


class Scripted(Model):
    """Stands in for a model: says each of *turns* in its turn, word by word; a dict is a call of a tool."""

    def __init__(self, *turns):
        self._turns = iter(turns)

    async def get_response(self, *args, **kwargs):
        """Answer at once; nobody asks for that here."""
        raise NotImplementedError

    async def stream_response(self, *args, **kwargs):  # noqa: ARG002 - the script knows its answer
        """Answer in the events of the Responses API."""
        said, number, output = next(self._turns), 0, []
        for index, one in enumerate(said):
            if isinstance(one, dict):
                (name, arguments), call = next(iter(one.items())), f"call-{time.monotonic_ns()}"
                item = ResponseFunctionToolCall(
                    type="function_call",
                    name=name,
                    call_id=call,
                    id=call,
                    arguments=json.dumps(arguments, ensure_ascii=False),
                )
            else:
                for word in one.split(" "):
                    number += 1
                    yield ResponseTextDeltaEvent(
                        type="response.output_text.delta", delta=f"{word} ", item_id="m", output_index=index,
                        content_index=0, sequence_number=number, logprobs=[],
                    )  # fmt: skip
                text = ResponseOutputText(type="output_text", text=one, annotations=[])
                item = ResponseOutputMessage(
                    id="m", type="message", role="assistant", status="completed", content=[text]
                )
            output.append(item)
            number += 1
            yield ResponseOutputItemDoneEvent(
                type="response.output_item.done", item=item, output_index=index, sequence_number=number
            )
        response = Response(
            id="r", created_at=0, model="scripted", object="response", output=output, tool_choice="auto", tools=[],
            parallel_tool_calls=False,
        )  # fmt: skip
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=number + 1)


@function_tool
def tide(harbour: str) -> str:
    """Return the tide of a harbour."""
    return f"high in {harbour}"


async def ferry():
    """Run the team once."""
    set_tracing_disabled(True)
    pilot = Agent("pilot", model=Scripted(["The ferry leaves at nine."]))
    asks, hands_over = ["I look at the tide.", {"tide": {"harbour": "Zürich"}}], [{"transfer_to_pilot": {}}]
    triage = Agent("triage", model=Scripted(asks, hands_over), tools=[tide], handoffs=[pilot])
    async for event in Runner.run_streamed(triage, "When does the ferry leave?").stream_events():
        yield event


if __name__ == "__main__":
    stream = nbstream.start(ferry)
    stream.wait()
    for agent in stream.agents.values():
        print(f"{agent.name}: {agent.text.strip()}")
        for call in agent.tool_calls:
            print(f"{agent.name} called {call['name']} with {call['arguments']}")
    print(stream.state)
