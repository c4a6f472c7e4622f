"""A relay for many users: who may do what, with which streams, how often. Real processes, real sockets."""

import json
import subprocess
import sys
import time
from functools import partial

import pytest
from services import CANARY, ServiceRelay, lines_of_token, until, upstream

from nbstream.relay.holders import GRACE_S
from nbstream.testing import Answer, FaultServer, Gate

DONE = "event: done\ndata: {}\n\n"


def delta(text, number=1):
    """Return an event that carries text and an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


@pytest.fixture
def server():
    """Return an upstream that says what the test writes."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def users():
    """Return tokens by name, and the file of tokens."""
    found = {
        "alice": lines_of_token("alice"), "bob": lines_of_token("bob"), "reader": lines_of_token("alice", ("read",)),
        "watcher": lines_of_token("prometheus", ("metrics",)), "small": lines_of_token("small", live=2, readers=2),
        "slow": lines_of_token("slow", starts_a_minute=3),
    }  # fmt: skip
    return {name: token for name, (token, _) in found.items()}, "".join(lines for _, lines in found.values())


@pytest.fixture
def relay(tmp_path, server, users):
    """Return a relay whose only upstream is the server."""
    with ServiceRelay(tmp_path / "hub", (users[1], upstream(f"{server.url}/"))) as relay:
        relay.of = users[0]
        yield relay


def test_a_read_token_can_neither_start_nor_stop(relay, server):
    """It reads its user's streams; whatever would call, end or remove is 403, and changes nothing."""
    gate = Gate()
    server.script([Answer.sse(delta("one"), gate, DONE)])
    alice, reader = relay.of["alice"], relay.of["reader"]
    stream = relay.start(f"{server.url}/x", token=alice).json["id"]
    gate.wait()
    path = f"/v1/streams/{stream}"
    asked = [("POST", "/v1/streams"), *(("POST", f"{path}/{what}") for what in ("stop", "resume", "continue", "keep"))]
    for method, target in [*asked, ("DELETE", path)]:
        answer = relay.ask(method, target, {"source": {"url": f"{server.url}/y"}}, token=reader)
        assert answer.status == 403, target
        assert "has no scope" in answer.json["error"]["message"]
    hold = partial(relay.ask, "PUT", f"{path}/hold")
    assert "kernel:a" in hold({"holder": "kernel:a", "for_s": 60}, token=alice).json["holders"]
    assert hold({"holder": "kernel:a", "for_s": 0, "end": True}, token=reader).status == 403
    assert hold({"holder": "kernel:a of alice", "for_s": 60}, token=reader).status == 200
    assert hold({"holder": "kernel:a", "for_s": 60}, token=reader).status == 200
    for name in ("kernel:a", "kernel:a of alice", "kernel:a of alice (reads)", "a"):
        assert hold({"holder": name, "for_s": 0}, token=reader).status == 200, "it lets go of its own"
    left = relay.ask("GET", path, token=alice).json
    assert "kernel:a" in left["holders"], "what a token that may stop holds is not its to let go"
    assert "kernel:a of alice" not in left["holders"]
    relay.events(stream, token=reader, more="&holder=kernel:a").close()
    time.sleep(GRACE_S + 0.5)  # what a broken connection held counts for so long
    assert "kernel:a" in relay.ask("GET", path, token=alice).json["holders"]
    until(lambda: relay.text(stream, token=reader) == "one")
    assert [one["id"] for one in relay.ask("GET", "/v1/streams", token=reader).json["streams"]] == [stream]
    gate.open()
    until(lambda: relay.state(stream, token=reader) == "complete")
    assert len(server.requests) == 1


