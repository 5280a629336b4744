"""Destinations as far as scenarios use them, their secrets, and headers that only the sender itself sets.

The check before publishing, that of `destinations.yaml` and every delivery use the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class KnownDestination:
    """A destination as authors of scenarios see it."""

    headers: tuple[str, ...] = ()
    """Names of the headers that it sets."""
    secrets: frozenset[str] = frozenset()
    """Secrets that its steps may use."""
    owners: frozenset[str] | None = None
    """Scenarios that may use it, or None for all."""
    has_audiences: bool = False


@dataclass(frozen=True, slots=True)
class KnownDestinations:
    """All destinations by name, and the secrets that steps with a plain URL may use."""

    destinations: Mapping[str, KnownDestination] = field(default_factory=dict[str, KnownDestination])
    public_secrets: frozenset[str] = frozenset()

    def granted(self, to: str | None) -> frozenset[str]:
        """Return the secrets for a destination, which has none if it is unknown, or for plain URLs."""
        if to is None:
            return self.public_secrets
        known = self.destinations.get(to)
        return known.secrets if known else frozenset()


def disowned(scenario: str, to: str) -> str:
    """Return the message that a scenario may not use a destination, and how to allow it."""
    return f"the scenario '{scenario}' may not use destination '{to}': list it under its 'owners' in destinations.yaml"


def without_audiences(to: str) -> str:
    """Return the message that a destination has no audiences, and how to add them."""
    return f"destination '{to}' has no audiences: add 'audiences' to it in destinations.yaml"


def denied_secret(secret: str, to: str | None) -> str:
    """Return the message that a secret may not go to a destination, or to a plain URL, and how to allow it."""
    if to is not None:
        return f"the secret {secret} may not go to destination '{to}': list it under its 'secrets' in destinations.yaml"
    return (
        f"the secret {secret} may not go to a plain 'url': name a destination with 'to' that lists it under 'secrets' "
        "in destinations.yaml, or list it there under 'public_secrets' of 'default', which lets it go anywhere"
    )


# ---- headers

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


def denied_header(name: str) -> bool:
    """Return True if neither a scenario nor a destination may set a header, whatever the case of its name.

    CGI (RFC 3875 §4.1.18) treats ``Content_Length`` like ``Content-Length``, so underscores count as hyphens.
    """
    lowered = name.lower().replace("_", "-")
    return lowered in DENIED_NAMES or lowered.startswith(DENIED_PREFIXES)
