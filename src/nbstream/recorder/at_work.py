"""What a reader may ask and tell a recorder, whichever process it works in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nbstream.recorder.live import Live


class AtWork(Protocol):
    """A recorder at work: the `Recorder` of this process, or what is heard of one in a relay."""

    @property
    def live(self) -> Live:
        """What is true only meanwhile."""

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

    def stop(self) -> None:
        """See `Recorder.stop`; on the loop, as the next ones."""

    def keep(self) -> None:
        """See `Recorder.keep`."""

    def reconnect(self) -> None:
        """See `Recorder.reconnect`."""
