"""Held messages that may have been delivered, by what the log of attempts says about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from runtime.store import Store
from scenario.words import HeldCause
from service.concurrency import gather_some
from service.listing import JourneySummary
from service.view import View

UNKNOWN: Final = HeldCause.UNKNOWN
COUNTED: Final = 1_000  # maximum number of journeys that are looked up
_AT_ONCE: Final = 20
_ATTEMPTS: Final = 50  # the newest ones of a step, which include a delivered one: only lost attempts follow it

Word = Literal["delivered", "failed", "nothing"]


class UncertainView(View):
    """Held journeys whose message may have been delivered (`unknown`), by the last word of the log of attempts."""

    delivered: int = 0
    """Number of messages that the log has as delivered. A retry ends their steps as delivered, and sends nothing."""
    failed: int = 0
    """Number of messages whose last attempt in the log failed."""
    nothing: int = 0
    """Number of messages about which the log says nothing, or only that their outcome is unknown."""

    @property
    def total(self) -> int:
        return self.delivered + self.failed + self.nothing

    def __str__(self) -> str:
        return (
            f"the log of attempts says delivered for {self.delivered:,}, failed for {self.failed:,}, "
            f"nothing for {self.nothing:,}"
        )


async def count_uncertain(store: Store, journeys: Sequence[JourneySummary]) -> UncertainView:
    """Look up held journeys in the log of attempts, and count them."""

    async def look(journey: JourneySummary) -> Word:
        rows = await store.deliveries(journey.id, step=journey.step, limit=_ATTEMPTS)
        # In a repeat, earlier deliveries of the step have other ids.
        words = [row.outcome for row in rows if row.delivery_id == rows[-1].delivery_id]
        if "delivered" in words:
            return "delivered"
        return "failed" if words and words[-1] in ("failed", "retry") else "nothing"

    return UncertainView(**Counter[str](await gather_some(_AT_ONCE, look, journeys)))
