"""Frames in, arrivals out: every format's reader, without a connection."""

import json
import time
from urllib.parse import quote

import pytest
from httpx_sse import ServerSentEvent

from nbstream.errors import SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End
from nbstream.sources.formats.native import Native
from nbstream.sources.formats.openai_chat import OpenAIChat
from nbstream.sources.formats.plain import Custom, PlainText
from nbstream.sources.formats.registry import Auto
from nbstream.sources.http.call import Call, with_offset
from nbstream.sources.http.sse import sse
from nbstream.sources.models.chat import chat
from nbstream.sources.redaction import HIDDEN, Redactor, holds_key, safe_url


def event(data="", name="message", id=""):
    """Return an event; data that is no text is sent as JSON."""
    return ServerSentEvent(name, data if isinstance(data, str) else json.dumps(data), id)


def chunk(delta=None, finish=None, **more):
    """Return a chat-completion chunk."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
            **more}  # fmt: skip


def chunks(*deltas):
    """Return events with one chunk each."""
    return [event(chunk(delta)) for delta in deltas]


def parts(reader, *events):
    """Return the parts that *reader* finds in *events*."""
    return [part for one in events if (arrival := reader.read(one)) for part in arrival.parts]


# openai.chat


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"content": "Hi"}, [Part("text", "Hi")]),
        ({"role": "assistant", "content": ""}, []),
        ({"role": "assistant", "content": None, "refusal": None}, []),
        ({}, []),
        (None, []),
        ({"reasoning_content": "hm", "content": None}, [Part("reasoning", "hm")]),
        ({"reasoning": "hm", "reasoning_content": "hm", "reasoning_details": [{"text": "hm"}]},
         [Part("reasoning", "hm")]),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"summary": "m"}, {"data": "?"}]},
         [Part("reasoning", "hm")]),
        ({"thinking": "hm", "content": "so"}, [Part("reasoning", "hm"), Part("text", "so")]),
        ({"refusal": "No."}, [Part("refusal", "No.")]),
        ({"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "so"}]},
         [Part("reasoning", "hm"), Part("text", "so")]),
        ({"content": [{"type": "image"}]}, [Part("raw", fields={"type": "image"})]),
        ({"tool_calls": [{"index": 1, "id": "c1", "function": {"name": "add", "arguments": ""}}]},
         [Part("tool_call", fields={"index": 1, "args_delta": "", "id": "c1", "name": "add"})]),
        ({"tool_calls": [{"index": 1, "function": {"arguments": '{"a"'}}]},
         [Part("tool_call", fields={"index": 1, "args_delta": '{"a"'})]),
        ({"function_call": {"name": "add", "arguments": "{}"}},
         [Part("tool_call", fields={"index": 0, "args_delta": "{}", "name": "add"})]),
    ],
)  # fmt: skip
def test_what_a_chunk_says(delta, expected):
    """Text, reasoning (counted once, under whatever names), refusals and tool calls become parts; nothing else does."""
    assert parts(OpenAIChat(), *chunks(delta)) == expected


def test_usage_model_and_choices_that_are_empty():
    """Usage comes behind the finish in a chunk without choices; the model is told once."""
    reader = OpenAIChat()
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8,
             "prompt_tokens_details": {"cached_tokens": 2},
             "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": None}}  # fmt: skip
    first = reader.read(event(chunk({"content": "a"}, model="m-1", usage=None)))
    again = reader.read(event(chunk({"content": "b"}, model="m-1")))
    assert (first.model, again.model) == ("m-1", None)
    assert reader.read(event({"choices": [], "prompt_filter_results": []})) == Arrival()
    told = reader.read(event({"choices": [], "usage": usage}))
    assert told.usage == {"input": 3, "output": 5, "reasoning": 4, "cached": 2, "total": 8}


@pytest.mark.parametrize(
    ("raw", "finish"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("function_call", "tool_calls"),
     ("content_filter", "content_filter"), ("something_new", "other"), (None, "stop")],
)  # fmt: skip
def test_done_ends_with_the_finish_reason(raw, finish):
    """`[DONE]` is the end mark, in our word for the finish and in the server's."""
    reader = OpenAIChat()
    reader.read(event(chunk({}, raw)))
    assert reader.read(event("[DONE]")).end == End(finish, raw)


