"""Erasures: one open for a contact, nameless once finished; and rows that then lead to nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

from runtime.encryption.keyring import Keyring
from runtime.store import OperationItem, Store
from runtime.store.erasures import COUNTED
from tests.factories import admission_request, attempt, cap_claim, present, retried_attempt, stored_operation
from tests.fakes import ERASURE
from tests.runtime.store.conftest import both

NOW = ERASURE.requested_at


@both
async def test_a_contact_has_one_open_erasure_whoever_asks(store: Store, another: Store) -> None:
    asked = [replace(ERASURE, id=f"e{number}") for number in range(10)]
    told = await asyncio.gather(*(place.add_erasure(one) for place in (store, another) for one in asked))
    assert len({one.id for one in told}) == 1
    assert await store.stored_erasures() == [told[0]]
    other = replace(ERASURE, id="other", contact_hash="4567", contact_id="8")
    assert await store.add_erasure(other) == other


@both
async def test_runs_are_counted_once_and_confirmed_when_none_is_left(store: Store) -> None:
    await store.add_erasure(ERASURE)
    runs = [("sale/7", "r1", False), ("sale/7", "r2", True), ("welcome/7", "r3", True)]
    for repeated in range(2):
        for workflow, run, running in runs:
            # The second time, they have been ended.
            await store.add_erasure_run("e1", workflow, run, running=running and not repeated)
        assert await store.count_erasure_runs("e1", NOW) == 3
    await store.erasure_run_is_gone("e1", "sale/7", "r1")
    assert await store.erasure_runs("e1") == [("sale/7", "r2"), ("welcome/7", "r3")]
    assert await store.count_erasure_runs("e1", NOW) == 2
    for workflow, run in await store.erasure_runs("e1"):
        await store.erasure_run_is_gone("e1", workflow, run)
    assert await store.count_erasure_runs("e1", NOW) == 0
    later = NOW + timedelta(minutes=1)
    assert await store.count_erasure_runs("e1", later) == 0
    seen = present(await store.stored_erasure("e1"))
    assert (seen.ended, seen.histories, seen.remaining, seen.confirmed_at) == (2, 3, 0, NOW)
    await store.add_erasure_run("e1", "sale/7", "r4", running=False)  # one came in late
    await store.count_erasure_runs("e1", later)
    seen = present(await store.stored_erasure("e1"))
    assert (seen.histories, seen.remaining, seen.confirmed_at) == (4, 1, None)


async def test_rows_are_counted_once_a_pass(store: Store) -> None:
    await store.add_erasure(ERASURE)
    for found in ({"entries": 2, "claims": 1}, {"entries": 3}):
        await store.set_erasure_state("e1", "ending")
        await store.begin_clearing("e1", found)
        await store.begin_clearing("e1", {"entries": 1})  # the rest, after the worker was killed half-way
    seen = present(await store.stored_erasure("e1"))
    assert (seen.state, seen.rows) == ("clearing", {"entries": 5, "claims": 1})


async def test_a_finished_one_names_receivers_and_not_the_contact(store: Store) -> None:
    attempts: list[dict[str, Any]] = [
        {"destination": "a", "outcome": "delivered"},
        {"destination": "b", "outcome": "unknown"},
        {"destination": "c", "outcome": "cancelled"},
        {"destination": "d", "outcome": "retry", "status": 503},
        {"destination": "not reached", "outcome": "retry", "error": "connect_refused"},
        {"destination": "not sent", "outcome": "skipped"},
        {"destination": "of another", "outcome": "delivered", "contact_id": "erased:4567"},
    ]
    for n, more in enumerate(attempts):
        await store.record([attempt(f"msg_{n}_{m}", **{"contact_id": "erased:0123", **more}) for m in range(2)])
    await store.add_erasure(ERASURE)
    await store.add_erasure_run("e1", "sale/7", "r1", running=True)
    await store.set_erasure_trouble("e1", "Temporal cannot be reached")
    await store.finish_erasure("e1", "0123", NOW)
    seen = await store.stored_erasure("e1")
    receivers = [{"channel": "webhook", "destination": name} for name in "abcd"]
    assert seen == replace(ERASURE, contact_id=None, state="finished", finished_at=NOW, sent_to=receivers)
    assert await store.erasure_runs("e1") == []


async def test_who_comes_late_changes_nothing_of_a_finished_one(store: Store) -> None:
    await store.add_erasure(ERASURE)
    await store.finish_erasure("e1", "0123", NOW)
    finished = await store.stored_erasure("e1")
    await store.set_erasure_state("e1", "ending")
    await store.set_erasure_trouble("e1", "Temporal cannot be reached")
    await store.add_erasure_run("e1", "sale/7", "r1", running=True)
    assert await store.count_erasure_runs("e1", NOW) == 0
    await store.begin_clearing("e1", {"entries": 1})
    await store.finish_erasure("e1", "0123", NOW + timedelta(hours=1))
    assert await store.stored_erasure("e1") == finished
    assert await store.erasure_runs("e1") == []
    again = replace(ERASURE, id="e2", before=True)
    assert await store.add_erasure(again) == again, "another begins"


async def test_they_are_listed_and_those_that_are_open_counted(store: Store) -> None:
    assert await store.count_open_erasures() == (0, None)
    made = [
        replace(ERASURE, id=f"e{n}", contact_hash=f"c{n}", requested_at=NOW + timedelta(minutes=n // 2))
        for n in range(4)
    ]
    for one in made:
        await store.add_erasure(one)
    await store.finish_erasure("e0", "c0", NOW)
    newest = await store.stored_erasures(limit=3)
    assert [one.id for one in newest] == ["e3", "e2", "e1"]
    assert [one.id for one in await store.stored_erasures(after=newest[-1])] == ["e0"]
    assert [one.id for one in await store.stored_erasures(is_open=True)] == ["e3", "e2", "e1"]
    assert await store.open_erasures(2) == ["e1", "e2"]
    assert await store.count_open_erasures() == (3, NOW)


ATTEMPT = retried_attempt(
    workflow_id="sale/a%2Fb/k1",
    scenario="sale",
    contact_id="a/b",
    next_try_at=NOW,
    response="hello Zoé",
    recipient="0a",
)


async def filled(store: Store, again: str = "") -> None:
    for contact, begins in (("a/b", "sale/a%2Fb"), ("a_b", "sale/a_b"), ("7", "sale/7")):
        for number in (1, 2):
            workflow = f"{begins}/k{number}"
            given = {"key": f"k{number}", "workflow_id": workflow, "run_id": f"{contact}-{number}{again}"}
            await store.admit(admission_request(contact, "sale", **given))
        await store.record(
            [replace(ATTEMPT, delivery_id=f"msg_{contact}", workflow_id=f"{begins}/k1", contact_id=contact)]
        )
        await store.claim(cap_claim(f"msg_{contact}", contact), [], UTC)


async def erase(store: Store, contact: str) -> dict[str, int]:
    found = await store.count_rows_of(contact)
    for workflow, run in await store.journeys_of(contact):
        await store.depart(workflow, run, "lost", None, NOW)
    await store.erase(contact, "0123")
    return found


@both
async def test_its_rows_lead_to_nobody_and_others_stay(store: Store) -> None:
    await filled(store)
    assert await store.count_rows_of("a/b") == dict.fromkeys(COUNTED, 0) | {"entries": 2, "deliveries": 1}
    assert await erase(store, "a/b") == dict.fromkeys(COUNTED, 0) | {"entries": 2, "deliveries": 1}
    assert await store.count_rows_of("a/b") == dict.fromkeys(COUNTED, 0)
    assert not await store.has_entered("a/b")
    (kept,) = await store.deliveries(delivery_id="msg_a/b")
    assert (kept.contact_id, kept.workflow_id) == ("erased:0123", "sale/erased:0123")
    assert (kept.response, kept.next_try_at, kept.outcome, kept.recipient) == (None, None, "retry", None)
    assert len(await store.entries(contact_id="erased:0123", limit=9)) == 2
    for other in ("a_b", "7"):
        assert (await store.count_rows_of(other))["entries"] == 2
        assert (await store.deliveries(delivery_id=f"msg_{other}"))[0].response == "hello Zoé"


async def test_it_may_be_repeated_also_where_something_came_in_between(store: Store) -> None:
    await filled(store)
    await erase(store, "7")
    await erase(store, "7")
    await filled(store, "again")
    assert (await erase(store, "7"))["entries"] == 2
    assert len(await store.entries(contact_id="erased:0123", limit=9)) == 4


async def test_one_that_was_admitted_meanwhile_keeps_its_row_until_it_has_been_ended(store: Store) -> None:
    await filled(store)
    ended, running = await store.journeys_of("7")
    await store.depart(*ended, "lost", None, NOW)
    await store.erase("7", "0123")
    assert list(await store.journeys_of("7")) == [running]
    (erased,) = await store.entries(contact_id="erased:0123", limit=9)
    assert (erased.outcome, erased.reason) == ("lost", "the contact was erased")


@both
async def test_operations_that_went_to_it_lead_to_nobody_and_to_others_as_before(store: Store) -> None:
    others = ["sale/x/ab/c", "sale/AB", "sale/abc", "sale/c/ab"]
    for number, contact in enumerate(("ab", "c")):
        asked = {"which": {"contact": contact, "scenario": "sale"}, "rate": 10}
        await store.add_operation(stored_operation(f"op{number}", request=asked))
        found = ["sale/ab", "welcome/ab", "sale/ab/k/1", *others]  # one contact, in several journeys
        await store.add_items("op0", [OperationItem(number=n, workflow_id=one) for n, one in enumerate(found)])
    await store.record_answer("op0", "sale/ab", "refused", "there is no journey sale/ab", NOW)

    assert await erase(store, "ab") == dict.fromkeys(COUNTED, 0) | {"operation_items": 3, "operations": 1}
    assert await store.count_rows_of("ab") == dict.fromkeys(COUNTED, 0)
    items = await store.items("op0")
    assert [item.workflow_id for item in items[3:]] == others
    assert {item.workflow_id[:12] for item in items[:3]} == {"erased:0123:"}
    assert (items[0].outcome, items[0].reason) == ("refused", None)
    requests = [operation.request["which"] for operation in await store.stored_operations()]
    assert sorted(one["contact"] for one in requests) == ["c", "erased:0123"]


async def test_an_attempt_that_was_on_its_way_leads_to_nobody_either(store: Store) -> None:
    keys = store.sealing = Keyring(store, None)
    made = [replace(ATTEMPT, delivery_id=f"msg_{who}", workflow_id=f"sale/{who}", contact_id=who) for who in ("7", "8")]
    await store.record(made[1:])
    assert await store.wrapped_keys() == []  # who only asks makes nothing that contacts are known by
    await keys.destroy("7")
    await store.record(made)
    late, other = await store.deliveries(limit=2)
    assert other == made[1]
    assert late.contact_id == f"erased:{await keys.name_of('7')}"
    assert late.workflow_id == f"sale/{late.contact_id}"
    assert (late.response, late.next_try_at, late.outcome, late.recipient) == (None, None, "retry", None)
