"""What is kept of a response, and what is not."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from activities.redaction import KnownSecrets, known
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import MAX_SAVED, save_response
from runtime.public_links import Callbacks
from scenario.model.parts import Save

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
