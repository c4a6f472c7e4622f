"""
The SDKs themselves, driven against a server of ours: what they yield comes out on a `Stream`, whole and once.

An optional job: `pip install '.[test,test-sdks]'` (in an environment of its own, each pins a world). What is not
installed is skipped.
"""

import asyncio
import contextlib
import functools
import importlib
from collections.abc import Callable
from typing import NamedTuple

import pytest
import sdk_wire as wire

import nbstream
from nbstream.errors import StreamError
from nbstream.testing import FaultServer

PROMPT = [{"role": "user", "content": "How is the weather?"}]
# What an SDK says of its own age is no business of ours.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def server():
    """Return a server that lies on command."""
    with FaultServer() as made:
        yield made


def sdk(name):
    """Return the module, or skip."""
    return pytest.importorskip(name, exc_type=ImportError)


def openai(url, kind="OpenAI"):
    """Return a client of `openai`."""
    return getattr(sdk("openai"), kind)(api_key="none", base_url=f"{url}/v1", max_retries=0)


def anthropic(url, kind="Anthropic"):
    """Return a client of `anthropic`."""
    return getattr(sdk("anthropic"), kind)(api_key="none", base_url=url, max_retries=0)


def genai(url):
    """Return a client of `google-genai`."""
    client = sdk("google.genai").Client(api_key="none", http_options={"base_url": url})
    CLIENTS.append(client)  # one that nobody holds closes itself, and its streams with it
    return client


def mistral(url):
    """Return a client of `mistralai`."""
    sdk("mistralai")
    names = ("mistralai.client", "mistralai")  # moved in 3
    made = next(kind for name in names if (kind := getattr(importlib.import_module(name), "Mistral", None)))
    return made(api_key="none", server_url=url)


def ollama(url, kind="Client"):
    """Return a client of `ollama`."""
    return getattr(sdk("ollama"), kind)(host=url)


def langchain_openai(url):
    """Return a model of `langchain-openai`."""
    return sdk("langchain_openai").ChatOpenAI(model="m-1", api_key="none", base_url=f"{url}/v1", max_retries=0)


def langchain_anthropic(url):
    """Return a model of `langchain-anthropic`."""
    return sdk("langchain_anthropic").ChatAnthropic(model="m-1", api_key="none", base_url=url, max_retries=0)


CLIENTS = []

CHAT = {"model": "m-1", "messages": PROMPT}
SAID = {**CHAT, "max_tokens": 100}
GEMINI = {"model": "m-1", "contents": "How is the weather?"}

SYNC = {
    "openai chat": (wire.openai_chat, lambda url: openai(url).chat.completions.create(**CHAT, stream=True)),
    "openai chat stream()": (wire.openai_chat, lambda url: openai(url).chat.completions.stream(**CHAT)),
    "openai responses": (
        wire.openai_responses, lambda url: openai(url).responses.create(model="m-1", input="?", stream=True),
    ),
    "openai responses stream()": (
        wire.openai_responses, lambda url: openai(url).responses.stream(model="m-1", input="?"),
    ),
    "anthropic": (wire.anthropic_messages, lambda url: anthropic(url).messages.create(**SAID, stream=True)),
    "anthropic stream()": (wire.anthropic_messages, lambda url: anthropic(url).messages.stream(**SAID)),
    "google-genai": (wire.gemini_generate, lambda url: genai(url).models.generate_content_stream(**GEMINI)),
    "mistral": (wire.mistral_chat, lambda url: mistral(url).chat.stream(**CHAT)),
    "ollama": (wire.ollama_chat, lambda url: ollama(url).chat(**CHAT, stream=True)),
    "langchain openai": (wire.openai_chat, lambda url: langchain_openai(url).stream("?")),
    "langchain anthropic": (wire.anthropic_messages, lambda url: langchain_anthropic(url).stream("?")),
}  # fmt: skip
ASYNC = {
    "openai chat": (
        wire.openai_chat, lambda url: openai(url, "AsyncOpenAI").chat.completions.create(**CHAT, stream=True),
    ),
    "openai chat stream()": (wire.openai_chat, lambda url: openai(url, "AsyncOpenAI").chat.completions.stream(**CHAT)),
    "openai responses": (
        wire.openai_responses,
        lambda url: openai(url, "AsyncOpenAI").responses.create(model="m-1", input="?", stream=True),
    ),
    "openai responses stream()": (
        wire.openai_responses, lambda url: openai(url, "AsyncOpenAI").responses.stream(model="m-1", input="?"),
    ),
    "anthropic": (
        wire.anthropic_messages, lambda url: anthropic(url, "AsyncAnthropic").messages.create(**SAID, stream=True),
    ),
    "anthropic stream()": (
        wire.anthropic_messages, lambda url: anthropic(url, "AsyncAnthropic").messages.stream(**SAID),
    ),
    "google-genai": (wire.gemini_generate, lambda url: genai(url).aio.models.generate_content_stream(**GEMINI)),
    "mistral": (wire.mistral_chat, lambda url: mistral(url).chat.stream_async(**CHAT)),
    "ollama": (wire.ollama_chat, lambda url: ollama(url, "AsyncClient").chat(**CHAT, stream=True)),
    "langchain openai": (wire.openai_chat, lambda url: langchain_openai(url).astream("?")),
    "langchain anthropic": (wire.anthropic_messages, lambda url: langchain_anthropic(url).astream("?")),
    "langchain openai events": (
        wire.openai_chat, lambda url: langchain_openai(url).astream_events("?", version="v2"),
    ),
}  # fmt: skip


