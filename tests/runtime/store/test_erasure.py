"""An erased contact leaves rows that lead to nobody, and others' as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from runtime.store import AdmissionRequest, Attempt, Claim, Store
from runtime.store.erasure import Traces

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
ATTEMPT = Attempt(
    *("msg_1", 1, "sale/a%2Fb/k1", "r1", "sale", 1, "text", "sms", "twilio", "a/b", NOW, 20, "retry"),
    next_try_at=NOW,
    response="hello Zoé",
)


async def filled(store: Store, again: str = "") -> None:
    for contact, begins in (("a/b", "sale/a%2Fb"), ("a_b", "sale/a_b"), ("7", "sale/7")):
        for number in (1, 2):
            workflow = f"{begins}/k{number}"
            await store.admit(
                AdmissionRequest(
                    scenario="sale",
                    version=1,
                    contact_id=contact,
                    key=f"k{number}",
                    workflow_id=workflow,
                    run_id=f"{contact}-{number}{again}",
                    trigger="order",
                    again="always",
                    now=NOW,
                )
            )
        await store.record(
            [replace(ATTEMPT, delivery_id=f"msg_{contact}", workflow_id=f"{begins}/k1", contact_id=contact)]
        )
        await store.claim(Claim(f"msg_{contact}", contact, "sms", "", "sale", NOW), [], UTC)


async def test_its_rows_lead_to_nobody_and_others_stay(store: Store) -> None:
    await filled(store)
    assert await store.traces("a/b") == Traces(entries=2, deliveries=1, claims=0, operation_items=0)
    assert await store.erase("a/b", "0123") == Traces(entries=2, deliveries=1, claims=0, operation_items=0)
    assert await store.traces("a/b") == Traces(0, 0, 0, 0)
    assert not await store.knows("a/b")
    (kept,) = await store.deliveries(delivery_id="msg_a/b")
    assert (kept.contact_id, kept.workflow_id) == ("erased:0123", "sale/erased:0123")
    assert (kept.response, kept.next_try_at, kept.outcome) == (None, None, "retry")
    assert len(await store.entries(contact_id="erased:0123", limit=9)) == 2
    for other in ("a_b", "7"):
        assert (await store.traces(other)).entries == 2
        assert (await store.deliveries(delivery_id=f"msg_{other}"))[0].response == "hello Zoé"


async def test_it_may_be_repeated_also_where_something_came_in_between(store: Store) -> None:
    await filled(store)
    await store.erase("7", "0123")
    await store.erase("7", "0123")
    await filled(store, "again")
    assert (await store.erase("7", "0123")).entries == 2
    assert len(await store.entries(contact_id="erased:0123", limit=9)) == 4
