"""The page that the relay serves for one stream, opened by a ticket in a real browser."""

import contextlib
import http.server
import threading

import pytest
from relay_server import Relay, Writer

from nbstream.log.disk import open_disk_store


@pytest.fixture
def relay(tmp_path):
    """Return a relay with a stream that a test writes: `relay.writer`."""
    store = open_disk_store(tmp_path / "store")
    with Relay(store) as relay:
        relay.writer = Writer(store)
        yield relay
    store.close()


@pytest.fixture
def page(browser):
    """Return a page of a browser that knows no cookie; its errors are in `page.errors`."""
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.extend([message.text] if message.type == "error" else []))
        yield page


def link(relay):
    """Return a link with a new ticket."""
    return f"http://127.0.0.1:{relay.port}{relay.ask('POST', '/v1/streams/s1/ticket').json['url']}"


@contextlib.contextmanager
def another_site(body):
    """Serve one HTML page under another name than the relay's; yields its URL."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def shows(page, text, state):
    """Wait until the page shows this text, and this state."""
    page.wait_for_function(
        "([text, state]) => document.querySelector('main pre')?.textContent === text"
        " && document.querySelector('[role=status]').textContent === state",
        arg=[text, state],
        timeout=10_000,
    )


def test_the_watch_page_shows_a_stream_as_it_comes(relay, page):
    """Text appears as text, never as markup, is complete after a reload, and ends with how the stream ended."""
    relay.writer.write("<b onclick=alert(1)>Grüße</b> ")
    page.goto(link(relay))
    shows(page, "<b onclick=alert(1)>Grüße</b> ", "streaming")
    assert "ticket" not in page.url
    assert page.locator("main b").count() == 0
    relay.writer.write("🌬️ and more")
    shows(page, "<b onclick=alert(1)>Grüße</b> 🌬️ and more", "streaming")
    page.reload()
    shows(page, "<b onclick=alert(1)>Grüße</b> 🌬️ and more", "streaming")
    relay.writer.close()
    shows(page, "<b onclick=alert(1)>Grüße</b> 🌬️ and more", "complete")
    assert page.errors == []


def test_a_link_on_a_page_of_another_site_opens_it(relay, page):
    """JupyterLab under "localhost" is another site than 127.0.0.1, and its links work, also after a reload."""
    relay.writer.write("text")
    with another_site(f'<a href="{link(relay)}">watch</a>') as url:
        page.goto(url)
        page.click("a")
        shows(page, "text", "streaming")
        page.reload()
        shows(page, "text", "streaming")


def test_the_watch_page_goes_on_after_a_cut(relay, page):
    """When every connection breaks, the page comes back by itself behind its last record and shows nothing twice."""
    relay.writer.write("before ")
    page.goto(link(relay))
    shows(page, "before ", "streaming")

    def cut():
        for connection in tuple(relay.server.server_state.connections):
            connection.transport.abort()

    relay.loop.call_soon_threadsafe(cut)
    # As a function: the page's policy lets nobody evaluate a string.
    page.wait_for_function("() => document.querySelector('[role=status]').textContent.includes('not connected')")
    relay.writer.write("behind")
    shows(page, "before behind", "streaming")
