"""The command line as a user meets it: real processes, a store on disk, a stream that another process records."""

import json
import os
import queue
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import relays
from jupyter_client import BlockingKernelClient

from nbstream.cli.demo import UNCHANGED
from nbstream.demo import DemoModel

NBSTREAM = [str(Path(sys.executable).with_name("nbstream"))]  # as pip installed it
PROMPT = "Tell me about maps."
WAIT_S = 60

# Prints the id at once, then records until the stream is at rest.
RECORDER = """
import sys, nbstream
stream = nbstream.start(nbstream.chat({prompt!r}, max_tokens=100_000, tokens_per_s=200), key="one")
print(stream.id, flush=True)
print(stream.wait(), flush=True)
"""

# The same of a team of two.
TEAM = """
import nbstream
chat = lambda topic: nbstream.chat(topic, max_tokens=100_000, tokens_per_s=200)
stream = nbstream.start(nbstream.merge({"maps": chat("maps"), "tides": chat("tides")}))
print(stream.id, flush=True)
print(stream.wait(), flush=True)
"""

# What a model can try with a terminal: a colour, a window title, a bell, a line that overwrites itself.
NASTY = r"""
import nbstream
pieces = ["plain \x1b[31mred\x1b[0m ", "\x1b]0;owned\x07title\x07 ", "over\rwritten ", "\x1b", "[2Jend \u2603"]
stream = nbstream.start(iter(pieces))
print(stream.id, flush=True)
stream.wait()
"""


class Place:
    """A home for streams, and the processes that use it."""

    def __init__(self, home: Path):
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NBSTREAM_")}
        self.env = {**kept, "NBSTREAM_HOME": str(home), "PYTHONIOENCODING": "utf-8"}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            self.env.pop(name, None)

    def run(self, *words, **env):
        """Run one command to its end."""
        return subprocess.run(
            [*NBSTREAM, *words], env={**self.env, **env}, capture_output=True, text=True, timeout=WAIT_S, check=False
        )

    @contextmanager
    def process(self, *command, **options):
        """Run a process beside the test and end it."""
        process = subprocess.Popen(
            [*command], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(WAIT_S)
            process.stdout.close()
            process.stderr.close()

    @contextmanager
    def recording(self):
        """Let another process record an endless stream; gives its id and the process."""
        with self.process(sys.executable, "-c", RECORDER.format(prompt=PROMPT)) as recorder:
            yield recorder.stdout.readline().strip(), recorder

    def record(self, script):
        """Let another process record a stream to its end; gives its id."""
        done = subprocess.run(
            [sys.executable, "-c", script], env=self.env, capture_output=True, text=True, timeout=WAIT_S, check=True
        )
        return done.stdout.strip()


@pytest.fixture
def place(tmp_path):
    """Return a place with an empty store; a relay left behind would record an endless stream for ten minutes more."""
    place, runtime = Place(tmp_path / "home"), tmp_path / "relays"
    place.env["JUPYTER_RUNTIME_DIR"] = str(runtime)
    yield place
    relays.end_all(runtime)


def read_until(process, enough):
    """Read what *process* prints until *enough* is true of it."""
    seen, until = b"", time.monotonic() + WAIT_S
    while not enough(seen.decode("utf-8", "ignore")):
        assert time.monotonic() < until, f"only {seen!r} came"
        if select.select([process.stdout], [], [], 1)[0]:
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, f"ended after {seen!r}: {process.stderr.read()}"
            seen += piece
    return seen.decode("utf-8", "ignore")


def test_follow_shows_what_another_process_records_until_it_is_stopped(place):
    """`show --follow` shows the text from its beginning as it grows; `stop` from a third process ends both."""
    with (
        place.recording() as (stream, recorder),
        place.process(*NBSTREAM, "show", stream, "--follow") as watcher,
    ):
        read_until(watcher, lambda text: len(text) > 500)
        stopped = place.run("stop", stream[:14])
        assert stopped.returncode == 0, stopped.stderr
        assert stopped.stdout.startswith(f"{stream}  stopped ")
        assert recorder.stdout.readline().strip() == "stopped"
        assert watcher.wait(WAIT_S) == 0
    shown = place.run("show", stream).stdout
    text, line = shown.rstrip("\n").rsplit("\n", 1)
    assert len(text) > 500
    assert DemoModel().text(PROMPT, max_tokens=100_000).startswith(text)
    assert line.startswith("[stopped by you")


def test_stop_of_one_agent_leaves_the_others(place):
    """`stop ID AGENT` from another process ends that one; a name that is no agent's ends nothing and says so."""
    with place.process(sys.executable, "-c", TEAM) as recorder:
        stream = recorder.stdout.readline().strip()
        wrong = place.run("stop", stream, "mops")
        assert wrong.returncode == 1
        assert "has no agent 'mops': its agents are maps, tides" in wrong.stderr
        stopped = place.run("stop", stream, "maps")
        assert stopped.returncode == 0, stopped.stderr
        assert stopped.stdout.split() == [stream, "stopped", "maps"]
        assert place.run("stop", "all").stdout.startswith(f"{stream}  stopped "), "the other one was live"
        assert recorder.stdout.readline().strip() == "stopped"


def test_ctrl_c_ends_the_watching_not_the_stream(place):
    """Whoever only watches must not stop another's stream by leaving, and leaves without a traceback."""
    with place.recording() as (stream, _):
        with place.process(*NBSTREAM, "show", stream, "-f") as watcher:
            read_until(watcher, lambda text: len(text) > 100)
            watcher.send_signal(signal.SIGINT)
            assert watcher.wait(WAIT_S) == 130
            assert watcher.stderr.read() == ""
        assert "  streaming  " in place.run("list").stdout
        assert place.run("stop", "all").stdout.startswith(f"{stream}  stopped ")
    assert place.run("stop", "all").stdout == "nothing is live\n"


def test_show_does_not_wait_for_a_live_stream(place):
    """Without --follow the saved beginning is printed at once, with how it stands."""
    with place.recording() as (stream, _):
        shown = place.run("show", stream)
        assert shown.returncode == 0, shown.stderr
        assert re.search(r"\[(streaming|connecting).*; --follow to watch it\]\n$", shown.stdout)


def test_nothing_that_a_terminal_would_obey_is_printed(place):
    """Escape sequences and control characters of a model end in the store, not in the terminal."""
    stream = place.record(NASTY)
    shown = place.run("show", stream).stdout
    assert shown.splitlines()[0] == "plain red title overwritten end ☃"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shown)


