"""The state line: honest words, and nothing in them that a terminal would obey."""

import re
from dataclasses import replace

import pytest

from nbstream.records import Part
from nbstream.state import State
from nbstream.words import Facts, actions, ended_line, kept, line, lost_line, mark, saved_line

STREAMING = Facts(State.STREAMING, chars=1234, tail=56, model="demo", speed=50.0)
CUT = replace(STREAMING, state=State.INTERRUPTED, speed=None)


@pytest.mark.parametrize("state", list(State))
def test_every_state_that_is_not_final_says_what_to_do(state):
    """Each state has its words; where something can be done, a button does it and the words do not promise another."""
    facts = replace(CUT, state=state)
    said = line(facts)
    assert said
    if "Resume" in said:
        assert "resume" in actions(facts)
    if "Regenerate" in said:
        assert "regenerate" in actions(facts)
    assert bool(actions(facts))


def test_what_cannot_be_done_is_not_offered():
    """A source without a cursor offers no Resume, an object no Regenerate either."""
    assert actions(replace(CUT, resumable=False)) == ["regenerate"]
    assert "Resume goes on" not in line(replace(CUT, resumable=False))
    assert actions(replace(CUT, resumable=False, repeatable=False)) == []
    assert "run its cell" in line(replace(CUT, resumable=False, repeatable=False))


def test_what_cannot_be_resumed_is_continued_only_when_asked():
    """Continue stands in Resume's place, says what it is, and is never called resumed; else the line says why not."""
    cut = replace(CUT, resumable=False, continuable=True)
    assert actions(cut) == ["continue", "regenerate"]
    assert line(cut).endswith(
        "the source cannot resume; Continue lets a new generation go on · demo · 1,234 characters"
    )
    assert "it can be continued by a new generation" in line(cut, buttons=False)
    for state in (State.FAILED, State.STOPPED):
        assert actions(replace(cut, state=state)) == ["continue", "regenerate"]
    assert "Continue lets" in line(replace(cut, state=State.FAILED))
    assert actions(replace(cut, state=State.COMPLETE)) == ["regenerate"]
    assert actions(replace(cut, resumable=True)) == ["resume", "regenerate"]
    why = replace(cut, continuable=False, hindrance="it was cut in a message with tool calls")
    assert actions(why) == ["regenerate"]
    assert "it was cut in a message with tool calls; Regenerate asks anew" in line(why)
    assert "a new generation can continue it" in lost_line(cut)
    done = line(replace(cut, state=State.COMPLETE, continued=2))
    assert "continued twice by a new generation" in done
    assert "resumed" not in done


@pytest.mark.parametrize(
    ("finish", "said"),
    [
        ("length", "complete: cut off by the token limit"),
        ("content_filter", "complete (content_filter)"),
        ("stop", "complete"),
    ],
)
def test_why_the_model_ended_is_said_of_a_saved_answer_too(finish, said):
    """A truncated answer does not become a whole one when it is shown from the store."""
    done = replace(STREAMING, state=State.COMPLETE, speed=None, finish=finish)
    assert line(done).startswith(f"{said} · ")
    saved = line(replace(done, from_store=True, ended_at=1.0), buttons=False)
    assert saved.startswith(f"{said}, saved at ")


def test_what_becomes_of_a_message_without_its_kernel():
    """Only a message that can be resumed is promised to go on."""
    assert "go on behind them" in lost_line(STREAMING)
    assert "go on behind them" in saved_line(STREAMING)
    for other in (
        replace(STREAMING, resumable=False),
        replace(STREAMING, repeatable=False),
        replace(STREAMING, in_memory=True),
        replace(STREAMING, state=State.STOPPED),
    ):
        assert "go on" not in lost_line(other)


def test_a_relay_outlives_its_kernel_but_not_its_shutdown():
    """A kernel that is shut down for good takes the call with it: no page says then that the answer goes on."""
    far = replace(STREAMING, outlives_kernel=True, resumable=False)
    assert "the answer goes on" in lost_line(far)
    assert lost_line(far, shut=True) == "the source cannot resume: running the cell again shows what is saved"
    assert "go on behind them" in lost_line(replace(far, resumable=True), shut=True)


