"""What a webhook's destination is allowed to reach: decided by operations, never by a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Access:
    """Where the deliveries of one destination may go.

    The default is what every destination gets that says nothing, and every plain URL: HTTPS on port 443 to public
    unicast addresses.

    Attributes:
        allow_private: Also private unicast networks (RFC 1918, RFC 4193, RFC 6598, loopback). Never link-local,
            multicast, "this host" or a cloud's metadata address.
        allow_cidr: Further networks, each by name. Opens special-purpose ranges too, except those that are never right
            (see `scenario.http.addresses.AddressKind.NEVER`).
        allow_http: Also plain ``http``.
        ports: The TCP ports that may be called.
    """

    allow_private: bool = False
    allow_cidr: tuple[Network, ...] = ()
    allow_http: bool = False
    ports: tuple[int, ...] = (443,)
