"""Names and secrets of destinations, as far as scenarios use them.

The check before publishing and every delivery use the same rule for secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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


def denied(secret: str, to: str | None) -> str:
    """Return the message that a secret may not go to a destination, or to a plain URL, and how to allow it."""
    if to is not None:
        return f"the secret {secret} may not go to destination '{to}': list it under its 'secrets' in destinations.yaml"
    return (
        f"the secret {secret} may not go to a plain 'url': name a destination with 'to' that lists it under 'secrets' "
        "in destinations.yaml, or list it there under 'public_secrets' of 'default', which lets it go anywhere"
    )