def streamed(make, *, is_async):
    """Return the stream that recorded what *make* gives, at rest."""
    if not is_async:
        stream = nbstream.start(make(), save=False)
        stream.wait(30)
        return stream

    async def main():
        stream = nbstream.start(make(), save=False)
        with contextlib.suppress(StreamError):
            await stream
        return stream

    return asyncio.run(main())


class Case(NamedTuple):
    """A way to stream from an SDK, and the message that is sent to it."""

    name: str
    message: Callable
    make: Callable
    is_async: bool

    @property
    def untold(self):
        """Return what LangChain's integrations drop or count otherwise."""
        dropped = {"langchain openai": {"reasoning"}, "langchain anthropic": {"usage"}}
        return dropped.get(self.name.removesuffix(" events"), set())

    @property
    def ends(self):
        """Return how many of the last pieces are the end."""
        # LangChain ends at the stop_reason, which stands one piece before message_stop.
        return self.message().ends + (self.name == "langchain anthropic")


CASES = [
    pytest.param(Case(name, *case, is_async), id=f"{name}, {'async' if is_async else 'sync'}")
    for is_async, table in ((False, SYNC), (True, ASYNC))
    for name, case in table.items()
]


@pytest.mark.parametrize("case", CASES)
def test_everything_comes_out_once(server, case):
    """Text, reasoning, tool calls, usage, finish and model, exactly as the wire says."""
    sent = case.message()
    server.script([sent.answer()])
    stream = streamed(functools.partial(case.make, server.url), is_async=case.is_async)
    assert stream.error is None
    told = wire.told(stream)
    assert {**told, **dict.fromkeys(case.untold)} == {**sent.whole, **dict.fromkeys(case.untold)}
    server.wait_closed(5)


@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_cut_is_interrupted(server, case, end):
    """Wherever the connection ends before the end mark, politely or not: what came is kept, and it is not complete."""
    sent = case.message()
    for upto in range(1, len(sent.pieces) - case.ends + 1):
        server.script([sent.answer(upto, end=end)])
        stream = streamed(functools.partial(case.make, server.url), is_async=case.is_async)
        shown = stream.text or stream.reasoning or stream.tool_calls
        assert stream.state == ("interrupted" if shown else "failed"), (upto, stream.error)
        assert sent.text.startswith(stream.text)
    assert end == "reset" or stream.text == sent.text
    server.wait_closed(5)


@pytest.mark.parametrize("case", CASES)
def test_stop_closes_the_connection(server, case):
    """The server sees its connection close while it is silent in the middle of a message."""
    sent = case.message()
    server.script([sent.answer(len(sent.pieces) - case.ends, end="stall")])

    async def main():
        stream = nbstream.start(case.make(server.url), save=False)
        async for _ in stream:
            if stream.text == sent.text:
                break
        stream.stop()
        with contextlib.suppress(StreamError):
            await stream
        assert stream.state == "stopped"
        await asyncio.to_thread(server.wait_closed, 2)

    asyncio.run(main())
