"""
Where we run: which notebook, which cell, which run of it, and who is looking.

The key of a stream is (notebook, cell id, n-th stream of this run of the cell). Without a cell id it is (notebook or
this process, the question, n-th time), so that nobody attaches to what another process asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nbstream.options import relay_user
from nbstream.owner import scope_of


class Front(Enum):
    """Who looks at the output."""

    PAGE = "a page that can show widgets"
    HEADLESS = "nobody now: nbclient, papermill, nbval"
    TERMINAL = "a terminal IPython"
    NONE = "a plain Python program"


#: This process, for keys outside notebooks. Drawn anew in a forked child by `here`.
_SESSION = {"pid": os.getpid(), "id": secrets.token_hex(8)}
_COUNTS: dict[str, tuple[str, int]] = {}
_COUNTS_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Place:
    """One cell run. `notebook` and `cell` are None where the front end does not say."""

    notebook: str | None = None
    cell: str | None = None
    #: Id of this execution: the same cell run again has another.
    run: str = ""
    front: Front = Front.NONE
    #: Names this kernel, the same before and after its restart; None outside a kernel.
    kernel: str | None = None
    #: Who this is, where many share a store.
    user: str | None = None

    @property
    def holder(self) -> str:
        """Who holds what is streamed here: this kernel, or this process where there is none."""
        return self.kernel or f"process:{_session()}"

    @property
    def scope(self) -> str:
        """The notebook, or this process where there is none."""
        place = self.notebook or f"process:{_session()}"
        return place if self.user is None else scope_of(self.user, place)

    def key(self, fingerprint: str | None, named: str | None = None, *, again: bool = False) -> str:
        """
        Return the key of the next stream made here, or without a cell id of the last one with *again*.

        *named*: the user's own name for it, unique in the notebook.
        """
        if named is not None:
            return json.dumps([self.scope, f"key:{named}", 0])
        if self.cell is not None:
            return json.dumps([self.scope, f"cell:{self.cell}", _count(f"{self.scope}\n{self.cell}", self.run)])
        asked = fingerprint or secrets.token_hex(8)
        return json.dumps([self.scope, f"asked:{asked}", _count(f"{self.scope}\n{asked}", "", again=again)])

    def name(self, kind: str) -> str:
        """Return a name for the next thing of this *kind* that is made here: the same whenever its cell runs."""
        if self.cell is None:
            return f"{kind} {secrets.token_hex(4)}"
        count = _count(f"{kind}\n{self.scope}\n{self.cell}", self.run)
        return f"{kind} {self.cell}{f' {count + 1}' * bool(count)}"


def here() -> Place:
    """Return the place of the code that is running. To be called in the thread that runs the cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return Place(user=relay_user())
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return Place(front=Front.TERMINAL, user=relay_user())
    parent: dict[str, Any] = kernel.get_parent("shell") or {}
    cell = parent.get("metadata", {}).get("cellId")
    # JupyterLab names the notebook in the kernel's environment, VS Code in the user's namespace.
    notebook = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return Place(
        notebook=notebook,
        cell=cell,
        run=parent.get("header", {}).get("msg_id", ""),
        front=Front.PAGE if cell else Front.HEADLESS,
        kernel=_kernel_name(kernel),
        user=relay_user(),
    )


def _kernel_name(kernel: Any) -> str:
    # The connection file outlives a restart, and no other kernel of this user has one of its name.
    file = str(getattr(kernel.parent, "abs_connection_file", "") or getattr(kernel, "connection_file", ""))
    return f"kernel:{hashlib.sha256(file.encode()).hexdigest()[:16]}" if file else f"process:{_session()}"


def _session() -> str:
    if _SESSION["pid"] != os.getpid():
        _SESSION.update(pid=os.getpid(), id=secrets.token_hex(8))
    return str(_SESSION["id"])


def _count(what: str, run: str, *, again: bool = False) -> int:
    with _COUNTS_LOCK:
        last, count = _COUNTS.get(what, (run, -1))
        count = max(count, 0) if again else count + 1 if last == run else 0
        _COUNTS[what] = run, count
        return count
