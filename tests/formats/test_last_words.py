"""What stands in the very frame that fails is said before the failure: nothing that came is lost."""

import json

import pytest
from format_samples import heard, told

from nbstream.errors import SourceError
from nbstream.sources.formats.registry import READERS
from nbstream.wire.ndjson import LineParser
from nbstream.wire.sse import SSEParser


def gemini(reason, text="last words", **more):
    """Return a frame of one candidate."""
    return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}], **more}


def chat(finish, text="last words", **more):
    """Return a chunk of one choice."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more}


ERROR = {"error": {"message": "out of cheese", "code": 502}}

LAST_WORDS = [
    ("openai.chat", chat("error"), "finish_reason 'error'"),
    ("openai.chat", chat("error", **ERROR), "out of cheese"),
    ("openai.chat", chat(None, **ERROR), "out of cheese"),
    ("openai.chat", chat("insufficient_system_resource"), "insufficient_system_resource"),
    ("openai.chat", chat(None, x_groq={"id": "r", "error": "over capacity"}), "over capacity"),
    ("llamacpp", chat("error"), "finish_reason 'error'"),
    ("llamacpp", {"content": "last words", "stop": True, **ERROR}, "out of cheese"),
    ("gemini.generate", gemini("MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL"),
    ("gemini.generate", gemini("UNEXPECTED_TOOL_CALL"), "UNEXPECTED_TOOL_CALL"),
    ("gemini.generate", gemini(None, **ERROR), "out of cheese"),
    ("gemini.generate", gemini(None, promptFeedback={"blockReason": "SAFETY"}), "blocked the prompt"),
    ("ollama.chat", {"message": {"content": "last words"}, "done": False, "error": "out of cheese"}, "out of cheese"),
    ("ollama.chat", {"message": {"content": "last words"}, "done": True, "error": "out of cheese"}, "out of cheese"),
    (
        "openai.responses",
        {
            "type": "response.failed",
            "response": {
                "error": {"code": "server_error", "message": "out of cheese"},
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "last words"}]}],
            },
        },
        "out of cheese",
    ),
    (
        "openai.responses",
        {
            "type": "response.cancelled",
            "response": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "last words"}]}]},
        },
        "cancelled",
    ),
]


@pytest.mark.parametrize(("format", "frame", "said"), LAST_WORDS)
def test_text_in_the_frame_that_fails_is_said(format, frame, said):
    """The arrival has both, its parts and the error behind them."""
    lines = format == "ollama.chat"
    data = json.dumps(frame).encode()
    (arrival,) = heard(
        READERS[format](None), LineParser() if lines else SSEParser(), data + b"\n" if lines else b"data: %b\n\n" % data
    )
    assert told([arrival])["text"] == "last words"
    assert arrival.end is None
    assert isinstance(arrival.error, SourceError)
    assert said in str(arrival.error)


def test_an_answer_that_stands_in_a_snapshot_only_is_said_before_the_error():
    """AG-UI agents that do not stream send the conversation as it stands, and may fail behind it."""
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "last words"}]
    for failure in (
        {"type": "RUN_ERROR", "message": "out of cheese"},
        {"type": "RUN_FINISHED", "outcome": {"type": "cancelled"}},
    ):
        reader, parser = READERS["agui"](None), SSEParser()
        frames = [{"type": "MESSAGES_SNAPSHOT", "messages": messages}, failure]
        *_, arrival = heard(reader, parser, *(f"data: {json.dumps(frame)}\n\n".encode() for frame in frames))
        assert told([arrival])["text"] == "last words"
        assert "out of cheese" in str(arrival.error) or "cancelled" in str(arrival.error)
