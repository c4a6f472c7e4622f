"""
What providers send, byte for byte as they would: samples of our own making, each with what it ought to say.

The bytes are in formats/samples, one answer a file, with characters of one to four bytes: every way of cutting them
cuts one of those, too.
"""

from dataclasses import dataclass, field
from pathlib import Path

from nbstream.sources.contract import End
from nbstream.sources.formats.frames import Suspicion
from nbstream.transcript import AgentText
from nbstream.wire.ndjson import LineParser
from nbstream.wire.sse import SSEParser

FOLDER = Path(__file__).parent / "formats" / "samples"

TEXT = "Ich frage übers Wetter 🌬️: 船は静か。"
THOUGHT = "Wetter, also ✓"
ARGUMENTS = '{"city":"Zürich"}'
USED = {"input": 9, "output": 30, "total": 39}

#: What reports an error in each format, with the upstream's own words, and whether it is worth asking again.
ERRORS = {
    "openai.chat": (
        b'data: {"error":{"message":"out of cheese","type":"bad_cheese","code":400}}\n\ndata: [DONE]\n\n',
        False,
    ),
    "openai.responses": (
        b'data: {"type":"error","code":"server_error","message":"out of cheese","sequence_number":99}\n\n',
        True,
    ),
    "anthropic.messages": (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"out of cheese"}}\n\n',
        True,
    ),
    "gemini.generate": (
        b'data: {"error":{"code":503,"message":"out of cheese","status":"UNAVAILABLE"}}\r\n\r\n',
        True,
    ),
    "gemini.interactions": (
        b'event: error\ndata: {"event_type":"error","error":{"code":"INVALID","message":"out of cheese"}}\n\n',
        False,
    ),
    "ollama.chat": (b'{"error":"out of cheese"}\n', False),
    "llamacpp": (b'data: {"error":{"code":500,"message":"out of cheese","type":"server_error"}}\n\n', True),
}


@dataclass(frozen=True)
class Sample:
    """One answer: its file, its format, and what it says."""

    file: str
    format: str
    #: Stands in the first frame behind which it is a whole answer.
    ending: bytes
    text: str = TEXT
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list = field(default_factory=list)
    usage: dict = field(default_factory=lambda: USED)
    model: str = "pear-1"
    finish: tuple[str, str] = ("stop", "stop")
    #: Its server goes on with it when nobody listens (llama.cpp: if the call says so).
    goes_on: bool = False

    @property
    def raw(self) -> bytes:
        """All bytes of it."""
        return (FOLDER / self.file).read_bytes()

    @property
    def lines(self) -> bool:
        """Whether it is JSON by the line."""
        return self.file.endswith(".ndjson")

    @property
    def media_type(self) -> str:
        """What its server says it is."""
        return "application/x-ndjson" if self.lines else "text/event-stream"

    @property
    def frame_end(self) -> bytes:
        """What stands behind each frame."""
        return b"\n" if self.lines else b"\r\n\r\n" if b"\r\n\r\n" in self.raw else b"\n\n"

    @property
    def frames(self) -> list[bytes]:
        """Its frames, each with what ends it."""
        return [frame + self.frame_end for frame in self.raw.split(self.frame_end) if frame]

    @property
    def whole_at(self) -> int:
        """How many bytes make a whole answer of it; less never do, however the connection ends."""
        end = self.frame_end
        at = self.raw.index(end, self.raw.index(self.ending)) + len(end)
        return at - 1 if end.startswith(b"\r") else at  # a CR alone ends a line

    @property
    def before_the_end(self) -> list[bytes]:
        """The frames before the one with `ending`."""
        frames = self.frames
        return frames[: next(index for index, frame in enumerate(frames) if self.ending in frame)]

    def parser(self):
        """Return what turns its bytes into events."""
        return LineParser() if self.lines else SSEParser()


def tool_call(name="weather", arguments=ARGUMENTS, call="call_1", index=0):
    """Return a tool call as `Stream.tool_calls` has it."""
    return {"index": index, "id": call, "name": name, "arguments": arguments}


def chat(variant, **says):
    """Return a sample of chat completions as one of the many servers sends them."""
    return Sample(f"openai.chat{variant}.sse", "openai.chat", b'"finish_reason":"', **says)


RESPONSES_USED = {"input": 31, "cached": 8, "output": 47, "reasoning": 20, "total": 78}
RESPONSES = {
    "text": "Ich frage nach dem Wetter 🌬️: 船は静か。", "reasoning": "**Wind** über dem Fluß\n\nSo: ask.",
    "tool_calls": [tool_call(call="call_9", index=2)], "usage": RESPONSES_USED, "model": "pear-5",
    "finish": ("tool_calls", "completed"),
}  # fmt: skip
INTERACTION = {
    "reasoning": THOUGHT, "tool_calls": [tool_call(call="fc1", index=2)], "model": "quince-3",
    "usage": {"input": 13, "cached": 2, "output": 47, "reasoning": 40, "total": 60},
    "finish": ("tool_calls", "requires_action"),
}  # fmt: skip

