"""What single frames of the provider formats say: finishes, tools that the provider runs, odd but real frames."""

import json

import pytest
from format_samples import heard, told

from nbstream.errors import SourceRefused
from nbstream.sources.contract import End
from nbstream.sources.formats.registry import READERS
from nbstream.wire.sse import SSEParser


def hears(format, *frames):
    """Return what *frames* of *format* say, the end behind a clean end of the connection included."""
    reader, raw = READERS[format](None), [f"data: {json.dumps(frame)}\n\n".encode() for frame in frames]
    arrivals = heard(reader, SSEParser(), *raw)
    end = reader.eof() if not arrivals or arrivals[-1].end is None else None
    return told([*arrivals, *([end] if end is not None else [])])


def anthropic(reason):
    """Return the end of a message."""
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {}}, {"type": "message_stop"}


def gemini(reason, *parts):
    """Return the last frame of an answer."""
    return ({"candidates": [{"content": {"parts": list(parts)}, "finishReason": reason}]},)


def incomplete(reason):
    """Return the end of a response that is not all there."""
    return ({"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}},)


def interaction(status):
    """Return the end of an interaction."""
    return ({"event_type": "interaction.completed", "interaction": {"id": "v1_a", "status": status}},)


def ollama(reason):
    """Return the last line of an answer."""
    return ({"model": "m", "message": {"content": ""}, "done": True, "done_reason": reason},)


def llama(**how):
    """Return the last frame of an answer."""
    return ({"content": "", "stop": True, **how},)


def chunk(index, finish=None, **said):
    """Return a piece of one of several choices."""
    return {"choices": [{"index": index, "finish_reason": finish, **said}]}


def piece(index, text, finish=None):
    """Return a piece of one of several candidates."""
    parts = [{"text": text}] if text else []
    return {"candidates": [{"index": index, "content": {"parts": parts}, "finishReason": finish}]}


@pytest.mark.parametrize(
    ("format", "said", "rest"),
    [
        (
            "openai.chat",
            [chunk(0, delta={"content": "a"}), chunk(1, delta={"content": "b"}), chunk(0, "stop", delta={})],
            [chunk(1, "stop", delta={})],
        ),
        ("openai.chat", [chunk(0, "stop", delta={}), chunk(0, delta={"content": "a"})], [chunk(0, "stop", delta={})]),
        ("gemini.generate", [piece(0, "a"), piece(1, "b"), piece(0, "", "STOP")], [piece(1, "c", "STOP")]),
        ("gemini.generate", [piece(0, "", "STOP"), piece(0, "a")], [piece(0, "", "STOP")]),
    ],
)
def test_a_voice_that_was_cut_off_is_not_complete(format, said, rest):
    """Where EOF may be the end, it is that of all: the reason of another choice, or one before the text, is none."""
    assert hears(format, *said)["end"] is None
    assert hears(format, *said, *rest)["end"].finish == "stop"


@pytest.mark.parametrize("format", ["openai.chat", "llamacpp"])
def test_the_older_completions_are_read(format):
    """`/v1/completions` has its text beside the delta; it is not an empty answer."""
    says = hears(format, chunk(0, text="Hel"), chunk(0, text="lo"), chunk(0, "stop", text=""))
    assert (says["text"], says["end"]) == ("Hello", End("stop", "stop"))
    assert hears(format, chunk(0, text="Hel"))["end"] is None


def test_a_message_that_comes_at_once_is_text_and_one_beside_deltas_is_none():
    """Servers that do not stream send it instead of deltas, others with every delta, all over again."""
    assert hears("openai.chat", chunk(0, "stop", message={"content": "Hello"}))["text"] == "Hello"
    both = [
        chunk(0, delta={"content": one}, message={"content": so_far}) for one, so_far in (("He", "He"), ("y", "Hey"))
    ]
    assert hears("openai.chat", *both, chunk(0, "stop", message={"content": "Hey"}))["text"] == "Hey"
    assert hears("openai.chat", *both, chunk(0, "stop", delta={}, message={"content": "Hey"}))["text"] == "Hey"


def test_tool_calls_without_numbers_are_not_run_together():
    """Two in one chunk are two; a single one goes on in the next chunk."""

    def call(name, arguments):
        return {"function": {"name": name, "arguments": arguments}}

    says = hears("openai.chat", chunk(0, delta={"tool_calls": [call("f", '{"a":1}'), call("g", '{"b":2}')]}))
    assert [(one["name"], one["arguments"]) for one in says["tool_calls"]] == [("f", '{"a":1}'), ("g", '{"b":2}')]
    pieces = [chunk(0, delta={"tool_calls": [one]}) for one in (call("f", '{"a"'), {"function": {"arguments": ":1}"}})]
    (whole,) = hears("openai.chat", *pieces)["tool_calls"]
    assert (whole["name"], whole["arguments"]) == ("f", '{"a":1}')


def asked(name=None, arguments="", id=None, index=0):
    """Return a piece of a tool call as a server sends it."""
    function = {**({"name": name} if name else {}), "arguments": arguments}
    return {"function": function, **({"id": id} if id else {}), **({} if index is None else {"index": index})}


@pytest.mark.parametrize("format", ["openai.chat", "llamacpp"])
@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        # Wholes in chunks of their own, all with the same number: Gemini's and older Ollama's OpenAI endpoints.
        ([asked("f", '{"a":1}'), asked("g", '{"b":2}')], [("f", '{"a":1}'), ("g", '{"b":2}')]),
        ([asked("f", '{"a":1}'), asked("f", '{"a":2}')], [("f", '{"a":1}'), ("f", '{"a":2}')]),
        ([asked("f", "{}", "c1"), asked("f", "{}", "c2")], [("f", "{}"), ("f", "{}")]),
        ([asked("f", "", "c1"), asked("f", "", "c2")], [("f", ""), ("f", "")]),
        ([asked("f", '{"a":1}', index=None), asked("g", '{"b":2}', index=None)], [("f", '{"a":1}'), ("g", '{"b":2}')]),
        # In pieces: what has no name goes on with the last one of its number.
        (
            [asked("f", '{"a"'), asked(None, ":1}"), asked("g", '{"b"'), asked(None, ":2}"), asked("h", "{}", index=1)],
            [("f", '{"a":1}'), ("g", '{"b":2}'), ("h", "{}")],
        ),
        (
            [asked("f", '{"a"'), asked("g", '{"b"', index=1), asked(None, ":1}"), asked(None, ":2}", index=1)],
            [("f", '{"a":1}'), ("g", '{"b":2}')],
        ),
        # The name in every piece, and a new id in every piece (older vLLM): still one call.
        ([asked("f", ""), asked("f", '{"a"'), asked("f", ":1}")], [("f", '{"a":1}')]),
        ([asked("f", '{"a"', "c1"), asked(None, ":1", "c2"), asked(None, "}", "c3")], [("f", '{"a":1}')]),
        ([asked("f", '{"a"', "c1"), asked("f", ":1}", "c1")], [("f", '{"a":1}')]),
        ([asked("f", '{"a"'), asked(None, ":1}", "c1")], [("f", '{"a":1}')]),
    ],
)
def test_two_calls_with_one_number_are_two(format, pieces, calls):
    """A new name is a new call, and the same one behind whole arguments or with another id: arguments never mix."""
    says = hears(format, *(chunk(0, delta={"tool_calls": [one]}) for one in pieces))
    assert [(one["name"], one["arguments"]) for one in says["tool_calls"]] == calls
    assert len({one["index"] for one in says["tool_calls"]}) == len(calls)


