"""What is kept of a response, and what is not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from activities.webhook.http.transport import Response
from activities.webhook.saving import MAX_SAVED, kept
from scenario.model import Save

SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
UNUSABLE = "it does not fit its schema, which cannot be applied to it"
NOT_KEPT = "the response was not kept as 'wax': "


def response(body: bytes, **changes: Any) -> Response:
    return replace(Response(status=200, headers={}, body=body), **changes)


def save(schema: dict[str, Any] | None = None) -> Save:
    return Save.model_validate({"as": "wax", "schema": schema}, by_alias=True)


@pytest.mark.parametrize(
    "value", [{}, [], {"id": "m1", "n": 1.5, "deep": [{"a": None}, True]}, "text", 7, False, 2**53, {"é": "🎁"}]
)
def test_json_is_kept_as_it_is(value: Any):
    assert kept(save(), response(json.dumps(value).encode()), ()) == (value, None)


def test_json_is_json_whatever_its_content_type_and_its_byte_order_mark():
    answer = response(b'\xef\xbb\xbf {"id": "m1"}\r\n', headers={"content-type": "text/html"})
    assert kept(save(SCHEMA), answer, ()) == ({"id": "m1"}, None)


@pytest.mark.parametrize(
    ("answer", "schema", "reason"),
    [
        (response(b""), None, "it is empty"),
        (response(b" \n"), None, "it is empty"),
        (response(b"<html>"), None, "it is not JSON"),
        (response(b'{"a": NaN}'), None, "it is not JSON"),
        (response(b'{"a": Infinity}'), None, "it is not JSON"),
        (response(b'{"a": 1e999}'), None, "it is not JSON"),
        (response(b'{"a": "\\ud800"}'), None, "it is not JSON"),
        (response(b'{"a": "\xff"}'), None, "it is not JSON"),
        (response(b"[" * 15_000), None, "it is not JSON"),
        (response(b"[" * 15_000 + b"]"), None, "it is not JSON"),
        (response(b"9" * 5_000), None, "it is not JSON"),
        (response(b"[" * 40 + b"]" * 40), None, "it is nested more than 32 levels deep"),
        (response(b'{"a": 9223372036854775808}'), None, "it holds a whole number of more than 64 bits"),
        (response(b'"' + b"a" * MAX_SAVED + b'"'), None, "it is larger than 16 KB"),
        (response(b'{"a": 1}', truncated=True), None, "it did not arrive as a whole"),
        (response(b'{"a": 1}', body_error="body_broken"), None, "it did not arrive as a whole"),
        (response(b'{"a": 1}', headers={"content-encoding": "gzip"}), None, "it did not arrive as a whole"),
        (response(b'{"zoe@example.com": 1}'), SCHEMA, "it does not fit its schema, at 'required'"),
        (response(b'{"id": 33612345678}'), SCHEMA, "it does not fit its schema, at 'properties/id/type'"),
        (response(b"{}"), {"$ref": "https://schemas.example/x.json"}, UNUSABLE),
        (response(b"{}"), {"$ref": "#/$defs/none"}, UNUSABLE),
        (response(b"{}"), {"$ref": "file:///etc/passwd"}, UNUSABLE),
        (response(b"{}"), {"$ref": "#"}, UNUSABLE),
    ],
)
def test_what_cannot_be_kept_is_told_and_nothing_more(answer: Response, schema: dict[str, Any] | None, reason: str):
    assert kept(save(schema), answer, ()) == (None, NOT_KEPT + reason)


def test_a_response_of_just_the_size_is_kept():
    body = b'"' + b"a" * (MAX_SAVED - 2) + b'"'
    assert kept(save(), response(body), ()).note is None


def test_secrets_are_masked_wherever_they_stand():
    body = json.dumps({"echo": ["Bearer t0p-secret", {"t0p-secret": "zoe@example.com"}]}).encode()
    assert kept(save(), response(body), ["t0p-secret"]).value == {"echo": ["Bearer […]", {"[…]": "zoe@example.com"}]}
    assert kept(save(), response(b'{"pin": 77123, "n": 771234}'), ["77123"]).value == {"pin": "[…]", "n": 771234}


def test_a_schema_s_own_definitions_are_followed():
    schema = {"$ref": "#/$defs/id", "$defs": {"id": {"type": "integer"}}}
    assert kept(save(schema), response(b"5"), ()) == (5, None)
    assert kept(save(schema), response(b'"5"'), ()).note == NOT_KEPT + "it does not fit its schema, at 'type'"
