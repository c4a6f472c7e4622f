"""
An agent of Pydantic AI behind AG-UI, on a server of its own, with a tool call. Runs offline.

The server is what `AGUIAdapter` makes of any agent; nbstream only needs its address.
"""

import contextlib
import socket
import threading

import uvicorn
from pydantic_ai import Agent
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.routing import Route

import nbstream


async def answer(messages, info):  # noqa: ARG001 - as a model is asked
    """Stand in for a model: ask for the weather, then tell it."""
    if len(messages) == 1:
        yield "I look. "
        yield {0: DeltaToolCall(name="weather", json_args='{"city": "Zü', tool_call_id="call-1")}
        yield {0: DeltaToolCall(json_args='rich"}')}
    else:
        yield "It is "
        yield "windy in Zürich."


agent = Agent(FunctionModel(stream_function=answer))


@agent.tool_plain
def weather(city: str) -> str:
    """Return the weather of *city*."""
    return f"windy in {city}"


async def run(request):
    """Serve one AG-UI run."""
    return await AGUIAdapter.dispatch_request(request, agent=agent)


@contextlib.contextmanager
def serving():
    """Serve the agent on a free port while the context lasts; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=[Route("/", run, methods=["POST"])]), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


QUESTION = {
    "threadId": "thread-1", "runId": "run-1", "state": {}, "tools": [], "context": [], "forwardedProps": {},
    "messages": [{"id": "m1", "role": "user", "content": "How is the weather in Zürich?"}],
}  # fmt: skip

if __name__ == "__main__":
    with serving() as url:
        stream = nbstream.start(nbstream.sse(url, method="POST", json=QUESTION, format="agui"))
        stream.wait()
    print(stream.text)
    for call in stream.tool_calls:
        print(f"called {call['name']} with {call['arguments']}")
    print(stream.state)
