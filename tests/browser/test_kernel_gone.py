"""The kernel is restarted, killed or not there at all: nothing that was on screen is lost."""

import json
import os
import signal
import time

import pytest
from cells import answer, ask, at_least, lost, state, whole
from lab import wait_for


def restart(tab):
    """Restart from the menu."""
    tab.restart_kernel()


def kill(tab):
    """SIGKILL; JupyterLab starts another one and says so in a dialog."""
    os.kill(tab.kernel_pid(), signal.SIGKILL)
    tab.page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    tab.ready()


@pytest.mark.parametrize("end_kernel", [restart, kill])
def test_after_the_kernel_the_message_goes_on(notebook, demo, end_kernel, host):
    """
    The view keeps its text and says how to go on. The cell, run again, asks only for what is missing.

    With a relay the kernel's end does not even cut the call, and nothing is asked again.
    """
    tab = notebook(ask(demo))
    tab.run(1)
    before = tab.wait_stream("text", at_least(300))
    end_kernel(tab)
    gone = tab.wait_stream("the view to notice", lost)
    assert int(gone["chars"]) >= int(before["chars"])
    assert gone["buttons"] == ["Copy"]
    if host == "kernel":
        assert "run the cell again to go on" in gone["line"]
        wait_for("the call to be closed", lambda: demo.open_connections == 0)
    else:
        assert "the answer goes on: run the cell again to see it all" in gone["line"]

    tab.run(0, wait=True)
    began = time.monotonic()
    tab.run(1)
    again = tab.wait_stream("the old text", at_least(int(gone["chars"])))
    took = time.monotonic() - began
    print(f"cell to old text {1000 * took:.0f} ms")
    assert took < 10
    end = tab.wait_stream("the end", whole(answer()))
    assert tab.copied() == answer()
    if host == "kernel":
        assert int(again["chars"]) < len(answer())
        assert "resumed once" in end["line"]
    assert asked(demo) == [False, True][: 2 if host == "kernel" else 1]


def test_a_kernel_that_is_shut_down_is_not_said_to_leave_its_call_behind(notebook, demo):
    """The call is closed, so no page says that the answer goes on; the file does not either, whenever it was saved."""
    tab = notebook(ask(demo, tokens=600, fault="noresume"))
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    wait_for("text in the file", lambda: "saved while it was streaming" in tab.saved(1))
    tab.shut_kernel_down()
    gone = tab.wait_stream("the view to notice", lost)
    wait_for("the call to be closed", lambda: demo.open_connections == 0)
    assert gone["line"].startswith(f"Kernel was shut down. {int(gone['chars']):,} characters came")
    assert "the source cannot resume: running the cell again shows what is saved" in gone["line"]
    assert "the answer goes on:" not in gone["line"] + tab.saved(1)
    assert gone["buttons"] == ["Copy"]


def test_how_a_message_ended_stays_when_its_kernel_is_restarted(notebook, demo):
    """Stopped is stopped: the line keeps its figures, and says behind them what running the cell again does."""
    tab = notebook(ask(demo, tokens=600))
    tab.run(1)
    tab.wait_stream("text", at_least(100))
    tab.press("Stop")
    stopped = tab.wait_stream("the stop", state("stopped"))
    tab.restart_kernel()
    gone = tab.wait_stream("the view to notice", lost)
    assert gone["line"] == f"{stopped['line']} · kernel is gone, running the cell again asks anew"


def asked(demo):
    """Return of each request whether it resumed."""
    return [request.last_event_id is not None for request in demo.requests]


def test_a_finished_answer_is_not_asked_again_after_a_restart(notebook, demo):
    """Restart + Run All shows the saved answers, says so and makes no second call."""
    prompts = ("rivers", "bread")
    tab = notebook(*(ask(demo, prompt) for prompt in prompts))
    for nth, prompt in enumerate(prompts):
        tab.run(nth + 1)
        tab.wait_stream("the answer", whole(answer(prompt)), nth=nth)
    tab.restart_kernel()
    assert "Regenerate" not in tab.wait_stream("the view to notice", lost)["buttons"]
    tab.command("notebook:run-all-cells")
    for nth, prompt in enumerate(prompts):
        view = tab.wait_stream("the saved answer", whole(answer(prompt)), nth=nth)
        assert "saved at" in view["line"]
        assert "Regenerate for a new one" in view["line"]
        assert tab.copied(nth) == answer(prompt)
    assert len(demo.requests) == 2


def test_saved_mid_message_then_restarted_and_reloaded(notebook, demo, host):
    """The text in the file is readable in the new page, and running the cell goes on behind the saved record."""
    tab = notebook(ask(demo, tokens=400))
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    wait_for("text in the file", lambda: "Let us begin with rivers" in tab.saved(1))
    tab.restart_kernel()
    tab.reload()
    wait_for("the saved text", lambda: "Let us begin with rivers" in tab.visible(1))
    tab.run(0, wait=True)
    tab.run(1)
    tab.wait_stream("the end", whole(answer(tokens=400)))
    assert tab.copied() == answer(tokens=400)
    assert asked(demo) == [False, True][: 2 if host == "kernel" else 1]


def test_a_notebook_opened_without_a_kernel_shows_the_answer(notebook, lab, demo):
    """Where there is no kernel the answer is there as Markdown, with how it ended, and no error beside it."""
    tab = notebook(ask(demo))
    tab.run(1)
    tab.wait_stream("the end", whole(answer()))
    wait_for("the end in the file", lambda: "complete" in tab.saved(1))
    path = lab.root / tab.name
    there = json.loads(path.read_text(encoding="utf-8"))
    there["metadata"] = {
        "kernelspec": {"name": "elsewhere", "display_name": "Elsewhere", "language": "nothing we have"}
    }
    path.write_text(json.dumps(there), encoding="utf-8")
    lab.end_kernels(tab.name)
    tab.open_without_kernel()
    wait_for("the answer", lambda: "Let us begin with rivers" in tab.visible(1))
    shown = tab.visible(1)
    assert "complete" in shown
    assert "rror" not in shown
