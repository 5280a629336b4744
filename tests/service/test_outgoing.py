"""Operations on subscriptions to outgoing events: who did what to how many, once, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest

from authoring.errors import BadInput
from runtime.store import Store
from runtime.store.outgoing_sends import PendingSend, sender_lease
from scenario.words import EVENT_TYPES, OutgoingOperation
from service.caller import TERMINAL, Caller
from service.errors import Forbidden, NotAccepted, NotFound
from service.outgoing import OperatorRecord, OutgoingService
from tests.factories import NOW, admission_request

ENGINE = Caller("k1", "the engine (key k1)", ("read", "operate"))
WHY = OperatorRecord(reason="it is repaired", identifier="0123")
RETRY, SKIP, REPLAY, FORGET = OutgoingOperation


async def held(store: Store, *contacts: str) -> list[str]:
    """Have a subscription whose receiver has rejected the events of these contacts. Return their ids."""
    await store.want_events(EVENT_TYPES)
    for contact in contacts:
        await store.admit(admission_request(contact))
    events, position = await store.outgoing_events(0)
    await store.outgoing_cursor("crm", position)
    given: dict[str, Any] = {"subscription": "crm", "attempts": 1, "reason": "crm answered 422"}
    given |= dict.fromkeys(("next_try_at", "held_at", "recorded_at"), NOW)
    await store.add_sends([PendingSend(position=one.position, subject=one.subject, **given) for one in events])
    return [event.id for event in events]


@pytest.fixture
def service(store: Store) -> OutgoingService:
    return OutgoingService(store)


async def test_an_operation_is_recorded_and_a_repetition_does_nothing_more(service: OutgoingService, store: Store):
    ids = await held(store, "7", "8", "9")
    done = await service.operate(ENGINE, "crm", SKIP, WHY, ids=[*ids[:2], ids[0]])
    again = await service.operate(ENGINE, "crm", SKIP, WHY, ids=ids[:2])  # nothing is held under these ids any more
    assert done.model_dump(exclude={"since", "ended_at"}) == again.model_dump(exclude={"since", "ended_at"})
    [left] = (await service.show(ENGINE, "crm")).events
    assert (left.id, left.reason) == (ids[2], "crm answered 422")
    await service.operate(ENGINE, "crm", RETRY, replace(WHY, operator="ann", identifier=None))
    await service.operate(ENGINE, "crm", REPLAY, replace(WHY, identifier=None), after="1")
    assert [(one.verb, one.operator, one.reason, one.request) for one in await store.stored_operations()] == [
        (verb, who, WHY.reason, {"which": {"subscription": "crm"}, "more": more, "events": events})
        for verb, who, more, events in (
            ("replay", ENGINE.name, {"after": f"{1:020}"}, 2),
            ("retry", "ann (key k1)", {}, 1),
            ("skip", ENGINE.name, {"ids": ids[:2]}, 2),
        )
    ]


async def test_a_repetition_carries_out_what_a_killed_process_only_recorded(service: OutgoingService, store: Store):
    await held(store, "7")
    killed = patch.object(store, "release_sends", AsyncMock(side_effect=KeyboardInterrupt))
    with killed, pytest.raises(KeyboardInterrupt):
        await service.operate(ENGINE, "crm", RETRY, WHY)
    assert (await service.operate(ENGINE, "crm", RETRY, WHY)).events == 1
    [state] = await service.subscriptions(ENGINE, "crm")
    assert (state.state, state.trouble) == ("failing", "crm answered 422")


async def test_a_subscription_that_a_worker_sends_to_is_not_forgotten(service: OutgoingService, store: Store):
    now = datetime.now(UTC)
    await held(store, "7")
    await store.lease(sender_lease("crm"), "worker", now=now, expires_at=now + timedelta(minutes=1))
    with pytest.raises(NotAccepted, match=r"^crm: a worker sends to it: remove it from outgoing\.yaml"):
        await service.operate(TERMINAL, "crm", FORGET, WHY)
    assert await store.stored_operations() == []
    await store.give_up(sender_lease("crm"), "worker")
    assert (await service.operate(TERMINAL, "crm", FORGET, WHY)).events == 1
    assert await service.subscriptions(TERMINAL) == []


async def test_what_is_refused_is_not_recorded(service: OutgoingService, store: Store):
    await held(store, "7")
    mistakes: list[tuple[OutgoingOperation, dict[str, Any], str]] = [
        (SKIP, {}, "events"),
        (SKIP, {"ids": ["x"]}, "events"),
        (REPLAY, {}, "after"),
        (REPLAY, {"after": "x"}, "after"),
        (REPLAY, {"after": "9" * 5000}, "after"),
        (RETRY, {"after": "1"}, "after"),
        (FORGET, {"ids": ["x"]}, "events"),
        (RETRY, {"reason": " "}, "reason"),
    ]
    for operation, more, at in mistakes:
        record = OperatorRecord(reason=more.pop("reason", "x"))
        with pytest.raises(BadInput) as refused:
            await service.operate(TERMINAL, "crm", operation, record, **more)
        assert [*(refused.value.at or ())] == [at], operation
    with pytest.raises(NotFound):
        await service.operate(TERMINAL, "other", RETRY, WHY)
    with pytest.raises(Forbidden):
        await service.operate(replace(ENGINE, scenarios=("welcome",)), "crm", RETRY, WHY)
    assert await store.stored_operations() == []
