"""What is shown already, read back piece by piece to compare it with what the upstream says again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nbstream.log.readback import spoken_range, text_range

if TYPE_CHECKING:
    from nbstream.log.contract import Log
    from nbstream.recorder.progress import Name, Track
    from nbstream.recorder.writer import Writer

#: Read ahead: a repetition is compared token by token, the log is read in blocks.
BLOCK_CHARS = 64 * 1024


class Shown:
    """
    The text of *log*, and of what *writer* is still storing. Recorded text never changes, so a block stays true.

    Text that was taken back counts: what repeats itself says it again, and takes it back again.
    """

    def __init__(self, log: Log, writer: Writer, progress: Track) -> None:
        self._log, self._writer, self._progress = log, writer, progress
        #: agent and kind -> where the block begins, and its text.
        self._blocks: dict[Name, tuple[int, str]] = {}

    async def text(self, name: Name, start: int, end: int) -> str:
        """Return the text of *name* from code point *start* to *end*, as far as there is any."""
        begins, block = self._blocks.get(name, (0, ""))
        if not begins <= start <= end <= begins + len(block):
            await self._writer.flush()
            begins = start
            read = spoken_range if self._progress.taken.get(name) else text_range
            upto = max(end, start + BLOCK_CHARS)
            block = await self._writer.read_back(partial(read, self._log, *name, start, upto))
            self._blocks[name] = begins, block
        return block[start - begins : end - begins]
