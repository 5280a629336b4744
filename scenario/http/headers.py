"""Request headers that neither a scenario nor a destination may set.

The check before publishing, the check of `destinations.yaml` and every delivery use this list.
"""

from __future__ import annotations

from typing import Final

MAX_VALUE: Final = 4096
"""Maximum characters of a value. Receivers reject requests with more than about 8 KB of headers."""

FRAMING: Final = frozenset(
    {
        # The host and the length of a request: RFC 9110 §7.2, §8.6; RFC 9112 §6.1.
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
"""Names that only the sender may set, in lower case, with hyphens."""

DENIED_PREFIXES: Final = (
    "webhook-", "proxy-", "sec-", "x-amz-", "x-amzn-", "x-goog-", "x-google", "x-gfe", "x-azure-", "x-fd-", "x-envoy-",
    "cf-",
)  # fmt: skip
"""Prefixes of headers that clouds and proxies set and receivers may trust."""


def denied(name: str) -> bool:
    """Return True if neither a scenario nor a destination may set a header, whatever the case of its name.

    CGI (RFC 3875 §4.1.18) treats ``Content_Length`` like ``Content-Length``, so underscores count as hyphens.
    """
    lowered = name.lower().replace("_", "-")
    return lowered in DENIED_NAMES or lowered.startswith(DENIED_PREFIXES)