@pytest.mark.parametrize(
    ("format", "frame"),
    [
        ("ollama.chat", {"model": "m", "message": {"content": "a"}, "done": "false"}),
        ("ollama.chat", {"model": "m", "message": {"content": "a"}, "done": 1}),
        ("llamacpp", {"content": "a", "stop": "false"}),
        ("openai.chat", chunk(0, "null", delta={"content": "a"})),
        ("openai.chat", chunk(0, "None", delta={"content": "a"})),
        ("gemini.generate", piece(0, "a", "FINISH_REASON_UNSPECIFIED")),
    ],
)
def test_what_only_sounds_like_an_end_is_none(format, frame):
    """Words for "no reason yet", and a text where true or false should stand: the end of the connection is a cut."""
    says = hears(format, frame)
    assert (says["text"], says["end"]) == ("a", None)


@pytest.mark.parametrize(
    ("response", "end"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete"}, "other"),
        ({"status": "cancelled"}, None),
        ({"status": "failed", "error": {"message": "boom"}}, None),
    ],
)
def test_the_status_of_a_response_counts_whatever_its_event_is_called(response, end):
    """Servers of others end every response with `response.completed`."""
    said = {"type": "response.output_text.delta", **place(0), "delta": "a"}
    frames = said, {"type": "response.completed", "response": {"id": "r", **response}}
    if end is None:
        with pytest.raises(SourceRefused):
            hears("openai.responses", *frames)
    else:
        assert hears("openai.responses", *frames)["end"].finish == end


