"""Campaigns on a real server, with journeys and without: each line once, whatever stops, and sums that agree."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activities.blast.chunk import _Chunk  # pyright: ignore[reportPrivateUsage]
from activities.handover import campaign_root
from activities.passages import PassageWriter
from authoring.errors import BadInput
from runtime.local import receiver
from runtime.store.campaigns import CampaignItem
from runtime.telemetry.metrics import CAMPAIGN_LINES
from scenario.steps.delivery import delivery_id
from service.audiences import file_parts
from service.caller import TERMINAL
from service.campaigns.background import CampaignActivities
from service.campaigns.views import CampaignRequest, CampaignView
from service.client import ScenarioClient
from service.errors import NotAccepted
from service.operations.background import running_operations
from service.view import PageRequest
from tests.e2e import conftest
from tests.e2e.conftest import Stand, Stands, publish, until_received
from tests.measured import Measured

pytestmark = pytest.mark.encrypted

SCENARIO = """
scenario: sale
trigger: segment
purpose: transactional
entry: {if: "contact.custom.vip == 'yes'"}
steps:
  - webhook: hook
    url: https://hooks.example.com/sale
    body: {id: "{{ contact.id }}", campaign: "{{ journey.key }}"}
"""
WHO: dict[str, Any] = {"operator": "ann", "reason": "look"}
PEOPLE = 20


def people(folder: Path, name: str = "people.csv", number: int = PEOPLE) -> Path:
    """A file of contacts, of whom every tenth may not enter, with an invalid line and a duplicate."""
    rows = [f"c{n};{'no' if n % 10 == 9 else 'yes'}" for n in range(number)]
    path = folder / name
    path.write_text("\n".join(["contact.id;custom.vip", *rows, ";yes", "c1;yes"]) + "\n" if number else "")
    return path


@pytest.fixture
async def here(stand: Stands, tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand() as up:
        await publish(up.client, tmp_path, SCENARIO)
        yield up


def gateway(client: ScenarioClient) -> AbstractAsyncContextManager[Any]:
    return running_operations(client.services.operations, client.services.campaigns)


async def start(client: ScenarioClient, audience: Path, **request: Any) -> CampaignView:
    use = client.services
    file = await use.campaigns.audiences.add(TERMINAL, audience.name, file_parts(audience))
    given = CampaignRequest(
        name="advent", scenario="sale", audience=file.name, operator="ann", rate=100.0, accept=True, gear="enter"
    )
    return await use.campaigns.begin(TERMINAL, replace(given, **request), file)


async def until(client: ScenarioClient, ready: Callable[[CampaignView], bool], name: str = "advent") -> CampaignView:
    return await conftest.until(lambda: client.services.campaigns.show(TERMINAL, name), ready)


async def test_each_line_ends_once_although_gateways_are_lost_in_between(
    here: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = 0
    real: Any = vars(CampaignActivities)["_start"]

    async def lost_after_the_fifth(self: Any, campaign: str, item: CampaignItem, outcomes: Any) -> None:
        nonlocal started
        started += 1
        await real(self, campaign, item, outcomes)
        if started == 5:
            raise OSError("killed")  # before the outcomes are recorded

    async def unrecorded(self: Any) -> None:
        """As if the process were killed."""

    client = here.client
    audience = people(tmp_path)
    with monkeypatch.context() as killing:
        killing.setattr(CampaignActivities, "_start", lost_after_the_fifth)
        killing.setattr("service.campaigns.background._Outcomes.save", unrecorded)
        async with gateway(client):
            assert (await start(client, audience, rate=50.0)).state == "preparing"
            async with asyncio.timeout(60):
                while started < 5:
                    await asyncio.sleep(0.02)
    async with gateway(client):
        ended = await until(client, lambda seen: seen.over and seen.outcomes.get("refused", 0) == PEOPLE // 10)
        again = await start(client, audience)
    assert (ended.state, again.state) == ("finished", "finished")
    assert ended.survey is not None
    assert (ended.survey.form, ended.survey.lines) == ("CSV in utf-8, separated by semicolons", PEOPLE + 2)
    assert await client.store.newest_audience(TERMINAL.id, audience.name) is None
    assert ended.outcomes == {"entered": 18, "refused": 2, "invalid": 1, "duplicate": 1}
    refused = await client.services.campaigns.lines(TERMINAL, "advent", PageRequest(), "refused")
    assert {line.reason for line in refused.items} == {
        "the entry rule of sale does not hold: contact.custom.vip == 'yes'"
    }
    acknowledged = await client.store.pending_page(None, 10)  # events find these runs until it is known that they ended
    assert {entry.workflow_id for entry in acknowledged} == {line.journey for line in refused.items}
    await until_received(here.receiver, "/hooks.example.com/sale", 18)
    ids = Counter(item.json()["id"] for item in here.receiver.requests("/hooks.example.com/sale"))
    assert set(ids.values()) == {1}
    assert {item.json()["campaign"] for item in here.receiver.requests()} == {"advent"}

    # They give way to the journeys of triggers.
    handle = client.temporal.get_workflow_handle("sale/c0/advent")
    await handle.result()
    events = (await handle.fetch_history()).events
    assert events[0].workflow_execution_started_event_attributes.priority.priority_key == 4
    scheduled = next(e for e in events if e.HasField("activity_task_scheduled_event_attributes"))
    assert scheduled.activity_task_scheduled_event_attributes.priority.priority_key == 4


async def test_it_is_paused_retuned_and_stopped(here: Stand, tmp_path: Path) -> None:
    client, campaigns = here.client, here.client.services.campaigns
    measured = Measured(CAMPAIGN_LINES)
    async with gateway(client):
        await start(client, people(tmp_path), rate=1.0)  # slow enough that lines are left, also on a busy machine
        await until(client, lambda seen: seen.outcomes.get("entered", 0) >= 1)
        paused = await campaigns.change(TERMINAL, "advent", "pause", **WHO)
        assert (paused.state, paused.paused_by, paused.pause_reason) == ("paused", "ann", "look")
        await asyncio.sleep(0.5)  # an entry in flight ends
        still = (await campaigns.show(TERMINAL, "advent")).done
        await asyncio.sleep(0.5)
        assert (await campaigns.show(TERMINAL, "advent")).done == still
        with pytest.raises(NotAccepted, match="the campaign is paused already"):
            await campaigns.change(TERMINAL, "advent", "pause", **WHO)
        assert (await campaigns.change(TERMINAL, "advent", "resume", **WHO)).state == "running"
        assert (await campaigns.change(TERMINAL, "advent", "retune", rate=0.5, **WHO)).rate == 0.5
        stopped = await campaigns.change(TERMINAL, "advent", "stop", **WHO)
        assert (stopped.state, stopped.stopped_by, stopped.outcomes.get("pending", 0)) == ("stopped", "ann", 0)
        assert sum(stopped.outcomes.values()) == PEOPLE + 2
        assert stopped.outcomes["skipped"] > 0
        processed = stopped.outcomes["entered"] + stopped.outcomes.get("refused", 0)
        assert sum(number for number, _ in measured.of(CAMPAIGN_LINES).values()) == processed
        with pytest.raises(NotAccepted, match=r"the campaign has ended \(stopped\)"):
            await campaigns.change(TERMINAL, "advent", "resume", **WHO)


@pytest.mark.nightly
async def test_a_chunk_whose_gateway_is_lost_while_it_is_interrupted_is_worked_on_again(
    here: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real server: the time-skipping one does not hear of a failure after a cancellation."""
    real: Any = vars(CampaignActivities)["_enter"]

    async def lost(self: Any, *given: Any) -> None:
        try:
            await real(self, *given)
        except asyncio.CancelledError:
            raise OSError("killed") from None

    client = here.client
    async with gateway(client):
        with monkeypatch.context() as losing:
            losing.setattr(CampaignActivities, "_enter", lost)
            await start(client, people(tmp_path), rate=4.0)
            await until(client, lambda seen: seen.outcomes.get("entered", 0) >= 1)
            retuned = await client.services.campaigns.change(TERMINAL, "advent", "retune", rate=100.0, **WHO)
            assert retuned.state == "running"
        ended = await until(client, lambda seen: seen.over)
    assert (ended.state, ended.outcomes.get("pending", 0)) == ("finished", 0)


