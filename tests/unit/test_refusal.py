"""What an upstream's "no" is told as."""

import pytest

from nbstream.sources.refusal import refused_by_status


@pytest.mark.parametrize(
    ("status", "keyed", "advice"),
    [
        (401, True, "check the key"),
        (403, True, "the key may not do this"),
        (401, False, "the call was made without a key"),
        (403, False, "the call was made without a key"),
        (404, False, "check the address and the model's name"),
    ],
)
def test_no_key_is_blamed_that_was_not_sent(status, keyed, advice):
    """The advice behind a status speaks of the key only when the call had one."""
    refused = refused_by_status("GET x", status, "No", {}, b"", now=0.0, keyed=keyed)
    assert str(refused) == f"GET x answered {status} No; {advice}"
