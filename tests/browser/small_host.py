"""
A widget host that is no JupyterLab: a plain page with anywidget's interface, joined to a real widget in this process.

What the page's model lacks, and how its messages travel, is chosen by the test: hosts differ (VS Code, Colab, marimo,
nbclassic), and none of them has a control channel.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from comm.base_comm import BaseComm

from nbstream.view import code

#: The host's own script; `options` come from the page's address.
HOST_JS = """
const options = Object.fromEntries(new URLSearchParams(location.search));
const listeners = new Set();
const deliver = ({content, buffers}) => {
  const views = buffers.map((text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return options.buffers === 'bare' ? bytes.buffer : new DataView(bytes.buffer);
  });
  for (const listener of [...listeners]) {
    if (options.buffers === 'none') listener(content);
    else listener(content, views);
  }
};
const state = await (await fetch('/state')).json();
const model = {
  get: (name) => state[name],
  set: () => { throw new Error('nothing is set'); },
  save_changes: () => { throw new Error('nothing is saved'); },
  send: (content) => void fetch('/send', {method: 'POST', body: JSON.stringify(content)}),
  on: (name, listener) => { if (name === 'msg:custom') listeners.add(listener); },
  off: (name, listener) => {
    if (options.off === 'all') listeners.clear();
    else listeners.delete(listener);
  },
};
if (options.off === 'missing') delete model.off;
if (options.manager) model.widget_manager = {};
(async () => {
  for (let after = 0; ; ) {
    const answer = await fetch(`/messages?after=${after}`).catch(() => null);
    if (!answer) return;
    const messages = await answer.json();
    for (const message of messages) if (after++ > 0 || !options.lossy) deliver(message);
  }
})();
const place = document.getElementById('place');
const el = document.createElement('div');
const widget = (await import('/widget.js')).default;
if (options.shadow) place.attachShadow({mode: 'open'}).append(el);
window.end = widget.render({model, el});
if (!options.shadow) place.append(el);
"""
PAGE = "<!doctype html><title>host</title><div id=place></div><script type=module src=/host.js></script>"


class PageComm(BaseComm):
    """A comm whose messages wait until the page asks for them."""

    def __init__(self, **kwargs: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.news = threading.Condition()
        super().__init__(**kwargs)

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        """Keep what a page would get: the widget's state, and its own messages."""
        if msg_type == "comm_open":
            self.state = data["state"]
        if msg_type != "comm_msg":
            return
        with self.news:
            if data["method"] == "update":
                self.state.update(data["state"])
            elif data["method"] == "custom":
                packed = [base64.b64encode(one).decode() for one in buffers or ()]
                self.messages.append({"content": data["content"], "buffers": packed})
                self.news.notify_all()

    def after(self, count: int) -> list[dict[str, Any]]:
        """Return the messages behind the first *count*, waiting a while for one."""
        with self.news:
            self.news.wait_for(lambda: len(self.messages) > count, timeout=5)
            return self.messages[count:]

    def hear(self, content: Any) -> None:
        """Take a message of the page."""
        self.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


class SmallHost:
    """Serves the page on 127.0.0.1; *policy* is its Content-Security-Policy."""

    def __init__(self, comm: PageComm, policy: str | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                found = {
                    "/": lambda: ("text/html", PAGE),
                    "/host.js": lambda: ("text/javascript", HOST_JS),
                    "/widget.js": lambda: ("text/javascript", code.loader()),
                    "/state": lambda: ("application/json", json.dumps(comm.state)),
                    "/messages": lambda: ("application/json", json.dumps(comm.after(int(query.split("=")[1])))),
                    "/favicon.ico": lambda: ("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
                }[path]
                self._reply(*found())

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                host.asked.append(content)
                comm.hear(content)
                self._reply("text/plain", "")

            def _reply(self, kind: str, text: str) -> None:
                body = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if policy:
                    self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Say nothing: a page that is closed cuts its question."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
