"""The log of deliveries as people read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runtime.store import Attempt, AttemptPlace, Store, WhichAttempts, place_of
from tests.runtime.store.test_deliveries import DELIVERED, FAILED, MINUTE, NOW

OTHER = replace(
    DELIVERED,
    delivery_id="msg_2",
    workflow_id="reward/8",
    scenario="reward",
    step="mail",
    channel="email",
    destination="smtp.example.com",
    contact_id="8",
)


async def test_pages_are_the_newest_first_and_nothing_is_told_twice_or_left_out(store: Store) -> None:
    # Many at the same moment, as a worker records what it has sent.
    made = [
        replace(
            FAILED, delivery_id=f"msg_{number % 7}", attempt=1 + number // 7, started_at=NOW + number // 20 * MINUTE
        )
        for number in range(50)
    ]
    await store.record(made)
    read: list[Attempt] = []
    after = None
    while page := await store.attempts(WhichAttempts(), after=after, limit=3):
        read += page
        after = place_of(page[-1])
    expected = sorted(made, key=lambda one: (one.started_at, one.attempt, one.delivery_id), reverse=True)
    assert read == expected


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (WhichAttempts(), ["msg_2", "msg_1", "msg_1"]),
        (WhichAttempts(workflow_id="welcome/7"), ["msg_1", "msg_1"]),
        (WhichAttempts(contact_id="8"), ["msg_2"]),
        (WhichAttempts(scenario="reward"), ["msg_2"]),
        (WhichAttempts(scenarios=("reward", "other")), ["msg_2"]),
        (WhichAttempts(scenarios=()), []),
        (WhichAttempts(step="whatsapp", outcome="retry"), ["msg_1"]),
        (WhichAttempts(destination="hooks.example.com"), ["msg_1", "msg_1"]),
        (WhichAttempts(outcome="delivered", channel="email"), ["msg_2"]),
        (WhichAttempts(error="ServiceUnavailable"), ["msg_1"]),
        (WhichAttempts(since=NOW + MINUTE), ["msg_2", "msg_1"]),
    ],
)
async def test_attempts_are_found_by_what_they_have_in_common(
    which: WhichAttempts, expected: list[str], store: Store
) -> None:
    await store.record([FAILED, DELIVERED, OTHER])
    assert [attempt.delivery_id for attempt in await store.attempts(which)] == expected


async def test_outcomes_are_counted_by_destination_and_of_too_many_the_newest(store: Store) -> None:
    old = replace(FAILED, delivery_id="msg_0", started_at=NOW - timedelta(hours=2))
    await store.record([old, FAILED, DELIVERED, OTHER, replace(OTHER, delivery_id="msg_3")])
    found = await store.outcomes(since=NOW)
    assert found.by_destination == {
        "hooks.example.com": {"retry": 1, "delivered": 1},
        "smtp.example.com": {"delivered": 2},
    }
    assert not found.is_cut
    few = await store.outcomes(since=NOW, most=3)
    assert (sum(map(len, few.by_destination.values())), few.is_cut) == (2, True)


def test_a_place_is_where_an_attempt_stands() -> None:
    assert place_of(FAILED) == AttemptPlace(NOW, 1, "msg_1")
