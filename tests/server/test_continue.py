"""A message that was cut is continued: over real sockets, recorded in the kernel and in a relay."""

import json
import random
import threading

import pytest
from chain import chunk, sse_data

import nbstream
from nbstream.demo import DemoServer
from nbstream.demo.model import DemoModel
from nbstream.errors import SourceLost, SourceRefused, StreamError
from nbstream.log.readback import parts_of, records_of
from nbstream.options import options
from nbstream.records import Open
from nbstream.runtime import runtime
from nbstream.sources.formats.registry import READERS
from nbstream.sources.prefill import CONVERSATIONS, GO_ON, PREFILLS
from nbstream.sources.seam import WORD_CHARS, word_boundary
from nbstream.testing import Answer
from nbstream.view.saved_form import saved_form

SAID = "The ferry left the quay at nine, with forty cra"
STAYS = "The ferry left the quay at nine, with forty "
REST = "crates of pears."
DONE = sse_data(chunk(None, "stop")) + b"data: [DONE]\n\n"


def says(*pieces, end=DONE):
    """Return an answer that says *pieces*; without *end* the connection just ends."""
    return Answer.sse(*(sse_data(chunk(piece)) for piece in pieces), end)


def cut(*pieces):
    """Return an answer that says *pieces* and is cut."""
    return says(*pieces, end=b"")


def source(chain, model="pear-1"):
    """Return a chat with the server of *chain*."""
    return nbstream.chat("Tell me", model=model, base_url=f"{chain.server.url}/v1")


def asked(chain):
    """Return the conversations that the server got."""
    return [json.loads(request.body)["messages"] for request in chain.requests]


def intents(stream):
    """Return the intents of its calls."""
    return [record.intent for record in records_of(stream.log) if isinstance(record, Open)]


USER = {"role": "user", "content": "Tell me"}
BEGUN = {"role": "assistant", "content": STAYS.rstrip()}
TURN = {"role": "user", "content": GO_ON}


def test_a_cut_message_is_continued_behind_a_seam(chain):
    """It asks first; then a new generation goes on behind the last whole word, and says that it is one."""
    chain.server.script([cut(SAID), says(REST)])
    stream = nbstream.start(source(chain))
    assert stream.wait(10) == "interrupted"
    assert stream.text == SAID
    status = stream.status()
    assert status["actions"] == ["continue", "regenerate"]
    assert "Continue lets a new generation go on" in status["line"]
    assert len(chain.requests) == 1
    again = nbstream.continue_(stream.id)
    assert again.wait(10) == "complete"
    assert (again.id, again.text, stream.text) == (stream.id, STAYS + REST, STAYS + REST)
    assert asked(chain) == [[USER], [USER, BEGUN, TURN]]
    assert intents(again) == ["new", "continue"]
    assert [part.fields["why"] for part in again.seams] == ["pear-1, behind a turn of the user"]
    line = again.status()["line"]
    assert "continued once by a new generation" in line
    assert "resumed" not in line
    form = saved_form(again)
    assert f"{STAYS}\n\n*continued here by a new generation: pear-1, behind a turn of the user*" in form
    chain.server.wait_closed(2)


def test_what_it_says_again_is_left_out(chain):
    """A model that repeats the last words, in any pieces, is shown once."""
    for size in range(1, 25):
        rest = f"at nine, with forty {REST}"
        chain.server.script([cut(SAID), says(*(rest[at : at + size] for at in range(0, len(rest), size)))])
        stream = nbstream.start(source(chain), fresh=True)
        stream.wait(10)
        assert stream.continue_().wait(10) == "complete"
        assert stream.text == STAYS + REST


