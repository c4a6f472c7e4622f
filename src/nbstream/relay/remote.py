"""
The relay that this process was told to use instead of starting one: `NBSTREAM_RELAY`, and its user's token.

TLS proves who it is; the token goes over that, or to this machine, and nowhere else. Keys stay here: it has its own.
"""

from __future__ import annotations

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
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
        raise RelayError("NBSTREAM_RELAY must be an address like https://HOST:PORT, without user or query")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise RelayError(f"NBSTREAM_RELAY={url}: a token goes over https only; http is for 127.0.0.1")
    token = relay_token()
    # What is no header is quoted in no error, so it is refused here.
    if not (USER_NAME.fullmatch(token.rpartition(".")[0]) and token.isascii() and token.isprintable()):
        raise RelayError(f"{TOKEN} holds no token of a relay: `nbstream relay token` makes one")
    return Address(url, token, pid=0, version="", host="", boot="", started=0.0, proves=False)
