"""Hosts with less than JupyterLab: everything works over the widget's messages, and nothing complains."""

import re

import comm
import pytest
from cells import answer
from lab import wait_for
from small_host import PageComm, SmallHost

import nbstream
from nbstream.options import NbStream
from nbstream.runtime import runtime

TOKENS = 200
FOR_LONG = 6000  # until somebody stops it
LONGER = 800  # a page is given 3 s for the code, and asks again after 5
#: What a host may forbid and still be one: no script but its own.
NO_BLOBS = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'"


@pytest.fixture
def stream(tmp_path, monkeypatch, demo, request):
    """Return a stream of this process, for some seconds."""
    tokens = getattr(request, "param", TOKENS)
    monkeypatch.setenv("NBSTREAM_HOST", "kernel")
    monkeypatch.setenv("NBSTREAM_HOME", str(tmp_path / "home"))
    NbStream.clear_instance()
    source = nbstream.chat("rivers", model="demo", base_url=f"{demo.url}/v1", max_tokens=tokens, tokens_per_s=100)
    yield nbstream.start(source)
    runtime().close()
    NbStream.clear_instance()


@pytest.fixture
def small(stream, monkeypatch):
    """Return what shows the stream in a host with that policy."""
    from nbstream.view.widget import StreamWidget

    monkeypatch.setattr(comm, "create_comm", PageComm)
    before = set(comm.get_comm_manager().comms)
    widget = StreamWidget(stream, runtime())
    hosts = []

    def serve(policy=None):
        hosts.append(SmallHost(widget.comm, policy))
        return hosts[-1]

    yield serve
    for one in hosts:
        one.stop()
    widget.close()
    assert set(comm.get_comm_manager().comms) == before  # its layout's is closed too


@pytest.fixture
def page(browser):
    """Return a page that notes whatever its console says."""
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    yield page
    context.close()


def root(page):
    """Return the view's attributes, or nothing before it is there."""
    return page.evaluate(
        """() => {
          const place = document.getElementById('place');
          const root = (place?.shadowRoot ?? document).querySelector('.nbstream');
          return root && {
            ...root.dataset, plain: root.querySelector('.nbstream-plain') !== null,
            background: getComputedStyle(root.querySelector('.nbstream-actions button')).backgroundColor,
            line: root.querySelector('.nbstream-state').textContent,
          };
        }"""
    )


def complete(page, tokens=TOKENS):
    """Return the view once it has shown the whole answer."""
    chars = str(len(answer(tokens=tokens)))

    def probe():
        view = root(page)
        return view and (view["state"], view["chars"]) == ("complete", chars) and view

    return wait_for("the whole answer", probe)


@pytest.mark.parametrize(
    "options",
    ["", "buffers=none", "buffers=bare&manager=empty", "off=all&lossy=1", "off=missing", "shadow=1"],
)
def test_a_host_with_less(small, page, options):
    """No control channel, buffers, manager or `off`, a lost message, a shadow root: the engine comes, and its looks."""
    here = small()
    page.goto(f"{here.url}?{options}")
    wait_for("the engine", lambda: (view := root(page)) and not view["plain"])
    view = complete(page)
    assert view["background"] == "rgba(0, 0, 0, 0)"  # of widget.css; a browser's own button is grey
    asked = [one["packed"] for one in here.asked if one["type"] == "code"]
    assert asked == {"buffers=none": [True, False], "off=all&lossy=1": [True, True]}.get(options, [True])
    page.evaluate("() => window.end()")
    wait_for("the goodbye", lambda: "bye" in [one["type"] for one in here.asked])
    assert page.said == []


@pytest.mark.parametrize("stream", [FOR_LONG], indirect=True)
def test_a_policy_without_blobs(small, page, stream):
    """Where only the host's own scripts may run the answer is plain text, whole, and Stop and Copy work."""
    here = small(NO_BLOBS)
    page.goto(here.url)
    view = wait_for("text", lambda: (view := root(page)) and int(view["chars"]) > 100 and view)
    assert view["plain"]
    assert page.locator(".nbstream").count() == 1
    assert (view["state"], view["link"]) == ("streaming", "live")
    page.get_by_role("button", name="Stop").click()
    stopped = wait_for("the stop", lambda: (view := root(page)) and view["state"] == "stopped" and view)
    assert stream.wait(5) == "stopped"
    wait_for("all that was saved", lambda: root(page)["chars"] == str(len(stream.text)))
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("() => navigator.clipboard.readText()") == stream.text
    assert answer(tokens=FOR_LONG).startswith(stream.text)
    assert "module" in stopped["line"]  # why there is no more than that
    # The browser reports what it was told to forbid; nobody else says anything.
    assert page.said
    assert all(re.search("Content Security Policy", text) for text in page.said), page.said


@pytest.mark.parametrize("stream", [LONGER], indirect=True)
def test_the_engine_takes_over_when_it_comes_late(small, page, monkeypatch):
    """A page whose code was held back shows plain text after some seconds, then the engine goes on, nothing lost."""
    from nbstream.view import code

    given, held = code.answer, []
    monkeypatch.setattr(code, "answer", lambda *args, **kwargs: held.append((args, kwargs)) or ({"type": "none"}, None))
    here = small()
    page.goto(here.url)
    view = wait_for("plain text", lambda: (view := root(page)) and view["plain"] and int(view["chars"]) > 0 and view)
    assert view["state"] == "streaming"
    assert len(held) == 1
    monkeypatch.setattr(code, "answer", given)
    wait_for("the engine", lambda: (view := root(page)) and not view["plain"])
    complete(page, LONGER)
    assert page.locator(".nbstream").count() == 1
    views = {one["view"] for one in here.asked if one["type"] == "ask"}
    assert len(views) == 2
    assert next(one["view"] for one in here.asked if one["type"] == "bye") in views
    assert page.said == []


def test_code_that_was_replaced_on_disk(small, page, monkeypatch):
    """After an upgrade under a running kernel the page says so, and shows the answer as plain text."""
    from nbstream.view import code

    monkeypatch.setattr(code, "build", lambda: "another")
    page.goto(small().url)
    view = complete(page)
    assert view["plain"]
    assert "restart the kernel" in view["line"]
    assert page.said == []
