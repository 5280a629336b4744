"""Batch calls against a real server: each contact is in one request, which is the same in every attempt."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from activities.webhook import activity, batches
from activities.webhook.route import Diverted
from runtime.store import StoreUnavailable
from scenario.words import Operation
from service.index import JourneyFilter
from service.operations.journey_operations import targets
from service.operations.uncertain import UncertainView
from tests.e2e.conftest import (
    WORKER,
    Server,
    Site,
    entry,
    listening,
    opened,
    outcomes,
    process,
    publish,
    store_in,
    until,
    until_held,
)
from workflows import delivery

pytestmark = pytest.mark.encrypted

SCENARIO = """
scenario: sync
trigger: segment
entry: {again: always}
exit:
  - event: unsubscribed
steps:
  - webhook: crm
    url: https://crm.example.com/people
    batch: {size: SIZE, within: WITHIN, wait: WAIT, results: {list: results, id: id, status: code, reason: why}}
    retry: {initial_interval: 1s, backoff_coefficient: 1}
    body:
      people:
        $for: person in contacts
        $each: {id: "{{ person.contact.id }}", mail: "{{ person.contact.email }}", at: "{{ now }}"}
  - wait: 1s
"""
Answer = Callable[[int, list[str]], tuple[int, Any]]


def results(ids: list[str], **others: int) -> dict[str, Any]:
    return {"results": [{"id": one, "code": others.get(f"c{one}", 200), "why": "who is b@x.y?"} for one in ids]}


@dataclass
class Crm:
    answer: Answer = lambda number, ids: (200, results(ids))
    calls: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    cut_off: int = 0  # number of the first calls that get no answer
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append((request.headers["webhook-id"], body))
        if len(self.calls) <= self.cut_off and request.transport is not None:
            request.transport.close()
        status, answer = self.answer(len(self.calls), ids(body))
        return web.json_response(answer, status=status)


def ids(body: bytes) -> list[str]:
    return [person["id"] for person in json.loads(body)["people"]]


@pytest.fixture
async def crm() -> AsyncIterator[Crm]:
    made = Crm()
    async with listening(made.receive) as made.url:
        yield made


@pytest.fixture
async def site(server: Server, crm: Crm, tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(await server.connect(), tmp_path, routes=Diverted(crm.url)) as made, made.working():
        yield made


async def published(site: Site, folder: Path, *, size: int, within: str, wait: bool = False, more: str = "") -> None:
    text = SCENARIO.replace("SIZE", str(size)).replace("WITHIN", within).replace("WAIT", str(wait).lower())
    text = text.replace("    retry:", f"    {more}\n    retry:")
    await publish(site.client, folder, text)


async def test_a_full_batch_is_repeated_with_the_same_bytes_until_its_receiver_is_up(
    site: Site, crm: Crm, tmp_path: Path
) -> None:
    crm.answer = lambda number, ids: (503 if number <= 2 else 207, results(ids, c2=404, c3=503 if number == 3 else 200))
    await published(site, tmp_path, size=3, within="1d")
    journeys = [await site.client.enter(entry("sync", n, email=f"{n}@example.com")) for n in (1, 2, 3)]
    for journey in journeys:
        assert outcomes(await journey.result()) == [("crm", "batched"), ("wait-2", "waited")]
    history = await site.client.temporal.get_workflow_handle(journeys[0].id).fetch_history()
    assert "'webhooks'" not in str(history.to_json_dict()), "joining must not use up the destination's rate"
    [batch] = {item.batch for n in (1, 2, 3) for item in await site.store.batch_items_of(str(n))}
    await until(lambda: has_ended(site, batch))
    assert len(crm.calls) == 4
    [(delivery, body)] = set(crm.calls[:3])
    assert sorted(ids(body)) == ["1", "2", "3"]
    again, rest = crm.calls[3]
    assert (again, ids(rest)) == (f"{delivery}-2", ["3"]), "what the receiver wants later is another request"
    assert await site.store.batch_counts([batch]) == {batch: {"delivered": 2, "refused": 1}}
    [refused] = await site.store.batch_items(batch, outcome="refused")
    assert (refused.contact_id, refused.status, refused.data) == ("2", 207, None)
    assert "b@x.y" not in (refused.reason or "")
    attempts = await until(lambda: logged(site, 4, delivery_id=delivery))
    assert attempts == [("retry", 503), ("retry", 503), ("retry", 207), ("delivered", 207)]
    told = await site.client.why("2", "sync", step="crm")
    assert told.answer is not None
    assert "of sync@1? No: on " in told.answer
    assert "put into a batch call" in told.answer
    assert "The receiver refused the contact: who is" in told.answer
    journey = journeys[0]
    assert await until(lambda: logged(site, 1, workflow_id=journey.id)) == [("batched", None)]


async def test_contacts_that_a_list_of_refused_ones_lacks_are_delivered(site: Site, crm: Crm, tmp_path: Path) -> None:
    first = [{"id": "2", "code": 404}, {"id": "3", "code": 503}]
    crm.answer = lambda number, ids: (207, {"results": first if number == 1 else []})
    text = SCENARIO.replace("reason: why", "reason: why, others: accepted")
    text = text.replace("SIZE", "3").replace("WITHIN", "1d").replace("WAIT", "false")
    await publish(site.client, tmp_path, text)
    for number in (1, 2, 3):
        await (await site.client.enter(entry("sync", number))).result()
    [batch] = {item.batch for n in (1, 2, 3) for item in await site.store.batch_items_of(str(n))}
    await until(lambda: has_ended(site, batch))
    assert [sorted(ids(body)) for _, body in crm.calls] == [["1", "2", "3"], ["3"]]
    assert await site.store.batch_counts([batch]) == {batch: {"delivered": 2, "refused": 1}}


PARTIAL = """
scenario: partial
trigger: segment
steps:
  - webhook: crm
    url: https://crm.example.com/people
    batch: {size: 3, within: 1d, wait: true, results: {list: results, id: id, status: code, others: accepted}}
    timeout: 1s
    retry: {initial_interval: 1s, backoff_coefficient: 1}
    body:
      people: {$for: person in contacts, $each: {id: "{{ person.contact.id }}", at: "{{ now }}"}}