def test_a_file_does_not_promise_what_only_the_kernels_end_decides():
    """Whoever opens the file later does not know how the kernel ended: the words hold after a shutdown too."""
    said = saved_line(replace(STREAMING, outlives_kernel=True))
    assert said.startswith("saved while it was streaming: 1,234 characters; ")
    assert "goes on unless its kernel is shut down" in said
    assert "run the cell again to see what came" in said


def test_running_the_cell_again_does_what_the_line_says():
    """As the table in `rerun` has it: what was refused before any text is asked anew, nothing lies "behind" no text."""
    failed = replace(CUT, state=State.FAILED)
    assert "go on behind them" in lost_line(failed)
    assert lost_line(replace(failed, chars=0)) == "running the cell again asks anew"
    assert lost_line(replace(CUT, chars=0)).startswith("run the cell again to ask again")
    assert lost_line(replace(CUT, state=State.STOPPED, in_memory=True)) == (
        "it was kept in memory only: running the cell again asks anew"
    )


def test_how_it_ended_stays_when_the_kernel_is_gone():
    """At rest the line is kept without buttons and without ways on; what is to be done the page says behind it."""
    error = {"type": "SourceLost", "message": "the connection was cut"}
    wanted = {
        State.STOPPED: "stopped by you (the connection was cut)",
        State.INTERRUPTED: "interrupted: the connection was cut; everything shown is saved",
        State.FAILED: "failed: the connection was cut",
        State.COMPLETE: "complete",
    }
    for state in State:
        facts = replace(CUT, state=state, error=error)
        for one in (facts, replace(facts, resumable=False), replace(facts, resumable=False, repeatable=False)):
            assert ended_line(one) == (f"{wanted[state]} · demo · 1,234 characters" if state in wanted else "")
    assert ended_line(replace(CUT, chars=0)) == "interrupted before any text · demo"


def test_memory_is_not_called_saved():
    """`--no-save` says where the text is."""
    assert kept(STREAMING)
    assert not kept(replace(STREAMING, in_memory=True))
    assert "kept in memory only" in line(replace(STREAMING, in_memory=True))


def test_an_agent_that_waits_for_others_is_not_said_to_connect():
    """Nothing is connected yet: for whom it waits is all there is to say, once."""
    waits = Facts(State.CONNECTING, note="waiting for planner", model="demo")
    assert line(waits) == "waiting for planner · demo"
    assert line(replace(waits, note="2 agents connecting")) == "connecting · demo · 2 agents connecting"


def test_a_retry_behind_text_does_not_say_that_there_is_none():
    """A busy server mid-message is no missing first text."""
    busy = replace(STREAMING, state=State.RETRYING, error={"type": "SourceRefused", "message": "503"}, retries=1)
    assert "no text yet" not in line(busy)
    assert "no text yet" in line(replace(busy, chars=0))


def test_no_control_character_gets_into_the_line():
    """A server that puts escape sequences into its model's name or an error reaches no terminal."""
    evil = "\x1b]0;owned\x07\u202e\x9b31m\r\n"
    said = line(replace(STREAMING, model=f"m{evil}", note=evil, error={"type": "SourceLost", "message": evil}))
    assert said.isprintable()


def test_a_lease_that_is_over_comes_first():
    """Nobody watched: that is why, before what is saved and how it goes on; without Resume none is promised."""
    over = replace(CUT, error={"type": "LeaseOver", "message": "nobody watched it for 600 s"})
    wanted = "interrupted: nobody watched it for 600 s; everything shown is saved, Resume goes on behind it"
    assert line(over).startswith(wanted)
    assert "Resume" not in line(replace(over, resumable=False))
    before = line(replace(over, chars=0))
    assert before.startswith("interrupted before any text: nobody watched it for 600 s; Resume asks again")


def test_a_stop_that_the_server_does_not_know_of_says_so():
    """Stopped is stopped; that the call may go on, and cost, is said behind it."""
    stopped = replace(CUT, state=State.STOPPED)
    assert line(stopped).startswith("stopped by you · ")
    told = replace(stopped, error={"type": "NotCancelled", "message": "the server may go on"})
    assert line(told).startswith("stopped by you (the server may go on) · ")


