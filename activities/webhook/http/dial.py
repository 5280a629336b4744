"""Resolves names and opens sockets, with the guard at both places.

The resolver rejects a name's whole answer if one address is forbidden: a mix of public and private addresses is an
attack or a mistake. The socket factory checks the address again right before connecting, so that a forbidden one gets
no socket, whatever its source.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from activities.webhook.http.exchange import CURRENT, Phase, reached
from scenario.http.urls import Access, canonical, permitted

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the numeric addresses of a host name, or raises `LookupFailedError`."""

_THREADS: Final = 16
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class LookupFailedError(OSError):
    """A name that did not resolve. An `OSError`, because the client library passes on only those."""

    def __init__(self, word: str, detail: str = "") -> None:
        self.word = word  # ``dns_nxdomain``, ``dns_timeout``, ``dns_failed`` or ``refused_address``
        self.detail = detail  # the resolver's error name, or ``""``
        super().__init__(word)


class SystemLookup:
    """``getaddrinfo`` in its own threads.

    It has no timeout and cannot be cancelled. In asyncio's shared threads, a few unresponsive name servers would block
    everything else. A caller waits for `timeout` seconds.
    """

    def __init__(self, *, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dns")

    async def __call__(self, host: str) -> Sequence[str]:
        """Return the numeric addresses of a host name, or raise LookupFailedError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                return await loop.run_in_executor(self._threads, _getaddrinfo, host)
        except TimeoutError:
            raise LookupFailedError("dns_timeout") from None
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                raise LookupFailedError("dns_nxdomain") from None
            word = "dns_timeout" if error.errno == socket.EAI_AGAIN else "dns_failed"
            raise LookupFailedError(word, f"getaddrinfo error {error.errno}") from None
        except UnicodeError:
            raise LookupFailedError("dns_nxdomain", "not a valid name") from None

    def close(self) -> None:
        """Release the threads without waiting for unresponsive name servers."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str) -> Sequence[str]:
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for _, _, _, _, address in infos]


class GuardedResolver(AbstractResolver):
    """Resolves names, and rejects an answer with a forbidden address."""

    def __init__(self, lookup: Lookup, access: Access) -> None:
        self._lookup, self._access = lookup, access

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses to dial, in the resolver's order. Raise LookupFailedError if one is forbidden."""
        addresses = [canonical(address) for address in await self._lookup(host)]
        if not addresses:
            raise LookupFailedError("dns_nxdomain")
        if not all(permitted(address, self._access) for address in addresses):
            raise LookupFailedError("refused_address")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in dict.fromkeys(addresses)
        ]

    async def close(self) -> None:
        """Nothing to do: the look-up belongs to the transport."""


def socket_factory(access: Access) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Return the function that makes a connector's sockets."""

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        reached(Phase.CONNECTING)
        host = str(address[0])
        if not permitted(host, access) or (not access.allow_private and _own(host, access)):
            flight = CURRENT.get(None)
            if flight is not None:
                flight.denied = True
            raise OSError("address denied")  # the client library passes on no other errors
        return socket.socket(family, kind, protocol)

    return make


def _own(host: str, access: Access) -> bool:
    address = canonical(host)
    if any(address.version == network.version and address in network for network in access.allow_cidr):
        return False
    return not _binds_anything() and _binds(str(address))


@lru_cache(maxsize=1)
def _binds_anything() -> bool:
    """Return True if the kernel binds foreign addresses (``ip_nonlocal_bind``), which makes `_binds` meaningless."""
    return _binds("192.0.2.1")


def _binds(address: str) -> bool:
    # A socket can be bound to a local address only. UDP: nothing is sent, no port of a service is touched.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
