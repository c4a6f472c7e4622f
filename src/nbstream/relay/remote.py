"""
The relay that this process was told to use instead of starting one: `NBSTREAM_RELAY`, and its user's token.

TLS proves who it is; the token goes over that, or to this machine, and nowhere else. Keys stay here: it has its own.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from nbstream.errors import RelayError
from nbstream.options import TOKEN, options, relay_token
from nbstream.owner import USER_NAME
from nbstream.relay.address import Address
from nbstream.sources.http.fence import is_loopback


def remote() -> Address | None:
    """
    Return the relay to use, None for one of this machine's own.

    Raises `RelayError` with one line if its address or its token cannot be used.
    """
    url = options().relay.strip().rstrip("/")
    if not url:
        return None
    if url.count("://") > 1 or re.search(r"[\s,;]", url):
        raise RelayError("NBSTREAM_RELAY takes one address: several relays stand behind a proxy that has one name")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read here, since it is parsed only then
    except ValueError:
        raise _no_address() from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
        raise _no_address()
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise RelayError(f"NBSTREAM_RELAY={url}: a token goes over https only; http is for 127.0.0.1")
    token = relay_token()
    # What is no header is quoted in no error, so it is refused here.
    if not (USER_NAME.fullmatch(token.rpartition(".")[0]) and token.isascii() and token.isprintable()):
        raise RelayError(f"{TOKEN} holds no token of a relay: `nbstream relay token` makes one")
    return Address(url, token, pid=0, version="", host="", boot="", started=0.0, proves=False)


def _no_address() -> RelayError:
    return RelayError("NBSTREAM_RELAY must be an address like https://HOST:PORT, without user or query")
