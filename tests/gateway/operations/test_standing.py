"""How destinations stand: as their file says, and by what was sent to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from activities.webhook.destinations.destinations import Destination, Destinations
from gateway.operations.standing import standings
from gateway.service.held import HeldGroup, HeldGroupKey, HeldGroups
from runtime.store import Store
from tests.gateway.operations.test_retry_policy import NOW, activity, record, temporal

NOBODY = HeldGroups(total=0, groups=())


async def test_what_is_in_trouble_comes_first_and_what_nothing_was_sent_to_is_there_too(store: Store) -> None:
    await record(store, "a/1")
    sent = await record(store, "a/2", destination="mail.example.com", outcome="delivered", next_try_at=None)
    await store.record([replace(sent, delivery_id="old", destination="ages-ago", started_at=NOW - timedelta(hours=2))])
    at = HeldGroupKey("a", "hook", "crm", "permanent")
    held = HeldGroups(
        total=8,
        groups=(
            HeldGroup(at=at, count=5, samples=()),
            HeldGroup(at=at._replace(step="other"), count=2, samples=()),
            HeldGroup(at=HeldGroupKey("a", "x", None, None), count=1, samples=()),
        ),
    )
    calm = Destination(name="calm", url="https://calm.example.com", rate=7.0)
    client = temporal({"a/1": [activity("webhook")]})
    found = await standings(client, store, Destinations({"calm": calm}), held)
    assert [one.name for one in found.destinations] == ["wax", "crm", "calm", "mail.example.com"]
    wax, crm, named, mail = found.destinations
    assert wax.now is not None
    assert (wax.now.waiting, wax.now.why, wax.outcomes) == (1, "wax answered 503 (attempt 2)", {"retry": 1})
    assert (crm.held, crm.now, crm.attempts) == (7, None, 0)
    assert (named.named, named.attempts) == (calm, 0)
    assert (mail.named, mail.outcomes, mail.attempts) == (None, {"delivered": 1}, 1)
    assert not found.is_cut


async def test_without_a_file_there_are_those_that_something_was_sent_to(store: Store) -> None:
    assert (await standings(temporal({}), store, None, NOBODY)).destinations == ()
