"""An audience is kept in sync: only differences are sent, each batch with the same bytes, whatever happens."""

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.audience import sync
from activities.audience.sync import (
    NO_MEMBER,
    SYNCED,
    VALIDATED,
    AudienceActivities,
    MembershipBook,
    start_audience_syncs,
)
from activities.background import AUDIENCE_WORKFLOW, AudienceBatch
from activities.channel_registry import WEBHOOK
from activities.interface import JOURNEYS
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter
from activities.webhook.platform import PlatformCalls
from activities.webhook.route import Direct
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.store import Store
from runtime.store.memberships import AudienceCounts
from runtime.store.schema import erased_name
from service.batches import MembershipService
from service.caller import TERMINAL
from service.errors import BadOperation
from tests.activities.webhook.faults import Behaviour, Receiver, answer, receiver
from tests.stage import failure_of, worker
from workflows.background import SyncAudience

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
WHERE = ("crm", "vip-buyers")
DESTINATIONS = """\
destinations:
  crm: {{url: {url}, audiences: {{preset: generic, size: 3}}, breaker: off, {access}}}
  ads:
    {{url: {url}, audiences: {{preset: google, account: "1", terms_of_service: accepted, ids: {{vip: "9"}},
    validate_only: true}}, {access}}}
  social: {{url: {url}, audiences: {{preset: meta, ids: {{vip: "9"}}}}, {access}}}
"""
ACCESS = "allow_private: true, allow_http: true, ports: [{}]"


def refusing(*ids: str) -> Behaviour:
    results = [{"id": one, "status": 404, "code": "unknown"} for one in ids]
    return answer(207, json.dumps({"results": results}).encode())


@dataclass
class Crm:
    receiver: Receiver
    client: Client
    store: Store
    book: MembershipBook
    activities: AudienceActivities
    path: Path
    minutes: int = 0

    async def change(self, *changes: str) -> list[str | None]:
        """Add (``+7``) or remove (``-7``) contacts, one after another."""
        notes: list[str | None] = []
        for change in changes:
            self.minutes += 1
            at, contact = NOW + timedelta(minutes=self.minutes), change[1:]
            if change[0] == "+":
                notes.append(await self.book.add(*WHERE, contact, {"id": contact}, at))
            else:
                notes.append(await self.book.remove(*WHERE, contact, at))
        return notes

    async def sync(self, *, destination: str = "crm", audience: str = "vip-buyers") -> str:
        """Start what a worker would start, and return how it ended."""
        await start_audience_syncs(self.client, self.store)
        identifier = f"audience:{destination}:{audience}"
        run = await self.client.get_workflow_handle(identifier).describe()
        return await self.client.get_workflow_handle(identifier, run_id=run.run_id).result()

    def sent(self) -> list[tuple[str, list[str]]]:
        bodies: list[dict[str, Any]] = [json.loads(call.body) for call in self.receiver.calls]
        self.receiver.calls.clear()
        return [(body["op"], sorted(member["id"] for member in body["members"])) for body in bodies]

    async def counts(self) -> AudienceCounts:
        [counts] = await self.store.audience_counts()
        return counts


@pytest.fixture
def script() -> Sequence[Behaviour]:
    """The receiver's answers; a test may have others."""
    return [answer()]


@pytest.fixture
async def crm(
    environment: WorkflowEnvironment, script: Sequence[Behaviour], store: Store, tmp_path: Path
) -> AsyncIterator[Crm]:
    async with receiver(*script) as there, Transport() as transport:
        store.sealing = Keyring(store, KeyWrapping([b"k" * 32]))
        file = tmp_path / "destinations.yaml"
        file.write_text(DESTINATIONS.format(url=there.url("/audiences"), access=ACCESS.format(there.port)))
        book = MembershipBook(store)
        calls = PlatformCalls(transport, dict[str, str], Limiter())
        activities = AudienceActivities(book, Direct(DestinationsFile(file)), calls)
        own = [activities.freeze_audience_batch, activities.hold_audience]
        async with (
            worker(environment.client, [SyncAudience], own),
            Worker(environment.client, task_queue=WEBHOOK.queue, activities=[activities.send_audience_batch]),
        ):
            yield Crm(there, environment.client, store, book, activities, tmp_path / "store.db")


