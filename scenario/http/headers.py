"""The request headers that nobody but the sender sets: neither a scenario, nor a destination.

The one list: the check before publishing, the check of `destinations.yaml` and every delivery go by it.
"""

from __future__ import annotations

from typing import Final

MAX_VALUE: Final = 4096
"""Characters of one value. Receivers refuse requests whose headers pass 8 KB in all."""

FRAMING: Final = frozenset(
    {
        # Whom the request is for, and where it ends: RFC 9110 §7.2, §8.6; RFC 9112 §6.1.
        "content-length", "expect", "host", "te", "trailer", "transfer-encoding",
        # Of one connection, not of the request: RFC 9110 §7.6.1.
        "connection", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
        "upgrade",
    }
)  # fmt: skip
"""Names that only the transport sets, in lower case."""

DENIED_NAMES: Final = FRAMING | {
    # How bodies are encoded: not at all, on either way.
    "accept-encoding", "content-encoding",
    # Set by whoever passes a request on.
    "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip",
    # Set for every delivery: Standard Webhooks, W3C Trace Context.
    "baggage", "idempotency-key", "traceparent", "tracestate", "webhook-id", "webhook-signature", "webhook-timestamp",
}  # fmt: skip
"""Names that nobody else may set, in lower case and with hyphens."""

DENIED_PREFIXES: Final = (
    "webhook-", "proxy-", "sec-", "x-amz-", "x-amzn-", "x-goog-", "x-google", "x-gfe", "x-azure-", "x-fd-", "x-envoy-",
    "cf-",
)  # fmt: skip
"""What the names of clouds' and proxies' own fields start with: a receiver behind them may trust these."""


def denied(name: str) -> bool:
    """Whether neither a scenario nor a destination may set this header.

    CGI and its heirs (RFC 3875 §4.1.18) hand ``Content_Length`` to a program as what ``Content-Length`` would be: an
    underscore is not a way around the list.

    Args:
        name: The header's name, in any case.
    """
    lowered = name.lower().replace("_", "-")
    return lowered in DENIED_NAMES or lowered.startswith(DENIED_PREFIXES)
