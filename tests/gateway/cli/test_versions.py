"""What is published, what admits nobody, and putting journeys into another version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import NotAccepted
from gateway.operations.migration import MigrationForecast, StepPopulation
from runtime.store import AdmissionRequest, Store
from scenario.plan.difference import Redrawn, VersionDifference
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.search import NOW


@pytest.fixture
def published(run: Run, stored: Stored) -> Run:
    """Commands beside a store with two scenarios; one has two versions, each with a journey."""

    async def fill(store: Store) -> None:
        for number in (1, 2):
            await store.publish("sale", {"n": number}, {}, f"d{number}", "ann")
            asking = AdmissionRequest("sale", number, str(number), None, f"sale/{number}", "r", "always", NOW)
            await store.admit(asking)
        await store.publish("welcome", {}, {}, "d", "bob", journeys="follow")

    stored(fill)
    return run


def told(run: Run, *arguments: str) -> list[tuple[str, int, int, str | None]]:
    found = run("versions", *arguments, "--format", "json").json
    return [(item["scenario"], item["version"], item["under_way"], item["reason"]) for item in found]


def test_each_newest_version_is_listed_and_the_older_ones_that_are_followed(published: Run):
    assert told(published) == [("sale", 2, 1, None), ("sale", 1, 1, None), ("welcome", 1, 0, None)]
    assert told(published, "welcome") == [("welcome", 1, 0, None)]
    assert [item["journeys"] for item in published("versions", "--format", "json").json] == ["pin", "pin", "follow"]
    lines = [line.split() for line in published("versions").out.splitlines()]
    assert [(line[0], line[3:]) for line in lines[2:]] == [
        ("sale@2", ["ann", "pin", "1"]),
        ("sale@1", ["ann", "pin", "1", "older"]),
        ("welcome@1", ["bob", "follow", "0"]),
    ]


def test_a_scenario_is_closed_and_opened_again(published: Run):
    ran = published("close", "sale", "--reason", "it is over", "--operator", "ann")
    assert (ran.status, ran.out) == (0, "sale is closed: new entries are refused, and running journeys continue\n")
    assert published("close", "sale").out.startswith("sale was closed already: ")
    assert told(published, "sale") == [("sale", 2, 1, "it is over"), ("sale", 1, 1, "it is over")]
    assert "by ann: it is over" in published("versions").out
    ran = published("open", "sale")
    assert (ran.status, ran.out) == (0, "sale is open again: contacts are admitted\n")
    assert published("open", "sale").out == "sale was not closed: contacts are admitted\n"


WAITING = StepPopulation(3, "wait-2", "waiting", ("a/1", "a/2"), fits=False, becomes="which is gone: map it")
HELD = StepPopulation(3, "hook", "held", ("a/3",), fits=True, becomes="which stays")
BETWEEN = StepPopulation(2, None, "running", ("a/4", "a/5"), fits=True, becomes="each journey is asked")
DIFFERENT = VersionDifference(
    removed=("wait-2",), changed={"hook": ("body",)}, redrawn=(Redrawn("split halves", 700, "contacts"),)
)
FORECAST = MigrationForecast("a", 4, {3: DIFFERENT, 2: None}, (WAITING, HELD, BETWEEN))
COUNTS = [
    "a@3 to @4: removed: wait-2; changed: hook (body)",
    "  split halves: 7 % of contacts would now take another branch than in a@3",
    "  2 wait at wait-2, which is gone: map it",
    "  1 is held at hook, which stays",
    "a@2 to @4: the differences cannot be read",
    "  2 are between steps, each journey is asked",
]


def test_a_dry_run_counts_and_sends_nothing(run: Run, client: Client):
    client.forecast = FORECAST
    ran = run("migrate", "a", "--from", "3", "--at", "wait-2", "--state", "waiting", "--map", "x=y", "--dry-run")
    assert (ran.status, ran.out.splitlines()) == (1, COUNTS)
    assert ran.err == "scenario: 3 journeys would continue in a@4, 2 not: nothing was done\n"
    wanted = {"to": "newest", "version": 3, "step": "wait-2", "state": "waiting", "names": {"x": "y"}}
    assert client.asked == [("forecast_migration", "a", wanted)]
    ran = run("migrate", "a", "--to", "4", "--limit", "9", "--dry-run", "--format", "json")
    assert client.asked[1][2] == {"to": 4, "version": None, "step": None, "names": {}, "limit": 9}
    assert (ran.json["scenario"], ran.json["to"], ran.json["differences"]["2"]) == ("a", 4, None)
    assert ran.json["differences"]["3"] == {
        "added": [],
        "removed": ["wait-2"],
        "changed": {"hook": ["body"]},
        "settings": [],
        "redrawn": [{"what": "split halves", "share": 700, "whom": "contacts"}],
    }
    assert ran.json["standing"][1] == {
        "version": 3,
        "step": "hook",
        "state": "held",
        "journeys": 1,
        "fits": True,
        "becomes": "which stays",
    }


def test_those_that_fit_get_the_operation_and_the_others_are_said(run: Run, client: Client):
    client.forecast = FORECAST
    ran = run("migrate", "a", "--operator", "ann", "--waits", "restart", "--rate", "20/s")
    assert (ran.status, ran.out) == (1, "accepted 3\n")
    assert ran.err.splitlines() == [*COUNTS, "scenario: 2 journeys left in their version, as said above"]
    given = {"operator": "ann", "reason": "to continue in a@4", "version": 4, "waits": "restart"}
    assert client.asked[1:] == [("batch", 20.0), *(("migrate", f"a/{number}", None, given) for number in (3, 4, 5))]


def test_what_is_mapped_and_where_goes_along(run: Run, client: Client):
    client.forecast = replace(FORECAST, standing=(HELD,))
    client.answers = {}
    mapped = ("--map", "hook=hook2", "--map", "b = c")
    ran = run("migrate", "a", "--at", "hook", *mapped, "--reason", "x", "--operator", "ann", "--format", "json")
    assert ran.status == 0
    assert ran.json == {"operation": "migrate", "accepted": ["a/3"], "refused": [], "left": 0}
    given = {"operator": "ann", "reason": "x", "version": 4, "waits": "keep", "map": {"hook": "hook2", "b": "c"}}
    assert client.asked[-1] == ("migrate", "a/3", "hook", given)


def test_those_that_refuse_say_why(run: Run, client: Client):
    client.forecast = replace(FORECAST, standing=(HELD,))
    client.answers = {"a/3": NotAccepted("a/3", "'mail' would be sent again")}
    ran = run("migrate", "a")
    assert (ran.status, ran.out) == (1, "accepted 0, refused 1 ('mail' would be sent again)\n")


@pytest.mark.parametrize(("standing", "why"), [((WAITING,), "no journey matches"), ((), "no journey is running there")])
def test_where_nobody_can_go_on_nothing_is_sent(
    run: Run, client: Client, standing: tuple[StepPopulation, ...], why: str
):
    client.forecast = replace(FORECAST, standing=standing)
    ran = run("migrate", "a")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.endswith(f"scenario: nothing to migrate: {why}\n")
    assert len(client.asked) == 1


def test_one_journey_is_named_by_its_id(run: Run, client: Client):
    client.answer = {"state": "waiting", "scenario": "a@3", "moves_to": "a@4"}
    ran = run("migrate", "a/7/K1", "--to", "4", "--map", "x=y", "--at", "wait-2", "--operator", "ann")
    assert (ran.status, ran.out) == (0, "a/7/K1: continues in a@4\n")
    given: dict[str, Any] = {"operator": "ann", "reason": "to continue in version 4", "version": 4}
    assert client.asked == [("migrate", "a/7/K1", {**given, "map": {"x": "y"}, "waits": "keep", "step": "wait-2"})]