def test_a_refused_prefill_falls_through(chain):
    """400 to a prefill: the user asks instead, in the same call; nothing of it is shown."""
    refusal = b'{"error": {"message": "this model takes no prefill", "type": "invalid_request_error"}}'
    no = Answer([refusal], 400, {"Content-Type": "application/json"}, framing="length")
    chain.server.script([cut(SAID), no, says(" " + REST)])
    stream = nbstream.start(source(chain, model="demo"))
    stream.wait(10)
    assert stream.continue_().wait(10) == "complete"
    assert stream.text == STAYS + REST
    assert asked(chain) == [[USER], [USER, BEGUN], [USER, BEGUN, TURN]]
    assert [part.fields["why"] for part in stream.seams] == ["demo, behind a turn of the user"]
    assert stream.error is None


def test_refused_altogether_takes_nothing_back(chain):
    """A continuation that fails before it says anything leaves the text as it was, half word and all."""
    no = Answer([b"no"], 401, framing="length")
    chain.server.script([cut(SAID), no, says(REST)])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().wait(10) == "failed"
    assert (stream.text, stream.seams) == (SAID, [])
    assert stream.status()["actions"] == ["continue", "regenerate"]
    assert stream.continue_().wait(10) == "complete"
    assert stream.text == STAYS + REST


def test_before_it_says_anything_it_is_asked_again(chain):
    """Busy, or lost before its first text: tried again as any call, since that repeats no text."""
    busy = Answer([b"busy"], 503, framing="length")
    chain.server.script([cut(SAID), busy, Answer.sse(end="reset"), says(REST)])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().wait(15) == "complete"
    assert stream.text == STAYS + REST
    assert intents(stream) == ["new", "continue"]


def test_cut_again_is_continued_again(chain):
    """Every further cut is a further seam; it is never resumed under the name of the same message."""
    chain.server.script([cut(SAID), cut("crates of pe"), says("pears.")])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().wait(10) == "interrupted"
    assert stream.text == f"{STAYS}crates of pe"
    assert not stream.resumable
    assert stream.continue_().wait(10) == "complete"
    assert stream.text == STAYS + REST
    assert len(stream.seams) == 2
    assert asked(chain)[2][1] == {"role": "assistant", "content": f"{STAYS}crates of"}


def test_pressed_twice_at_once_is_one_call(chain):
    """Whoever comes second attaches, from another page or process too."""
    chain.server.script([cut(SAID), says(REST)])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    presses = [threading.Thread(target=lambda: nbstream.continue_(stream.id)) for _ in range(4)]
    for press in presses:
        press.start()
    for press in presses:
        press.join()
    assert stream.wait(10) == "complete"
    assert stream.text == STAYS + REST
    assert len(chain.requests) == 2


@pytest.mark.parametrize("auto", [True, False])
def test_only_auto_continue_does_not_ask(chain, auto):
    """With `auto_continue` the stream is live all the time and `wait` sees no end before the last; else it asks."""
    chain.server.script([cut(SAID), says(REST)])
    stream = nbstream.start(source(chain), auto_continue=auto)
    assert stream.wait(10) == ("complete" if auto else "interrupted")
    assert stream.text == (STAYS + REST if auto else SAID)
    assert intents(stream) == (["new", "continue"] if auto else ["new"])
    assert len(chain.requests) == (2 if auto else 1)


def test_auto_continue_ends(chain):
    """A message that is cut at the same place again and again is not paid for without end; then it asks."""
    words = iter(["one", "two", "three", "four", "five"])
    chain.server.script([], otherwise=lambda _: cut(f"{next(words)} more "))
    stream = nbstream.start(source(chain), auto_continue=True)
    assert stream.wait(20) == "interrupted"
    assert stream.text == "one more two more three more four more "
    assert len(chain.requests) == 4
    assert stream.status()["actions"] == ["continue", "regenerate"]