def test_without_done_only_a_finish_reason_makes_the_end_of_the_connection_an_end():
    """EOF is no end mark, but some servers leave `[DONE]` out behind a finish_reason."""
    reader = OpenAIChat()
    reader.read(event(chunk({"content": "a"})))
    assert reader.eof() is None
    reader.read(event(chunk({}, "length")))
    assert reader.eof().end == End("length", "length")


@pytest.mark.parametrize(
    ("frame", "retryable", "said"),
    [
        ({"error": {"message": "busy", "type": "overloaded_error"}}, True, "busy"),
        ({"error": {"message": "boom", "code": 500}}, True, "boom"),
        ({"error": {"message": "pay", "type": "insufficient_quota", "code": 429}}, False, "pay"),
        ({"error": {"message": "long", "type": "invalid_request_error", "code": None}}, False, "long"),
        ({"error": "just words"}, False, "just words"),
        ({"object": "error", "message": "vllm", "code": 400}, False, "vllm"),
        ({**chunk({"content": ""}, "error"), "error": {"message": "up", "code": 502}}, True, "up"),
        (chunk({}, "error"), True, "finish_reason 'error'"),
    ],
)
def test_an_error_object_is_no_success(frame, retryable, said):
    """An error frame raises at once, so that a `[DONE]` behind it is never seen."""
    with pytest.raises(SourceRefused) as caught:
        OpenAIChat().read(event(frame))
    assert caught.value.retryable is retryable
    assert caught.value.status is None
    assert said in str(caught.value)


def test_an_error_by_event_name():
    """`event: error` is an error even if its JSON does not say so."""
    with pytest.raises(SourceRefused, match="nope"):
        OpenAIChat().read(event({"message": "nope"}, "error"))


