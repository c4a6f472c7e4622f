"""The public parts of `nbstream.testing`: what a test is told must be true."""

import asyncio
import subprocess
import sys

import pytest
from recording import run

import nbstream.testing
from nbstream.errors import SourceLost, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End, Pulse
from nbstream.testing import PING, SILENCE, FakeClock, Gate, ScriptedSource


def test_the_names_are_there_and_the_import_is_light():
    """Every public name resolves; importing the package loads no httpx."""
    code = "import sys, nbstream.testing; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert all(getattr(nbstream.testing, name) is not None for name in nbstream.testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = nbstream.testing.nonsense


async def pulled(source, cursor=None):
    """Pull one connection to its end and return what it yielded."""
    return [arrival async for arrival in source.connect(cursor, Pulse(0.0))]


def test_a_script_says_what_it_says():
    """Each step is one arrival; the connections are told with their cursors."""

    async def main():
        source = ScriptedSource(
            ["a", Part("reasoning", "r"), Arrival(event_id="7"), End()], lambda cursor: [cursor["id"], End()]
        )
        first = await pulled(source)
        assert [arrival.parts for arrival in first] == [(Part("text", "a"),), (Part("reasoning", "r"),), (), ()]
        assert first[-1].end == End()
        assert (await pulled(source, {"id": "x"}))[0].parts == (Part("text", "x"),)
        assert [(one.cursor, one.closed, one.cancelled) for one in source.connections] == [
            (None, True, False), ({"id": "x"}, True, False),
        ]  # fmt: skip
        with pytest.raises(SourceRefused, match="connection 3, but only 2 are scripted"):
            await pulled(source)

    run(main())


def test_a_script_raises_and_pings():
    """An exception is raised as it is; PING is a sign of life."""

    async def main():
        clock, pulse = FakeClock(), Pulse(0.0)
        source = ScriptedSource([PING, SourceLost("cut")], clock=clock)
        with pytest.raises(SourceLost, match="cut"):
            [arrival async for arrival in source.connect(None, pulse)]
        assert (pulse.pings, pulse.last_byte) == (True, clock.monotonic())

    run(main())


def test_a_cancelled_connection_is_known():
    """Silence lasts until somebody cancels, and that is told."""

    async def main():
        gate = Gate()
        source = ScriptedSource([gate, SILENCE])
        task = asyncio.ensure_future(pulled(source))
        await gate.arrived()
        assert source.open_connections == 1
        gate.open()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (source.connections[0].cancelled, source.open_connections) == (True, 0)

    run(main())


def test_time_passes_in_order():
    """Sleepers wake at their own moments, in order; what they start meanwhile happens before time goes on."""

    async def main():
        clock, woken = FakeClock(), []

        async def sleeper(name, *naps):
            for nap in naps:
                await clock.sleep(nap)
                woken.append((name, clock.monotonic() - 1000))

        tasks = [asyncio.ensure_future(sleeper(*one)) for one in [("a", 3, 3), ("b", 1, 1, 1, 1), ("c", 3), ("d", 99)]]
        await clock.settle()
        assert clock.sleepers == [1, 3, 3, 99]
        await clock.advance(4.5)
        assert woken == [("b", 1), ("b", 2), ("a", 3), ("c", 3), ("b", 3), ("b", 4)]
        tasks[3].cancel()
        await clock.advance(95.5)
        assert (woken[-1], clock.sleepers, clock.monotonic()) == (("a", 6), [], 1100)

    run(main())


def test_wall_time_can_be_set_back():
    """The wall clock jumps, the monotonic one does not."""
    clock = FakeClock()
    wall, now = clock.time(), clock.monotonic()
    clock.set_wall_back(3600)
    assert (clock.time(), clock.monotonic()) == (wall - 3600, now)


def test_a_gate_that_is_not_reached_says_so():
    """A test that waits for a place the script never comes to fails with a clear line."""
    with pytest.raises(TimeoutError, match=r"did not come to this gate within 0\.01 s"):
        Gate().wait(0.01)


def test_time_that_was_overslept_is_over_for_all():
    """What was due while nobody ran happens afterwards, in order, at the moment of waking."""

    async def main():
        clock, woken = FakeClock(), []

        async def sleeper(seconds):
            await clock.sleep(seconds)
            woken.append((seconds, clock.monotonic()))

        tasks = [asyncio.ensure_future(sleeper(seconds)) for seconds in (5, 1, 200)]
        await clock.settle()
        clock.oversleep(100)
        assert woken == []
        await clock.advance(0)
        assert woken == [(1, 1_100.0), (5, 1_100.0)]
        await clock.advance(100)
        assert woken[-1] == (200, 1_200.0)
        await asyncio.gather(*tasks)

    run(main())


def test_a_cancel_call_is_scripted_and_counted():
    """Each call is recorded with its cursor; the script may fail it, or let it wait."""

    async def main():
        gate = Gate()
        source = ScriptedSource(cancel=[gate, RuntimeError("no")])
        telling = asyncio.ensure_future(source.cancel({"id": "7"}))
        await gate.arrived()
        assert source.cancelled == [{"id": "7"}]
        gate.open()
        with pytest.raises(RuntimeError, match="no"):
            await telling
        await ScriptedSource().cancel(None)

    run(main())