def test_content_in_pieces_of_any_kind_is_text():
    """A list of strings, of pieces of another name, of pieces that say nothing: no text is lost, nothing fails."""
    pieces = ["a", {"type": "text", "text": "b"}, {"type": "output_text", "text": "c"}, {"text": "d"}]
    empty = [{"type": "text", "text": None}, {"type": "text"}, ""]
    says = hears("openai.chat", chunk(0, delta={"content": [*pieces, *empty, {"type": "image_url"}]}))
    assert (says["text"], says["raw"]) == ("abcd", ["image_url"])


def test_arguments_may_be_an_object():
    """Some servers send them decoded; they come out as the JSON that the format has."""
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": {"city": "Zürich"}}}
    says = hears("openai.chat", chunk(0, delta={"content": "a", "tool_calls": [call]}))
    assert (says["text"], says["tool_calls"][0]["arguments"]) == ("a", '{"city": "Zürich"}')


def test_the_first_words_of_a_step_stand_in_its_beginning():
    """Gemini's thoughts and answers may begin where their step does: nothing of them is lost, and nothing twice."""
    frames = [
        {"event_type": "interaction.created", "interaction": {"id": "v1_a"}},
        {
            "event_type": "step.start", "index": 0,
            "step": {"type": "thought", "signature": "", "summary": [{"type": "text", "text": "Low water"}]},
        },
        {
            "event_type": "step.delta", "index": 0,
            "delta": {"type": "thought_summary", "content": {"type": "text", "text": " at nine."}},
        },
        {
            "event_type": "step.start", "index": 1,
            "step": {"type": "model_output", "content": [{"type": "text", "text": "We "}, {"type": "image"}]},
        },
        {"event_type": "step.delta", "index": 1, "delta": {"type": "text", "text": "wait."}},
        {"event_type": "step.stop", "index": 1},
        *interaction("completed"),
    ]  # fmt: skip
    says = hears("gemini.interactions", *frames)
    assert (says["reasoning"], says["text"], says["end"]) == (
        "Low water at nine.",
        "We wait.",
        End("stop", "completed"),
    )


