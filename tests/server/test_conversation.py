"""Conversations over real sockets, recorded in kernel and relay: what each request says of the turns before it."""

import json
import threading

import pytest
from chain import chunk, sse_data

import nbstream
from nbstream.conversation import conversations
from nbstream.errors import StreamError
from nbstream.options import NbStream
from nbstream.testing import Answer

DONE = sse_data(chunk(None, "stop")) + b"data: [DONE]\n\n"
KEY = "sk-chain-4f7d0c2b9a8e61d35577"


def user(text):
    """Return a message of the user."""
    return {"role": "user", "content": text}


def model(text):
    """Return a message of the model."""
    return {"role": "assistant", "content": text}


@pytest.fixture
def talk(chain):
    """Return a conversation with a server that answers "re: QUESTION"; `talk.heard()` is what it was asked."""

    def answer(request):
        question = json.loads(request.body)["messages"][-1]["content"]
        return Answer.sse(sse_data(chunk(f"re: {question}")), DONE)

    chain.server.script([], otherwise=answer)
    conversation = nbstream.Conversation("pear-1", base_url=f"{chain.server.url}/v1", name=f"talk {id(chain)}")
    conversation.heard = lambda: [json.loads(request.body)["messages"] for request in chain.requests]
    return conversation


def settled(stream, state="complete"):
    """Wait for the end of *stream* and return it."""
    assert stream.wait(10) == state
    return stream


def ended(conversation, text, state):
    """Ask what does not come to its end: where nobody looks later that raises. Return the turn."""
    with pytest.raises(StreamError):
        conversation.ask(text, key=text)
    return settled(conversation.turns[-1], state)


def stops_the_newest():
    """Stop the newest stream as soon as it has text."""
    while not (found := [one for one in nbstream.streams() if one.state.live and one.text]):
        pass
    found[0].stop()


def cut(*pieces, **options):
    """Return an answer that says *pieces* and no end."""
    return Answer.sse(*(sse_data(chunk(piece)) for piece in pieces), **options)


def test_each_question_knows_what_was_said_before(talk, chain):
    """Turn by turn, without waiting by hand: the next question waits for the answer before."""
    streams = [talk.ask(text, key=text) for text in ("a", "b", "c")]
    settled(streams[-1])
    assert talk.heard() == [
        [user("a")],
        [user("a"), model("re: a"), user("b")],
        [user("a"), model("re: a"), user("b"), model("re: b"), user("c")],
    ]
    assert [one.id for one in talk.turns] == [one.id for one in streams]
    turn = streams[1].store.status(streams[1].id).open.turn
    key = streams[0].store.status(streams[0].id).open.key
    assert turn == {"conversation": talk.name, "behind": [key], "before": streams[0].id, "prompt": "b"}
    assert repr(talk) == f"Conversation {talk.name!r}: 3 turns"
    assert conversations()[talk.name] == 3


def test_a_system_message_stands_in_front(talk, chain):
    """It is part of every request, and no turn."""
    spoken = nbstream.Conversation("pear-1", system="Be short", base_url=f"{chain.server.url}/v1", name="system")
    settled(spoken.ask("a", key="s1"))
    settled(spoken.ask("b", key="s2"))
    assert talk.heard()[-1] == [{"role": "system", "content": "Be short"}, user("a"), model("re: a"), user("b")]


def test_the_same_cell_again_does_not_add_its_turn_twice(talk):
    """Run again it is asked anew at its place; the turns behind it stay, and one that is new stands behind them all."""
    for text in ("a", "b"):
        settled(talk.ask(text, key=text))
    settled(talk.ask("a", key="a"))
    assert talk.heard()[-1] == [user("a")]
    assert len(talk.turns) == 2
    settled(talk.ask("b", key="b"))
    assert talk.heard()[-1] == [user("a"), model("re: a"), user("b")]
    settled(talk.ask("c", key="c"))
    assert len(talk.heard()[-1]) == 5
    assert len(talk.turns) == 3


