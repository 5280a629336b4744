"""The log of deliveries, and what it says about destinations."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runtime.store import Attempt, AttemptCount, BackoffCount, Store
from runtime.store.batches import BatchCount, StoredBatch
from tests.factories import NOW, admission_request, attempt, retried_attempt
from tests.runtime.store.conftest import both

MINUTE = timedelta(minutes=1)

FAILED = retried_attempt(milliseconds=1234, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
DELIVERED = attempt(attempt=2, started_at=NOW + MINUTE, status=200)
RETRIED = replace(FAILED, destination="wax")
OTHER = attempt(
    "msg_2",
    workflow_id="reward/8",
    scenario="reward",
    step="mail",
    channel="email",
    destination="smtp.example.com",
    contact_id="8",
)


@both
async def test_recording_an_attempt_again_changes_nothing(store: Store) -> None:
    await store.record([FAILED])
    await store.record([replace(FAILED, outcome="delivered"), DELIVERED])
    await store.record([FAILED, DELIVERED, DELIVERED])
    await store.record([])
    assert await store.deliveries() == [FAILED, DELIVERED]
    retried = replace(FAILED, started_at=NOW + 5 * MINUTE)  # an operator's retry starts counting anew
    await store.record([retried])
    assert await store.deliveries(delivery_id="msg_1") == [FAILED, DELIVERED, retried]


@both
async def test_a_response_is_cut_and_may_hold_any_character(store: Store) -> None:
    await store.record([replace(FAILED, response="\x00\ud83d" + "é" * 5000)])
    (attempt,) = await store.deliveries()
    assert attempt.response == "\ufffd\ufffd" + "é" * 2045 + "…"


@both
async def test_a_thousand_attempts_are_recorded_at_once(store: Store) -> None:
    await store.record([replace(FAILED, delivery_id=f"msg_{number}") for number in range(1000)])
    assert len(await store.deliveries(limit=2000)) == 1000


async def test_attempts_are_found_by_what_is_wanted(store: Store) -> None:
    changes: dict[str, dict[str, Any]] = {
        "a": {},
        "b": {"run_id": "run-2"},
        "c": {"workflow_id": "birthday/7", "channel": "email", "destination": "mail.example.com"},
        "d": {
            "workflow_id": "reward/8",
            "contact_id": "8",
            "outcome": "delivered",
            "scenario": "reward",
            "step": "mail",
        },
    }
    await store.record(
        [
            replace(FAILED, delivery_id=name, started_at=NOW + number * MINUTE, **change)
            for number, (name, change) in enumerate(changes.items())
        ]
    )
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "abcd"),
        ({"limit": 3}, "bcd"),
        ({"workflow_id": "welcome/7"}, "ab"),
        ({"workflow_id": "welcome/7", "run_id": "run-2"}, "b"),
        ({"destination": "mail.example.com"}, "c"),
        ({"destination": "hooks.example.com", "since": NOW + MINUTE}, "bd"),
        ({"contact_id": "8"}, "d"),
        ({"channel": "email"}, "c"),
        ({"outcome": "delivered"}, "d"),
        ({"since": NOW + MINUTE, "before": NOW + 3 * MINUTE}, "bc"),
        ({"delivery_id": "a"}, "a"),
        ({"workflow_id": "welcome/9"}, ""),
        ({"scenarios": {"reward", "more"}}, "d"),
        ({"scenarios": []}, ""),
        ({"step": "hook"}, "abc"),
    ]
    for wanted, expected in cases:
        found = "".join(attempt.delivery_id for attempt in await store.deliveries(**wanted))
        assert (wanted, found) == (wanted, expected)


@pytest.mark.parametrize(
    ("later", "found"),
    [
        ([], True),
        ([{"attempt": 2, "next_try_at": None, "outcome": "delivered"}], False),
        ([{"attempt": 2, "next_try_at": None, "outcome": "failed"}], False),
        ([{"attempt": 2}, {"attempt": 3}], True),
        ([{"attempt": 2, "next_try_at": None, "outcome": "failed"}, {"attempt": 1}], True),
        ([{"delivery_id": "msg_2", "next_try_at": None, "outcome": "delivered"}], True),
    ],
    ids=["retried", "delivered since", "failed since", "thrice", "retried by an operator", "another delivery"],
)
async def test_a_delivery_is_between_attempts_where_its_newest_says_so(
    store: Store, later: list[dict[str, Any]], found: bool
) -> None:
    await store.admit(admission_request())
    rows = [replace(RETRIED, started_at=NOW + n * MINUTE, **more) for n, more in enumerate(later, 1)]
    await store.record([RETRIED, *rows])
    newest = [row for row in rows if row.delivery_id == "msg_1"][-1:] or [RETRIED]
    assert await store.between_attempts("wax", since=NOW) == (newest if found else [])


async def test_what_is_between_attempts_is_of_one_destination_due_since_a_time_and_of_a_journey_under_way(store: Store):
    cases: dict[str, dict[str, Any]] = {
        "later": {"next_try_at": NOW + 3 * MINUTE},
        "sooner": {},
        "elsewhere": {"destination": "other.example.com"},
        "long ago": {"next_try_at": NOW - MINUTE},
        "over": {},
        "nobody's": {},
        "an earlier one's": {"started_at": NOW - 2 * MINUTE},
    }
    for name in cases:
        if name != "nobody's":
            await store.admit(admission_request(name, workflow_id=name))
    await store.depart("over", "run-1", "exited", None, NOW + MINUTE)
    await store.record([replace(RETRIED, delivery_id=n, workflow_id=n, **more) for n, more in cases.items()])
    found = await store.between_attempts("wax", since=NOW)
    assert [attempt.delivery_id for attempt in found] == ["sooner", "later"]
    assert len(await store.between_attempts("wax", since=NOW, limit=1)) == 1


async def test_attempts_of_a_scenario_are_counted_by_step_and_outcome(store: Store) -> None:
    skipped = replace(FAILED, delivery_id="msg_2", outcome="skipped", error="capped", next_try_at=None)
    others = [
        replace(FAILED, delivery_id="msg_3", scenario="other"),
        replace(FAILED, delivery_id="msg_4", started_at=NOW - MINUTE),
    ]
    newer = [replace(one, delivery_id=f"{one.delivery_id}-2", version=2) for one in (FAILED, DELIVERED)]
    await store.record([FAILED, DELIVERED, skipped, replace(skipped, delivery_id="msg_5"), *others, *newer])
    found = await store.attempt_counts("welcome", since=NOW)
    assert sorted(found, key=lambda one: (one.version, one.outcome)) == [
        AttemptCount(1, "hook", "delivered", None, 1),
        AttemptCount(1, "hook", "retry", "ServiceUnavailable", 1),
        AttemptCount(1, "hook", "skipped", "capped", 2),
        AttemptCount(2, "hook", "delivered", None, 1),
        AttemptCount(2, "hook", "retry", "ServiceUnavailable", 1),
    ]


async def test_deliveries_to_be_tried_again_are_those_of_journeys_under_way(store: Store) -> None:
    for contact in ("7", "8"):
        await store.admit(admission_request(contact, now=NOW - MINUTE))
    over = replace(FAILED, delivery_id="msg_2", workflow_id="welcome/8")
    arrived = [replace(one, delivery_id="msg_3", step="mail") for one in (FAILED, DELIVERED)]
    await store.record([FAILED, over, *arrived])
    await store.depart("welcome/8", "run-1", "finished", None, NOW)
    older = replace(FAILED, delivery_id="msg_4", started_at=FAILED.started_at - timedelta(seconds=1))
    await store.record([older])
    assert await store.awaiting_retry(since=NOW - MINUTE, each=1) == {FAILED.destination: (2, [FAILED])}
    assert await store.awaiting_retry(since=NOW + MINUTE, each=1) == {}


@both
async def test_pages_of_the_log_tell_nothing_twice_and_leave_nothing_out(store: Store) -> None:
    # Many at the same moment, as a worker records what it has sent.
    made = [
        replace(FAILED, delivery_id=f"msg_{n % 7}", attempt=1 + n // 7, started_at=NOW + n // 8 * MINUTE)
        for n in range(20)
    ]
    await store.record(made)
    read: list[Attempt] = []
    after = None
    while page := await store.deliveries(after=after, limit=3):
        read = page + read
        after = (page[0].started_at, page[0].attempt, page[0].delivery_id)
    assert read == sorted(made, key=lambda one: (one.started_at, one.attempt, one.delivery_id))


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


HOUR = timedelta(hours=1)
FULL = NOW.replace(minute=0, second=0, microsecond=0)


@both
async def test_attempts_at_a_destination_are_counted_by_hour_and_their_durations_by_length(store: Store) -> None:
    made = replace(attempt(), destination="wax", started_at=FULL, milliseconds=10)
    await store.record(
        [
            *(replace(made, delivery_id=f"fast-{number}") for number in range(18)),
            replace(made, delivery_id="slow", milliseconds=900, started_at=FULL + HOUR),
            replace(made, delivery_id="slower", milliseconds=2_000, outcome="failed", started_at=FULL + HOUR),
            replace(made, delivery_id="skipped", milliseconds=5_000, outcome="skipped", started_at=FULL + HOUR),
            replace(made, delivery_id="early", started_at=FULL - HOUR),
            replace(made, delivery_id="other", destination="crm"),
            replace(made, delivery_id="test", test_by="ann"),
        ]
    )
    found = await store.traffic("wax", since=FULL)
    assert found.hours == {FULL: {"delivered": 18}, FULL + HOUR: {"delivered": 1, "failed": 1, "skipped": 1}}
    assert (found.percentile(0.5), found.percentile(0.95), found.percentile(1)) == (10, 900, 2_000)
    assert not found.is_cut
    newest = await store.traffic("wax", since=FULL, most=3)
    assert (list(newest.hours), newest.is_cut) == ([FULL + HOUR], True)
    nothing = await store.traffic("<b>", since=FULL)
    assert (nothing.hours, nothing.percentile(0.5)) == ({}, None)


@both
async def test_a_destination_fails_since_its_first_failure_after_the_last_delivery(store: Store) -> None:
    made = replace(attempt(), destination="wax", started_at=FULL)
    failed = replace(made, outcome="retry", delivery_id="failed")
    await store.record([replace(failed, started_at=FULL - HOUR)])
    assert await store.failing_since("wax") == FULL - HOUR
    await store.record([made, replace(failed, started_at=FULL + 2 * HOUR)])
    await store.record([replace(failed, started_at=FULL + HOUR, outcome="skipped")])
    assert await store.failing_since("wax") == FULL + 2 * HOUR
    assert await store.paused_since("wax") is None
    await store.pause_destination("wax", FULL + 2 * HOUR)
    assert await store.paused_since("wax") == FULL + 2 * HOUR
    await store.record([replace(made, started_at=FULL + 3 * HOUR)])
    assert (await store.failing_since("wax"), await store.paused_since("wax")) == (None, None)


@both
async def test_what_waits_is_counted_by_scenario(store: Store) -> None:
    await store.admit(admission_request())
    first = retried_attempt(destination="wax")
    await store.record([first, replace(first, attempt=2, started_at=first.started_at + HOUR)])
    (known,) = await store.backoffs(since=first.started_at)
    assert known == BackoffCount(first.scenario, "wax", 1, first.started_at)
    for name, due in (("1", FULL - HOUR), ("2", FULL)):
        await store.open_batch(
            StoredBatch(id=name, scenario="a", version=1, step=name, delivery_id=name, created_at=FULL, due_at=due)
        )
    assert await store.waiting_batches(FULL) == [BatchCount("a", 2, 1, FULL - HOUR)]
