"""The places that a journal may be kept in.

A journal is a series of batches, in monthly segments. A place keeps each segment for `KEPT`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final, Protocol

from activities.journal.batch import JournalBatch

KEPT: Final = timedelta(days=400)
"""Age after which a segment may be deleted. An older backup of the store cannot be brought up to date."""


class JournalPlace(Protocol):
    """A place that batches are appended to. All calls raise JournalUnavailable if it cannot be used now."""

    name: str  # as in SCENARIO_JOURNAL, without a secret
    is_shared: bool
    """True if all processes certainly see the same journal, so that one that has lost its entries may continue."""

    async def begin(self) -> None:
        """Make the place, if it does not exist."""
        ...

    async def append(self, batch: JournalBatch) -> None: ...

    async def last(self) -> int:
        """Return the number of the last entry, or 0."""
        ...

    def batches(self) -> AsyncIterator[JournalBatch]:
        """Yield all batches in the order in which they were written."""
        ...