@pytest.mark.parametrize(
    "data",
    ["{", "nonsense", "[1]", '"text"', '{"choices": 5}', '{"choices": ["a"]}', '{"choices": [{"delta": "x"}]}',
     '{"choices": [{"delta": {"content": 5}}]}', '{"choices": [{"delta": {"tool_calls": [3]}}]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_chunk_is_malformed_and_quoted(data):
    """Garbage raises an error that quotes its first 80 characters."""
    with pytest.raises(SourceMalformed) as caught:
        OpenAIChat().read(event(data))
    assert repr(data[:80]) in str(caught.value)


def test_unknown_frames_are_recorded_by_type_only():
    """What has no choices and no error is passed on without its content."""
    assert parts(OpenAIChat(), event({"type": "keepalive", "secret": 1})) == [Part("raw", fields={"type": "keepalive"})]
    assert parts(OpenAIChat(), event({"x": 1}, "telemetry")) == [Part("raw", fields={"type": "telemetry"})]
    assert OpenAIChat().read(event("")) is None


def test_several_choices_are_several_voices():
    """With n=2 the answers do not run into each other."""
    both = {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}
    assert [(part.agent, part.text) for part in parts(OpenAIChat(), event(both))] == [
        ("assistant", "a"),
        ("assistant-2", "b"),
    ]


def test_an_id_alone_is_no_cursor_for_chat():
    """A cursor needs the id *and* the offset; then the frame says where its text starts, in code points."""
    reader = OpenAIChat()
    assert reader.read(event(chunk({"content": "a"}), id="1")).cursor is None
    assert reader.read(event(chunk({"content": "a"}, offset=0))).cursor is None
    arrival = reader.read(event(chunk({"reasoning": "hm", "content": "a😀"}, offset=4), id="t2"))
    assert (arrival.start, arrival.event_id) == (4, "t2")
    assert arrival.cursor == {"id": "t2", "first": "t2", "offset": 6}


# nbstream and agent_output


def test_one_voice():
    """`delta` carries text and offset, `event: done` length and digest."""
    reader = Native()
    arrival = reader.read(event({"type": "delta", "offset": 3, "text": "é😀"}, id="5"))
    assert arrival == Arrival((Part("text", "é😀"),), {"id": "5", "first": "5", "offset": 5}, start=3, event_id="5")
    end = reader.read(event({"length": 5, "sha256": "ab"}, "done", "5"))
    assert end.end == End(length=5, sha256="ab")


def test_an_event_without_an_id_names_no_place_unless_it_carries_an_offset():
    """The id of an earlier event is not the place behind this one."""
    reader = Native({"id": "4", "first": "1"})
    assert reader.read(event({"type": "delta", "text": "a"}, id="4")).cursor is None
    assert reader.read(event({"type": "delta", "text": "a"}, id="")).cursor is None
    assert reader.read(event({"type": "delta", "text": "b", "offset": 7}, id="4")).cursor == {
        "id": "4",
        "first": "1",
        "offset": 8,
    }
    assert Native().read(event({"type": "delta", "text": "b", "offset": 7})).cursor == {"offset": 8}


def test_agents_keep_their_numbers_in_the_cursor():
    """`agent_output` carries the agent and its sequence; the cursor holds the last one of every agent."""
    reader = Native({"id": "8", "first": "1", "numbers": {"a": 3, "b": 4}})
    arrival = reader.read(event({"type": "agent_output", "agent": "a", "content": "x", "sequence": 4}, id="9"))
    assert arrival.parts == (Part("text", "x", "a"),)
    assert arrival.number == 4
    assert arrival.cursor == {"id": "9", "first": "1", "numbers": {"a": 4, "b": 4}}
    assert reader.read(event({"type": "agent_output", "content": "y"})).parts == (Part("text", "y"),)


@pytest.mark.parametrize(
    "end", [event({"agents": {}}, "done"), event({"type": "done"}), event("[DONE]"), event("", "done")]
)
def test_the_end_marks_of_native_frames(end):
    """`event: done`, a frame of type done and `[DONE]` end; the end of the connection does not."""
    assert Native().read(end).end == End()
    assert Native().eof() is None


@pytest.mark.parametrize(
    "frame",
    [{"type": "delta"}, {"type": "delta", "text": 5}, {"type": "delta", "text": "a", "offset": -1},
     {"type": "delta", "text": "a", "offset": "3"}, {"type": "agent_output", "content": None},
     {"type": "agent_output", "agent": 3, "content": "a"}, {"type": "done", "length": "9"}],
)  # fmt: skip
def test_broken_native_frames_are_malformed(frame):
    """What is there gets checked."""
    with pytest.raises(SourceMalformed, match="not of its format"):
        Native().read(event(frame))


def test_native_errors_and_unknown_types():
    """`event: error` and a frame of type error raise, with their own word on retrying; the unknown is named only."""
    with pytest.raises(SourceRefused, match="over") as caught:
        Native().read(event({"message": "over", "retryable": True}, "error"))
    assert caught.value.retryable
    with pytest.raises(SourceRefused, match="over"):
        Native().read(event({"type": "error", "message": "over"}))
    assert parts(Native(), event({"type": "agent_start", "x": 1})) == [Part("raw", fields={"type": "agent_start"})]
    assert parts(Native(), event({"x": 1}, "status")) == [Part("raw", fields={"type": "status"})]


# text, read= and auto


def test_plain_text():
    """Data is the text, line ends included; `done`, `end` and `[DONE]` end it, the end of the connection does not."""
    reader = PlainText()
    assert parts(reader, event(" Hello\nyou ")) == [Part("text", " Hello\nyou ")]
    assert reader.read(event("x", id="1")).cursor == {"id": "1", "first": "1"}
    assert [reader.read(one).end for one in (event("[DONE]"), event("x", "done"), event("", "end"))] == [End()] * 3
    assert reader.eof() is None
    with pytest.raises(SourceRefused, match="sorry"):
        reader.read(event("sorry", "error"))


def test_a_function_reads_odd_formats():
    """str, Part, Arrival or None; cursor and id are added; `[DONE]` and an unread `done` end."""
    answers = iter(["a", Part("reasoning", "b"), Arrival(end=End("length")), None])
    reader = Custom(lambda one: next(answers))
    assert reader.read(event("1", id="7")) == Arrival((Part("text", "a"),), {"id": "7", "first": "7"}, event_id="7")
    assert reader.read(event("2")).parts == (Part("reasoning", "b"),)
    assert reader.read(event("3")).end == End("length")
    assert reader.read(event("4")) is None
    assert reader.read(event("[DONE]")).end == End()
    assert Custom(lambda one: None).read(event("", "done")).end == End()


def test_a_function_that_fails_is_named():
    """What read() raises, or returns by mistake, is an error that quotes the event."""
    with pytest.raises(SourceMalformed, match=r"read\(\) raised JSONDecodeError.*'oops'"):
        Custom(lambda one: one.json()["x"]).read(event("oops"))
    with pytest.raises(SourceMalformed, match=r"read\(\) returned int"):
        Custom(lambda one: 5).read(event("x"))


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (event(chunk({"content": "Hi"})), "Hi"),
        (event({"type": "delta", "text": "Hi"}), "Hi"),
        (event({"type": "agent_output", "agent": "a", "content": "Hi"}), "Hi"),
        (event("Hi"), "Hi"),
        (event("{ not json"), "{ not json"),
        (event("42"), "42"),
    ],
)
def test_auto_takes_the_format_of_the_first_telling_frame(first, text):
    """Frames of no known type may come before; they are life, not output."""
    assert [part.text for part in parts(Auto(None), first)] == [text]


