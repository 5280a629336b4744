"""Batches: an answer per item, in order; what is wrong with one is no other's business."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from gateway.api.limits import AT_ONCE
from gateway.errors import MistakenEntry, NotEntered, UnderWay
from runtime.store import StoreUnavailable
from tests.gateway.api.conftest import Api

LINES = {"content-type": "application/x-ndjson"}


def entry(contact: object = 7, **more: Any) -> dict[str, Any]:
    return {"scenario": "welcome", "contact": {"id": contact}, "trigger": {"type": "segment"}, **more}


def lines(*values: Any) -> str:
    return "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)


async def test_each_is_answered_at_its_place(api: Api):
    api.client.refusals = {
        "8": UnderWay("the contact is in welcome already", journey="welcome/8"),
        "9": NotEntered("no consent"),
        "10": MistakenEntry("there is no such scenario", at=["scenario"], meant="welcome"),
    }
    limited = api.holding(await api.key(scenarios=["welcome"]))
    batch = [*(entry(contact) for contact in (7, 8, 9, 10)), "seven", entry(scenario="other")]
    answer = await limited.post("/entries/batch", batch)
    told = answer.json()
    assert (answer.status_code, told["accepted"]) == (200, 1)
    assert [(one["index"], one["status"]) for one in told["results"]] == list(enumerate([202, 409, 200, 422, 422, 403]))
    first, under_way, refused, mistaken, *_ = told["results"]
    assert first == {"index": 0, "status": 202, "journey": "welcome/7", "run": "run"}
    assert (under_way["problem"]["journey"], refused["reason"]) == ("welcome/8", "no consent")
    assert mistaken["problem"]["errors"][0]["did_you_mean"] == "welcome"


async def test_lines_that_cannot_be_read_are_their_own_problem(api: Api):
    bad = ["{", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": "\\ud800"}', "[" * 600, "{} {}"]
    content = lines(entry(1), "", *bad, "  ", entry(2)) + "\r\n"
    answer = await api.call("POST", "/entries/batch", content=content, headers=LINES)
    told = answer.json()
    assert [one["status"] for one in told["results"]] == [202, *[400] * len(bad), 202]
    assert told["results"][1]["problem"]["detail"].startswith("item 1 is not JSON (line 1, column 2): ")
    assert told["accepted"] == 2


async def test_many_are_done_some_at_a_time_and_answered_in_order(api: Api, monkeypatch: pytest.MonkeyPatch):
    under_way = most = 0
    entries = api.client.services.entries
    enter = entries.enter

    async def watched(*given: Any, **more: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            await asyncio.sleep(0.01)
            return await enter(*given, **more)
        finally:
            under_way -= 1

    monkeypatch.setattr(entries, "enter", watched)
    answer = await api.post("/entries/batch", [entry(number) for number in range(120)])
    told = answer.json()
    assert [one["journey"] for one in told["results"]] == [f"welcome/{number}" for number in range(120)]
    assert (told["accepted"], most) == (120, AT_ONCE["items"])


async def test_events_of_one_contact_are_told_in_their_order(api: Api):
    batch = [{"contact": str(number % 3), "name": f"step.{number}"} for number in range(60)]
    answer = await api.call("POST", "/events/batch", content=lines(*batch), headers=LINES)
    assert Counter(one["status"] for one in answer.json()["results"]) == {202: 60}
    for contact in "012":
        told = [int(name.removeprefix("step.")) for who, name, *_ in api.client.asked if who == contact]
        assert told == sorted(told)
        assert len(told) == 20


NO_BATCHES = [
    (b"", 422, "the batch is empty"),
    (b"[]", 422, "the batch is empty"),
    (b"{}", 422, "a batch must be an array"),
    (b"[{}, {}", 400, "the body is not JSON (line 1, column 8): it ends before its last bracket is closed"),
    (b"[{},]", 400, "the body is not JSON (line 1, column 4): there is one comma too many"),
    (b"[{} {}]", 400, "the body is not JSON (line 1, column 5): a comma is missing"),
    (b"[{}] x", 400, "the body is not JSON (line 1, column 6): there is something after the end"),
    (b"[{}, \xff]", 400, "the body is not UTF-8"),
    (b"[" * 100_000, 400, "the body cannot be read: it is nested too deeply to be read"),
    (b"[" + b"{}," * 1000 + b"{}]", 422, "a batch may have 1,000 items at most: send several"),
]


async def test_what_is_no_batch_does_nothing(api: Api):
    for content, status, detail in NO_BATCHES:
        headers = {"content-type": "application/json"} if content else LINES
        answer = await api.call("POST", "/entries/batch", content=content, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert api.client.asked == []


async def test_its_form_and_its_size_are_bounded(api: Api):
    form = await api.call("POST", "/entries/batch", content=b"a,b", headers={"content-type": "text/csv"})
    assert form.status_code == 415
    more = await api.call("POST", "/entries/batch", content=b" " * (5 * 1024 * 1024 + 1), headers=LINES)
    assert more.status_code == 413
    lots = await api.call("POST", "/entries/batch", content=b"\n" * (5 * 1024 * 1024 - 2) + b"{}", headers=LINES)
    assert [one["status"] for one in lots.json()["results"]] != []


async def test_when_what_all_need_is_gone_the_rest_is_not_tried(api: Api):
    api.client.refusals = {str(number): StoreUnavailable("The store is gone.") for number in range(1, 200)}
    answer = await api.post("/entries/batch", [entry(number) for number in range(200)])
    told = answer.json()
    assert [one["status"] for one in told["results"]] == [202, *[503] * 199]
    assert len(api.client.asked) <= 51


async def test_an_item_that_fails_for_a_reason_nobody_knows_stops_no_other(api: Api, caplog: pytest.LogCaptureFixture):
    api.client.refusals = {"1": RuntimeError("zoe@example.com")}
    answer = await api.post("/entries/batch", [entry(number) for number in range(3)])
    assert [one["status"] for one in answer.json()["results"]] == [202, 500, 202]
    assert "zoe" not in caplog.text
    assert "RuntimeError" in caplog.text
