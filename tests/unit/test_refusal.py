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


@pytest.mark.parametrize(
    ("status", "body", "starting"),
    [
        (503, b'{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}', True),
        (503, b'{"error": {"code": 503, "message": "no slot", "type": "unavailable_error"}}', False),
        (500, b'{"error": {"code": 500, "message": "Loading model failed", "type": "server_error"}}', False),
    ],
)
def test_a_server_that_loads_its_model_is_starting(status, body, starting):
    """What llama.cpp answers before its model is in memory is told from an overload and from a failure."""
    headers = {"content-type": "application/json; charset=utf-8"}
    refused = refused_by_status("POST x", status, "No", headers, body, now=0.0, keyed=False)
    assert (refused.starting, refused.retryable) == (starting, True)
    assert ("until the model is there" in str(refused)) is starting


@pytest.mark.parametrize(
    ("details", "headers", "wait_s"),
    [
        ('[{"@type": "help"}, {"@type": "RetryInfo", "retryDelay": "34.5s"}]', {}, 34.5),
        ('[{"@type": "RetryInfo", "retryDelay": "34.5s"}]', {"retry-after": "2"}, 2.0),
        ('[{"retryDelay": "soon"}, 7]', {}, None),
        ('"soon"', {}, None),
    ],
)
def test_the_wait_may_stand_in_the_body(details, headers, wait_s):
    """Google names it there and in no header; where both are, the header counts."""
    body = f'{{"error": {{"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": {details}}}}}'
    headers = {"content-type": "application/json", **headers}
    refused = refused_by_status("POST x", 429, "No", headers, body.encode(), now=0.0, keyed=True)
    assert (refused.retry_after_s, refused.retryable) == (wait_s, True)
