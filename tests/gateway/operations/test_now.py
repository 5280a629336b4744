"""How destinations stand."""

from __future__ import annotations

from datetime import timedelta

from temporalio.converter import DataConverter

from activities.failures import Failure, FailureKind
from gateway.client import ScenarioClient
from gateway.operations.now import LOOKED_AT, DestinationNow
from runtime.store import Store
from tests.gateway.operations.test_retry_policy import NOW, activity, record, temporal


async def test_destinations_that_are_left_alone_come_first_and_those_that_nobody_waits_for_are_left_out(
    store: Store,
) -> None:
    away = Failure(
        kind=FailureKind.RETRY,
        reason="wax has failed too often: this delivery waits",
        destination="wax",
        attempt=1,
        error="breaker_open",
        turned_away=True,
        why="wax has failed too often",
    )
    told = activity("webhook")
    await DataConverter.default.encode_failure(away.as_error(), told.last_failure)
    for number in range(LOOKED_AT + 3):
        await record(store, f"a/{number}")
    await record(store, "a/90", destination="crm")
    await record(store, "a/91", destination="gone")  # it has been skipped since
    await record(store, "a/92", destination="delivered", next_try_at=None)
    await record(store, "a/93", destination="long-ago", started_at=NOW - timedelta(days=8))
    under_way = {f"a/{number}": [told] for number in range(LOOKED_AT + 3)}
    client = ScenarioClient(temporal({**under_way, "a/90": [activity("webhook")]}), store)
    due = NOW + timedelta(minutes=5)
    assert await client.destinations_now() == [
        DestinationNow("wax", LOOKED_AT + 3, True, "wax has failed too often", due),
        DestinationNow("crm", 1, False, "wax answered 503 (attempt 2)", due),
    ]
