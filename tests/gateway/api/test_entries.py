"""What becomes of entries and of events, one by one, in the order given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import NotEntered, NotFound, UnderWay
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


EVENT: dict[str, Any] = {"contact": "7", "name": "order.delivered"}


async def test_a_contacts_journeys_are_told(api: Api):
    answer = await api.post(
        "/events", {**EVENT, "properties": {"order": 1}, "id": "e1", "at": "2026-11-27T10:00+01:00"}
    )
    assert (answer.status_code, answer.json()) == (202, {"told": 2, "pending": 0, "unknown": False, "goals": 1})
    at = datetime(2026, 11, 27, 9, tzinfo=UTC)
    assert api.client.asked == [("7", "order.delivered", {"order": 1}, "e1", {"at": at, "scenarios": None})]


async def test_answers_tell_pending_unknown_and_over_apart(api: Api):
    for whom, said in (("nobody", (0, 0, True)), ("early", (0, 1, False)), ("over", (0, 0, False))):
        answers = [
            await api.post("/events", {**EVENT, "contact": whom}),
            await api.call("PATCH", f"/contacts/{whom}", json={}),
            await api.post("/events", {"journey": whom, "name": "order.delivered"}),
        ]
        assert [answer.status_code for answer in answers] == [202, 200, 202]
        batch = (await api.post("/events/batch", [{**EVENT, "contact": whom}])).json()["results"]
        for told in (*(answer.json() for answer in answers), *batch):
            assert (told["told"], told["pending"], told["unknown"]) == said


@pytest.mark.parametrize(("whom", "kept"), [("7", True), ("early", True), ("over", False), ("nobody", False)])
async def test_that_nobody_was_told_is_not_kept_as_the_answer(api: Api, whom: str, kept: bool):
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/events", {**EVENT, "contact": whom}),
        ("POST", "/events/batch", [{**EVENT, "contact": whom}]),
        ("PATCH", f"/contacts/{whom}", {"language": "fr"}),
    ]
    for index, (method, path, body) in enumerate(requests):
        for turn in range(2):
            answer = await api.call(method, path, json=body, headers={"idempotency-key": str(index)})
            assert answer.headers.get("idempotency-replayed") == ("true" if turn and kept else None)
    ids = [asked[3] for asked in api.client.asked if asked[1] == "order.delivered"]
    assert len(ids) == (2 if kept else 4)
    assert len({*ids}) == 2, "an event that is told again has its id again"


async def test_a_path_names_a_contact(api: Api):
    answers = [
        await api.call("PATCH", "/contacts/%20", json={}),
        await api.call("DELETE", "/contacts/%20", params={"reason": "4711"}),
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert "an id cannot be blank" in answers[1].text
    answer = await api.call("PATCH", "/contacts/a%2Fb%20c", json={"language": "fr"})
    assert (answer.status_code, api.client.asked[0][:2]) == (200, ("a/b c", {"language": "fr"}))


async def test_one_journey_is_told(api: Api):
    event = {"journey": "welcome/7/CGX0094", "name": "order.delivered"}
    assert (await api.post("/events", event)).json()["told"] == 1
    api.client.refusals["welcome/7/CGX0094"] = NotFound("there is no journey welcome/7/CGX0094")
    answer = await api.post("/events", event)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_under_an_idempotency_key_an_event_has_an_id(api: Api):
    await api.post("/events", EVENT, idempotency_key="a")
    await api.post("/events", {**EVENT, "contact": 7, "id": "mine"}, idempotency_key="b")
    await api.post("/events/batch", [EVENT, EVENT], idempotency_key="c")
    ids = [asked[3] for asked in api.client.asked]
    assert (api.client.asked[1][0], ids[1]) == ("7", "mine")
    assert len({*ids}) == 4


NO_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"name": "order.delivered"}, ""),
    ({**EVENT, "journey": "welcome/7"}, ""),
    ({"contact": "7"}, "/name"),
    ({**EVENT, "at": "2026-11-27T10:00:00"}, "/at"),
    ({**EVENT, "at": "9999-12-31T23:59:59-14:00"}, "/at"),
    ({**EVENT, "at": "0001-01-01T00:00:00+14:00"}, "/at"),
    ({**EVENT, "id": ""}, "/id"),
    ({**EVENT, "contact": ["7"]}, "/contact"),
    ({**EVENT, "mail": "zoe@example.com"}, "/mail"),
]


async def test_what_is_no_event_is_told_alone_and_in_a_batch(api: Api):
    for event, pointer in NO_EVENTS:
        alone = await api.post("/events", event)
        assert alone.status_code == 422
        batch = (await api.post("/events/batch", [event])).json()["results"][0]
        assert batch["problem"]["errors"] == alone.json()["errors"]
        assert [error["pointer"] for error in alone.json()["errors"]] == [pointer]
        assert "zoe" not in alone.text
