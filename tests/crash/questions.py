"""Questions whose answers are known: the cell that asks, the text that must come, what the server was asked."""

from __future__ import annotations

import itertools
import json
import random
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from nbstream.demo import DemoModel
from nbstream.log.readback import parts_of
from nbstream.recorder.progress import Progress
from nbstream.records import Delta
from nbstream.testing import Answer, FaultServer, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernels import Kernel, Page

    from nbstream.demo import DemoServer
    from nbstream.log.contract import Status, Store
    from nbstream.records import Cursor
    from nbstream.testing import Request

#: What tears when it is cut or counted wrongly: outside the BMP, joined emoji, combining marks, CRLF.
ODD = ("🧵", "👩‍👩‍👧‍👦", "🇩🇪", "e\u0301", "क्षि", "ｶﾞ", "z\u0335\u0321", "漢字", "\r\n", "\u2028", "𝔘𝔫𝔦", "ß", " ")
_count = itertools.count(1)


@dataclass
class Question:
    """A cell and its answer. `asked()`: the Last-Event-ID of every request so far, once the server is at rest."""

    cell: str
    text: str
    asked: Callable[[], list[str | None]]
    id: str = field(default_factory=lambda: f"cell-{next(_count)}")
    label: str = ""
    #: Where the answer comes from, for cells of another kind.
    url: str = ""

    def key(self, kernel: Kernel, number: int = 0) -> str:
        """Return what names its stream in the store: the notebook, the cell, the count in it."""
        return json.dumps([kernel.notebook, f"cell:{self.id}", number])


def show(url: str) -> str:
    """Return a cell that shows an SSE stream."""
    return f"nbstream.show(nbstream.sse({url!r}))"


def native(
    server: DemoServer, prompt: str = "rivers", *, tokens: int = 300, speed: float = 300, **more: object
) -> Question:
    """GET /stream of the demo server: text, offset and id in every frame."""
    run = f"run-{next(_count)}"
    query = {"prompt": prompt, "max_tokens": tokens, "tokens_per_s": speed, "run": run, **more}
    text = DemoModel(0).text(prompt, max_tokens=tokens)
    url = f"{server.url}/stream?{urlencode(query)}"
    return Question(show(url), text, _demo_log(server, run), label=f"native {speed:g}/s", url=url)


def chat(
    server: DemoServer, prompt: str = "rivers", *, tokens: int = 300, speed: float = 300, fault: str = ""
) -> Question:
    """POST chat completions, resumed by id, through the magic."""
    run = f"run-{next(_count)}"
    cell = (
        f"%%stream --model demo --base-url {server.url}/v1"
        f" -p tokens_per_s={speed} -p max_tokens={tokens} -p run={run}{f' -p fault={fault}' * bool(fault)}\n{prompt}"
    )
    text = DemoModel(0).text(prompt, max_tokens=tokens)
    return Question(cell, text, _demo_log(server, run), label=f"chat {speed:g}/s")


def numbered(server: FaultServer, events: list[str], *, pause_s: float = 0.0) -> Question:
    """Events that carry text and an id, nothing that says where the text stands: only counting resumes these."""
    path = f"/numbered-{next(_count)}"

    def body(first: int) -> Iterator[bytes | str | Pause]:
        for number, text in enumerate(events[first:], first + 1):
            yield f"id: n{number}\ndata: {json.dumps({'type': 'delta', 'text': text}, ensure_ascii=False)}\n\n"
            yield Pause(pause_s)
        yield "event: done\ndata: {}\n\n"

    def answer(request: Request) -> Answer:
        return Answer.sse(*body(int((request.last_event_id or "n0")[1:])))

    ROUTES.setdefault(id(server), {})[path] = answer
    server.script([], otherwise=lambda request: ROUTES[id(server)].get(request.path, _nothing)(request))

    def asked() -> list[str | None]:
        _rest(server.url)
        return [request.last_event_id for request in server.requests if request.path == path]

    label = f"{len(events)} events of {len(''.join(events)) // len(events)}"
    return Question(show(server.url + path), "".join(events), asked, label=label)


def odd_text(choose: random.Random, length: int) -> str:
    """Return text of about *length* code points, full of what tears."""
    out: list[str] = []
    size = 0
    while size < length:
        word = choose.choice(ODD) if choose.random() < 0.3 else f"{choose.randrange(100_000)} "
        out.append(word)
        size += len(word)
    return "".join(out)


def pieces(choose: random.Random, text: str, longest: int) -> list[str]:
    """Cut *text* anywhere, also inside what one would call a character."""
    out = []
    while text:
        length = choose.randint(1, longest)
        out.append(text[:length])
        text = text[length:]
    return out


