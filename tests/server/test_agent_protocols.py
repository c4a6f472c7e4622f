"""Agent protocols over a real socket, recorded here and in a relay: every end in its state, and runs joined again."""

import itertools

import agent_wire
import pytest
from agent_wire import data, langgraph, piece
from chain import until

import nbstream
from nbstream.log.readback import parts_of
from nbstream.testing import Answer

#: Format, bytes of a whole run, what it says, a frame that reports an error.
FORMATS = {
    "agui": (agent_wire.AGUI, agent_wire.AGUI_SAYS, data({"type": "RUN_ERROR", "message": "out of cheese"})),
    "vercel.ui": (agent_wire.VERCEL, agent_wire.VERCEL_SAYS, data({"type": "error", "errorText": "out of cheese"})),
    "langgraph": (
        agent_wire.LANGGRAPH,
        agent_wire.LANGGRAPH_SAYS,
        data({"error": "RuntimeError", "message": "out of cheese"}, name="error"),
    ),
}


def frames(protocol):
    """Return the events of a whole run, one by one."""
    return [frame + b"\n\n" for frame in FORMATS[protocol][0].split(b"\n\n") if frame]


def start(chain, protocol, *answers, otherwise=None, **options):
    """Start a stream of *protocol* against *answers*."""
    chain.server.script(answers, otherwise=otherwise)
    path = "/threads/t1/runs/stream" if protocol == "langgraph" else "/chat"
    source = nbstream.sse(chain.server.url + path, method="POST", json={"input": "q"}, format=protocol)
    return nbstream.start(source, **options)


def says(stream):
    """Return what *stream* says, by agent and kind."""
    agents = stream.agents.values()
    texts = {(one.name, kind): getattr(one, kind) for one in agents for kind in ("text", "reasoning")}
    return {name: text for name, text in texts.items() if text}


def is_beginning(part, whole):
    """Whether all texts of *part* are beginnings of those of *whole*."""
    return all(whole.get(name, "").startswith(text) for name, text in part.items())


@pytest.fixture(params=list(FORMATS))
def protocol(request):
    """Return the name of a protocol."""
    return request.param


def test_a_whole_run_is_complete(chain, protocol):
    """The end mark completes: every agent's text, the tool call with its arguments, nothing unknown."""
    raw, expected, _ = FORMATS[protocol]
    stream = start(chain, protocol, Answer.sse(raw, piece_bytes=7))
    assert stream.wait(15) == "complete"
    assert says(stream) == expected
    assert stream.tool_calls == [agent_wire.WEATHER]
    assert "unknown" not in stream.status()["line"]


def test_a_run_that_breaks_off_is_interrupted(chain, protocol):
    """A connection that ends without the end mark, cleanly or not, is no end: interrupted, and nothing asked again."""
    events = frames(protocol)
    for end in ("clean", "reset"):
        stream = start(chain, protocol, Answer.sse(*events[:-2], end=end))
        assert stream.wait(15) == "interrupted"
        assert says(stream) == FORMATS[protocol][1] or is_beginning(says(stream), FORMATS[protocol][1])
        assert says(stream)
        chain.server.wait_closed(2.0)
    # LangGraph's run is asked for its status at a clean end; this server knows none.
    asked = [request for request in chain.requests if request.method == "POST"]
    assert len(asked) == 2


def test_an_error_event_is_failed(chain, protocol):
    """The upstream's own words are in the line; what came before is kept."""
    events = frames(protocol)
    stream = start(chain, protocol, Answer.sse(*events[:-3], FORMATS[protocol][2]))
    assert stream.wait(15) == "failed"
    assert "out of cheese" in stream.error["message"]
    assert says(stream)


def test_garbage_is_failed_and_quoted(chain, protocol):
    """A frame that is not of the protocol ends the stream in one line that quotes it."""
    garbage = b'event: messages\ndata: {"type": "nonsense\n\n'
    stream = start(chain, protocol, Answer.sse(*frames(protocol)[:-3], garbage))
    assert stream.wait(15) == "failed"
    assert "nonsense" in stream.error["message"]


def test_silence_is_a_stall_that_stop_ends(chain, protocol):
    """Nothing comes and the connection stands: stalled; Stop closes it."""
    stream = start(chain, protocol, Answer.sse(*frames(protocol)[:-3], end="stall"), first_s=0.4, idle_s=0.4)
    until(lambda: stream.state == "stalled", "stalled")
    stream.stop()
    assert stream.wait(15) == "stopped"
    chain.server.wait_closed(2.0)


