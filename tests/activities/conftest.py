"""What the tests of every channel ask for."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.failures import Failure, failure_of
from tests.fakes import Rows


@pytest.fixture
def rows() -> Rows:
    """Attempts on record."""
    return Rows()


@pytest.fixture
def refuse(send: Any) -> Any:
    """Makes an attempt by the test's own `send`, which fails: how, and the error that said so."""

    async def run(*args: Any, **step: Any) -> tuple[Failure, ApplicationError]:
        with pytest.raises(ApplicationError) as caught:
            await send(*args, **step)
        failure = failure_of(caught.value)
        assert failure is not None
        return failure, caught.value

    return run