MESSAGE = {
    "type": "message", "id": "m1",
    "content": [{"type": "output_text", "text": "Hello"}, {"type": "refusal", "refusal": "No."}],
}  # fmt: skip
THOUGHT = {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "Hm"}]}
ASKED = {"type": "function_call", "id": "f1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
ITEMS = [THOUGHT, MESSAGE, ASKED]
CREATED = {"type": "response.created", "response": {"id": "resp_1"}}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": ITEMS}}


def place(index, part="content_index", number=0):
    """Return where a part of an item stands."""
    return {"output_index": index, part: number}


DONE = [{"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate(ITEMS)]
PARTS_DONE = [
    {"type": "response.reasoning_summary_text.done", **place(0, "summary_index"), "text": "Hm"},
    {"type": "response.output_text.done", **place(1), "text": "Hello"},
    {"type": "response.refusal.done", **place(1, number=1), "refusal": "No."},
]
DELTAS = [
    {"type": "response.reasoning_summary_text.delta", **place(0, "summary_index"), "delta": "Hm"},
    {"type": "response.output_text.delta", **place(1), "delta": "Hel"},
    {"type": "response.output_text.delta", **place(1), "delta": "lo"},
    {"type": "response.refusal.delta", **place(1, number=1), "delta": "No."},
]


@pytest.mark.parametrize(
    "frames",
    [[], DONE, [*PARTS_DONE, *DONE], [*PARTS_DONE, DONE[2]], [*DELTAS, *PARTS_DONE, *DONE], [*DELTAS, *DONE]],
    ids=["only the end", "items", "parts and items", "parts", "all", "deltas and items"],
)
def test_what_a_response_tells_as_a_whole_is_told_once(frames):
    """Servers leave out deltas, or the events that announce them: each text and call comes out once all the same."""
    says = hears("openai.responses", CREATED, *frames, COMPLETED)
    assert (says["text"], says["refusal"], says["reasoning"]) == ("Hello", "No.", "Hm")
    assert [(call["id"], call["name"], call["arguments"]) for call in says["tool_calls"]] == [("c1", "f", '{"a":1}')]


@pytest.mark.parametrize(
    ("format", "frames", "end"),
    [
        ("anthropic.messages", anthropic("end_turn"), End("stop", "end_turn")),
        ("anthropic.messages", anthropic("stop_sequence"), End("stop", "stop_sequence")),
        ("anthropic.messages", anthropic("max_tokens"), End("length", "max_tokens")),
        ("anthropic.messages", anthropic("tool_use"), End("tool_calls", "tool_use")),
        ("anthropic.messages", anthropic("pause_turn"), End("pause", "pause_turn")),
        ("anthropic.messages", anthropic("refusal"), End("refusal", "refusal")),
        ("anthropic.messages", anthropic("of_tomorrow"), End("other", "of_tomorrow")),
        ("gemini.generate", gemini("STOP"), End("stop", "STOP")),
        ("gemini.generate", gemini("MAX_TOKENS"), End("length", "MAX_TOKENS")),
        ("gemini.generate", gemini("SAFETY"), End("content_filter", "SAFETY")),
        ("gemini.generate", gemini("OF_TOMORROW"), End("other", "OF_TOMORROW")),
        ("gemini.generate", gemini("STOP", {"functionCall": {"name": "a"}}), End("tool_calls", "STOP")),
        ("openai.responses", incomplete("max_output_tokens"), End("length", "max_output_tokens")),
        ("openai.responses", incomplete("content_filter"), End("content_filter", "content_filter")),
        ("openai.responses", incomplete("of_tomorrow"), End("other", "of_tomorrow")),
        ("gemini.interactions", interaction("completed"), End("stop", "completed")),
        ("gemini.interactions", interaction("incomplete"), End("length", "incomplete")),
        ("gemini.interactions", interaction("of_tomorrow"), End("other", "of_tomorrow")),
        ("ollama.chat", ollama("stop"), End("stop", "stop")),
        ("ollama.chat", ollama("length"), End("length", "length")),
        ("ollama.chat", ollama("unload"), End("other", "unload")),
        ("ollama.chat", ollama(None), End("stop", None)),
        ("llamacpp", llama(stop_type="eos"), End("stop", "eos")),
        ("llamacpp", llama(stop_type="word"), End("stop", "word")),
        ("llamacpp", llama(stop_type="none"), End("other", "none")),
        ("llamacpp", llama(stopped_eos=False, stopped_limit=True), End("length", "limit")),
    ],
)
def test_why_it_ended(format, frames, end):
    """The provider's word for the end is kept, and has a word of ours."""
    assert hears(format, *frames)["end"] == end


@pytest.mark.parametrize(
    ("format", "frame", "said"),
    [
        ("gemini.generate", {"promptFeedback": {"blockReason": "SAFETY"}}, "blocked the prompt (SAFETY)"),
        (
            "gemini.generate",
            {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "no such tool"}]},
            "MALFORMED_FUNCTION_CALL': no such tool",
        ),
        ("openai.responses", {"type": "response.cancelled", "response": {"status": "cancelled"}}, "cancelled"),
        (
            "openai.responses",
            {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "slow down"}}},
            "slow down (rate_limit_exceeded)",
        ),
        ("openai.responses", {"type": "response.failed", "response": {"error": None}}, "the response failed"),
        ("gemini.interactions", interaction("failed")[0], "status 'failed'"),
        ("gemini.interactions", {"event_type": "interaction.status_update", "status": "cancelled"}, "'cancelled'"),
        ("openai.chat", {"choices": [], "x_groq": {"id": "r", "error": "over capacity"}}, "over capacity"),
        ("auto", {"promptFeedback": {"blockReason": "OTHER"}}, "blocked the prompt (OTHER)"),
    ],
)
def test_what_is_no_answer_is_refused(format, frame, said):
    """An answer that was blocked, failed or cancelled is never complete, and says why."""
    with pytest.raises(SourceRefused) as caught:
        hears(format, frame)
    assert said in str(caught.value)