def test_a_terminal_without_the_character_still_gets_the_answer(place):
    """What an old terminal cannot show is a question mark, never the end of the answer."""
    stream = place.record(NASTY)
    shown = place.run("show", stream, PYTHONIOENCODING="ascii")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0].endswith("end ?")


def test_list_and_clean(place):
    """A stream is listed with its question until it is cleaned away; a live one stays."""
    assert place.run("list").stderr == "no streams are saved\n"
    finished = place.record(NASTY)
    with place.recording() as (live, _):
        lines = place.run("list").stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [[live, "streaming"], [finished, "complete"]]
        assert lines[0].endswith(PROMPT)
        where = f"from {place.home / 'store'}\n"
        assert place.run("clean").stdout == f"deleted 0 streams older than 30 days {where}"
        assert place.run("clean", "--older-than", "0d").stdout == f"deleted 1 stream older than 0 days {where}"
        assert [line.split()[0] for line in place.run("list").stdout.splitlines()] == [live]


def test_an_error_is_one_line(place):
    """What cannot be done is said in one line on stderr, with exit code 1: unknown id, wrong option, no store."""
    file = place.home.parent / "file"
    file.touch()
    for words, env in (
        (["show", "nobody"], {}),
        (["stop", "nobody"], {}),
        (["list"], {"NBSTREAM_FIRST_S": "soon"}),
        (["list"], {"NBSTREAM_STORE": "what://ever"}),
        (["list"], {"NBSTREAM_HOME": str(file)}),
    ):
        done = place.run(*words, **env)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert re.fullmatch(r"nbstream: .+\n", done.stderr), done.stderr


def test_a_reader_that_leaves_early_hears_no_complaint(place):
    """`nbstream show ID | head -c 1` ends quietly."""
    with place.recording() as (stream, _), place.process(*NBSTREAM, "show", stream, "--follow") as watcher:
        read_until(watcher, bool)
        watcher.stdout.close()
        assert watcher.wait(WAIT_S) == 1
        assert watcher.stderr.read() == ""


def test_doctor(place):
    """One line a thing: all fine here (no page is no problem); a store that cannot be used is one, exit code 1."""
    fine = place.run("doctor")
    assert fine.returncode == 0, fine.stdout
    assert [line.split()[1] for line in fine.stdout.splitlines() if not line.startswith("ok ")] == ["page"]
    assert f"{place.home}/store (" in fine.stdout
    file = place.home.parent / "file"
    file.touch()
    ill = place.run("doctor", NBSTREAM_HOME=str(file))
    assert ill.returncode == 1
    assert [line.split()[1] for line in ill.stdout.splitlines() if line.startswith("problem")] == ["store"]


