"""`nbstream demo`: the walkthroughs in JupyterLab with the demo model; `--check`: the quickstart without a page."""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbstream

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICKSTART = "01_quickstart.ipynb"
#: A cell of the quickstart takes seconds; this one hangs.
CELL_S = 50


def lab(*, port: int | None, browser: bool) -> int:
    """Run JupyterLab on a copy of the walkthroughs until Ctrl-C."""
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        return _needs_lab()
    for name in tuple(os.environ):
        # The walkthroughs show the defaults; only where streams are saved stays the user's choice.
        if name.startswith("NBSTREAM_") and name not in ("NBSTREAM_HOME", "NBSTREAM_STORE"):
            del os.environ[name]
    os.environ.update(_this_python())
    room = Path(tempfile.mkdtemp(prefix="nbstream-demo-"))
    notebooks = room / "notebooks"
    shutil.copytree(walkthroughs(), notebooks, ignore=shutil.ignore_patterns(".*"))
    try:
        # In this process, so that the token is on no command line and Ctrl-C needs nobody to pass it on.
        token = secrets.token_hex(24)
        options = _lab_options(room, notebooks, token, port=port, browser=browser and _display())
        server = LabApp.initialize_server(argv=options)
        print(f"JupyterLab with the demo model: {server.connection_url}lab/tree/{QUICKSTART}?token={token}")
        print("Ctrl-C ends it.", flush=True)
        server.start()
    finally:
        _tidy(room, notebooks)
    return 0


def check() -> int:
    """Run the quickstart as `jupyter execute` would, in a place of its own, and print the answer of its first stream."""
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    except ImportError:
        return _needs_lab()
    os.environ.update(_this_python())
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nbstream-check-") as room:
        notebook = nbformat.read(walkthroughs() / QUICKSTART, as_version=4)  # type: ignore[no-untyped-call]
        client = NotebookClient(notebook, timeout=CELL_S, resources={"metadata": {"path": room}})
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NBSTREAM_")}
        try:
            client.execute(env={**clean, "NBSTREAM_HOME": room}, stderr=subprocess.DEVNULL)
        except CellExecutionError as exc:
            return _failed(f"{exc.ename}: {exc.evalue}")
        except (CellTimeoutError, DeadKernelError) as exc:
            return _failed(str(exc))
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


def _lab_options(room: Path, notebooks: Path, token: str, *, port: int | None, browser: bool) -> list[str]:
    return [
        "--ServerApp.ip=127.0.0.1",
        *([] if port is None else [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]),
        f"--ServerApp.root_dir={notebooks}",
        f"--ServerApp.open_browser={browser}",
        f"--ServerApp.allow_root={os.getuid() == 0}",
        f"--IdentityProvider.token={token}",
        "--ServerApp.answer_yes=True",
        "--ServerApp.log_level=ERROR",
        f"--LabApp.default_url=/lab/tree/{QUICKSTART}",
        # Tabs of other folders would not open here.
        f"--LabApp.workspaces_dir={room / 'workspaces'}",
        # No network: no news, no look for updates, no list of extensions.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]


def _this_python() -> dict[str, str]:
    """Return what makes the kernel `python3` the one of this environment, not one the user installed for all."""
    return {"JUPYTER_PREFER_ENV_PATH": "1"}


def _display() -> bool:
    """Say whether a browser can show itself. Without a display, `webbrowser` would find one that takes the terminal."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform != "linux" or any(os.environ.get(name) for name in names)


def _tidy(room: Path, notebooks: Path) -> None:
    """Remove the copy, unless the user has made something of it."""
    same = filecmp.dircmp(walkthroughs(), notebooks, ignore=[".ipynb_checkpoints"])
    if same.diff_files or same.right_only:
        shutil.rmtree(room / "workspaces", ignore_errors=True)
        print(f"Your notebooks are kept in {notebooks}")
    else:
        shutil.rmtree(room)


def _needs_lab() -> int:
    print('nbstream: the demo needs JupyterLab: pip install "nbstream[lab]"', file=sys.stderr)
    return 1


def _failed(why: str) -> int:
    print(f"nbstream: the quickstart failed: {why}", file=sys.stderr)
    return 1