def test_auto_continue_never_goes_on_behind_a_stop(chain):
    """Stop means stop."""
    chain.server.script([Answer.sse(sse_data(chunk(SAID)), end="stall")])
    stream = nbstream.start(source(chain), auto_continue=True)
    while not stream.text:
        stream.log.wait(stream.offset, 1)
    stream.stop()
    assert stream.wait(10) == "stopped"
    chain.server.wait_closed(5)
    assert len(chain.requests) == 1
    assert stream.status()["actions"] == ["continue", "regenerate"]
    chain.server.script([says(REST)])
    assert stream.continue_().wait(10) == "complete"  # the user asks for it
    assert stream.text == STAYS + REST


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": "th'}}


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([chunk("I look. "), chunk(None, tool_calls=[CALL])], "tool calls"),
        ([chunk("Hm. "), chunk(None, reasoning_content="so it must")], "inside its reasoning"),
        ([chunk(None, reasoning_content="so it must")], "inside its reasoning"),
        ([chunk(None, refusal="I cannot")], "refused"),
        ([{**chunk("other"), "choices": [{"index": 1, "delta": {"content": "a b"}}]}], "several agents"),
    ],
)
def test_where_no_generation_can_go_on_it_says_why(chain, pieces, why):
    """Inside a tool call, reasoning, a refusal, several texts: no button, and one line that offers Regenerate."""
    chain.server.script([Answer.sse(*map(sse_data, pieces))])
    stream = nbstream.start(source(chain))
    assert stream.wait(10) == "interrupted"
    status = stream.status()
    assert status["actions"] == ["regenerate"]
    with pytest.raises(SourceRefused, match=f"{why}.*Regenerate asks anew"):
        stream.continue_()
    assert len(chain.requests) == 1
    assert stream.state == "interrupted"


def test_reasoning_before_the_text_is_no_hindrance(chain):
    """What the model thought is not sent back; the text is continued."""
    chain.server.script([
        Answer.sse(sse_data(chunk(None, reasoning_content="so it must")), sse_data(chunk(SAID))),
        Answer.sse(sse_data(chunk(None, reasoning_content=" go on")), sse_data(chunk(REST)), DONE),
    ])  # fmt: skip
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().wait(10) == "complete"
    assert (stream.text, stream.reasoning) == (STAYS + REST, "so it must go on")
    kinds = [part.kind for part in parts_of(stream.log)]
    assert kinds == ["reasoning", "text", "truncate", "seam", "reasoning", "text"]


#: What tears: half words, an accent of its own, Chinese, Korean, joined emoji, a block of code.
TEARS = "A cafe\u0301 at the quay: 我们写诗 흐른다 🚢 👩🏽\u200d🚀, naïve.\n\n```\nx = 1\n```\n- one two\n"


def test_every_place_of_a_cut(chain, seed):
    """Cut anywhere, in any pieces: the old text stays to its last whole word, and the whole is that of one call."""
    rng = random.Random(seed)

    def pieces(text):
        while text:
            size = rng.randrange(1, 6)
            yield text[:size]
            text = text[size:]

    def rest(request):
        begun = json.loads(request.body)["messages"][1]["content"]
        assert TEARS.startswith(begun)
        assert begun == begun.rstrip()
        return says(*pieces(TEARS[len(begun) :]))

    # A relay is another process; what it does here is the same.
    for at in range(3, len(TEARS), 1 if options().host == "kernel" else 9):
        chain.server.script([cut(*pieces(TEARS[:at])), rest])
        stream = nbstream.start(source(chain), fresh=True)
        stream.wait(10)
        assert stream.text == TEARS[:at]
        assert stream.continue_().wait(10) == "complete"
        assert stream.text == TEARS, at
        length = 0
        for part in parts_of(stream.log):
            if part.kind == "truncate":
                length = part.fields["length"]
                assert TEARS[:length] == TEARS[:at][: word_boundary(TEARS[:at])]
            elif part.kind == "text":
                assert part.off == length
                length += len(part.text)
        assert [part.kind for part in stream.seams] == ["seam"]


