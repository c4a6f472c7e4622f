"""The demo server over real sockets: every endpoint, every fault, and nothing left open."""

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from urllib.parse import urlencode, urlsplit

import pytest

from nbstream.demo import DemoModel, DemoServer, demo_url

FAST = {"prompt": "Why do rivers bend?", "tokens_per_s": 0}
TEXT = DemoModel().text(FAST["prompt"])


class Answer:
    """What came over one connection: status, headers, HTTP chunks, and how the connection ended."""

    def __init__(self):
        self.status = 0
        self.headers = {}
        self.chunks = []
        self.whole = False  # the last chunk came
        self.reset = False

    @property
    def body(self):
        return b"".join(self.chunks)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """Whole events only: `{"id", "event", "data"}`."""
        blocks = self.body.decode().split("\n\n")[:-1]
        events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
        for event in events:
            if event["data"] != "[DONE]":
                event["data"] = json.loads(event["data"])
        return events

    @property
    def text(self):
        """The text of the whole frames, whatever their format."""
        parts = []
        for event in self.events:
            data = event["data"]
            if data == "[DONE]":
                continue
            parts += [data.get("text") or data.get("content") or ""]
            parts += [choice["delta"].get("content", "") for choice in data.get("choices", [])]
        return "".join(parts)

    @property
    def last_id(self):
        return [event["id"] for event in self.events if "id" in event][-1]


async def connect(server, path, query=None, *, body=None, last_event_id=None, version="HTTP/1.1"):
    """Send one request; a body makes it a POST."""
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    target = f"{path}?{urlencode(query)}" if query else path
    lines = [f"{'GET' if body is None else 'POST'} {target} {version}", "Host: demo"]
    lines += [f"Last-Event-ID: {last_event_id}"] if last_event_id else []
    lines += [f"Content-Length: {len(content)}"] if content else []
    writer.write("\r\n".join([*lines, "", ""]).encode() + content)
    return reader, writer


async def read_head(reader, answer):
    """Read status line and headers."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    answer.status = int(status.split()[1])
    answer.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


async def ask(server, path, query=None, *, stop_after_s=None, **options):
    """Send one request and read its answer to the end, or until nothing came for *stop_after_s*."""
    answer = Answer()
    reader, writer = await connect(server, path, query, **options)
    try:
        await read_head(reader, answer)
        if "transfer-encoding" not in answer.headers:
            answer.chunks.append(await reader.read())
            return answer
        while True:
            line = await asyncio.wait_for(reader.readline(), stop_after_s)
            if not line:
                break
            data = await asyncio.wait_for(reader.readexactly(int(line, 16) + 2), stop_after_s)
            if line == b"0\r\n":
                answer.whole = True
                assert await reader.read() == b""
                break
            answer.chunks.append(data[:-2])
    except ConnectionResetError:
        answer.reset = True
    except asyncio.TimeoutError:
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answer


def chat_body(**more):
    """A chat request that asks for the same text as `FAST`."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": FAST["prompt"]}]
    return {"model": "demo", "messages": messages, "stream": True, "tokens_per_s": 0, **more}


async def all_closed(server):
    """Wait for the last stream to close, at most 1 s."""
    deadline = time.monotonic() + 1
    while server.open_connections:
        assert time.monotonic() < deadline, f"{server.open_connections} connections open after 1 s"
        await asyncio.sleep(0.005)


def run(case):
    """Run `case(server)` with a server of its own; afterwards no stream is open."""

    async def main():
        async with DemoServer() as server:
            await case(server)
            await all_closed(server)

    asyncio.run(main())


