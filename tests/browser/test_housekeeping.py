"""Nothing piles up: widgets, comms and views end with their cell, and the extension can be taken away."""

from cells import answer, ask, at_least, whole
from lab import wait_for

COMMS = "len(__import__('comm').get_comm_manager().comms)"
WIDGETS = "len(__import__('ipywidgets').widgets.widget._instances)"


def test_running_a_cell_again_leaves_nothing_behind(notebook, demo):
    """The widget of the last run is closed: the kernel holds as many comms and widgets as after the first run."""
    tab = notebook(ask(demo, tokens=30, rate=0))
    counts = []
    for run in range(5):
        tab.run(1, wait=True)
        wait_for("the call", lambda run=run: len(demo.requests) == run + 1)
        tab.wait_stream("the end", whole(answer(tokens=30)))
        counts.append((tab.ask_kernel(COMMS), tab.ask_kernel(WIDGETS)))
    assert counts == [counts[0]] * 5
    assert tab.page.locator(".nbstream").count() == 1


def test_unload_and_load_again(notebook, demo):
    """Unloading closes what was shown and takes the magics away; after loading again all is as before."""
    tab = notebook(ask(demo), "%reload_ext nbstream", "%unload_ext nbstream")
    tab.run(1)
    tab.wait_stream("the end", whole(answer()))
    tab.run(2, wait=True)
    tab.run(2, wait=True)
    assert len(tab.save()["cells"][2]["outputs"]) == 0
    tab.run(1)
    tab.wait_stream("the end", whole(answer()))
    tab.run(3, wait=True)
    assert (tab.ask_kernel(COMMS), tab.ask_kernel(WIDGETS)) == ("0", "0")
    assert tab.visible(3) == ""
    assert "Let us begin with rivers" in tab.visible(1)
    assert tab.ask_kernel("'stream' in get_ipython().magics_manager.magics['cell']") == "False"
    tab.run(0, wait=True)
    tab.run(1)
    tab.wait_stream("the end", whole(answer()))


def test_unload_mid_message(notebook, demo, host):
    """Unloading ends a call in the kernel, one in a relay goes on; after loading again the cell shows all of it."""
    tab = notebook(ask(demo), "%unload_ext nbstream")
    tab.run(1)
    tab.wait_stream("text", at_least(300))
    tab.run(2, wait=True)
    assert demo.open_connections == (host == "relay")
    assert tab.visible(2) == ""
    tab.run(0, wait=True)
    tab.run(1)
    tab.wait_stream("the end", whole(answer()))
    assert tab.copied() == answer()
    requests = [request.last_event_id is not None for request in demo.requests]
    assert requests == [False, True][: 2 if host == "kernel" else 1]
