"""What a worker does that may not keep the schedule, or whose server has none: tests/e2e has the rest."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from temporalio.service import RPCError, RPCStatusCode

from activities import retention
from activities.retention import SCHEDULE, keep_schedule
from runtime.encryption.codec import contact_of


class Refusing:
    def __init__(self, status: RPCStatusCode | None) -> None:
        self._status = status

    async def create_schedule(self, *_: Any) -> None:
        if self._status is None:
            await asyncio.Event().wait()
        raise RPCError("no", self._status or RPCStatusCode.OK, b"")

    def get_schedule_handle(self, _: str) -> Refusing:
        return self

    delete = create_schedule


async def kept(caplog: pytest.LogCaptureFixture, retention: str | None, status: RPCStatusCode | None) -> list[str]:
    await keep_schedule(cast("Any", Refusing(status)), retention)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("status", [RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
async def test_a_worker_that_may_not_says_so_and_goes_on(
    caplog: pytest.LogCaptureFixture, status: RPCStatusCode
) -> None:
    assert await kept(caplog, "entries=2y", status) == [
        f"the schedule scenario-retention is not kept: the Temporal server refused it ({status.name}); "
        "have 'scenario prune' run by other means"
    ]


async def test_a_server_that_does_not_answer_is_not_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PATIENCE", 0.01)
    [line] = await kept(caplog, "entries=2y", None)
    assert "the Temporal server did not answer within 0.01 s" in line


async def test_where_none_is_wanted_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert await kept(caplog, None, RPCStatusCode.PERMISSION_DENIED) == []


def test_its_workflows_are_nobodys() -> None:
    """What is encrypted of them is so by the key that is no contact's."""
    assert contact_of(f"{SCHEDULE}-2026-11-27T02:41:07Z") is None