def test_stream_carries_offsets_ids_and_a_checked_end():
    """Every delta says where it belongs; `done` has length and digest of the whole text."""

    async def case(server):
        answer = await ask(server, "/stream", FAST)
        assert (answer.status, answer.headers["content-type"], answer.whole) == (200, "text/event-stream", True)
        assert answer.text == TEXT
        offset = 0
        for event in answer.events[:-1]:
            text = event["data"]["text"]
            assert event["data"] == {"type": "delta", "offset": offset, "text": text}
            offset += len(text)
            assert event["id"] == str(offset)
        digest = hashlib.sha256(TEXT.encode()).hexdigest()
        assert answer.events[-1] == {"event": "done", "data": {"length": len(TEXT), "sha256": digest}}

    run(case)


def test_stream_resumes_behind_any_offset():
    """By header or by query, the rest and nothing but the rest; the end is that of the whole text."""

    async def case(server):
        done = (await ask(server, "/stream", FAST)).events[-1]
        for offset in (1, 2, 57, 800, len(TEXT) - 1, len(TEXT)):
            for how in ({"last_event_id": str(offset)}, {"query": {**FAST, "offset": offset}}):
                answer = await ask(server, "/stream", **{"query": FAST, **how})
                assert answer.text == TEXT[offset:]
                assert answer.events[-1] == done
                assert len(answer.events) == 1 or answer.events[0]["data"]["offset"] == offset

    run(case)


def test_chat_speaks_openai():
    """Role, content, finish, usage, `[DONE]`; ids and offsets on every chunk."""

    async def case(server):
        answer = await ask(server, "/v1/chat/completions", body=chat_body(stream_options={"include_usage": True}))
        *chunks, done = answer.events
        assert done == {"data": "[DONE]"}
        assert answer.text == TEXT
        first, *content, finish, usage = chunks
        assert first["id"] == "t0"
        assert first["data"]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [event["id"] for event in content] == [f"t{number}" for number in range(1, len(content) + 1)]
        offset = 0
        for event in content:
            assert event["data"]["offset"] == offset
            assert event["data"]["object"] == "chat.completion.chunk"
            offset += len(event["data"]["choices"][0]["delta"]["content"])
        assert finish["data"]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        assert finish["data"]["offset"] == len(TEXT)
        assert usage["data"]["choices"] == []
        assert usage["data"]["usage"]["completion_tokens"] == len(content)
        assert len({event["data"]["id"] for event in chunks}) == 1
        cut = await ask(server, "/v1/chat/completions", body=chat_body(max_tokens=5))
        assert cut.events[-2]["data"]["choices"][0]["finish_reason"] == "length"
        assert cut.text == "".join(DemoModel().tokens(FAST["prompt"], max_tokens=5))

    run(case)


def test_chat_resumes_by_id_and_by_offset():
    """`Last-Event-ID: t123` goes on with token 124, `offset` behind that code point; the role is not said again."""

    async def case(server):
        tokens = list(DemoModel().tokens(FAST["prompt"]))
        for number in (1, 123, len(tokens)):
            answer = await ask(server, "/v1/chat/completions", body=chat_body(), last_event_id=f"t{number}")
            assert answer.text == "".join(tokens[number:])
            assert answer.events[-1] == {"data": "[DONE]"}
        for options in ({"body": chat_body(offset=801)}, {"body": chat_body(), "query": {"offset": 801}}):
            answer = await ask(server, "/v1/chat/completions", **options)
            assert answer.text == TEXT[801:]
            assert answer.events[0]["data"]["offset"] == 801

    run(case)


def test_chat_goes_on_behind_a_prefill():
    """An assistant message at the end that is how the answer begins: the rest, at its offsets; any other is a 400."""

    async def case(server):
        def begun(text, **more):
            return {**chat_body(**more), "messages": [*chat_body()["messages"], {"role": "assistant", "content": text}]}

        for length in (1, 7, 800, 801, len(TEXT)):
            answer = await ask(server, "/v1/chat/completions", body=begun(TEXT[:length]))
            assert answer.text == TEXT[length:]
            assert [one["data"]["offset"] for one in answer.events[1:2]] == [length]
        answer = await ask(server, "/v1/chat/completions", body=begun(TEXT[:800], stream=False))
        assert answer.json["choices"][0]["message"]["content"] == TEXT[800:]
        for other in (f"{TEXT[:20]}?", f"{TEXT}?", [{"type": "text", "text": "You"}]):
            answer = await ask(server, "/v1/chat/completions", body=begun(other))
            assert answer.status == 400

    run(case)