async def test_what_cannot_be_begun_leaves_nothing(here: Stand, tmp_path: Path) -> None:
    """Other mistakes in a request are shown by the API's tests."""
    await publish(here.client, tmp_path, SCENARIO.replace("scenario: sale", "scenario: other"))
    audience = people(tmp_path)
    for request, sentence in (
        ({"scenario": "sale@x"}, "no sale@x is published"),
        ({"name": "Black Friday"}, "'Black Friday' is not a campaign's name"),
        ({"starts_at": datetime(2020, 1, 1, tzinfo=UTC)}, "the start is in the past"),
        ({"starts_at": datetime(9999, 1, 1, tzinfo=UTC)}, "the start is too far away"),
        ({"local_start": datetime.fromisoformat("2020-01-01T09:00")}, "the start is in the past"),
    ):
        with pytest.raises(BadInput, match=sentence):
            await start(here.client, audience, **request)
    with pytest.raises(BadInput, match=r"empty\.csv is empty"):
        await start(here.client, people(tmp_path, "empty.csv", 0))
    assert await here.client.store.stored_campaigns() == []
    await start(here.client, audience)
    with pytest.raises(NotAccepted, match="the campaign of this name has another file"):
        await start(here.client, people(tmp_path, "others.csv", 7))
    with pytest.raises(NotAccepted, match="the campaign of this name is one of sale@1"):
        await start(here.client, audience, scenario="other")


