"""Whom a relay for many users calls, and that its keys go there alone. Real processes, real sockets."""

import asyncio
import itertools
import json
import signal
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from services import CANARY, ServiceRelay, lines_of_token, until, upstream

import nbstream
from nbstream.errors import RelayError, SourceLost, SourceRefused
from nbstream.relay.hub.upstreams import Upstreams
from nbstream.sources.http.fence import Fence, is_public
from nbstream.testing import Answer, FaultServer

#: How a step up may be spelled for one server or another.
WAYS_UP = (
    "%2e%2e/", "%2E./", ".%2e/", "%252e%252e/", "%25252e%25252e/", "%25/", "..%5c", "..%2f", "..;/", "..;x=1/",
    "..%3b/", "%2e%2e%3B/", "x;y/", "%c0%ae%c0%ae/", "%uff0e%uff0e/", "%u002e%u002e/", "%ef%bc%8e%ef%bc%8e/",
    "%e2%80%a5/", ".../", "..%20/", "..%09/", "..%00/", "..%0d/", "%e2%80%8b../", "%2e/",
)  # fmt: skip
DONE = "event: done\ndata: {}\n\n"


def delta(text, number=1):
    """Return an event that carries text and an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


@pytest.fixture
def servers():
    """Return two upstreams: one that is listed, with a key, and another."""
    with FaultServer() as listed, FaultServer() as other:
        yield listed, other


@pytest.fixture
def relay(tmp_path, servers):
    """Return a relay that may call /v1 of the first."""
    token, lines = lines_of_token("alice", starts_a_minute=100)
    with ServiceRelay(tmp_path / "hub", (lines, upstream(f"{servers[0].url}/v1"))) as relay:
        relay.token = token
        yield relay


def ended(relay, answer):
    """Wait until a stream is at rest; return its records."""
    stream = answer.json["id"]
    until(lambda: relay.state(stream, token=relay.token) not in {"connecting", "streaming", "retrying"})
    return relay.ask("GET", f"/v1/streams/{stream}/records", token=relay.token).json["records"]


def test_what_is_not_listed_is_not_called(relay, servers):
    """Another host, port, path or spelling is 403 with the hosts that are allowed, and no connection is made."""
    listed, other = servers
    port = listed.port
    tried = [
        f"{other.url}/v1", f"{listed.url}/v2", f"{listed.url}/", f"{listed.url}/v1x", f"{listed.url}/v1/../v2",
        *(f"{listed.url}/v1/{way_up}v2" for way_up in WAYS_UP),
        f"http://localhost:{port}/v1", f"http://[::1]:{port}/v1", f"http://127.1:{port}/v1", f"http://2130706433:{port}/v1",
        f"http://user:pw@127.0.0.1:{port}/v1", f"http://127.0.0.1:{port}\\@127.0.0.1:{other.port}/v1",
        f"https://127.0.0.1:{port}/v1", "http://169.254.169.254/latest/meta-data", "demo:/v1/chat/completions",
        "local:/smollm2/v1/chat/completions", f"http://127.0.0.1:{other.port}#@127.0.0.1:{port}/v1",
    ]  # fmt: skip
    for url in tried:
        answer = relay.start(url, token=relay.token)
        assert answer.status in (400, 403), (url, answer.json)
        if answer.status == 403:
            advice = ": name a model of those with --model, or NBSTREAM_MODEL" if url.startswith("demo:") else ""
            assert answer.json["error"]["message"].endswith(f"it calls 127.0.0.1:{port}{advice}")
    for model in ({"prompt": "x"}, {"prompt": "x", "model": "openai:gpt-5"}, {"prompt": "x", "model": "ollama:x"}):
        assert relay.ask("POST", "/v1/streams", {"source": model}, token=relay.token).status == 403
    team = {"agents": {"a": {"url": f"{listed.url}/v1/x"}, "b": {"url": f"{other.url}/v1/x"}}}
    assert relay.ask("POST", "/v1/streams", {"source": team}, token=relay.token).status == 403
    delete = {"url": f"{listed.url}/v1/x", "method": "DELETE"}
    assert relay.ask("POST", "/v1/streams", {"source": delete}, token=relay.token).status == 403
    assert (listed.requests, listed.accepted, other.accepted) == ([], 0, 0)
    assert relay.ask("GET", "/v1/streams", token=relay.token).json == {"streams": []}


def test_the_key_of_the_server_goes_to_its_upstream_alone(relay, servers, tmp_path):
    """It is on the wire to the listed upstream, and in no record, answer, log or file, nor behind a redirect."""
    listed, other = servers
    listed.script([
        Answer.sse(delta("fine"), DONE), Answer.sse(DONE),
        Answer(status=307, headers={"Location": f"{other.url}/v1/x"}),
        Answer(status=302, headers={"Location": f"{listed.url}/v2"}), Answer([f"no such key {CANARY}"], 401),
        Answer.sse('event: error\ndata: {"type":"error","error":"bad ' + CANARY + '"}\n\n'),
    ])  # fmt: skip
    answers = []
    for n in range(6):
        answers.append(relay.start(f"{listed.url}/v1/{n}", token=relay.token))
        ended(relay, answers[-1])
    assert [one.status for one in answers] == [201] * 6
    assert all(request.headers["authorization"] == f"Bearer {CANARY}" for request in listed.requests)
    assert len(listed.requests) == 6
    assert other.accepted == 0, "no redirect is followed"
    said = [relay.ask("GET", f"/v1/streams/{one.json['id']}/records", token=relay.token).body for one in answers]
    said += [relay.ask("GET", "/v1/streams", token=relay.token).body, relay.log.read_bytes()]
    said += [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not [text for text in said if CANARY.encode() in text]
    assert b"redirected" in said[2]
    assert b"redirected" in said[3]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"headers": {"Authorization": "Bearer mine-0123456789"}}, "has its own key"),
        ({"headers": {"x-api-key": "mine"}}, "has its own key"),
        ({"key": "mine", "key_env": "MINE"}, "has its own key"),
        ({"headers": {"Host": "internal.example"}}, "'Host' is not for a user"),
        ({"headers": {"Forwarded": "for=1"}}, "'Forwarded' is not for a user"),
        *(
            ({"headers": {name: "mine"}}, f"header '{name}' does not go to")
            for name in (
                "X-HTTP-Method-Override",
                "X-Forwarded-Host",
                "X-Original-URL",
                "Expect",
                "OpenAI-Organization",
                "Accept-Encoding",
                "X-Title",
            )
        ),
    ],
)
def test_a_user_cannot_mix_his_own_secrets_with_the_servers(relay, servers, more, why):
    """A key or header of his own at an upstream that has ours is 400, and nothing is sent."""
    body = {"source": {"url": f"{servers[0].url}/v1/x", **more}}
    answer = relay.ask("POST", "/v1/streams", body, token=relay.token)
    assert answer.status == 400
    assert why in answer.json["error"]["message"]
    assert "mine" not in answer.json["error"]["message"]
    assert servers[0].accepted == 0


def test_the_key_goes_where_keys_go(relay, servers):
    """A call may choose among the ways providers take keys, and not have it in a header of its own."""
    listed, _ = servers
    listed.script([Answer.sse(DONE), Answer.sse(DONE)])
    for header in ("x-api-key", "X-Leak"):
        source = {"url": f"{listed.url}/v1/x{header}", "key_env": "OPENAI_API_KEY", "key_header": header}
        ended(relay, relay.ask("POST", "/v1/streams", {"source": source}, token=relay.token))
    first, second = (request.headers for request in listed.requests)
    assert first["x-api-key"] == CANARY
    assert "authorization" not in first
    assert second["authorization"] == f"Bearer {CANARY}"
    assert "x-leak" not in second


def test_the_headers_of_a_model_call_go_through(relay, servers):
    """Beside the server's key what a call of a model needs is sent as it was given."""
    listed, _ = servers
    listed.script([Answer.sse(DONE)])
    given = {
        "Accept": "text/event-stream", "User-Agent": "notebook", "Anthropic-Version": "2023-06-01",
        "anthropic-beta": "some-feature-2026", "OpenAI-Beta": "responses=v1", "Idempotency-Key": "once-0123456789",
        "Content-Type": "application/json; charset=utf-8",
    }  # fmt: skip
    source = {"url": f"{listed.url}/v1/x", "method": "POST", "json": {"a": 1}, "headers": given}
    ended(relay, relay.ask("POST", "/v1/streams", {"source": source}, token=relay.token))
    (request,) = listed.requests
    assert {name: request.headers[name.lower()] for name in given} == given
    assert request.headers["authorization"] == f"Bearer {CANARY}"