@pytest.mark.parametrize("protocol", ["agui", "vercel.ui"])
def test_a_get_is_told_again_and_shown_once(chain, protocol):
    """A GET that is cut tells all of it again, what was taken back and who began as well; shown once, and exact."""
    events, (_, expected, _) = frames(protocol), FORMATS[protocol]
    marks = None
    for cut in range(len(events) - 1, 0, -4):
        chain.server.script([Answer.sse(*events[:cut], end="reset"), Answer.sse(*events)])
        stream = nbstream.start(nbstream.sse(chain.server.url + "/chat/1/stream", format=protocol))
        assert stream.wait(15) == "complete", (cut, stream.error)
        assert says(stream) == expected, cut
        assert stream.tool_calls == [agent_wire.WEATHER]
        others = [(part.agent, part.kind) for part in parts_of(stream.log) if part.kind not in {"text", "reasoning"}]
        marks = marks or others
        assert others == marks, cut
        chain.server.wait_closed(2.0)
    assert ("agent_start" in [kind for _, kind in marks]) is (protocol == "agui")


# LangGraph: a run goes on without us


def twins():
    """Return (id, bytes) of a run whose events share ids, two by two."""
    events = [piece(f"w{number} 船 ", f"m{number // 5}", "writer") for number in range(14)]
    ids = [f"{100 + number // 2}-0" for number in range(14)]
    return [*zip(ids, langgraph(*events, ids=ids), strict=True), ("200-0", b"id: 200-0\nevent: end\ndata: null\n\n")]


def behind(sent, last):
    """Return what a server sends behind the id *last*."""
    ids = [event_id for event_id, _ in sent]
    place = -1 if last == "-1" else max(index for index, event_id in enumerate(ids) if event_id == last)
    return [raw for _, raw in sent[place + 1 :]]


RUN = {"Content-Location": "/threads/t1/runs/r1"}


def test_a_run_is_joined_again_between_twins(chain):
    """Cut behind any event, the run is joined with a GET behind a safe id: no second run, no text lost, none twice."""
    sent = twins()
    messages = ["".join(f"w{number} 船 " for number in some) for some in (range(5), range(5, 10), range(10, 14))]
    whole = {("writer", "text"): "\n\n".join(messages)}
    for cut in range(1, len(sent), 3):
        first = Answer.sse(*(raw for _, raw in sent[:cut]), headers=RUN, end="reset")
        stream = start(chain, "langgraph", first, otherwise=lambda ask: Answer.sse(*behind(sent, ask.last_event_id)))
        assert stream.wait(15) == "complete", (cut, stream.error)
        assert says(stream) == whole, cut
        chain.server.wait_closed(2.0)
        again = chain.requests[-1]
        assert (again.method, again.path) == ("GET", "/threads/t1/runs/r1/stream")


def test_a_run_that_is_cut_before_its_first_word_is_not_begun_again(chain):
    """The first event only names the run: behind a cut it is joined from its beginning, and no second run is paid."""
    sent = [("99-0", data({"run_id": "r1"}, name="metadata", event_id="99-0")), *twins()]
    first = Answer.sse(sent[0][1], headers=RUN, end="reset")
    stream = start(chain, "langgraph", first, otherwise=lambda ask: Answer.sse(*behind(sent, ask.last_event_id)))
    assert stream.wait(15) == "complete"
    assert [(request.method, request.last_event_id) for request in chain.requests] == [("POST", None), ("GET", "-1")]
    assert stream.text.split()[0] == "w0"


def test_stop_ends_the_run_itself(chain):
    """Closing the connection would let the run go on, and cost: Stop sends the cancel that the server knows."""
    sent = twins()
    first = Answer.sse(*(raw for _, raw in sent[:5]), headers=RUN, end="stall")
    stream = start(chain, "langgraph", first, Answer([b"{}"], 202, framing="length"))
    until(lambda: says(stream), "text has come")
    stream.stop()
    assert stream.wait(15) == "stopped"
    cancel = chain.server.wait_requests(2)[1]
    assert (cancel.method, cancel.path) == ("POST", "/threads/t1/runs/r1/cancel")
    assert cancel.query == {"wait": "0", "action": "interrupt"}
    assert stream.error is None


def test_a_cancel_that_is_refused_is_said(chain):
    """The run may go on: the line says so instead of a plain "stopped"."""
    first = Answer.sse(twins()[0][1], headers=RUN, end="stall")
    stream = start(chain, "langgraph", first, otherwise=Answer([b"no"], 403, framing="length"))
    until(lambda: says(stream), "text has come")
    stream.stop()
    assert stream.wait(15) == "stopped"
    assert "may go on" in stream.error["message"]


@pytest.mark.parametrize(
    ("status", "state"),
    [("success", "complete"), ("interrupted", "complete"), ("error", "failed"), ("running", "interrupted")],
)
def test_at_an_end_without_a_mark_the_run_is_asked(chain, status, state):
    """A clean end of the connection may be a proxy's: only the run's own status makes it the end."""
    answers = itertools.chain(
        [Answer.sse(*frames("langgraph")[:-1], headers=RUN)],
        [Answer([b'{"status": "%b"}' % status.encode()], headers={"Content-Type": "application/json"})],
    )
    stream = start(chain, "langgraph", *answers)
    assert stream.wait(15) == state
    assert chain.requests[1].path == "/threads/t1/runs/r1"
    assert says(stream) == agent_wire.LANGGRAPH_SAYS
