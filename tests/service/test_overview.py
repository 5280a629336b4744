"""The overview and the states of destinations: what the store and Temporal know of them, and what is well."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.converter import DataConverter
from temporalio.service import RPCStatusCode

from activities.webhook.destinations.destinations import Destination, Destinations
from runtime.api_keys import SCOPES
from runtime.store import Store
from runtime.store.batches import StoredBatch
from service import overview
from service.caller import TERMINAL, Caller
from service.client import Services
from service.destinations import LOOKED_AT
from service.errors import Forbidden
from service.held import HeldGroupKey
from service.overview import HeldCount, MissingWorkers
from tests.factories import TURNED_AWAY, present
from tests.search import Search
from tests.service.operations.test_retry_policy import NOW, activity, record, temporal

LIMITED = Caller("k", "key k", SCOPES, ["a"])
HOUR = timedelta(hours=1)


async def turned_away() -> PendingActivityInfo:
    refused = activity("webhook")
    await DataConverter.default.encode_failure(TURNED_AWAY.as_error(), refused.last_failure)
    return refused


async def test_without_trouble_all_is_well_though_a_delivery_is_retried(store: Store):
    search = Search(queues={"sms": (0, 0)})  # nobody sends any
    await record(store, "a/1")
    search.sending["a/1"] = [activity("webhook")]
    seen = await Services(search.client, store).overview.show(TERMINAL)
    assert (seen.well, seen.unknown, seen.held, seen.missing_workers, seen.campaigns) == (True, [], [], [], [])
    (wax,) = seen.retrying or []
    assert (wax.destination, wax.deliveries, wax.since, wax.paused) == ("wax", 1, NOW, False)
    assert (wax.why, wax.next_try_at) == ("wax answered 503 (attempt 2)", NOW + timedelta(minutes=5))
    assert seen.in_progress == 1


async def test_each_trouble_is_counted_and_nothing_is_well(store: Store):
    search = Search(queues={"journeys": (0, 0), "email": (0, 7)})
    search.hold(HeldGroupKey("a", "hook", "wax", "permanent"), 3)
    search.hold(HeldGroupKey("b", "hook", "wax", "permanent"), 2)
    search.hold(HeldGroupKey("b", "mail", None, "capped"))
    first = await record(store, "a/1", started_at=NOW - HOUR, attempt=1)
    await record(store, "a/1", delivery_id=first.delivery_id, attempt=2, started_at=NOW)
    await record(store, "b/2", scenario="b")
    await record(store, "b/3", scenario="b")  # it was skipped
    refused = await turned_away()
    search.sending |= {"a/1": [refused], "b/2": [refused]}
    for name, due in (("1", NOW - HOUR), ("2", NOW + HOUR)):
        batch = StoredBatch(id=name, scenario="b", version=1, step=name, delivery_id=name, created_at=NOW, due_at=due)
        await store.open_batch(batch)
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
):
    search = Search(error=RPCStatusCode.UNAVAILABLE)
    service = Services(search.client, store).overview
    seen = await service.show(TERMINAL)
    assert (seen.well, seen.held, seen.missing_workers) == (False, None, [])
    assert seen.unknown == ["held journeys: the Temporal server does not answer"]
    search.error = None
    assert (await service.show(TERMINAL)).unknown == seen.unknown
    monkeypatch.setattr(overview, "_AGAIN", timedelta(0))
    assert (await service.show(TERMINAL)).well


async def test_paused_destinations_come_first_and_those_without_waiting_deliveries_are_left_out(store: Store):
    for number in range(LOOKED_AT + 3):
        await record(store, f"a/{number}")
    await record(store, "a/90", destination="crm")
    await record(store, "a/91", destination="gone")  # it has been skipped since
    await record(store, "a/92", destination="delivered", next_try_at=None)
    await record(store, "a/93", destination="long-ago", started_at=NOW - timedelta(days=8))
    running = {f"a/{number}": [await turned_away()] for number in range(LOOKED_AT + 3)}
    service = Services(temporal({**running, "a/90": [activity("webhook")]}), store).destinations
    due = NOW + timedelta(minutes=5)
    assert [tuple(dict(one).values()) for one in await service.now(TERMINAL)] == [
        ("wax", LOOKED_AT + 3, True, "wax has failed too often", due),
        ("crm", 1, False, "wax answered 503 (attempt 2)", due),
    ]


async def test_failing_destinations_come_first_and_unused_ones_are_listed(store: Store):
    await record(store, "a/1")
    sent = await record(store, "a/2", destination="mail.example.com", outcome="delivered", next_try_at=None)
    await store.record([replace(sent, delivery_id="old", destination="ages-ago", started_at=NOW - timedelta(hours=2))])
    search = Search(sending={"a/1": [activity("webhook")]})
    search.hold(HeldGroupKey("a", "hook", "crm", "permanent"), 5)
    search.hold(HeldGroupKey("a", "other", "crm", "permanent"), 2)
    search.hold(HeldGroupKey("a", "x", None, None), 1)
    calm = Destination(name="calm", url="https://calm.example.com", rate=7.0)
    service = Services(search.client, store).destinations
    found = await service.states(TERMINAL, Destinations({"calm": calm}))
    assert [one.name for one in found.destinations] == ["wax", "crm", "calm", "mail.example.com"]
    wax, crm, named, mail = found.destinations
    now = present(wax.now)
    assert (now.waiting, now.why, wax.outcomes) == (1, "wax answered 503 (attempt 2)", {"retry": 1})
    assert (crm.held, crm.now, crm.attempts) == (7, None, 0)
    assert (named.named, named.attempts) == (calm, 0)
    assert (mail.named, mail.outcomes, mail.attempts) == (None, {"delivered": 1}, 1)
    assert not found.is_cut
    assert [one.name for one in (await service.states(TERMINAL, None)).destinations] == ["wax", "crm", mail.name]


async def test_a_key_for_some_scenarios_sees_no_destination(store: Store):
    service = Services(temporal({}), store).destinations
    for use in (service.now(LIMITED), service.states(LIMITED, None), service.in_progress(LIMITED, "wax", limit=1)):
        with pytest.raises(Forbidden, match="this key is limited to some scenarios"):
            await use
