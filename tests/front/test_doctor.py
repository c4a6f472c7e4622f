"""`%stream doctor`: what it says where all is well, and that each of its trials can fail."""

import json

import pytest

import nbstream
from nbstream.doctor import page, surroundings, trials
from nbstream.place import Place
from nbstream.testing import Answer

#: Shows what it never saved.
BOASTER = trials.VICTIM.replace("print(part.text,", "print(part.text + 'x' * 200,")
#: Ends before it is killed, and is asked for something else.
OTHER = trials.VICTIM.replace("listen for?", "hear?")
NAMES = ["nbstream", "store", "relay", "host", "restart", "stop", "page"]


def test_in_a_terminal(cells, home, request):
    """Every line is fine but the page, which is none; the trial kills a process, and leaves no stream behind."""
    if request.node.callspec.params["home"] == "relay":
        cells("%config NbStream.host = 'relay'")  # for everything: what is in memory only refuses that
    lines = cells("%stream doctor").splitlines()
    marks = {line.split()[1]: line.split()[0] for line in lines}
    assert [name for name in marks if name in NAMES] == NAMES
    assert {name: mark for name, mark in marks.items() if mark != "ok"} == {"page": "unknown"}
    (restart,) = [line for line in lines if line.split()[1] == "restart"]
    assert "characters it had shown are saved" in restart
    assert "the answer is whole" in restart
    assert nbstream.streams() == []
    assert "ok       host           a terminal IPython" in lines


def test_the_restart_says_what_became_of_the_call(store, request):
    """With a relay the call goes on uncut, without one it is cut and goes on behind what was shown."""
    check = trials.restart()
    relay = request.node.callspec.params["home"] == "relay"
    assert check.ok
    assert ("went on in the relay, uncut" if relay else "was cut and went on behind them") in check.found


@pytest.mark.host("kernel")
@pytest.mark.parametrize(
    ("victim", "says"),
    [
        (BOASTER, "characters that a killed process had shown, not all are saved"),
        (OTHER, "are saved, but the answer did not go on"),
        ("import nbstream_of_nobody", "cannot be started: ModuleNotFoundError: No module named 'nbstream_of_nobody'"),
        ("", "cannot be started: it ended without a word"),
    ],
    ids=["boaster", "other", "no module", "nothing"],
)
def test_the_restart_can_fail(store, victim, says):
    """What was shown and not saved, another answer, a process that does not start: a problem each, in one line."""
    check = trials.restart(victim)
    assert not check.ok
    assert says in str(check)
    assert "\n" not in str(check)
    assert nbstream.streams() == []


@pytest.mark.host("kernel")
def test_a_stop_that_closes_nothing_is_a_problem(store, monkeypatch):
    """A stream whose Stop does nothing: the trial waits and says so; nothing of it is left."""
    real = nbstream.Stream.stop
    seen = []
    monkeypatch.setattr(nbstream.Stream, "stop", lambda self, agent=None: seen.append(self))
    monkeypatch.setattr(trials, "LATE_S", 0.5)
    (check,) = [check for check in trials.checks() if check.name == "stop"]
    assert "waited 0.5 s for the server to see its connection closed" in check.advice
    for stream in seen:
        real(stream)
        stream.wait(5)


@pytest.mark.host("kernel")
def test_in_memory_nothing_survives_and_it_says_so(home, monkeypatch):
    """A store in memory ends with its process: no trial pretends otherwise."""
    monkeypatch.setenv("NBSTREAM_STORE", "memory:")
    nbstream.options.NbStream.clear_instance()
    assert str(trials.checks()[0]) == "ok       restart        nothing survives: the store is in memory"


def test_the_server_is_asked(tmp_path, monkeypatch, server):
    """Version and prefix are what the server itself says; one that is gone or never was is not invented."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "12")
    assert "no Jupyter server of this user" in str(surroundings.server())
    file = tmp_path / "jpserver-12.json"
    file.write_text(json.dumps({"url": f"{server.url}/user/xyz/", "base_url": "/user/xyz/", "token": "secret"}))
    server.script([Answer(['{"version": "9.8.7"}'], headers={"Content-Type": "application/json"})])
    assert "Jupyter server 9.8.7 at /user/xyz/" in str(surroundings.server())
    (asked,) = server.requests
    assert asked.path == "/user/xyz/api"
    assert "authorization" not in {name.lower() for name in asked.headers}
    file.write_text(json.dumps({"url": "http://127.0.0.1:9/", "base_url": "/"}))
    assert str(surroundings.server()).startswith("unknown  server         process 12 does not answer at /")


def test_the_file_is_read(tmp_path):
    """Cells with an answer are counted in the file as it is; a file that is not there is unknown, not empty."""
    path = tmp_path / "one.ipynb"
    assert not page.file(Place(notebook=str(path))).known
    answer = {"output_type": "display_data", "data": {"text/markdown": ["hello"]}}
    cells = [
        {"source": ["%%stream\n", "hi"], "outputs": [answer]},
        {"source": "%%stream\nhi", "outputs": []},
        {"source": "1 + 1", "outputs": [answer]},
    ]
    path.write_text(json.dumps({"cells": cells}))
    assert "holds an answer in 1 of its 2 %%stream cells" in page.file(Place(notebook=str(path))).found
    assert not page.file(Place()).known
