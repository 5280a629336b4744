"""What a worker keeps in its store, in memory: a published version to read, and the attempts on record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.store import Attempt


@dataclass
class Version:
    """A published version."""

    document: Mapping[str, Any]
    scenario: str = "post-purchase"
    version: int = 3
    plan: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Shelf:
    """Published versions, of which there is one: ``post-purchase@3``.

    Args:
        steps: Its steps, as they stand in the document.
    """

    def __init__(self, *steps: Mapping[str, Any]) -> None:
        self._only = Version({"scenario": "post-purchase", "trigger": "order", "steps": list(steps)})

    async def newest(self, scenario: str) -> int | None:
        """The number of the one, where it is asked for."""
        return self._only.version if scenario == self._only.scenario else None

    async def version(self, scenario: str, version: int) -> Version | None:
        """The one, where it is asked for."""
        return self._only if (scenario, version) == (self._only.scenario, self._only.version) else None


class Rows(list[Attempt]):
    """Attempts on record, in the order in which they were made."""

    def put(self, attempt: Attempt) -> None:
        """Puts one on record."""
        self.append(attempt)
