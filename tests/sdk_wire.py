"""What providers send, of our own making and true to the wire, and what of it should arrive on a `Stream`."""

import json
from dataclasses import dataclass, field

from nbstream.testing import Answer

TEXT = ["Grü", "ße aus Zü", "rich 🌊", "."]
THOUGHT = ["Let me", " look."]
ARGUMENTS = ['{"city": "Zü', 'rich"}']


@dataclass
class Message:
    """A message on the wire: its pieces, of which the last *ends* are the end, and what a stream should say of it."""

    pieces: list
    ends: int
    finish: str
    text: str = "".join(TEXT)
    reasoning: str = "".join(THOUGHT)
    tools: list = field(default_factory=list)
    usage: dict = field(default_factory=dict)
    model: str | None = None
    lines: bool = False

    def answer(self, upto=None, **options):
        """Return the answer of a server that sends the pieces before *upto*."""
        if self.lines:
            return Answer(self.pieces[:upto], headers={"Content-Type": "application/x-ndjson"}, **options)
        return Answer.sse(*self.pieces[:upto], **options)

    @property
    def end_frames(self):
        """Return how many of the last frames are the end."""
        return self.ends - ("[DONE]" in self.pieces[-1])

    @property
    def frames(self):
        """The pieces as decoded JSON, without `[DONE]`: what SDKs make objects of."""
        bodies = [piece if self.lines else piece.partition("data: ")[2] for piece in self.pieces]
        return [json.loads(body) for body in bodies if body.strip() != "[DONE]"]

    @property
    def whole(self):
        """What `told` gives when all of it came."""
        return {
            "state": "complete", "text": self.text, "reasoning": self.reasoning, "tools": self.tools,
            "finish": self.finish, "usage": self.usage, "model": self.model,
        }  # fmt: skip


def told(stream):
    """Return what came out on *stream*."""
    calls = [(call["name"], json.loads(call["arguments"])) for call in stream.tool_calls]
    return {
        "state": stream.state, "text": stream.text, "reasoning": stream.reasoning, "tools": calls,
        "finish": stream.finish, "usage": stream.usage, "model": stream.model,
    }  # fmt: skip


def _data(*frames):
    return [f"data: {json.dumps(frame, ensure_ascii=False)}\n\n" for frame in frames]


def _events(*frames):
    return [f"event: {frame['type']}\ndata: {json.dumps(frame, ensure_ascii=False)}\n\n" for frame in frames]


def _chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [choice]}


def openai_chat():
    """Return a message with reasoning as DeepSeek sends it, a tool call and usage behind the finish."""

    def call(arguments, **first):
        function = {"arguments": arguments, **({"name": "weather"} if first else {})}
        return {"tool_calls": [{"index": 0, "function": function, **first}]}

    usage = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
    frames = [
        _chunk({"role": "assistant", "content": "", "refusal": None}),
        *(_chunk({"reasoning_content": piece}) for piece in THOUGHT),
        *(_chunk({"content": piece}) for piece in TEXT),
        _chunk(call("", id="call_1", type="function")),
        *(_chunk(call(piece)) for piece in ARGUMENTS),
        _chunk({}, "tool_calls"),
        {**_chunk({}), "choices": [], "usage": usage},
    ]
    return Message(
        [*_data(*frames), "data: [DONE]\n\n"], 3, "tool_calls", tools=[("weather", {"city": "Zürich"})],
        usage={"input": 7, "output": 9, "total": 16}, model="m-1",
    )  # fmt: skip


def mistral_chat():
    """Return the same as Mistral sends it: thoughts as a list, tool calls whole, and usage with the finish."""
    thoughts = [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": one}]}]} for one in THOUGHT]
    call = {"id": "call_1", "index": 0, "function": {"name": "weather", "arguments": "".join(ARGUMENTS)}}
    usage = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
    frames = [
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk(thought) for thought in thoughts),
        *(_chunk({"content": piece}) for piece in TEXT),
        {**_chunk({"content": "", "tool_calls": [call]}, "tool_calls"), "usage": usage},
    ]
    return Message(
        [*_data(*frames), "data: [DONE]\n\n"], 2, "tool_calls", tools=[("weather", {"city": "Zürich"})],
        usage={"input": 7, "output": 9, "total": 16}, model="m-1",
    )  # fmt: skip


