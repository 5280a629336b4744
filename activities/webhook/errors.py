"""Why an attempt got no answer, as one small tree of exceptions.

    AttemptError
    ├── RefusedError      our own rules said no: address, URL, header. Nothing left this machine
    ├── UnreachableError  no connection: names, TCP, TLS. The receiver has seen no request
    └── UnansweredError   the request left, and no usable answer came: it may have been acted upon

Each carries a *word* (``connect_refused``), which `activities.webhook.outcome` turns into a decision and which logs,
metrics and the record of attempts show. Messages name no host, path, header value or payload: they end up in
Temporal's history and in its UI. For the same reason they never chain the library's own exception, whose text holds
the URL.
"""

from __future__ import annotations

from typing import Final

SENTENCES: Final[dict[str, str]] = {
    "refused_address": "The destination's name leads to an address that may not be called: "
    "check the name, or let operations allow the network for this destination.",
    "refused_url": "The URL may not be called: {detail}.",
    "request_header_illegal": "A request header may not be sent: {detail}.",
    "dns_nxdomain": "The destination's name does not exist in DNS: check its spelling.",
    "dns_timeout": "DNS gave no answer for the destination's name in time.",
    "dns_failed": "DNS could not resolve the destination's name ({detail}).",
    "connect_refused": "The destination refused the connection: nothing listens on that port.",
    "connect_timeout": "The destination did not accept the connection in time.",
    "connect_reset": "The destination closed the connection while it was being set up.",
    "connect_unreachable": "There is no network route to the destination.",
    "connect_failed": "The connection to the destination failed ({detail}).",
    "pool_timeout": "No connection to the destination came free in time: too many deliveries at once.",
    "tls_verify_failed": "The destination's certificate could not be verified ({detail}).",
    "tls_handshake_timeout": "The destination did not finish the TLS handshake in time.",
    "tls_files_unusable": "The certificate files set for the destination cannot be used ({detail}): "
    "check their paths and contents.",
    "tls_failed": "The TLS handshake with the destination failed ({detail}).",
    "tls_rejected": "The destination rejected our side of the TLS connection ({detail}): check the client certificate.",
    "reset_before_response": "The connection broke before the destination answered: it may have received the request.",
    "disconnect_without_response": "The destination closed the connection without an answer: "
    "it may have received the request.",
    "read_timeout": "The destination did not answer in time: it may have received the request.",
    "malformed_response": "The destination's answer is not valid HTTP.",
    "response_header_too_large": "The headers of the destination's answer are too large.",
}
"""What each word means, for the person who reads it in Temporal's UI. ``{detail}`` is filled in where there is one."""


class AttemptError(Exception):
    """One try of a delivery that ended without a response.

    Attributes:
        word: Class of the failure, a key of `SENTENCES`; the input of `outcome.of_error`.
        detail: A few words more (an ``errno`` name, what TLS verification objected to), or ``""``.
        sent: Whether the request may have reached the receiver: False = certainly not, None = possibly,
            True = the receiver reacted to it.
        milliseconds: From the start of the attempt to its failure.
        reused: Whether the request went over a kept-alive connection.
    """

    sent: bool | None = False

    def __init__(
        self, word: str, *, detail: str = "", sent: bool | None = None, milliseconds: int = 0, reused: bool = False
    ) -> None:
        self.word = word
        self.detail = detail
        self.sent = type(self).sent if sent is None else sent
        self.milliseconds = milliseconds
        self.reused = reused
        super().__init__(SENTENCES[word].format(detail=detail or "no detail"))


class RefusedError(AttemptError):
    """Our own rules forbid the attempt; nothing was sent and no denied address was dialled."""


class UnreachableError(AttemptError):
    """No connection came about, so the receiver cannot have seen the request."""


class UnansweredError(AttemptError):
    """The request left over an open connection, and no usable answer came: the outcome may be unknown."""

    sent = None
