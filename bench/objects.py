"""
Object path: 200,000 chunks as OpenAI's SDK yields them, from an iterator that never waits, shown by nobody.

    python bench/objects.py [--chunks 200000]

`memory` keeps the stream in memory (`save=False`), `disk` stores every record; `async` is the same as an async iterator
of the recorder's own loop. Chunks are pydantic models with OpenAI's fields, or OpenAI's own where the SDK is installed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

try:
    from openai.types.chat import ChatCompletionChunk as Chunk
except ImportError:
    from pydantic import BaseModel, ConfigDict

    class Model(BaseModel):
        model_config = ConfigDict(extra="allow")

    class Delta(Model):
        content: str | None = None
        function_call: dict | None = None
        refusal: str | None = None
        role: str | None = None
        tool_calls: list | None = None

    class Choice(Model):
        delta: Delta
        finish_reason: str | None = None
        index: int
        logprobs: dict | None = None

    class Chunk(Model):
        id: str
        choices: list[Choice]
        created: int
        model: str
        object: str
        service_tier: str | None = None
        system_fingerprint: str | None = None
        usage: dict | None = None


ROUNDS = 3
#: The promise, chunks/s.
PROMISED = {"memory": 100_000, "disk": 50_000}


def chunk(text, finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return Chunk.model_validate(
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    )


def made(count):
    """Yield the chunks: made beforehand, what it costs to make them is the SDK's."""
    for number in range(count):
        yield SOME[number % len(SOME)]
    yield LAST


async def made_async(count):
    for one in made(count):
        yield one


def record(make, *, save):
    """Return the seconds that it took."""
    import nbstream

    count = ARGS.chunks
    began = time.perf_counter()
    stream = nbstream.start(make(count), save=save)
    stream.wait()
    took = time.perf_counter() - began
    assert stream.state == "complete", stream
    assert stream.facts().chars == count * 8, stream
    return took


SOME = [chunk(f"{number:7d} ") for number in range(1000)]
LAST = chunk(None, "stop")
ARGS = argparse.Namespace()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=200_000)
    parser.parse_args(namespace=ARGS)
    os.environ["NBSTREAM_HOME"] = tempfile.mkdtemp(prefix="nbstream-bench-")
    kinds = {
        "memory": lambda: record(made, save=False),
        "disk": lambda: record(made, save=True),
        "memory, async": lambda: record(lambda count: lambda: made_async(count), save=False),
        "disk, async": lambda: record(lambda count: lambda: made_async(count), save=True),
    }
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(ROUNDS):
        for name, run in kinds.items():
            best[name] = min(best[name], run())
    for name, took in best.items():
        promised = PROMISED[name.partition(",")[0]]
        print(f"{name:14} {ARGS.chunks / took:>10,.0f} chunks/s  (at least {promised:,} is promised)")


if __name__ == "__main__":
    main()
