"""The chat-completions format as servers really send it: what ends a message, what does not, what is asked again."""

import pytest
from chain import Message, chunk, sse_data

import nbstream
from nbstream.testing import Answer

ONCE = Message.of("chat-once")
HELLO = [sse_data(chunk("", role="assistant")), sse_data(chunk("Fair wind, ")), sse_data(chunk("full sails 🚢"))]
TEXT = "Fair wind, full sails 🚢"
STOP = sse_data(chunk(None, "stop"))
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def chat(chain, *replies, text=TEXT, otherwise=None):
    """Ask, and return the stream; its answer ought to be *text*."""
    chain.server.script(replies, otherwise=otherwise)
    return chain.begin(chain.source(ONCE), text)


@pytest.mark.parametrize(
    ("body", "finish"),
    [
        ([*HELLO, STOP, DONE], "stop"),
        ([*HELLO, STOP], "stop"),
        ([*HELLO, sse_data(chunk(None, "length"))], "length"),
        ([*HELLO, DONE], "stop"),
        ([*HELLO, STOP, sse_data({"choices": [], "usage": USAGE}), DONE], "stop"),
        ([*HELLO, STOP, sse_data({**chunk(None), "usage": USAGE}), DONE], "stop"),
        ([sse_data({"choices": [], "prompt_filter_results": []}), *HELLO, STOP, DONE], "stop"),
        ([HELLO[0], sse_data({"choices": []}), *HELLO[1:], sse_data({"choices": []}), STOP, DONE], "stop"),
        ([sse_data({"choices": [{"index": 0, "delta": {"content": None}}]}), *HELLO, STOP, DONE], "stop"),
        ([sse_data({"choices": [{"index": 0, "delta": None}]}), *HELLO, STOP, DONE], "stop"),
        ([*HELLO, sse_data({"choices": [{"index": 0, "finish_reason": "stop"}]}), DONE], "stop"),
        ([b": OPENROUTER PROCESSING\n\n", *HELLO, b": still here\n\n", STOP, DONE], "stop"),
        ([*HELLO, sse_data(chunk(None, "content_filter")), DONE], "content_filter"),
        ([*HELLO, sse_data(chunk(None, "eos_token")), DONE], "stop"),
        ([*HELLO, sse_data(chunk(None, "mystery")), DONE], "other"),
        ([*HELLO, STOP, b"data:[DONE]\n\n"], "stop"),
        ([frame.replace(b"data: ", b"data:") for frame in [*HELLO, STOP, DONE]], "stop"),
    ],
    ids=[
        "all of it", "no [DONE]", "no [DONE], length", "[DONE] without finish", "usage behind the finish",
        "usage in a last chunk", "empty choices first", "empty choices between", "content null", "delta null",
        "no delta", "comments", "content filter", "another word for stop", "unknown finish", "no blank before [DONE]",
        "no blanks at all",
    ],
)  # fmt: skip
def test_what_ends_a_message(chain, body, finish):
    """Every end that servers are seen to send: complete, exact, one request, the reason kept."""
    stream = chat(chain, Answer.sse(*body))
    assert chain.rest(stream) == "complete"
    assert stream.finish == finish
    assert len(chain.requests) == 1


@pytest.mark.parametrize("place", ["behind the finish", "in a last chunk"])
def test_usage_is_kept_wherever_it_comes(chain, place):
    """Usage that comes behind the finish_reason is still counted."""
    last = (
        sse_data({"choices": [], "usage": USAGE})
        if place == "behind the finish"
        else sse_data({**chunk(None), "usage": USAGE})
    )
    stream = chat(chain, Answer.sse(*HELLO, STOP, last, DONE))
    assert chain.rest(stream) == "complete"
    assert stream.usage["output"] == 7
    assert stream.model == "pear-1"


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "the engine has stopped", "type": "bad_engine", "code": 400}},
        {"object": "error", "message": "the engine has stopped", "code": 400},
        {"error": "the engine has stopped"},
    ],
    ids=["openai", "vllm", "text alone"],
)
@pytest.mark.parametrize("begun", [0, 3], ids=["before text", "after text"])
def test_an_error_and_then_done_is_no_success(chain, error, begun):
    """An error object followed by `[DONE]`: failed, text kept, the server's words in the line; asked once."""
    stream = chat(chain, Answer.sse(*HELLO[:begun], sse_data(error), DONE), otherwise=ONCE.whole())
    assert chain.rest(stream) == "failed"
    assert "the engine has stopped" in stream.error["message"]
    assert stream.text == (TEXT if begun else "")
    assert len(chain.requests) == 1


