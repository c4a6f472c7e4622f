"""A writer killed at random moments: what it acknowledged is in the store, once."""

import random
import select
import subprocess
import sys
import time

from nbstream.log.disk import open_disk_store
from nbstream.records import Open
from nbstream.state import State

#: Appends to three streams, waiting for nothing, and names each record once its future is done.
WRITER = """
import os, sys
from pathlib import Path
from nbstream.log.disk import open_disk_store
from nbstream.records import Delta, Part

store = open_disk_store(Path(sys.argv[1]))
names = sys.argv[2].split(",")
logs = {}
for name in names:
    lock = store.lock(name)
    assert lock is not None, name
    logs[name] = (store.log(name), lock)
offsets = {name: log.tail() for name, (log, _) in logs.items()}

def acknowledge(name, offset):
    return lambda future: future.exception() or os.write(1, f"{name} {offset}\\n".encode())

waiting = []
while True:
    for name, (log, _) in logs.items():
        offsets[name] += 1
        offset = offsets[name]
        part = Part("text", f"{name} {offset} " + "x" * (offset % 3000), sequence=offset)
        future = log.submit(offset, Delta((part,), at=1.0))
        future.add_done_callback(acknowledge(name, offset))
        waiting.append(future)
    while len(waiting) > 60:
        waiting.pop(0).result()
"""


def killed_after(directory, names, seconds):
    """Run the writer, kill it *seconds* after its first acknowledgement, return the last one of each stream."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), ",".join(names)], stdout=subprocess.PIPE, bufsize=0
    )
    with process.stdout as pipe:
        assert select.select([pipe], [], [], 30)[0], "the writer acknowledges nothing"
        deadline = time.monotonic() + seconds
        read = [pipe.read(65536)]
        while (left := deadline - time.monotonic()) > 0:
            if select.select([pipe], [], [], left)[0]:
                read.append(pipe.read(65536))
        process.kill()
        process.wait()
        while data := pipe.read(65536):  # what was written before the kill counts
            read.append(data)
    acknowledged = {}
    for line in b"".join(read).decode().splitlines():
        name, offset = line.split()
        acknowledged[name] = int(offset)
    return acknowledged


def test_what_was_acknowledged_survives_sigkill(tmp_path, soak, seed):
    """After each of 10 (soak: 100) SIGKILLs each acknowledged record is there, dense, once; the next writer goes on."""
    choose = random.Random(seed)
    names = ["a", "b", "c"]
    store = open_disk_store(tmp_path / "store")
    for name in names:
        store.start(Open(name, name, "new", {}, "f", "w", "h", "b", 1.0)).lock.release()
    store.close()
    for _ in range(100 if soak else 10):
        acknowledged = killed_after(tmp_path / "store", names, choose.uniform(0, 0.3))
        store = open_disk_store(tmp_path / "store")  # opened anew: what a restarted kernel sees
        for name in names:
            log = store.log(name)
            assert log.tail() >= acknowledged.get(name, 0)
            assert store.status(name).state is State.INTERRUPTED
            offset = after = max(0, log.tail() - 2000)  # the records of this round and some before
            for offset, record in enumerate(log.read(after, limit=10_000), after + 1):
                assert record.parts[0].text.startswith(f"{name} {offset} ")
                assert len(record.parts[0].text) == len(f"{name} {offset} ") + offset % 3000
            assert offset == log.tail()
        store.close()
    store = open_disk_store(tmp_path / "store")
    for name in names:
        log = store.log(name)
        count = 0
        while page := log.read(count):
            assert [record.parts[0].sequence for record in page] == list(range(count + 1, count + 1 + len(page)))
            count += len(page)
        assert count == log.tail()
        print(f"{name}: {count} records")
    store.close()
