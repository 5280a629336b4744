import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from activities.outcome import Outcome, Verdict
from activities.redaction import KnownSecrets, known
from activities.webhook.errors import WORDS, AttemptError
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import (
    MAX_SAVED,
    MAX_SECONDS,
    item_outcomes,
    of_response,
    of_status,
    parse_retry_after,
    save_response,
)
from runtime.public_links import Callbacks
from scenario.model.batch import BatchCall
from scenario.model.parts import Save
from scenario.plan.retry import lengthen
from tests.activities.webhook.casefiles import table

_DECISIONS = {
    "success": Outcome.DELIVERED,
    "retry": Outcome.RETRY,
    "retry_short_budget": Outcome.RETRY_SHORT,
    "permanent": Outcome.PERMANENT,
    "permanent_unless_retry_after": Outcome.PERMANENT,
    "fail_not_followed": Outcome.PERMANENT,
    "disable_endpoint": Outcome.PERMANENT,
    "interim_or_protocol_error": Outcome.RETRY,
}

_ERRORS = {
    "retry": (Outcome.RETRY, False),
    "retry_long": (Outcome.RETRY, False),
    "retry_short_budget": (Outcome.RETRY_SHORT, False),
    "retry_maybe_duplicate": (Outcome.RETRY, True),
    "retry_same_webhook_id": (Outcome.RETRY, True),
    "permanent_ssrf": (Outcome.REFUSED, False),
    "permanent_before_send": (Outcome.PERMANENT, False),
}

# The case file names what happened; ours names what could be told from it.
_WORDS = {
    "dns_blocked_address": "refused_address",
    "total_deadline_slow_drip_headers": "read_timeout",
    "malformed_status_line": "malformed_response",
    "response_header_over_100KiB": "response_header_too_large",
}


@pytest.mark.parametrize("case", table("response_cases.json", "statuses"))
def test_every_status_has_the_expected_outcome(case: dict[str, Any]):
    assert of_status(case["status"]).outcome is _DECISIONS[case["decision"]]


# What is not an attempt: it ends before there is one (`TemplateFailed`), or is told by the next one (`worker_lost`).
_ELSEWHERE = {"rendered_body_not_json", "rendered_body_over_limit", "worker_killed_after_send"}


@pytest.mark.parametrize("case", table("response_cases.json", "errors"))
def test_every_failure_has_the_expected_outcome(case: dict[str, Any]):
    if case["decision"].startswith("success"):
        # There was a status: the failure is the body's, and of_status alone decides. See test_transport.
        assert case["error"].endswith("after_2xx")
        return
    word = _WORDS.get(str(case["error"]), str(case["error"]))
    if word in _ELSEWHERE:
        assert word not in WORDS
        return
    verdict = AttemptError(word).verdict
    assert verdict.reason == word
    assert (verdict.outcome, verdict.unknown) == _ERRORS[case["decision"]]


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (299, Outcome.DELIVERED, "http_299"),
        (300, Outcome.PERMANENT, "redirect_not_followed"),
        (400, Outcome.PERMANENT, "http_400"),
        (404, Outcome.RETRY_SHORT, "http_404"),
        (409, Outcome.RETRY, "http_409"),
        (410, Outcome.PERMANENT, "gone"),
        (500, Outcome.RETRY, "http_500"),
        (501, Outcome.PERMANENT, "http_501"),
        (599, Outcome.RETRY, "http_599"),
        (999, Outcome.RETRY, "http_999"),
        (101, Outcome.RETRY, "http_101"),
    ],
)
def test_the_borders_of_each_class_of_statuses(status: int, outcome: Outcome, reason: str):
    assert of_status(status) == Verdict(outcome, reason)


@pytest.mark.parametrize(
    ("said", "status", "verdict"),
    [
        ({"retry_after": True}, 413, Verdict(Outcome.RETRY, "http_413")),
        ({"certificate": True}, 400, Verdict(Outcome.RETRY_SHORT, "client_certificate")),
    ],
)
def test_what_else_a_response_says_changes_one_status(said: Any, status: int, verdict: Verdict):
    assert [one for one in range(100, 600) if of_status(one, **said) != of_status(one)] == [status]
    assert of_status(status, **said) == verdict


