"""The Python client against real journeys: entering, events, looking, operations."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.failures import FailureKind
from authoring.errors import CheckFailed
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.errors import SettingsError, StoreMissing, StoreOutdated
from runtime.settings import Settings
from runtime.store import Store
from scenario.words import Operation
from service.client import EventView, ScenarioClient
from service.errors import JourneyFailed, MistakenEntry, NotAccepted, NotEntered, NotFound, UnderWay
from tests import factories
from tests.claims import OwnJournal, OwnNamespace
from tests.factories import admission_request, present
from tests.fakes import RefusingService
from tests.journey import shown as shown_journey
from tests.stage import Stage, failing

WAITS = """
scenario: waits
trigger: order
entry:
  key: "{{ order.external_id }}"
  again: AGAIN
  if: order.total_price > 20
steps:
  - wait_for: order.delivered
  - webhook: hook
    url: https://hooks.example.com/a
    body: {}
"""


def entry(contact: int | str | dict[str, Any] = 7, **more: Any) -> dict[str, Any]:
    order = {"external_id": "CGX0094", "total_price": "59.90", **more.pop("order", {})}
    who = contact if isinstance(contact, dict) else {"id": contact}
    return {"scenario": "waits", "contact": who, "trigger": {"type": "order", "order": order}, **more}


async def publish(stage: Stage, again: str = "when_finished") -> None:
    await stage.publish(WAITS.replace("AGAIN", again))


async def test_a_time_zone_that_cannot_be_used_is_told(stage: Stage, client: ScenarioClient):
    await publish(stage)
    for number, (zone, used) in enumerate((("Mars/Olympus", False), ("UTC+2", True), (None, True))):
        entered = await client.enter(entry({"id": number, "timezone": zone}))
        assert entered.unplaced.endswith("" if used else "the scenario's is used, UTC")
        assert (entered.unplaced == "") is used


async def test_who_is_let_in_to_get_nothing_is_told_and_shown(stage: Stage, client: ScenarioClient):
    await stage.publish(WAITS.replace("AGAIN", "always").replace("steps:", "control: 99.99\nsteps:"))
    entered = await client.enter(entry())
    assert (entered.admitted, entered.withheld[:24]) == (True, "in the control group (0.")
    assert (await entered.verdict())["outcome"] == "control"
    shown = shown_journey(await client.show(entered.id))
    assert (shown["state"], shown["reason"], shown["steps"]) == ("control", entered.withheld, [])
    [listed] = await client.journeys(state="control")
    assert (listed.id, listed.state, listed.reason) == (entered.id, "control", entered.withheld)


async def test_a_journey_that_was_terminated_is_shown_and_lost(stage: Stage, client: ScenarioClient):
    await publish(stage)
    entered = await client.enter(entry())
    await entered.handle.terminate("incident 42")
    with pytest.raises(JourneyFailed, match=r"^the journey waits/7/CGX0094 was terminated$"):
        await entered.result()
    assert shown_journey(await client.show(entered.id))["state"] == "terminated"
    assert await client.event("7", "order.delivered") == EventView()
    assert present(await stage.store.entry(entered.id)).outcome == "lost"


async def test_nobody_knows_a_journey_that_is_not_there(stage: Stage, client: ScenarioClient):
    await publish(stage)
    await client.enter(entry())
    with pytest.raises(NotFound, match=r"^there is no journey 'nope': list the journeys to find its id$"):
        await client.show("nope")
    with pytest.raises(NotFound, match=r"but a contact of this id: list the journeys of this contact$"):
        await client.show("7")
    with pytest.raises(NotFound):
        await client.send("nope", Operation.PAUSE, operator="ann", reason="x")


@workflow.defn(name="Chain")
class Chain:
    """Continues as new once, then ends."""

    @workflow.run
    async def run(self, left: int) -> dict[str, Any]:
        if left:
            workflow.continue_as_new(left - 1)
        return {"outcome": "finished", "steps": []}


async def test_a_journey_that_continued_as_new_is_shown_at_its_end(stage: Stage, client: ScenarioClient):
    await publish(stage)
    temporal, runner = client.temporal, UnsandboxedWorkflowRunner()
    given: dict[str, Any] = {"id": "waits/7", "task_queue": "chains", "result_type": dict}
    async with Worker(temporal, task_queue="chains", workflows=[Chain], workflow_runner=runner):
        first = await temporal.start_workflow("Chain", 2, **given)
        await first.result()
        later = await temporal.start_workflow("Chain", 0, **given)  # which was not let in
        await later.result()
        run = first.first_execution_run_id or ""
        await stage.store.admit(admission_request("7", "waits", run_id=run))
        view = await client.show("waits/7")
    assert (view.status, view.result) == ("completed", {"outcome": "finished", "steps": []})
    assert view.run_id not in (run, later.first_execution_run_id)


async def test_events_reach_every_journey_of_a_contact_and_of_no_other(stage: Stage, client: ScenarioClient):
    await publish(stage)
    places = ((7, "A"), (7, "B"), (8, "A"))
    entered, *_ = [await client.enter(entry(contact, order={"external_id": order})) for contact, order in places]
    assert (entered.id, entered.already, entered.admitted) == ("waits/7/A", False, True)
    assert present(await stage.store.entry(entered.id)).run_id == entered.run_id
    assert await client.event("7", "order.delivered", {"order_id": "A"}, "e1") == EventView(told=2)
    assert await client.event("9", "order.delivered") == EventView(unknown=True)
    assert await client.contact_changed("8", {"firstname": "Zoé"}) == EventView(told=1)
    assert await client.contact_changed("9", {"firstname": "Zoé"}) == EventView(unknown=True)
    assert await client.event_for("waits/8/A", "page.viewed") == EventView(told=1)
    result = await entered.result()
    assert (result["outcome"], [step["id"] for step in result["steps"]]) == ("finished", ["wait_for-1", "hook"])
    async with asyncio.timeout(60):
        while await stage.store.running("7"):
            await asyncio.sleep(0.02)
    assert len(await stage.store.running("8")) == 1
    assert await client.event("7", "order.delivered") == EventView()


async def test_operators_are_obeyed_or_told_why_not(stage: Stage, client: ScenarioClient):
    await publish(stage)
    entered = await client.enter(entry())
    order: dict[str, Any] = {"operator": "ann", "reason": "incident 42"}
    with pytest.raises(NotAccepted, match=r"^waits/7/CGX0094: nothing to retry: the journey is not held$"):
        await client.send(entered.id, Operation.RETRY, **order)
    assert (await client.send(entered.id, Operation.PAUSE, **order))["state"] == "paused"
    assert (await client.send(entered.id, Operation.RESUME, **order))["state"] == "waiting"
    with pytest.raises(NotAccepted, match=r"^waits/7/CGX0094: the journey is not at step 'hook', but at 'w"):
        await client.send(entered.id, Operation.SKIP, step="hook", **order)
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT, times=1, status=422, reason="it answered 422")
    await client.send(entered.id, Operation.SKIP, **order)
    await stage.until(entered.handle, "held")
    await client.send(entered.id, Operation.LEAVE, **order)
    assert (await entered.result())["reason"] == "left by ann: incident 42"
    with pytest.raises(NotAccepted, match=r"^waits/7/CGX0094: the journey has ended \(exited\)$"):
        await client.send(entered.id, Operation.LEAVE, **order)


def nested(levels: int) -> list[Any]:
    return [nested(levels - 1)] if levels else []


LARGE = "the entry has 2000146 bytes, and may have 1048576: leave out what no step names"
PLACES = (
    ({"scenario": "wait"}, "there is no scenario 'wait': did you mean 'waits'?", ("scenario",), "waits"),
    ({"scenario": "reward"}, "there is no scenario 'reward': publish it first", ("scenario",), None),
    ({"scenario": "waits@9"}, "waits has no version 9: the newest is 1", ("scenario",), None),
    ({"contact": {"firstname": "Zoé"}}, "the contact has no id: give 'contact.id'", ("contact", "id"), None),
    ({"trigger": {"type": "birthday"}}, "waits is entered by 'order', not by 'birthday'", ("trigger", "type"), "order"),
    ({"trigger": {"type": "order"}}, "", ("trigger", "order"), None),
    ({"order": {"products": [{}, {"quantity": "many"}]}}, "", ("trigger", "order", "products", 1, "quantity"), None),
    ({"mail": "zoe@example.com"}, "the entry has no field 'mail'", ("mail",), None),
    ({"contact": {"id": 7, "firstname": "\ud800"}}, "a text of the entry holds half a character", (), None),
    ({"contact": {"id": 7, "a": nested(300)}}, "the entry is nested more than 100 levels deep", (), None),
    ({"contact": {"id": 7, "note": "x" * 2_000_000}}, LARGE, (), None),
)


async def test_a_mistaken_entry_is_refused_at_its_place_before_anything_starts(store: Store):
    await factories.publish(store, WAITS.replace("AGAIN", "never"))
    client = ScenarioClient(Client(RefusingService()), store)
    for given, said, at, meant in PLACES:
        with pytest.raises(MistakenEntry) as mistaken:
            await client.enter(entry(**given))
        assert str(mistaken.value).startswith(said)
        assert (mistaken.value.at, mistaken.value.meant) == (at, meant)


async def test_the_journey_is_shown_and_a_refusal_only_where_there_is_none(stage: Stage, client: ScenarioClient):
    await publish(stage, "never")
    rule = "the entry rule of waits does not hold: order.total_price > 20"
    with pytest.raises(NotEntered, match=f"^{rule}$"):
        await client.enter(entry(order={"total_price": 3}))
    shown = shown_journey(await client.show("waits/7/CGX0094"))
    assert (shown["state"], shown["reason"]) == ("refused", rule)
    entered = await client.enter(entry())
    await client.event("7", "order.delivered")
    await entered.result()
    with pytest.raises(NotEntered, match=r"^the contact was in waits before, and is admitted only once$"):
        await client.enter(entry())
    shown = shown_journey(await client.show("waits/7/CGX0094"))
    assert (shown["state"], [step["outcome"] for step in shown["steps"]]) == ("finished", ["event", "delivered"])


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect clients to a server that must not be asked anything."""

    async def connect(**_: Any) -> Client:
        return Client(RefusingService())

    monkeypatch.setattr("service.client.connect", connect)
    monkeypatch.setattr("service.client.StoreIdentity", OwnNamespace)
    monkeypatch.setattr("service.client.Journal", OwnJournal)