def test_an_upstream_without_a_key_says_so(tmp_path, servers):
    """A call that needs a key where the relay has none is one clear line; with a key of the user's it is made."""
    token, lines = lines_of_token("alice")
    servers[0].script([Answer.sse(DONE)])
    with ServiceRelay(tmp_path, (lines, upstream(servers[0].url, key=False))) as relay:
        source = {"url": f"{servers[0].url}/x", "key_env": "MY_KEY"}
        answer = relay.ask("POST", "/v1/streams", {"source": source}, token=token)
        assert answer.status == 400
        assert f"has no key for 127.0.0.1:{servers[0].port}" in answer.json["error"]["message"]
        assert servers[0].accepted == 0
        relay.token = token
        ended(relay, relay.ask("POST", "/v1/streams", {"source": {**source, "key": "mine-0123"}}, token=token))
        assert servers[0].requests[0].headers["authorization"] == "Bearer mine-0123"


def test_providers_are_listed_by_name(tmp_path, monkeypatch):
    """A provider allows what `chat()` asks it, with the key as it wants it; nothing else of its host."""
    monkeypatch.setenv("CANARY_KEY", CANARY)
    names = ("openai", "anthropic", "gemini", "mistral", "deepseek", "openrouter", "groq", "ollama", "llamacpp")
    text = "".join(f'[[upstream]]\nprovider = "{name}"\nkey_env = "CANARY_KEY"\n' for name in names)
    file = tmp_path / "upstreams.toml"
    file.write_text(text, "utf-8")
    known = Upstreams(file)
    for name, model in itertools.product(names, ("m", "org/model-1.5:free")):
        if name == "gemini" and "/" in model:
            continue
        admitted = known.admit(nbstream.chat("hello", f"{name}:{model}"))
        headers = dict(admitted.call.ready().headers)
        assert CANARY in " ".join(headers.values())
        assert admitted.call.fence == Fence(private=name in {"ollama", "llamacpp"})
        assert admitted.fingerprint == nbstream.chat("hello", f"{name}:{model}").fingerprint
    assert known.admit(nbstream.chat("x", "openai:m", api="openai.responses"))
    for url in (
        "https://api.openai.com/v1/files",
        "https://api.anthropic.com/v1/organizations",
        "https://api.openai.com/",
    ):
        with pytest.raises(RelayError, match=r"does not call POST at this address of"):
            known.admit(nbstream.sse(url, method="POST"))
    with pytest.raises(RelayError, match=r"does not call GET"):
        known.admit(nbstream.sse("https://api.openai.com/v1/responses"))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_private_addresses_are_known_in_every_spelling(address):
    """Loopback, link-local, private and metadata addresses, also inside IPv6."""
    assert not is_public(address)


