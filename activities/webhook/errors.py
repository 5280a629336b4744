"""Errors of attempts without a response.

Each has a *word* (``connect_refused``) for logs, metrics and the log of attempts; its row in `WORDS` has the effect on
the delivery. Messages contain no host, path, header value or payload, because they end up in Temporal's history and UI.
The library's own exceptions are never chained, because their text contains the URL.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from activities.outcome import Outcome, Verdict
from activities.webhook.circuit_breaker import HealthSignal


class FailureRule(NamedTuple):
    """The effect of an attempt without a response."""

    outcome: Outcome
    pulse: HealthSignal
    sentence: str  # for Temporal's UI, with an optional ``{detail}``
    unknown: bool = False  # True if the receiver may have carried it out; see `Verdict`


_refused = partial(FailureRule, Outcome.REFUSED, HealthSignal.NOTHING)
_ours = partial(FailureRule, Outcome.RETRY, HealthSignal.NOTHING)
_down = partial(FailureRule, Outcome.RETRY, HealthSignal.FAILING)
_misconfigured = partial(FailureRule, Outcome.RETRY_SHORT, HealthSignal.FAILING)
_unreadable = partial(FailureRule, Outcome.RETRY, HealthSignal.ALIVE)

WORDS: Final[dict[str, FailureRule]] = {
    # Ours to refuse (address, URL, header): nothing was sent.
    "refused_address": _refused(
        "The destination's name leads to an address that may not be called: "
        "check the name, or let operations allow the network for this destination.",
    ),
    "refused_url": _refused("The URL may not be called: {detail}."),
    "request_header_illegal": FailureRule(
        Outcome.PERMANENT, HealthSignal.NOTHING, "A request header may not be sent: {detail}."
    ),
    # Ours to fix.
    "pool_timeout": _ours("No connection to the destination came free in time: too many simultaneous deliveries."),
    "tls_files_unusable": FailureRule(
        Outcome.RETRY_SHORT,
        HealthSignal.NOTHING,
        "The certificate files set for the destination cannot be used ({detail}): check their paths and contents.",
    ),
    # No connection (DNS, TCP, TLS): the receiver has seen no request.
    "dns_nxdomain": _down("The destination's name does not exist in DNS: check its spelling."),
    "dns_timeout": _down("DNS gave no answer for the destination's name in time."),
    "dns_failed": _down("DNS could not resolve the destination's name ({detail})."),
    "connect_refused": _down("The destination refused the connection: nothing listens on that port."),
    "connect_timeout": _down("The destination did not accept the connection in time."),
    "connect_reset": _down("The destination closed the connection while it was being set up."),
    "connect_unreachable": _down("There is no network route to the destination."),
    "connect_failed": _down("The connection to the destination failed ({detail})."),
    "tls_handshake_timeout": _down("The destination did not finish the TLS handshake in time."),
    "tls_verify_failed": _misconfigured("The destination's certificate could not be verified ({detail})."),
    "tls_failed": _misconfigured("The TLS handshake with the destination failed ({detail})."),
    "http2_only": _misconfigured(
        "The destination speaks HTTP/2 only: let it, or the proxy in front of it, take HTTP/1.1 too."
    ),
    "tls_rejected": _misconfigured(
        "The destination rejected our side of the TLS connection ({detail}): check the client certificate.",
    ),
    # The request left without a usable answer: it may have been carried out.
    "reset_before_response": _down(
        "The connection broke before the destination answered: it may have received the request.",
        unknown=True,
    ),
    "disconnect_without_response": _down(
        "The destination closed the connection without an answer: it may have received the request.",
        unknown=True,
    ),
    "read_timeout": _down("The destination did not answer in time: it may have received the request.", unknown=True),
    # It answered, in no language we know.
    "malformed_response": _unreadable("The destination's answer is not valid HTTP."),
    "response_header_too_large": _unreadable("The headers of the destination's answer are too large."),
}
"""The effects of all words."""


class AttemptError(Exception):
    """An attempt without a response: it was refused, there was no connection, or no usable answer."""

    def __init__(self, word: str, *, detail: str = "") -> None:
        self.word = word  # a key of `WORDS`
        self.detail = detail  # some more words (an ``errno`` name, the failure of TLS verification), or ``""``
        outcome, self.pulse, sentence, unknown = WORDS[word]
        self.verdict = Verdict(outcome, word, unknown)
        super().__init__(sentence.format(detail=detail or "no detail"))


class RefusedError(AttemptError):
    """Our own rules forbid the attempt; nothing was sent and no forbidden address was dialled."""