def test_auto_carries_its_choice_in_the_cursor():
    """The next connection may begin with a frame that tells nothing."""
    reader = Auto(None)
    reader.read(event({"type": "hello"}))
    cursor = reader.read(event({"type": "delta", "text": "a"}, id="1")).cursor
    assert cursor == {"id": "1", "format": "nbstream", "first": "1"}
    assert Auto(cursor).read(event({"length": 1}, "done")).end == End(length=1)


def test_auto_refuses_to_guess():
    """Frames of an unknown format end in one line that says what to give, never in silent text."""
    reader = Auto(None)
    assert reader.read(event({"hello": 1})) == Arrival()
    with pytest.raises(SourceMalformed, match="give format= or read="):
        reader.read(event("[DONE]"))
    with pytest.raises(SourceMalformed, match="give format= or read="):
        reader.eof()
    with pytest.raises(SourceMalformed, match="broken JSON"):
        Auto(None).read(event('{"choices": [{"de'))


# What is asked: calls, fingerprints, keys


def test_the_fingerprint_is_the_question():
    """Method, URL, body and format make it; headers, key order, user and password do not."""
    base = sse("http://h/x", method="POST", json={"a": 1, "b": 2})
    same = [
        sse("http://h/x", method="post", json={"b": 2, "a": 1}),
        sse("http://me:pw@h/x", method="POST", json={"a": 1, "b": 2}, headers={"X": "y"}),
    ]
    other = [
        sse("http://h/x"),
        sse("http://h/x?room=2", method="POST", json={"a": 1, "b": 2}),
        sse("http://h/x", method="POST", json={"a": 1, "b": 3}),
        sse("http://h/x", method="POST", content='{"a":1,"b":2}'),
        sse("http://h/x", method="POST", json={"a": 1, "b": 2}, format="text"),
    ]
    assert {one.fingerprint for one in same} == {base.fingerprint}
    assert base.fingerprint not in {one.fingerprint for one in other}
    assert len({one.fingerprint for one in other}) == len(other)


def test_a_chat_is_one_post():
    """The request of `chat()`: messages, stream, parameters; the log gets the beginning of the prompt as a title."""
    source = chat("Why  is\nthe sky blue? " * 9, system="Be brief.", temperature=0, stream_options=None)
    body = json.loads(source.call.body)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (body["stream"], body["temperature"], "stream_options" in body) == (True, 0, False)
    assert source.spec["url"] == "demo:/v1/chat/completions"
    assert source.spec["title"].startswith("Why is the sky blue? Why is")
    assert len(source.spec["title"]) == 80
    assert json.loads(source.spec["content"]) == body


