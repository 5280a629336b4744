"""What becomes of entries and of events, one by one, in the order given."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.api.limits import AT_ONCE
from runtime.store import StoreUnavailable
from service.errors import MistakenEntry, NotEntered, NotFound, UnderWay
from tests.gateway.api.conftest import Door

ENTRY: dict[str, Any] = {"scenario": "welcome", "contact": {"id": 7}, "trigger": {"type": "segment"}}


PREFERENCES = {
    "": 0,
    "wait=5": 5,
    'Wait = "5"': 5,
    "respond-async, wait=5; x=y, wait=7": 5,
    "wait=999": 30,
    "wait=-1": 0,
    "wait=soon": 0,
    "handling=strict": 0,
}


async def test_how_long_is_waited_is_said(api: Door):
    for prefer, waited in PREFERENCES.items():
        answer = await api.post("/entries", ENTRY, prefer=prefer)
        assert answer.headers.get("preference-applied") == (f"wait={waited}" if waited else None)
        assert answer.status_code == (201 if waited else 202)
    assert api.client.asked == [("7", waited, None) for waited in PREFERENCES.values()]


STARTED = {"journey": "welcome/7", "run": "run"}
ADMITTED = {"outcome": "admitted", **STARTED}
NOTED = ADMITTED | {"notes": ["contact.timezone is ignored: it is no zone"], "withheld": "in the control group"}
REFUSAL = NotEntered("the entry rule does not hold", journey="welcome/7")
REFUSED = {"outcome": "refused", "reason": "the entry rule does not hold", "journey": "welcome/7"}
BECAME: list[tuple[str, dict[str, Any] | NotEntered, int, dict[str, Any]]] = [
    ("", {}, 202, STARTED),
    ("wait=1", {"withheld": "in the control group", "unplaced": "it is no zone"}, 201, NOTED),
    ("wait=1", {"admitted": False}, 202, STARTED),
    ("wait=1", {"already": True}, 200, {**ADMITTED, "already": True}),
    ("", {"already": True}, 202, {**STARTED, "already": True}),
    ("wait=1", REFUSAL, 200, REFUSED),
    ("", REFUSAL, 200, REFUSED),
]


async def test_the_answer_says_what_became_of_the_contact(api: Door):
    for prefer, became, status, body in BECAME:
        if isinstance(became, NotEntered):
            api.client.refusals["7"] = became
        else:
            api.client.entered = became
        answer = await api.post("/entries", ENTRY, prefer=prefer)
        assert (answer.status_code, answer.json()) == (status, body)
        assert answer.headers.get("preference-applied") == (prefer or None)


async def test_what_is_no_entry_is_told(api: Door):
    yaml, plain = {"content-type": "application/yaml"}, {"content-type": "application/json"}
    for content, headers, status, pointers in (
        (b"scenario: welcome", yaml, 415, []),
        (b"{}", {}, 415, []),
        (b'["welcome"]', plain, 422, [""]),
        (None, plain, 422, [""]),
    ):
        answer = await api.ask("POST", "/entries", content=content, headers=headers)
        assert (answer.status_code, [mistake["pointer"] for mistake in answer.json()["errors"]]) == (status, pointers)


EVENT: dict[str, Any] = {"contact": "7", "name": "order.delivered"}


async def test_a_contacts_journeys_are_told_or_one(api: Door):
    told = {"properties": {"order": 1}, "id": "e1", "at": "2026-11-27T10:00+01:00"}
    answer = await api.post("/events", {**EVENT, **told})
    assert (answer.status_code, answer.json()) == (
        202,
        {"told": 2, "pending": 0, "unknown": False, "goals": 1, "unused": 0},
    )
    at = datetime(2026, 11, 27, 9, tzinfo=UTC)
    assert api.client.asked == [("7", "order.delivered", {"order": 1}, "e1", {"at": at, "scenarios": None})]
    event = {"journey": "welcome/7/CGX0094", "name": "order.delivered"}
    assert (await api.post("/events", event)).json()["told"] == 1
    api.client.refusals["welcome/7/CGX0094"] = NotFound("there is no journey welcome/7/CGX0094")
    answer = await api.post("/events", event)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_answers_tell_pending_unknown_and_over_apart(api: Door):
    for whom, said in (("nobody", (0, 0, True)), ("early", (0, 1, False)), ("over", (0, 0, False))):
        answers = [
            await api.post("/events", {**EVENT, "contact": whom}),
            await api.ask("PATCH", f"/contacts/{whom}", json={}),
            await api.post("/events", {"journey": whom, "name": "order.delivered"}),
        ]
        assert [answer.status_code for answer in answers] == [202, 200, 202]
        batch = (await api.post("/events/batch", [{**EVENT, "contact": whom}])).json()["results"]
        for told in (*(answer.json() for answer in answers), *batch):
            assert (told["told"], told["pending"], told["unknown"]) == said


KEPT = {"7": True, "early": True, "indifferent": True, "over": False, "nobody": False}


@pytest.mark.parametrize(("whom", "kept"), KEPT.items())
async def test_that_nobody_was_told_is_not_kept_as_the_answer(api: Door, whom: str, kept: bool):
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/events", {**EVENT, "contact": whom}),
        ("POST", "/events/batch", [{**EVENT, "contact": whom}]),
        ("PATCH", f"/contacts/{whom}", {"language": "fr"}),
    ]
    for index, (method, path, body) in enumerate(requests):
        for turn in range(2):
            answer = await api.ask(method, path, json=body, headers={"idempotency-key": str(index)})
            assert answer.headers.get("idempotency-replayed") == ("true" if turn and kept else None)
    ids = [asked[3] for asked in api.client.asked if asked[1] == "order.delivered"]
    assert len(ids) == (2 if kept else 4)
    assert len({*ids}) == 2, "an event that is told again has its id again"


async def test_a_path_names_a_contact(api: Door):
    for method, query in (("PATCH", ""), ("DELETE", "?reason=4711")):
        answer = await api.ask(method, f"/contacts/%20{query}", json={})
        assert (answer.status_code, "an id cannot be blank" in answer.text) == (422, True)
    answer = await api.ask("PATCH", "/contacts/a%2Fb%20c", json={"language": "fr"})
    assert (answer.status_code, api.client.asked[0][:2]) == (200, ("a/b c", {"language": "fr"}))


async def test_under_an_idempotency_key_an_event_has_an_id(api: Door):
    await api.post("/events", EVENT, idempotency_key="a")
    await api.post("/events", {**EVENT, "contact": 7, "id": "mine"}, idempotency_key="b")
    await api.post("/events/batch", [EVENT, EVENT], idempotency_key="c")
    ids = [asked[3] for asked in api.client.asked]
    assert (api.client.asked[1][0], ids[1]) == ("7", "mine")
    assert len({*ids}) == 4


async def test_what_is_no_event_is_told_in_a_batch_as_it_is_alone(api: Door):
    for event in ({"contact": "7"}, {**EVENT, "contact": ["7"]}, {**EVENT, "mail": "zoe@example.com"}):
        alone = await api.post("/events", event)
        batch = (await api.post("/events/batch", [event])).json()["results"][0]
        assert (alone.status_code, batch["problem"]["errors"]) == (422, alone.json()["errors"])
        assert "zoe" not in alone.text


LINES = {"content-type": "application/x-ndjson"}


def entry(contact: object = 7, **more: Any) -> dict[str, Any]:
    return {"scenario": "welcome", "contact": {"id": contact}, "trigger": {"type": "segment"}, **more}


def lines(*values: Any) -> str:
    return "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)


async def results(api: Door, batch: list[Any] | str, path: str = "/entries/batch") -> list[dict[str, Any]]:
    """Return what became of each item of a batch, which is JSON or lines of it."""
    given: dict[str, Any] = {"content": batch, "headers": LINES} if isinstance(batch, str) else {"json": batch}
    answer = await api.ask("POST", path, **given)
    assert answer.status_code == 200
    told = answer.json()
    assert told["accepted"] == sum(one["status"] == 202 for one in told["results"])
    return told["results"]


async def test_each_is_answered_at_its_place(api: Door):
    api.client.refusals = {
        "8": UnderWay("the contact is in welcome already", journey="welcome/8"),
        "9": NotEntered("no consent"),
        "10": MistakenEntry("there is no such scenario", at=["scenario"], meant="welcome"),
    }
    limited = await api.limited(scenarios=["welcome"])
    batch = [*(entry(contact) for contact in (7, 8, 9, 10)), "seven", entry(scenario="other")]
    told = await results(limited, batch)
    assert [(one["index"], one["status"]) for one in told] == list(enumerate([202, 409, 200, 422, 422, 403]))
    first, under_way, refused, mistaken, *_ = told
    assert first == {"index": 0, "status": 202, "journey": "welcome/7", "run": "run"}
    assert (under_way["problem"]["code"], under_way["problem"]["journey"]) == ("conflict", "welcome/8")
    assert refused["reason"] == "no consent"
    assert mistaken["problem"]["errors"][0]["did_you_mean"] == "welcome"


async def test_lines_that_cannot_be_read_are_their_own_problem(api: Door):
    bad = ["{", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": "\\ud800"}', "[" * 600, "{} {}"]
    told = await results(api, lines(entry(1), "", *bad, "  ", entry(2)) + "\r\n")
    assert [one["status"] for one in told] == [202, *[400] * len(bad), 202]
    assert told[1]["problem"]["detail"].startswith("item 1 is not JSON (line 1, column 2): ")


async def test_many_are_done_some_at_a_time_and_answered_in_order(api: Door, monkeypatch: pytest.MonkeyPatch):
    under_way = most = 0
    entries = api.client.services.entries
    enter = entries.enter

    async def watched(*given: Any, **more: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return await enter(*given, **more)

    monkeypatch.setattr(entries, "enter", watched)
    told = await results(api, [entry(number) for number in range(120)])
    assert [one["journey"] for one in told] == [f"welcome/{number}" for number in range(120)]
    assert most == AT_ONCE["items"]


async def test_events_of_one_contact_are_told_in_their_order(api: Door):
    batch = [{"contact": str(number % 3), "name": f"step.{number}"} for number in range(60)]
    assert [one["status"] for one in await results(api, lines(*batch), "/events/batch")] == [202] * 60
    for contact in range(3):
        told = [name for who, name, *_ in api.client.asked if who == str(contact)]
        assert told == [f"step.{number}" for number in range(contact, 60, 3)]


NO_BATCHES = [
    (b"", 422, "the batch is empty"),
    (b"[" * 100_000, 400, "the body cannot be read: it is nested too deeply to be read"),
    (b"[" + b"{}," * 1000 + b"{}]", 422, "a batch may have 1,000 items at most: send several"),
]
MOST = 5 * 1024 * 1024


async def test_what_is_no_batch_does_nothing_and_its_form_and_size_are_bounded(api: Door):
    for content, status, detail in NO_BATCHES:
        headers = {"content-type": "application/json"} if content else LINES
        answer = await api.ask("POST", "/entries/batch", content=content, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert api.client.asked == []
    form = await api.ask("POST", "/entries/batch", content=b"a,b", headers={"content-type": "text/csv"})
    assert form.status_code == 415
    more = await api.ask("POST", "/entries/batch", content=b" " * (MOST + 1), headers=LINES)
    assert more.status_code == 413
    assert await results(api, "\n" * (MOST - 2) + "{}") != []


async def test_an_unexpected_error_stops_no_other_item_and_what_all_need_does(
    api: Door, caplog: pytest.LogCaptureFixture
):
    api.client.refusals = {"1": RuntimeError("zoe@example.com")}
    assert [one["status"] for one in await results(api, [entry(number) for number in range(3)])] == [202, 500, 202]
    assert ("zoe" in caplog.text, "RuntimeError" in caplog.text) == (False, True)
    api.client.refusals = {str(number): StoreUnavailable("The store is gone.") for number in range(1, 200)}
    told = await results(api, [entry(number) for number in range(200)])
    assert [one["status"] for one in told] == [202, *[503] * 199]
    assert len(api.client.asked) <= 3 + 51
