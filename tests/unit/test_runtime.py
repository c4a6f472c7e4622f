"""The one thread and loop: what is reported of the work on it."""

import logging

from nbstream.errors import StreamGone
from nbstream.runtime import Runtime


def test_a_bug_in_work_that_nobody_waits_for_is_reported(caplog):
    """A task that breaks is reported by the loop; a store out of reach or a task that was cancelled is not."""
    runtime = Runtime()

    async def fails(error):
        raise error

    async def waits():
        await runtime.loop.create_future()

    with caplog.at_level(logging.ERROR, "asyncio"):
        futures = [runtime.spawn(fails(error)) for error in (StreamGone("gone"), ZeroDivisionError("a bug"))]
        assert [type(future.exception(5)) for future in futures] == [StreamGone, ZeroDivisionError]
        assert runtime.spawn(waits()).cancel()
        runtime.close()
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]
