"""
Runs with one random fault each, through the whole chain, eight at a time.

Every run has a seed of its own; `NBSTREAM_SEED=<seed of the run>` makes it the first run of the next test.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count

import pytest
from chain import DIALECTS, HEADERS, KEY, Message, long_text, sse_data

import nbstream
from nbstream.testing import Answer, Pause

RUNS, SOAK_RUNS, AT_A_TIME = 40, 1000, 8


@dataclass
class Run:
    """One message, one fault; `reply` is what the server says to its requests."""

    seed: int

    def __post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.name = rng.choice(list(DIALECTS))
        text = long_text(rng, rng.choice([40, 300, 3000]))
        self.message = Message.of(self.name, text, piece_chars=max(rng.randint(1, 40), len(text) // 150))
        self.frames = self.message.frames()
        self.place = rng.randrange(len(self.frames) - 1)  # whole frames before the fault
        self.inside = rng.randrange(len(self.frames[self.place]) - 2)  # bytes of the next one
        self.kind = rng.choice([kind for kind, fits in FAULTS.items() if fits(self.message.dialect)])
        self.noise = rng.choice([b"", b"", b": ping\n\n", b"event: ping\ndata: {}\n\n", b"retry: 150\n\n"])
        self.speed = self._speed()
        self.asked = 0
        #: A fault that no client could repair; what it must be instead of complete.
        self.allowed = self._allowed()

    def __str__(self) -> str:
        where = f"frame {self.place} + {self.inside} bytes of {len(self.frames)}"
        return f"NBSTREAM_SEED={self.seed}: {self.kind}, {self.name}, {where}, noise {self.noise!r}, {self.speed}"

    def reply(self, request) -> Answer:
        """Answer one request of this run."""
        self.asked += 1
        first = self.message.next_frame(request) if self.message.dialect.resumes else 0
        if self.asked == 1:
            return getattr(self, f"_{self.kind}")()
        if self.kind == "busy_on_resume" and self.asked == 2:
            return self._refused(503)
        if self.kind == "starts_over":
            first = 0
        if self.kind == "no_end_mark":
            return self._sse(self.frames[first:-1])
        if self.kind == "duplicate":
            far = 4 if self.message.dialect.offsets or self.message.dialect.numbers else 1
            first = max(0, first - self.rng.randint(1, far)) if self.message.dialect.resumes else 0
        if self.kind == "gap" and self.asked == 2 and 0 < self.place < len(self.frames) - 2:
            return self._sse(self.frames[first + 1 :])  # of the first or last text frame alone, no frame would tell
        if self.kind == "replay_of_other" and self.place:
            return self._sse(self.message.said("#" + self.message.text[1:]).frames())
        return self._sse(self.frames[first:])

    def verdict(self, state: str, text: str) -> str | None:
        """Return what is wrong with how this run ended, None if nothing is."""
        whole = self.message.text
        if state == "complete" and text != whole:
            return "complete, but not the source's text"
        if not whole.startswith(text):
            return f"{state}, and what is shown is not a prefix of the source's text"
        if self.allowed and state not in self.allowed:
            return f"{state} instead of {' or '.join(self.allowed)}"
        return None

    @property
    def recoverable(self) -> bool:
        """Whether a perfect client would end complete."""
        return not self.allowed

    def _allowed(self) -> tuple[str, ...]:
        after_text = self.place > 0
        if self.kind in ("refused_for_good", "no_stream", "error_frame", "broken_frame"):
            return ("failed",)
        if self.kind == "no_end_mark":
            return ("interrupted",)
        if self.kind == "replay_of_other" and after_text:
            return ("failed",)
        if self.kind in CUTS and after_text and self.name == "chat-once":
            return ("interrupted",)
        return ()

    def _speed(self) -> dict[str, object]:
        total = sum(map(len, self.frames))
        sizes = [None, None, 1 if total < 6000 else 500, 7 if total < 20000 else 1400]
        out: dict[str, object] = {"piece_bytes": self.rng.choice(sizes)}
        if self.rng.random() < 0.3:
            out["bytes_per_s"] = total / self.rng.uniform(0.1, 0.8)
        return out

    def _sse(self, frames, **options) -> Answer:
        body = [step for frame in frames for step in (self.noise, frame)]
        return Answer.sse(*body, **{**self.speed, **options})

    def _broken(self, **options) -> Answer:
        return self._sse([*self.frames[: self.place], self.frames[self.place][: self.inside]], **options)

    def _refused(self, status: int, **headers: str) -> Answer:
        quoting = f"busy, {HEADERS['Authorization']}".encode()
        return Answer([quoting], status, {"Content-Type": "text/plain", **headers}, framing="length")

    # -- the faults, by name: what is said to the first request ----------------------------------------------------

    def _reset(self):
        return self._broken(end="reset")

    def _ends_early(self):
        return self._broken(framing=self.rng.choice(["chunked", "close"]))

    def _last_chunk_missing(self):
        return self._broken(end="cut")

    def _too_short(self):
        return self._broken(end="cut", framing="length", headers={"Content-Length": "99999999"})

    def _gzip_breaks(self):
        return self._broken(gzip=True, end="reset")

    def _garbage(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"".join(self.frames[: self.place])
        chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        return Answer([head + chunk, self.rng.randbytes(50).replace(b"\n", b"")], framing="bare")

    _busy_on_resume = _starts_over = _duplicate = _gap = _replay_of_other = _reset

    def _busy(self):
        wait = {"retry-after-ms": str(self.rng.randint(50, 500))} if self.rng.random() < 0.5 else {}
        return self._refused(self.rng.choice([408, 409, 425, 429, 500, 502, 503, 504]), **wait)

    def _pause(self):
        return self._sse([*self.frames[: self.place], Pause(0.6), *self.frames[self.place :]])

    def _stays_open(self):
        return self._sse(self.frames, end=self.rng.choice(["stall", "keep"]))

    def _odd_lines(self):
        line_end = self.rng.choice([b"\r\n", b"\r"])
        self.noise = self.noise.replace(b"\n", line_end)
        answer = self._sse([frame.replace(b"\n", line_end) for frame in self.frames])
        return replace(answer, body=(b"\xef\xbb\xbf", *answer.body))

    def _gzip(self):
        return self._sse(self.frames, gzip=True)

    def _refused_for_good(self):
        return self._refused(self.rng.choice([400, 401, 402, 403, 404, 410, 413, 422]))

    def _no_stream(self):
        return Answer([b"<html>hello</html>"], 200, {"Content-Type": "text/html"}, framing="length")

    def _error_frame(self):
        error = b"event: error\n" + sse_data({"error": {"message": f"sank with {KEY}", "type": "leak"}})
        return self._sse([*self.frames[: self.place], error])

    def _broken_frame(self):
        return self._sse([*self.frames[: self.place], b'data: {"type": "del\n\n'])

    def _no_end_mark(self):
        return self._sse(self.frames[:-1])


CUTS = (
    "reset", "ends_early", "last_chunk_missing", "too_short", "gzip_breaks", "garbage", "busy_on_resume", "starts_over",
    "duplicate", "gap",
)  # fmt: skip


def _always(dialect) -> bool:
    return True


#: Fault -> for which dialects it is one. A gap or another text is visible only where frames say where they stand.
FAULTS = {
    **dict.fromkeys(CUTS, _always),
    **dict.fromkeys(("busy", "pause", "stays_open", "odd_lines", "gzip", "refused_for_good", "no_stream"), _always),
    "gap": lambda dialect: dialect.offsets or dialect.numbers,
    "replay_of_other": lambda dialect: dialect.offsets,
    "error_frame": lambda dialect: dialect.format != "text",
    "broken_frame": lambda dialect: dialect.format != "text",
    "no_end_mark": lambda dialect: dialect.resumes,
}


@pytest.mark.timeout(3600)
def test_random_faults(chain, soak, seed):
    """
    Of the runs whose fault can be repaired at least 99.5 % are complete and exact; all of them are honest: complete
    means the source's text, anything else shows a prefix of it. No connection and no key is left behind.
    """
    runs = {f"/run/{number}": Run(seed + number) for number in range(SOAK_RUNS if soak else RUNS)}
    chain.server.script([], otherwise=lambda request: runs[_run_of(request)].reply(request))

    def go(path):
        run = runs[path]
        dialect = run.message.dialect
        url = f"{chain.server.url}{path}"
        if dialect.format == "openai.chat":
            source = nbstream.chat("Tell me", model="pear-1", base_url=url, headers=HEADERS)
        else:
            body = {"ask": path} if dialect.method == "POST" else None
            source = nbstream.sse(url, method=dialect.method, json=body, headers=HEADERS, format=dialect.format)
        stream = nbstream.start(source, idle_s=0.4 if run.kind == "pause" else 30)
        state = str(stream.wait(30))
        return run, state, stream.text, stream.error

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ended = list(pool.map(go, runs))
    chain.server.wait_closed(1.0)
    lies = [f"{run}: {wrong}" for run, state, text, _ in ended if (wrong := run.verdict(state, text))]
    repairable = [run for run in ended if run[0].recoverable]
    lost = [f"{run}: {state} {error}" for run, state, _, error in repairable if state != "complete"]
    print(f"{len(ended)} runs, {len(repairable)} repairable, {len(lost)} of them not repaired, {len(lies)} not honest")
    print("\n".join([*lies, *lost]))
    assert not lies
    assert len(lost) <= len(repairable) * 0.005
    assert max(run.asked for run in runs.values()) <= 8
    assert KEY.encode() not in chain.raw()


def _run_of(request) -> str:
    return "/".join(request.path.split("/")[:3])


def test_every_fault_is_drawn():
    """In a thousand seeds every fault meets every dialect it fits: none is in the table for nothing."""
    wanted = {(kind, name) for kind, fits in FAULTS.items() for name, dialect in DIALECTS.items() if fits(dialect)}
    for seed in count():
        run = Run(seed)
        wanted.discard((run.kind, run.name))
        if not wanted:
            return
        assert seed < 5000, wanted
