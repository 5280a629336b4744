"""What a delivery ended with, whoever says so."""

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from activities.channel_registry import WEBHOOK
from activities.failures import Failure, FailureKind
from activities.interface import ADMIT, DECIDE, DEPART, ActivityType, EvaluationResult, Sent
from workflows.delivery_result import BY_HAND, read_sent
from workflows.limits import KEPT_RESPONSES, LONGEST_REASON
from workflows.primitives import read_answer

NOT_KEPT = "the response was not kept: it is too large, or nested too deeply"

NOT_JSON = "the response was not kept: it holds a number that is too large"


def raw(text: str, encoding: bytes = b"json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding}, data=text.encode()))


def said(**fields: Any) -> RawValue:
    return raw(json.dumps(fields))


def deep(levels: int) -> Any:
    data: Any = 1
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (said(outcome="delivered", status=200, attempt=2), Sent(status=200, attempt=2)),
        (said(status=200, attempt=2), Sent(status=200, attempt=2)),
        (said(outcome="delivered", attempt=2, note="so"), Sent(attempt=2, note="so")),
        (said(outcome="delivered", attempt=1, later="field"), Sent(attempt=1)),
        (said(outcome="delivered", attempt=1, saved={"a": [1]}), Sent(attempt=1, saved={"a": [1]})),
        (said(outcome="delivered", attempt=1, saved=deep(150)), Sent(attempt=1, note=NOT_KEPT)),
        (said(outcome="delivered", attempt=1, saved="x" * KEPT_RESPONSES), Sent(attempt=1, note=NOT_KEPT)),
        (raw('{"outcome": "delivered", "attempt": 1, "saved": {"a": [1e999]}}'), Sent(attempt=1, note=NOT_JSON)),
        (said(outcome="delivered"), Sent(note=BY_HAND)),
        (said(outcome="delivered", attempt=-1), Sent(note=BY_HAND)),
        (raw('"skipped"'), Sent(outcome="skipped", attempt=0, note=BY_HAND)),
        (
            said(outcome="skipped", reason="x" * 9_999, note="y" * 9_999),
            Sent(outcome="skipped", attempt=0, reason="x" * LONGEST_REASON, note="y" * LONGEST_REASON),
        ),
    ],
)
def test_a_result_is_read(answer: RawValue, sent: Sent) -> None:
    assert read_sent(WEBHOOK.send, answer, "wax") == sent


@pytest.mark.parametrize(
    "answer",
    [
        None,
        *map(raw, ("", "null", "5", "{}", "[]", "no JSON", '"weird"', '"\\ud800"', "1" + "0" * 5_000)),
        *map(raw, ("[" * 300 + "]" * 300, '{"outcome": "delivered", "saved": NaN}')),
        *(said(outcome=outcome) for outcome in ("weird", None, 1, ["delivered"])),
        *(said(outcome="delivered", status=status) for status in ("fine", [1], 1.5)),
        *(said(outcome="delivered", attempt=attempt) for attempt in (None, "first", [1])),
        raw('"delivered"', b"binary/encrypted"),
        raw("", b"binary/null"),
    ],
)
def test_a_result_that_nobody_can_read_leaves_the_outcome_unknown(answer: RawValue | None) -> None:
    failure = read_sent(WEBHOOK.send, answer, "wax")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.destination, failure.attempt) == (FailureKind.UNKNOWN, "wax", 0)


@pytest.mark.parametrize("answer", [None, raw("null"), raw('{"value": true, "error": 5}'), raw("{}", b"binary/plain")])
def test_an_answer_that_cannot_be_read_is_one_that_could_not_be_given(answer: RawValue | None) -> None:
    assert read_answer(DECIDE, answer) == EvaluationResult(error="the answer of the worker cannot be read")


def test_what_a_newer_worker_says_more_is_passed_over() -> None:
    assert read_answer(DECIDE, said(value=True, because="of this")) == EvaluationResult(value=True)


@pytest.mark.parametrize("answer", [None, raw("null"), raw("5")])
def test_nobody_reads_what_says_nothing(answer: RawValue | None) -> None:
    assert read_answer(DEPART, answer) is None


def test_an_admission_that_cannot_be_read_waits_for_a_worker_that_can() -> None:
    with pytest.raises(RuntimeError, match="This version of the workers cannot read the result of 'admit'"):
        read_answer(ADMIT, said(version="newest"))


def test_calls_compare_by_what_they_are() -> None:
    assert ActivityType("a", EvaluationResult, Sent) == ActivityType("a", EvaluationResult, Sent)
