"""What a reader may ask and tell a recorder, whichever process it works in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.recorder.live import Live


class AgentAtWork(Protocol):
    """One agent of a team."""

    @property
    def live(self) -> Live:
        """What is true only meanwhile."""

    @property
    def note(self) -> str | None:
        """One more thing its line says: whom it waits for."""

    @property
    def chars(self) -> int:
        """Code points of its text stored."""

    @property
    def can_reconnect(self) -> bool:
        """Whether calling again would repeat neither text nor money."""


class AtWork(Protocol):
    """A recorder at work: the `Recorder` of this process, or what is heard of one in a relay."""

    @property
    def live(self) -> Live:
        """What is true only meanwhile."""

    @property
    def agents(self) -> Mapping[str, AgentAtWork]:
        """The agents of a team that are called, each for itself; empty for a source with one voice."""

    @property
    def note(self) -> str | None:
        """One more thing the state line says."""

    @property
    def chars(self) -> int:
        """Code points of text stored."""

    @property
    def tail(self) -> int:
        """The last stored record."""

    @property
    def model(self) -> str | None:
        """The model's own name, once it said it."""

    @property
    def can_reconnect(self) -> bool:
        """Whether calling again would repeat neither text nor money."""

    @property
    def repeatable(self) -> bool:
        """Whether the question can be asked anew from here."""

    def stop(self, agent: str | None = None) -> None:
        """See `Recorder.stop`; on the loop, as the next ones."""

    def keep(self, agent: str | None = None) -> None:
        """See `Recorder.keep`."""

    def reconnect(self, agent: str | None = None) -> None:
        """See `Recorder.reconnect`."""
