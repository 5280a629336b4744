"""What the activities of a campaign store: the lines of its file, and what became of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.background import CampaignChunk
from activities.handover import campaign_root
from runtime.store import Store
from service.caller import TERMINAL
from service.campaigns.background import CampaignActivities
from service.client import ScenarioClient
from tests.factories import NOW, present, publish, stored_campaign
from tests.search import Search
from workflows.campaign import CampaignGroup

SCENARIO = """
scenario: sale
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/
"""
FILE = b"contact.id;custom.vip\nada;yes\ncleo;no\nada;yes\n;yes\ndan;no\n"
LINES = {2: "ada", 3: "cleo", 6: "dan"}
REFUSED = {4: "duplicate", 5: "invalid"}
RATE = 1000.0
STARTED = "the contact's journey of this campaign was started by somebody else"
AWAY = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")


class Temporal:
    """Starts journeys, by their contacts, unless there is an error for one."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.errors: dict[str, Exception] = {}
        self.waits: dict[str, asyncio.Event] = {}
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()

    async def start(self, _: Any, argument: dict[str, Any], **given: Any) -> Any:
        self.asked.set()
        await self.answers.wait()
        if event := self.waits.get(given["contact"]):
            await event.wait()
        if error := self.errors.get(given["contact"]):
            raise error
        self.started.append((given["workflow_id"], argument["campaign"]["root"]))
        return SimpleNamespace(first_execution_run_id=f"run-{given['contact']}")


@pytest.fixture
def temporal(monkeypatch: pytest.MonkeyPatch) -> Temporal:
    temporal = Temporal()
    monkeypatch.setattr("service.entries.start_journey", temporal.start)
    return temporal


@pytest.fixture
async def activities(temporal: Temporal, store: Store) -> CampaignActivities:
    del temporal
    campaigns = ScenarioClient(Search().client, store).services.campaigns

    async def parts() -> AsyncIterator[bytes]:
        yield FILE

    await publish(store, SCENARIO)
    file = await campaigns.audiences.add(TERMINAL, "people.csv", parts())
    given: dict[str, Any] = {"scenario": "sale", "audience": file.id, "accept": True, "created_at": NOW}
    await store.add_campaign(stored_campaign("advent", **given))
    return campaigns.activities


async def prepare(activities: CampaignActivities) -> list[CampaignGroup]:
    return await ActivityEnvironment().run(activities.prepare_campaign, "advent")


async def enter(activities: CampaignActivities, environment: ActivityEnvironment | None = None) -> None:
    chunk = CampaignChunk(campaign="advent", first=1, last=3, rate=RATE)
    await (environment or ActivityEnvironment()).run(activities.enter_lines, chunk)


async def ended(store: Store) -> dict[int, tuple[str | None, str | None]]:
    items = await store.campaign_items("advent")
    return {one.line: (one.outcome, one.reason) for one in items if one.line in LINES}


async def test_a_file_is_stored_as_lines_once_and_deleted(activities: CampaignActivities, store: Store):
    audience = present(await store.stored_campaign("advent")).audience
    for _ in range(2):
        assert await prepare(activities) == [CampaignGroup(lines=3)]
        items = await store.campaign_items("advent")
        waiting = {one.line: (one.contact_id, one.place) for one in items if one.outcome is None}
        assert waiting == {line: (contact, place) for place, (line, contact) in enumerate(LINES.items(), 1)}
        assert {one.line: one.outcome for one in items if one.outcome} == REFUSED
    assert await store.stored_audience(audience) is None
    assert await store.audience_part(audience, 0) is None


async def test_each_line_has_an_outcome_and_its_journey_is_on_record(
    activities: CampaignActivities, temporal: Temporal, store: Store, monkeypatch: pytest.MonkeyPatch
):
    counted = Counter[str]()
    temporal.waits["dan"] = asyncio.Event()

    def add(outcome: str, *, number: int) -> None:
        counted[outcome] += number
        temporal.waits["dan"].set()

    monkeypatch.setattr("service.campaigns.background.CAMPAIGN_LINES", SimpleNamespace(add=add))
    monkeypatch.setattr("service.campaigns.background._SAVED_EVERY", 0.0)
    pace = Mock(return_value=Mock(turn=AsyncMock()))
    monkeypatch.setattr("service.campaigns.background.Pace", pace)
    await prepare(activities)
    temporal.errors = {"cleo": WorkflowAlreadyStartedError("sale/cleo/advent", "Journey", run_id="other")}
    await enter(activities)
    assert await ended(store) == {2: ("entered", None), 3: ("refused", STARTED), 6: ("entered", None)}
    assert counted == {"entered": 2, "refused": 1}
    pace.assert_called_once_with(RATE)
    assert pace.return_value.turn.await_count == 3
    journeys = ["sale/ada/advent", "sale/dan/advent"]
    assert sorted(temporal.started) == [(one, campaign_root(one, NOW)) for one in journeys]
    accepted = await store.pending_page(None, 10)
    assert sorted((one.workflow_id, one.run_id) for one in accepted) == [
        ("sale/ada/advent", "run-ada"),
        ("sale/cleo/advent", "other"),
        ("sale/dan/advent", "run-dan"),
    ]


async def test_a_line_that_cannot_be_started_now_stays_pending_and_the_chunk_is_repeated(
    activities: CampaignActivities, temporal: Temporal, store: Store
):
    await prepare(activities)
    temporal.errors = {"cleo": AWAY}
    with pytest.raises(RPCError):
        await enter(activities)
    found = await ended(store)
    assert found[3] == (None, None)
    assert found[2] == ("entered", None)
    temporal.errors = {}
    await enter(activities)
    assert set((await ended(store)).values()) == {("entered", None)}
    assert sorted(name for name, _ in temporal.started) == [f"sale/{contact}/advent" for contact in LINES.values()]


async def test_starts_in_progress_are_completed_and_recorded_when_a_chunk_is_interrupted(
    activities: CampaignActivities, temporal: Temporal, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.campaigns.background._AT_ONCE", 1)
    await prepare(activities)
    temporal.answers.clear()
    environment = ActivityEnvironment()
    working = asyncio.create_task(enter(activities, environment))
    await temporal.asked.wait()
    environment.cancel()
    await asyncio.wait([working], timeout=0.1)
    assert not working.done()
    temporal.answers.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await ended(store) == {2: ("entered", None), 3: (None, None), 6: (None, None)}
    assert [name for name, _ in temporal.started] == ["sale/ada/advent"]


async def test_a_file_with_too_many_invalid_lines_is_refused(activities: CampaignActivities, store: Store):
    campaign = present(await store.stored_campaign("advent"))
    given = {"scenario": "sale", "audience": campaign.audience, "file": "people.csv"}
    await store.add_campaign(stored_campaign("strict", **given))
    with pytest.raises(ApplicationError, match=r"^BadInput: 1 of 5 lines of people.csv are invalid, more than 1 %"):
        await ActivityEnvironment().run(activities.prepare_campaign, "strict")
    assert await store.stored_audience(campaign.audience) is not None


async def test_a_campaign_that_has_ended_is_not_prepared(activities: CampaignActivities, store: Store):
    await store.end_campaign("advent", "stopped", NOW)
    with pytest.raises(ApplicationError, match="the store has no open campaign of this name"):
        await prepare(activities)
    assert await store.campaign_items("advent") == []
