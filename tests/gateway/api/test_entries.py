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


async def test_who_came_in_is_told(api: Api):
    api.client.entered = {"withheld": "in the control group", "unplaced": "it is no zone"}
    answer = await api.post("/entries", ENTRY, prefer="wait=1")
    assert answer.json() == {
        "outcome": "admitted",
        "journey": "welcome/7",
        "run": "run",
        "notes": ["contact.timezone is ignored: it is no zone"],
        "withheld": "in the control group",
    }


async def test_who_is_not_known_to_have_come_in_was_accepted(api: Api):
    api.client.entered = {"admitted": False}
    answer = await api.post("/entries", ENTRY, prefer="wait=1")
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")


async def test_who_was_in_already_is_told(api: Api):
    api.client.entered = {"already": True}
    waited = await api.post("/entries", ENTRY, prefer="wait=1")
    assert (waited.status_code, waited.json()["already"], waited.json()["outcome"]) == (200, True, "admitted")
    assert (await api.post("/entries", ENTRY)).json()["already"] is True


async def test_a_refusal_says_why(api: Api):
    api.client.refusals["7"] = NotEntered("the entry rule does not hold", journey="welcome/7")
    for prefer in ("wait=1", ""):
        answer = await api.post("/entries", ENTRY, prefer=prefer)
        assert (answer.status_code, answer.json()) == (
            200,
            {"outcome": "refused", "reason": "the entry rule does not hold", "journey": "welcome/7"},
        )


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