@pytest.mark.usefixtures("unanswered")
async def test_a_client_makes_no_store_that_was_named(tmp_path: Path):
    file = tmp_path / "made" / "store.db"
    settings = Settings.model_validate({"store": f"sqlite:///{file}"})
    with pytest.raises(StoreMissing, match=r"^There is no store at .*: go to the folder"):
        await ScenarioClient.open(settings).__aenter__()
    assert not file.parent.exists()
    file.parent.mkdir()
    file.touch()
    for migrate in (False, True):
        with pytest.raises(StoreOutdated, match="has no tables yet: run `scenario store upgrade`"):
            await ScenarioClient.open(settings, migrate=migrate).__aenter__()


@pytest.mark.usefixtures("unanswered")
async def test_a_client_without_the_keys_sends_nothing_in_clear(tmp_path: Path):
    settings = Settings.model_validate({"store": f"sqlite:///{tmp_path}/store.db"})
    async with Store.open(settings.store.get_secret_value()) as store:
        await Keyring(store, KeyWrapping([b"k" * 32])).seal("7", "hello")
    with pytest.raises(SettingsError, match="set SCENARIO_ENCRYPTION_KEYS here, too"):
        await ScenarioClient.open(settings).__aenter__()


@pytest.mark.usefixtures("unanswered")
async def test_a_client_checks_what_it_publishes_against_the_workers_destinations(tmp_path: Path):
    scenario, file = tmp_path / "scenario.yaml", tmp_path / "destinations.yaml"
    scenario.write_text(
        "scenario: told\ntrigger: order\nsteps:\n"
        "  - webhook: told\n    url: https://x.example/\n    headers: {X-Key: '{{ secrets.KEY }}'}\n"
    )
    file.write_text("destinations: {}\n")
    settings = Settings.model_validate({"store": f"sqlite:///{tmp_path}/store.db", "destinations": file})
    async with Store.open(settings.store.get_secret_value()) as store, ScenarioClient.open(settings) as client:
        with pytest.raises(CheckFailed, match=r"has mistakes: nothing was published") as failed:
            await client.publish(scenario)
        assert [finding.code for finding in failed.value.findings] == ["secret"]
        assert await store.scenarios() == []
        file.write_text("default: {public_secrets: [KEY]}\n")
        assert (await client.publish(scenario)).warnings == ()


