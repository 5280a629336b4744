"""Contacts are let in, refused or found under way, and the answer says which and where."""

from __future__ import annotations

from typing import Any

from gateway.errors import NotEntered, UnderWay
from tests.gateway.api.conftest import Api

ENTRY: dict[str, Any] = {"scenario": "welcome", "contact": {"id": 7}, "trigger": {"type": "segment"}}


async def test_a_journey_is_started(api: Api):
    answer = await api.post("/entries", ENTRY)
    assert (answer.status_code, answer.json()) == (202, {"journey": "welcome/7", "run": "run"})
    assert api.client.asked == [("7", 0, None)]


PREFERENCES = {
    "wait=5": 5,
    'Wait = "5"': 5,
    "respond-async, wait=5; x=y, wait=7": 5,
    "wait=999": 30,
    "wait=-1": 0,
    "wait=soon": 0,
    "handling=strict": 0,
}


async def test_how_long_is_waited_is_said(api: Api):
    for prefer, waited in PREFERENCES.items():
        answer = await api.post("/entries", ENTRY, prefer=prefer)
        assert answer.headers.get("preference-applied") == (f"wait={waited}" if waited else None)
        assert answer.status_code == (201 if waited else 202)
    assert [settle for _, settle, _ in api.client.asked] == [*PREFERENCES.values()]


STARTED = {"journey": "welcome/7", "run": "run"}
REFUSAL = NotEntered("the entry rule does not hold", journey="welcome/7")
REFUSED = {"outcome": "refused", "reason": "the entry rule does not hold", "journey": "welcome/7"}
BECAME: list[tuple[str, dict[str, Any] | NotEntered, int, dict[str, Any]]] = [
    (
        "wait=1",
        {"withheld": "in the control group", "unplaced": "it is no zone"},
        201,
        {
            "outcome": "admitted",
            **STARTED,
            "notes": ["contact.timezone is ignored: it is no zone"],
            "withheld": "in the control group",
        },
    ),
    ("wait=1", {"admitted": False}, 202, STARTED),
    ("wait=1", {"already": True}, 200, {"outcome": "admitted", **STARTED, "already": True}),
    ("", {"already": True}, 202, {**STARTED, "already": True}),
    ("wait=1", REFUSAL, 200, REFUSED),
    ("", REFUSAL, 200, REFUSED),
]


async def test_the_answer_says_what_became_of_the_contact(api: Api):
    for prefer, became, status, body in BECAME:
        if isinstance(became, NotEntered):
            api.client.refusals["7"] = became
        else:
            api.client.entered = became
        answer = await api.post("/entries", ENTRY, prefer=prefer)
        assert (answer.status_code, answer.json()) == (status, body)
        assert answer.headers.get("preference-applied") == (prefer or None)


async def test_who_is_under_way_is_a_conflict_with_the_journey(api: Api):
    api.client.refusals["7"] = UnderWay("the contact is in welcome already", journey="welcome/7")
    answer = await api.post("/entries", ENTRY)
    assert (answer.status_code, answer.json()["code"], answer.json()["journey"]) == (409, "conflict", "welcome/7")


async def test_what_is_no_entry_is_told(api: Api):
    wrong: list[tuple[dict[str, Any], int, list[str]]] = [
        ({"content": b"scenario: welcome", "headers": {"content-type": "application/yaml"}}, 415, []),
        ({"content": b"{}"}, 415, []),
        ({"json": ["welcome"]}, 422, [""]),
        ({"headers": {"content-type": "application/json"}}, 422, [""]),
    ]
    for given, status, pointers in wrong:
        answer = await api.call("POST", "/entries", **given)
        assert (answer.status_code, [mistake["pointer"] for mistake in answer.json()["errors"]]) == (status, pointers)