@pytest.mark.parametrize("begun", [0, 3], ids=["before text", "after text"])
def test_an_error_that_may_pass_is_asked_again_only_before_text(chain, begun):
    """`overloaded` inside the stream: repeated while nothing was shown; after text it ends the message."""
    error = sse_data({"error": {"message": "too busy", "type": "overloaded_error"}})
    stream = chat(chain, Answer.sse(*HELLO[:begun], error, DONE), otherwise=Answer.sse(*HELLO, STOP, DONE))
    state = chain.rest(stream)
    if begun:
        assert state in ("failed", "interrupted")
        assert len(chain.requests) == 1
    else:
        assert state == "complete"
        assert len(chain.requests) == 2


@pytest.mark.parametrize("cut", [{"end": "clean"}, {"end": "reset"}, {"end": "cut"}, {"framing": "close"}], ids=str)
def test_neither_finish_nor_done_is_a_cut(chain, cut):
    """Text, then the connection ends, cleanly or not: interrupted, sent once, and offered is all but Resume."""
    stream = chat(chain, Answer.sse(*HELLO, **cut), otherwise=Answer.sse(*HELLO, STOP, DONE))
    assert chain.rest(stream) == "interrupted"
    assert stream.text == TEXT
    assert stream.status()["actions"] == ["continue", "regenerate"]
    assert len(chain.requests) == 1


def test_a_role_without_text_is_nothing_shown(chain):
    """Only `role: assistant` has come, no text: the cut call is sent again."""
    stream = chat(chain, Answer.sse(HELLO[0], end="reset"), Answer.sse(*HELLO, STOP, DONE))
    assert chain.rest(stream) == "complete"
    assert len(chain.requests) == 2


@pytest.mark.parametrize("kind", ["reasoning", "tool call"])
def test_reasoning_and_tool_calls_count_as_shown(chain, kind):
    """Reasoning or half a tool call was shown: a second call would cost again and may differ, so there is none."""
    call = {"index": 0, "id": "t1", "function": {"name": "tide", "arguments": '{"po'}}
    delta = {"reasoning_content": "hmm"} if kind == "reasoning" else {"tool_calls": [call]}
    stream = chat(chain, Answer.sse(sse_data(chunk(None, **delta)), end="reset"), otherwise=ONCE.whole())
    assert chain.rest(stream) == "interrupted"
    assert len(chain.requests) == 1


def test_ids_without_offsets_are_no_cursor(chain):
    """An `id:` line alone promises nothing in this format: cut after text, the call is not repeated."""
    named = [f"id: {number}\n".encode() + frame for number, frame in enumerate(HELLO)]
    stream = chat(chain, Answer.sse(*named, end="reset"), otherwise=ONCE.whole())
    assert chain.rest(stream) == "interrupted"
    assert len(chain.requests) == 1


def test_a_cut_behind_the_finish_reason_is_complete_or_says_otherwise(chain):
    """All the text and the finish_reason have come, then a reset before [DONE]: exact text, never sent again."""
    stream = chat(chain, Answer.sse(*HELLO, STOP, end="reset"), otherwise=ONCE.whole())
    assert chain.rest(stream) in ("complete", "interrupted")
    assert stream.text == TEXT
    assert len(chain.requests) == 1


def test_regenerate_asks_anew_and_keeps_the_old_one(chain):
    """After a cut without a cursor: Regenerate is a new stream with its own text; the old one stays as it was."""
    stream = chat(chain, Answer.sse(*HELLO, end="reset"), Answer.sse(*HELLO, STOP, DONE))
    assert chain.rest(stream) == "interrupted"
    again = nbstream.regenerate(stream)
    assert again.id != stream.id
    assert again.wait(10) == "complete"
    assert again.text == TEXT
    assert chain.rest(stream) == "interrupted"
    assert len(chain.requests) == 2
