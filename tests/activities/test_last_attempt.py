"""What the log of deliveries tells a journey that is about to be held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from activities.attempt_log import LastAttempts
from activities.interface import LastAttempt, LastAttemptRequest
from runtime.store import Attempt, Store

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def attempt(number: int, status: int | None, error: str | None, response: str | None, delivery: str) -> Attempt:
    return Attempt(
        delivery_id=delivery, attempt=number, workflow_id="wax/1", run_id="run", scenario="wax", version=1, step="hook",
        channel="webhook", destination="wax", contact_id="1", started_at=NOON + timedelta(minutes=number),
        milliseconds=7, outcome="retry", status=status, error=error, response=response,
    )  # fmt: skip


async def test_the_latest_attempt_of_a_delivery_is_recalled(tmp_path: Path) -> None:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        await store.record(
            [
                attempt(2, 503, "http_503", "moving house", "msg_1"),
                attempt(1, None, "connect_refused", None, "msg_1"),
                attempt(3, 422, "http_422", "no", "msg_2"),
                attempt(1, None, "read_timeout", None, "msg_3"),
            ]
        )
        recall = LastAttempts(store).recall
        assert await recall(LastAttemptRequest(delivery="msg_1")) == LastAttempt(
            status=503, error="http_503", excerpt="moving house"
        )
        assert await recall(LastAttemptRequest(delivery="msg_3")) == LastAttempt(error="read_timeout")
        assert await recall(LastAttemptRequest(delivery="msg_4")) == LastAttempt()