"""


async def test_a_batch_is_sent_again_under_the_same_id_until_its_answer_is_recorded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver takes each request. Answers are lost by the network, by half, and with a killed worker."""
    monkeypatch.setattr(delivery, "GRACE", timedelta(0))
    answer, calls = json.dumps({"results": [{"id": "2", "code": 404}]}).encode(), list[tuple[str, bytes]]()

    async def receive(request: web.Request) -> web.StreamResponse:
        calls.append((request.headers["webhook-id"], await request.read()))
        number, response = len(calls), web.StreamResponse(status=207, headers={"content-length": str(len(answer))})
        if number == 2:
            await asyncio.sleep(60)  # until the worker is killed
        if number > 2:
            await response.prepare(request)
            await response.write(answer if number > 3 else answer[:9])
        if number != 4 and request.transport is not None:
            request.transport.abort()
        return response

    async def called(number: int) -> None:
        await until(lambda: asyncio.sleep(0, len(calls)), lambda found: found >= number)

    async with (
        listening(receive) as url,
        opened(await server.connect(), tmp_path, routes=Diverted(url)) as site,
        site.working("journeys"),
    ):
        variables = {**server.environ, "SCENARIO_STORE": store_in(tmp_path), "TEST_RECEIVER": url}
        log, worker = tmp_path / "log", (*WORKER, "--queues", "webhooks")
        await publish(site.client, tmp_path, PARTIAL)
        journeys = [await site.client.enter(entry("partial", n)) for n in (1, 2, 3)]
        async with process(*worker, log=log, environ=variables):
            await called(2)
        async with process(*worker, log=log, environ={**variables, "TEST_STALLS": "1"}):
            await called(4)
            [batch] = {item.batch for n in "123" for item in await site.store.batch_items_of(n)}
            await until(lambda: site.store.batch_counts([batch]), lambda found: "pending" not in found[batch])
        async with site.working("webhooks"):
            await until(lambda: has_ended(site, batch))
            held = await until(lambda: state_of(site, journeys[1].id, "held"))
            ends = [outcomes(await journeys[number].result()) for number in (0, 2)]
        counts = await site.store.batch_counts([batch])
    assert ends == [[("crm", "delivered")]] * 2
    assert "refused this contact's item of a batch: status 404" in held["waiting"]["reason"]
    assert counts == {batch: {"delivered": 2, "refused": 1}}
    assert len(calls) == 4
    [(_, body)] = set(calls)
    assert sorted(ids(body)) == ["1", "2", "3"]


async def logged(site: Site, number: int, **wanted: Any) -> list[tuple[str, int | None]] | None:
    found = await site.store.deliveries(**wanted)
    return [(one.outcome, one.status) for one in found] if len(found) >= number else None


async def has_ended(site: Site, batch: str) -> bool:
    stored = await site.store.stored_batch(batch)
    return stored is not None and stored.ended_at is not None


