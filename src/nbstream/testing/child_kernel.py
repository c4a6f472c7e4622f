"""A Jupyter kernel that may die: in a process of its own, sent cells as JupyterLab sends them."""

from __future__ import annotations

import os
import subprocess
import time
from math import inf
from queue import Empty
from typing import TYPE_CHECKING

from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

#: Starting Python and importing ipykernel takes a second, on a busy machine ten.
START_S = 60.0


class ChildKernel:
    """
    A kernel that believes it belongs to *notebook*; a context manager that ends it.

        with ChildKernel("one.ipynb") as kernel:
            shown = kernel.run(CELL, enough=200)   # returns in the middle of the cell
            kernel.kill()

    For nbstream two cells are the same, whichever kernel runs them, when the notebook and the id of the cell are.
    """

    def __init__(self, notebook: str) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(
            env={**os.environ, "JPY_SESSION_NAME": notebook}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._open = True
        #: What speaks to it.
        self.client = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=START_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, code: str, cell: str) -> str:
        """Send *code* as the cell of this id; return the id of the message."""
        request = self.client.session.msg("execute_request", {"code": code}, metadata={"cellId": cell})
        self.client.shell_channel.send(request)
        return str(request["header"]["msg_id"])

    def run(self, code: str, *, cell: str = "c1", enough: float = inf, timeout_s: float = 30.0) -> str:
        """
        Run *code* as the cell of this id; return what it printed, once it is done or has printed *enough* characters.

        Raises `RuntimeError` for a cell that raises, `TimeoutError` after *timeout_s* seconds.
        """
        request = self.send(code, cell)
        printed, raised, until = "", "", time.monotonic() + timeout_s
        while len(printed) < enough:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                msg = f"cell {cell} printed {len(printed)} characters in {timeout_s:g} s, and is not done"
                raise TimeoutError(msg) from None
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            printed += content.get("text", "")
            if message["msg_type"] == "error":
                raised = f"cell {cell} raised {content['ename']}: {content['evalue']}"
            if content.get("execution_state") == "idle":  # not sooner: what is sent behind an error is thrown away
                break
        if raised:
            raise RuntimeError(raised)
        return printed

    def kill(self) -> None:
        """Send SIGKILL, as the system does when memory runs out, and return when the process is gone."""
        # Not `shutdown_kernel(now=True)`: that interrupts first, and the cell has the time to tidy up.
        provisioner = self._manager.provisioner
        assert isinstance(provisioner, LocalProvisioner)  # noqa: S101 - of this machine
        if provisioner.process is not None:
            provisioner.process.kill()
            provisioner.process.wait(START_S)
        self.close()

    def close(self) -> None:
        """Shut the kernel down as the notebook's menu does; one that is gone already stays gone."""
        if self._open:
            self._open = False
            self._manager.shutdown_kernel()
            self.client.stop_channels()
