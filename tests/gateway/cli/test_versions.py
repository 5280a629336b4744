"""What is published, what admits nobody, and putting journeys into another version."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import NotAccepted
from gateway.operations.migration import StepPopulation
from runtime.store import Store
from tests.factories import admission_request
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.cli.samples import FORECAST, GONE, STAYS


@pytest.fixture
def published(run: Run, stored: Stored) -> Run:
    """Publish two scenarios; one has two versions, each with a journey."""

    async def fill(store: Store) -> None:
        for number in (1, 2):
            await store.publish("sale", {"n": number}, {}, f"d{number}", "ann")
            await store.admit(admission_request(str(number), "sale", version=number))
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


def test_a_dry_run_counts_and_sends_nothing(run: Run, client: Client):
    client.shown["forecast_migration"] = FORECAST
    run("migrate", "a", "--from", "3", "--at", "wait-2", "--state", "waiting", "--map", "x=y", "--dry-run")
    run("migrate", "a", "--to", "4", "--limit", "9", "--dry-run")
    wanted: dict[str, Any] = {"to": "newest", "version": 3, "step": "wait-2", "state": "waiting", "names": {"x": "y"}}
    other: dict[str, Any] = {"to": 4, "version": None, "step": None, "names": {}, "limit": 9}
    assert client.asked == [("forecast_migration", "a", one) for one in (wanted, other)]


def test_those_that_fit_get_the_operation_and_the_others_are_said(run: Run, client: Client):
    client.shown["forecast_migration"] = FORECAST
    ran = run("migrate", "a", "--operator", "ann", "--waits", "restart", "--rate", "20/s")
    assert (ran.status, ran.out) == (1, "accepted 3\n")
    *counts, last = ran.err.splitlines()
    assert counts == run("migrate", "a", "--dry-run").out.splitlines()
    assert last == "scenario: 2 journeys left in their version, as said above"
    given = {"operator": "ann", "reason": "to continue in a@4", "version": 4, "waits": "restart"}
    assert client.asked[1:5] == [("batch", 20.0), *(("migrate", f"a/{number}", None, given) for number in (3, 4, 5))]


def test_what_is_mapped_and_where_goes_along(run: Run, client: Client):
    client.shown["forecast_migration"] = replace(FORECAST, standing=(STAYS,))
    mapped = ("--map", "hook=hook2", "--map", "b = c")
    ran = run("migrate", "a", "--at", "hook", *mapped, "--reason", "x", "--operator", "ann", "--format", "json")
    assert ran.status == 0
    assert ran.json == {"operation": "migrate", "accepted": ["a/3"], "refused": [], "left": 0}
    given = {"operator": "ann", "reason": "x", "version": 4, "waits": "keep", "map": {"hook": "hook2", "b": "c"}}
    assert client.asked[-1] == ("migrate", "a/3", "hook", given)


def test_those_that_refuse_say_why(run: Run, client: Client):
    client.shown["forecast_migration"] = replace(FORECAST, standing=(STAYS,))
    client.answers = {"a/3": NotAccepted("a/3", "'mail' would be sent again")}
    ran = run("migrate", "a")
    assert (ran.status, ran.out) == (1, "accepted 0, refused 1 ('mail' would be sent again)\n")


@pytest.mark.parametrize(("standing", "why"), [((GONE,), "no journey matches"), ((), "no journey is running there")])
def test_where_nobody_can_go_on_nothing_is_sent(
    run: Run, client: Client, standing: tuple[StepPopulation, ...], why: str
):
    client.shown["forecast_migration"] = replace(FORECAST, standing=standing)
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