async def test_journeys_wait_for_their_item_and_a_refused_one_is_held_and_joins_another_batch(
    site: Site, crm: Crm, tmp_path: Path
) -> None:
    crm.answer = lambda number, ids: (207, results(ids, c2=404 if number == 1 else 200))
    await published(site, tmp_path, size=2, within="1h", wait=True)
    first, second = [await site.client.enter(entry("sync", n)) for n in (1, 2)]
    assert outcomes(await first.result()) == [("crm", "delivered"), ("wait-2", "waited")]
    held = await until(lambda: state_of(site, second.id, "held"))
    assert "refused this contact's item of a batch: who is" in held["waiting"]["reason"]
    await site.client.send(second.id, Operation.RETRY, operator="ann", reason="known now")
    third = await site.client.enter(entry("sync", 3))
    assert outcomes(await second.result()) == outcomes(await third.result())
    assert [sorted(ids(body)) for _, body in crm.calls] == [["1", "2"], ["2", "3"]]


async def test_a_retry_of_many_leaves_out_a_call_that_may_have_been_delivered(
    site: Site, crm: Crm, tmp_path: Path
) -> None:
    crm.cut_off, which = 1, JourneyFilter(scenario="sync")
    await published(site, tmp_path, size=2, within="1h", wait=True, more="on_unknown: hold")
    entered = [await site.client.enter(entry("sync", n)) for n in (1, 2)]
    await until_held(site.client, 1, reason="unknown")

    assert await site.client.select(Operation.RETRY, which) == []
    assert await site.client.uncertain(which) == UncertainView(nothing=1)
    [held] = await site.client.select(Operation.RETRY, which, unknown=True)
    assert held.id.startswith("batch-")
    assert len(crm.calls) == 1

    await site.client.batch(Operation.RETRY, operator="ann", reason="checked").run(targets([held]))
    for journey in entered:
        assert outcomes(await journey.result()) == [("crm", "delivered"), ("wait-2", "waited")]
    first, second = crm.calls
    assert first == second, "the same request, under the same id"


async def state_of(site: Site, journey: str, state: str) -> Any:
    progress = await site.client.temporal.get_workflow_handle(journey).query("progress")
    return progress if progress["state"] == state else None


async def test_a_worker_that_is_lost_after_the_members_are_fixed_leaves_them_as_they_are(
    site: Site, crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, frozen = activity.prepare_request, asyncio.Event()
    loop = asyncio.get_running_loop()

    def lost(*arguments: Any, **more: Any) -> Any:
        if not frozen.is_set():
            loop.call_soon_threadsafe(frozen.set)
            raise StoreUnavailable("lost")
        return real(*arguments, **more)

    monkeypatch.setattr(activity, "prepare_request", lost)
    await published(site, tmp_path, size=3, within="1d", wait=True)
    leaving, *staying = [await site.client.enter(entry("sync", n)) for n in (1, 2)]
    await until(lambda: has_joined(site, "1"))
    await until(lambda: has_joined(site, "2"))
    await site.client.temporal.get_workflow_handle(leaving.id).signal("event", {"name": "unsubscribed"})
    assert outcomes(await leaving.result()) == [("crm", "left")]
    staying.append(await site.client.enter(entry("sync", 3)))  # and its batch is full
    await asyncio.wait_for(frozen.wait(), 60)
    late = [await site.client.enter(entry("sync", n)) for n in (4, 5, 6)]
    assert {outcomes(await journey.result())[0] for journey in (*staying, *late)} == {("crm", "delivered")}
    assert sorted(sorted(ids(body)) for _, body in crm.calls) == [["2", "3"], ["4", "5", "6"]]


async def has_joined(site: Site, contact: str) -> bool:
    return bool(await site.store.batch_items_of(contact))


async def test_a_batch_whose_workflow_was_lost_is_started_again_without_who_has_left(
    site: Site, crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_LOST", timedelta(days=-2))
    await publish(
        site.client,
        tmp_path,
        SCENARIO.replace("SIZE", "3").replace("WITHIN", "1d").replace("WAIT", "false").replace("wait: 1s", "wait: 1d"),
    )
    temporal, store = site.client.temporal, site.store
    leaving, _ = [await site.client.enter(entry("sync", n)) for n in (1, 2)]
    await until(lambda: state_of(site, leaving.id, "waiting"))
    await until(lambda: has_joined(site, "2"))
    [item] = await store.batch_items_of("1")
    await temporal.get_workflow_handle(item.batch).terminate()
    await temporal.get_workflow_handle(leaving.id).signal("event", {"name": "unsubscribed"})
    assert outcomes(await leaving.result()) == [("crm", "batched"), ("wait-2", "left")]
    assert not await has_joined(site, "1")
    starts = [await batches.start_overdue_batches(temporal, store, site.services.content) for _ in range(2)]
    assert starts == [1, 0]
    await site.client.enter(entry("sync", 3))
    await until(lambda: has_ended(site, item.batch))
    assert [ids(body) for _, body in crm.calls] == [["2", "3"]]
