"""A page that cannot keep up with a flood: the recording goes on, nothing piles up, all text comes in the end."""

import contextlib
import socket
import threading

import psutil
import pytest
import relays
from lab import wait_for

from nbstream.log.disk import open_disk_store

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"event: done\ndata: {}\n\n"
LINE = "a line of the flood that nobody can read so fast"
MB = 1_000_000
REASONS = ["to paint", "waiting for the page", "2g connection"]


class Flood:
    """Serves a beginning and, once its gate is open, so many bytes of text as fast as they are taken."""

    def __init__(self, size):
        self.lines = [f"{n} {LINE}" for n in range(int(size) // 56)]
        self.gate = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError), self._listening.accept()[0] as client:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += client.recv(65536)
            client.sendall(HEAD + _frame("begin"))
            self.gate.wait()
            for at in range(0, len(self.lines), 64):
                client.sendall(_frame("".join(f"\\n\\n{line}" for line in self.lines[at : at + 64])))
            client.sendall(DONE)

    @property
    def text(self):
        """Return all of it."""
        return "\n\n".join(["begin", *self.lines])

    def close(self):
        """End the server, wherever it is."""
        self.gate.set()
        self._listening.close()
        self._thread.join(10)


def _frame(text):
    return f'data: {{"type":"delta","text":"{text}"}}\n\n'.encode()


@pytest.fixture
def flood():
    """Return a function that makes a flood of so many bytes."""
    floods = []

    def make(size):
        floods.append(Flood(size))
        return floods[-1]

    yield make
    for one in floods:
        one.close()


def show(notebook, flood, notes="/dev/null"):
    """Show the flood's beginning in a page; return the tab and its tools. The kernel notes its status in a file."""
    # What a slow page is asked, it answers late; the kernel's file is there at once.
    tab = notebook(f"""\
import nbstream, threading, time
stream = nbstream.show(nbstream.sse({flood.url!r}, format="nbstream"))

def note():
    with open({str(notes)!r}, "a") as file:
        while True:
            status = stream.status()
            print(status["page_interval_s"], status["page_interval_why"], file=file, flush=True)
            time.sleep(0.2)

threading.Thread(target=note, daemon=True).start()""")
    tab.run(1)
    tab.wait_stream("the beginning", lambda view: "begin" in view["text"])
    return tab, tab.context.new_cdp_session(tab.page)


def slow_network(devtools, *, slow=True):
    """Be on a 2g network (20 KB/s, 1.5 s later), which throttles websockets too (Chromium 156); or no longer."""
    devtools.send("Network.enable")
    devtools.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 1500, "downloadThroughput": 20_000, "uploadThroughput": 20_000,
         "connectionType": "cellular2g"} if slow
        else {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )  # fmt: skip


def slow_device(devtools, *, slow=True):
    """Have a twentieth of this machine's speed; or no longer."""
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 20 if slow else 1})


def complete(lab, stream):
    """Return whether the whole stream is in the store, without asking kernel or page."""
    store = open_disk_store(lab.store / "store")
    try:
        return store.status(stream).close is not None
    finally:
        store.close()


@pytest.mark.host("kernel")  # about the page
@pytest.mark.parametrize("slow", [slow_device, slow_network])
def test_a_slow_page_has_the_whole_text_at_the_end(notebook, lab, flood, tmp_path, slow):
    """The recording is over long before the page is; status says how often a page comes, and why; all text comes."""
    water, notes = flood(0.6 * MB), tmp_path / "notes"
    tab, devtools = show(notebook, water, notes)
    slow(devtools)
    if slow is slow_network:
        wait_for("the page to tell its connection", lambda: slow_notes(notes, ["2g connection"]), 60)
    water.gate.set()
    stream = tab.stream()["stream"]
    wait_for("the recording's end", lambda: complete(lab, stream), 60)
    view = tab.stream()
    assert int(view["chars"]) < len(water.text), "the page was not slowed down"
    slower = wait_for(
        "a longer interval, and why",
        lambda: slow_notes(notes, ["to paint", "waiting for the page", "2g connection"]),
        60,
    )
    print(slower)
    slow(devtools, slow=False)
    end = tab.wait_stream("all text", lambda view: int(view["chars"]) == len(water.text), 90)
    assert end["state"] == "complete"
    assert tab.copied() == water.text
    assert not tab.errors


def slow_notes(notes, reasons):
    """Return the notes of intervals above the shortest that name one of these reasons."""
    noted = [line.partition(" ") for line in notes.read_text().splitlines() if line[0].isdigit()]
    slower = {(float(seconds), said) for seconds, _, said in noted if float(seconds) > 0.12}
    return {one for one in slower if any(reason in one[1] for reason in reasons)}


@pytest.mark.host("relay")  # recorder and session each in a process of their own
def test_a_slow_page_costs_no_memory(notebook, lab, flood):
    """While a page on 2g is far behind, kernel and relay hold no more than a bounded piece of what it has not seen."""
    water = flood(40 * MB)
    tab, devtools = show(notebook, water)
    processes = [psutil.Process(pid) for pid in (tab.kernel_pid(), *relays.pids(lab.home / "runtime"))]
    assert len(processes) == 2
    before = [one.memory_info().rss for one in processes]
    slow_network(devtools)
    water.gate.set()
    stream = tab.stream()["stream"]
    wait_for("the recording's end", lambda: complete(lab, stream), 90)
    grown = [one.memory_info().rss - was for one, was in zip(processes, before, strict=True)]
    print([round(bytes_ / MB, 1) for bytes_ in grown], "MB")
    assert int(tab.stream()["chars"]) < len(water.text) / 2, "the page was not slowed down"
    assert max(grown) < len(water.text) / 2
    # The measure can fail: whoever holds the text is seen to hold it.
    slow_network(devtools, slow=False)
    assert int(tab.ask_kernel("len(stream.text)")) == len(water.text)
    assert processes[0].memory_info().rss - before[0] > len(water.text)
