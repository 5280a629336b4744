"""What the log says about destinations: attempts by hour, durations, back-offs, and open batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from runtime.store import BackoffCount, Store
from runtime.store.batches import BatchCount, StoredBatch
from tests.factories import NOW, admission_request, attempt, retried_attempt
from tests.runtime.store.conftest import both

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