def test_chat_without_stream_is_one_object():
    """`stream: false` is the same text, whole."""

    async def case(server):
        answer = await ask(server, "/v1/chat/completions", body=chat_body(stream=False))
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["choices"][0]["message"] == {"role": "assistant", "content": TEXT}
        assert answer.json["choices"][0]["finish_reason"] == "stop"

    run(case)


def test_agents_interleave_with_dense_sequences():
    """The planner begins, the reporter joins; each counts from 1; a resume goes on behind any frame."""

    async def case(server):
        answer = await ask(server, "/agents", FAST)
        *frames, done = answer.events
        assert [event["id"] for event in frames] == [f"a{number}" for number in range(1, len(frames) + 1)]
        agents = [event["data"]["agent"] for event in frames]
        assert agents[:20] == ["planner"] * 20
        assert agents[30:36] in (["planner", "reporter"] * 3, ["reporter", "planner"] * 3)
        for agent in ("planner", "reporter"):
            own = [event["data"] for event in frames if event["data"]["agent"] == agent]
            assert [data["sequence"] for data in own] == list(range(1, len(own) + 1))
            assert {data["type"] for data in own} == {"agent_output"}
            text = "".join(data["content"] for data in own)
            assert text == DemoModel(voice=agent).text(FAST["prompt"])
            digest = hashlib.sha256(text.encode()).hexdigest()
            assert done["data"]["agents"][agent] == {"length": len(text), "sha256": digest}
        for number in (1, 50, len(frames)):
            rest = await ask(server, "/agents", FAST, last_event_id=f"a{number}")
            assert rest.events == answer.events[number:]

    run(case)


def test_poll_pages_join_to_the_text():
    """`next` is the offset of the next page; `done` with the last one."""

    async def case(server):
        offset, pages, done = 0, [], False
        while not done:
            page = (await ask(server, "/poll", {"prompt": FAST["prompt"], "offset": offset, "limit": 333})).json
            assert page["offset"] == offset
            pages.append(page["text"])
            offset, done = page["next"], page["done"]
        assert "".join(pages) == TEXT
        assert all(len(page) == 333 for page in pages[:-1])

    run(case)


def test_http_1_0_is_delimited_by_close():
    """An old client gets the same events without chunks."""

    async def case(server):
        answer = await ask(server, "/stream", FAST, version="HTTP/1.0")
        assert "transfer-encoding" not in answer.headers
        assert answer.text == TEXT

    run(case)


@pytest.mark.parametrize("path", ["/stream", "/v1/chat/completions", "/agents"])
@pytest.mark.parametrize("how", ["cut", "reset", "stall"])
def test_a_break_strikes_once_and_the_rest_can_be_had(path, how):
    """Text up to the first frame that reaches 800, no end mark; behind the last id comes exactly the rest."""

    async def case(server):
        fault = {"fault": f"{how}:800"}
        options = {"body": chat_body(**fault)} if path.startswith("/v1") else {"query": {**FAST, **fault}}
        for _ in range(2):  # a fresh run is struck again
            first = await ask(server, path, stop_after_s=0.5 if how == "stall" else None, **options)
            assert 800 <= len(first.text) < 820
            assert (first.whole, first.reset) == (how == "cut", how == "reset")
            rest = await ask(server, path, last_event_id=first.last_id, **options)
            assert rest.whole
            whole = await ask(server, path, **({"body": chat_body()} if path.startswith("/v1") else {"query": FAST}))
            assert first.text + rest.text == whole.text

    run(case)


