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

_WORKER_LOST: Final = "worker_lost"
"""The error of an attempt that ends the delivery because the attempt before it was lost with its worker."""

Word = Literal["delivered", "failed", "nothing"]


class UncertainView(View):
    """Held journeys whose message may have been delivered (`unknown`), by the last word of the log of attempts."""

    delivered: int = 0
    """Number of messages that the log has as delivered. A retry ends their steps as delivered, and sends nothing."""
    failed: int = 0
    """Number of messages whose last attempt failed, according to the log."""
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
        rows = [row for row in rows if row.delivery_id == rows[-1].delivery_id]
        if any(row.outcome == "delivered" for row in rows):
            return "delivered"
        last = rows[-1] if rows else None
        if last is not None and last.error == _WORKER_LOST:  # it sent nothing: the attempt before it is in doubt
            last = next((row for row in rows if row.attempt == last.attempt - 1), None)
        return "failed" if last is not None and last.outcome in ("failed", "retry") else "nothing"

    return UncertainView(**Counter[str](await gather_some(_AT_ONCE, look, journeys)))
