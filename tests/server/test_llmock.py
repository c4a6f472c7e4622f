"""
llmock, a mock server by other hands (PyPI): it speaks as ten providers do, breaks streams in its own ways, and judges
from its side of the wire what a client made of that.

It learns what a client made of a broken stream only from whether the same request comes again. We ask nothing again
behind text that is shown, so there its good word comes with the user's Regenerate; what we show in between is asserted
here. Cohere's format, which it has too, is none of ours.
"""

import itertools
import json
import os
import random
import re
import subprocess
import sys
from typing import NamedTuple

import httpx
import pytest
from chain import until

import nbstream

#: In pieces as llmock cuts them: each a word with the white space around it.
PIECES = ("Low ", "water\n\n", "is ", "“nine” ", "🌊; ", "wir ", "wärten.")
TEXT = "".join(PIECES)
CALL = {"name": "tide", "arguments": {"port": "Zürich"}}


class Provider(NamedTuple):
    """What `chat` calls its model, where llmock serves it, and its API if that is not the usual one."""

    model: str
    path: str
    api: str | None = None


PROVIDERS = {
    "openai": Provider("openai:gpt-5", "/v1"),
    "openai responses": Provider("openai:gpt-5", "/v1", "openai.responses"),
    "anthropic": Provider("anthropic:claude-sonnet-4-5", "/anthropic"),
    "gemini": Provider("gemini:gemini-2.5-pro", "/gemini"),
    "mistral": Provider("mistral-large-latest", "/mistral/v1"),
    "groq": Provider("llama-3.3-70b-versatile", "/groq/openai/v1"),
    "together": Provider("meta-llama/Llama-3.3-70B-Instruct-Turbo", "/together/v1"),
    "perplexity": Provider("sonar", "/perplexity/v1"),
    "ai21": Provider("jamba-large", "/ai21/v1"),
    "xai": Provider("grok-4", "/xai/v1"),
}
#: One of each format. The other six are served by the code that serves OpenAI: streams of theirs break in the same way.
FORMATS = ("openai", "openai responses", "anthropic", "gemini")


class LLMock:
    """Its process, and its administration over HTTP."""

    def __init__(self, log):
        self._http = httpx.Client(trust_env=False, timeout=10)
        # A file, since a pipe that nobody reads is full one day.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMOCK_")}
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "llmock.cli", "serve", "--port", "0"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment,
            )  # fmt: skip
        try:
            until(lambda: self._port(log) or self._process.poll() is not None, "llmock is up", 30.0)
            assert self._port(log), log.read_text()
        except BaseException:
            self.end()
            raise
        self.url = f"http://127.0.0.1:{self._port(log)}"

    def _port(self, log):
        found = re.search(r"running on http://127\.0\.0\.1:([1-9]\d*) ", log.read_text())
        return found and found[1]

    def end(self):
        """End its process."""
        self._http.close()
        self._process.kill()
        self._process.wait(10)

    def script(self, *behaviors, **reply):
        """Forget what was, and answer *reply*, broken as *behaviors* say."""
        said = {"type": "reply", "times": None, **(reply or {"text": TEXT})}
        self._admin("POST", "reset")
        self._admin("POST", "scenario", json={"behaviors": [*behaviors, said]})

    def requests(self):
        """Return what it was asked."""
        return self._admin("GET", "requests")["requests"]

    def findings(self):
        """Return what it holds against its client, errors and warnings."""
        verdict = self._admin("GET", "verdict")
        assert verdict["attempts"], "there was something to judge"
        return [finding["code"] for finding in verdict["findings"]]

    def _admin(self, method, path, **options):
        return self._http.request(method, f"{self.url}/_llmock/{path}", **options).raise_for_status().json()

    def events(self, call):
        """Return the events of an answer that is not broken, as bytes: *call* sent without us."""
        response = self._http.request(call.method, call.url, content=call.body, headers=dict(call.headers))
        return response.raise_for_status().content.split(b"\n\n")[:-1]


@pytest.fixture(scope="module")
def llmock(tmp_path_factory):
    """Return a server of this module."""
    server = LLMock(tmp_path_factory.mktemp("llmock") / "log")
    yield server
    server.end()