def test_a_break_strikes_at_growing_distance():
    """`cut:300:3` cuts at 300, 600 and 900."""

    async def case(server):
        query, text, answer = {**FAST, "fault": "cut:300:3"}, "", None
        for distance in (300, 600, 900, len(TEXT)):
            answer = await ask(server, "/stream", query, last_event_id=str(len(text)) if text else None)
            text += answer.text
            assert distance <= len(text) < distance + 20
        assert text == TEXT
        assert answer.events[-1]["event"] == "done"

    run(case)


def test_a_run_that_got_no_cursor_is_struck_once():
    """`cut:800,noresume`: no ids and no offsets, the second try from the beginning gets through, the third is cut."""

    async def case(server):
        for path, options in (
            ("/stream", {"query": {**FAST, "fault": "cut:800,noresume"}}),
            ("/v1/chat/completions", {"body": chat_body(fault="cut:800,noresume")}),
        ):
            for struck in (True, False, True):
                answer = await ask(server, path, last_event_id="5", **options)
                assert not any("id" in event for event in answer.events)
                assert b'"offset"' not in answer.body
                assert TEXT.startswith(answer.text)
                assert (len(answer.text) < 820) == struck
                assert (answer.text == TEXT) != struck

    run(case)


@pytest.mark.parametrize(
    ("fault", "statuses", "header"),
    [
        ("429", [429, 200, 429], None),
        ("429:7", [429, 200], "7"),
        ("503", [503, 200], None),
        ("503:2", [503, 503, 200, 503], None),
        ("401", [401, 401, 401], None),
        ("html", [502, 502], None),
    ],
)
def test_refusals(fault, statuses, header):
    """Each refuses as often as it says, on every endpoint; a request that resumes gets through what passes."""

    async def case(server):
        for path in ("/stream", "/agents", "/poll", "/v1/chat/completions"):
            query = {**({} if path == "/poll" else FAST), "fault": fault}
            options = {"body": chat_body(fault=fault)} if path.startswith("/v1") else {"query": query}
            for status in statuses:
                answer = await ask(server, path, **options)
                assert answer.status == status
                assert answer.headers.get("retry-after") == (header if status == 429 else None)
                if status == 502:
                    assert answer.headers["content-type"] == "text/html"
                    assert answer.body.startswith(b"<html>")
                elif status != 200:
                    assert answer.json["error"]["message"].startswith(f"demo fault {status}")
        resumed = await ask(server, "/stream", {**FAST, "fault": fault}, last_event_id="800")
        assert resumed.status == (statuses[0] if statuses[0] == statuses[1] and len(set(statuses)) == 1 else 200)

    run(case)


def test_noend_sends_all_but_the_end():
    """All of the text, no end mark, a clean EOF."""

    async def case(server):
        for path, options in (
            ("/stream", {"query": {**FAST, "fault": "noend"}}),
            ("/v1/chat/completions", {"body": chat_body(fault="noend")}),
        ):
            answer = await ask(server, path, **options)
            assert answer.text == TEXT
            assert answer.whole
            assert not any(mark in answer.body for mark in (b"event: done", b"[DONE]", b'"stop"'))

    run(case)


def test_duplicate_and_gap_strike_on_resume():
    """`duplicate` sends the last frame again, `gap` leaves text out; a fresh request is right."""

    async def case(server):
        plain = await ask(server, "/stream", FAST)
        chat = await ask(server, "/v1/chat/completions", body=chat_body())
        agents = await ask(server, "/agents", FAST)
        for fault in ("duplicate", "gap"):
            query, body = {**FAST, "fault": fault}, chat_body(fault=fault)
            assert (await ask(server, "/stream", query)).events == plain.events
            at = plain.events[99]["id"]
            native = await ask(server, "/stream", query, last_event_id=at)
            openai = await ask(server, "/v1/chat/completions", body=body, last_event_id="t100")
            team = await ask(server, "/agents", query, last_event_id="a100")
            if fault == "duplicate":
                assert native.events == plain.events[99:]
                assert openai.text == "".join(list(DemoModel().tokens(FAST["prompt"]))[99:])
                assert team.events == agents.events[99:]
            else:
                assert native.text == TEXT[int(at) + 40 :]
                assert native.events[-1] == plain.events[-1]
                assert openai.text == "".join(list(DemoModel().tokens(FAST["prompt"]))[108:])
                assert team.events == agents.events[108:]
            assert chat.text == TEXT

    run(case)


