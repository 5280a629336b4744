"""Names to addresses to sockets, with the guard at both places.

The resolver refuses a name's whole answer if one address in it is denied: a name that mixes public and private
addresses is an attack or a mistake. The socket factory judges once more the very address that is about to be
connected to, so that whatever way it came (a literal, a cache), a denied one never gets a socket.
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
from scenario.http.access import Access
from scenario.http.addresses import canonical, permitted

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its numeric addresses; raises `LookupFailedError`. Tests put a lying one in."""

_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class LookupFailedError(OSError):
    """A name that did not resolve. An `OSError`, since the client library passes on only those.

    Attributes:
        word: ``dns_nxdomain``, ``dns_timeout``, ``dns_failed`` or ``refused_address``.
        detail: The resolver's error name, or ``""``.
    """

    def __init__(self, word: str, detail: str = "") -> None:
        self.word, self.detail = word, detail
        super().__init__(word)


class DeniedAddressError(OSError):
    """An address that may not be dialled. An `OSError`, since the client library passes on only those."""


class SystemLookup:
    """``getaddrinfo`` in threads of its own.

    It has no time-out and cannot be cancelled: in asyncio's shared threads, a handful of names whose servers are silent
    would hold up everything else that the process does in threads.

    Args:
        timeout: Seconds after which the caller stops waiting.
        threads: Look-ups at the same time.
    """

    def __init__(self, *, timeout: float = 5.0, threads: int = 16) -> None:
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    async def __call__(self, host: str) -> Sequence[str]:
        """Return the numeric addresses of a host name.

        Raises:
            LookupFailedError: No such name, no answer in time, or a failing resolver.
        """
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
        """Let the threads go, without waiting for silent name servers."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str) -> Sequence[str]:
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for _, _, _, _, address in infos]


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses a whole answer that holds one denied address.

    Args:
        lookup: Does the resolving.
        access: What may be dialled.
    """

    def __init__(self, lookup: Lookup, access: Access) -> None:
        self._lookup, self._access = lookup, access

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses to dial, in the resolver's order.

        Raises:
            LookupFailedError: Nothing found, or something that may not be dialled.
        """
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
    """Make the function that the connector asks for each socket, just before it connects it.

    Args:
        access: What may be dialled by the connector in question.
    """

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        reached(Phase.CONNECTING)
        host = str(address[0])
        if not permitted(host, access) or (not access.allow_private and _own(host, access)):
            flight = CURRENT.get(None)
            if flight is not None:
                flight.denied = True
            raise DeniedAddressError("address denied")
        return socket.socket(family, kind, protocol)

    return make


def _own(host: str, access: Access) -> bool:
    """Return whether the address is one of this machine's own, so that its own ports would be called."""
    address = canonical(host)
    if any(address.version == network.version and address in network for network in access.allow_cidr):
        return False
    return not _binds_anything() and _binds(str(address))


@lru_cache(maxsize=1)
def _binds_anything() -> bool:
    """True if the kernel binds addresses it does not have (``ip_nonlocal_bind``), which makes `_binds` meaningless."""
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