async def test_a_file_with_too_many_invalid_lines_ends_a_campaign_and_frees_its_name(here: Stand, tmp_path: Path):
    client, campaigns = here.client, here.client.services.campaigns
    async with gateway(client):
        await start(client, people(tmp_path), accept=False)
        refused = await until(client, lambda seen: seen.over)
        assert (refused.state, refused.trouble) == (
            "failed",
            "1 of 22 lines of people.csv are invalid, more than 1 %: correct them, or accept them ('accept', or "
            "--accept); line 22: the contact has no id: give 'contact.id'",
        )
        assert refused.outcomes == {"skipped": 20, "invalid": 1, "duplicate": 1}
        await start(client, people(tmp_path), ask=True, starts_at=datetime(2999, 1, 1, tzinfo=UTC))
        ready = await until(client, lambda seen: seen.state == "ready")
        assert ready.estimate is not None
        assert (ready.outcomes["pending"], ready.estimate.seconds) == (20, 0.2)
        begun = await campaigns.change(TERMINAL, "advent", "start", **WHO)
        assert (begun.state, begun.starts_at) == ("scheduled", datetime(2999, 1, 1, tzinfo=UTC))


async def test_each_contact_starts_at_its_own_time_in_a_group_of_its_zone(here: Stand, tmp_path: Path) -> None:
    zones = ("Europe/Paris", "America/New_York", "nowhere", "", "Europe/Berlin")
    path = tmp_path / "zones.csv"
    path.write_text("contact.id,contact.timezone\n" + "".join(f"c{n},{zone}\n" for n, zone in enumerate(zones)))
    await publish(here.client, tmp_path, SCENARIO + "timezone: Asia/Tokyo\n")
    async with gateway(here.client):
        await start(here.client, path, local_start=datetime.fromisoformat("2999-01-31T09:00"))
        seen = await until(here.client, lambda seen: seen.state == "scheduled")
    lines = await here.client.store.campaign_items("advent")
    assert [(item.place, f"{item.due_at:%d %H:%M}") for item in lines] == [
        (1, "31 08:00"),
        (1, "31 14:00"),
        (1, "31 00:00"),  # in Tokyo, as the scenario says
        (2, "31 00:00"),
        (2, "31 08:00"),
    ]
    assert f"{seen.starts_at:%d %H:%M}" == "31 00:00"
    assert (seen.outcomes, seen.local_start) == ({"pending": 5}, "2999-01-31T09:00:00")