def test_only_what_may_have_arrived_is_unknown():
    assert {word for word in WORDS if AttemptError(word).verdict.unknown} == {
        "reset_before_response",
        "disconnect_without_response",
        "read_timeout",
    }
    with pytest.raises(KeyError):  # and no silent retry
        AttemptError("no_such_word")


@pytest.mark.parametrize(
    ("status", "headers", "body", "named", "outcome", "asked"),
    [
        (413, {"retry-after": "60"}, b"", False, Outcome.RETRY, 60),
        (413, {"retry-after": "soon"}, b"", False, Outcome.PERMANENT, None),
        (400, {}, b"No required SSL certificate was sent", True, Outcome.RETRY_SHORT, None),
        (400, {}, b"No required SSL certificate was sent", False, Outcome.PERMANENT, None),
    ],
)
def test_a_response_is_judged_by_all_that_it_says(
    status: int, headers: dict[str, str], body: bytes, named: bool, outcome: Outcome, asked: int | None
):
    judgement = of_response("wax", status, headers, body, named=named, now=datetime(2026, 3, 2, tzinfo=UTC))
    assert (judgement.verdict.outcome, judgement.asked) == (outcome, asked)
    assert judgement.sentence.startswith(f"wax answered {status}")


NOW = datetime(2015, 10, 21, 7, 26, tzinfo=UTC)


@pytest.mark.parametrize("case", table("response_cases.json", "retry_after"))
def test_every_listed_value_is_read_as_expected(case: dict[str, Any]):
    asked = parse_retry_after(case["value"], datetime.fromisoformat(case["now"]))
    if case["expect_seconds"] == "clamp":
        assert lengthen(asked, planned=30, left=3600) == 3600
    else:
        assert asked == case["expect_seconds"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("007", 7),
        ("9" * 19, MAX_SECONDS),
        ("9" * 40, None),
        ("+5", None),
        ("5 5", None),
        ("Wed, 21 Oct 2015 07:26:60 GMT", 59),
        ("Wed, 21 Oct 2015 07:28:00 UTC", None),
        ("Wed, 21 Oct 2015 07:28:00 +0000", None),
        ("wed, 21 oct 2015 07:28:00 gmt", None),
        ("Wed, 31 Feb 2016 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 25:28:00 GMT", None),
        ("Wed Oct  1 07:28:00 2025", (datetime(2025, 10, 1, 7, 28, tzinfo=UTC) - NOW) // timedelta(seconds=1)),
        ("Thu, 31 Dec 9999 23:59:59 GMT", MAX_SECONDS),
        ("Friday, 21-Oct-94 07:28:00 GMT", 0),
        ("2015-10-21T07:28:00Z", None),
        ("٣٠", None),
    ],
)
def test_nothing_but_what_the_rfc_allows_is_read(value: str | None, seconds: int | None):
    expected = min(seconds, MAX_SECONDS) if seconds is not None else None
    assert parse_retry_after(value, NOW) == expected


def test_a_date_is_compared_in_whatever_zone_now_is():
    paris = NOW.astimezone(timezone(timedelta(hours=2)))
    for now in (paris, NOW + timedelta(milliseconds=1)):  # part of a second is waited out
        assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now) == 120


@pytest.mark.parametrize(
    ("asked", "planned", "left", "delay"),
    [
        (None, 30, 3600, None),
        (10, 30, 3600, None),
        (30, 30, 3600, None),
        (60, 30, 3600, 60),
        (7200, 30, 3600, 3600),
        (7200, 30, 10, None),
        (7200, 30, -5, None),
    ],
)
def test_it_only_lengthens_and_never_past_the_deadline(
    asked: int | None, planned: float, left: float, delay: float | None
):
    assert lengthen(asked, planned, left) == delay


# ---- what is kept of a response, and what is not


SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
UNUSABLE = "it does not fit its schema, which cannot be applied to it"
NOT_KEPT = "the response was not kept as 'wax': "


def response(body: bytes, **changes: Any) -> Response:
    return replace(Response(status=200, headers={}, body=body), **changes)


def save(schema: dict[str, Any] | None = None) -> Save:
    return Save.model_validate({"as": "wax", "schema": schema}, by_alias=True)


OWN = {"$ref": "#/$defs/id", "$defs": {"id": {"type": "integer"}}}
VALUES: tuple[Any, ...] = (
    {},
    [],
    {"id": "m1", "n": 1.5, "deep": [{"a": None}, True]},
    "text",
    7,
    False,
    2**53,
    {"é": "🎁"},
)
LONGEST = "a" * (MAX_SAVED - 2)


@pytest.mark.parametrize(
    ("answer", "schema", "value"),
    [
        *((response(json.dumps(value).encode()), None, value) for value in VALUES),
        (response(b'\xef\xbb\xbf {"id": "m1"}\r\n', headers={"content-type": "text/html"}), SCHEMA, {"id": "m1"}),
        (response(b"5"), OWN, 5),
        (response(f'"{LONGEST}"'.encode()), None, LONGEST),
    ],
    ids=lambda given: str(given)[:20],
)
def test_json_is_kept_as_it_is(answer: Response, schema: dict[str, Any] | None, value: Any):
    assert save_response(save(schema), answer, KnownSecrets()) == (value, None)


@pytest.mark.parametrize(
    ("answer", "schema", "reason"),
    [
        (response(b""), None, "it is empty"),
        (response(b" \n"), None, "it is empty"),
        (response(b"null"), None, "it is null"),
        (response(b"<html>"), None, "it is not JSON"),
        (response(b'{"a": NaN}'), None, "it is not JSON"),
        (response(b'{"a": 1e999}'), None, "it is not JSON"),
        (response(b'{"a": "\\ud800"}'), None, "it is not JSON"),
        (response(b'{"a": "\xff"}'), None, "it is not JSON"),
        (response(b"[" * 15_000), None, "it is not JSON"),
        (response(b"9" * 5_000), None, "it is not JSON"),
        (response(b"[" * 40 + b"]" * 40), None, "it is nested more than 32 levels deep"),
        (response(b'{"a": 9223372036854775808}'), None, "it holds a whole number of more than 64 bits"),
        (response(b'"' + b"a" * MAX_SAVED + b'"'), None, "it is larger than 16 KB"),
        (response(b'{"a": 1}', truncated=True), None, "it did not arrive completely"),
        (response(b'{"a": 1}', body_error="body_broken"), None, "it did not arrive completely"),
        (response(b'{"a": 1}', headers={"content-encoding": "gzip"}), None, "it did not arrive completely"),
        (response(b'{"zoe@example.com": 1}'), SCHEMA, "it does not fit its schema, at 'required'"),
        (response(b'{"id": 33612345678}'), SCHEMA, "it does not fit its schema, at 'properties/id/type'"),
        (response(b'"5"'), OWN, "it does not fit its schema, at 'type'"),
        (response(b"{}"), {"$ref": "https://schemas.example/x.json"}, UNUSABLE),
        (response(b"{}"), {"$ref": "#/$defs/none"}, UNUSABLE),
        (response(b"{}"), {"$ref": "file:///etc/passwd"}, UNUSABLE),
        (response(b"{}"), {"$ref": "#"}, UNUSABLE),
    ],
)
def test_what_cannot_be_kept_is_told_and_nothing_more(answer: Response, schema: dict[str, Any] | None, reason: str):
    assert save_response(save(schema), answer, KnownSecrets()) == (None, NOT_KEPT + reason)


def test_a_response_that_cannot_be_read_through_is_not_kept():
    nested = "%" + "25" * 16 + "41"
    for value in ({"a": nested}, {nested: "a"}):
        answer = response(json.dumps(value).encode())
        assert save_response(save(), answer, known(("t0p-secret",))) == (None, f"{NOT_KEPT}it cannot be read through")


