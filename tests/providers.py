"""The providers of models, for tests: what each is asked, and an answer as its API sends it (of our own making)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from nbstream.sources.http.sse import SSESource
from nbstream.sources.models.chat import chat
from nbstream.testing import Answer

TEXT = "The tide is low 🌊, so we wait."
THOUGHT = "Low water is at nine."
ARGUMENTS = {"port": "Zürich"}


def sse(*frames, named=False, done=False):
    """Return *frames* as events; *named* by their type."""
    out = []
    for frame in frames:
        name = f"event: {frame['type']}\n" if named else ""
        out.append(f"{name}data: {json.dumps(frame, ensure_ascii=False)}\n\n")
    return Answer.sse(*out, *(["data: [DONE]\n\n"] if done else []))


def _chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice], **more}


def _openai_chat():
    call = {"index": 0, "id": "t-1", "type": "function", "function": {"name": "tide", "arguments": '{"port": "Zü'}}
    rest = {"index": 0, "function": {"arguments": 'rich"}'}}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return sse(
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"reasoning_content": THOUGHT}),
        _chunk({"content": TEXT[:9]}),
        _chunk({"content": TEXT[9:]}),
        _chunk({"tool_calls": [call]}),
        _chunk({"tool_calls": [rest]}),
        _chunk({}, "tool_calls"),
        {**_chunk({}), "choices": [], "usage": usage},
        done=True,
    )


def _openai_responses():
    number = iter(range(100))

    def event(kind, **fields):
        return {"type": kind, "sequence_number": next(number), **fields}

    item = {"id": "fc-1", "type": "function_call", "call_id": "t-1", "name": "tide", "arguments": ""}
    arguments = json.dumps(ARGUMENTS, ensure_ascii=False)
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    response = {"id": "resp-1", "object": "response", "model": "m-1", "status": "in_progress", "output": []}
    said = {"id": "msg-1", "type": "message", "content": [{"type": "output_text", "text": TEXT}]}
    output = [said, {**item, "arguments": arguments}]
    completed = {**response, "status": "completed", "output": output, "usage": usage}
    place = {"item_id": "msg-1", "output_index": 1, "content_index": 0}
    return sse(
        event("response.created", response=response),
        event("response.output_item.added", output_index=0, item={"id": "rs-1", "type": "reasoning", "summary": []}),
        event("response.reasoning_summary_text.delta", item_id="rs-1", output_index=0, summary_index=0, delta=THOUGHT),
        event("response.reasoning_summary_text.done", item_id="rs-1", output_index=0, summary_index=0, text=THOUGHT),
        event("response.output_item.added", output_index=1, item={"id": "msg-1", "type": "message", "content": []}),
        event("response.output_text.delta", **place, delta=TEXT[:9]),
        event("response.output_text.delta", **place, delta=TEXT[9:]),
        event("response.output_text.done", **place, text=TEXT),
        event("response.output_item.added", output_index=2, item=item),
        event("response.function_call_arguments.delta", item_id="fc-1", output_index=2, delta=arguments[:6]),
        event("response.function_call_arguments.delta", item_id="fc-1", output_index=2, delta=arguments[6:]),
        event("response.function_call_arguments.done", item_id="fc-1", output_index=2, arguments=arguments),
        event("response.output_item.done", output_index=2, item={**item, "arguments": arguments}),
        event("response.completed", response=completed),
        named=True,
    )


def _anthropic():
    def block(index, content, *deltas):
        yield {"type": "content_block_start", "index": index, "content_block": content}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}

    start = {"id": "msg-1", "type": "message", "role": "assistant", "model": "m-1", "content": []}
    arguments = json.dumps(ARGUMENTS, ensure_ascii=False)
    return sse(
        {"type": "message_start", "message": {**start, "usage": {"input_tokens": 11, "output_tokens": 1}}},
        *block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": THOUGHT}),
        {"type": "ping"},
        *block(
            1, {"type": "text", "text": ""},
            {"type": "text_delta", "text": TEXT[:9]}, {"type": "text_delta", "text": TEXT[9:]},
        ),
        *block(
            2, {"type": "tool_use", "id": "t-1", "name": "tide", "input": {}},
            {"type": "input_json_delta", "partial_json": arguments[:6]},
            {"type": "input_json_delta", "partial_json": arguments[6:]},
        ),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
        named=True,
    )  # fmt: skip


def _gemini():
    def frame(part, **more):
        return {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0, **more}], **ids}

    ids = {"modelVersion": "m-1", "responseId": "r-1"}
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
    return sse(
        frame({"text": THOUGHT, "thought": True}),
        frame({"text": TEXT[:9]}),
        frame({"text": TEXT[9:]}),
        {**frame({"functionCall": {"name": "tide", "args": ARGUMENTS}}, finishReason="STOP"), "usageMetadata": usage},
    )


def _ollama():
    def line(message, **more):
        return json.dumps({"model": "m-1", "message": {"role": "assistant", **message}, "done": False, **more}) + "\n"

    call = {"function": {"name": "tide", "arguments": ARGUMENTS}}
    body = [
        line({"content": "", "thinking": THOUGHT}),
        line({"content": TEXT[:9]}),
        line({"content": TEXT[9:]}),
        line({"content": "", "tool_calls": [call]}),
        line({"content": ""}, done=True, done_reason="stop", prompt_eval_count=11, eval_count=7),
    ]
    return Answer(body, headers={"Content-Type": "application/x-ndjson"})


@dataclass(frozen=True)
class Case:
    """One provider: how it is named, what it is asked, and what it says."""

    model: str
    url: str
    #: Variable and header of the key, and what stands before it there.
    key: tuple[str, str, str] | None
    #: What the body holds beside the conversation and the parameter.
    body: dict
    answer: Answer
    #: The conversation: what `Prompt` becomes.
    said: dict
    #: What `max_tokens=9` becomes.
    limit: dict
    format: str = "openai.chat"
    finish: str = "tool_calls"
    headers: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)

    @property
    def path(self):
        """What a server sees of the address."""
        return self.url.split("/", 3)[3]

    def source(self, server, **options):
        """Return the question, its address moved to *server*: everything else is as it goes to the provider."""
        source = chat("When do we sail?", self.model, system="Be brief.", **self.options, **options)
        return SSESource(replace(source.call, url=f"{server.url}/{self.path}"), source.format)


SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "When do we sail?"}
CHAT = {"messages": [SYSTEM, USER]}
WITH_USAGE = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
CHAT_LIMIT = {"max_tokens": 9}


def _chat(model, url, key_env, body=WITH_USAGE, format="openai.chat"):
    key = (key_env, "authorization", "Bearer ") if key_env else None
    return Case(model, f"{url}/chat/completions", key, body, _openai_chat(), CHAT, CHAT_LIMIT, format)


CASES = {
    "openai": replace(
        _chat("openai:m", "https://api.openai.com/v1", "OPENAI_API_KEY"), limit={"max_completion_tokens": 9}
    ),
    "openai responses": Case(
        "openai:m", "https://api.openai.com/v1/responses", ("OPENAI_API_KEY", "authorization", "Bearer "),
        {"model": "m", "stream": True}, _openai_responses(), {"instructions": "Be brief.", "input": [USER]},
        {"max_output_tokens": 9}, "openai.responses", options={"api": "openai.responses"},
    ),
    "anthropic": Case(
        "anthropic:m", "https://api.anthropic.com/v1/messages", ("ANTHROPIC_API_KEY", "x-api-key", ""),
        {"model": "m", "stream": True}, _anthropic(), {"system": "Be brief.", "messages": [USER]},
        {"max_tokens": 9}, "anthropic.messages", headers={"anthropic-version": "2023-06-01"},
    ),
    "gemini": Case(
        "gemini:m", "https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse",
        ("GEMINI_API_KEY", "x-goog-api-key", ""), {}, _gemini(),
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "When do we sail?"}]}],
        },
        {"generationConfig": {"maxOutputTokens": 9}}, "gemini.generate",
    ),
    "mistral": _chat("mistral:m", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", {"model": "m", "stream": True}),
    "deepseek": _chat("deepseek:m", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "openrouter": _chat("openrouter:m", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": _chat("groq:m", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "ollama": Case(
        "ollama:m", "http://127.0.0.1:11434/api/chat", None, {"model": "m", "stream": True}, _ollama(), CHAT,
        {"options": {"num_predict": 9}}, "ollama.chat",
    ),
    "llamacpp": _chat("llamacpp:m", "http://127.0.0.1:8080/v1", None, format="llamacpp"),
}  # fmt: skip
