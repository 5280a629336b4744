"""Translates the client library's exceptions into the words of `activities.webhook.errors`.

Their texts contain the URL, so only error numbers and names of OpenSSL and the operating system are kept.
"""

from __future__ import annotations

import errno
import re
import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from activities.webhook.errors import AttemptError, RefusedError, UnansweredError, UnreachableError
from activities.webhook.http.dial import LookupFailedError
from activities.webhook.http.exchange import Flight, Phase

_TOO_LATE: Final = {
    Phase.QUEUED: "pool_timeout",
    Phase.RESOLVING: "dns_timeout",
    Phase.CONNECTING: "connect_timeout",
    Phase.HANDSHAKE: "tls_handshake_timeout",
}
_CONNECT: Final = {
    errno.ECONNREFUSED: "connect_refused",
    errno.ECONNRESET: "connect_reset",
    errno.EPIPE: "connect_reset",
    errno.ECONNABORTED: "connect_reset",
    errno.ETIMEDOUT: "connect_timeout",
    errno.EHOSTUNREACH: "connect_unreachable",
    errno.ENETUNREACH: "connect_unreachable",
    errno.EADDRNOTAVAIL: "connect_unreachable",
    errno.EAFNOSUPPORT: "connect_unreachable",
}
_ALPN: Final = "no application protocol"  # RFC 7301 §3.2: of what we offer, HTTP/1.1, it speaks nothing
_WORDS: Final = re.compile(r".*\] (.*) \(_ssl\.c:.*", re.DOTALL)
# The peer went away in mid-handshake, as restarting load balancers do; not a matter of configuration.
_ABRUPT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def too_late(flight: Flight) -> AttemptError:
    """Return the error for an attempt that timed out before a response began."""
    word = _TOO_LATE.get(flight.phase)
    if word is None:
        return UnansweredError("read_timeout")
    return UnreachableError(word)


def translate(error: aiohttp.ClientError | OSError, flight: Flight) -> AttemptError:
    """Return the error for an exception that the client library raised before the response's headers were complete."""
    if flight.denied and flight.phase < Phase.SENDING:  # unless another address of the name took the request
        return RefusedError("refused_address")
    match error:
        case aiohttp.ClientConnectorDNSError(os_error=LookupFailedError(word="refused_address")):
            return RefusedError("refused_address")
        case aiohttp.ClientConnectorDNSError(os_error=LookupFailedError(word=word, detail=detail)):
            return UnreachableError(word, detail=detail)
        case aiohttp.ClientConnectorCertificateError(certificate_error=reason):
            return UnreachableError("tls_verify_failed", detail=_verification(reason))
        case aiohttp.ClientConnectorError(os_error=ssl.SSLError() as reason):
            if isinstance(reason, _ABRUPT):
                return UnreachableError("connect_reset", detail=reason.reason or "")
            said = _said(reason)
            return UnreachableError(
                "http2_only" if _ALPN in said.lower().replace("_", " ") else "tls_failed", detail=said
            )
        case aiohttp.ClientConnectorError(os_error=reason):
            # asyncio gives no number where the peer hangs up in mid-handshake.
            number = reason.errno or (errno.ECONNRESET if isinstance(reason, ConnectionError) else 0)
            return UnreachableError(_CONNECT.get(number, "connect_failed"), detail=errno.errorcode.get(number, ""))
        case aiohttp.InvalidURL():
            return RefusedError("refused_url", detail="the client library cannot read it")
        case aiohttp.ConnectionTimeoutError() | TimeoutError():
            return too_late(flight)
        case aiohttp.ServerDisconnectedError():
            return UnansweredError("disconnect_without_response")
        case aiohttp.ClientResponseError():
            large = any(isinstance(cause, LineTooLong) for cause in _causes(error))
            return UnansweredError("response_header_too_large" if large else "malformed_response")
        case _:
            # TLS 1.3 lets a client send before the server has judged its certificate: the alert comes later.
            alert = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
            if alert is not None and "alert" in (said := _said(alert)).lower():
                return UnansweredError("tls_rejected", detail=said)
            if flight.phase < Phase.SENDING:
                return UnreachableError("connect_failed")
            return UnansweredError("reset_before_response")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__
    return found


def _said(error: ssl.SSLError) -> str:
    """Return OpenSSL's name of a failure, or its own few words."""
    return error.reason or _WORDS.sub(r"\1", str(error))


def _verification(reason: Exception) -> str:
    # OpenSSL's sentence may go on with the name it was asked for: "..., certificate is not valid for 'x'".
    text = reason.verify_message if isinstance(reason, ssl.SSLCertVerificationError) else ""
    return text.partition(",")[0].partition(" for '")[0]