MASKED = "the response kept as 'wax' held a secret, which was masked"


@pytest.mark.parametrize(
    ("value", "secret", "shown"),
    [
        ({"echo": ["Bearer t0p-secret", "zoe@example.com"]}, "t0p-secret", {"echo": ["Bearer […]", "zoe@example.com"]}),
        ({"a": "x\\u0074\\u0030p-secret%20&#x74;0p-secret"}, "t0p-secret", {"a": "x\\u0074\\u0030p-secret%20[…]"}),
        ({"a": "Basic em9lOnQwcC1zZWNyZXQ="}, "t0p-secret", {"a": "Basic em9lO[…]="}),
        ({"a": "T0P-SECRET"}, "t0p-secret", {"a": "[…]"}),
        ({"pin": 77123, "n": 771234, "true": True}, "77123", {"pin": "[…]", "n": 771234, "true": True}),
        ({"pin": -77123.0, "at": "77123 77123-4 77123"}, "77123", {"pin": -77123.0, "at": "[…] 77123-4 […]"}),
        ({"Bearer t0p-secret": "a name", "id": "m1"}, "t0p-secret", {"id": "m1"}),
    ],
)
def test_secrets_that_went_with_the_request_are_masked_wherever_they_stand(value: Any, secret: str, shown: Any):
    assert save_response(save(), response(json.dumps(value).encode()), known((secret,))) == (shown, MASKED)


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ({"ok": True, "k": "k", "kind": "ok k"}, "k"),
        ({"n": 12, "lang": "fr"}, "12"),
        ({"lang": "fr"}, "fr"),
        ({"status": "sent", "sent": 1}, "status"),
        ({"sent-1": "resent, sent_at, sent-1"}, "sent"),
        ({"customers": "customers"}, "customer"),
        ({"pin": 771234, "true": True}, "77123"),
        ({"true": True}, "True"),
        ({"one": "t0p", "two": "-secret"}, "t0p-secret"),
        ({"one": "t0p-", "two": ["secret"]}, "t0p-\ud800secret"),
        ({"blob": "c1AAANCMnd8BFdERjHoAwE" + "Cl8sBAAAA" * 10}, "t0p-secret"),
    ],
)
def test_what_looks_like_a_secret_by_chance_stays(value: Any, secret: str):
    """Conditions look at it."""
    assert save_response(save(), response(json.dumps(value).encode()), known((secret,))) == (value, None)


def test_a_callback_address_is_masked_whichever_delivery_carried_it():
    callbacks = Callbacks("https://hooks.example.com", [b"k" * 32])
    address = callbacks.url("planted/4718", str(UUID(int=1)), "msg_" + "0" * 32, datetime(2026, 3, 1, tzinfo=UTC))
    body = json.dumps({"a": address, "b": address.replace("/", "%2F")}).encode()
    assert save_response(save(), response(body), KnownSecrets()).value == {
        "a": "https://hooks.example.com/callbacks/[…]",
        "b": "https:%2F%2Fhooks.example.com%2Fcallbacks%2F[…]",
    }


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"errors": ["b"]}', ["delivered", "refused"]),
        (204, b'{"errors": null}', ["delivered", "delivered"]),
        (207, b"{}", ["delivered", "delivered"]),
        (226, b"{}", ["unknown", "unknown"]),
        (200, b"<html>", ["unknown", "unknown"]),
        (200, b"", ["unknown", "unknown"]),
        (200, b'{"errors": ["B"]}', ["unknown", "unknown"]),
    ],
)
def test_items_are_accepted_by_a_response_with_a_list_of_refused_ones_only(
    status: int, body: bytes, expected: list[str]
) -> None:
    batch = BatchCall.model_validate({"size": 2, "within": "1m", "results": {"list": "errors", "others": "accepted"}})
    outcomes, _ = item_outcomes(batch, Response(status, {}, body), ["a", "b"])
    assert [one.outcome for one in outcomes] == expected