async def test_only_differences_are_sent(crm: Crm) -> None:
    assert await crm.change("+1", "+2", "+3", "+4", "-4", "-9") == [None, None, None, None, NO_MEMBER, NO_MEMBER]
    crm.receiver.behaviour = refusing("2")
    assert await crm.sync() == "synced"
    assert crm.sent() == [("add", ["1", "2", "3"])]
    assert (await crm.counts()).members == 2
    assert await crm.store.audience_refusals(*WHERE) == {"unknown": 1}
    assert await crm.change("+1", "-3", "+3", "-1", "+5") == [SYNCED, None, SYNCED, None, None]
    assert await crm.sync() == "synced"
    assert crm.sent() == [("remove", ["1"]), ("add", ["5"])]
    await start_audience_syncs(crm.client, crm.store)  # as a restarted worker does
    assert crm.sent() == []
    counts = await crm.counts()
    assert (counts.members, counts.waiting, counts.refused, counts.trouble) == (2, 0, 1, None)
    # What is at rest identifies nobody.
    with closing(sqlite3.connect(crm.path)) as database:
        stored = database.execute("SELECT member, sent_member FROM audience_memberships").fetchall()
    assert {text[:3] for row in stored for text in row if text} == {"e1."}


async def test_a_refusal_is_of_the_identifiers_that_were_sent(crm: Crm) -> None:
    await crm.change("+1", "+2")
    batch = await crm.activities.freeze_audience_batch(
        AudienceBatch(destination="crm", audience="vip-buyers", batch="b" * 32)
    )
    await crm.book.add(*WHERE, "1", {"id": "1", "email": "new"}, NOW + timedelta(days=1))
    await crm.change("-2")
    ids, _ = await crm.book.members(batch.batch)
    await crm.store.refuse_members(batch.batch, ids, "unknown")
    assert await crm.store.audience_refusals(*WHERE) == {}
    assert await crm.sync() == "synced"
    assert crm.sent() == [("add", ["1"])]


async def test_a_request_has_a_limited_number_of_reasons(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "MOST_REASONS", 1)
    results = [{"id": str(number), "status": 404, "code": f"of-{number}"} for number in (1, 2, 3)]
    crm.receiver.behaviour = answer(207, json.dumps({"results": results}).encode())
    await crm.change("+1", "+2", "+3")
    assert await crm.sync() == "synced"
    assert sorted((await crm.store.audience_refusals(*WHERE)).values()) == [1, 2]


async def test_many_changes_go_in_several_batches(crm: Crm) -> None:
    await crm.change(*(f"+{number}" for number in range(7)))
    assert await crm.sync() == "synced"
    assert [len(members) for _, members in crm.sent()] == [3, 3, 1]


async def test_other_identifiers_replace_the_old_ones(crm: Crm) -> None:
    await crm.change("+1")
    await crm.sync()
    await crm.book.add(*WHERE, "1", {"id": "1", "email": "new"}, NOW + timedelta(days=1))
    await crm.sync()
    await crm.sync()
    assert [json.loads(call.body)["members"] for call in crm.receiver.calls] == [
        *([{"id": "1"}], [{"id": "1"}], [{"id": "1", "email": "new"}])
    ]


@pytest.mark.parametrize("script", [[*[answer(503)] * 6, answer()]])
async def test_a_frozen_batch_keeps_its_bytes(crm: Crm, environment: WorkflowEnvironment) -> None:
    """A worker is killed between freezing and sending, and then the receiver is down."""
    await crm.change("+1", "+2")
    frozen = await crm.activities.freeze_audience_batch(
        AudienceBatch(destination="crm", audience="vip-buyers", batch="a" * 32)
    )
    assert (frozen.batch, frozen.more) == (f"add-{'a' * 32}", False)
    await crm.change("-1", "+3")
    await start_audience_syncs(crm.client, crm.store)
    await environment.sleep(timedelta(hours=1))  # the pauses between attempts
    calls = crm.receiver.calls[:7]
    assert len({call.body for call in calls}) == 1
    assert {call.header("idempotency-key") for call in calls} == {f"aud_add-{'a' * 32}-2"}
    assert await crm.sync() == "synced"
    assert crm.sent()[6:] == [("add", ["1", "2"]), ("remove", ["1"]), ("add", ["3"])]


