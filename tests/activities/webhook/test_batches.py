"""Batch calls as their activities see them: one contact's mistake, a lost recording, and an early end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from temporalio.exceptions import ApplicationError

from activities.background import BATCH_WORKFLOW, BatchEnd
from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import WEBHOOK
from activities.content import Content
from activities.interface import Sent
from activities.webhook.batches import Batches
from runtime.store import Store
from runtime.store.batches import StoredBatch, StoredBatchItem
from tests.factories import delivery, present
from tests.fakes import Marks, Rows, Shelf, worker_context

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
BATCH = StoredBatch(
    id="batch-1", scenario="post-purchase", version=3, step="crm", delivery_id="msg_b", created_at=NOW, due_at=NOW
)
STEP: Mapping[str, Any] = {
    "webhook": "crm",
    "url": "https://crm.example.com/people",
    "headers": {"Authorization": "Bearer {{ secrets.CRM }}"},
    "batch": {"size": 10, "within": "1h"},
    "body": "[{% for person in contacts %}{% if person.contact.blocked %}{% abort 'blocked' %}{% endif %}"
    '"{{ person.contact.born }}"{% unless forloop.last %},{% endunless %}{% endfor %}]',
}


async def send(
    store: Store, workflow: str, contact: str, data: Mapping[str, Any], *, started: datetime | None = None
) -> Sent:
    environment = Marks().environment()
    environment.info = replace(environment.info, workflow_type=workflow, workflow_id=f"post-purchase/{contact}")
    if started is not None:
        environment.info = replace(environment.info, scheduled_time=started, started_time=started)
    content = Content(Shelf(STEP))
    context = worker_context(content, Rows(), transport=SimpleNamespace(), batches=Batches(store, content))
    webhooks = ChannelActivity[None](WEBHOOK, context)
    given = delivery("crm", contact=contact, data=dict(data), decided=datetime.now(UTC).timestamp())
    return await environment.run(sending_activity(webhooks), given)


def item(number: int) -> StoredBatchItem:
    return StoredBatchItem(
        delivery_id=f"msg_{number}",
        batch=BATCH.id,
        position=number,
        contact_id=str(number),
        workflow_id=f"post-purchase/{number}",
        data="d",
        joined_at=NOW,
    )


async def test_a_contact_for_whom_nothing_can_be_sent_does_not_join(store: Store) -> None:
    sent = await send(store, "Journey", "7", {"contact": {"blocked": True}})
    assert (sent.outcome, sent.reason) == ("skipped", "blocked")
    with pytest.raises(ApplicationError, match="The webhook cannot be rendered: the body"):
        await send(store, "Journey", "7", {"contact": {"blocked": False}})
    assert await store.take_place("post-purchase", 3, "crm", size=1, most=9, now=NOW) is None


@pytest.mark.parametrize("deferred", [0, 1])
async def test_a_batch_whose_recording_was_cut_short_is_not_sent_again(store: Store, deferred: int) -> None:
    await store.open_batch(BATCH)
    for number in (1, 2, 3):
        await store.join_batch(item(number))
    await store.defer_items(BATCH.id, [1] * deferred, 1, reason="busy")
    await store.record_item_outcomes(BATCH.id, "refused", NOW, positions=[2], status=207)
    if deferred:  # and the request for the first one was recorded
        await store.record_item_outcomes(BATCH.id, "refused", NOW, positions=[1], status=207)
    sent = await send(store, BATCH_WORKFLOW, BATCH.id, {})
    assert (sent.outcome, sent.status) == ("delivered", 207)
    assert [one.outcome for one in await store.batch_items(BATCH.id)] == [
        *("refused" if deferred else "unknown", "refused", "unknown")
    ]


async def test_nobody_joins_a_batch_that_ended_while_it_was_filled(store: Store) -> None:
    await store.open_batch(replace(BATCH, due_at=NOW + timedelta(hours=1)))
    batches = Batches(store, Content(Shelf(STEP)))
    await Marks().environment().run(batches.settle_batch, BatchEnd(batch=BATCH.id, step="crm", outcome="skipped"))
    assert await store.take_place("post-purchase", 3, "crm", size=1, most=9, now=NOW) is None
    assert not await store.join_batch(item(1))


async def test_a_batch_goes_by_the_time_of_the_server(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.webhook.batches.start_batch", AsyncMock())
    started, second = datetime(2100, 3, 2, 12, 0, tzinfo=UTC), timedelta(seconds=1)
    await send(store, "Journey", "7", {"contact": {"blocked": False, "born": "1990"}}, started=started)
    opened = present(await store.take_place("post-purchase", 3, "crm", size=1, most=9, now=started))
    assert started <= opened.created_at < started + second
    assert opened.due_at == opened.created_at + timedelta(hours=1)
    batches = Batches(store, Content(Shelf(STEP)))
    environment = Marks().environment()
    environment.info = replace(environment.info, started_time=started + timedelta(hours=2))
    await environment.run(batches.settle_batch, BatchEnd(batch=opened.id, step="crm", outcome="skipped"))
    settled = present(await store.stored_batch(opened.id))
    assert (settled.frozen_at, settled.ended_at) == (environment.info.started_time, environment.info.started_time)
