"""Doubles of what SDKs yield: the same fields and methods, and nothing of the SDKs."""

import asyncio
import contextlib
import json
import re
from types import SimpleNamespace


class Model:
    """
    An object as pydantic makes it of a *frame*: fields by their Python names, and `model_dump` for the wire's.

    *more*: fields that the SDK adds.
    """

    def __init__(self, frame, **more):
        self._frame = {**frame, **more}
        for name, value in self._frame.items():
            setattr(self, re.sub(r"(?<=[a-z])[A-Z]", lambda found: f"_{found[0].lower()}", name), model(value))

    def model_dump(self, *, mode="python", by_alias=False, exclude_none=False, exclude=None, warnings=True):
        """Return the frame, as this call of pydantic's would."""
        assert mode == "json" or by_alias is False
        return _dumped(
            {name: value for name, value in self._frame.items() if name not in (exclude or ())}, exclude_none
        )

    def __str__(self):
        return json.dumps(self._frame, default=str)


def model(value):
    """Return *value* with models for its dicts."""
    if isinstance(value, list):
        return [model(one) for one in value]
    return Model(value) if isinstance(value, dict) else value


def thing(value):
    """Return *value* with plain attribute objects for its dicts."""
    if isinstance(value, list):
        return [thing(one) for one in value]
    if not isinstance(value, dict):
        return value
    return SimpleNamespace(**{name: thing(one) for name, one in value.items()}, unset=None)


def _dumped(value, exclude_none):
    if isinstance(value, Model):
        return _dumped(value._frame, exclude_none)
    if isinstance(value, list):
        return [_dumped(one, exclude_none) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _dumped(one, exclude_none) for name, one in value.items() if not (exclude_none and one is None)}


async def events_of(chunks, closed):
    """
    Yield *chunks* as LangChain's `astream_events` does, from a task of its own that it awaits when it is closed.

    That task waits for its server as LangChain does, with a time limit: up to Python 3.11 `asyncio.wait_for` loses a
    cancellation that comes together with a chunk. Here the first one always does. *closed* is called when it has ended.
    """
    queue = asyncio.Queue()

    async def consume():
        try:
            for chunk in chunks:
                queue.put_nowait(chunk)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()  # the next chunk, which does not come
        finally:
            closed()

    task = asyncio.create_task(consume())
    try:
        while True:
            yield await queue.get()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def chat_helper(frames):
    """Yield what `chat.completions.stream()` makes of chunks: each, and behind it what is derived from it."""
    said, asked = "", ""
    for frame in frames:
        yield Model({"type": "chunk"}, chunk=Model(frame), snapshot=Model({"content": said}))
        for choice in frame["choices"]:
            delta = choice["delta"]
            if text := delta.get("content"):
                said += text
                yield Model({"type": "content.delta", "delta": text, "snapshot": said, "parsed": None})
            for call in delta.get("tool_calls") or ():
                asked += call["function"]["arguments"]
                yield Model({
                    "type": "tool_calls.function.arguments.delta", "name": "weather", "index": 0, "arguments": asked,
                    "arguments_delta": call["function"]["arguments"], "parsed_arguments": {},
                })  # fmt: skip
            if choice["finish_reason"]:
                yield Model({"type": "content.done", "content": said, "parsed": None})
                yield Model({
                    "type": "tool_calls.function.arguments.done", "name": "weather", "index": 0, "arguments": asked,
                })  # fmt: skip


def responses_helper(frames):
    """Yield what `responses.stream()` makes of events: deltas that carry the whole text so far."""
    said = ""
    for frame in frames:
        if frame["type"].endswith("output_text.delta"):
            said += frame["delta"]
            yield Model(frame, snapshot=said)
        else:
            yield Model(frame)


def messages_helper(frames):
    """Yield what Anthropic's `messages.stream()` makes of events: each, and behind it what is derived from it."""
    blocks = {}
    for frame in frames:
        if frame["type"] == "content_block_start":
            blocks[frame["index"]] = dict(frame["content_block"])
        if frame["type"] == "content_block_stop":
            yield Model(frame, content_block=Model(blocks[frame["index"]]))
            continue
        if frame["type"] == "message_stop":
            yield Model(frame, message=Model({"content": list(blocks.values())}))
            continue
        yield Model(frame)
        if frame["type"] != "content_block_delta":
            continue
        delta, block = frame["delta"], blocks[frame["index"]]
        kind = delta["type"].removesuffix("_delta")
        field = {"text": "text", "thinking": "thinking", "signature": "signature", "input_json": "partial_json"}[kind]
        block[field] = block.get(field, "") + delta[field]
        if kind == "input_json":
            yield Model({"type": kind, "partial_json": delta[field], "snapshot": {}})
        else:
            yield Model({"type": kind, field: delta[field], "snapshot": block[field]})
