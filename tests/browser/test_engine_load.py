"""The engine travels once a page, and whatever happens while it is under way, the answer is shown."""

import hashlib
import shutil

import pytest
from cells import TOKENS, answer, ask, at_least, block, lost, state, whole
from lab import wait_for

import nbstream
from nbstream.view import code

pytestmark = pytest.mark.host("kernel")  # about the page

WIDGETS = 10
#: What one more widget may cost on the websocket: its script, its sheet, all that opens it.
WIDGET_BYTES = 9_000
#: How the engine begins, wherever it stands: gzip, without a time.
PACKED = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


class Frames:
    """What a kernel's websocket has brought, from the next load of the page on."""

    def __init__(self, tab) -> None:
        self.all: list[bytes] = []
        tab.page.on("websocket", self._watch)

    def _watch(self, socket) -> None:
        if "/channels" in socket.url:
            socket.on("framereceived", lambda data: self.all.append(data.encode() if isinstance(data, str) else data))

    def sizes(self, *marks: bytes) -> list[int]:
        """Return the sizes of the frames that hold one of these."""
        return [len(frame) for frame in self.all if any(mark in frame for mark in marks)]


def several(demo, count, *, tokens=40, rate=0):
    """Return a cell that shows so many streams at once."""
    return f"""\
import nbstream
how = {{"model": "demo", "base_url": "{demo.url}/v1", "max_tokens": {tokens}, "tokens_per_s": {rate}}}
for n in range({count}):
    nbstream.show(nbstream.chat(f"part {{n}}", **how))"""


def test_ten_widgets_load_the_engine_once(notebook, demo):
    """Ten widgets that render at once bring the engine once, a reloaded page once more, a further widget none."""
    tab = notebook(several(demo, WIDGETS), ask(demo, tokens=40, rate=0))
    frames = Frames(tab)
    tab.reload()
    for cells in ([1], []):
        for cell in cells:
            tab.run(cell)
        for nth in range(WIDGETS):
            tab.wait_stream("the answer", whole(answer(f"part {nth}", tokens=40)), nth=nth)
        assert len(frames.sizes(PACKED)) == 1
        if cells:
            assert len(frames.sizes(b'"_esm"')) == WIDGETS
            tab.save()
            frames.all.clear()
            tab.reload()
    print(f"the engine {frames.sizes(PACKED)} bytes")
    frames.all.clear()
    tab.run(2)
    tab.wait_stream("one more", whole(answer(tokens=40)), nth=WIDGETS)
    opened = frames.sizes(b'"comm_open"')
    print(f"a further widget {opened} bytes")
    assert opened
    assert sum(opened) < WIDGET_BYTES
    assert not frames.sizes(PACKED)
    assert not tab.errors


def test_a_cell_that_shows_and_then_blocks(notebook, demo, tmp_path):
    """The engine comes and the text streams while the very cell that shows them keeps the kernel busy."""
    free = tmp_path / "free"
    tab = notebook(f"{several(demo, 1, tokens=TOKENS, rate=100)}\n{block(free)}")
    tab.run(1)
    view = tab.wait_stream("the end", whole(answer("part 0")))
    assert "Regenerate" in view["buttons"]  # the engine's: plain text has no more than Stop
    free.touch()


def held_back(until):
    """Return a cell that lets this kernel's code wait for a file."""
    return f"""\
import pathlib, time
from nbstream.view import code
given = code.answer
def answer(*args, **kwargs):
    while not pathlib.Path({str(until)!r}).exists():
        time.sleep(0.02)
    return given(*args, **kwargs)
code.answer, code.engine = answer, lambda: None"""


def test_a_reload_while_the_engine_is_under_way(notebook, demo, tmp_path):
    """The page that was reloaded asks anew, and shows all of the answer."""
    ready = tmp_path / "ready"
    tab = notebook(held_back(ready), ask(demo))
    tab.run(1, wait=True)
    tab.run(2)
    wait_for("the answer in the file", lambda: "complete" in tab.saved(2))
    tab.reload()
    ready.touch()
    tab.wait_stream("the end", whole(answer()))
    assert tab.copied() == answer()
    assert len(demo.requests) == 1
    assert not tab.errors


def test_the_kernel_ends_while_the_engine_is_under_way(notebook, demo, tmp_path):
    """The view says that the kernel is gone and what to do; that done, the next widget loads the engine."""
    tab = notebook(held_back(tmp_path / "never"), ask(demo, tokens=5000))
    tab.run(1, wait=True)
    tab.run(2)
    plain = tab.wait_stream("plain text", at_least(100))
    assert plain["buttons"] == ["Copy", "Stop"]
    assert answer(tokens=5000).startswith(plain["text"])
    tab.restart_kernel()
    assert "run the cell again" in tab.wait_stream("the view to notice", lost)["line"]
    tab.run(0, wait=True)
    tab.run(2)
    tab.wait_stream("the old text and more", at_least(int(plain["chars"]) + 100))
    tab.press("Stop")
    stopped = tab.wait_stream("the stop, and the engine's button", state("stopped"))
    assert "Resume" in stopped["buttons"]
    assert answer(tokens=5000).startswith(tab.copied())
    assert not tab.errors


def test_two_builds_side_by_side(notebook, demo, tmp_path):
    """A kernel restarted with another build brings its own engine; what the old one has shown stays as it is."""
    static = tmp_path / "static"
    shutil.copytree(code._STATIC, static)
    engine, loader = static / "engine.js", static / "widget.js"
    engine.write_text(engine.read_text("utf-8") + "globalThis.otherBuild = true;", "utf-8")
    parts = [(static / f"{name}.js").read_bytes() for name in code.PARTS]
    old, new = code.build(), f"{nbstream.__version__}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"
    loader.write_text(loader.read_text("utf-8").replace(old, new), "utf-8")
    other = f"import pathlib\nfrom nbstream.view import code\ncode._STATIC = pathlib.Path({str(static)!r})"

    tab = notebook(ask(demo, "old"), other, ask(demo, "new"))
    tab.run(1)
    tab.wait_stream("the old one's end", whole(answer("old")))
    tab.restart_kernel()
    tab.run(0, wait=True)
    tab.run(2, wait=True)
    tab.run(3)
    tab.wait_stream("the new one's end", whole(answer("new")), nth=1)
    assert tab.page.evaluate("() => globalThis.otherBuild")
    builds = tab.page.evaluate("() => [...globalThis[Symbol.for('nbstream.code')].keys()]")
    assert [one for one in builds if one.startswith("engine")] == [f"engine {old}", f"engine {new}"]
    assert [tab.copied(nth) for nth in (0, 1)] == [answer("old"), answer("new")]
    assert not tab.errors
