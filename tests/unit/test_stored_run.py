"""Calls that the server keeps: where they are read again and ended, and no way out of their address."""

import pytest

from nbstream.sources.formats.llamacpp import Conversation
from nbstream.sources.formats.stored_run import StoredRun
from nbstream.sources.http.call import Call

HEADERS = {"X-Api-Key": "k-123456"}


def post(url, **headers):
    """Return the call that started a run."""
    return Call.of("POST", url, json_body={"input": "q"}, headers={**HEADERS, **headers})


@pytest.mark.parametrize(
    ("url", "known", "place", "again", "cancel"),
    [
        ("https://h/v1/responses", "resp_1", None, "/responses/resp_1?stream=true", "/responses/resp_1/cancel"),
        ("https://h/v1/responses/", "r", 7, "/responses/r?stream=true&behind=7", "/responses/r/cancel"),
        ("https://h/v1/r?v=1&behind=3", "r", 7, "/r/r?v=1&stream=true&behind=7", "/r/r/cancel?v=1&behind=3"),
        ("https://h/v1/r", "v1_A.b-c=", "e/1&x", "/r/v1_A.b-c=?stream=true&behind=e%2F1%26x", "/r/v1_A.b-c=/cancel"),
    ],
)
def test_where_a_run_is_read_again_and_ended(url, known, place, again, cancel):
    """Beside the address that started it, with what else that one asked; the key goes along, the body does not."""
    run = StoredRun("behind", known, place)
    for call, method, expected in ((run.joining(post(url)), "GET", again), (run.cancelling(post(url)), "POST", cancel)):
        assert call is not None
        assert call.url == f"https://h/v1{expected}"
        assert (call.method, call.body, dict(call.headers)) == (method, None, HEADERS)


@pytest.mark.parametrize("known", [None, "", "..", "../../admin", "a/b", "a?b", "a#b", "a\nb", "-", 7, "x" * 513])
def test_an_id_that_would_lead_elsewhere_is_not_believed(known):
    """The id comes from the server: whatever could name another address than that of the run is no id."""
    run, call = StoredRun("behind", known), post("https://h/v1/responses")
    assert run.known is None
    assert run.cancelling(call) is None
    assert run.joining(call) is call


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/completion", ""), ("/v1/chat/completions", ""), ("/chat/completions", ""), ("/v1/completions", ""),
        ("/a/b/completion", "/a/b"), ("/a/v1/chat/completions", "/a"), ("/v1/responses", None), ("/", None),
    ],
)  # fmt: skip
def test_where_a_conversation_is_told_again_and_ended(path, root):
    """At the same server, also behind a proxy; an address that is none of llama.cpp's is left alone."""
    call, run = post(f"http://h{path}", **{"x-conversation-ID": "a b&c"}), Conversation()
    if root is None:
        assert run.cancelling(call) is None
        assert run.joining(call) is call
        return
    again, cancel = run.joining(call), run.cancelling(call)
    assert (again.method, again.url) == ("GET", f"http://h{root}/v1/stream?conv_id=a+b%26c&from=0")
    assert (cancel.method, cancel.url) == ("DELETE", f"http://h{root}/v1/stream?conv_id=a+b%26c")
    assert run.cancelling(post(f"http://h{path}")) is None
