"""What a model writes runs nowhere and asks for nothing: in the widget, in the file, in what is made of the file."""

import random
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from lab import CURRENT, wait_for
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary
from probes import PROBES

TESTS = Path(__file__).parents[1]

#: In every frame of the page, before anything else runs.
WATCH = """
window.caught = [];
window.canary = () => { window.caught.push('ran: ' + (new Error().stack ?? '')); };
document.addEventListener('securitypolicyviolation', (event) => {
  window.caught.push(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
#: What a reader's mouse and keyboard would set off, at once and everywhere; then what leads out of the page.
TOUCH = """
(selector) => {
  const found = [];
  for (const root of document.querySelectorAll(selector)) {
    for (const details of root.querySelectorAll('details')) details.open = true;
    for (const element of [root, ...root.querySelectorAll('*')]) {
      if (element.closest('button')) continue;
      for (const name of ['mouseover', 'mouseenter', 'pointerrawupdate', 'focus', 'toggle', 'animationstart', 'load'])
        element.dispatchEvent(new Event(name, {bubbles: false}));
      for (const {name, value} of element.attributes) {
        if (name.startsWith('on')) found.push(`${element.localName} ${name}`);
        if (!/href$|^src|^action$|^data$|^background$|^poster$|^ping$|^srcset$/.test(name)) continue;
        const target = value.split(' ')[0];
        if (!URL.canParse(target, location.href)) continue;
        const scheme = new URL(target, location.href).protocol;
        const picture = element.localName === 'img' && /^data:image.(png|jpeg|gif|webp);base64,/.test(value);
        if (!['http:', 'https:', 'mailto:', 'ftp:', 'tel:', 'file:'].includes(scheme) && !picture)
          found.push(`${element.localName} ${name} ${value}`);
        if (element.localName !== 'a' && !picture) found.push(`${element.localName} ${name} ${value}`);
      }
      if (/^(script|iframe|object|embed|form|style|meta|base|link|svg|frame|applet|portal)$/.test(element.localName))
        if (!element.closest('.nbstream-actions')) found.push(element.outerHTML.slice(0, 200));
    }
  }
  return found;
}
"""
#: One voice a probe, each in every place; then all in one text, that one can open what another leaves open.
CELL = """
import random, sys
sys.path.insert(0, {tests!r})
import nbstream
from nbstream.records import Part
from probes import PROBES

def voices():
    for number, probe in enumerate(PROBES):
        name = f"{{number}} {{probe}}"
        for kind in ("reasoning", "text", "refusal"):
            yield Part(kind, probe, name)
        yield Part("tool_call", "", name, fields={{"index": 0, "id": probe, "name": probe, "args_delta": probe}})
        yield Part("tool_result", "", name, fields={{"id": probe, "name": probe, "content": probe}})
        yield Part("seam", "", name, fields={{"why": probe}})
        yield Part("raw", "", name, fields={{"type": probe}})

def one_text():
    yield {{"choices": [], "model": "".join(PROBES[:9]), "id": PROBES[0]}}
    for probe in random.Random({seed}).sample(PROBES, len(PROBES)):
        yield probe + "\\n\\n"
    raise RuntimeError("".join(PROBES))
"""


class Watched:
    """What a browser context asked for, and what its pages caught."""

    def __init__(self):
        self.requests = []
        self.dialogs = []
        self._pages = []

    def __call__(self, context):
        """Watch *context* from its beginning."""
        context.add_init_script(WATCH)
        context.on("request", lambda request: self.requests.append((request.url, request.resource_type)))
        context.on("page", self._opened)

    def _opened(self, page):
        self._pages.append(page)
        page.on("dialog", lambda dialog: dialog.type != "beforeunload" and self.dialogs.append(dialog.message))

    def caught(self):
        """Return what ran, in whatever frame."""
        return [
            one for page in self._pages for frame in page.frames for one in frame.evaluate("() => window.caught ?? []")
        ]

    def foreign(self, port, name):
        """Return the requests that are not JupyterLab's own."""
        return [
            (url, kind) for url, kind in self.requests
            if not url.startswith(("blob:", "data:", "file:")) and not own(urlsplit(url), kind, port, name)
        ]  # fmt: skip