async def test_an_audience_is_held_until_an_operator_retries_it(crm: Crm) -> None:
    await crm.change("+1")
    crm.receiver.behaviour = answer(422)
    assert await crm.sync() == "held"
    counts = await crm.counts()
    assert (counts.trouble, counts.held_at is None, counts.waiting) == ("crm answered 422", False, 1)
    assert await crm.store.unsynced_audiences() == []
    crm.receiver.behaviour = None
    service = MembershipService(crm.store)
    with pytest.raises(BadOperation, match="the reason must have 1 to 500 characters"):
        await service.retry(TERMINAL, "vip-buyers", None, operator="ann", reason=" ")
    retried = await service.retry(TERMINAL, "vip-buyers", None, operator="ann", reason="repaired")
    assert (retried.state, retried.trouble) == ("waiting", "ann (terminal) has it sent again: repaired")
    assert await crm.sync() == "synced"
    first, second = crm.receiver.calls
    assert first.body == second.body
    assert (await crm.counts()).members == 1


async def test_a_platform_that_asks_for_a_pause_gets_it(crm: Crm) -> None:
    await crm.change("+1")
    batch = AudienceBatch(destination="crm", audience="vip-buyers", batch="c" * 32)
    frozen = await crm.activities.freeze_audience_batch(batch)
    crm.receiver.behaviour = answer(429, b"", "Retry-After: 120")
    with pytest.raises(ApplicationError, match="crm answered 429") as caught:
        await ActivityEnvironment().run(crm.activities.send_audience_batch, replace(batch, batch=frozen.batch))
    assert (caught.value.next_retry_delay, caught.value.non_retryable) == (timedelta(minutes=2), False)
    assert (await crm.counts()).trouble == "crm answered 429"


async def test_nobody_stays_whom_a_lost_answer_had_added(crm: Crm) -> None:
    """A worker is killed before it records an answer, and the next attempt gets a 429 for a contact who left then."""
    await crm.change("+1", "+2")
    batch = AudienceBatch(destination="crm", audience="vip-buyers", batch="d" * 32)
    frozen = replace(batch, batch=(await crm.activities.freeze_audience_batch(batch)).batch)
    await crm.change("-1")
    results = [{"id": "1", "status": 429}, {"id": "2", "status": 200}]
    crm.receiver.behaviour = answer(207, json.dumps({"results": results}).encode())
    second = ActivityEnvironment()
    second.info = replace(second.info, attempt=2)
    assert (await second.run(crm.activities.send_audience_batch, frozen)).again
    crm.receiver.behaviour = None
    assert await crm.sync() == "synced"
    assert crm.sent() == [("add", ["1", "2"]), ("remove", ["1"])]
    assert (await crm.counts()).members == 1


async def test_validation_alone_makes_no_members(crm: Crm) -> None:
    await crm.book.add("ads", "vip", "1", {"email": "e1"}, NOW)
    assert await crm.sync(destination="ads", audience="vip") == "held"
    counts = await crm.counts()
    assert (counts.members, counts.waiting, counts.trouble) == (0, 1, VALIDATED)


async def test_an_address_is_removed_with_its_last_member(crm: Crm) -> None:
    for contact in ("1", "2"):
        await crm.book.add("social", "vip", contact, {"email": "e1"}, NOW)
    await crm.sync(destination="social", audience="vip")
    for minutes, contact in enumerate(("1", "2"), start=1):
        await crm.book.remove("social", "vip", contact, NOW + timedelta(minutes=minutes))
        assert await crm.sync(destination="social", audience="vip") == "synced"
        counts = await crm.counts()
        assert (counts.members, counts.waiting) == (2 - minutes, 0)
    assert [call.method for call in crm.receiver.calls] == ["POST", "DELETE"]
    assert b'"data":[["e1",""]]' in crm.receiver.calls[1].body


async def test_an_erased_contact_is_removed_and_then_forgotten(crm: Crm) -> None:
    await crm.change("+1", "+2")
    await crm.sync()
    await crm.change("+3")
    assert crm.sent() == [("add", ["1", "2"])]
    for contact in ("1", "3"):
        await crm.store.erase(contact, f"hash-{contact}")
    assert [await crm.store.pending_removals(erased_name(f"hash-{contact}")) for contact in "13"] == [1, 0]
    assert await crm.sync() == "synced"
    assert crm.sent() == [("remove", ["1"])]
    assert await crm.store.pending_removals(erased_name("hash-1")) == 0
    assert (await crm.counts()).members == 1


async def test_an_argument_that_is_none_fails_at_once(crm: Crm) -> None:
    result = crm.client.execute_workflow(AUDIENCE_WORKFLOW, {"destination": "crm"}, id="x", task_queue=JOURNEYS)
    assert (await failure_of(result))[0] == "NotAnAudience"