@dataclass
class Saved:
    """What the store holds of one stream."""

    status: Status
    text: str
    cursor: Cursor | None
    #: Code points stored behind the cursor.
    behind: int

    def __str__(self) -> str:
        return f"{len(self.text)} stored, {self.behind} of them behind the cursor {self.cursor}, {self.status.state}"

    @property
    def last_event_id(self) -> str | None:
        """What a request that resumes it has to carry."""
        return self.cursor["id"] if self.cursor else None


def saved(store: Store, question: Question, kernel: Kernel) -> Saved | None:
    """Read what is stored under the cell, from outside; checks that the log is whole."""
    stream = store.find(question.key(kernel))
    return read(store, stream) if stream else None


def read(store: Store, stream: str) -> Saved:
    """Read one stream; checks that its parts are dense and join on."""
    found = Saved(store.status(stream), "", None, 0)
    texts: list[str] = []
    length = sequence = 0
    log, after = store.log(stream), -1
    while records := log.read(after):
        after += len(records)
        for record in records:
            if not isinstance(record, Delta):
                continue
            for part in record.parts:
                assert (part.kind, part.off, part.sequence) == ("text", length, sequence + 1)
                texts.append(part.text)
                length += len(part.text)
                sequence += 1
            found.cursor, found.behind = record.cursor, record.behind
    found.text = "".join(texts)
    return found


@dataclass
class Lanes:
    """What the store holds of the stream of a team."""

    status: Status
    progress: Progress
    texts: dict[str, str]

    def text(self, agent: str) -> str:
        """Return what *agent* has said."""
        return self.texts.get(agent, "")

    def ended(self, agent: str) -> str | None:
        """Return how *agent* ended, None if it did not."""
        track = self.progress.voices.get(agent)
        return track.ended["status"] if track is not None and track.ended is not None else None

    def last_event_id(self, agent: str) -> str | None:
        """Return what a request that resumes *agent* has to carry."""
        track = self.progress.voices.get(agent)
        return track.cursor["id"] if track is not None and track.cursor else None


def read_lanes(store: Store, stream: str) -> Lanes:
    """Read the stream of a team; checks that each agent's parts are dense and join on."""
    log = store.log(stream)
    texts: dict[str, list[str]] = {}
    lengths: dict[str, int] = {}
    sequences: dict[str, int] = {}
    for part in parts_of(log):
        sequences[part.agent] = sequences.get(part.agent, 0) + 1
        assert part.sequence == sequences[part.agent], part
        if part.kind == "text":
            assert part.off == lengths.get(part.agent, 0), part
            texts.setdefault(part.agent, []).append(part.text)
            lengths[part.agent] = part.off + len(part.text)
    return Lanes(store.status(stream), Progress.of(log), {agent: "".join(said) for agent, said in texts.items()})


def check_dead(page: Page | None, question: Question, found: Saved | None) -> None:
    """After SIGKILL: what was shown is a prefix of the log, the log a prefix of the answer, nobody holds it."""
    shown = page.text if page else ""
    stored = found.text if found else ""
    assert stored.startswith(shown), f"{question.label}: {len(shown)} characters shown, {len(stored)} stored"
    assert question.text.startswith(stored), f"{question.label}: the log is not what the source said"
    assert not (page and page.contradictions), page.contradictions
    if found is not None:
        assert not found.status.live
        assert found.status.state in ("interrupted", "complete")


def check_whole(page: Page, question: Question, found: Saved | None) -> None:
    """At the end: screen, log and source say the same, to the character."""
    assert found is not None
    assert page.text == question.text, f"{question.label}: {len(page.text)} of {len(question.text)} characters shown"
    assert found.text == question.text
    assert found.status.state == "complete"
    assert not page.contradictions, page.contradictions


ROUTES: dict[int, dict[str, Callable[[Request], Answer]]] = {}


def _nothing(request: Request) -> Answer:
    return Answer([b"ok"], framing="length")


def _demo_log(server: DemoServer, run: str) -> Callable[[], list[str | None]]:
    def asked() -> list[str | None]:
        _rest(f"{server.url}/healthz")
        return [one.last_event_id for one in server.requests if one.run == run]

    return asked


def _rest(url: str) -> None:
    """Let the server read what a dead client had sent: its connection stands before ours in the server's queue."""
    for _ in range(2):
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 10.0, *, step_s: float = 0.001) -> float:
    """Look every *step_s* until *true*; return the seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < timeout_s, f"waited {timeout_s:g} s for {what}"
        time.sleep(step_s)
    return time.monotonic() - began
