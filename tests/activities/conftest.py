"""What the tests of every channel ask for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import Failure, failure_of
from runtime.store import Store
from tests.fakes import Marks, Rows


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def marks() -> Marks:
    return Marks()


@pytest.fixture
def environment(marks: Marks) -> ActivityEnvironment:
    return marks.environment()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


@pytest.fixture
def refuse(send: Any) -> Any:
    async def run(*args: Any, **step: Any) -> tuple[Failure, ApplicationError]:
        with pytest.raises(ApplicationError) as caught:
            await send(*args, **step)
        failure = failure_of(caught.value)
        assert failure is not None
        return failure, caught.value

    return run


class Timeouts(list[asyncio.Timeout]):
    """The times of all attempts so far; called, it says that they are up: no test waits, and none comes too late.

    It stands in the place of `asyncio` in the modules that send.
    """

    def timeout(self, seconds: float) -> asyncio.Timeout:
        self.append(asyncio.timeout(seconds))
        return self[-1]

    def __call__(self) -> None:
        for one in self:
            with contextlib.suppress(RuntimeError):  # it is over
                one.reschedule(asyncio.get_running_loop().time())

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


@pytest.fixture
def out_of_time(monkeypatch: pytest.MonkeyPatch) -> Timeouts:
    timeouts = Timeouts()
    for module in ("email.smtp", "sms.twilio", "webhook.http.transport"):
        monkeypatch.setattr(f"activities.{module}.asyncio", timeouts)
    return timeouts
