"""What counts as an event that an outsider tells."""

import json
from typing import Any

import pytest

from gateway.errors import BadInput
from gateway.telling import Told

SECRET = "zoe.obrien@example.com"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("content", "event"),
    [
        ({"name": "whatsapp.replied"}, Told(name="whatsapp.replied")),
        (
            {"name": "a:b-c_d", "properties": {"text": "é\u2028", "n": [1, 2.5, None, True]}, "id": "evt_1"},
            Told(name="a:b-c_d", properties={"text": "é\u2028", "n": [1, 2.5, None, True]}, id="evt_1"),
        ),
        ({"name": "x", "id": None}, Told(name="x")),
    ],
)
def test_an_event_is_read(content: Any, event: Told):
    assert Told.parse(json.dumps(content).encode()) == event
    assert Told.parse(json.dumps(content, ensure_ascii=False).encode()) == event


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"name=x", "the body is not JSON"),
        (b'{"name": "x"} {"name": "y"}', "the body is not JSON"),
        (b'{"name": "x", "properties": {"a": "\\ud800"}}', "the body is not JSON"),
        (b'{"name": "x", "properties": {"a": NaN}}', "plain JSON does not have"),
        (b'{"name": "x", "properties": {"a": 1e999}}', "plain JSON does not have"),
        (b'{"name": "x", "properties": {"a": ' + b"9" * 5000 + b"}}", "the body is not JSON"),
        (b"[]", "the body must be an object"),
        (b'"x"', "the body must be an object"),
        ({}, "'name' must be an event's name"),
        ({"name": 1}, "'name' must be an event's name"),
        ({"name": SECRET}, "'name' must be an event's name"),
        ({"name": "x\n"}, "'name' must be an event's name"),
        ({"name": "x" * 201}, "'name' must be an event's name"),
        ({"name": "x", "properties": [SECRET]}, "'properties' must be an object"),
        ({"name": "x", "properties": None}, "'properties' must be an object"),
        ({"name": "x", "id": 1}, "'id' must be 1 to 128"),
        ({"name": "x", "id": ""}, "'id' must be 1 to 128"),
        ({"name": "x", "id": "a b"}, "'id' must be 1 to 128"),
        ({"name": "x", "id": "a" * 129}, "'id' must be 1 to 128"),
        ({"name": "x", "more": SECRET}, "and nothing else"),
        ({"name": "x", "properties": nested(150)}, "nested too deeply"),
        (b'{"name": "x", "properties": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, "the body is not JSON"),
    ],
)
def test_what_is_no_event_is_told_why_and_not_quoted(content: Any, wanted: str):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BadInput) as caught:
        Told.parse(raw)
    assert wanted in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
