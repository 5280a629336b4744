"""Operations on journeys over HTTP: what is asked for, what is answered, and for whom."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from runtime.store import OperationItem, Store
from service.view import encode_cursor
from tests.factories import NOW, admission_request, publish
from tests.gateway.api.conftest import HELLO, Door, opened
from tests.search import Search

RETRY = {"operation": "retry", "which": {"scenario": "hello"}, "reason": "the receiver is back"}


@pytest.fixture
def server() -> Search:
    return Search(strict=True)


@pytest.fixture
async def door(store: Store, server: Search) -> AsyncIterator[Door]:
    await publish(store, HELLO)
    async with opened(store, server) as door:
        yield door


async def test_an_operation_begins_in_the_background(door: Door, server: Search):
    answer = await door.ask("POST", "/operations", json={**RETRY, "rate": 5, "dry_run": True, "now": True})
    assert answer.status_code == 202, answer.text
    begun = answer.json()
    assert answer.headers["location"] == f"/v1/operations/{begun['id']}"
    assert (begun["operation"], begun["state"], begun["total"], begun["rate"]) == ("retry", "surveying", 0, 5)
    assert (begun["which"], begun["more"], begun["dry_run"]) == ({"scenario": "hello"}, {"now": True}, True)
    assert begun["operator"].startswith("key ")
    assert list(server.started) == [f"operation:{begun['id']}"]
    assert await door.call("GET", f"/operations/{begun['id']}") == begun
    assert (await door.call("GET", "/operations"))["items"] == [begun]


async def test_a_retry_may_include_what_may_have_been_delivered(door: Door):
    begun = await door.call("POST", "/operations", status=202, json={**RETRY, "unknown": True})
    assert (begun["unknown"], begun["uncertain"]) == (True, None)
    request = {"which": {}, "unknown": True, "uncertain": {"delivered": 2, "failed": 1, "nothing": 0}}
    await door.store.complete_survey(begun["id"], request, NOW)
    told = await door.call("GET", f"/operations/{begun['id']}")
    assert told["uncertain"] == {"delivered": 2, "failed": 1, "nothing": 0}
    assert (await door.call("POST", "/operations", status=202, json=RETRY))["unknown"] is False
    problem = await door.call("POST", "/operations", status=422, json={**RETRY, "operation": "skip", "unknown": True})
    (mistake,) = problem["errors"]
    assert (mistake["pointer"], mistake["detail"]) == ("/unknown", "'unknown' is for retry: leave it out")


async def test_its_journeys_are_listed_page_by_page(door: Door):
    begun = await door.call("POST", "/operations", status=202, json=RETRY)
    path = f"/operations/{begun['id']}"
    items = [OperationItem(number=n, workflow_id=f"hello/{n}", step="hook") for n in range(5)]
    await door.store.add_items(begun["id"], items)
    await door.store.record_answer(begun["id"], "hello/3", "refused", "the journey is not held", NOW)
    pages = await door.pages(f"{path}/items", limit=2)
    assert [[item["journey"][-1] for item in page] for page in pages] == [["0", "1"], ["2", "3"], ["4"]]
    (refused,) = (await door.call("GET", f"{path}/items?outcome=refused"))["items"]
    assert (refused["journey"], refused["reason"]) == ("hello/3", "the journey is not held")
    told = await door.call("GET", path)
    assert (told["total"], told["refused"], told["left"]) == (5, 1, 4)


async def test_a_stop_is_passed_on_with_who_and_why(door: Door, server: Search):
    begun = await door.call("POST", "/operations", status=202, json=RETRY)
    stop = f"/operations/{begun['id']}/stop"
    await door.call("POST", stop, json={"reason": "wrong one", "operator": "bob"})
    ((_, _, signal),) = server.signals
    assert signal == {"operator": f"bob ({begun['operator']})", "reason": "wrong one"}
    await door.store.end_operation(begun["id"], "stopped", NOW)
    problem = await door.call("POST", stop, json={"reason": "again"}, status=409)
    assert problem["detail"] == f"{begun['id']}: the operation has ended (stopped)"


async def test_a_journey_is_operated_under_its_id_with_slashes(door: Door, server: Search):
    body = {"reason": "it is back", "operator": "ann", "step": "hook", "version": "newest"}
    name = (await door.call("POST", "/operations", status=202, json=RETRY))["operator"]
    for path in ("/journeys/hello/7/A-1/retry", "/journeys/hello%2F7%2FA-1/retry"):
        told = await door.call("POST", path, json=body, headers={"idempotency-key": path})
        assert told == {"journey": "hello/7/A-1", "progress": {"state": "running", "at": "hook"}}
        journey, verb, argument, update_id = server.updates.pop()
        assert (journey, verb) == ("hello/7/A-1", "retry_step")
        assert argument == {"operator": f"ann ({name})", "reason": "it is back", "step": "hook", "version": "newest"}
        assert update_id is not None, "sent again, it is the same update"


async def test_what_a_journey_refuses_is_said_with_its_words(door: Door, server: Search):
    server.refuses = "nothing to retry: the journey is not held"
    problem = await door.call("POST", "/journeys/hello/7/retry", json={"reason": "x"}, status=409)
    assert (problem["code"], problem["detail"]) == ("not-accepted", f"hello/7: {server.refuses}")


async def test_journeys_are_listed_page_by_page_and_shown(door: Door, server: Search):
    for number in range(5):
        await door.store.admit(admission_request(str(number), "hello"))
        await door.store.depart(f"hello/{number}", "run-1", "finished", None, NOW)
    pages = await door.pages("/journeys", limit=3, scenario="hello", state="finished")
    assert [[item["id"][-1] for item in page] for page in pages] == [["4", "3", "2"], ["1", "0"]]
    for path in ("/journeys/hello/3", "/journeys/hello%2F3"):
        shown = await door.call("GET", path)
        assert (shown["id"], shown["state"], shown["status"]) == ("hello/3", "finished", "forgotten")
    for place, state in product(([], [5], ["xy"], ["00"]), ("", "state=waiting&", "state=held&")):
        await door.call("GET", f"/journeys?{state}cursor={encode_cursor(place)}", status=422)


async def test_journeys_under_way_are_found_by_search(door: Door, server: Search):
    for number in range(5):
        await door.store.admit(admission_request(str(number), "hello"))
        known = {"JourneyState": "retrying" if number else "paused", "Destination": "wax", "StartTime": NOW.isoformat()}
        server.add(f"hello/{number}", StepId="hook", **known)

    async def found(**query: str) -> list[str]:
        return [item["id"] for page in await door.pages("/journeys", limit=3, step="hook", **query) for item in page]

    assert await found(state="retrying", destination="wax") == [f"hello/{number}" for number in range(4, 0, -1)]
    assert await found(state="paused", since=NOW.isoformat()) == ["hello/0"]
    assert await found(since=(NOW + timedelta(seconds=1)).isoformat()) == []


async def test_a_cursor_that_the_server_does_not_know_is_a_mistake(
    door: Door, server: Search, monkeypatch: pytest.MonkeyPatch
):
    works = True

    def list_workflows(*_: Any, next_page_token: bytes | None = None, **__: Any) -> Any:
        async def fetch_next_page() -> None:
            if next_page_token or not works:
                raise RPCError("", RPCStatusCode.UNKNOWN, b"")

        return SimpleNamespace(fetch_next_page=fetch_next_page, current_page=(), next_page_token=None)

    monkeypatch.setattr(server, "list_workflows", list_workflows)
    problem = await door.call("GET", f"/journeys?state=held&cursor={encode_cursor(['search', '00'])}", status=422)
    assert problem["errors"][0]["pointer"] == "query:cursor"
    works = False
    await door.call("GET", f"/journeys?state=held&cursor={encode_cursor(['search', '00'])}", status=503)
