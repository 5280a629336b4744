"""The log of deliveries, counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from runtime.store import Store
from tests.runtime.store.test_deliveries import DELIVERED, FAILED, NOW

OTHER = replace(
    DELIVERED,
    delivery_id="msg_2",
    workflow_id="reward/8",
    scenario="reward",
    step="mail",
    channel="email",
    destination="smtp.example.com",
    contact_id="8",
)


async def test_outcomes_are_counted_by_destination_and_of_too_many_the_newest(store: Store) -> None:
    old = replace(FAILED, delivery_id="msg_0", started_at=NOW - timedelta(hours=2))
    await store.record([old, FAILED, DELIVERED, OTHER, replace(OTHER, delivery_id="msg_3")])
    found = await store.outcomes(since=NOW)
    assert found.by_destination == {
        "hooks.example.com": {"retry": 1, "delivered": 1},
        "smtp.example.com": {"delivered": 2},
    }
    assert not found.is_cut
    few = await store.outcomes(since=NOW, most=3)
    assert (sum(map(len, few.by_destination.values())), few.is_cut) == (2, True)