def test_an_edited_question_is_answered_at_its_place(talk):
    """The turn behind it keeps its answer until its cell runs again; then it is asked behind the new one."""
    for text in ("a", "b"):
        settled(talk.ask(text, key=text))
    settled(talk.ask("edited", key="a"))
    assert talk.heard()[-1] == [user("edited")]
    assert [one.text for one in talk.turns] == ["re: edited", "re: b"]
    settled(talk.ask("b", key="b"))
    assert talk.heard()[-1] == [user("edited"), model("re: edited"), user("b")]
    assert len(talk.turns) == 2


def test_a_regenerated_answer_is_the_one_that_counts(talk, chain):
    """Regenerate keeps the place of the turn; the old answer is no turn any more."""
    first = settled(talk.ask("a", key="a"))
    settled(talk.ask("b", key="b"))
    chain.server.script([Answer.sse(sse_data(chunk("anew")), DONE)])
    new = settled(first.regenerate())
    assert talk.turns[0].id == new.id
    settled(talk.ask("c", key="c"))
    assert talk.heard()[-1] == [user("a"), model("anew"), user("b"), model("re: b"), user("c")]


def test_two_conversations_and_other_streams_do_not_mix(talk, chain):
    """Each has its own turns; what is streamed beside them is none."""
    other = nbstream.Conversation("pear-1", base_url=f"{chain.server.url}/v1", name="other")
    settled(talk.ask("a", key="a"))
    settled(other.ask("x", key="x"))
    settled(nbstream.start(nbstream.chat("beside", model="pear-1", base_url=f"{chain.server.url}/v1")))
    settled(talk.ask("b", key="b"))
    settled(other.ask("y", key="y"))
    assert talk.heard()[-2:] == [
        [user("a"), model("re: a"), user("b")], [user("x"), model("re: x"), user("y")],
    ]  # fmt: skip


def test_without_cells_every_question_is_a_turn(talk, chain):
    """In a script or a terminal: the next question is the next turn, also of another object of that name."""
    settled(talk.ask("a"))
    settled(talk.ask("b"))
    again = nbstream.Conversation("pear-1", base_url=f"{chain.server.url}/v1", name=talk.name)
    settled(again.ask("c"))
    assert talk.heard()[-1] == [user("a"), model("re: a"), user("b"), model("re: b"), user("c")]
    with pytest.raises(ValueError, match="the prompt is empty"):
        talk.ask(" ")
    with pytest.raises(ValueError, match="the text of one question"):
        talk.ask(["a"])


def test_two_who_ask_at_once(talk):
    """Both stand behind the same turn, neither is lost; the conversation goes on behind the newer one."""
    settled(talk.ask("a", key="a"))
    both = [threading.Thread(target=lambda name=name: settled(talk.ask(name, key=name))) for name in ("b", "c")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    said = talk.heard()
    assert sorted(len(one) for one in said)[:2] == [1, 3]
    settled(talk.ask("d", key="d"))
    assert talk.heard()[-1][:2] == [user("a"), model("re: a")]
    assert talk.heard()[-1][-1] == user("d")


# Turns that did not come to their end


def test_what_came_of_a_cut_turn_is_kept_or_left_out(talk, chain):
    """`keep`: as it stands on the page. `leave-out`: neither question nor text. The history says how it ended."""
    chain.server.script([cut("half an ans")])
    ended(talk, "a", "interrupted")
    settled(talk.ask("b", key="b"))
    assert talk.heard()[-1] == [user("a"), model("half an ans"), user("b")]
    settled(talk.ask("c", key="c", cut="leave-out"))
    assert talk.heard()[-1] == [user("b"), model("re: b"), user("c")]
    history = talk.history()
    assert "── 1: you ──\na\n── 1: pear-1 (interrupted" in history
    assert "half an ans" in history
    assert "── 2: pear-1 ──\nre: b" in history


def test_a_cut_turn_is_continued_first(talk, chain):
    """`continue`: a new generation brings it to its end before the next question; a stopped one stays stopped."""
    chain.server.script([cut("half an ans"), Answer.sse(sse_data(chunk("answer.")), DONE)])
    ended(talk, "a", "interrupted")
    settled(talk.ask("b", key="b", cut="continue"))
    assert talk.heard()[-1] == [user("a"), model("half an answer."), user("b")]
    assert [part.kind for part in talk.turns[0].seams] == ["seam"]
    chain.server.script([cut("stopped he", end="stall")])
    threading.Thread(target=stops_the_newest).start()
    stopped = ended(talk, "c", "stopped")
    settled(talk.ask("d", key="d", cut="continue"))
    assert talk.heard()[-1][-3:] == [user("c"), model("stopped he"), user("d")]
    assert stopped.state == "stopped"


def test_a_turn_that_cannot_be_continued_says_so(talk, chain):
    """One line names the turn and the two other choices; nothing is asked."""
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "{"}}
    chain.server.script([Answer.sse(sse_data(chunk("I look. ")), sse_data(chunk(None, tool_calls=[call])))])
    ended(talk, "a", "interrupted")
    with pytest.raises(StreamError, match=r"turn 1 .*tool calls.*cut='keep'.*cut='leave-out'"):
        talk.ask("b", key="b", cut="continue")
    assert len(talk.heard()) == 1