@pytest.fixture(params=PROVIDERS)
def asked(chain, llmock, request):
    """Return a question to one provider."""
    return Asked(chain, llmock, PROVIDERS[request.param])


each_format = pytest.mark.parametrize("asked", FORMATS, indirect=True)


class Asked:
    """One question, asked again and again of an llmock that breaks its answer in many ways."""

    def __init__(self, chain, llmock, provider):
        self.chain, self.llmock, self.provider = chain, llmock, provider
        llmock.script()
        pieces = [json.dumps(piece).encode() for piece in PIECES]
        #: The text of each event.
        self.texts = [
            "".join(piece for piece, said in zip(PIECES, pieces, strict=True) if said in event)
            for event in llmock.events(self.source().call)
        ]
        assert "".join(self.texts) == TEXT

    def source(self):
        """Return the question."""
        model, path, api = self.provider
        return nbstream.chat("When?", model, base_url=self.llmock.url + path, api=api, api_key=lambda: "none")

    def start(self, *behaviors, text=TEXT, reply=None, **limits):
        """Ask it of a server with these *behaviors*."""
        self.llmock.script(*behaviors, **(reply or {}))
        return self.chain.begin(self.source(), text, fresh=True, **limits)

    @staticmethod
    def broken(kind, after, **fields):
        """Return the behavior that breaks an answer behind *after* events."""
        return {"type": "stream_fault", "kind": kind, "after_chunks": after, **fields}

    def silent(self):
        """Return the numbers of events behind which nothing is shown yet."""
        return [at for at in range(len(self.texts)) if not "".join(self.texts[:at])]

    def speaking(self):
        """Return the numbers of events behind which some text is shown, and the end has not been said."""
        last = max(at for at, text in enumerate(self.texts) if text)
        # Behind the last text stands the end, but for Gemini, which says it in the same event.
        return [at for at in range(len(self.silent()), last + 2) if at < len(self.texts)]

    def regenerate(self, stream):
        """Ask anew, as the button does: a new stream with the whole answer."""
        again = stream.regenerate()
        assert again.wait(15) == "complete", again.error
        assert (again.text, again.id != stream.id) == (TEXT, True)


def test_a_whole_answer_is_complete(asked):
    """Text, finish, usage and model come out, for one request."""
    stream = asked.start()
    assert asked.chain.rest(stream) == "complete"
    assert (stream.finish, stream.model) == ("stop", asked.provider.model.rpartition(":")[2])
    assert stream.usage["input"] + stream.usage["output"] == stream.usage["total"] > 0
    assert "unknown" not in stream.status()["line"]
    assert len(asked.llmock.requests()) == 1
    assert asked.llmock.findings() == []


def test_a_tool_call_comes_out(asked):
    """Its name and its arguments, joined from the pieces in which llmock sends them."""
    stream = asked.start(text="", reply={"tool_calls": [CALL]})
    assert asked.chain.rest(stream) == "complete"
    (call,) = stream.tool_calls
    assert {"name": call["name"], "arguments": json.loads(call["arguments"])} == CALL


@each_format
@pytest.mark.parametrize("kind", ["truncate", "disconnect"])
def test_half_a_text_is_interrupted(asked, kind, seed):
    """
    Ended early or dropped: all text that came is kept, nothing is sent again; Regenerate brings the whole.

    Only then is its verdict clean, and it cannot be before: `truncated_stream_accepted` (its one error here) stands for
    every call whose last attempt was cut short, and an attempt is one of the same call only if its body is the same,
    byte for byte. It does not see that the user is told *interrupted*, and a new generation (Continue, also unasked)
    is another call to it. The same body again, unasked, behind text that is shown would restart the answer and cost
    twice, which is never done. `gave_up` says the same of a dropped connection; it is a warning, and no failure.
    """
    finding = {"truncate": "truncated_stream_accepted", "disconnect": "gave_up"}[kind]
    places = asked.speaking()
    for after in {places[-1], *random.Random(seed).sample(places, 2)}:
        stream = asked.start(asked.broken(kind, after))
        assert asked.chain.rest(stream) == "interrupted", after
        assert stream.text == "".join(asked.texts[:after]), after
        assert "regenerate" in stream.status()["actions"]
        assert len(asked.llmock.requests()) == 1
        assert asked.llmock.findings() == [finding]  # so far it cannot know better
        asked.regenerate(stream)
        assert asked.llmock.findings() == []


