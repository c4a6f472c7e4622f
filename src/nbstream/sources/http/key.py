"""The key of a call: where its value comes from and how it is sent. The value itself is kept nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from nbstream.errors import SourceRefused
from nbstream.sources.origin import line_of

#: How most providers want it.
BEARER: Final = "Authorization: Bearer"


@dataclass(frozen=True, slots=True)
class Key:
    """
    What a call needs to know of its key.

    `env` names the environment variable that holds it, and is the name by which it travels and is asked for. `sent_as`
    is the name of a header, with a scheme behind it if there is one: `Authorization: Bearer`, `x-api-key`. `ask`, where
    given, returns the key instead of the variable.
    """

    env: str | None
    sent_as: str = BEARER
    ask: Callable[[], Any] | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """What to call it in front of the user."""
        return self.env or "api_key="

    def read(self) -> str:
        """Return its value now, empty if there is none; `SourceRefused` when the user's function fails."""
        if self.ask is None:
            return os.environ.get(self.env or "", "").strip()
        try:
            value = self.ask()
        except Exception as exc:  # noqa: BLE001 - it is the user's
            # Neither quoted nor chained: who fails to read a key may well quote what was read.
            raise SourceRefused(f"api_key=: {type(exc).__name__}{line_of(exc)}; nothing was sent") from None
        if not isinstance(value, str):
            raise SourceRefused(f"api_key= returned {type(value).__name__}, not text; nothing was sent")
        return value.strip()

    def header(self, value: str) -> tuple[str, str]:
        """Return the header that carries *value*."""
        name, _, scheme = self.sent_as.partition(": ")
        return name, f"{scheme} {value}".lstrip()

    def missing(self) -> SourceRefused:
        """Return the refusal of a call that has no key."""
        if self.ask is not None or self.env is None:
            return SourceRefused("api_key= returned no key; nothing was sent")
        return SourceRefused(
            f"{self.env} is not set: put your key into that environment variable (os.environ in a notebook)"
        )