def openai_responses():
    """Return a response with a summary of its reasoning, a message and a function call."""
    base = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m-1", "parallel_tool_calls": True,
            "tool_choice": "auto", "tools": [], "output": []}  # fmt: skip
    thought = {"id": "rs_1", "type": "reasoning", "summary": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "",
            "status": "in_progress"}  # fmt: skip
    part = {"type": "output_text", "text": "", "annotations": []}
    said = {**part, "text": "".join(TEXT)}
    summed = {"type": "summary_text", "text": "".join(THOUGHT)}
    asked = {**call, "arguments": "".join(ARGUMENTS), "status": "completed"}
    output = [{**thought, "summary": [summed]}, {**message, "content": [said], "status": "completed"}, asked]
    usage = {
        "input_tokens": 7, "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 16,
    }  # fmt: skip
    in_thought = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
    in_message = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    in_call = {"item_id": "fc_1", "output_index": 2}
    frames = [
        {"type": "response.created", "response": {**base, "status": "in_progress"}},
        {"type": "response.in_progress", "response": {**base, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
        {"type": "response.reasoning_summary_part.added", **in_thought, "part": {**summed, "text": ""}},
        *({"type": "response.reasoning_summary_text.delta", **in_thought, "delta": piece} for piece in THOUGHT),
        {"type": "response.reasoning_summary_text.done", **in_thought, "text": "".join(THOUGHT)},
        {"type": "response.reasoning_summary_part.done", **in_thought, "part": summed},
        {"type": "response.output_item.done", "output_index": 0, "item": output[0]},
        {"type": "response.output_item.added", "output_index": 1, "item": message},
        {"type": "response.content_part.added", **in_message, "part": part},
        *({"type": "response.output_text.delta", **in_message, "delta": piece, "logprobs": []} for piece in TEXT),
        {"type": "response.output_text.done", **in_message, "text": "".join(TEXT), "logprobs": []},
        {"type": "response.content_part.done", **in_message, "part": said},
        {"type": "response.output_item.done", "output_index": 1, "item": output[1]},
        {"type": "response.output_item.added", "output_index": 2, "item": call},
        *({"type": "response.function_call_arguments.delta", **in_call, "delta": piece} for piece in ARGUMENTS),
        {"type": "response.function_call_arguments.done", **in_call, "arguments": "".join(ARGUMENTS)},
        {"type": "response.output_item.done", "output_index": 2, "item": asked},
        {"type": "response.completed", "response": {**base, "status": "completed", "output": output, "usage": usage}},
    ]
    return Message(
        _events(*({**frame, "sequence_number": number} for number, frame in enumerate(frames))), 1, "tool_calls",
        tools=[("weather", {"city": "Zürich"})], model="m-1",
        usage={"input": 7, "output": 9, "total": 16, "cached": 2, "reasoning": 3},
    )  # fmt: skip


def anthropic_messages():
    """Return a message that thinks, speaks and asks for a tool."""
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 1},
    }  # fmt: skip
    blocks = [
        ({"type": "thinking", "thinking": "", "signature": ""},
         [*({"type": "thinking_delta", "thinking": piece} for piece in THOUGHT),
          {"type": "signature_delta", "signature": "c2lnbmVk"}]),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in TEXT]),
        ({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
         [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *ARGUMENTS)]),
    ]  # fmt: skip
    frames = [{"type": "message_start", "message": message}]
    for index, (block, deltas) in enumerate(blocks):
        frames.append({"type": "content_block_start", "index": index, "content_block": block})
        frames += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        frames += [{"type": "content_block_stop", "index": index}, {"type": "ping"}]
    stopped = {"stop_reason": "tool_use", "stop_sequence": None}
    frames += [
        {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    return Message(
        _events(*frames), 1, "tool_calls", tools=[("weather", {"city": "Zürich"})],
        usage={"input": 7, "output": 9, "total": 16}, model="m-1",
    )  # fmt: skip


def gemini_generate():
    """Return an answer that thinks, speaks and calls a function."""
    call = {"functionCall": {"name": "weather", "args": {"city": "Zürich"}}}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 6, "thoughtsTokenCount": 3, "totalTokenCount": 16}

    def frame(*parts, **more):
        candidate = {"content": {"parts": [*parts], "role": "model"}, "index": 0, **more}
        return {"candidates": [candidate], "modelVersion": "m-1", "responseId": "r1"}

    frames = [
        *(frame({"text": piece, "thought": True}) for piece in THOUGHT),
        *(frame({"text": piece}) for piece in TEXT),
        frame(call),
        {**frame({"text": ""}, finishReason="STOP"), "usageMetadata": usage},
    ]
    return Message(
        _data(*frames), 1, "tool_calls", tools=[("weather", {"city": "Zürich"})],
        usage={"input": 7, "output": 9, "reasoning": 3, "total": 16}, model="m-1",
    )  # fmt: skip


def ollama_chat():
    """Return an answer of `/api/chat`."""

    def line(message, **more):
        return {"model": "m-1", "created_at": "2026-11-01T10:00:00Z", "message": {"role": "assistant", **message},
                "done": False, **more}  # fmt: skip

    call = {"function": {"name": "weather", "arguments": {"city": "Zürich"}}}
    counts = {"total_duration": 5, "prompt_eval_count": 7, "eval_count": 9}
    frames = [
        *(line({"content": "", "thinking": piece}) for piece in THOUGHT),
        *(line({"content": piece}) for piece in TEXT),
        line({"content": "", "tool_calls": [call]}),
        line({"content": ""}, done=True, done_reason="stop", **counts),
    ]
    lines = [json.dumps(frame, ensure_ascii=False) + "\n" for frame in frames]
    return Message(
        lines, 1, "tool_calls", tools=[("weather", {"city": "Zürich"})],
        usage={"input": 7, "output": 9, "total": 16}, model="m-1", lines=True,
    )  # fmt: skip


def bedrock_converse():
    """Return the events of ConverseStream, one a line: on the wire they are no JSON, and boto3 makes dicts of them."""
    blocks = [
        ({}, [{"reasoningContent": {"text": piece}} for piece in THOUGHT]),
        ({}, [{"text": piece} for piece in TEXT]),
        (
            {"toolUse": {"toolUseId": "tooluse_1", "name": "weather"}},
            [{"toolUse": {"input": one}} for one in ARGUMENTS],
        ),
    ]
    frames = [{"messageStart": {"role": "assistant"}}]
    for index, (start, deltas) in enumerate(blocks):
        if start:
            frames.append({"contentBlockStart": {"start": start, "contentBlockIndex": index}})
        frames += [{"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}} for delta in deltas]
        frames.append({"contentBlockStop": {"contentBlockIndex": index}})
    usage = {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16}
    frames += [{"messageStop": {"stopReason": "tool_use"}}, {"metadata": {"usage": usage, "metrics": {"latencyMs": 5}}}]
    return Message(
        [json.dumps(frame) for frame in frames], 2, "tool_calls", tools=[("weather", {"city": "Zürich"})],
        usage={"input": 7, "output": 9, "total": 16}, lines=True,
    )  # fmt: skip
