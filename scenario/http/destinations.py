"""What scenarios have to know of the systems that webhooks go to: their names, and which secrets may go where.

The one rule of secrets: the check before publishing goes by it, and so does every delivery once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Known:
    """A destination, as far as it matters to those who write scenarios.

    Attributes:
        headers: The names of the headers that it sets itself.
        secrets: The secrets that the steps which name it may name.
        owners: The scenarios that may use it, or None for all.
    """

    headers: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()
    owners: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All destinations.

    Attributes:
        destinations: By name.
        public_secrets: The secrets that steps with a plain URL may name, wherever it leads.
    """

    destinations: Mapping[str, Known] = field(default_factory=dict[str, Known])
    public_secrets: frozenset[str] = frozenset()

    def granted(self, to: str | None) -> frozenset[str]:
        """The secrets that a step's url, headers and body may name; none where nobody knows the destination.

        Args:
            to: The destination that the step names; None = it has a plain URL.
        """
        if to is None:
            return self.public_secrets
        known = self.destinations.get(to)
        return known.secrets if known else frozenset()


def disowned(scenario: str, to: str) -> str:
    """Say that a scenario may not use a destination, and what to write so that it may."""
    return f"the scenario '{scenario}' may not use destination '{to}': list it under its 'owners' in destinations.yaml"


def denied(secret: str, to: str | None) -> str:
    """One sentence: a step names a secret that may not go where it sends, and what to write for it to go there.

    Args:
        secret: The secret's name.
        to: As for `Listing.granted`.
    """
    if to is not None:
        return f"the secret {secret} may not go to destination '{to}': list it under its 'secrets' in destinations.yaml"
    return (
        f"the secret {secret} may not go to a plain 'url': name a destination with 'to' that lists it under 'secrets' "
        "in destinations.yaml, or list it there under 'public_secrets' of 'default', which lets it go anywhere"
    )
