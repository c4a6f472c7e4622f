"""Pages of a log: cut by size, and no record read more often than a page needs it."""

import pytest
from recording import opening

from nbstream.log.memory import MemoryStore
from nbstream.records import Delta, Part
from nbstream.view.pages import page


@pytest.mark.parametrize(("size", "records", "most"), [(16_000, 201, 1.3), (16, 5_000, 1.1), (1_500, 600, 1.3)])
def test_a_page_reads_what_it_takes(size, records, most):
    """Pages of 64 KiB through a whole log read each record about once, be it a token or a full one."""
    log = MemoryStore().start(opening()).log
    for n in range(records):
        log.append(n + 1, Delta((Part("text", "x" * size, off=n * size),), 1.0))
    whole, read = log.read, []

    def counted(after=-1, *, limit=1000):
        found = whole(after, limit=limit)
        read.append(len(found))
        return found

    log.read = counted
    upto, text, pages = -1, 0, 0
    while (found := page(log, upto, max_bytes=65_536)).upto > upto:
        assert found.after == upto
        assert 65_536 <= found.bytes < 65_536 + size or found.upto == records
        upto, text, pages = found.upto, text + sum(len(part.text) for part in found.parts), pages + 1
    print(f"{records} records of {size} in {pages} pages: {sum(read)} decoded, {len(read)} reads")
    assert (upto, text) == (records, records * size)
    assert sum(read) <= most * records + 1
    assert len(read) <= 3 * pages + records / 64 + 2