def test_public_addresses_are_public():
    """Random addresses outside every special block are called."""
    for block in ("8.8.8.0/24", "93.184.216.0/24", "2606:4700::/64"):
        first = int(ip_network(block).network_address)
        assert is_public(str(ip_address(first + 5)))


def test_a_name_is_judged_by_what_it_resolves_to_now(monkeypatch):
    """A listed name that resolves to this machine is refused, unless private addresses are allowed for it."""

    async def resolves(*_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

    async def ask(fence):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolves)
        return await fence.address("rebound.example", 80)

    with pytest.raises(SourceRefused, match=r"rebound\.example is at a private address"):
        asyncio.run(ask(Fence(private=False)))
    assert asyncio.run(ask(Fence(private=True))) == "169.254.169.254"
    with pytest.raises(SourceLost, match="cannot find the host"):
        asyncio.run(Fence(private=True).address("no-such-host.invalid", 80))


def test_the_address_that_was_judged_is_the_one_that_is_called(tmp_path, servers):
    """`localhost` is listed by that name: the connection goes to what it resolved to, the request names it still."""
    token, lines = lines_of_token("alice")
    listed, _ = servers
    listed.script([Answer.sse(delta("here"), DONE)])
    with ServiceRelay(tmp_path, (lines, upstream(f"http://localhost:{listed.port}", key=False))) as relay:
        relay.token = token
        if socket.getaddrinfo("localhost", 80)[0][0] != socket.AF_INET:
            pytest.skip("localhost is ::1 here, where the test's server does not listen")
        ended(relay, relay.start(f"http://localhost:{listed.port}/x", token=token))
        assert listed.requests[0].headers["host"] == f"localhost:{listed.port}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('url = "http://u:SECRETPW@h/v1"', "without user"),
        ('url = "http://u:SECRETPW@[h/v1"', "without user"),
        ('url = "http://u:SECRETPW?#@h/v1"', "without user"),
        ('url = "ftp://u:SECRETPW@h/v1"', "not an http:// or https://"),
        ('url = "http:/u:SECRETPW@h//v1"', "not an http:// or https://"),
        ('url = "http://h/v1;x?key=SECRETPW"', "not an http:// or https://"),
        ('provider = "http://u:SECRETPW@h/v1"', "unknown provider"),
        ('provider = "openai"\nkey_env = "sk-SECRETPW-0123456789abcdef"', "looks like the key itself"),
        ('provider = "openai"\nkey_file = "sk-SECRETPW-0123456789abcdef"', "looks like the key itself"),
    ],
)
def test_a_wrong_entry_is_told_without_its_password(tmp_path, servers, wrong, said):
    """One line with file and line names what is wrong, at the start and in the log, and no password."""
    file = tmp_path / "upstreams.toml"
    file.write_text(f"[[upstream]]\n{wrong}\n", "utf-8")
    with pytest.raises(RelayError, match=said) as error:
        Upstreams(file)
    assert "upstreams.toml, line 1: " in str(error.value)
    assert "SECRETPW" not in str(error.value)
    with ServiceRelay(tmp_path / "hub", (lines_of_token("alice")[1], upstream(servers[0].url, key=False))) as relay:
        relay.upstreams.write_text(f"[[upstream]]\n{wrong}\n", "utf-8")
        until(lambda: relay.lines("not_reloaded"))
        assert said in relay.lines("not_reloaded")[0]["message"]
        assert "SECRETPW" not in relay.log.read_text("utf-8")


def test_keys_are_read_again_on_a_signal(tmp_path, servers):
    """A key in a file is replaced without a restart: SIGHUP reads it, the next call has it."""
    token, lines = lines_of_token("alice")
    listed, _ = servers
    listed.script([Answer.sse(DONE), Answer.sse(DONE)])
    key = tmp_path / "key"
    key.write_text("first-key-0123\n", "utf-8")
    with ServiceRelay(tmp_path / "hub", (lines, upstream(listed.url, key=False, key_file=str(key)))) as relay:
        relay.token = token
        ended(relay, relay.start(f"{listed.url}/1", token=token))
        Path(key).write_text("second-key-4567\n", "utf-8")
        relay.process.send_signal(signal.SIGHUP)
        until(lambda: len(relay.lines("reloaded")) == 2)
        ended(relay, relay.start(f"{listed.url}/2", token=token))
    assert [one.headers["authorization"] for one in listed.requests] == [
        "Bearer first-key-0123",
        "Bearer second-key-4567",
    ]
