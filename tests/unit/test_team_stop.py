"""Stop means stop, also for an agent of a team that is at rest: one that was interrupted does not go on by itself."""

import pytest
from recording import run, until
from teams import CUT, END, Team, event

from nbstream.testing import SILENCE, Gate, ScriptedSource

#: What another process may stop: all, or the one that was interrupted.
WHOM = pytest.mark.parametrize("agent", [None, "a"])


async def one_interrupted(*, b_ends=False):
    """Return a stream in which *a* was cut behind text, and *b* speaks; it ends once the gate opens, or never."""
    gate = Gate()
    b = ScriptedSource([event(1, "b"), gate, END if b_ends else SILENCE], [event(2, "!"), END])
    stream = Team(a=ScriptedSource(["a", CUT]), b=b).start()
    await until(lambda: stream.ends.get("a") == "interrupted")
    await gate.arrived()
    return stream, gate


async def called_again(stream, **sources):
    """Run the cell again in another process; return who was called."""
    await stream.resume(**sources)
    return [name for name, source in sources.items() if source.connections]


@WHOM
def test_a_row_stops_one_that_was_interrupted(agent):
    """Another process stops it while others speak: it is stopped at once, and stays so when they go on."""

    async def main():
        stream, gate = await one_interrupted(b_ends=True)
        stream.store.request_stop("s1", opened=0, agent=agent).result()
        await stream.after(0.25)
        await until(lambda: stream.ends.get("a") == "stopped")
        assert (stream.state_of("a"), stream.recorder.agents["a"].live.error) == ("stopped", None)
        gate.open()
        close = await stream
        assert (close.how, close.error) == ("stopped", None)
        assert [fields["status"] for name, fields in stream.marks("agent_end") if name == "a"] == [
            "interrupted",
            "stopped",
        ]

    run(main())


@WHOM
def test_a_row_of_the_last_moment(agent):
    """Set between the last look and the end of the others, it counts all the same: the `close` says stopped."""

    async def main():
        stream, gate = await one_interrupted(b_ends=True)
        stream.store.request_stop("s1", opened=0, agent=agent).result()
        gate.open()  # its clock stands still: nobody looks any more
        close = await stream
        assert (close.how, stream.ends["a"]) == ("stopped", "stopped")

    run(main())


def test_a_row_that_a_dead_process_did_not_see():
    """The process dies before it looks: whoever goes on stops that agent, and calls the others."""

    async def main():
        stream, _ = await one_interrupted()
        stream.store.request_stop("s1", opened=0, agent="a").result()
        await stream.dies()
        again = {
            "a": ScriptedSource(["a!", END], replayable=True),
            "b": ScriptedSource([event(2, "!"), END]),
        }
        assert await called_again(stream, **again) == ["b"]
        assert (stream.close.how, stream.ends) == ("stopped", {"a": "stopped", "b": "complete"})

    run(main())


@pytest.mark.parametrize("by_row", [False, True])
@WHOM
def test_one_that_is_not_called_is_stopped_too(agent, by_row):
    """Resume of *b* alone leaves *a* interrupted; Stop then is about it, too."""

    async def main():
        stream, _ = await one_interrupted()
        await stream.dies()
        gate = Gate()
        b = ScriptedSource([event(2, "!"), gate, END])
        stream.resume("b", a=ScriptedSource(), b=b)
        await gate.arrived()
        if by_row:
            stream.store.request_stop("s1", opened=stream.recorder.opened, agent=agent).result()
            await stream.after(0.25)
        else:
            stream.recorder.stop(agent)
        await until(lambda: stream.ends.get("a") == "stopped")
        gate.open()
        close = await stream
        assert (close.how, close.error, b.open_connections) == ("stopped", None, 0)

    run(main())


def test_a_row_from_before_it_went_on_does_not_stop_it():
    """An agent that was stopped by a row and resumed is cut again: the old row is not about this call."""

    async def main():
        a = ScriptedSource([event(1, "a"), SILENCE], [event(2, "b"), CUT], *[[CUT]] * 9)
        gate = Gate()
        stream = Team(a=a, b=ScriptedSource(["x", gate, END])).start()
        await until(lambda: stream.text_of("text", "a"))
        stream.store.request_stop("s1", opened=0, agent="a").result()
        await stream.after(0.25)
        await until(lambda: stream.ends.get("a") == "stopped")
        stream.recorder.reconnect("a")
        await until(lambda: stream.text_of("text", "a") == "ab")
        while stream.ends["a"] != "interrupted":
            await stream.after(1)
        await stream.after(1)
        gate.open()
        assert (await stream).how == "interrupted"
        assert stream.ends["a"] == "interrupted"

    run(main())
