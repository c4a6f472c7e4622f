"""`nbstream demo`: the walkthroughs in JupyterLab with the demo model; `--check`: the quickstart without a page."""

from __future__ import annotations

import filecmp
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbstream

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICKSTART = "01_quickstart.ipynb"
ENDS = "Ctrl-C ends it. What you save is kept: {}"
UNCHANGED = "Nothing was saved in the copy of the walkthroughs: it is removed."
#: A cell of the quickstart takes seconds; this one hangs.
CELL_S = 50


def lab(*, port: int | None, browser: bool) -> int:
    """Run JupyterLab on a copy of the walkthroughs until Ctrl-C."""
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        return _needs_lab()
    room = Path(tempfile.mkdtemp(prefix="nbstream-demo-"))
    notebooks = room / "notebooks"
    try:
        shutil.copytree(walkthroughs(), notebooks, ignore=shutil.ignore_patterns(".*"))
        _write_page_config(room / "config" / "labconfig")
        path = [str(room / "config"), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
        _set_environment(JUPYTER_CONFIG_PATH=os.pathsep.join(path))
        # In this process, so that the token is on no command line and Ctrl-C needs nobody to pass it on.
        token = secrets.token_hex(24)
        options = lab_options(room, notebooks, token, port=port, browser=browser and has_display())
        server = LabApp.initialize_server(argv=options)
        for ending in (signal.SIGINT, signal.SIGHUP):
            # Its own handlers ask back, or leave the kernels to find out by themselves.
            signal.signal(ending, lambda *_: server.stop(from_signal=True))
        url = f"{server.connection_url}lab/tree/{QUICKSTART}?token={token}"
        # Its socket is opened by an earlier callback: who reads the address can use it.
        server.io_loop.add_callback(
            lambda: print(f"JupyterLab with the demo model: {url}\n{ENDS.format(notebooks)}", flush=True)
        )
        server.start()
    finally:
        _tidy(room, notebooks)
    return 0


def check() -> int:
    """Run the quickstart as `jupyter execute` would, with its own store, and print the answer of its first cell."""
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    except ImportError:
        return _needs_lab()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nbstream-check-") as room:
        notebook = nbformat.read(walkthroughs() / QUICKSTART, as_version=4)  # type: ignore[no-untyped-call]
        client = NotebookClient(notebook, timeout=CELL_S, resources={"metadata": {"path": room}})
        _set_environment(NBSTREAM_HOME=room, NBSTREAM_STORE="")
        try:
            client.execute(stderr=subprocess.DEVNULL)
        except CellExecutionError as exc:
            return _failed(f"{exc.ename}: {exc.evalue}")
        except (CellTimeoutError, DeadKernelError) as exc:
            return _failed(str(exc))
        finally:
            from nbstream.relay import process

            process.end(Path(room) / "store")
    answer = _first_answer(notebook)
    if answer is None:
        return _failed("its first %%stream cell has no answer in its output")
    print(answer)
    print(f"\nok: the quickstart ran in {time.monotonic() - began:.1f} s, without a key or a network")
    return 0


def walkthroughs() -> Path:
    """Return the folder of the notebooks: inside the installed package, or beside the sources."""
    package = Path(nbstream.__file__).parent
    installed = package / "walkthroughs"
    return installed if installed.is_dir() else package.parents[1] / "notebooks"


def _first_answer(notebook: Mapping[str, Any]) -> str | None:
    cell = next(cell for cell in notebook["cells"] if cell["source"].startswith("%%stream"))
    found = [output["data"]["text/markdown"] for output in cell["outputs"] if "text/markdown" in output.get("data", {})]
    return found[0].strip() if found else None


def lab_options(room: Path, notebooks: Path, token: str, *, port: int | None, browser: bool) -> list[str]:
    """Return the command line of the demo's JupyterLab: on this machine only, quiet, without a look at the network."""
    return [
        "--ServerApp.ip=127.0.0.1",
        *([] if port is None else [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]),
        f"--ServerApp.root_dir={notebooks}",
        f"--ServerApp.open_browser={browser}",
        f"--ServerApp.allow_root={os.getuid() == 0}",
        f"--IdentityProvider.token={token}",
        "--Application.log_level=ERROR",
        f"--LabApp.default_url=/lab/tree/{QUICKSTART}",
        # Tabs of other folders would not open here.
        f"--LabApp.workspaces_dir={room / 'workspaces'}",
        # No network: no look for updates, no list of extensions.
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]


def _set_environment(**extra: str) -> None:
    """Give the kernels this Python and the defaults that the walkthroughs show; the store stays the user's choice."""
    for name in tuple(os.environ):
        if name.startswith("NBSTREAM_") and name not in ("NBSTREAM_HOME", "NBSTREAM_STORE"):
            del os.environ[name]
    # Else a kernel `python3` that the user installed for all environments would come first.
    os.environ.update(extra, JUPYTER_PREFER_ENV_PATH="1")


def _write_page_config(directory: Path) -> None:
    """Keep JupyterLab from asking whether it may ask the network for news."""
    directory.mkdir(parents=True)
    config = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (directory / "page_config.json").write_text(json.dumps(config), encoding="utf-8")


def has_display() -> bool:
    """Say whether a browser can show itself. Without a display, `webbrowser` would find one that takes the terminal."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform != "linux" or any(os.environ.get(name) for name in names)


def _tidy(room: Path, notebooks: Path) -> None:
    """Remove the copy, unless the user has made something of it; say which, for nothing is lost in silence."""
    kept = any(_changed(file, walkthroughs() / file.relative_to(notebooks)) for file in _files(notebooks))
    if not kept:
        shutil.rmtree(room)
    with suppress(OSError):  # its terminal is gone
        print(f"What you saved is kept: {notebooks}" if kept else UNCHANGED, flush=True)


def _files(folder: Path) -> list[Path]:
    """Return the files in *folder*, at any depth, that are somebody's work."""
    return [file for file in folder.rglob("*") if file.is_file() and ".ipynb_checkpoints" not in file.parts]


def _changed(file: Path, original: Path) -> bool:
    # Not by size and time: a save within the same second can leave both as they were.
    return not original.is_file() or not filecmp.cmp(file, original, shallow=False)


def _needs_lab() -> int:
    print("nbstream: the demo needs JupyterLab: pip install jupyterlab", file=sys.stderr)
    return 1


def _failed(why: str) -> int:
    print(f"nbstream: the quickstart failed: {why}", file=sys.stderr)
    return 1
