"""Where this runs: host, kernel, server. What can be asked is asked, the rest is read where the host writes it."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from nbstream.doctor.check import Check
from nbstream.place import Front, Place, here
from nbstream.view.document_server import appends_updates

#: How long the notebook server may take to say its version.
ANSWER_S = 2.0
#: Server extensions that write outputs into the document themselves, or run cells without a page.
WRITERS = ("jupyter-server-documents", "jupyter-server-nbmodel", "jupyter-collaboration")


def checks() -> list[Check]:
    """Say who is around."""
    place = here()
    found = [Check("host", _host(place))]
    if place.kernel is not None:
        found.append(server())
    return found


def _host(place: Place) -> str:
    """Return the host's name. VS Code names its notebook in the user's namespace, the others show by a module."""
    from IPython import get_ipython

    shell = get_ipython()
    if "google.colab" in sys.modules:
        name = "Google Colab"
    elif "marimo" in sys.modules:
        name = "marimo"
    elif shell is not None and "__vsc_ipynb_file__" in shell.user_ns:
        name = "VS Code"
    elif place.front is Front.PAGE:
        name = "a page of JupyterLab or Notebook 7" if place.notebook else "a page that does not say whose"
    else:
        name = place.front.value
    binder = any(os.environ.get(variable) for variable in ("BINDER_LAUNCH_HOST", "BINDER_REPO_URL"))
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{name}{', on Binder' if binder else ', on JupyterHub' if hub else ''}"


def server() -> Check:
    """Ask the notebook server that started this kernel for its version; its file names address and process."""
    from jupyter_core.paths import jupyter_runtime_dir

    pid = os.environ.get("JPY_PARENT_PID", "")
    file = Path(jupyter_runtime_dir()) / f"jpserver-{pid}.json"
    try:
        said: dict[str, Any] = json.loads(file.read_text("utf-8"))
        base, prefix = str(said["url"]), str(said["base_url"])
    except (OSError, ValueError, LookupError, TypeError):
        return Check("server", "no Jupyter server of this user started this kernel", known=False)
    try:
        # Its own answer, without a token and without a proxy in between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{base}api", timeout=ANSWER_S) as answer:
            version = str(json.load(answer)["version"])
    except (OSError, ValueError, LookupError, TypeError) as exc:
        return Check("server", f"process {pid} does not answer at {prefix} ({type(exc).__name__})", known=False)
    return Check("server", f"Jupyter server {version} at {prefix}{_writers()}")


def _writers() -> str:
    found = []
    for name in WRITERS:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    adds = "; it adds outputs instead of replacing them: an answer is saved once, at its end" * appends_updates()
    return f"{', with ' * bool(found)}{', '.join(found)}{adds}"
