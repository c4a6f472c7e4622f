"""The order in which agents spoke is one for every reader: page, terminal, event stream, and another process later."""

import asyncio
import collections
import itertools
import json
import random
import re
import subprocess
import sys
import threading

import pytest
from relay_server import Relay
from test_page_session import PATIENCE_S, Page, hosted

import nbstream
from nbstream.log.disk import open_disk_store
from nbstream.rerun import Ask
from nbstream.runtime import runtime
from nbstream.testing import Answer, FaultServer, Pause
from nbstream.view.terminal import TerminalView

NAMES = ("one", "two", "three", "four")

#: What another process reads: (agent, text) of every part, in the order of the log.
READ = """
import json, sys
from pathlib import Path
from nbstream.log.disk import open_disk_store
from nbstream.log.readback import parts_of

store = open_disk_store(Path(sys.argv[1]))
print(json.dumps([[part.agent, part.text] for part in parts_of(store.log(sys.argv[2])) if part.kind == "text"]))
store.close()
"""


@pytest.fixture
def store(tmp_path):
    """Return a store on disk."""
    store = open_disk_store(tmp_path / "store")
    yield store
    runtime().close()
    store.close()


@pytest.fixture
def server():
    """Return a server that says what the test writes."""
    with FaultServer() as server:
        yield server
        server.wait_closed(2.0)


def speech(name, chance, cut):
    """Return an answer of one agent at a pace of its own; its words say whose they are, and which."""
    words = [f"{name}-{number} " for number in range(chance.randint(20, 60))]

    def answer(request):
        first = int(request.last_event_id or 0)
        last = cut if cut and not first else len(words)
        frames = []
        for number in range(first, last):
            frames.append(f"id: {number + 1}\ndata: {json.dumps({'type': 'delta', 'text': words[number]})}\n\n")
            frames.append(Pause(chance.choice((0, 0, 0, 0.001, 0.01, 0.03))))
        return Answer.sse(*frames, *([] if last < len(words) else ["event: done\ndata: {}\n\n"]))

    return answer, words


def words_of(parts):
    """Return every word with its agent, in order."""
    return [(agent, word) for agent, text in parts for word in text.split()]


def order_on(page, stream):
    """What a page was told: pages that leave a hole are not shown, and what two of them tell is shown once."""
    have, said, parts = -1, collections.Counter(), []
    for message in page.messages:
        if message["stream"] == stream and message["after"] <= have < message["upto"]:
            for part in message["parts"]:
                if part["kind"] == "text":
                    agent = part["agent"]
                    text = part["text"][said[agent] - part["off"] :]
                    parts.append((agent, text))
                    said[agent] += len(text)
            have = message["upto"]
    return words_of(parts)


def order_in(written):
    """What a terminal shows: a heading where the speaker changes, then the text."""
    pieces = re.split(r"── (\w+) ──\n", written)[1:]
    return words_of((agent, text.partition("[")[0]) for agent, text in zip(pieces[::2], pieces[1::2], strict=True))


def order_sent(events):
    """What an event stream brought."""
    return words_of((part["agent"], part["text"]) for record in events for part in record.get("parts", ())
                    if part["kind"] == "text")  # fmt: skip


class Terminal:
    """A terminal that writes a stream in a thread of its own."""

    def __init__(self, stream):
        self.written = []
        view = TerminalView()
        self._thread = threading.Thread(target=lambda: asyncio.run(view.run(stream, self.written.append)))
        self._thread.start()

    @property
    def order(self):
        """What it shows in the end."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return order_in("".join(self.written))


def test_every_reader_sees_one_order(store, server, tmp_path, seed):
    """
    Four agents speak at once, one is cut and goes on: who reads along and who comes later see the same sequence.

    It is the one in which each agent's words are in order, and it is no order of agents one behind the other.
    """
    chance = random.Random(seed)
    agents = {name: speech(name, chance, 10 if name == "two" else None) for name in NAMES}
    server.script([], otherwise=lambda request: agents[request.path.strip("/")][0](request))
    team = nbstream.merge({name: nbstream.sse(f"{server.url}/{name}") for name in NAMES})
    stream = hosted(store).launch(team, json.dumps(["notebook", "cell:1", 0]), Ask(team.fingerprint))
    page, terminal = Page(stream), Terminal(stream)
    page.ask()
    with Relay(store) as relay, relay.events(f"/v1/streams/{stream.id}/records?after=-1") as sent:
        assert stream.wait(PATIENCE_S) == "complete"
        sent.rest()
        page.until(lambda page: page.state["state"] == "complete" and len(order_on(page, stream.id)) == count(agents))
        late = Page(stream)
        late.ask()
        late.until(lambda page: len(order_on(page, stream.id)) == count(agents))
        with relay.events(f"/v1/streams/{stream.id}/records?after=-1") as again:
            again.rest()
        elsewhere = subprocess.run(
            [sys.executable, "-c", READ, str(tmp_path / "store"), stream.id], capture_output=True, text=True, check=True
        )
        order = words_of(json.loads(elsewhere.stdout))
        for said in (
            order_on(page, stream.id), order_on(late, stream.id), terminal.order, Terminal(stream).order,
            order_sent(sent.records), order_sent(again.records),
        ):  # fmt: skip
            assert said == order
    for name, (_, words) in agents.items():
        assert [word for agent, word in order if agent == name] == [word.strip() for word in words]
    changes = sum(before[0] != after[0] for before, after in itertools.pairwise(order))
    assert changes > len(NAMES), "they did not speak at once"


def count(agents):
    """How many words there are."""
    return sum(len(words) for _, words in agents.values())
