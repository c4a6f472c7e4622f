"""
Whether the notebook server writes outputs into the document itself.

jupyter-server-documents does: it takes each update of an output for a further output (one display and 50 updates made
51). There a text is written once, at its end. A kernel cannot ask its server, but both read the same configuration.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTENSION = "jupyter_server_documents"


def appends_updates(folders: Iterable[str] | None = None) -> bool:
    """Whether the server of this configuration appends what should replace; *folders*: the first one wins."""
    if folders is None:
        from jupyter_core.paths import jupyter_config_path

        folders = jupyter_config_path()
    for folder in map(Path, folders):
        # A file of the user's own beats the folder that packages write into, as jupyter-server reads them.
        for path in (
            folder / "jupyter_server_config.json",
            *sorted(folder.glob("jupyter_server_config.d/*.json"))[::-1],
        ):
            enabled = _enabled(path)
            if enabled is not None:
                return enabled
    return False


def _enabled(path: Path) -> bool | None:
    try:
        said: Any = json.loads(path.read_text("utf-8"))["ServerApp"]["jpserver_extensions"][EXTENSION]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return said is True
