"""When reads rest: only where several tokens come together, never where text waits in a buffer."""

import pytest

from nbstream.recorder.gathering import CALM_S, FLOOD_CHARS, FLOOD_PIECES, GATHER_S, REST_S, Gathering


def reads(gap_s, *, seconds, read_s=0.0002, size=8):
    """Play *seconds* of a token every *gap_s* through one reader; return its reads that waited, and the text's ages."""
    gathering, now, taken, waits, ages = Gathering(), 100.0, 0, 0, []
    while now < 100 + seconds:
        due = 100 + taken * gap_s
        waited = max(due - now, 0) + read_s
        now += waited
        waits += waited > read_s
        ages.append(now - due)
        taken += 1
        now += gathering.rest_s(now, waited_s=waited, pieces=1, chars=size)
    return waits, ages


def test_tokens_at_reading_speed_come_together():
    """At 100 tokens/s a reader wakes up 12 times a second and not 100 times, and no token waits longer than a rest."""
    waits, ages = reads(0.01, seconds=20)
    assert waits < 20 * 13
    assert max(ages) <= REST_S + GATHER_S


@pytest.mark.parametrize("read_s", [0.0005, 0.003, 0.009])
def test_a_busy_machine_does_not_fall_behind(read_s):
    """Where every read takes so long that it seems to have waited, rests end: the backlog of a TLS buffer is read."""
    _, ages = reads(0.01, seconds=20, read_s=read_s)
    assert max(ages[len(ages) // 2 :]) < 1


def test_a_slow_source_is_read_at_once():
    """A token every 200 ms gains nothing from rests, so it gets none but one in a while."""
    _, ages = reads(0.2, seconds=20)
    assert sum(age > 0.001 for age in ages) == 0


@pytest.mark.parametrize(("pieces", "chars"), [(FLOOD_PIECES, 1), (1, FLOOD_CHARS)])
def test_a_flood_is_not_slowed_down(pieces, chars):
    """Many pieces or characters between two waits are a flood: no rest for a second."""
    gathering = Gathering()
    assert not gathering.rest_s(0.0, waited_s=0.01, pieces=pieces, chars=chars)
    assert not gathering.rest_s(0.9 * CALM_S, waited_s=0.01, pieces=1, chars=1)
    assert gathering.rest_s(1.1 * CALM_S, waited_s=0.01, pieces=1, chars=1)


def test_text_that_waits_in_a_buffer_is_read_first():
    """A read that did not wait is no reason to rest: there may be more behind it."""
    gathering = Gathering()
    assert not any(gathering.rest_s(0.0, waited_s=0.0001, pieces=1, chars=8) for _ in range(20))