def test_foreign_streams_look_like_none(relay, server):
    """Whatever is asked of somebody else's stream is answered as for one that never was: status, words, headers."""
    server.script([Answer.sse(delta("secret of alice"), DONE), Answer.sse(delta("of bob"), DONE)])
    alice, bob = relay.of["alice"], relay.of["bob"]
    hers = relay.start(f"{server.url}/x", token=alice, key="mine").json["id"]
    his = relay.start(f"{server.url}/x", token=bob, key="mine").json["id"]
    assert hers != his, "the same word is another key for another user"
    until(lambda: relay.state(hers, token=alice) == "complete")
    calls = [
        ("GET", "", None), ("DELETE", "", None), ("GET", "/records", None), ("POST", "/stop", {}),
        ("POST", "/keep", {}),
        ("POST", "/resume", {}), ("POST", "/continue", {}), ("POST", "/ticket", {}),
        ("PUT", "/hold", {"holder": "kernel:x", "for_s": 5}),
    ]  # fmt: skip
    for method, rest, body in calls:
        told = set()
        for stream in (hers, "nobodys", "no%20id"):
            answer = relay.ask(method, f"/v1/streams/{stream}{rest}", body, token=bob)
            told.add((answer.status, answer.body, frozenset(name.lower() for name in answer.headers)))
        assert len(told) == 1, (method, rest, told)
        assert told.pop()[0] == 404
    for name in ("parent", "replaces"):
        body = {"source": {"url": f"{server.url}/x"}, "replaces": None, name: hers}
        assert relay.ask("POST", "/v1/streams", body, token=bob).status == 404
    assert [one["id"] for one in relay.ask("GET", "/v1/streams", token=bob).json["streams"]] == [his]
    assert relay.ask("DELETE", f"/v1/streams/{hers}", token=alice).status == 204
    assert relay.ask("GET", f"/v1/streams/{hers}", token=bob).status == 404, "that it was there once is hers to know"
    assert relay.ask("GET", f"/v1/streams/{hers}", token=alice).status == 410


def test_an_id_that_cannot_be_used_says_nothing(relay, server):
    """A foreign id, one of one's own and what can be none are answered alike; asked again, a start is found."""
    server.script([Answer.sse(delta(f"{n}"), DONE) for n in range(9)])
    alice, bob = relay.of["alice"], relay.of["bob"]
    hers = relay.start(f"{server.url}/x", token=alice).json["id"]
    his = relay.start(f"{server.url}/x", token=bob, key="other", replaces=None, id="his-own").json["id"]
    told = set()
    for stream in (hers, his, "no id", "x" * 129, "../up"):
        answer = relay.start(f"{server.url}/y", token=bob, key="mine", replaces=None, id=stream)
        told.add((answer.status, answer.body, frozenset(name.lower() for name in answer.headers)))
    assert len(told) == 1, told
    status, body, _ = told.pop()
    assert status == 409
    assert b"cannot be used" in body
    first, again = (relay.start(f"{server.url}/y", token=bob, key="mine", replaces=None, id="new-1") for _ in range(2))
    assert (first.status, first.json["id"]) == (201, "new-1")
    assert (again.status, again.json["id"]) == (201, "new-1"), "the first answer was lost"
    until(lambda: relay.state("new-1", token=bob) == "complete")
    assert len(server.requests) == 3


def test_no_key_of_a_request_reaches_another_users_stream(relay, server):
    """A key spelled as the store has it, with another user's name in it, is still the asker's own."""
    gate = Gate()
    server.script([Answer.sse(delta("hers"), gate), Answer.sse(delta("his"), gate)])
    alice, bob = relay.of["alice"], relay.of["bob"]
    key = json.dumps(["/home/jovyan/a.ipynb", "cell:1", 0])
    hers = relay.start(f"{server.url}/x", token=alice, key=key).json["id"]
    stored = relay.ask("GET", f"/v1/streams/{hers}", token=alice).json["key"]
    assert json.loads(stored)[0] == "user:alice:/home/jovyan/a.ipynb"
    for forged in (key, stored, stored.replace('", "', '","'), stored.replace("user:", "\\u0075ser:")):
        his = relay.start(f"{server.url}/x", token=bob, key=forged)
        assert his.json.get("id") != hers
    again = relay.start(f"{server.url}/x", token=alice, key=stored)
    assert (again.status, again.json["id"]) == (200, hers)