def own(url, kind, port, name):
    """Say whether JupyterLab itself asks for that."""
    if url.hostname != "127.0.0.1" or url.port != port:
        return False
    if url.path == f"/lab/tree/{name}":
        return kind == "document"
    return url.path.startswith(("/static/", "/api/", "/lab/api/", "/lab/extensions/", "/custom/", "/lsp/"))


@pytest.mark.host("kernel")  # about the page
def test_what_a_model_writes_runs_nowhere(notebook, lab, browser, tmp_path, seed):
    """
    228 probes in every place: nothing runs and nothing is asked for, in the widget, in the file reopened, in nbconvert.

    The file is reopened as trusted, when JupyterLab takes nothing out of it, and without its kernel.
    """
    watched = Watched()
    cell = CELL.format(tests=str(TESTS), seed=random.Random(seed).randrange(1 << 30))
    tab = notebook(f"{cell}\nnbstream.show(voices())", "nbstream.show(one_text())", prepare=watched)
    tab.run(1)
    said = 3 * sum(map(len, PROBES))
    tab.wait_stream("all voices", lambda view: view["state"] == "complete" and int(view["chars"]) == said, 60)
    tab.run(2)
    tab.wait_stream("one text", lambda view: view["state"] == "failed", 60, nth=1)
    assert tab.page.evaluate(TOUCH, ".nbstream") == []
    for nth in (1, 2):
        wait_for("the end in the file", lambda nth=nth: ended(tab.saved(nth)))
    assert tab.page.evaluate(TOUCH, ".jp-RenderedMarkdown") == []
    look(watched, lab, tab)

    lab.end_kernels(tab.name)
    notebook_file = trusted_without_kernel(lab, tab.name)
    tab.open_without_kernel()
    wait_for("the saved texts", lambda: tab.page.locator(".jp-RenderedMarkdown h3").count() >= len(PROBES))
    assert tab.page.evaluate(f"() => {CURRENT}.content.widgets.every((cell) => cell.model.trusted)")
    assert tab.page.evaluate(TOUCH, ".jp-RenderedMarkdown") == []
    look(watched, lab, tab)

    page = tab.context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    empty, full = tmp_path / "empty.html", tmp_path / "full.html"
    for path, cells in ((empty, []), (full, notebook_file["cells"])):
        path.write_text(html({**notebook_file, "cells": cells}), encoding="utf-8")
        before, asked[:] = set(asked), []
        page.goto(path.as_uri())
    assert page.evaluate(TOUCH, ".jp-OutputArea") == []
    assert page.locator("h3").count() >= len(PROBES)
    assert {url for url in asked if url.startswith("http")} <= before
    assert watched.caught() == []
    assert watched.dialogs == []


def look(watched, lab, tab):
    """Nothing has run, nothing was asked for, nobody was asked anything."""
    tab.page.wait_for_timeout(300)  # a load that failed tells its handler a moment later
    assert watched.caught() == []
    assert watched.dialogs == []
    assert watched.foreign(lab.port, tab.name) == []


def ended(saved):
    """Say whether the saved form has its last line."""
    return saved.rstrip().split("\n")[-1].startswith(("*complete", "*failed"))


def trusted_without_kernel(lab, name):
    """Make the notebook one of a kernel that is not here, and trust it; return it."""
    path = lab.root / name
    notebook_file = nbformat.read(path, 4)
    notebook_file.metadata = {"kernelspec": {"name": "elsewhere", "display_name": "Elsewhere", "language": "nothing"}}
    nbformat.write(notebook_file, path)
    NotebookNotary(data_dir=str(lab.home / "data")).sign(notebook_file)
    return notebook_file


def html(notebook_file):
    """Return what nbconvert makes of a notebook."""
    return HTMLExporter().from_notebook_node(nbformat.from_dict(notebook_file))[0]