def test_tools_that_the_provider_runs_have_their_results():
    """Anthropic's server tools and MCP tools come with call and result; the answer behind them is set apart."""
    block = [
        {"type": "text", "text": "So:"},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"q": "pears"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"text": "ripe"}, {"text": "green"}]},
        {"type": "text", "text": "Ripe."},
    ]
    frames = []
    for index, content in enumerate(block):
        frames.append({"type": "content_block_start", "index": index, "content_block": content})
        frames.append({"type": "content_block_stop", "index": index})
    says = hears("anthropic.messages", *frames, *anthropic("end_turn"))
    assert says["text"] == "So:\n\nRipe."
    assert says["tool_calls"] == [{"index": 0, "id": "s1", "name": "web_search", "arguments": '{"q": "pears"}'}]
    assert says["raw"] == []


def test_what_stands_behind_a_thought_is_set_apart():
    """Anthropic's models think between two texts; text that a citation cuts in two runs on."""
    kinds = [("text", "One"), ("text", " and a half."), ("thinking", "Hm."), ("text", "Two."), ("thinking", "So.")]
    frames = [
        {"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: said}}
        for index, (kind, said) in enumerate(kinds)
    ]
    says = hears("anthropic.messages", *frames)
    assert (says["text"], says["reasoning"]) == ("One and a half.\n\nTwo.", "Hm.\n\nSo.")


def test_a_tool_of_an_mcp_server_has_its_result():
    """OpenAI runs it: arguments as deltas, the result with the item."""
    item = {"type": "mcp_call", "id": "m1", "name": "roll", "arguments": ""}
    says = hears(
        "openai.responses",
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.mcp_call_arguments.delta", "output_index": 0, "delta": "{}"},
        {"type": "response.mcp_call_arguments.done", "output_index": 0, "arguments": "{}"},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "arguments": "{}", "output": "4"}},
        {"type": "response.web_search_call.searching", "output_index": 1},
        {"type": "response.completed", "response": {"status": "completed"}},
    )
    assert says["tool_calls"] == [{"index": 0, "id": "m1", "name": "roll", "arguments": "{}"}]
    assert (says["raw"], says["end"]) == ([], End("stop", "completed"))


@pytest.mark.parametrize("names", [["reasoning"], ["reasoning_content"], ["thinking"], ["reasoning", "thinking"]])
def test_reasoning_under_its_names_counts_once(names):
    """Whatever a server calls it, and under however many names it sends it."""
    details = {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}
    chunk = {"choices": [{"index": 0, "delta": {**dict.fromkeys(names, "Hm."), **details}}]}
    assert hears("openai.chat", chunk, chunk)["reasoning"] == "Hm.Hm."
    assert hears("openai.chat", {"choices": [{"index": 0, "delta": details}]})["reasoning"] == "Hm."


def test_two_messages_of_one_response_are_set_apart():
    """A message behind another one, as behind a tool's work, does not run into it; its own parts do."""
    said = [(0, 0, "One"), (0, 1, " and a half."), (2, 0, "Two.")]
    deltas = [
        {"type": "response.output_text.delta", "output_index": item, "content_index": part, "delta": text}
        for item, part, text in said
    ]
    assert hears("openai.responses", *deltas)["text"] == "One and a half.\n\nTwo."