def test_a_continuation_can_be_stopped(chain):
    """Stop closes the call of the new generation at once; what came of it stays, behind the seam."""
    chain.server.script([cut(SAID), Answer.sse(sse_data(chunk("crates of ")), sse_data(chunk("pe")), end="stall")])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    again = stream.continue_()
    while not again.text.endswith("pe"):
        again.log.wait(again.offset, 1)
    again.stop()
    assert again.wait(10) == "stopped"
    chain.server.wait_closed(2)
    assert again.text == f"{STAYS}crates of pe"


def test_what_need_not_be_continued_says_so(chain):
    """Complete: as it is saved. Resumable: one line. No call."""
    chain.server.script([says("All.")])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().text == "All."
    assert len(chain.requests) == 1
    frame = b'id: 1\ndata: {"type": "delta", "text": "one two "}\n\n'
    chain.server.script([Answer.sse(frame), Answer([b"no"], 404, framing="length")])
    stream = nbstream.start(nbstream.sse(f"{chain.server.url}/s", format="nbstream"))
    stream.wait(10)
    with pytest.raises(StreamError, match="resume it"):
        stream.continue_()


def test_usage_is_that_of_both_calls(chain):
    """What was paid before the cut counts, where it is known."""
    usage = {**chunk(None), "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}
    chain.server.script([
        Answer.sse(sse_data(chunk(SAID)), sse_data(usage)), Answer.sse(sse_data(chunk(REST)), sse_data(usage), DONE),
    ])  # fmt: skip
    stream = nbstream.start(source(chain))
    stream.wait(10)
    stream.continue_().wait(10)
    assert stream.usage == {"input": 20, "output": 10, "total": 30}


@pytest.mark.parametrize(
    ("text", "continues"),
    [
        ("Fer", False), ("\n\n", False), ("\n\n Fer", False), ("Fer ", True), ("Fer ries", True), ("船", False),
        ("船は", True), ("x" * WORD_CHARS, False), ("x" * (WORD_CHARS + 1), True), ("word " * 100, True),
    ],
)  # fmt: skip
def test_continue_is_offered_only_where_a_whole_word_has_come(chain, text, continues):
    """What is offered is done when it is clicked; where nothing would stay, the line says so and what to do."""
    chain.server.script([cut(text), says(" and on")])
    stream = nbstream.start(source(chain))
    assert stream.wait(10) == "interrupted"
    status = stream.status()
    assert status["actions"] == [*(["continue"] if continues else []), "regenerate"]
    if continues:
        assert stream.continue_().wait(10) == "complete"
    else:
        assert "not a whole word has come" in status["line"]
        assert "Regenerate" in status["line"]


def test_half_a_word_is_not_continued(chain):
    """Nothing would stay of it: that is refused in one line, and the text is kept."""
    chain.server.script([cut("Fer")])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    with pytest.raises(SourceRefused, match="not a whole word"):
        stream.continue_()
    assert (stream.state, stream.text) == ("interrupted", "Fer")


@pytest.mark.parametrize("at", [20, 40, 333, 334, 335, 700])
def test_the_demo_model_continues_to_the_uncut_text(chain, at):
    """The next token of `demo:` is a pure function of what stands before it: continued is byte for byte uncut."""
    with DemoServer() as demo:
        ask = {"max_tokens": 300, "tokens_per_s": 0, "fault": f"cut:{at},noresume"}
        stream = nbstream.start(nbstream.chat("rivers", model="demo", base_url=f"{demo.url}/v1", **ask), fresh=True)
        assert stream.wait(10) == "interrupted"
        assert stream.continue_().wait(10) == "complete"
        assert stream.text == DemoModel().text("rivers", max_tokens=300)
        assert [part.fields["why"] for part in stream.seams] == ["demo, behind its own words"]


@pytest.mark.parametrize("again", [[], ["at nine, with forty"], [" \n"]])
def test_a_generation_that_adds_nothing_takes_nothing_back(chain, again):
    """An end mark behind no new text: neither is half a word complete, nor is a word lost that was shown."""
    chain.server.script([cut(SAID), says(*again), says(REST)])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().wait(10) == "failed"
    assert (stream.text, stream.seams) == (SAID, [])
    assert "added nothing" in stream.status()["line"]
    assert stream.status()["actions"] == ["continue", "regenerate"]
    assert stream.continue_().wait(10) == "complete"
    assert stream.text == STAYS + REST


def test_behind_whole_words_nothing_more_is_complete(chain):
    """Where no word was taken back, a model that has nothing to add has said it all."""
    chain.server.script([cut("All is said. "), says()])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().wait(10) == "complete"
    assert stream.text == "All is said. "


def test_the_close_counts_what_stands(chain):
    """`chars` of the `close` is the length of the text, without what was taken back."""
    chain.server.script([cut(SAID), says(REST)])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    stream.continue_().wait(10)
    *_, close = records_of(stream.log)
    assert close.chars == len(stream.text) == len(STAYS + REST)


def test_what_is_said_again_in_halves_of_characters_is_left_out(chain):
    """A server that thinks in UTF-16 cuts an emoji in two; the overlap is found all the same."""
    units = "The big \U0001f6a2 ship \U0001f6a2 sailed.".encode("utf-16-le")

    def escaped(text):
        return b"data: " + json.dumps(chunk(text)).encode() + b"\n\n"

    halves = [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
    chain.server.script([cut("The big \U0001f6a2 ship \U0001f6a2 sai"), Answer.sse(*map(escaped, halves), DONE)])
    stream = nbstream.start(source(chain))
    stream.wait(10)
    assert stream.continue_().wait(10) == "complete"
    assert stream.text == "The big \U0001f6a2 ship \U0001f6a2 sailed."


def test_usage_of_a_call_that_was_continued_unasked_counts(chain):
    """No `close` told of it, and it was paid all the same."""
    usage = {**chunk(None), "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}
    chain.server.script([
        Answer.sse(sse_data(chunk(SAID)), sse_data(usage)), Answer.sse(sse_data(chunk(REST)), sse_data(usage), DONE),
    ])  # fmt: skip
    stream = nbstream.start(source(chain), auto_continue=True)
    assert stream.wait(10) == "complete"
    assert stream.usage == {"input": 20, "output": 10, "total": 30}


def test_a_llama_cpp_server_is_continued_behind_its_own_words(chain):
    """`llamacpp:` takes a prefill, as the table says."""
    chain.server.script([cut(SAID), says(REST)])
    stream = nbstream.start(nbstream.chat("Tell me", model="llamacpp:", base_url=f"{chain.server.url}/v1"))
    stream.wait(10)
    assert stream.continue_().wait(10) == "complete"
    assert stream.text == STAYS + REST
    assert asked(chain) == [[USER], [USER, BEGUN]]


def test_every_format_of_the_tables_is_one():
    """A name that no reader has would silently take Continue away."""
    assert CONVERSATIONS.keys() <= READERS.keys()
    assert {prefill.format for prefill in PREFILLS} <= CONVERSATIONS.keys()


def test_a_stop_row_of_the_moment_of_the_cut(chain):
    """Stop from another process, not yet looked at when the connection is lost: stopped, and no further call."""
    if options().host == "relay":
        pytest.skip("cuts the connection in this process at a known moment")
    for auto in (True, False):
        chain.server.script([Answer.sse(sse_data(chunk(SAID)), end="stall"), says(REST)])
        stream = nbstream.start(source(chain), auto_continue=auto, fresh=True)
        while not stream.text:
            stream.log.wait(stream.offset, 1)
        before, recorder = len(chain.requests), runtime().recorder(stream.id)
        stream.store.request_stop(stream.id, opened=0).result(5)
        runtime().call(lambda recorder=recorder: recorder._crew.voices[""]._caller.call.cut(SourceLost("gone")))
        assert stream.wait(10) == "stopped"
        assert (stream.text, intents(stream), len(chain.requests)) == (SAID, ["new"], before)
