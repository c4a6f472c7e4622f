"""A relay of one's own: a process with an empty store, found by nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nbstream.relay.address import Address

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

#: Until it has ended.
END_S = 10.0


class RelayProcess:
    """
    Runs `nbstream relay` on an empty store; a context manager that ends it and deletes the store.

        with RelayProcess() as relay:
            httpx.get(f"{relay.url}/v1/streams", headers=relay.headers)
    """

    def __enter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory(prefix="nbstream-relay-")
        runtime = Path(self._place.name) / "runtime"
        # Its runtime file lies where only we look: the kernels of this user keep to their own relay.
        environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime)}
        command = [sys.executable, "-m", "nbstream", "relay", "--store", f"{self._place.name}/store"]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)  # noqa: S603 - our own
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        if not self._process.stdout.readline().startswith(b"nbstream relay of "):
            self.__exit__(None, None, None)
            msg = f"the relay did not start (exit code {self._process.returncode}); its errors are above"
            raise RuntimeError(msg)
        (file,) = runtime.glob("nbstream-relay-*.json")
        found = json.loads(file.read_text(encoding="utf-8"))
        #: Where it listens and its token, as in docs/protocol.md, section 4.
        self.address = Address(**{name: found[name] for name in Address.__dataclass_fields__ if name in found})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait(END_S)
        self._place.cleanup()

    @property
    def url(self) -> str:
        """Its address."""
        return self.address.url

    @property
    def headers(self) -> dict[str, str]:
        """What every request needs: the token."""
        return {"Authorization": f"Bearer {self.address.token}"}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.address.pid
