"""One output of a cell that any thread may bring up to date after the cell has ended."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Protocol

from nbstream.view.document_server import appends_updates

if TYPE_CHECKING:
    from collections.abc import Mapping


class Display(Protocol):
    """What the saved form is shown on."""

    #: Nothing replaces anything here: write once, at the end.
    once: bool

    def show(self, data: Mapping[str, str]) -> None:
        """Make the output. To be called in the thread that runs the cell, once."""

    def update(self, data: Mapping[str, str]) -> None:
        """Replace the content of the output; from any thread."""


class KernelDisplay:
    """
    A `Display` in the cell that runs when this is made.

    Updates go to the kernel's socket directly, with that cell as their parent. Through `display_pub` they would get the
    parent of whatever cell ran last (measured with ipykernel 6.31, 7.3 and 7.4), and a page that has closed that
    cell's channel drops them.
    """

    def __init__(self) -> None:
        from IPython import get_ipython

        shell = get_ipython()
        self._publisher, self._kernel = shell.display_pub, shell.kernel
        # `display_pub` may be the one of %%capture; the topic is the kernel's own publisher's.
        self._topic = getattr(self._publisher, "topic", None)
        self._parent: dict[str, Any] = self._kernel.get_parent("shell")
        self._transient = {"display_id": secrets.token_hex(16)}
        self.once = appends_updates()

    def show(self, data: Mapping[str, str]) -> None:
        """Make the output, where the cell's outputs go (an Output widget, %%capture)."""
        self._publisher.publish(dict(data), transient=self._transient)

    def update(self, data: Mapping[str, str]) -> None:
        """Replace the content of the output; where nothing can be replaced, make one."""
        content = {"data": dict(data), "metadata": {}, "transient": {} if self.once else self._transient}
        kernel, kind = self._kernel, "display_data" if self.once else "update_display_data"
        kernel.session.send(kernel.iopub_socket, kind, content, parent=self._parent, ident=self._topic)