@each_format
@pytest.mark.parametrize("kind", ["truncate", "disconnect"])
def test_an_answer_without_a_word_is_asked_again(asked, kind):
    """Before any text it may be sent again: it is, unasked, and nothing is held against us."""
    for after in asked.silent():
        stream = asked.start(asked.broken(kind, after))
        assert asked.chain.rest(stream) == "complete", after
        assert len(asked.llmock.requests()) == 2
        assert asked.llmock.findings() == []


@each_format
def test_a_malformed_event_is_one_line(asked, seed):
    """Half of its JSON is missing: failed, in one line that quotes it, and the text before it is kept."""
    for after in {0, *random.Random(seed).sample(asked.speaking(), 2)}:
        stream = asked.start(asked.broken("malformed", after))
        assert asked.chain.rest(stream) == "failed", after
        assert stream.text == "".join(asked.texts[:after]), after
        assert stream.error["message"].startswith("the upstream sent a frame that is not of its format: '{\"")
        assert len(asked.llmock.requests()) == 1
        asked.regenerate(stream)
        # A warning that it has for every answer that it got rid of before we hung up, whatever was made of it.
        assert set(asked.llmock.findings()) <= {"malformed_chunk_ignored"}


@each_format
def test_a_stall_can_be_stopped(asked, seed):
    """Silence is stalled, and asks; Stop closes the call at once and keeps the text."""
    after = random.Random(seed).choice(asked.speaking())
    stream = asked.start(asked.broken("stall", after, stall_seconds=60), first_s=0.6, idle_s=0.6)
    until(lambda: stream.state == "stalled", "stalled")
    assert stream.text == "".join(asked.texts[:after])
    stream.stop()
    assert asked.chain.rest(stream) == "stopped"
    assert stream.text == "".join(asked.texts[:after])
    (request,) = asked.llmock.requests()  # which it answers when the call is over for it too
    assert request["stall_waited"] < 10
    assert not request["completed"]
    assert asked.llmock.findings() == []


@each_format
def test_a_stall_that_ends_is_complete(asked):
    """Keep waiting: nothing is closed or asked again, and what comes behind the silence ends the stall."""
    stream = asked.start(asked.broken("stall", asked.speaking()[0], stall_seconds=1.1), first_s=0.6, idle_s=0.6)
    until(lambda: stream.state == "stalled", "stalled")
    stream.keep()
    assert asked.chain.rest(stream) == "complete"
    assert len(asked.llmock.requests()) == 1
    # It warns of whoever waits for a second; we ask the user how long.
    assert asked.llmock.findings() == ["no_read_timeout"]


def waits(asked):
    """Return the seconds between the end of each request and the next one, on the clock of llmock."""
    requests = asked.llmock.requests()
    return [after["started_at"] - before["ended_at"] for before, after in itertools.pairwise(requests)]


@each_format
@pytest.mark.parametrize("status", [429, 503])
def test_its_wait_is_kept(asked, status):
    """Busy twice: asked again, each time behind the wait that it names, which is longer than ours, and complete."""
    stream = asked.start({"type": "fail", "status": status, "retry_after": 0.9, "times": 2})
    assert asked.chain.rest(stream) == "complete"
    assert [wait > 0.89 for wait in waits(asked)] == [True, True]
    assert asked.llmock.findings() == []


@each_format
def test_a_provider_that_is_down_is_left_in_peace(asked):
    """503 for good: the first request and three more, then interrupted, in one line."""
    stream = asked.start({"type": "fail", "status": 503, "retry_after": 0.05, "times": None})
    assert asked.chain.rest(stream) == "interrupted"
    assert "503" in stream.error["message"]
    assert len(asked.llmock.requests()) == 4
    assert asked.llmock.findings() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_asked_again(asked, status):
    """The provider's own words, in its own form of an error: failed, one request."""
    fail = {"type": "fail", "status": status, "message": "out of cheese"}
    stream = asked.start(fail)
    assert asked.chain.rest(stream) == "failed"
    assert "out of cheese" in stream.error["message"]
    assert len(asked.llmock.requests()) == 1
    assert asked.llmock.findings() == []
