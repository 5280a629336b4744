"""The step of an audience, from the published scenario to the store: whom it records, and whom it leaves out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.audience.activity import Memberships
from activities.audience.memberships import NO_MEMBER, MembershipBook
from activities.channel import sending_activity
from activities.content import Content
from activities.failures import FailureKind, failure_of
from activities.gate import PolicyGate
from activities.interface import Delivery, Sent
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Direct
from gateway.publishing import publish
from runtime.store import Store
from scenario.policies.policies import Policies
from tests.fakes import Marks, Rows, worker_context

SCENARIO = """\
scenario: vip
trigger: segment
subscription: {audience: Ads}
steps:
  - {audience: vip-buyers, id: join, to: meta}
  - {audience: vip-buyers, id: leave, to: meta, op: remove}
  - {audience: vip-buyers, id: lost, to: wax}
"""
DESTINATIONS = """\
destinations:
  meta: {url: https://a.example, audiences: {preset: meta, ids: {vip-buyers: "1"}}}
  wax: {url: https://b.example}
"""
# Rules for messages, of which this step is none.
POLICIES: dict[str, Any] = {
    "quiet_hours": {"from": "00:00", "to": "23:59", "days_off": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]},
    "caps": [{"name": "none", "at_most": 1, "per": "24h"}],
}
AGREED = [{"id": 53, "name": "Ads"}]
ZOE = {"email": "zoe@example.com", "lists": AGREED}
Change = Callable[..., Awaitable[Sent]]


@pytest.fixture
async def change(store: Store, tmp_path: Path) -> Change:
    scenario, destinations = tmp_path / "vip.yaml", tmp_path / "destinations.yaml"
    scenario.write_text(SCENARIO)
    destinations.write_text(DESTINATIONS)
    await publish(scenario, store)
    content = Content(store)
    gate = PolicyGate(content, store, lambda: Policies.model_validate(POLICIES), None)
    given = {"routes": Direct(DestinationsFile(destinations)), "memberships": MembershipBook(store)}
    memberships = Memberships(worker_context(content, Rows(), gate=gate, **given), None)
    delivery = Delivery(id="msg_1", scenario="vip@1", contact="7", decided=datetime(2026, 3, 3, tzinfo=UTC).timestamp())

    async def run(step: str, **contact: Any) -> Sent:
        wanted = replace(delivery, step=step, data={"contact": contact})
        return await Marks().environment().run(sending_activity(memberships), wanted)

    return run


async def test_a_change_is_recorded_whatever_the_rules_for_messages_say(change: Change, store: Store) -> None:
    assert await change("join", **ZOE) == Sent(status=202, attempt=1)
    assert await change("join", **ZOE) == Sent(status=202, attempt=1)
    [counts] = await store.audience_counts()
    assert (counts.destination, counts.audience, counts.waiting) == ("meta", "vip-buyers", 1)
    assert await change("leave") == Sent(status=202, attempt=1, note=NO_MEMBER)
    assert await store.audience_counts() == []


@pytest.mark.parametrize(
    ("contact", "reason"),
    [
        ({**ZOE, "lists": []}, "no consent: the contact is not on the list Ads"),
        ({**ZOE, "email": "zoe@"}, "the contact's e-mail address is malformed, and meta could not recognise it"),
        ({"lists": AGREED}, "the contact has no e-mail address and no telephone number"),
    ],
)
async def test_who_cannot_be_added_is_skipped(change: Change, store: Store, contact: Any, reason: str) -> None:
    assert await change("join", **contact) == Sent(outcome="skipped", attempt=1, reason=reason)
    assert await store.audience_counts() == []


async def test_a_destination_without_audiences_holds_the_step(change: Change) -> None:
    with pytest.raises(ApplicationError) as caught:
        await change("lost", **ZOE)
    failure = failure_of(caught.value)
    assert failure is not None
    assert (failure.kind, failure.reason) == (
        FailureKind.UNCONFIGURED,
        "Destination 'wax' has no audiences: add 'audiences' to it in destinations.yaml",
    )
