"""
What agent protocols look like on the wire: bytes of our own making, one run each, with what they ought to say.

Each sample has text of characters of one to four bytes, so that every way of cutting it cuts one of them, too.
"""

import json

from nbstream.records import TEXT_KINDS
from nbstream.wire.sse import SSEParser


def data(*frames, name=None, event_id=None):
    """Return *frames* as the bytes of server-sent events."""
    head = (f"id: {event_id}\n" if event_id else "") + (f"event: {name}\n" if name else "")
    return b"".join(f"{head}data: {json.dumps(frame, ensure_ascii=False)}\n\n".encode() for frame in frames)


def agui(*events):
    """Return AG-UI events: (type, field=value ...) as dicts, within a run."""
    run = {"threadId": "t1", "runId": "r1"}
    return data({"type": "RUN_STARTED", **run}, *events, {"type": "RUN_FINISHED", **run})


def text_message(message, *pieces, **more):
    """Return the AG-UI events of one message."""
    return [
        {"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant", **more},
        *({"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": piece} for piece in pieces),
        {"type": "TEXT_MESSAGE_END", "messageId": message},
    ]


AGUI = agui(
    {"type": "REASONING_MESSAGE_START", "messageId": "r", "role": "reasoning"},
    {"type": "REASONING_MESSAGE_CONTENT", "messageId": "r", "delta": "Hm: ✓"},
    {"type": "REASONING_MESSAGE_END", "messageId": "r"},
    *text_message("m1", "I ask ", "übers Wetter 🌬️."),
    {"type": "TOOL_CALL_START", "toolCallId": "c1", "toolCallName": "weather", "parentMessageId": "m1"},
    {"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": '{"city": "Zü'},
    {"type": "TOOL_CALL_ARGS", "toolCallId": "c1", "delta": 'rich"}'},
    {"type": "TOOL_CALL_END", "toolCallId": "c1"},
    {"type": "TOOL_CALL_RESULT", "messageId": "m2", "toolCallId": "c1", "content": "windig"},
    {"type": "SUBAGENT_STARTED", "subagentRunId": "s1", "name": "reporter"},
    *text_message("m3", "船は", "静か。", subagentRunId="s1"),
    {"type": "SUBAGENT_FINISHED", "subagentRunId": "s1"},
    *text_message("m4", "Done."),
)
AGUI_SAYS = {
    ("assistant", "reasoning"): "Hm: ✓",
    ("assistant", "text"): "I ask übers Wetter 🌬️.\n\nDone.",
    ("reporter", "text"): "船は静か。",
}

VERCEL = (
    data(
        {"type": "start", "messageId": "m1"},
        {"type": "start-step"},
        {"type": "reasoning-start", "id": "r1"},
        {"type": "reasoning-delta", "id": "r1", "delta": "Hm: ✓"},
        {"type": "reasoning-end", "id": "r1"},
        {"type": "text-start", "id": "t1"},
        {"type": "text-delta", "id": "t1", "delta": "I ask "},
        {"type": "text-delta", "id": "t1", "delta": "übers Wetter 🌬️."},
        {"type": "text-end", "id": "t1"},
        {"type": "tool-input-start", "toolCallId": "c1", "toolName": "weather"},
        {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": '{"city": "Zü'},
        {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": 'rich"}'},
        {"type": "tool-input-available", "toolCallId": "c1", "toolName": "weather", "input": {"city": "Zürich"}},
        {"type": "tool-output-available", "toolCallId": "c1", "output": {"wind": 7}},
        {"type": "finish-step"},
        {"type": "start-step"},
        {"type": "text-start", "id": "t2"},
        {"type": "text-delta", "id": "t2", "delta": "Wrong 船"},
        {"type": "reset-step"},
        {"type": "text-start", "id": "t3"},
        {"type": "text-delta", "id": "t3", "delta": "Done."},
        {"type": "text-end", "id": "t3"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop"},
    )
    + b"data: [DONE]\n\n"
)
VERCEL_SAYS = {
    ("assistant", "reasoning"): "Hm: ✓",
    ("assistant", "text"): "I ask übers Wetter 🌬️.\n\nDone.",
}

WEATHER = {"index": 0, "id": "c1", "name": "weather", "arguments": '{"city": "Zürich"}'}


def piece(content, message, node, *, task="1", step=1, namespace=(), **more):
    """Return name and data of a LangGraph event with a piece of a message."""
    place = "|".join([*namespace, f"{node}:{task}"])
    about = {"langgraph_node": node, "langgraph_step": step, "langgraph_checkpoint_ns": place}
    name = "|".join(["messages", *namespace])
    return name, [{"type": "AIMessageChunk", "content": content, "id": message, **more}, about]


def langgraph(*events, ids=None):
    """Return LangGraph events (name, data); *ids* are those of their ids, None for a run that cannot be resumed."""
    ids = [None] * len(events) if ids is None else ids
    return [data(frame, name=name, event_id=event_id) for (name, frame), event_id in zip(events, ids, strict=True)]


TOOL_CALL = [{"name": "weather", "args": '{"city": "Zü', "id": "c1", "index": 0}]
TOOL_CALL_2 = [{"name": None, "args": 'rich"}', "id": None, "index": 0}]
TOOL_RESULT = {"type": "tool", "content": "windig", "tool_call_id": "c1", "id": "m2", "status": "success"}
LANGGRAPH_EVENTS = [
    ("metadata", {"run_id": "r1", "attempt": 1}),
    piece("I ask ", "m1", "planner"),
    piece("übers Wetter 🌬️.", "m1", "planner"),
    piece("", "m1", "planner", tool_call_chunks=TOOL_CALL),
    piece("", "m1", "planner", tool_call_chunks=TOOL_CALL_2),
    ("updates", {"planner": {"messages": [{"type": "ai", "content": "I ask übers Wetter 🌬️.", "id": "m1"}]}}),
    ("messages", [TOOL_RESULT, {"langgraph_node": "tools", "langgraph_step": 2, "langgraph_checkpoint_ns": "tools:2"}]),
    piece("船は", "m3", "reporter", namespace=("team:7",)),
    piece("静か。", "m3", "reporter", namespace=("team:7",)),
    piece("Done.", "m4", "planner", task="9", step=4),
    ("updates", {"planner": None}),
    ("end", None),
]
LANGGRAPH = b"".join(langgraph(*LANGGRAPH_EVENTS))
LANGGRAPH_SAYS = {
    ("planner", "text"): "I ask übers Wetter 🌬️.\n\nDone.",
    ("reporter", "text"): "船は静か。",
}


def heard(reader, raw, *cuts, last_event_id=""):
    """Return all arrivals of *raw*, which reaches *reader* cut at these bytes."""
    parser, arrivals = SSEParser(last_event_id=last_event_id), []
    ends = [*cuts, len(raw)]
    for start, end in zip([0, *ends], ends, strict=False):
        for event in parser.feed(raw[start:end]):
            arrival = reader.read(event)
            if arrival is not None:
                arrivals.append(arrival)
                if arrival.end is not None:
                    return arrivals
    return arrivals


def parts(arrivals):
    """Return the parts of *arrivals*."""
    return [part for arrival in arrivals for part in arrival.parts]


def said(arrivals):
    """Return the text that is left, by agent and kind."""
    texts = {}
    for part in parts(arrivals):
        if part.kind in TEXT_KINDS:
            texts[part.agent, part.kind] = texts.get((part.agent, part.kind), "") + part.text
        elif part.kind == "truncate":
            name = part.agent, part.fields.get("of", "text")
            texts[name] = texts.get(name, "")[: part.fields["length"]]
    return {name: text for name, text in texts.items() if text}