def test_a_browser_reads_by_a_ticket_and_nothing_else(relay, server):
    """The cookie of a ticket opens its stream's records; without it, and for another stream, nothing opens."""
    server.script([Answer.sse(delta("one"), DONE), Answer.sse(delta("two"), DONE)])
    one, two = (relay.start(f"{server.url}/{n}", token=relay.of["alice"]).json["id"] for n in (1, 2))
    url = relay.ask("POST", f"/v1/streams/{one}/ticket", {}, token=relay.of["alice"]).json["url"]
    cookie = relay.ask("GET", url).getheader("set-cookie").partition(";")[0]
    assert relay.ask("GET", f"/v1/streams/{one}/records", Cookie=cookie).status == 200
    assert relay.ask("GET", f"/v1/streams/{two}/records", Cookie=cookie).status == 401
    assert relay.ask("POST", f"/v1/streams/{one}/stop", {}, Cookie=cookie).status == 401


def test_health_is_for_all_and_numbers_for_a_scope(relay):
    """Without a token: that it runs and takes calls. With one: who that is. Numbers want the scope `metrics`."""
    assert relay.ask("GET", "/healthz").json == {"ok": True}
    assert relay.ask("GET", "/readyz").json == {"ready": True}
    told = relay.ask("GET", "/healthz", token=relay.of["alice"]).json
    assert (told["user"], set(told)) == ("alice", {"ok", "version", "protocol", "user"})
    assert relay.ask("GET", "/metrics").status == 401
    assert relay.ask("GET", "/metrics", token=relay.of["alice"]).status == 403
    assert b"nbstream_live_streams 0" in relay.ask("GET", "/metrics", token=relay.of["watcher"]).body
    assert relay.ask("GET", "/v1/streams", token=relay.of["watcher"]).status == 403
    for token in ("alice", "alice.", ".x", "alice.wrong", relay.of["alice"][:-1], relay.of["alice"].swapcase(), "é.x"):
        assert relay.ask("GET", "/v1/streams", token=token.encode().decode("latin-1")).status == 401


def test_limits_of_a_user_say_when_to_come_again(relay, server):
    """Live streams, readers and calls a minute: one too many is 429 with Retry-After, and others are not held up."""
    gate = Gate()
    server.script([Answer.sse(delta("x"), gate) for _ in range(9)])
    small, slow, alice = (relay.of[name] for name in ("small", "slow", "alice"))
    first, second, third = (relay.start(f"{server.url}/{n}", token=small) for n in range(3))
    assert (first.status, second.status, third.status) == (201, 201, 429)
    assert int(third.getheader("retry-after")) > 0
    assert relay.start(f"{server.url}/x", token=alice).status == 201
    relay.ask("POST", f"/v1/streams/{first.json['id']}/stop", {}, token=small)
    assert relay.start(f"{server.url}/4", token=small).status == 201, "a stopped one leaves its place"

    readers = [relay.events(second.json["id"], token=small) for _ in range(3)]
    assert [one.answer.status for one in readers] == [200, 200, 429]
    readers[0].close()
    until(lambda: relay.events(second.json["id"], token=small).answer.status == 200)
    assert relay.events(second.json["id"], token=small).answer.status == 429
    for one in readers:
        one.close()

    answers = [relay.start(f"{server.url}/s{n}", token=slow) for n in range(4)]
    assert [one.status for one in answers] == [201, 201, 201, 429]
    assert 0 < int(answers[3].getheader("retry-after")) <= 60


