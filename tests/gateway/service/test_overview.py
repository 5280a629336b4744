"""Is everything well? What the overview finds in the store and in Temporal, and what it calls well."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.converter import DataConverter
from temporalio.service import RPCStatusCode

from gateway.client import Services
from gateway.service import overview
from gateway.service.caller import TERMINAL, Caller
from gateway.service.held import HeldGroupKey
from gateway.service.overview import HeldCount, MissingWorkers
from runtime.api_keys import SCOPES
from runtime.store import Store
from runtime.store.batches import StoredBatch
from tests.factories import TURNED_AWAY
from tests.gateway.operations.test_retry_policy import NOW, activity, record
from tests.gateway.search import Search

LIMITED = Caller("k", "key k", SCOPES, ["a"])
HOUR = timedelta(hours=1)


async def test_without_trouble_all_is_well_though_a_delivery_is_retried(store: Store) -> None:
    search = Search(queues={"sms": (0, 0)})  # nobody sends any
    await record(store, "a/1")
    search.sending["a/1"] = [activity("webhook")]
    seen = await Services(search.client, store).overview.show(TERMINAL)
    assert (seen.well, seen.unknown, seen.held, seen.missing_workers, seen.campaigns) == (True, [], [], [], [])
    (wax,) = seen.retrying or []
    assert (wax.destination, wax.deliveries, wax.since, wax.paused) == ("wax", 1, NOW, False)
    assert (wax.why, wax.next_try_at) == ("wax answered 503 (attempt 2)", NOW + timedelta(minutes=5))
    assert seen.in_progress == 1


async def test_each_trouble_is_counted_and_nothing_is_well(store: Store) -> None:
    search = Search(queues={"journeys": (0, 0), "email": (0, 7)})
    search.hold(HeldGroupKey("a", "hook", "wax", "permanent"), 3)
    search.hold(HeldGroupKey("b", "hook", "wax", "permanent"), 2)
    search.hold(HeldGroupKey("b", "mail", None, "capped"))
    first = await record(store, "a/1", started_at=NOW - HOUR, attempt=1)
    await record(store, "a/1", delivery_id=first.delivery_id, attempt=2, started_at=NOW)
    await record(store, "b/2", scenario="b")
    await record(store, "b/3", scenario="b")  # it was skipped
    refused = activity("webhook")
    await DataConverter.default.encode_failure(TURNED_AWAY.as_error(), refused.last_failure)
    search.sending |= {"a/1": [refused], "b/2": [refused]}
    for name, due in (("1", NOW - HOUR), ("2", NOW + HOUR)):
        await store.open_batch(
            StoredBatch(id=name, scenario="b", version=1, step=name, delivery_id=name, created_at=NOW, due_at=due)
        )
    service = Services(search.client, store).overview
    seen = await service.show(TERMINAL)
    assert not seen.well
    assert seen.held == [HeldCount(cause="permanent", journeys=5), HeldCount(cause="capped", journeys=1)]
    assert [(one.deliveries, one.since, one.paused) for one in seen.retrying or ()] == [(3, NOW - HOUR, True)]
    assert seen.missing_workers == [MissingWorkers(queue="journeys", tasks=0), MissingWorkers(queue="email", tasks=7)]
    assert (seen.batches.open, seen.batches.overdue, seen.batches.oldest_due_at) == (2, 1, NOW - HOUR)
    theirs = await service.show(LIMITED)
    assert theirs.held == [HeldCount(cause="permanent", journeys=3)]
    assert [(one.deliveries, one.paused, one.why) for one in theirs.retrying or ()] == [(1, None, None)]
    assert (theirs.in_progress, theirs.batches.open, seen.outgoing, theirs.outgoing) == (1, 0, [], None)


async def test_what_cannot_be_determined_is_not_called_well_and_soon_looked_for_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(error=RPCStatusCode.UNAVAILABLE)
    service = Services(search.client, store).overview
    seen = await service.show(TERMINAL)
    assert (seen.well, seen.held, seen.missing_workers) == (False, None, [])
    assert seen.unknown == ["held journeys: the Temporal server does not answer"]
    search.error = None
    assert (await service.show(TERMINAL)).unknown == seen.unknown
    monkeypatch.setattr(overview, "_AGAIN", timedelta(0))
    assert (await service.show(TERMINAL)).well
