"""What Temporal keeps of errors."""

from __future__ import annotations

from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from runtime.payloads import CONVERTER


async def kept(error: ApplicationError) -> Failure:
    """What becomes of an error that is raised."""
    failure = Failure()
    try:
        raise error
    except ApplicationError as raised:
        await CONVERTER.encode_failure(raised, failure)
    return failure


async def test_what_was_expected_to_happen_has_no_stack_trace() -> None:
    error = ApplicationError("wax answered 503", {"status": 503}, category=ApplicationErrorCategory.BENIGN)
    failure = await kept(error)
    assert (failure.message, failure.stack_trace) == ("wax answered 503", "")
    assert failure.application_failure_info.details.payloads[0].data == b'{"status":503}'


async def test_what_was_not_has_one() -> None:
    assert "test_payloads.py" in (await kept(ApplicationError("a bug"))).stack_trace