@pytest.mark.parametrize(
    ("model", "base_url", "url", "name", "key_env"),
    [
        ("demo:", None, "demo:/v1/chat/completions", "demo", None),
        ("demo", None, "demo:/v1/chat/completions", "demo", None),
        ("openai:gpt-5", None, "https://api.openai.com/v1/chat/completions", "gpt-5", "OPENAI_API_KEY"),
        ("llama3:8b", "http://h:1/v1/", "http://h:1/v1/chat/completions", "llama3:8b", None),
        ("openai:m", "http://h/v1?v=1", "http://h/v1/chat/completions?v=1", "m", "OPENAI_API_KEY"),
        ("m", "http://h/chat/completions", "http://h/chat/completions", "m", None),
    ],
)
def test_where_a_model_lives(model, base_url, url, name, key_env):
    """A model's name, with or without base_url, becomes an address, a name and the variable of the key."""
    call = chat("x", model, base_url=base_url).call
    assert (call.url, json.loads(call.body)["model"], call.key_env) == (url, name, key_env)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: chat("x", "gpt-5"),
            "unknown model 'gpt-5': did you mean openai:gpt-5?",
        ),
        (lambda: chat("x", "openai:"), "unknown model"),
        (lambda: chat("x", base_url="http://h"), "name the model"),
        (lambda: chat("  "), "the prompt is empty"),
        (lambda: chat([]), "messages must be"),
        (lambda: chat([{"content": "x"}]), "messages must be"),
        (lambda: sse("ftp://h"), "not an http"),
        (lambda: sse("http://"), "not an http"),
        (lambda: sse("http://h:99999"), "not an http"),
        (lambda: sse("nonsense"), "not an http"),
        (lambda: sse("http://exa mple/"), "not an http:// or https:// address: 'http://exa mple/'"),
        (lambda: sse(" http://h/"), "not an http"),
        (lambda: sse("http://h\u2003x/"), "not an http"),
        (lambda: sse("http://h\n/x"), "not an http"),
        (lambda: sse("http://h/\x1b[31m"), "not an http"),
        (lambda: sse("http://u:secret@[::1/x?key=secret"), "not an http"),
        (lambda: sse("u:secret@h/x?key=secret"), "not an http"),
        (lambda: chat("x", "m", base_url="localhost:8080"), "not an http:// or https:// address: 'localhost:8080'"),
        (lambda: chat("x", "m", base_url="/v1/"), "address: '/v1/'"),
        (lambda: chat("x", "m", base_url="http://[::1/v1"), "address: 'http://[::1/v1'"),
        (lambda: chat("x", "m", base_url=""), "address: ''"),
        (lambda: sse("http://h", format="xml"), "unknown format 'xml': use openai.chat, "),
        (lambda: sse("http://h", json={}, content="x"), "json= or content="),
        (lambda: sse("http://h", json=float("nan")), "not JSON"),
        (lambda: sse("http://h", headers={"X-Key": "secret\n"}), "header 'X-Key' holds characters"),
        (lambda: sse("http://h", headers={"X Key": "v"}), "header 'X Key' holds characters"),
    ],
)
def test_wrong_arguments_are_one_clear_line(make, said):
    """Nothing is sent; the message says what to give, and quotes no header's value."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_urls_show():
    """User, password and values of key-like parameters are hidden; the rest stays."""
    shown = safe_url("https://u:p@h:1/a?max_tokens=5&api_key=K&access_token=T&sig=S&design=x#frag")
    assert shown == f"https://{HIDDEN}@h:1/a?max_tokens=5&api_key={HIDDEN}&access_token={HIDDEN}&sig={HIDDEN}&design=x"


def test_texts_are_redacted():
    """Known secrets go, the longest first, and what has the shape of a key goes unknown."""
    redact = Redactor(["abcd", "abcdef", "no"])
    assert redact("abcdef abcd no") == "*** *** no"
    assert redact("key sk-proj-0123456789ghijklmn, Bearer abc.def-ghi_jkl") == "key ***, Bearer ***"


PROSE = [
    "How do I rotate an API key? Set api_key=YOUR_KEY, and Authorization: Bearer <token>.",
    "Explain basic JavaScript, basic HTML5/CSS3-layout, basic input/output and the basic principles of physics.",
    "The standard bearer organisation and bearer authentication; task-management-for-engineers, skateboarding-lessons.",
    "password=... & user=...",
    "a=b and c=d",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_about_keys_is_kept(text):
    """A prompt that talks about keys holds none: it is stored, shown and left as it is."""
    assert Redactor([])(text) == text
    source = chat(text)
    assert json.loads(source.spec["content"])["messages"][0]["content"] == text
    assert source.spec["title"] == text[:80]
    assert sse("http://h", method="POST", content=text).spec["content"] == text


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 4000, "tokens_per_s": 1000, "stop_token_ids": [50256, 50257], "seed": 12345},
        {"api_key": "", "token": None, "use_auth": True, "keywords": ["none"], "author": "somebody"},
        {"tools": [{"function": {"parameters": {"properties": {
            "api_key": {"type": "string", "description": "the string to send"}, "token": {"$ref": "#/d"}}}}}]},
    ],
)  # fmt: skip
def test_names_that_only_sound_like_keys_are_kept(body):
    """Numbers of tokens, empty keys and the schema of a tool that takes a key are no secrets."""
    source = sse("http://h", method="POST", json=body)
    assert json.loads(source.spec["content"]) == body
    told = json.dumps(body)
    assert source.call.redact(told) == told


@pytest.mark.parametrize(
    "body",
    [
        {"api_key": "hunter22"},
        {"apiKey": {"value": ["hunter22"]}},
        {"Authorization": ["Bearer hunter22"]},
        {"a": [{"b": {"credentials": {"user": "me12", "pin": "hunter22"}}}]},
        {"properties": {"password": "hunter22"}},
        {"properties": {"credentials": {"value": "hunter22"}}},
    ],
)
def test_keys_in_json_bodies_are_secrets(body):
    """Whatever stands under the name of a key is neither stored nor told, with its scheme or without."""
    source = sse("http://h", method="POST", json=body)
    assert "content" not in source.spec
    for told in ("you sent hunter22", json.dumps(body), f"Bearer: {body}"):
        assert "hunter22" not in source.call.redact(told)


def test_keys_are_told_in_every_spelling():
    """Numbers, and what JSON or a form escapes."""
    call = sse("http://h", method="POST", json={"pin_token": 987654, "secret": 'gr"ün'}).call
    assert call.redact("987654") == "***"
    assert call.redact('gr"ün') == "***"
    assert call.redact(call.body.decode()) == '{"pin_token":***,"secret":"***"}'


@pytest.mark.parametrize(
    "content",
    [
        "api_key=formsecret99&q=x",
        b"q=x&user%5Bapi_key%5D=formsecret99",
        "token=formsecret99",
        "q=a+b&pass%77ord=form%73ecret99",
        "\ufeffapi_key=formsecret99",
        "api_key=formsecret99\r\n",
    ],
)
def test_keys_in_forms_are_secrets(content):
    """A form is known by its shape; its keys are neither stored nor told, as they were sent or decoded."""
    source = sse("http://h", method="POST", content=content)
    assert "content" not in source.spec
    raw = content if isinstance(content, str) else content.decode()
    assert "secret99" not in source.call.redact(f"you sent formsecret99 in {raw}")


def test_a_form_without_keys_is_kept():
    """It can be asked again by any process."""
    content = "q=a+b&max_tokens=5&design=x"
    assert sse("http://h", method="POST", content=content).spec["content"] == content
    declared = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert "content" not in sse("http://h", method="POST", content="q=a b&key=so me", headers=declared).spec


@pytest.mark.parametrize(
    "key",
    ["sk-proj-0123456789ghijklmn", "AIzaSyA0123456789abcdefgh", "hf_abcdefghijklmnopqrst",
     "Bearer abc.def-ghi_jkl", "Bearer sk-only-letters-in-this-key", "basic bWU6aHVudGVyMjI="],
)  # fmt: skip
def test_what_has_the_shape_of_a_key_is_not_stored(key):
    """Wherever it stands: in text, in JSON behind an escaped line end, as a name, in a form; titles hide it too."""
    for source in (
        chat(f"Is this a good key?\n{key}"),
        chat(f"{'x' * 60}\n{key}"),
        chat("x", metadata={key: 1}),
        sse("http://h", method="POST", content=f"my key: {key}"),
        sse("http://h", method="POST", content=f'{{"q": "\\n{key}"}}'),
        sse("http://h", method="POST", content=f"q={quote(key)}"),
    ):
        assert "content" not in source.spec
        assert key[-8:] not in json.dumps(source.spec)
        assert key.split(" ")[-1][:10] not in json.dumps(source.spec)


def test_a_key_that_a_quote_cuts_is_hidden_too():
    """Refusals and frames are quoted from their beginning, which may end inside a key."""
    redact = Redactor(["hunter22-and-more"])
    assert redact("no: hunter22-a...") == "no: ***..."
    assert redact("malformed: 'x hunter22'") == "malformed: 'x ***'"


def test_looking_for_keys_takes_no_longer_than_reading():
    """A token of a million letters is looked through once."""
    started = time.monotonic()
    for token in ("a" * 10**6 + "1", "aB" * 500_000, "-" * 10**6, "a=" * 500_000, "sk-" * 300_000):
        holds_key(f"Bearer {token} basic {token}")
    assert time.monotonic() - started < 2


def test_the_offset_is_added_without_touching_the_rest():
    """A signed query stays byte for byte; an old offset is replaced."""
    assert with_offset("http://h/x?a=%20b&offset=3&c", 9) == "http://h/x?a=%20b&c&offset=9"
    assert with_offset("http://h/x", 0) == "http://h/x?offset=0"


def test_a_call_shows_no_secret():
    """Its repr is method and address."""
    call = Call.of("GET", "http://u:p@h/x?key=K", headers={"Authorization": "Bearer zzz"})
    assert repr(call) == f"GET http://{HIDDEN}@h/x?key={HIDDEN}"
