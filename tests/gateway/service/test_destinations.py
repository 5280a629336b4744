"""The states of destinations: their configuration, their attempts, and what waits for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.converter import DataConverter

from activities.webhook.destinations.destinations import Destination, Destinations
from gateway.errors import Forbidden
from gateway.service.caller import TERMINAL, Caller
from gateway.service.destinations import LOOKED_AT, DestinationService
from gateway.service.held import HeldGroup, HeldGroupKey, HeldGroups, HeldService
from runtime.api_keys import SCOPES
from runtime.store import Store
from tests.factories import TURNED_AWAY
from tests.gateway.operations.test_retry_policy import NOW, activity, record, temporal


async def test_paused_destinations_come_first_and_those_without_waiting_deliveries_are_left_out(store: Store) -> None:
    refused = activity("webhook")
    await DataConverter.default.encode_failure(TURNED_AWAY.as_error(), refused.last_failure)
    for number in range(LOOKED_AT + 3):
        await record(store, f"a/{number}")
    await record(store, "a/90", destination="crm")
    await record(store, "a/91", destination="gone")  # it has been skipped since
    await record(store, "a/92", destination="delivered", next_try_at=None)
    await record(store, "a/93", destination="long-ago", started_at=NOW - timedelta(days=8))
    running = {f"a/{number}": [refused] for number in range(LOOKED_AT + 3)}
    service = service_of(temporal({**running, "a/90": [activity("webhook")]}), store)
    due = NOW + timedelta(minutes=5)
    assert [tuple(dict(one).values()) for one in await service.now(TERMINAL)] == [
        ("wax", LOOKED_AT + 3, True, "wax has failed too often", due),
        ("crm", 1, False, "wax answered 503 (attempt 2)", due),
    ]


class Held:
    """Groups of held journeys that search finds."""

    def __init__(self, *found: HeldGroup) -> None:
        self._found = HeldGroups(total=sum(one.count for one in found), groups=found)

    async def groups(self, _: Caller) -> HeldGroups:
        return self._found


def service_of(client: Any, store: Store, *held: HeldGroup) -> DestinationService:
    return DestinationService(client, store, cast("HeldService", Held(*held)))


async def test_failing_destinations_come_first_and_unused_ones_are_listed(store: Store) -> None:
    await record(store, "a/1")
    sent = await record(store, "a/2", destination="mail.example.com", outcome="delivered", next_try_at=None)
    await store.record([replace(sent, delivery_id="old", destination="ages-ago", started_at=NOW - timedelta(hours=2))])
    at = HeldGroupKey("a", "hook", "crm", "permanent")
    held = [
        HeldGroup(at=at, count=5, samples=()),
        HeldGroup(at=at._replace(step="other"), count=2, samples=()),
        HeldGroup(at=HeldGroupKey("a", "x", None, None), count=1, samples=()),
    ]
    calm = Destination(name="calm", url="https://calm.example.com", rate=7.0)
    service = service_of(temporal({"a/1": [activity("webhook")]}), store, *held)
    found = await service.states(TERMINAL, Destinations({"calm": calm}))
    assert [one.name for one in found.destinations] == ["wax", "crm", "calm", "mail.example.com"]
    wax, crm, named, mail = found.destinations
    assert wax.now is not None
    assert (wax.now.waiting, wax.now.why, wax.outcomes) == (1, "wax answered 503 (attempt 2)", {"retry": 1})
    assert (crm.held, crm.now, crm.attempts) == (7, None, 0)
    assert (named.named, named.attempts) == (calm, 0)
    assert (mail.named, mail.outcomes, mail.attempts) == (None, {"delivered": 1}, 1)
    assert not found.is_cut
    assert [one.name for one in (await service.states(TERMINAL, None)).destinations] == ["wax", "crm", mail.name]


async def test_a_key_for_some_scenarios_sees_no_destination(store: Store) -> None:
    service, limited = service_of(temporal({}), store), Caller("k", "key k", SCOPES, ["a"])
    for use in (service.now(limited), service.states(limited, None), service.in_progress(limited, "wax", limit=1)):
        with pytest.raises(Forbidden, match="this key is limited to some scenarios"):
            await use