def test_demo_check_runs_the_quickstart(place):
    """`nbstream demo --check` prints the first cell's answer and an ok, within a minute, and saves nothing here."""
    done = place.run("demo", "--check", NBSTREAM_MODEL="openai:none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("You asked: `What can we learn from gardens?`")
    assert done.stdout.splitlines()[-1].startswith("ok: ")
    assert not place.home.exists()


def test_demo_serves_a_copy_and_ctrl_c_ends_it(place, tmp_path):
    """`nbstream demo` prints one address that opens; Ctrl-C ends server and kernel and leaves nothing behind."""
    room = tmp_path / "tmp"
    room.mkdir()
    place.env |= {"TMPDIR": str(room), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    with place.process(*NBSTREAM, "demo", stdin=subprocess.DEVNULL) as demo:
        printed = read_until(demo, lambda text: "Ctrl-C" in text)
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/\S+\?token=\w+", printed)
        with urllib.request.urlopen(url, timeout=WAIT_S) as page:
            assert page.status == 200
        server, token = url.split("/lab/")[0], url.split("token=")[1]
        runtime = tmp_path / "runtime"
        start_kernel(server, token, runtime)
        (copy,) = room.glob("nbstream-demo-*/notebooks/01_quickstart.ipynb")
        with suppress(FileNotFoundError):  # another system has no such folder
            assert token not in Path(f"/proc/{demo.pid}/cmdline").read_text("utf-8")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(WAIT_S) == 0
        assert "Traceback" not in demo.stderr.read()
        assert demo.stdout.read().splitlines()[-1] == UNCHANGED
    assert not list(runtime.glob("kernel-*.json")), "the kernel was not shut down in order"
    assert not copy.exists()
    assert not list(room.glob("nbstream-demo-*"))


def start_kernel(server, token, runtime):
    """Open the quickstart as a page does, and wait until its kernel is up."""
    session = {"path": "01_quickstart.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    ask = urllib.request.Request(f"{server}/api/sessions", json.dumps(session).encode(), headers)
    urllib.request.urlopen(ask, timeout=WAIT_S).close()
    (connection,) = runtime.glob("kernel-*.json")
    client = BlockingKernelClient(connection_file=str(connection))
    client.load_connection_file()
    client.start_channels(hb=False)  # its heartbeat takes a kernel for dead that is slow to start on a busy machine
    try:
        until = time.monotonic() + WAIT_S
        while True:
            client.kernel_info()
            with suppress(queue.Empty):
                client.get_shell_msg(timeout=1)
                return
            assert time.monotonic() < until, "the kernel does not answer"
    finally:
        client.stop_channels()


@pytest.mark.parametrize("name", ["01_quickstart.ipynb", "Untitled.ipynb", "mine/Untitled.ipynb"])
def test_demo_keeps_what_the_user_saved(place, tmp_path, name):
    """A notebook that was changed or made is kept; the lines at the beginning and at the end say where."""
    place.env["TMPDIR"] = str(tmp_path)
    with place.process(*NBSTREAM, "demo", "--no-browser", stdin=subprocess.DEVNULL) as demo:
        printed = read_until(demo, lambda text: "Ctrl-C" in text and text.endswith("\n"))
        (room,) = tmp_path.glob("nbstream-demo-*/notebooks")
        assert printed.splitlines()[-1] == f"Ctrl-C ends it. What you save is kept: {room}"
        copy = room / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text("{}", "utf-8")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(WAIT_S) == 0
        assert demo.stdout.read().splitlines()[-1] == f"What you saved is kept: {room}"
    assert copy.read_text("utf-8") == "{}"


@pytest.mark.parametrize("words", [["demo"], ["demo", "--check"]], ids=" ".join)
def test_without_jupyterlab_one_line_says_what_to_install(place, tmp_path, words):
    """The demo needs JupyterLab, which is an extra: without it one line says so."""
    for name in ("jupyterlab", "nbclient"):
        (tmp_path / f"{name}.py").write_text("raise ImportError", "utf-8")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = place.run(*words, PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "nbstream: the demo needs JupyterLab: pip install jupyterlab\n"


def test_starting_is_quick():
    """`nbstream --help` loads neither HTTP client, nor store, nor IPython."""
    script = "import sys; from nbstream.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT_S, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"IPython", "anywidget", "asyncio", "diskcache", "httpx", "ipywidgets", "traitlets"}
