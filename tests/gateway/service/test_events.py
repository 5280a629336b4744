"""What is told to journeys is what they take."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.errors import BadInput
from gateway.service import events

SECRET = "zoe@example.com"
PARIS = ZoneInfo("Europe/Paris")


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_an_event_is_told_as_it_is() -> None:
    assert events.event_message("order.delivered") == {"name": "order.delivered", "properties": {}}
    properties = {"id": 7, "x": [1.5, None, "é"]}
    assert events.event_message("go", properties, "é" * 200) == {
        "name": "go",
        "properties": properties,
        "id": "é" * 200,
    }
    assert events.event_message("go", {"a": "x" * 260_000}, "e1")["id"] == "e1"
    at = datetime(2026, 11, 27, 10, tzinfo=PARIS)
    assert events.event_message("go", at=at)["at"] == "2026-11-27T09:00:00+00:00"


NAME = "'name' must be an event's name, such as whatsapp.replied"
PLAIN = "the event holds something that JSON does not have, such as NaN: send plain JSON"
IDENTIFIER = "an event's id must be 1 to 200 printable characters"
NO_EVENTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "a bad name": (("go !",), NAME),
    "no text as a name": ((7,), NAME),
    "too large": (
        ("go", {"a": SECRET * 20_000}),
        "the event is larger than 256 KB: leave out what no condition names",
    ),
    "too deep": (("go", nested(99)), "the event's properties are nested too deeply"),
    "much too deep": (("go", nested(20_000)), "the event is nested more than 100 levels deep"),
    "no JSON": (("go", {"a": {SECRET}}), PLAIN),
    "half a character": (
        ("go", {"a": "\ud800"}),
        "a text of the event holds half a character (a lone surrogate): send whole ones",
    ),
    "a long id": (("go", {}, "e" * 201), IDENTIFIER),
    "half a character as an id": (("go", {}, "\ud800"), IDENTIFIER),
}


@pytest.mark.parametrize(("given", "said"), NO_EVENTS.values(), ids=NO_EVENTS.keys())
def test_what_a_journey_would_not_take_as_an_event_is_refused(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        events.event_message(*given)
    assert str(refused.value) == said


def test_a_change_of_the_contact_is_told_as_it_is() -> None:
    patch = {"firstname": "Zoé", "custom": {"size": "38"}, "updated_at": "2026-03-29 10:00:00"}
    assert events.change_message(patch, PARIS) == patch


NO_CHANGES: dict[str, tuple[Any, str]] = {
    "too large": ({"note": "x" * 1_100_000}, "is larger than 1024 KB: leave out what no step names"),
    "of too many parts": ({"note": [{}] * 10_000}, "is made of more than 10,000 objects and lists"),
    "too deep": ({"note": nested(99)}, "is nested too deeply"),
    "much too deep": ({"note": nested(20_000)}, "is nested more than 100 levels deep"),
    "no JSON": ({"note": {SECRET}}, "holds something that JSON does not have, such as NaN: send plain JSON"),
    "malformed": ({"custom": SECRET}, "is malformed: 'custom' of contact: custom fields must be a list or a mapping"),
}


@pytest.mark.parametrize(("patch", "said"), NO_CHANGES.values(), ids=NO_CHANGES.keys())
def test_what_a_journey_would_not_take_as_a_change_is_refused(patch: Any, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        events.change_message(patch, PARIS)
    assert str(refused.value).startswith(f"the change of the contact {said}")
    assert SECRET not in str(refused.value)