async def test_the_journeys_that_one_started_are_ended_with_it(here: Stand, tmp_path: Path) -> None:
    waiting = "scenario: sale\ntrigger: segment\nsteps:\n  - wait: 30d\n"
    client, campaigns = here.client, here.client.services.campaigns
    await publish(client, tmp_path, waiting)
    other = await client.enter({"scenario": "sale", "contact": {"id": "c1"}, "trigger": {"type": "segment"}})
    async with gateway(client):
        await start(client, people(tmp_path, number=3))
        await until(client, lambda seen: seen.over)
        with pytest.raises(BadInput, match="'leave' is for stop"):
            await campaigns.change(TERMINAL, "advent", "pause", leave=True, **WHO)
        stopped = await campaigns.change(TERMINAL, "advent", "stop", leave=True, **WHO)
        assert stopped.leaving is not None
        assert stopped.leaving.journeys == 3
        again = await campaigns.change(TERMINAL, "advent", "stop", leave=True, **WHO)
        assert again.leaving is not None
        assert again.leaving.operation == stopped.leaving.operation
        await conftest.until(lambda: client.store.count_campaign_journeys("advent"), lambda number: number == 0)
        ended = await client.services.operations.show(TERMINAL, stopped.leaving.operation)
    assert (ended.total, ended.which) == (3, {"scenario": "sale", "campaign": "advent"})
    assert (await client.store.find_running([other.id])) != []