SAMPLES = [
    chat(
        "", tool_calls=[tool_call()], usage={**USED, "cached": 4, "reasoning": 12},
        finish=("tool_calls", "tool_calls"),
    ),
    chat(".azure"),
    chat(".openrouter", reasoning="Wetter, also ✓ Gut."),
    chat(".deepseek", reasoning=THOUGHT, usage={**USED, "cached": 6, "reasoning": 11}),
    chat(
        ".mistral", reasoning=THOUGHT, tool_calls=[tool_call(call="D681PevKs", arguments='{"city": "Zürich"}')],
        finish=("tool_calls", "tool_calls"),
    ),
    chat(".vllm", reasoning=THOUGHT, finish=("length", "length")),
    chat(".llamacpp", reasoning=THOUGHT),
    chat(".qwen", reasoning=THOUGHT),
    chat(".groq", reasoning=THOUGHT),
    chat(".ollama", reasoning=THOUGHT),
    Sample("openai.responses.sse", "openai.responses", b'"response.completed"', **RESPONSES),
    Sample("openai.responses.background.sse", "openai.responses", b'"response.completed"', **RESPONSES, goes_on=True),
    Sample(
        "openai.responses.refusal.sse", "openai.responses", b'"response.completed"', text="", model="pear-5",
        refusal="Das kann ich nicht. 🚫", usage={"input": 9, "output": 6, "total": 15}, finish=("refusal", "completed"),
    ),
    Sample(
        "openai.responses.wholes.sse", "openai.responses", b'"response.incomplete"', text="Tout d’un coup ✓",
        tool_calls=[tool_call("add", '{"a":1}', "c1", 1)], usage={"input": 5, "output": 3, "total": 8},
        model="local-3", finish=("length", "max_output_tokens"),
    ),
    Sample(
        "anthropic.messages.sse", "anthropic.messages", b'"message_stop"', text=f"{TEXT}\n\nMoment.", reasoning=THOUGHT,
        tool_calls=[
            tool_call(call="toolu_01", arguments='{"city": "Zürich"}'), tool_call("clock", "{}", "toolu_02", 1),
        ],
        usage={"input": 126, "cached": 100, "output": 89, "total": 215}, model="plum-4",
        finish=("tool_calls", "tool_use"),
    ),
    Sample(
        "gemini.generate.sse", "gemini.generate", b'"finishReason"', reasoning="**Wind**\n\n", model="quince-3",
        tool_calls=[tool_call(call="fn1", arguments='{"city": "Zürich"}')],
        usage={"input": 12, "cached": 4, "output": 39, "reasoning": 19, "total": 51}, finish=("tool_calls", "STOP"),
    ),
    Sample("gemini.interactions.sse", "gemini.interactions", b'"interaction.completed"', **INTERACTION),
    Sample(
        "gemini.interactions.background.sse", "gemini.interactions", b'"interaction.completed"', **INTERACTION,
        goes_on=True,
    ),
    Sample(
        "gemini.interactions.contents.sse", "gemini.interactions", b'"interaction.complete"', model="deep-plum",
        text="Der Bericht: 静か。", reasoning="Plan ✓", tool_calls=[tool_call("add", '{"a": 1}', "f1", 2)],
        usage={"input": 3, "output": 4, "total": 7}, finish=("tool_calls", "completed"),
    ),
    Sample(
        "ollama.chat.ndjson", "ollama.chat", b'"done":true', reasoning=THOUGHT, model="fig:8b",
        tool_calls=[tool_call(call="call_x", arguments='{"city": "Zürich"}'), tool_call("clock", "{}", None, 1)],
        usage={"input": 26, "output": 40, "total": 66}, finish=("tool_calls", "stop"),
    ),
    Sample(
        "ollama.generate.ndjson", "ollama.chat", b'"done":true', text="Nur Text 船", reasoning="Hm ✓", model="fig:8b",
        usage={"input": 26, "output": 40, "total": 66}, finish=("length", "length"),
    ),
    Sample(
        "llama.cpp.sse", "llamacpp", b'"stop":true', model="quince-2b.gguf",
        usage={"input": 11, "output": 9, "total": 20}, finish=("length", "limit"), goes_on=True,
    ),
]  # fmt: skip
#: One of each format.
ONE_EACH = list({one.format: one for one in reversed(SAMPLES) if ".background" not in one.file}.values())


def heard(reader, parser, *chunks, suspicion=None):
    """Return all arrivals of *chunks* up to the end mark; what *reader* raises goes on, and what was suspected."""
    arrivals, suspicion = [], suspicion or Suspicion()
    for chunk in chunks:
        for event in parser.feed(chunk):
            arrival = reader.read(event) if event.event != "ping" else None
            if arrival is not None:
                arrival = suspicion.heed(arrival)
                if arrival.error is not None and arrival.error is suspicion.error:
                    raise arrival.error
                arrivals.append(arrival)
                if arrival.end is not None:
                    return arrivals
    return arrivals


def told(arrivals):
    """Return what *arrivals* say, under the names of `Stream`; the end is the source's."""
    agent, says = AgentText("assistant"), {"usage": {}, "model": None, "end": None, "raw": []}
    for arrival in arrivals:
        says["usage"].update(arrival.usage or {})
        says["model"] = arrival.model or says["model"]
        says["end"] = arrival.end or says["end"]
        for part in arrival.parts:
            if part.kind == "raw":
                says["raw"].append(part.fields["type"])
            agent.add(part)
    names = ("text", "reasoning", "refusal", "tool_calls")
    return {**says, **{name: getattr(agent, name) for name in names}}


def expected(sample):
    """Return what `told` ought to say of *sample*."""
    names = ("text", "reasoning", "refusal", "tool_calls", "usage", "model")
    return {**{name: getattr(sample, name) for name in names}, "end": End(*sample.finish), "raw": []}
