"""The version of nbstream, for modules that cannot import the package."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
