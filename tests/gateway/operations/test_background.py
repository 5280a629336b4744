"""What the progress of an operation says while its journeys cannot be looked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from gateway.client import ScenarioClient
from gateway.errors import NotAnswered
from gateway.operations.background import OperationActivities
from runtime.store import Store, StoredOperation
from tests.gateway.search import Temporal


async def test_what_resumes_the_journeys_of_a_pause_begins_when_that_has_ended(store: Store) -> None:
    client = ScenarioClient(cast("Client", Temporal([])), store)
    for name, verb, which in (("first", "pause", {"destination": "wax"}), ("second", "resume", {"operation": "first"})):
        request = {"which": which, "rate": 10.0, "dry_run": False}
        await store.add_operation(
            StoredOperation(
                id=name, verb=verb, request=request, operator="ann", reason="x", created_at=datetime.now(UTC)
            )
        )
    survey = OperationActivities(client).survey
    with pytest.raises(NotAnswered):
        await ActivityEnvironment().run(survey, "second")
    seen = await store.stored_operation("second")
    assert seen is not None
    assert (seen.surveyed_at, seen.trouble) == (None, "it begins when the operation first has ended")
    await store.end_operation("first", "finished", datetime.now(UTC))
    await ActivityEnvironment().run(survey, "second")
    seen = await store.stored_operation("second")
    assert seen is not None
    assert (seen.surveyed_at is not None, seen.trouble) == (True, None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RPCError("lost", RPCStatusCode.UNAVAILABLE, b""), "Temporal's search does not answer (UNAVAILABLE, "),
        (NotAnswered("a/1", "no worker answered"), "no worker answers ("),
    ],
)
async def test_why_no_journeys_are_found_is_told_until_they_are(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    client = ScenarioClient(cast("Client", None), store)
    request = {"which": {"destination": "wax"}, "rate": 10.0, "dry_run": False}
    asked = StoredOperation(
        id="one", verb="pause", request=request, operator="ann", reason="x", created_at=datetime.now(UTC)
    )
    await store.add_operation(asked)
    failing = True

    async def pages(*_: Any, **__: Any) -> AsyncIterator[list[Any]]:
        if failing:
            raise error
        yield []

    monkeypatch.setattr(client, "select_by_page", pages)
    survey = OperationActivities(client).survey
    with pytest.raises(type(error)):
        await ActivityEnvironment().run(survey, "one")
    seen = await store.stored_operation("one")
    assert seen is not None
    assert seen.surveyed_at is None
    assert (seen.trouble or "").startswith(said)
    failing = False
    await ActivityEnvironment().run(survey, "one")
    seen = await store.stored_operation("one")
    assert seen is not None
    assert (seen.surveyed_at is not None, seen.trouble) == (True, None)