GOAL = """
scenario: waits
trigger: order
goal: {event: order.placed, if: event.total > 0, within: 14d, value: "{{ event.total }}"}
exit: [{event: order.returned}]
steps: [{wait_for: order.delivered}]
"""


async def test_a_request_that_is_repeated_gives_the_journey_that_it_started(stage: Stage, client: ScenarioClient):
    await publish(stage)
    request, other = uuid4(), uuid4()
    first = await client.enter(entry(), request=request)
    assert await client.enter(entry(), request=request) == first
    with pytest.raises(UnderWay, match=r"^the contact is in waits already, as waits/7/CGX0094$") as refused:
        await client.enter(entry(), request=other)
    assert refused.value.journey == first.id
    await client.event("7", "order.delivered")
    await first.result()
    again = await client.enter(entry(), request=request)
    assert (again.run_id, again.admitted) == (first.run_id, True)
    second = await client.enter(entry(), request=other)
    assert second.run_id != first.run_id
    await publish(stage, "always")
    again = await client.enter(entry())
    assert (again.already, again.run_id) == (True, second.run_id)


@pytest.mark.usefixtures("right_clock")
async def test_goals_of_journeys_that_are_over_are_counted_once(stage: Stage, client: ScenarioClient):
    await stage.publish(GOAL)
    entered = await client.enter(entry())
    assert await client.event("7", "order.returned") == EventView(told=1)
    assert (await entered.result())["outcome"] == "exited"
    assert await client.event("7", "order.placed", {"total": 0}) == EventView()
    assert await client.event("7", "order.refused", {"total": 1}) == EventView()
    unread = await client.event("7", "order.placed", {"total": "much"})
    assert (unread.goals, str(unread.troubles["waits/7"]).partition(":")[0]) == (0, "its goal is ignored")
    assert await client.event("7", "order.placed", {"total": 49.9}) == EventView(goals=1)
    assert await client.event("7", "order.placed", {"total": 100}) == EventView()
    gone = await client.enter(entry(6))
    await gone.handle.terminate("incident 42")
    assert await client.event("6", "order.placed", {"total": 1}) == EventView(goals=1)
    await stage.publish(GOAL + "control: 99.99\n")
    assert (await (await client.enter(entry(8))).result())["outcome"] == "control"
    without = {"waits/8": "the value of its goal is ignored: it is not a number"}
    assert await client.event("8", "order.placed", {"total": 10**13}) == EventView(goals=1, troubles=without)
    found = {one.workflow_id: one.goal_value for one in await stage.store.entries() if one.reached_at is not None}
    assert found == {"waits/6": "1", "waits/7": "49.9", "waits/8": None}
