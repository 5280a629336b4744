"""The differences between the store and Temporal, as people and programs see them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """A kind of difference."""

    AHEAD = "ahead"
    UNADMITTED = "unadmitted"
    LOST = "lost"
    OVER = "over"
    UNKNOWN = "unknown"
    REVIVED = "revived"
    ERASED = "erased"
    DIFFERENT = "different"


class KindWords(NamedTuple):
    """A kind of difference in words."""

    what: str
    repair: str
    """What a repair does."""


MEANINGS: Final = {
    Kind.AHEAD: KindWords("journeys that have sent messages which Temporal does not know of", "terminated, and 'lost'"),
    Kind.UNADMITTED: KindWords("acknowledged entries that Temporal has lost", "forgotten: send them again"),
    Kind.LOST: KindWords("journeys that run in the store, and that Temporal does not have", "ended as 'lost'"),
    Kind.OVER: KindWords("journeys that run in the store, and have ended in Temporal", "ended as in Temporal"),
    Kind.UNKNOWN: KindWords("journeys that Temporal has, and the store does not", "written back"),
    Kind.REVIVED: KindWords(
        "journeys that are over in the store, and run in Temporal", "terminated; those that were 'lost' run again"
    ),
    Kind.ERASED: KindWords("journeys of erased contacts that Temporal has", "being erased again"),
    Kind.DIFFERENT: KindWords("journeys that ended otherwise in Temporal", "corrected"),
}
NOT_COMPARED: Final = (
    "entries and events that came in and are on neither side: have your platform send them again",
    "suppressions: import what your platform and your mail server's log know of unsubscribes and bounces",
    "places under caps: contacts may get more than caps allow, until these look back no further",
    "published versions: publish the same files in the same order",
    "keys of contacts: data encrypted with them cannot be read",
    "erased contacts, closed scenarios, API keys: erase, close, make and revoke them again",
    "goals reached, people per step, the log of attempts: data since the backup is missing",
)
"""Losses that neither side can show."""


class Discrepancy(BaseModel):
    """A journey that stands otherwise in the store than in Temporal; `trouble`: why it is not repaired, what to do."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    id: str
    run: str | None = None
    store: str | None = None
    temporal: str | None = None
    repaired: bool = False
    trouble: str | None = None


class MissingVersion(BaseModel):
    """A published version that running journeys follow, and that the store lacks."""

    version: str  # name and number
    journeys: int


class Reconciliation(BaseModel):
    """The result of a comparison."""

    namespace: str
    repair: bool
    since: datetime  # journeys that ended before were not compared
    running_in_store: int = 0
    running_in_temporal: int = 0
    ended_in_temporal: int = 0
    counts: dict[Kind, int] = Field(default_factory=dict[Kind, int])
    repaired: dict[Kind, int] = Field(default_factory=dict[Kind, int])
    missing_versions: list[MissingVersion] = Field(default_factory=list[MissingVersion])  # to publish again
    not_compared: tuple[str, ...] = NOT_COMPARED

    @property
    def is_clean(self) -> bool:
        """Return True if nothing differs, or all that differed was repaired."""
        return not self.missing_versions and self.counts == self.repaired

    def add(self, finding: Discrepancy) -> None:
        for numbers in (self.counts, *([self.repaired] if finding.repaired else [])):
            numbers[finding.kind] = numbers.get(finding.kind, 0) + 1