def test_tokens_are_read_again_when_their_file_changes(relay, server, users):
    """One that is taken out is refused within moments, its open readers are ended; a damaged file changes nothing."""
    gate = Gate()
    server.script([Answer.sse(delta("x"), gate)])
    bob = relay.of["bob"]
    stream = relay.start(f"{server.url}/x", token=bob).json["id"]
    reader = relay.events(stream, token=bob)
    reader.read(lambda r: r.text == "x")
    new, lines = lines_of_token("carol")
    relay.tokens.write_text("[[token]\n", "utf-8")
    until(lambda: relay.lines("not_reloaded"))
    assert "tokens.toml, line 1" in relay.lines("not_reloaded")[0]["message"]
    assert relay.ask("GET", "/v1/streams", token=bob).status == 200
    relay.tokens.write_text(lines, "utf-8")
    until(lambda: relay.ask("GET", "/v1/streams", token=new).status == 200)
    assert relay.ask("GET", "/v1/streams", token=bob).status == 401
    while reader.step():
        pass
    assert reader.text == "x"
    reader.close()


GOOD_TOKENS, GOOD_UPSTREAMS = lines_of_token("a")[1], upstream("http://127.0.0.1:9/", key=False)


@pytest.mark.parametrize(
    ("tokens", "upstreams", "said"),
    [
        ('[[token]]\nuser = "a"\nsha256 = "12"\n', "", "tokens.toml, line 1: sha256 must be 64"),
        (GOOD_TOKENS + '\n[[token]]\nuser = "a b"\nsha256 = "12"\n', "", "tokens.toml, line 6: user must be"),
        (GOOD_TOKENS.replace("stop", "sotp"), "", "tokens.toml, line 1: scopes: 'sotp' is none of read, start"),
        (GOOD_TOKENS + "lvie = 3\n", "", "tokens.toml, line 1: unknown 'lvie'"),
        (GOOD_TOKENS + "live = -1\n", "", "tokens.toml, line 1: live must be a whole number"),
        ("", "", "tokens.toml, line 1: needs at least one [[token]]"),
        ("[[token]]\nuser = \n", "", "tokens.toml, line 2: "),
        ('{"token": [{"user": "a",}]}', "", "tokens.toml, line 1: "),
        ('{"token":\n [{"user": "a", "sha256": "x"}]}', "", "tokens.toml, line 2: sha256 must be 64"),
        (None, "", "tokens.toml cannot be read (No such file or directory)"),
        (GOOD_TOKENS, '[[upstream]]\nurl = "ftp://x"\n', "upstreams.toml, line 1: not an http:// or https://"),
        (GOOD_TOKENS, '[[upstream]]\nprovider = "opnai"\n', "upstreams.toml, line 1: unknown provider 'opnai'"),
        (GOOD_TOKENS, GOOD_UPSTREAMS + "[[upstream]]\n", "upstreams.toml, line 3: an upstream has either"),
        (GOOD_TOKENS, GOOD_UPSTREAMS + 'key_env = "NOT_SET_X"\n', "line 1: the variable NOT_SET_X of the relay"),
        (GOOD_TOKENS, GOOD_UPSTREAMS + 'key_env = "sk-secret"\n', "line 1: key_env takes the name of a variable"),
        (GOOD_TOKENS, GOOD_UPSTREAMS + 'key_file = "/nowhere"\n', "line 1: /nowhere cannot be read"),
        (GOOD_TOKENS, GOOD_UPSTREAMS + 'private = "yes"\n', "line 1: private must be true or false"),
        (GOOD_TOKENS, "x = 1\n", "upstreams.toml, line 1: unknown 'x'"),
        (GOOD_TOKENS, None, "--tokens without --upstreams"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_with_its_place(tmp_path, tokens, upstreams, said):
    """The relay does not start, and says in one line which file, which line, what is wrong."""
    files = {"tokens": tokens, "upstreams": upstreams}
    command = [sys.executable, "-m", "nbstream", "relay", "--store", str(tmp_path / "store"), "--bind", "127.0.0.1:0"]
    for name, text in files.items():
        file = tmp_path / f"{name}.toml"
        if text is not None:
            file.write_text(text, "utf-8")
            file.chmod(0o600)
        if text is not None or name == "tokens":
            command += [f"--{name}", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0"])
def test_no_token_in_the_clear(tmp_path, bind):
    """On a network without TLS it does not start, unless a proxy in front is said to have the certificate."""
    relay = ServiceRelay(tmp_path, (GOOD_TOKENS, GOOD_UPSTREAMS))
    relay.command[relay.command.index("--bind") + 1] = bind
    ended = subprocess.run(relay.command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "--tls-cert" in ended.stderr
    assert "--behind-proxy" in ended.stderr
    relay.command.append("--behind-proxy")
    with relay:
        assert relay.ask("GET", "/readyz", Host="hub.example").status == 200


@pytest.mark.parametrize(("mode", "warned"), [(0o644, 1), (0o660, 1), (0o640, 0), (0o440, 0), (0o600, 0)])
def test_a_file_that_others_can_read_is_warned_of(tmp_path, mode, warned):
    """The relay starts, and says so in its log, as JSON like the rest; a group that may read (Kubernetes) is meant."""
    relay = ServiceRelay(tmp_path, (GOOD_TOKENS, GOOD_UPSTREAMS))
    relay.tokens.chmod(mode)
    with relay:
        assert relay.ask("GET", "/healthz").status == 200
        until(lambda: relay.lines("ready"))
        said = [one for one in relay.lines("log") if f"chmod 600 {relay.tokens}" in one["message"]]
        assert len(said) == warned


def test_the_command_makes_a_token(tmp_path):
    """Its lines go to stdout, to be appended to the file; the token to stderr, once; what is no name is refused."""
    command = [sys.executable, "-m", "nbstream", "relay", "token"]
    made = subprocess.run([*command, "dora", "--scopes", "read"], capture_output=True, text=True, check=True)
    token = made.stderr.split()[-1]
    assert token.startswith("dora.")
    assert token.partition(".")[2] not in made.stdout
    with ServiceRelay(tmp_path, (made.stdout, GOOD_UPSTREAMS)) as relay:
        assert relay.ask("GET", "/v1/streams", token=token).json == {"streams": []}
        assert relay.ask("POST", "/v1/streams", {}, token=token).status == 403
    for wrong in (["a:b"], ["a", "--scopes", "rule"], [""]):
        refused = subprocess.run([*command, *wrong], capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert len(refused.stderr.splitlines()) == 1


def test_the_log_is_json_without_secrets_or_words(relay, server):
    """Each line one object with time, level and event; no token, key, prompt or text, also of what is refused."""
    server.script([Answer.sse(delta("a word of the answer"), DONE)])
    alice = relay.of["alice"]
    body = {"prompt": "a word of the question", "model": "m", "base_url": f"{server.url}/v1"}
    started = relay.ask("POST", "/v1/streams", {"source": body}, token=alice)
    until(lambda: relay.state(started.json["id"], token=alice) in {"complete", "failed", "interrupted"})
    relay.ask(
        "POST", "/v1/streams", {"source": {**body, "base_url": "http://192.0.2.1/a-word-of-an-address"}}, token=alice
    )
    relay.ask("GET", f"/v1/streams/nothing?token={alice}", token=alice)
    relay.ask("GET", "/a-word-of-a-path", token=f"{alice}x")
    lines = until(lambda: len(relay.lines("request")) >= 5 and relay.lines())
    for line in lines:
        assert {"time", "level", "event"} <= set(line)
    (call,) = relay.lines("call")
    assert (call["user"], call["stream"], call["upstream"]) == ("alice", started.json["id"], "127.0.0.1")
    request = next(one for one in lines if one.get("route") == "/v1/streams" and one["status"] == 201)
    assert request["user"] == "alice"
    assert request["ms"] >= 0
    text = relay.log.read_text("utf-8")
    for secret in (*relay.of.values(), CANARY, "a word of", "a-word-of"):
        assert secret not in text
    assert lines
