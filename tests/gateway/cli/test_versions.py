"""What is published, and what admits nobody."""

from __future__ import annotations

import pytest

from runtime.store import AdmissionRequest, Store
from tests.gateway.cli.conftest import Run, Stored
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