def test_a_turn_of_which_nothing_came_is_left_out(talk, chain):
    """A question without an answer would make two turns of the user."""
    chain.server.script([Answer([b"no"], 401, framing="length")])
    ended(talk, "a", "failed")
    settled(talk.ask("b", key="b"))
    assert talk.heard()[-1] == [user("b")]


def test_a_question_with_a_key_in_it_is_not_stored(talk, chain):
    """It is answered; the question behind it is told in one line why it cannot be asked."""
    chain.server.script([Answer.sse(sse_data(chunk("It is.")), DONE)])
    settled(talk.ask(f"is {KEY} a key?", key="a"))
    with pytest.raises(StreamError, match=r"turn 1 .*never stored"):
        talk.ask("b", key="b")
    assert KEY.encode() not in chain.raw()
    assert KEY not in talk.history()


@pytest.mark.parametrize("given", [{"cut": "drop"}, {"name": " "}])
def test_what_makes_no_sense_is_refused(given):
    """One line says what is allowed."""
    with pytest.raises(ValueError, match=r"use 'keep', 'continue', 'leave-out'|needs a name"):
        nbstream.Conversation("demo:", **given)


def test_the_options_hold_for_conversations_too(talk, chain):
    """Model and address of `%config NbStream` are those of a conversation that names none."""
    options = NbStream.instance()
    options.model, options.base_url, options.system = "pear-1", f"{chain.server.url}/v1", "Be kind"
    settled(nbstream.Conversation(name="options").ask("a", key="o"))
    assert talk.heard()[-1] == [{"role": "system", "content": "Be kind"}, user("a")]


# Turns whose streams are gone


@pytest.mark.parametrize("gone", ["a", "b", "c", "ab", "bc", "ac", "abc"])
def test_a_turn_that_was_deleted_is_asked_anew_at_its_place(talk, gone):
    """Expired or cleaned away: the others stay turns, and Run All makes the same conversation again."""
    streams = {text: settled(talk.ask(text, key=text)) for text in "abc"}
    for text in gone:
        streams[text].store.delete(streams[text].id)
    assert [one.text for one in talk.turns] == [f"re: {text}" for text in "abc" if text not in gone]
    for text in "abc":
        settled(talk.ask(text, key=text))
    assert [one.text for one in talk.turns] == ["re: a", "re: b", "re: c"]
    assert talk.heard()[-1] == [user("a"), model("re: a"), user("b"), model("re: b"), user("c")]


def test_an_old_answer_that_is_deleted_takes_no_turn_along(talk):
    """Of an edited question only the new answer is a turn; the old one may go."""
    old = settled(talk.ask("a", key="a"))
    settled(talk.ask("b", key="b"))
    settled(talk.ask("edited", key="a"))
    old.store.delete(old.id)
    settled(talk.ask("c", key="c"))
    assert talk.heard()[-1] == [user("edited"), model("re: edited"), user("b"), model("re: b"), user("c")]
