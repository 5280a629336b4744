"""Campaigns from the command line."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.store.campaign_lines import StoredAudience
from service.campaigns.views import CampaignLineView, CampaignRequest, CampaignView
from service.errors import NotFound
from service.view import PageRequest, PageView
from tests.cli.conftest import Client, Run
from tests.cli.samples import CAMPAIGN, LINES
from tests.journey import START

SCENARIO = "scenario: sale\ntrigger: segment\nsteps:\n  - sms: hello\n    text: Hello\n"


def written(folder: Path, people: str) -> tuple[str, str]:
    (folder / "sale.yaml").write_text(SCENARIO)
    (folder / "people.csv").write_text(people)
    return str(folder / "sale.yaml"), str(folder / "people.csv")


def test_a_table_becomes_entries_that_can_be_entered(run: Run, tmp_path: Path):
    file, people = written(tmp_path, "contact.id,custom.city\n1,Orléans\n2,\n")
    entries = tmp_path / "entries.jsonl"
    ran = run("campaign", "check", file, "--audience", people, "--name", "advent", "--write", str(entries))
    assert ran.status == 0
    survey = run("campaign", "check", file, "--audience", people, "--format", "json").json
    assert (survey["lines"], survey["entries"], survey["invalid_lines"]) == (2, 2, [])
    same = {"scenario": "sale", "key": "advent", "trigger": {"type": "segment"}}
    assert [json.loads(line) for line in entries.read_text("utf-8").splitlines()] == [
        {**same, "contact": {"id": "1", "custom": {"city": "Orléans"}}},
        {**same, "contact": {"id": "2"}},
    ]


def test_enter_says_what_to_do_with_a_table(run: Run):
    ran = run("enter", "people.csv")
    assert ran.status == 2
    assert "'scenario campaign start SCENARIO --audience people.csv'" in " ".join(ran.err.split())


class Campaigns:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.view = CAMPAIGN
        self.audiences = self

    async def add(self, _: object, name: str, content: AsyncIterator[bytes]) -> StoredAudience:
        self.asked.append(b"".join([part async for part in content]))
        return StoredAudience(id="a1", name=name, owner="terminal", created_at=START)

    async def begin(self, _: object, request: CampaignRequest, file: StoredAudience) -> CampaignView:
        self.asked += [request, file.id]
        return self.view.model_copy(update={"state": "preparing", "survey": None, "trouble": "no gateway runs"})

    async def show(self, _: object, name: str) -> CampaignView:
        if name != "advent":
            raise NotFound(f"there is no campaign '{name}'")
        return self.view

    async def all_lines(self, _: object, name: str, outcome: str | None) -> AsyncGenerator[list[CampaignLineView]]:
        self.asked.append((name, outcome))
        for line in LINES:
            if outcome in (None, line.outcome):
                yield [line]

    async def change(self, _: object, name: str, change: str, **more: Any) -> CampaignView:
        self.asked.append((name, change, more))
        return self.view

    async def list(self, _: object, page: PageRequest) -> PageView[CampaignView]:
        return PageView(items=[self.view] if self.asked != ["empty"] else [], next=None)


@pytest.fixture
def campaigns(client: Client) -> Campaigns:
    client.campaigns = Campaigns()
    return client.campaigns


def test_start_publishes_a_scenario_uploads_a_file_and_says_what_it_costs(
    run: Run, client: Client, campaigns: Campaigns, tmp_path: Path
):
    _, people = written(tmp_path, "contact.id\n1\n")
    ran = run("campaign", "start", "sale.yaml", "--audience", people, "--rate", "200/s", "--operator", "ann")
    assert (ran.status, ran.out) == (0, run("campaign", "show", "advent").out)
    assert ran.err.splitlines() == [
        "scenario: no gateway runs",
        "scenario: CSV",
        "scenario: 1,200 of 1,204 lines enter sale@3 as the campaign advent (4 invalid, 0 duplicates)",
        "scenario: gear enter, because it has 2 sending steps: each line starts a journey",
        "scenario: about 6s or longer; with one message for each line, 6,600 Temporal actions and 26.2 MB at Temporal",
    ]
    assert client.asked == [("publish", "sale.yaml", "ann")]
    assert campaigns.asked == [
        b"contact.id\n1\n",
        CampaignRequest(name="sale", scenario="sale@3", audience="people.csv", operator="ann", rate=200.0),
        "a1",
    ]


@pytest.mark.parametrize(
    ("terminal", "answer", "change"), [(True, "n", "stop"), (True, "y", "start"), (False, "", "start")]
)
def test_one_that_is_ready_starts_unless_a_terminal_says_no(
    run: Run,
    campaigns: Campaigns,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    terminal: bool,
    answer: str,
    change: str,
):
    campaigns.view = CAMPAIGN.model_copy(update={"state": "ready"})
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)

    def confirm(*_: object, **__: object) -> bool:
        return answer == "y"

    monkeypatch.setattr("typer.confirm", confirm)
    _, people = written(tmp_path, "contact.id\n1\n")
    ran = run(
        "campaign", "start", "sale@2", "--audience", people, "--name", "advent", "--at", "2026-11-27T09:00", "--local"
    )
    assert ran.status == 0
    request = campaigns.asked[1]
    assert (request.scenario, request.ask) == ("sale@2", terminal)
    assert (request.starts_at, request.local_start.isoformat()) == (None, "2026-11-27T09:00:00")
    assert campaigns.asked[-1][:2] == ("advent", change)


def test_a_campaign_is_shown_with_its_pause_and_its_trouble(run: Run, campaigns: Campaigns):
    paused = {"state": "paused", "paused_by": "ann", "pause_reason": "look", "trouble": "no gateway runs"}
    campaigns.view = CAMPAIGN.model_copy(update=paused)
    ran = run("campaign", "show", "advent")
    assert ran.out.splitlines()[-1] == "paused by ann: look"
    assert ran.err == "scenario: no gateway runs\n"


def test_a_campaign_is_watched_until_it_ends(run: Run, campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cli.campaign._WATCHED", 0.0)
    slow = CAMPAIGN.moving(12.5)
    views = iter(
        [
            CAMPAIGN.moving(None),
            slow,
            CAMPAIGN.moving(0.0),
            slow.model_copy(update={"ended_at": START, "state": "finished"}),
        ]
    )

    async def show(*_: object) -> CampaignView:
        return next(views)

    monkeypatch.setattr(campaigns, "show", show)
    ran = run("campaign", "show", "advent", "--watch")
    assert ran.out.splitlines()[:4] == [
        "running: 1,200 of 1,204, about 1s left",
        "running: 1,200 of 1,204, 12.5 lines a second, about 1s left",
        "running: 1,200 of 1,204, 0.0 lines a second",
        "advent: finished, sale@3, gear enter, at most 200 lines a second",
    ]


@pytest.mark.parametrize(
    ("command", "rate"),
    [(("pause",), None), (("resume",), None), (("stop", "--leave"), None), (("retune", "--rate", "6/m"), 0.1)],
)
def test_a_change_is_recorded_with_its_reason(
    run: Run, campaigns: Campaigns, command: tuple[str, ...], rate: float | None
):
    word, *more = command
    ran = run("campaign", word, "advent", *more, "--reason", "look", "--operator", "ann")
    assert ran.status == 0
    record = {"operator": "ann", "reason": "look", "rate": rate, "leave": word == "stop"}
    assert campaigns.asked == [("advent", word, record)]
    assert run("campaign", word, "advent", *more).status == 2
