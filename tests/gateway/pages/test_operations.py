"""The pages of operations on many journeys."""

from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.store import OperationItem, StoredOperation
from tests.factories import admission_request
from tests.gateway.pages.conftest import Site
from tests.gateway.pages.test_held import WAX
from tests.gateway.search import Search

AT = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


async def begin(site: Site, name: str = "op1", *items: OperationItem, **more: Any) -> None:
    which = {"scenario": "winback", "step": "wax", "destination": "hooks.example.com", "reason": "permanent"}
    request = {"which": which, "rate": 5.0, "limit": None, "dry_run": False, "everybody": False, "more": {}}
    request |= more.pop("request", {})
    given: dict[str, Any] = {"verb": "retry", "operator": "key a", "reason": "wax <is> back", "created_at": AT}
    await site.store.add_operation(StoredOperation(id=name, request=request, **{**given, **more}))
    await site.store.add_items(name, items)


def item(number: int, outcome: str | None = None, reason: str | None = None) -> OperationItem:
    at = AT if outcome else None
    return OperationItem(
        number=number, workflow_id=f"winback/{number}", step="wax", outcome=outcome, reason=reason, answered_at=at
    )


async def test_progress_is_told_with_why_some_refused_and_what_became_of_each(operator: Site, temporal: Search):
    temporal.hold(WAX, 2)  # winback/0 and winback/1
    temporal.add("winback/2", ScenarioName="winback", StepId="wax", JourneyState="retrying")
    for number, outcome, reason in ((3, "finished", "1 of 2 deliveries failed"), (4, "exited", "event order.returned")):
        await operator.store.admit(admission_request(str(number), "winback", run_id="r"))
        await operator.store.depart(f"winback/{number}", "r", outcome, reason, AT)
    done = (item(number, "accepted") for number in (0, 2, 3, 4))
    await begin(operator, "op1", *done, item(7, "refused", "the journey is not held"), item(1))
    await operator.store.complete_survey("op1", {"which": {"scenario": "winback"}, "rate": 5.0}, AT)
    page = await operator.get("/operations/op1")
    assert (page.text("h1"), page.text(".head .state")) == ("Retry journeys", "running")
    assert "Journeys 6 Accepted 4 Refused 1 To be asked 1" in page.text()
    assert "wax <is> back" in page.text()
    assert page.rows("Its journeys") == [
        ["winback/0", "accepted", "", f"held at wax (since {AT.isoformat()})"],
        ["winback/1", "to be asked", "", f"held at wax (since {(AT + timedelta(seconds=1)).isoformat()})"],
        ["winback/2", "accepted", "", "retrying at wax"],
        ["winback/3", "accepted", "", "finished (1 of 2 deliveries failed)"],
        ["winback/4", "accepted", "", "exited (event order.returned)"],
        ["winback/7", "refused", "the journey is not held", "over"],
    ]
    assert page.values("progress", "value") == ["5"]
    assert page.values("#operation", "hx-trigger") == ["every 2s"]
    refused = await operator.get("/operations/op1?outcome=refused")
    assert [row[0] for row in refused.rows("Its journeys")] == ["winback/7"]
    await operator.get("/operations/op1?outcome=x", status=422)


async def test_the_log_is_filtered_by_who_what_where_and_when(reader: Site):
    await begin(reader, "old", operator="Ann (key a)")
    which = {"destination": "wax"}
    retry = {"maximum_interval": 2.0}
    request = {"which": which, "more": {"retry": retry}}
    await begin(reader, "new", operator="key b", verb="retune", request=request, created_at=AT + timedelta(hours=1))
    for query, found in (
        ("operator=ann", ["old"]),
        ("operation=retune", ["new"]),
        ("scenario=winback", ["old"]),
        ("destination=wax", ["new"]),
        ("destination=hooks.example.com&operator=a&scenario=winback&since=2026-03-31T08:00", ["old"]),
        ("since=2026-03-31T08:30", ["new"]),
        ("operator=%25", []),
    ):
        page = await reader.get(f"/operations?{query}")
        assert page.values("tbody th a", "href") == [f"/operations/{name}" for name in found], query
    old = await reader.get("/operations/old")
    assert "held because the receiver refused it permanently" in old.text()
    for address in ("/operations?operation=retune", "/operations/new"):
        page = await reader.get(address)
        assert "Change retries" in page.text()
        assert "longest pause: 2s" in page.text()
    wrong = await reader.get("/operations?since=soon&operator=ann", 422)
    assert (wrong.values("[aria-invalid]", "name"), wrong.values("#operator", "value")) == (["since"], ["ann"])


async def test_pages_of_its_journeys_leave_none_out(reader: Site):
    assert "No operation was started yet." in (await reader.get("/operations")).text()
    await begin(reader)
    page = await reader.get("/operations/op1")
    assert "Its journeys are being searched for." in page.text()
    assert "Stop…" not in page.text()
    await reader.store.add_items("op1", [item(number, "accepted") for number in range(120)])
    read = await reader.column("/operations/op1", "Its journeys")
    assert read == [f"winback/{number}" for number in range(120)]
    await reader.get("/operations/op1?after=winback/3&number=x", status=422)


async def test_after_a_trial_all_are_one_step_away(operator: Site):
    await begin(operator, "op1", item(0, "accepted"), request={"limit": 3})
    await operator.store.end_operation("op1", "finished", AT)
    page = await operator.get("/operations/op1")
    assert "This was a trial." in page.text()
    (rest,) = page.values("p.note a", "href")
    assert (await operator.get(rest)).text("h1") == "Retry the step"


async def test_one_is_stopped_for_a_reason(site: Site, temporal: Search):
    await begin(site)
    name = await site.sign_in()
    (address,) = (await site.get("/operations/op1")).values(".actions a", "href")
    await site.send(address, {"reason": ""}, status=422)
    assert temporal.signals == []
    await site.send(address, {"reason": "wax is down again"})
    assert temporal.signals == [("operation:op1", "stop", {"operator": f"key {name}", "reason": "wax is down again"})]
    await site.store.end_operation("op1", "stopped", AT, stopped_by="key a", stop_reason="down <again>")
    over = await site.get("/operations/op1")
    assert "Stopped by key a: down <again>" in over.text()
    assert "It has ended" in (await site.get(address)).text()


async def test_exactly_what_was_paused_is_resumed(site: Site):
    await begin(site, "op1", item(0, "accepted"), verb="pause", request={"which": {"destination": "wax"}})
    name = await site.sign_in()
    assert "Resume these…" not in (await site.get("/operations/op1")).text()
    await site.store.end_operation("op1", "finished", AT)
    (address,) = (await site.get("/operations/op1")).values(".actions a", "href")
    await site.send(address, {"reason": "wax is back"})
    (begun,) = await site.store.stored_operations(is_open=True)
    assert (begun.verb, begun.operator, begun.reason) == ("resume", f"key {name}", "wax is back")
    assert begun.request["which"] == {"operation": "op1"}
