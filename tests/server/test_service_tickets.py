"""What a token and its tickets open, and for how long, in a relay for many users. Real processes, real sockets."""

import json
import time

import pytest
from services import ServiceRelay, lines_of_token, until, upstream

from nbstream.relay.holders import GRACE_S
from nbstream.testing import Answer, FaultServer, Gate


def delta(text, number=1):
    """Return an event that carries text and an id."""
    return f"id: {number}\ndata: {json.dumps({'type': 'delta', 'text': text})}\n\n"


TOKENS = {
    "alice": lines_of_token("alice", readers=2), "bob": lines_of_token("bob"), "bobs second": lines_of_token("bob"),
}  # fmt: skip
OF = {name: token for name, (token, _) in TOKENS.items()}


@pytest.fixture
def server():
    """Return an upstream whose calls stay open behind a first word."""
    with FaultServer() as server:
        server.gate = Gate()
        server.script([Answer.sse(delta("one"), server.gate, delta("two", 2), Gate()) for _ in range(4)])
        yield server


@pytest.fixture
def relay(tmp_path, server):
    """Return a relay whose only upstream is the server."""
    files = "".join(lines for _, lines in TOKENS.values()), upstream(f"{server.url}/", key=False)
    with ServiceRelay(tmp_path / "hub", files) as relay:
        yield relay


def begun(relay, server, name, **more):
    """Start a stream and wait for its first word; return its id."""
    stream = relay.start(f"{server.url}/x", token=OF[name], **more).json["id"]
    until(lambda: relay.text(stream, token=OF[name]) == "one")
    return stream


def cookie_of(relay, stream, name):
    """Return the cookie that a user's ticket for a stream is traded for."""
    url = relay.ask("POST", f"/v1/streams/{stream}/ticket", {}, token=OF[name]).json["url"]
    return relay.ask("GET", url).getheader("set-cookie").partition(";")[0]


def test_a_ticket_holds_under_nobodys_name(relay, server):
    """`holder=` of a reader by ticket counts for nothing: when he leaves, what that holder holds stays held."""
    hers = begun(relay, server, "alice")
    his = begun(relay, server, "bob", holder="kernel:bobs", limits={"linger_s": 0})
    held = relay.ask("PUT", f"/v1/streams/{his}/hold", {"holder": "kernel:bobs", "for_s": 60}, token=OF["bob"])
    assert "kernel:bobs" in held.json["holders"]
    cookie = cookie_of(relay, hers, "alice")
    for name in ("kernel:bobs", "kernel:bobs of bob"):
        reader = relay.events(hers, more=f"&holder={name.replace(' ', '%20')}", Cookie=cookie)
        reader.read(lambda r: r.text == "one")
        shown = relay.ask("GET", f"/v1/streams/{hers}", token=OF["alice"]).json["holders"]
        assert [one for one in shown if one.startswith("reader:")], "it holds as any reader"
        reader.close()
    time.sleep(GRACE_S + 1)  # what a broken connection held counts for so long
    assert relay.state(his, token=OF["bob"]) == "streaming"
    assert "kernel:bobs" in relay.ask("GET", f"/v1/streams/{his}", token=OF["bob"]).json["holders"]


def test_readers_by_ticket_count_for_who_gave_it(relay, server):
    """However many browsers have her ticket's cookie: they are her readers, and one too many is 429."""
    stream = begun(relay, server, "alice")
    cookie = cookie_of(relay, stream, "alice")
    readers = [relay.events(stream, Cookie=cookie), relay.events(stream, token=OF["alice"])]
    assert [one.answer.status for one in readers] == [200, 200]
    assert relay.events(stream, Cookie=cookie).answer.status == 429
    assert relay.ask("GET", f"/v1/streams/{stream}/records?after=1&wait=0.1", Cookie=cookie).status == 429
    readers[1].close()
    until(lambda: relay.ask("GET", f"/v1/streams/{stream}/records?after=1&wait=0.1", Cookie=cookie).status == 200)
    readers[0].close()


def test_the_holders_of_a_user_are_few(relay, server):
    """Of one stream 32 names at a time: one more is 429 in one line, a known one is not, and one let go makes room."""
    stream = begun(relay, server, "alice")

    def hold(number, for_s=3600):
        body = {"holder": f"kernel:{number}", "for_s": for_s}
        return relay.ask("PUT", f"/v1/streams/{stream}/hold", body, token=OF["alice"])

    assert {hold(number).status for number in range(32)} == {200}
    refused = hold(32)
    assert refused.status == 429
    assert int(refused.getheader("retry-after")) > 0
    assert "32 holders of yours" in refused.json["error"]["message"]
    assert hold(3).status == 200
    assert hold(3, 0).status == 200
    assert hold(32).status == 200
    path = f"/v1/streams/{stream}/records?after=-1&holder="
    assert relay.ask("GET", path + "x" * 201, token=OF["alice"]).status == 400
    assert relay.start(f"{server.url}/y", token=OF["alice"], holder="x" * 201).status == 400


@pytest.mark.parametrize("left", ["a token of another user", "another token of his", "his own, not for reading"])
def test_a_token_that_is_taken_away_reads_no_more(relay, server, left):
    """Its open readers and those of its cookies end within moments, nothing opens any more, and its call goes on."""
    stream = begun(relay, server, "bob")
    cookie = cookie_of(relay, stream, "bob")
    second = relay.events(stream, token=OF["bobs second"])
    readers = [relay.events(stream, token=OF["bob"]), relay.events(stream, Cookie=cookie)]
    lines = {
        "a token of another user": TOKENS["alice"][1],
        "another token of his": TOKENS["alice"][1] + TOKENS["bobs second"][1],
        "his own, not for reading": TOKENS["bob"][1].replace('["read", ', "[") + TOKENS["bobs second"][1],
    }[left]
    relay.tokens.write_text(lines, "utf-8")
    for reader in readers:
        while reader.step():
            pass
        assert reader.text == "one"
    server.gate.open()
    expected = 403 if "not for reading" in left else 401
    path = f"/v1/streams/{stream}/records?after=1&wait=0.1"
    assert relay.ask("GET", path, token=OF["bob"]).status == expected
    assert relay.ask("GET", path, Cookie=cookie).status == 401
    if "alice" in lines and "bob" not in lines:
        while second.step():
            pass
        relay.tokens.write_text(TOKENS["bobs second"][1], "utf-8")
        until(lambda: relay.ask("GET", "/v1/streams", token=OF["bobs second"]).status == 200)
        assert relay.ask("GET", path, token=OF["bob"]).status == 401
    else:
        second.read(lambda r: r.text == "onetwo")
    until(lambda: relay.text(stream, token=OF["bobs second"]) == "onetwo")
    assert relay.state(stream, token=OF["bobs second"]) == "streaming"
    second.close()
