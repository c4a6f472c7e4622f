"""A stream without words, that tells what a relay elsewhere sees of our store and what our token may do there."""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nbstream.errors import LogError
from nbstream.options import relay_user
from nbstream.owner import scope_of
from nbstream.recording import boot_id, new_id
from nbstream.records import Close, Open

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbstream.log.contract import Store


@contextmanager
def probe(store: Store) -> Iterator[str]:
    """
    Keep such a stream of this user's in *store* while the block runs; enter with its id. No call is made for it.

    A relay says of its store nothing that could be compared: what it finds of this one is the proof. Raises `StoreFull`
    where nothing can be saved.
    """
    stream, scope = new_id(), "probe"
    user = relay_user()
    first = Open(
        stream=stream, key=json.dumps([scope_of(user, scope) if user else scope, stream, 0]), intent="new",
        source={"kind": "object", "type": scope}, fingerprint="", writer=f"pid {os.getpid()}", host=platform.node(),
        boot=boot_id(), at=time.time(),
    )  # fmt: skip
    log, lock = store.start(first)
    try:
        # At rest, and by its user's will: nobody takes it up, waits for its end, or minds one that a SIGKILL left here.
        log.append(1, Close("stopped", at=time.time()))
        if lock is not None:
            lock.release()
        yield stream
    finally:
        if lock is not None:
            lock.release()
        with suppress(LogError):  # out of reach just now: it leaves with what is old
            store.delete(stream)
