"""
Where a call may go that somebody else asks for: a relay with many users calls from inside a network they are not in.

The address was allowed by name. A name may resolve to anything, at the second look to something else than at the first,
and an answer may redirect; so the address is looked up once, judged, and that very one is connected to.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from nbstream.errors import SourceLost, SourceRefused

#: IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


class Fence(NamedTuple):
    """
    No redirects, and public addresses only, unless *private* ones (loopback, link-local, a local network) are allowed.

    Which address may be asked at all is decided before a call gets its fence.
    """

    private: bool = False

    async def address(self, host: str, port: int) -> str:
        """Return the IP address to connect to; raises `SourceRefused`, or `SourceLost` for an unknown name."""
        found = _literal(host)
        if found is None:
            loop = asyncio.get_running_loop()
            try:
                infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError:
                raise SourceLost(f"cannot find the host {host}; check the address and the network") from None
            found = str(infos[0][4][0])
        if not self.private and not is_public(found):
            raise SourceRefused(f"{host} is at a private address, which the relay's list of upstreams does not allow")
        return found


def is_public(address: str) -> bool:
    """Whether *address* (IPv4 or IPv6) is one of the internet, and not of this machine, its network or its cloud."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine, by its name or address."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
