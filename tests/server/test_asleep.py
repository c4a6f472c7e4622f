"""A process that is stopped for a while, as a machine that sleeps stops it, wakes up without a crowd of timeouts."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nbstream.testing import Answer, FaultServer, Gate

#: What the recording process is told: every silence, and nobody watching, would be over long before it wakes.
LIMIT_S = 3.0
ASLEEP_S = 2 * LIMIT_S

#: Records the stream of the address given to it, and prints each state, at the end the close and the text.
CHILD = f"""
import asyncio, json, sys
from nbstream.lease import Lease
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import parts_of
from nbstream.recorder import Recorder, patience
from nbstream.recorder.progress import Progress
from nbstream.records import Open
from nbstream.sources.http.sse import sse

patience.DEAD_S = {LIMIT_S}
said = []

def say(what):
    if said[-1:] != [what]:
        said.append(what)
        print(what, flush=True)

async def main():
    store = MemoryStore()
    log, lock = store.start(Open("s", "s", "new", {{}}, "f", "pid", "host", "boot", 1.0))
    recorder = Recorder(
        store, log, sse(sys.argv[1], format="nbstream"), lock, Progress(tail=0, opens=1), first_s={LIMIT_S},
        idle_s={LIMIT_S}, lease=Lease({LIMIT_S}, lambda: False),
        changed=lambda: say(f"{{recorder.live.state}} {{recorder.live.retries}}"),
    )
    running = asyncio.ensure_future(recorder.run())
    while not recorder.chars:
        await asyncio.sleep(0.01)
    say("text")
    await running
    print(json.dumps([store.status("s").close.how, "".join(part.text for part in parts_of(log))]), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def server():
    """Return a server with faults."""
    with FaultServer() as made:
        yield made


def test_a_sleep_is_no_crowd_of_timeouts(server):
    """
    Stopped for twice as long as every limit: the silence, the missing pings and the lease all go on where they were.

    And what the server sent meanwhile, on the same connection, is the rest of the message.
    """
    gate = Gate()
    server.script([Answer.sse(": ping\n\n", delta("one "), gate, delta("two"), "event: done\ndata: {}\n\n")])
    child = subprocess.Popen([sys.executable, "-c", CHILD, server.url], stdout=subprocess.PIPE, text=True)
    try:
        seen = [child.stdout.readline().strip()]
        while seen[-1] != "text":
            seen.append(child.stdout.readline().strip())
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        time.sleep(ASLEEP_S)  # it is time itself that must pass
        os.kill(child.pid, signal.SIGCONT)
        time.sleep(LIMIT_S / 3)  # it looks around, several times
        gate.open()
        rest = child.stdout.read().splitlines()
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert json.loads(rest[-1]) == ["complete", "one two"]
    assert list(dict.fromkeys(seen + rest[:-1])) == ["streaming 0", "text", "complete 0"]
    assert len(server.requests) == 1


def delta(text):
    """Return a frame of text."""
    return f"data: {json.dumps({'type': 'delta', 'text': text})}\n\n"
