"""Operations on many journeys, and what each of these answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runtime.store import OperationItem, Store
from tests.factories import NOW, stored_operation
from tests.runtime.store.conftest import both

ONE = stored_operation()


def items(*numbers: int) -> list[OperationItem]:
    return [OperationItem(number=number, workflow_id=f"a/{number}", step="hook") for number in numbers]


async def test_an_operation_is_put_on_record_once(store: Store, another: Store) -> None:
    assert await store.add_operation(ONE)
    assert not await another.add_operation(replace(ONE, operator="bob"))
    assert await another.stored_operation("op1") == ONE
    assert await store.stored_operation("op2") is None


async def test_operations_are_listed_page_by_page_the_newest_first(store: Store) -> None:
    made = [replace(ONE, id=f"op{n}", created_at=NOW + timedelta(seconds=n // 2)) for n in range(5)]
    for operation in made:
        await store.add_operation(operation)
    first = await store.stored_operations(limit=2)
    rest = await store.stored_operations(after=first[-1])
    assert [item.id for item in (*first, *rest)] == ["op4", "op3", "op2", "op1", "op0"]
    await store.end_operation("op3", "finished", NOW)
    assert [item.id for item in await store.stored_operations(is_open=True)] == ["op4", "op2", "op1", "op0"]


@both
async def test_operations_are_filtered_by_what_they_select(store: Store) -> None:
    await store.add_operation(replace(ONE, id="wax"))
    await store.add_operation(replace(ONE, id="sale", request={"which": {"scenario": "sale's", "step": "a"}}))
    await store.add_operation(replace(ONE, id="none", request={}))
    assert [one.id for one in await store.stored_operations(destination="wax")] == ["wax"]
    assert [one.id for one in await store.stored_operations(scenarios=["sale's", "b"])] == ["sale"]
    assert await store.stored_operations(scenarios=[]) == []


@both
async def test_a_journey_is_in_an_operation_once_however_often_it_is_found(
    store: Store, another: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.store.operations.ITEMS_TOGETHER", 50)
    await store.add_operation(ONE)
    assert await store.add_items("op1", items(*range(1, 70))) == 69
    more = [OperationItem(number=1, workflow_id=f"a/{number}") for number in range(60, 80)]
    assert await another.add_items("op1", more) == 10
    assert await store.item_counts(["op1", "op2"]) == {"op1": {"not_asked": 79}, "op2": {}}
    found = await store.items("op1", limit=3)
    assert [(item.number, item.workflow_id) for item in found] == [(1, "a/1"), (1, "a/70"), (1, "a/71")]
    behind = await store.items("op1", after=found[-1].place, limit=2)
    assert [item.workflow_id for item in behind] == ["a/72", "a/73"]


@both
async def test_what_is_to_do_gets_less_with_each_answer_and_the_first_stays(store: Store, another: Store) -> None:
    await store.add_operation(ONE)
    await store.add_items("op1", items(1, 2, 3, 4))
    await store.record_answer("op1", "a/1", "accepted", None, NOW)
    await another.record_answer("op1", "a/1", "refused", "the journey is over", NOW)
    await store.record_answer("op1", "a/2", "refused", "the journey is not held", NOW)
    await store.record_answer("op1", "a/3", None, "no worker answered", NOW)
    assert [item.workflow_id for item in await store.items("op1", outcome="not_asked", after=(3, "a/3"))] == ["a/4"]
    assert await store.item_counts(["op1"]) == {"op1": {"accepted": 1, "refused": 1, "unanswered": 1, "not_asked": 1}}
    (refused,) = await store.items("op1", outcome="refused")
    assert (refused.reason, refused.answered_at) == ("the journey is not held", NOW)
    assert [item.workflow_id for item in await store.items("op1", outcome="not_asked")] == ["a/3", "a/4"]


async def test_what_was_not_asked_is_stopped_with_its_operation(store: Store) -> None:
    await store.add_operation(ONE)
    await store.add_items("op1", items(1, 2, 3))
    await store.complete_survey("op1", {"which": {}, "more": {"destination": "email"}}, NOW)
    await store.record_answer("op1", "a/1", "accepted", None, NOW)
    await store.record_answer("op1", "a/2", None, "no worker answered", NOW)
    await store.set_operation_trouble("op1", "no worker answers")
    await store.end_operation("op1", "stopped", NOW, stopped_by="bob", stop_reason="wrong one")
    await store.end_operation("op1", "finished", NOW + timedelta(hours=1))
    await store.set_operation_trouble("op1", "too late")
    assert await store.stored_operation("op1") == replace(
        ONE,
        request={"which": {}, "more": {"destination": "email"}},
        surveyed_at=NOW,
        ended_at=NOW,
        outcome="stopped",
        stopped_by="bob",
        stop_reason="wrong one",
    )
    await store.add_operation(replace(ONE, id="dry run"))
    await store.add_items("dry run", items(1, 2))
    await store.end_operation("dry run", "finished", NOW, items=False)
    counts = {"op1": {"accepted": 1, "unanswered": 1, "stopped": 1}, "dry run": {"not_asked": 2}}
    assert await store.item_counts(["op1", "dry run"]) == counts
