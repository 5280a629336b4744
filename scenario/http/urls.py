"""URLs that a webhook may call, read strictly, and addresses that may be dialled.

URL parsers disagree about odd input, and a guard must read the same host as the client. Only what RFC 3986 and all
parsers agree on is accepted: a literal scheme, a host name or a canonical address, a port, a path and a query. The
transport compares the client's own parsing, and judges every address before it dials.

Addresses are public unicast ones, unless a destination's `Access` allows others. Operators decide on access, never a
scenario. Authors of scenarios choose URLs, and must not reach the worker's own network (SSRF). The numeric address that
is about to be dialled decides, so the spelling of a host makes no difference.

Sources: IANA special-purpose registries (RFC 6890 and updates), RFC 4291 §2.5.5 (embedded IPv4), RFC 6052 (NAT64), RFC
3056 (6to4), RFC 4380 (Teredo), RFC 7915 (SIIT), RFC 9602 (SRv6), RFC 9637 (documentation). Python's
`ipaddress.is_global` is not enough: it accepts multicast, NAT64, 6to4 (3.11), ``::/96`` and site-local addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import quote

from scenario.errors import ScenarioError

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
    """Return an address as the kernel treats it: an IPv4-mapped one as IPv4, and without its zone (``%eth0``).

    Raise ValueError if it is not a numeric address.
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
    """Return True if a destination may dial an address. Raise ValueError if it is not a numeric address.

    If ``allow_cidr`` opens an address that contains an IPv4 address, such as a NAT64 prefix, the IPv4 address must be
    allowed as well.
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
            start = next((start for network, start in _CARRIERS if target in network), None)
            return start is None or permitted(IPv4Address(target.packed[start : start + 4]), access)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


_DOTTED: Final = re.compile(
    r"/(?:\.|%2e){1,2}(?=/|$)|(?:/|%2f|%5c)(?:\.|%2e){2}(?=[/;]|%2f|%5c|%3b|$)", re.ASCII | re.IGNORECASE
)


def is_dotted(path: str) -> bool:
    """Return True if a part of a path (without a query) is ``.`` or ``..`` and would lead elsewhere (RFC 3986 §5.2.4).

    Some servers decode a path before they remove ``..``, and ignore what follows a semicolon in a part. Both are
    considered.
    """
    return bool(_DOTTED.search(path))


MAX_URL: Final = 8000
"""Maximum characters. RFC 9110 §4.1 asks receivers to support 8000 octets."""

_ANY_CASE: Final = re.ASCII | re.IGNORECASE
_SHAPE: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)", _ANY_CASE)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", _ANY_CASE)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_LONE_PERCENT: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
# Unreserved, sub-delims, and further characters of paths and queries (RFC 3986 §3.3, §3.4).
_LEFT_ALONE: Final = "-._~!$&'()*+,;=:@/?%"
# Names that only ever lead inwards: RFC 6761, RFC 6762 with its appendix G, RFC 7686, RFC 8375, ICANN's "internal" and
# the three names it keeps back since networks use them ("corp", "home", "mail"), Kubernetes' services.
_INWARD: Final = frozenset(
    {
        "corp", "home", "home.arpa", "internal", "intranet", "lan", "local", "localdomain", "localhost", "mail",
        "onion", "private", "svc",
    }
)  # fmt: skip
_MAX_HOST, _MAX_PORT = 253, 65535
_DEFAULT_PORT: Final = {"https": 443, "http": 80}


class UrlError(ScenarioError):
    """A URL that may not be called.

    Attributes:
        reason: A few words, without the URL: ``its scheme is not https``.
        is_address: True if its host is a forbidden address.
        openable: True if operators may allow it for a destination.
        scheme: The scheme, if that is wrong; and so is `port`.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_address: bool = False,
        openable: bool = False,
        scheme: str = "",
        port: int | None = None,
    ) -> None:
        self.reason, self.is_address, self.openable, self.scheme, self.port = reason, is_address, openable, scheme, port
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called."""

    url: str = field(repr=False)
    """The URL as it is sent, percent-encoded."""
    scheme: str
    host: str
    """Lower-case name or address, without brackets."""
    port: int

    @property
    def origin(self) -> str:
        """Scheme, host and port: the part that logs, summaries and spans may show."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@lru_cache(maxsize=256)
def parse(url: str, access: Access) -> Target:
    """Read a delivery's URL and check everything that needs no DNS. Raise UrlError if it may not be called."""
    if len(url) > MAX_URL:
        raise UrlError(f"it is longer than {MAX_URL} characters")
    if _CONTROL.search(url):
        raise UrlError("it holds a space, a backslash or a control character")
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise UrlError("it is not an absolute URL without a fragment, like https://host/path")
    scheme = shape["scheme"].lower()
    if scheme != "https" and not (scheme == "http" and access.allow_http):
        wanted = "https or http" if access.allow_http else "https"
        raise UrlError(f"its scheme is not {wanted}", openable=scheme == "http", scheme=scheme)
    if "@" in shape["authority"]:
        raise UrlError("it holds a user name before the host; credentials go into a header")
    authority = _AUTHORITY.fullmatch(shape["authority"])
    if authority is None:
        raise UrlError("its host is neither an ASCII name nor an address, or its port is not a number")
    host = _host(authority["host"].lower(), access)
    port = int(authority["port"] or _DEFAULT_PORT[scheme])
    if port not in access.ports or not 0 < port <= _MAX_PORT:
        raise UrlError(f"port {port} is not one that may be called there", openable=0 < port <= _MAX_PORT, port=port)
    rest = shape["rest"] or "/"
    if is_dotted(rest.partition("?")[0]):
        raise UrlError("its path holds a '.' or '..' segment")
    if not rest.startswith("/"):
        rest = "/" + rest
    rest = quote(_LONE_PERCENT.sub("%25", rest), safe=_LEFT_ALONE)
    shown = f"[{host}]" if ":" in host else host
    explicit = "" if port == _DEFAULT_PORT[scheme] else f":{port}"
    return Target(f"{scheme}://{shown}{explicit}{rest}", scheme, host, port)


def _host(host: str, access: Access) -> str:
    """Return the host without brackets."""
    try:
        if host.startswith("["):
            return _address(IPv6Address(host[1:-1]), access)
        if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            # A host that ends in a number is an IPv4 address to every resolver (WHATWG URL, "ends in a number"):
            # decimal, octal, hexadecimal and shortened forms are refused, whatever they would mean.
            return _address(IPv4Address(host), access)
    except AddressValueError:
        raise UrlError("its host looks like an address, but is not one in its usual form") from None
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlError("its host is not a valid name")
    inward = len(labels) == 1 or labels[-1] in _INWARD or ".".join(labels[-2:]) in _INWARD
    if inward and not (access.allow_private or access.allow_cidr):
        raise UrlError("its host is a name that only leads inside a network", openable=True)
    return name


def _address(address: IPv4Address | IPv6Address, access: Access) -> str:
    if not permitted(address, access):
        openable = classify(address) is not AddressKind.NEVER
        raise UrlError("its host is an address that is not public", is_address=True, openable=openable)
    return str(address)
