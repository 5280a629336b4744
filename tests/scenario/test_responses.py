"""A response is kept where it is small JSON that fits; why it is not says nothing of what is in it."""

import json
import time
from typing import Any

import pytest

from scenario.model import Save
from scenario.responses import MAX_RESPONSE, keep


def save(schema: dict[str, Any] | None = None) -> Save:
    return Save.model_validate({"as": "wax", "schema": schema}, by_alias=True, by_name=False)


KEPT: tuple[tuple[bytes, Any], ...] = (
    (b'{"id": "a", "n": [1, 2.5, null]}', {"id": "a", "n": [1, 2.5, None]}),
    (b"[]", []),
    (b'"text"', "text"),
    (b"null", None),
    (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    (b'"\\ud83d\\ude00 \\ud800 \\u00e9"', "😀 \ufffd é"),
    (json.dumps("x" * (MAX_RESPONSE - 2)).encode(), "x" * (MAX_RESPONSE - 2)),
)


@pytest.mark.parametrize(("body", "value"), KEPT, ids=[repr(body[:20]) for body, _ in KEPT])
def test_json_is_kept_as_it_is(body: bytes, value: Any):
    kept = keep(save(), body)

    assert (kept.value, kept.note) == (value, None)


SECRET = "hush-4711"
NOT_KEPT: tuple[tuple[bytes, str], ...] = (
    (b"", "it is no JSON"),
    (f"<p>{SECRET}</p>".encode(), "it is no JSON"),
    (f'{{"a": "{SECRET}"'.encode(), "it is no JSON"),
    (b"\xff\xfe\xfd", "it is no JSON"),
    (b"NaN", "it is no JSON"),
    (b"9" * 5000, "it is no JSON"),
    (b"[" * 5000 + b"]" * 5000, "it is no JSON"),
    (b"[" * 120 + b"]" * 120, "it is nested too deeply"),
    (json.dumps("x" * (MAX_RESPONSE - 1)).encode(), "it is larger than 16 KB or was cut off"),
)


@pytest.mark.parametrize(("body", "why"), NOT_KEPT, ids=[repr(body[:20]) for body, _ in NOT_KEPT])
def test_anything_else_is_not_kept_and_the_note_says_why(body: bytes, why: str):
    kept = keep(save({}), body)

    assert (kept.value, kept.note) == (None, f"the response was not kept: {why}")


def test_what_came_in_part_is_not_kept_although_it_may_be_json():
    assert keep(save(), b"12", complete=False).value is None


ID = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "maxLength": 5}}}
MISFITS: tuple[tuple[dict[str, Any], Any, str | None], ...] = (
    (ID, {"id": "a"}, None),
    (ID, {"id": 1}, ", at properties/id/type"),
    (ID, {"id": SECRET}, ", at properties/id/maxLength"),
    (ID, {SECRET: SECRET}, ", at required"),
    (ID, [SECRET], ", at type"),
    ({"additionalProperties": False}, {SECRET: 1}, ", at additionalProperties"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, 1, ", at type"),
    ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, 1, ", at anyOf"),
    ({"enum": ["a"]}, SECRET, ", at enum"),
    ({"items": {"pattern": "^(a+)+$"}, "uniqueItems": True}, [f"{'a' * 60}!"] * 2, None),
    ({"type": "string", "format": "date"}, SECRET, None),
)


@pytest.mark.parametrize(("schema", "value", "place"), MISFITS, ids=[str(schema)[:50] for schema, _, _ in MISFITS])
def test_what_does_not_fit_its_schema_is_not_kept(schema: dict[str, Any], value: Any, place: str | None):
    kept = keep(save(schema), json.dumps(value).encode())

    assert kept.note == (None if place is None else f"the response was not kept: it does not fit the schema{place}")
    assert kept.value == (value if place is None else None)
    assert SECRET not in str(kept.note)


SELF = {"properties": {"a": {"$ref": "#"}}}
HOSTILE: tuple[tuple[dict[str, Any], bytes], ...] = (
    ({"anyOf": [SELF | {"type": "array"}, {"not": SELF}, {"not": {"not": SELF}}]}, b'{"a":' * 90 + b"1" + b"}" * 90),
    ({"items": {"anyOf": [{"const": 1}, {"const": 2}, {"type": "object"}]}}, json.dumps([[]] * 4000).encode()),
    ({"items": {"anyOf": [{"type": "null"}] * 40}}, json.dumps([1] * 8000, separators=(",", ":")).encode()),
)  # fmt: skip


@pytest.mark.parametrize(("schema", "body"), HOSTILE, ids=range(len(HOSTILE)))
def test_no_response_takes_a_schema_long(schema: dict[str, Any], body: bytes):
    start = time.thread_time()

    assert keep(save(schema), body).value is None

    assert time.thread_time() - start < 0.5
