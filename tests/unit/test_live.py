"""The live status, and how another process sees it."""

import json

import pytest
from recording import Recording, run, until

from nbstream.recorder.live import Live
from nbstream.records import Part
from nbstream.sources.contract import Arrival
from nbstream.state import State
from nbstream.testing import SILENCE, ScriptedSource


@pytest.mark.parametrize(
    "live",
    [
        Live(),
        Live(State.STREAMING, connections=1, pieces=41, first_at=100.0, last_at=102.0),
        Live(State.RETRYING, retries=2, retry_at=111.5, error={"type": "SourceLost", "message": "cut"}),
        Live(State.STALLED, connections=1, saved=False, note="not saved", first_at=100.0, last_at=100.0, pieces=1),
    ],
    ids=lambda live: str(live.state),
)
def test_it_is_the_same_on_another_clock(live):
    """Told as JSON and read by a process whose clock stands elsewhere: the same, with the same waits and speed."""
    far = Live.from_json(json.loads(json.dumps(live.to_json(110.0))), now=5_000.0)
    assert far.speed == pytest.approx(live.speed)
    for name in ("retry_at", "first_at", "last_at"):
        here, there = getattr(live, name), getattr(far, name)
        assert (here is None) == (there is None)
        assert here is None or there - 5_000.0 == pytest.approx(here - 110.0)
    for name in ("state", "retries", "connections", "saved", "note", "error", "pieces"):
        assert getattr(far, name) == getattr(live, name)


def test_a_wait_that_is_over_is_no_debt():
    """The wait may be over just when it is told."""
    assert Live(State.RETRYING, retry_at=100.0).to_json(101.0)["retry_in_s"] == 0


def test_a_recorder_tells_how_it_stands():
    """Everything that a state line in another process needs is in one JSON object."""

    async def main():
        source = ScriptedSource([Arrival((Part("text", "äb"),), {"id": "1"}, model="m-1"), SILENCE])
        source.note = "a word of the source"
        stream = Recording().start(source)
        await until(lambda: stream.text == "äb" and stream.recorder.tail == 1)
        await stream.after(2)
        told = json.loads(json.dumps(stream.recorder.status_json()))
        assert told == {
            "state": "streaming", "retries": 0, "retry_in_s": None, "connections": 1, "saved": True,
            "note": "a word of the source", "error": None, "pieces": 1, "first_ago_s": 2.0, "last_ago_s": 2.0,
            "offset": 1, "chars": 2, "model": "m-1", "resumable": True, "repeatable": True,
        }  # fmt: skip
        assert Live.from_json(told, 50.0).last_at == 48.0
        stream.recorder.stop()
        await stream

    run(main())


def test_a_source_that_cannot_be_asked_again_says_so():
    """Without a fingerprint nothing can ask anew, without a cursor nothing goes on behind the text."""

    async def main():
        stream = Recording().start(ScriptedSource(["a", SILENCE], fingerprint=None))
        await until(lambda: stream.recorder.chars == 1)
        told = stream.recorder.status_json()
        assert (told["resumable"], told["repeatable"]) == (False, False)
        stream.recorder.stop()
        await stream

    run(main())