def test_split_cuts_inside_characters_and_json():
    """HTTP chunks end inside characters and inside JSON; joined, the bytes are right."""

    async def case(server):
        whole = await ask(server, "/stream", {**FAST, "fault": "split"})
        assert whole.body == (await ask(server, "/stream", FAST)).body
        assert any(chunk[-1] >= 0x80 for chunk in whole.chunks)
        assert sum(not chunk.endswith(b"\n\n") for chunk in whole.chunks) >= len(whole.events)
        for how in ("cut", "reset"):
            broken = await ask(server, "/stream", {**FAST, "fault": f"split,{how}:100"})
            with pytest.raises(UnicodeDecodeError):
                broken.body.decode()
            assert (broken.whole, broken.reset) == (how == "cut", how == "reset")

    run(case)


def test_slow_sends_byte_by_byte():
    """`slow:3000` keeps to 3000 bytes a second, every byte on its own."""

    async def case(server):
        started = time.monotonic()
        answer = await ask(server, "/stream", {**FAST, "fault": "slow:3000", "max_tokens": 30})
        seconds = time.monotonic() - started
        assert {len(chunk) for chunk in answer.chunks} == {1}
        assert len(answer.chunks) / 3000 * 0.9 < seconds < len(answer.chunks) / 3000 + 2

    run(case)