def test_without_buttons_none_is_named():
    """In a terminal, a file or an exception no button stands beside the line: it says what can be done, not where."""
    error = {"type": "SourceLost", "message": "the connection was cut"}
    for state in State:
        for facts in (replace(CUT, state=state, error=error), replace(CUT, state=state, error=error, resumable=False)):
            said = line(facts, buttons=False)
            assert not re.search("Resume|Regenerate|Stop|Keep", said), said
    assert line(replace(CUT, error=error), buttons=False).startswith(
        "interrupted: the connection was cut; everything shown is saved, it can be resumed"
    )


def test_what_could_not_be_shown_is_said():
    """Pieces of unknown kind are counted by type once the message is at rest; many types do not fill the line."""
    some = replace(CUT, state=State.COMPLETE, unknown={"image": 2, "audio": 1})
    assert "3 pieces of unknown kind not shown (image, audio)" in line(some)
    assert "not shown" not in line(replace(some, state=State.STREAMING))
    assert line(replace(some, unknown=dict.fromkeys("abcdef", 1))).count(",") < 7


def test_a_message_at_rest_has_a_short_line():
    """How it ended, whose it is, how much, how long; where it is saved is said only while it grows."""
    done = replace(CUT, state=State.COMPLETE, model="demo:tiny", chars=1204, took_s=8.14)
    assert line(done) == "complete · demo:tiny · 1,204 characters · 8.1 s"
    assert line(replace(done, state=State.STOPPED)) == "stopped by you · demo:tiny · 1,204 characters · 8.1 s"
    assert line(STREAMING) == "streaming · demo · 1,234 characters · 50 pieces/s"
    assert not kept(replace(done, tail=56))


@pytest.mark.parametrize(
    ("usage", "more", "said"),
    [
        ({"input": 1200, "output": 345, "total": 1545}, {"came_s": 8.0}, "1,200 tokens in, 345 out (43/s)"),
        ({"input": 12, "output": 345}, {"came_s": 8.0, "resumed": 1}, "12 tokens in, 345 out · resumed once"),
        ({"input": 12, "output": 3}, {"came_s": 0.4}, "12 tokens in, 3 out"),
        ({"input": 12}, {"came_s": 8.0}, "12 tokens in"),
        ({"input": 1, "output": 2}, {"came_s": 0.4}, "1 token in, 2 out"),
        ({"total": 1}, {"came_s": 8.0}, "1 token"),
        ({"total": 99}, {"came_s": 8.0}, "99 tokens"),
        ({"cached": 7}, {"came_s": 8.0}, "1,204 characters · 8.1 s"),
        ({"input": 12, "output": 3}, {"cost": 0.00225}, "12 tokens in, 3 out · about 0.0022 USD"),
        ({"input": 12, "output": 3}, {"cost": 12.345}, "12 tokens in, 3 out · about 12.35 USD"),
        ({"input": 12, "output": 3}, {"cost": 2e-5}, "12 tokens in, 3 out · less than 0.0001 USD"),
        ({"input": 12, "output": 3}, {"cost": 0.0}, "12 tokens in, 3 out · no charge"),
        ({}, {"came_s": 8.0}, "1,204 characters · 8.1 s"),
    ],
)
def test_what_an_answer_used_is_said_at_its_end(usage, more, said):
    """Tokens, their speed and price, which a growing message does not tell; no dollar sign, which is a formula's."""
    done = replace(CUT, state=State.COMPLETE, chars=1204, took_s=8.14, usage=usage, **more)
    assert line(done).endswith(said)
    assert "$" not in line(done)
    growing = line(replace(done, state=State.STREAMING))
    assert "token" not in growing
    assert "USD" not in growing


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("seam", {"why": "cut\x1b[1m\n"}, "continued here by a new generation: cut[1m"),
        ("seam", {}, "continued here by a new generation"),
        ("gap", {"expected": 12, "got": 15}, "missing here: pieces 12 to 14"),
        ("gap", {"expected": 12, "got": 13}, "missing here: piece 12"),
        ("gap", {"expected": "x"}, "something is missing here"),
        ("truncate", {"length": 1}, "taken back: 1 character of the text above stay"),
    ],
)
def test_breaks_in_a_text_say_what_they_are(kind, fields, said):
    """A seam says why, a gap what is missing."""
    assert mark(Part(kind, fields=fields)) == said