DIRECT = """
scenario: sale
trigger: segment
purpose: transactional
entry: {if: "contact.custom.vip != 'no'"}
steps:
  - if: contact.custom.vip == 'left out'
    then: [exit: left out]
  - webhook: hook
    url: https://hooks.example.com/{{ contact.custom.vip }}
    retry: {initial_interval: 1s}
    body: {id: "{{ contact.id }}", name: "{{ contact.firstname | capitalize }}", tags: "{{ contact.custom.tags }}"}
"""
KINDS = ("yes", "no", "left out", "fails", "wrong")
"""What becomes of the contacts, by the number of each."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def contacts(folder: Path, number: int = 15) -> Path:
    path = folder / "contacts.jsonl"
    lines = [
        {"contact": {"id": f"c{n}", "firstname": "zoé", "custom": {"vip": KINDS[n % len(KINDS)], "tags": [n, 1.5]}}}
        for n in range(number)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


async def results(here: Stand, campaign: str) -> dict[str, tuple[str, str | None]]:
    found, after = dict[str, tuple[str, str | None]](), None
    while True:
        lines = await here.client.services.campaigns.lines(TERMINAL, campaign, PageRequest(limit=250, cursor=after))
        found |= {line.contact: (line.outcome, line.reason) for line in lines.items}
        if (after := lines.next) is None:
            return found


async def attempts(here: Stand, campaign: str, number: int) -> list[Any]:
    """The log of a campaign's attempts: at most two for each of this number of contacts.

    Left out are attempts that sent nothing because a slow server did not take the signal before them, and numbers:
    Temporal counts an attempt that no worker received in time.
    """
    return [
        (one.contact_id, one.outcome, one.status, one.error)
        for one in await here.client.store.deliveries(scenario="sale", limit=4 * number)
        if one.workflow_id.endswith(f"/{campaign}") and one.error != "not_told"
    ]


async def settled(here: Stand, campaign: str, campaigns: int, number: int) -> None:
    """Wait until the campaign is over, its journeys are held or have ended, and all attempts and steps are counted."""
    store, kind = here.client.store, number // len(KINDS)
    async with asyncio.timeout(60 + number / 10):
        while True:
            view = await here.client.services.campaigns.show(TERMINAL, campaign)
            passed = sum(one.total for one in await store.passage_counts("sale", LONG_AGO) if one.step == "if-1")
            if view.over and passed == 4 * kind * campaigns:
                entries = await store.entries(scenario="sale", key=campaign, running=True, limit=number)
                if len(entries) == kind and len(await attempts(here, campaign, number)) == 4 * kind:
                    return
            await asyncio.sleep(0.05 + number / 5000)


def sent(here: Stand, before: int) -> dict[str, list[tuple[bytes, Mapping[str, str]]]]:
    found: dict[str, list[tuple[bytes, Mapping[str, str]]]] = {}
    for one in here.receiver.requests()[before:]:
        kept = {name: value for name, value in one.headers if name in ("content-type", "user-agent", "webhook-id")}
        found.setdefault(one.json()["id"], []).append((one.body, kept))
    return found


@pytest.mark.parametrize(
    "number", [15, pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)], id="many")]
)
async def test_both_gears_send_the_same_and_count_the_same(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(receiver, "KEEP", 4 * number)
    monkeypatch.setattr(PassageWriter, "after", 0.0)  # seconds until the steps of a held journey are counted
    fail = {"hooks.example.com/fails": [500], "hooks.example.com/wrong": [400]}
    async with stand(fail=fail) as here:
        client, store = here.client, here.client.store
        await publish(client, tmp_path, DIRECT)
        audience, kind = contacts(tmp_path, number), number // len(KINDS)
        seen: list[Any] = []
        async with gateway(client):
            for turn, (name, gear) in enumerate((("one", None), ("two", "enter")), 1):
                before = len(here.receiver.requests())
                begun = await start(client, audience, name=name, gear=gear, rate=10_000.0)
                assert begun.gear == ("enter" if gear else "blast")
                await settled(here, name, turn, number)
                created = begun.since
                arrived = sent(here, before)
                for contact, requests in arrived.items():
                    workflow = f"sale/{contact}/{name}"
                    mine = delivery_id(workflow, campaign_root(workflow, created), "hook", 0)
                    assert {headers["webhook-id"] for _, headers in requests} == {mine}
                counts = await store.passage_counts("sale", LONG_AGO)
                entries = await store.entries(scenario="sale", key=name, limit=number)
                seen.append(
                    (
                        {contact: [body for body, _ in requests] for contact, requests in arrived.items()},
                        sorted(await attempts(here, name, number), key=str),
                        sorted((one.contact_id, one.outcome, one.branches) for one in entries),
                        {(one.step, one.outcome): one.total for one in counts},
                    )
                )
        (bodies, log, entries, counted), (*others, both) = seen
        assert [bodies, log, entries] == others
        assert both == {step: 2 * total for step, total in counted.items()}
        assert Counter(outcome for _, outcome, _ in entries) == {"finished": 2 * kind, "exited": kind, None: kind}
        direct = await results(here, "one")
        assert Counter(outcome for outcome, _ in direct.values()) == dict.fromkeys(
            ("delivered", "refused", "skipped", "entered", "held"), kind
        )
        assert direct["c4"] == ("held", "hooks.example.com answered 400")
        assert direct["c2"] == ("skipped", "its way has no message")
        assert direct["c3"] == ("entered", "it waits for its next attempt")
        handed_over = await client.temporal.get_workflow_handle("sale/c3/one").describe()
        assert handed_over.raw_info.priority.priority_key == 4, "it gives way to the journeys of triggers"


ONE_MESSAGE = """
scenario: sale
trigger: segment
purpose: transactional
steps:
  - webhook: hook
    url: https://hooks.example.com/sale
    on_unknown: {word}
    body: {{id: "{{{{ contact.id }}}}", now: "{{{{ now }}}}"}}
"""


async def test_a_worker_is_killed_before_it_records_what_it_sent(
    here: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = vars(_Chunk)["_record"]
    living = True

    async def killed(self: Any, ends: Any) -> None:
        nonlocal living
        if not living:
            living = True
            raise OSError("killed")
        await real(self, ends)

    monkeypatch.setattr(_Chunk, "_record", killed)
    client = here.client
    async with gateway(client):
        for word, times in (("retry", 2), ("hold", 1)):
            await publish(client, tmp_path, ONE_MESSAGE.format(word=word))
            before, living = len(here.receiver.requests()), False
            await start(client, contacts(tmp_path), name=word, gear=None)
            ended = await until(client, lambda seen: seen.over, word)
            assert living
            requests = here.receiver.requests()[before:]
            messages = {one.json()["id"]: one.body for one in requests}
            assert {one.body for one in requests} == set(messages.values())  # repeated, the bytes are the same
            assert (len(messages), len(requests)) == (15, 15 * times)
            assert ended.outcomes == {"delivered": 15}  # with `hold`, because the log of attempts says so
