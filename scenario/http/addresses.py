"""Addresses that may be dialled: public unicast ones, unless a destination's `Access` allows others.

Operators decide on access, never a scenario. Authors of scenarios choose URLs, and must not reach the worker's own
network (SSRF). The numeric address that is about to be dialled decides, so the spelling of a host makes no difference.

Sources: IANA special-purpose registries (RFC 6890 and updates), RFC 4291 §2.5.5 (embedded IPv4), RFC 6052 (NAT64), RFC
3056 (6to4), RFC 4380 (Teredo), RFC 7915 (SIIT), RFC 9602 (SRv6), RFC 9637 (documentation). Python's
`ipaddress.is_global` is not enough: it accepts multicast, NAT64, 6to4 (3.11), ``::/96`` and site-local addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Access:
    """The network access of one destination.

    The default, also for plain URLs, is HTTPS on port 443 to public unicast addresses.
    """

    allow_private: bool = False
    """Also private unicast networks (RFC 1918, RFC 4193, RFC 6598, loopback), but never link-local, multicast, "this
    host" or a cloud's metadata address."""
    allow_cidr: tuple[Network, ...] = ()
    """Further networks, also special-purpose ones except `AddressKind.NEVER`."""
    allow_http: bool = False
    ports: tuple[int, ...] = (443,)


Address = IPv4Address | IPv6Address


class AddressKind(Enum):
    """The kind of an address, which decides who may allow it."""

    PUBLIC = "public"
    """Public unicast: always allowed."""
    PRIVATE = "private"
    """Private unicast: allowed by ``allow_private`` or ``allow_cidr``."""
    SPECIAL = "special"
    """Reserved, documentation, transition mechanisms: allowed by ``allow_cidr`` only."""
    NEVER = "never"
    """Link-local, multicast, "this host", a cloud's metadata service: never allowed."""


def _v4(*networks: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(network) for network in networks)


def _v6(*networks: str) -> tuple[IPv6Network, ...]:
    return tuple(IPv6Network(network) for network in networks)


# Metadata services hand out credentials to whoever asks; several sit in ranges that are otherwise merely private.
_NEVER_V4: Final = _v4(
    "0.0.0.0/8",  # this host (Linux connects to itself)
    "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata of most clouds
    "224.0.0.0/4",  # multicast
    "255.255.255.255/32",  # broadcast
    "100.100.100.200/32",  # metadata, Alibaba
    "168.63.129.16/32",  # wire server, Azure
    "192.0.0.192/32",  # metadata, Oracle
)
_PRIVATE_V4: Final = _v4("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_SPECIAL_V4: Final = _v4(
    "192.0.0.0/24",  # IETF protocol assignments
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # 6to4 relays
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "240.0.0.0/4",  # reserved
)
_NEVER_V6: Final = _v6(
    "::/127",  # unspecified; ::1 is taken out below
    "fe80::/10",  # link-local
    "ff00::/8",  # multicast
    "fd00:ec2::/32",  # metadata and time, Amazon
    "fd20:ce::254/128",  # metadata, Google
)
_PRIVATE_V6: Final = _v6("fc00::/7")
_GLOBAL_V6: Final = IPv6Network("2000::/3")  # the only range allocated for unicast (RFC 4291 §2.4)
_SPECIAL_V6: Final = _v6(
    "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, benchmarks
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4: holds an IPv4 address
    "3fff::/20",  # documentation
    "2620:4f:8000::/48",  # AS112
)
_CARRIERS: Final = (
    (IPv6Network("64:ff9b::/96"), 12),  # NAT64
    (IPv6Network("64:ff9b:1::/48"), 12),  # NAT64 of a network's own (RFC 8215), with a prefix of 96 bits
    (IPv6Network("2002::/16"), 2),  # 6to4
    (IPv6Network("::ffff:0:0:0/96"), 12),  # SIIT
    (IPv6Network("::/96"), 12),  # "IPv4-compatible"
)
"""Networks whose addresses contain the IPv4 address that packets reach, and the byte at which it begins."""
_LOOPBACK_V6: Final = IPv6Address("::1")


def canonical(address: str | Address) -> Address:
    """Return the address as the kernel treats it: an IPv4-mapped one as IPv4, without a zone.

    Args:
        address: From ``getaddrinfo``: ``93.184.216.34``, ``2001:db8::1``, ``fe80::1%eth0``.

    Raises:
        ValueError: It is not a numeric address.
    """
    parsed = ip_address(address.partition("%")[0]) if isinstance(address, str) else address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


@lru_cache(maxsize=4096)
def classify(address: str | Address) -> AddressKind:
    """Return the kind of an address. Raise ValueError if it is not a numeric address."""
    match canonical(address):
        case IPv4Address() as v4:
            if _within(v4, _NEVER_V4):
                return AddressKind.NEVER
            if _within(v4, _PRIVATE_V4):
                return AddressKind.PRIVATE
            return AddressKind.SPECIAL if _within(v4, _SPECIAL_V4) else AddressKind.PUBLIC
        case IPv6Address() as v6:
            if v6 == _LOOPBACK_V6:
                return AddressKind.PRIVATE
            if _within(v6, _NEVER_V6):
                return AddressKind.NEVER
            if _within(v6, _PRIVATE_V6):
                return AddressKind.PRIVATE
            return AddressKind.PUBLIC if v6 in _GLOBAL_V6 and not _within(v6, _SPECIAL_V6) else AddressKind.SPECIAL


@lru_cache(maxsize=4096)
def permitted(address: str | Address, access: Access) -> bool:
    """Return True if a destination may dial an address.

    If ``allow_cidr`` opens an address that contains an IPv4 address, such as a NAT64 prefix, the IPv4 address must be
    allowed as well.

    Raises:
        ValueError: It is not a numeric address.
    """
    target = canonical(address)
    match classify(target):
        case AddressKind.PUBLIC:
            return True
        case AddressKind.NEVER:
            return False
        case AddressKind.PRIVATE if access.allow_private:
            return True
        case AddressKind.PRIVATE | AddressKind.SPECIAL:
            if not _within(target, access.allow_cidr):
                return False
            carried = _carried(target)
            return carried is None or permitted(carried, access)


def _carried(address: Address) -> IPv4Address | None:
    """Return the IPv4 address inside an IPv6 address, or None."""
    if not isinstance(address, IPv6Address):
        return None
    start = next((start for network, start in _CARRIERS if address in network), None)
    return None if start is None else IPv4Address(address.packed[start : start + 4])


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
