"""Which connections nobody wants: the decision alone."""

from dataclasses import dataclass

import pytest

from nbstream.guard import Fault, Finding, Suspicion, faults


@dataclass(frozen=True, eq=False)
class Standing:
    owner: str | None
    opened_at: float


A1, A2, A3 = Standing("a", 1.0), Standing("a", 2.0), Standing("a", 3.0)
B1, NOBODYS = Standing("b", 1.5), Standing(None, 0.5)


@pytest.mark.parametrize(
    ("standing", "calling", "found"),
    [
        ([], {"a": True}, []),
        ([A1], {"a": True}, []),
        ([A1, B1], {"a": True, "b": True}, []),
        ([A1], {}, [(A1, Fault.LEAKED)]),
        ([A1, B1], {"b": True}, [(A1, Fault.LEAKED)]),
        ([NOBODYS], {"a": True}, [(NOBODYS, Fault.LEAKED)]),
        ([A1], {"a": False}, [(A1, Fault.ZOMBIE)]),
        ([A1, A2], {"a": False}, [(A1, Fault.ZOMBIE), (A2, Fault.ZOMBIE)]),
        ([A1, A2], {"a": True}, [(A1, Fault.DUPLICATE)]),
        ([A3, A1, A2], {"a": True}, [(A1, Fault.DUPLICATE), (A2, Fault.DUPLICATE)]),
    ],
    ids=["none", "wanted", "two streams", "at rest", "one at rest", "nobody's", "not calling", "all not calling",
         "two of one", "in any order"],
)  # fmt: skip
def test_what_is_wrong_with_a_connection(standing, calling, found):
    """One connection for each recorder that makes a call, the newest; everything else is named."""
    assert [(one.connection, one.fault) for one in faults(standing, calling)] == found


def test_only_what_stays_is_certain():
    """A connection must be unwanted at three looks in a row: a call that is just being closed is left alone."""
    suspicion = Suspicion(3)
    bad = [Finding(A1, Fault.LEAKED)]
    assert suspicion.confirmed(bad) == []
    assert suspicion.confirmed(bad) == []
    assert suspicion.confirmed([]) == []  # it was wanted after all
    assert suspicion.confirmed(bad) == []
    assert suspicion.confirmed([Finding(A1, Fault.ZOMBIE)]) == []
    other = Finding(B1, Fault.LEAKED)
    assert suspicion.confirmed([Finding(A1, Fault.LEAKED), other]) == bad
    assert suspicion.confirmed([other]) == []
    assert suspicion.confirmed([other]) == [other]


def test_what_was_reported_is_forgotten():
    """It is closed then; one that stands all the same is reported after the same patience."""
    suspicion = Suspicion(2)
    bad = [Finding(A1, Fault.LEAKED)]
    assert [suspicion.confirmed(bad) for _ in range(4)] == [[], bad, [], bad]
