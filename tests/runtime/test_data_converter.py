"""What Temporal keeps of errors and of values."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, CanceledFailureInfo, Failure, TimeoutFailureInfo
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError

from activities.interface import Sent, StepVersionRequest
from runtime.data_converter import CONVERTER, JsonPayloads

ODD = Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b'"\\ud800"')])


async def kept(error: ApplicationError) -> Failure:
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
    assert "test_data_converter.py" in (await kept(ApplicationError("a bug"))).stack_trace


@pytest.mark.parametrize(
    "failure",
    [
        Failure(message="why", application_failure_info=ApplicationFailureInfo(type="mine", details=ODD)),
        Failure(message="why", timeout_failure_info=TimeoutFailureInfo(last_heartbeat_details=ODD)),
        Failure(message="why", canceled_failure_info=CanceledFailureInfo(details=ODD)),
    ],
    ids=lambda failure: failure.WhichOneof("failure_info"),
)
async def test_details_that_cannot_be_read_hide_no_failure(failure: Failure) -> None:
    read = await CONVERTER.decode_failure(Failure(message="an activity failed", cause=failure))
    assert isinstance(read.__cause__, FailureError)
    assert read.__cause__.message == "why"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (None, "it must be plain JSON, not encrypted or compressed"),
        (b'{"scenario": ', "it is not JSON (line 1, column 14)"),
        (b'{"scenario": "Zo\xe9"}', "it is not UTF-8"),
        (b'["\\ud83d"]', "a text of it holds half a character (a lone surrogate): send whole ones"),
        (b'{"\\udf82": 1}', "a text of it holds half a character (a lone surrogate): send whole ones"),
        (b"[" + b"9" * 6000 + b".5]", "it holds a number of more than 4,300 digits: send it as text"),
        (b"[" * 300 + b"]" * 300, "it is nested more than 100 levels deep"),
        (b"[" * 5000 + b"]" * 5000, "it is nested more than 100 levels deep"),
    ],
    ids=lambda given: str(given)[:20],
)
def test_an_argument_that_cannot_be_read_is_one_sentence(data: bytes | None, cause: str) -> None:
    payload = Payload(data=b"{}") if data is None else Payload(metadata={"encoding": b"json/plain"}, data=data)
    with pytest.raises(ApplicationError) as caught:
        JsonPayloads().from_payloads([payload])
    assert (caught.value.message, caught.value.non_retryable) == (f"The argument cannot be read: {cause}", True)


def test_converters_share_what_reads_json() -> None:
    """The SDK makes one for every workflow: what each had for itself, it would build in the workflow's thread."""
    assert JsonPayloads().converters == JsonPayloads().converters


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Sent(status=200, attempt=1, saved={"a": None}), '{"status":200,"attempt":1,"saved":{"a":null}}'),
        (Sent(outcome="skipped", attempt=2, reason=""), '{"outcome":"skipped","attempt":2,"reason":""}'),
        (
            StepVersionRequest(scenario="", version=None, step="s", kind=""),
            '{"scenario":"","version":null,"step":"s","kind":""}',
        ),
        ({"a": None, "b": ""}, '{"a":null,"b":""}'),
    ],
)
def test_a_field_with_its_default_value_is_left_out(value: object, written: str) -> None:
    payload = JsonPayloads().to_payload(value)
    assert payload.data.decode() == written
    assert JsonPayloads().from_payload(payload, type(value)) == value
