"""An erased contact leaves rows that lead to nobody, and others' as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

from runtime.encryption.keyring import Keyring
from runtime.store import OperationItem, Store
from runtime.store.erasures import ErasureCounts
from tests.factories import NOW, admission_request, cap_claim, retried_attempt, stored_operation
from tests.runtime.store.conftest import both

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


async def erase(store: Store, contact: str) -> ErasureCounts:
    """Erases a contact whose journeys have ended. Returns what there was of it."""
    found = await store.count_rows_of(contact)
    for workflow, run in await store.journeys_of(contact):
        await store.depart(workflow, run, "lost", None, NOW)
    await store.erase(contact, "0123")
    return found


@both
async def test_its_rows_lead_to_nobody_and_others_stay(store: Store) -> None:
    await filled(store)
    assert await store.count_rows_of("a/b") == ErasureCounts(entries=2, deliveries=1, claims=0, operation_items=0)
    assert await erase(store, "a/b") == ErasureCounts(entries=2, deliveries=1, claims=0, operation_items=0)
    assert await store.count_rows_of("a/b") == ErasureCounts(0, 0, 0, 0)
    assert not await store.has_entered("a/b")
    (kept,) = await store.deliveries(delivery_id="msg_a/b")
    assert (kept.contact_id, kept.workflow_id) == ("erased:0123", "sale/erased:0123")
    assert (kept.response, kept.next_try_at, kept.outcome, kept.recipient) == (None, None, "retry", None)
    assert len(await store.entries(contact_id="erased:0123", limit=9)) == 2
    for other in ("a_b", "7"):
        assert (await store.count_rows_of(other)).entries == 2
        assert (await store.deliveries(delivery_id=f"msg_{other}"))[0].response == "hello Zoé"


async def test_it_may_be_repeated_also_where_something_came_in_between(store: Store) -> None:
    await filled(store)
    await erase(store, "7")
    await erase(store, "7")
    await filled(store, "again")
    assert (await erase(store, "7")).entries == 2
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

    assert await erase(store, "ab") == ErasureCounts(0, 0, 0, operation_items=3, operations=1)
    assert await store.count_rows_of("ab") == ErasureCounts(0, 0, 0, 0)
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