def test_10mb_is_ten_megabytes_and_resumes_at_once():
    """At least 10 MiB of text with a digest that holds; behind 10 MB the rest begins within 3 s."""

    async def case(server):
        query = {"prompt": "long", "fault": "10mb"}
        started = time.monotonic()
        answer = await ask(server, "/stream", query)
        print(f"10mb: {len(answer.body)} bytes in {time.monotonic() - started:.2f} s")
        text = answer.text
        assert len(text.encode()) >= 10 << 20
        assert answer.events[-1]["data"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        started = time.monotonic()
        rest = await ask(server, "/stream", query, last_event_id="10000000")
        print(f"resume: {time.monotonic() - started:.2f} s")
        assert rest.text == text[10_000_000:]
        assert time.monotonic() - started < 3

    run(case)


def test_pace():
    """`tokens_per_s` is kept and the first token is not delayed."""

    async def case(server):
        reader, writer = await connect(server, "/stream", {"prompt": "x", "tokens_per_s": 20, "max_tokens": 60})
        started = time.monotonic()
        await reader.readuntil(b"id: ")
        assert time.monotonic() - started < 1
        events = (await reader.read()).count(b"delta")
        assert events / 20 * 0.8 < time.monotonic() - started < events / 20 + 1
        writer.close()

    run(case)


@pytest.mark.parametrize(
    "query", [{"tokens_per_s": 50}, {"fault": "stall:1"}, {"fault": "10mb"}, {"fault": "slow:100"}]
)
def test_a_client_that_leaves_ends_its_stream(query):
    """While the text flows, in silence, in a flood and on a slow link: closed, without waiting for anything."""

    async def case(server):
        reader, writer = await connect(server, "/stream", {"prompt": "x", "max_tokens": 100_000, **query})
        await reader.readuntil(b"\r\n\r\n")
        await reader.read(1)
        assert server.open_connections == 1
        writer.close()
        started = time.monotonic()
        await all_closed(server)
        print(f"closed after {(time.monotonic() - started) * 1000:.1f} ms")

    run(case)


def test_a_client_that_does_not_read_holds_the_text_back():
    """The server sends no more than the sockets hold, and another client is served meanwhile."""

    async def case(server):
        _, writer = await connect(server, "/stream", {"prompt": "x", "fault": "10mb"})
        answer = await ask(server, "/stream", FAST)
        assert answer.text == TEXT
        assert server.open_connections == 1
        writer.transport.abort()

    run(case)


@pytest.mark.parametrize(
    ("path", "query", "body", "status", "message"),
    [
        ("/stream", {"fault": "cutt:8"}, None, 400, "unknown fault 'cutt': use cut, reset, stall, "),
        ("/stream", {"fault": "cut"}, None, 400, "bad argument in fault 'cut': use e.g. cut:800"),
        ("/stream", {"fault": "cut:x"}, None, 400, "bad argument 'x' in fault 'cut:x': use a whole number"),
        ("/stream", {"fault": "503:0"}, None, 400, "bad argument in fault '503:0'"),
        ("/stream", {"seed": "x"}, None, 400, 'seed must be a whole number from -9223372036854775808 on, not "x"'),
        ("/stream", {"max_tokens": "0"}, None, 400, "max_tokens must be a whole number from 1 on"),
        ("/stream", {"tokens_per_s": "-1"}, None, 400, "tokens_per_s must be a number from 0"),
        ("/stream", {"tokens_per_s": "nan"}, None, 400, "tokens_per_s must be a number from 0"),
        (
            "/stream",
            {"promt": "x"},
            None,
            400,
            "unknown parameter 'promt'; did you mean prompt? /stream takes prompt, seed",
        ),
        ("/stream", {"tools": "x"}, None, 400, "unknown parameter 'tools': /stream takes prompt, seed"),
        (
            "/v1/chat/completions",
            None,
            chat_body(max_token=30),
            400,
            "unknown parameter 'max_token'; did you mean max_tokens? /v1/chat/completions takes seed, max_tokens, ",
        ),
        ("/v1/chat/completions", None, chat_body(nosuch=3), 400, "unknown parameter 'nosuch': /v1/chat/completions"),
        ("/v1/chat/completions", {"temprature": "1"}, chat_body(), 400, "unknown parameter 'temprature'; did you mean"),
        ("/poll", {"fault": "cut:8"}, None, 400, "this fault needs a stream"),
        ("/v1/chat/completions", None, b"{", 400, "the body is not JSON"),
        ("/v1/chat/completions", None, [], 400, "the body is not a JSON object"),
        ("/v1/chat/completions", None, {"messages": []}, 400, "messages holds no message with role user"),
        ("/v1/chat/completions", None, {"messages": "x"}, 400, "messages must be a list"),
        ("/v1/chat/completions", None, chat_body(fault=["cut"]), 400, 'fault must be a string, not ["cut"]'),
        ("/v1/chat/completions", None, None, 405, "/v1/chat/completions takes POST, not GET"),
        ("/nothing", None, None, 404, "no such endpoint /nothing: use /v1/chat/completions"),
    ],
)
def test_a_wrong_request_gets_one_clear_line(path, query, body, status, message):
    """4xx, JSON, one line that says what to use."""

    async def case(server):
        answer = await ask(server, path, query, body=body)
        assert answer.status == status
        assert answer.json["error"]["message"].startswith(message)
        assert answer.body.count(b"\n") == 1

    run(case)


def test_what_clients_send_to_other_models_is_accepted():
    """The parameters of OpenAI's own API change nothing here, and are no error."""
    others = {
        "temperature": 0.2, "top_p": 1, "n": 1, "stop": ["x"], "tools": [], "tool_choice": "none", "user": "u",
        "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "response_format": {"type": "text"},
        "reasoning_effort": "low", "metadata": {}, "store": False, "parallel_tool_calls": True, "service_tier": "auto",
    }  # fmt: skip

    async def case(server):
        answer = await ask(server, "/v1/chat/completions", body=chat_body(**others))
        assert answer.status == 200
        assert (await ask(server, "/v1/chat/completions", body=chat_body())).text == answer.text

    run(case)


def test_a_foreign_cursor_is_refused():
    """An id that is not ours gets a 400, not the wrong text."""

    async def case(server):
        answer = await ask(server, "/v1/chat/completions", body=chat_body(), last_event_id="123")
        assert (answer.status, answer.json["error"]["message"]) == (
            400,
            "Last-Event-ID '123' is not one of ours: they look like t123",
        )
        assert (await ask(server, "/stream", FAST, last_event_id="t5")).status == 400

    run(case)


def test_garbage_and_early_leavers_do_no_harm():
    """Half a request, no request and no HTTP at all: the server goes on."""

    async def case(server):
        url = urlsplit(server.url)
        for data in (b"", b"GET /stream", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            writer.write(data)
            writer.write_eof()
            assert (await reader.read()).startswith(b"HTTP/1.1 400") == (b"\r\n\r\n" in data)
            writer.close()
        assert (await ask(server, "/healthz")).json == {"ok": True}

    run(case)


def test_the_log_tells_what_was_asked():
    """Method, path, cursor, fault, run and status of each request, and the open streams; no prompt."""

    async def case(server):
        await ask(server, "/stream", {**FAST, "fault": "429", "run": "mine"})
        await ask(server, "/v1/chat/completions", body=chat_body(prompt="secret"), last_event_id="t7")
        await ask(server, "/stream", {"fault": "nonsense"})
        reader, writer = await connect(server, "/stream", {"prompt": "x", "fault": "stall:1"})
        await reader.readuntil(b"\r\n\r\n")
        log = (await ask(server, "/log")).json
        assert log["open"] == 1
        writer.close()
        refused, chat, wrong, open_ = log["requests"]
        assert {**refused, "time": 0} == {
            "time": 0,
            "method": "GET",
            "path": "/stream",
            "last_event_id": None,
            "offset": None,
            "fault": "429",
            "run": "mine",
            "status": 429,
        }
        assert abs(refused["time"] - time.time()) < 60
        assert (chat["method"], chat["last_event_id"], chat["status"]) == ("POST", "t7", 200)
        assert (wrong["status"], open_["status"]) == (400, 200)
        assert "secret" not in json.dumps(log)
        assert [line.path for line in server.requests] == ["/stream", "/v1/chat/completions", "/stream", "/stream"]

    run(case)


def test_leaving_the_block_ends_open_streams():
    """No stream outlives the server, in silence or held up by its client; in a thread of its own as well."""

    async def client(server):
        pairs = [await connect(server, "/stream", {"prompt": "x", "fault": fault}) for fault in ("stall:1", "10mb")]
        for reader, _ in pairs:
            await reader.readuntil(b"\n\n")
        return [writer for _, writer in pairs]

    async def main():
        async with DemoServer() as server:
            writers = await client(server)
            assert server.open_connections == 2
        assert server.open_connections == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        for writer in writers:
            writer.close()

    async def with_a_thread():
        with DemoServer() as server:
            writers = await client(server)
            assert server.open_connections == 2
        for writer in writers:
            writer.close()
        return server

    asyncio.run(main())
    server = asyncio.run(with_a_thread())
    assert server.open_connections == 0
    assert server._thread is not None
    assert not server._thread.is_alive()


def test_demo_url_starts_once_and_fast():
    """The first call is done within 100 ms, later ones return the same server; a process of its own has its own."""
    script = """
import time
started = time.perf_counter()
import asyncio
imported = time.perf_counter()
from nbstream.demo import demo_url
url = demo_url()
print(url, time.perf_counter() - imported)
"""
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    url, seconds = child.stdout.split()
    print("import and start:", seconds, "s")
    assert demo_url() == demo_url() != url
    with urllib.request.urlopen(demo_url() + "/healthz") as answer:
        assert json.load(answer) == {"ok": True}
    starts = []
    for _ in range(3):
        started = time.perf_counter()
        with DemoServer():
            starts.append(time.perf_counter() - started)
    print("start alone:", starts)
    assert min(starts) < 0.1
