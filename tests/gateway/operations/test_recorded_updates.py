"""Journeys are asked for an operation, and what each answers is on record, also where that is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from temporalio.service import RPCError, RPCStatusCode

from gateway.errors import NotAccepted, NotAnswered, Refusal, UnknownJourney
from gateway.operations.background import RecordedUpdates
from gateway.operations.batch import Batch, JourneyTarget
from runtime.store import OperationItem, Store, StoredOperation

NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
Send = Callable[[JourneyTarget], Awaitable[None]]


async def prepared(store: Store, count: int) -> list[JourneyTarget]:
    await store.add_operation(
        StoredOperation(id="op1", verb="pause", request={}, operator="ann", reason="x", created_at=NOW)
    )
    items = [OperationItem(number=n, workflow_id=f"a/{n}") for n in range(count)]
    await store.add_items("op1", items)
    return [JourneyTarget(item.workflow_id) for item in items]


async def test_each_answer_is_on_record_and_silence_is_none(store: Store) -> None:
    answers: dict[str, Exception] = {
        "a/1": NotAccepted("a/1", "the journey is over"),
        "a/2": UnknownJourney("there is no journey 'a/2'"),
        "a/3": NotAnswered("a/3", "no worker answered"),
        "a/4": RPCError("busy", RPCStatusCode.RESOURCE_EXHAUSTED, b""),
        "a/5": RPCError("too many updates", RPCStatusCode.FAILED_PRECONDITION, b""),
        "a/6": RPCError("you may not", RPCStatusCode.PERMISSION_DENIED, b""),
    }

    async def send(target: JourneyTarget) -> None:
        if error := answers.get(target.id):
            raise error

    updates = RecordedUpdates(store, "op1", send)
    tally = await Batch(updates.ask, rate=10_000).run(await prepared(store, 7))
    await updates.end()
    assert (updates.asked, updates.answered, tally.left) == (7, 4, 0)
    assert {(item.workflow_id, item.outcome, item.reason) for item in await store.items("op1")} == {
        ("a/0", "accepted", None),
        ("a/1", "refused", "the journey is over"),
        ("a/2", "refused", "there is no journey 'a/2'"),
        ("a/3", None, "no worker answered"),
        ("a/4", None, "Temporal did not accept the update (RESOURCE_EXHAUSTED)"),
        ("a/5", "refused", "Temporal did not accept the update (FAILED_PRECONDITION)"),
        ("a/6", None, "Temporal did not accept the update (PERMISSION_DENIED)"),
    }
    assert await store.item_counts(["op1"]) == {"op1": {"accepted": 1, "refused": 3, "unanswered": 3}}


async def test_who_was_asked_when_it_was_interrupted_may_still_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.operations.background._LATE_ANSWERS", 0.2)
    both, quick = asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    async def send(target: JourneyTarget) -> None:
        asked.append(target.id)
        if len(asked) == 2:
            both.set()
        await (quick.wait() if target.id == "a/0" else asyncio.Event().wait())

    updates = RecordedUpdates(store, "op1", send)
    running = asyncio.create_task(Batch(updates.ask, rate=50).run(await prepared(store, 100)))
    async with asyncio.timeout(60):
        await both.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    quick.set()
    await updates.end()
    await store.end_operation("op1", "stopped", NOW)
    first, second, third = (await store.items("op1"))[:3]
    assert first.outcome == "accepted"
    assert (second.outcome, second.reason) == ("unanswered", "it had not answered when the operation was interrupted")
    assert (third.outcome, third.reason) == ("stopped", None)


async def test_a_store_that_fails_ends_the_round_and_leaves_nothing_behind(store: Store) -> None:
    async def refuse(_: JourneyTarget) -> None:
        raise Refusal("no")

    targets = await prepared(store, 3)
    updates = RecordedUpdates(store, "op1", refuse)

    async def broken(*_: object) -> None:
        raise ConnectionError

    updates._store = type("Broken", (), {"record_answer": broken})()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    with pytest.raises(ConnectionError):
        await Batch(updates.ask, rate=10_000).run(targets)
    await updates.end()
