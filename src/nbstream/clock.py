"""Time, as something a test can control."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The real clock. `nbstream.testing.FakeClock` stands in for it in tests."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch; may jump."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(seconds)
