"""URLs that a webhook may call, read strictly.

URL parsers disagree about odd input, and a guard must read the same host as the client. Only what RFC 3986 and all
parsers agree on is accepted: a literal scheme, a host name or a canonical address, a port, a path and a query. The
transport compares the client's own parsing, and judges every address before it dials.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote

from scenario.errors import ScenarioError
from scenario.http.addresses import Access, AddressKind, classify, permitted

_DOTTED: Final = re.compile(
    r"/(?:\.|%2e){1,2}(?=/|$)|(?:/|%2f|%5c)(?:\.|%2e){2}(?=[/;]|%2f|%5c|%3b|$)", re.ASCII | re.IGNORECASE
)


def is_dotted(path: str) -> bool:
    """Return True if a part of a path is ``.`` or ``..`` and would lead elsewhere (RFC 3986 §5.2.4).

    Some servers decode a path before they remove ``..``, and ignore what follows a semicolon in a part. Both are
    considered.

    Args:
        path: Begins with ``/`` and has no query.
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
