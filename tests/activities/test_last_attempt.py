"""What the log of deliveries tells a journey that is about to be held."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from activities.attempt_log import LastAttempts
from activities.interface import LastAttempt, LastAttemptRequest
from runtime.store import Attempt, Store
from tests.factories import NOW, retried_attempt


def retried(number: int, status: int | None, error: str | None, response: str | None, delivery: str) -> Attempt:
    started = NOW + timedelta(minutes=number)
    known: dict[str, Any] = {"status": status, "error": error, "response": response}
    return retried_attempt(delivery, attempt=number, started_at=started, **known)


async def test_the_latest_attempt_of_a_delivery_is_recalled(store: Store) -> None:
    await store.record(
        [
            retried(2, 503, "http_503", "moving house", "msg_1"),
            retried(1, None, "connect_refused", None, "msg_1"),
            retried(3, 422, "http_422", "no", "msg_2"),
            retried(1, None, "read_timeout", None, "msg_3"),
        ]
    )
    recall = LastAttempts(store).recall
    assert await recall(LastAttemptRequest(delivery="msg_1")) == LastAttempt(
        status=503, error="http_503", excerpt="moving house"
    )
    assert await recall(LastAttemptRequest(delivery="msg_3")) == LastAttempt(error="read_timeout")
    assert await recall(LastAttemptRequest(delivery="msg_4")) == LastAttempt()
