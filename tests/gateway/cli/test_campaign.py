"""Campaigns from the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.campaigns.request import CampaignRequest
from gateway.campaigns.survey import Survey
from gateway.cli import session
from gateway.errors import UnknownOperation
from gateway.publishing import Publication
from gateway.service.campaign_views import CampaignLineView, CampaignView
from gateway.service.campaigns import PreparedCampaign
from gateway.service.paging import PageRequest
from gateway.service.view import PageView
from tests.gateway.cli.conftest import Run

SCENARIO = "scenario: sale\ntrigger: segment\nsteps:\n  - sms: hello\n    text: Hello\n"


def written(folder: Path, people: str) -> tuple[str, str]:
    (folder / "sale.yaml").write_text(SCENARIO)
    (folder / "people.csv").write_text(people)
    return str(folder / "sale.yaml"), str(folder / "people.csv")


def test_a_survey_is_text_for_people(run: Run, tmp_path: Path):
    file, people = written(tmp_path, "contact.id;contact.emial\n1;a\n2;b\n1;c\n;d\n")
    ran = run("campaign", "check", file, "--audience", people)
    assert (ran.status, ran.out.splitlines()[:-1]) == (
        1,
        [
            f"{people}: CSV in utf-8, separated by semicolons",
            "columns: contact.id, contact.emial",
            "2 of 4 lines can enter sale",
            "duplicates, which are skipped: 1",
            "invalid lines: 1",
            "  line 5: the contact has no id: give 'contact.id'",
        ],
    )
    assert ran.out.splitlines()[-1].startswith("SHA-256 ")
    assert ran.err == "scenario: 'contact.emial' is not a standard field of a contact: it is kept as it is written\n"


def test_a_survey_is_json_for_programs(run: Run, tmp_path: Path):
    file, people = written(tmp_path, "contact.id\n1\n2\n")
    ran = run("campaign", "check", file, "--audience", people, "--format", "json")
    found = json.loads(ran.out)
    assert (ran.status, found["lines"], found["entries"], found["invalid_lines"]) == (0, 2, 2, [])


def test_a_table_becomes_entries_that_can_be_entered(run: Run, tmp_path: Path):
    file, people = written(tmp_path, "contact.id,custom.city\n1,Orléans\n2,\n")
    entries = tmp_path / "entries.jsonl"
    ran = run("campaign", "check", file, "--audience", people, "--name", "advent", "--write", str(entries))
    assert ran.status == 0
    same = {"scenario": "sale", "key": "advent", "trigger": {"type": "segment"}}
    assert [json.loads(line) for line in entries.read_text("utf-8").splitlines()] == [
        {**same, "contact": {"id": "1", "custom": {"city": "Orléans"}}},
        {**same, "contact": {"id": "2"}},
    ]


def test_enter_says_what_to_do_with_a_table(run: Run):
    ran = run("enter", "people.csv")
    assert ran.status == 2
    assert "'scenario campaign start SCENARIO --audience people.csv'" in " ".join(ran.err.split())


NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
SALE = CampaignView(
    name="advent",
    scenario="sale@3",
    gear="enter",
    state="running",
    digest="0123",
    form="CSV in utf-8, separated by commas",
    rate=200.0,
    outcomes={"entered": 1200, "pending": 4},
    done=1200,
    total=1204,
    operator="ann",
    since=NOW,
    starts_at=None,
    paused_by=None,
    pause_reason=None,
    ended_at=None,
    trouble=None,
    stopped_by=None,
    stop_reason=None,
)
LINES = [
    CampaignLineView(line=2, contact="7", journey="sale/7/advent", outcome="entered", reason=None, at=NOW),
    CampaignLineView(line=3, contact="", journey=None, outcome="invalid", reason="no id", at=NOW),
]
SURVEY = Survey(
    form="CSV",
    columns=(),
    unknown_columns=(),
    digest="0123",
    lines=1204,
    entries=1200,
    invalid=4,
    invalid_lines=(),
    duplicates=0,
)


class Campaigns:
    """The campaigns of a store: one, called advent."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.view = SALE

    @asynccontextmanager
    async def prepare(self, _: object, request: CampaignRequest) -> AsyncGenerator[PreparedCampaign]:
        self.asked.append(request)
        yield PreparedCampaign(cast("Any", None), SURVEY)

    async def start(self, _: object, prepared: PreparedCampaign) -> CampaignView:
        del prepared
        self.asked.append("start")
        return self.view

    async def show(self, _: object, name: str) -> CampaignView:
        if name != "advent":
            raise UnknownOperation(f"there is no campaign '{name}'")
        return self.view

    async def list(self, _: object, page: PageRequest) -> PageView[CampaignView]:
        return PageView(items=[self.view] if self.asked != ["empty"] else [], next=None)

    async def lines(self, _: object, name: str, page: PageRequest, outcome: str | None) -> PageView[CampaignLineView]:
        self.asked.append((name, page.cursor, outcome))
        first = page.cursor is None
        return PageView(items=LINES[:1] if first else LINES[1:], next="more" if first else None)

    async def change(self, _: object, name: str, change: str, **more: Any) -> CampaignView:
        self.asked.append((name, change, more))
        return self.view


