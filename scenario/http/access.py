"""The network access of a webhook's destination. Operators decide it, never a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Access:
    """The network access of one destination.

    The default, also for plain URLs, is HTTPS on port 443 to public unicast addresses.

    Attributes:
        allow_private: Also private unicast networks (RFC 1918, RFC 4193, RFC 6598, loopback), but never link-local,
            multicast, "this host" or a cloud's metadata address.
        allow_cidr: Further networks, also special-purpose ones except `scenario.http.addresses.AddressKind.NEVER`.
        allow_http: Also plain ``http``.
        ports: Allowed TCP ports.
    """

    allow_private: bool = False
    allow_cidr: tuple[Network, ...] = ()
    allow_http: bool = False
    ports: tuple[int, ...] = (443,)