@pytest.fixture
def campaigns(monkeypatch: pytest.MonkeyPatch) -> Campaigns:
    """Connect commands to them."""
    made = Campaigns()

    async def publish(path: Path, by: str) -> Publication:
        made.asked.append((path.name, by))
        return Publication("sale", 3, 3)

    @asynccontextmanager
    async def connected() -> AsyncGenerator[Any]:
        yield SimpleNamespace(services=SimpleNamespace(campaigns=made), publish=publish)

    monkeypatch.setattr(session, "connected", connected)
    return made


def test_start_publishes_a_file_says_what_it_costs_and_starts(run: Run, campaigns: Campaigns):
    ran = run("campaign", "start", "sale.yaml", "--audience", "people.csv", "--rate", "200/s", "--operator", "ann")
    assert (ran.status, ran.out.splitlines()) == (
        0,
        [
            "advent: running, sale@3, at most 200 lines a second",
            "1,200 of 1,204 lines are done",
            "  entered: 1,200",
            "  pending: 4",
        ],
    )
    assert ran.err.splitlines() == [
        "scenario: 1,200 of 1,204 lines enter sale@3 as the campaign sale",
        "scenario: each line starts a journey: about 6s; with one message each, 6,600 Temporal actions, and 26 MB at "
        "Temporal while they wait",
    ]
    assert campaigns.asked == [
        ("sale.yaml", "ann"),
        CampaignRequest(name="sale", scenario="sale@3", audience=Path("people.csv"), operator="ann", rate=200.0),
        "start",
    ]


@pytest.mark.parametrize("answer", ["n", "y"])
def test_start_asks_on_a_terminal(run: Run, campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch, answer: str):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def confirm(*_: object, **__: object) -> bool:
        return answer == "y"

    monkeypatch.setattr("typer.confirm", confirm)
    ran = run("campaign", "start", "sale@2", "--audience", "people.csv", "--name", "advent")
    assert ran.status == (0 if answer == "y" else 1)
    assert ("start" in campaigns.asked) == (answer == "y")
    assert campaigns.asked[0].scenario == "sale@2"


def test_a_rate_without_a_unit_is_refused(run: Run, campaigns: Campaigns):
    ran = run("campaign", "start", "sale", "--audience", "people.csv", "--rate", "200")
    assert ran.status == 2
    assert "write 200/s, 600/m or 1000/h" in " ".join(ran.err.split())


def test_a_campaign_is_shown_with_its_pause_and_its_trouble(run: Run, campaigns: Campaigns):
    campaigns.view = SALE.model_copy(
        update={"state": "paused", "paused_by": "ann", "pause_reason": "look", "trouble": "no gateway runs"}
    )
    ran = run("campaign", "show", "advent")
    assert ran.out.splitlines()[-1] == "paused by ann: look"
    assert ran.err == "scenario: no gateway runs\n"
    assert json.loads(run("campaign", "show", "advent", "--format", "json").out)["state"] == "paused"
    assert run("campaign", "show", "other").err == "scenario: there is no campaign 'other'\n"


def test_campaigns_are_listed(run: Run, campaigns: Campaigns):
    assert [line.split() for line in run("campaign", "list").out.splitlines() if line[:1].isalpha()] == [
        ["campaign", "scenario", "state", "done", "of"],
        ["advent", "sale@3", "running", "1,200", "1,204"],
    ]
    assert json.loads(run("campaign", "list", "--format", "json").out)[0]["name"] == "advent"
    campaigns.asked = ["empty"]
    assert run("campaign", "list").err == "there is no campaign\n"


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("text", "line 2: entered\nline 3: invalid: no id\n"),
        (
            "csv",
            "line,contact,journey,outcome,reason,at\n2,7,sale/7/advent,entered,,2026-11-27T09:00:00Z\n"
            "3,,,invalid,no id,2026-11-27T09:00:00Z\n",
        ),
    ],
)
def test_results_are_listed_page_by_page(run: Run, campaigns: Campaigns, form: str, written: str):
    ran = run("campaign", "results", "advent", "--outcome", "invalid", "--format", form)
    assert (ran.status, ran.out) == (0, written)
    assert campaigns.asked == [("advent", None, "invalid"), ("advent", "more", "invalid")]


def test_results_are_objects_a_line_for_programs(run: Run, campaigns: Campaigns):
    ran = run("campaign", "results", "advent", "--format", "json")
    assert [json.loads(line)["line"] for line in ran.out.splitlines()] == [2, 3]


@pytest.mark.parametrize(
    ("command", "rate"),
    [(("pause",), None), (("resume",), None), (("stop",), None), (("retune", "--rate", "6/m"), 0.1)],
)
def test_a_change_is_recorded_with_its_reason(
    run: Run, campaigns: Campaigns, command: tuple[str, ...], rate: float | None
):
    word, *more = command
    ran = run("campaign", word, "advent", *more, "--reason", "look", "--operator", "ann")
    assert ran.status == 0
    assert campaigns.asked == [("advent", word, {"operator": "ann", "reason": "look", "rate": rate})]
    assert run("campaign", word, "advent", *more).status == 2
