"""Where journeys stand that are to go on in another version, and what becomes of them."""

from typing import Any

import pytest
from temporalio.api.workflow.v1 import PendingActivityInfo

from gateway.errors import BadInput
from gateway.operations.migration import MigrationForecast, forecast
from gateway.operations.request import JourneyTarget
from runtime.store import Store
from tests.factories import admission_request, publish
from tests.gateway.search import Search

HOOK = '{webhook: hook, url: "https://x.example.com", body: {a: 1}}'
MAIL = '{email: mail, subject: "hi", text: "hi"}'


@pytest.fixture
async def two(store: Store) -> Store:
    """A store with three versions, and six journeys in the first two; one of them was terminated."""
    for steps in (
        (MAIL, "{wait: 2d}", HOOK),
        ("{wait: 1d, id: early}", MAIL, "{wait: 2d}", HOOK),
        (MAIL, "{wait: 2d, id: rest}", HOOK.replace("a: 1", "a: 2")),
    ):
        await publish(store, f"scenario: a\ntrigger: order\nsteps: [{', '.join(steps)}]\n")
    for number, version in enumerate((1, 1, 1, 2, 2, 2, 3)):
        await store.admit(admission_request(str(number), "a", version=version))
    return store


def temporal() -> Search:
    """Search knows of all but one of them; one that it takes for waiting has a delivery under way."""
    steps = {"a/0": "mail", "a/3": "early"}
    found = Search(sending={name: [PendingActivityInfo(activity_id=step)] for name, step in steps.items()})
    for number, state in ((0, "waiting"), (3, "waiting"), (1, "held"), (4, "held"), (6, "held")):
        found.put(f"a/{number}", state)
    return found


def told(found: MigrationForecast) -> list[str]:
    return [f"{found.scenario}@{one.version}: {one}" for one in found.standing]


async def test_journeys_are_counted_by_where_they_stand(two: Store):
    found = await forecast(temporal().client, two, "a")
    assert (found.to, found.left_out, found.fitting) == (3, 1, ["a/4", "a/0", "a/1"])
    assert told(found) == [
        "a@2: 1 is at early, which is gone: map it, for example to rest",
        "a@2: 1 is held at hook, which stays",
        "a@1: 1 is at mail, which stays",
        "a@1: 1 is held at hook, which stays",
    ]
    assert {number: str(one) for number, one in found.differences.items()} == {
        2: "added: rest; removed: early, wait-3; changed: hook (body)",
        1: "added: rest; removed: wait-2; changed: hook (body)",
    }
    assert found.targets("hook")[0] == JourneyTarget("a/4", "hook")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"version": 1}, ["a@1: 1 is at mail, which stays", "a@1: 1 is held at hook, which stays"]),
        ({"state": "held", "version": 2}, ["a@2: 1 is held at hook, which stays"]),
        ({"version": 2, "state": "running", "names": {"early": "rest"}}, ["a@2: 1 is at early, which becomes rest"]),
        ({"limit": 1}, ["a@2: 1 is held at hook, which stays"]),
        ({"step": "wait-2"}, []),
    ],
)
async def test_only_those_that_are_meant_are_counted(two: Store, wanted: dict[str, Any], expected: list[str]):
    assert told(await forecast(temporal().client, two, "a", **wanted)) == expected


@pytest.mark.parametrize(
    ("scenario", "wanted", "why"),
    [
        ("b", {}, "there is no scenario 'b': check its name"),
        ("a", {"to": 9}, "a has no version 9: the newest is 3"),
        ("a", {"version": 9}, "a has no version 9: the newest is 3"),
        ("a", {"version": 3}, "a@3 is the target version: name another version to migrate from, or none"),
        ("a", {"names": {"early": "rests"}}, "there is no step 'rests' in a@3: did you mean 'rest'?"),
        ("a", {"names": {"erly": "rest"}}, "there is no step 'erly' in their versions: did you mean 'early'?"),
        ("a", {"version": 1, "step": "xyz"}, "there is no step 'xyz' in their versions: there are mail, wait-2, hook"),
    ],
)
async def test_what_is_not_there_is_said(two: Store, scenario: str, wanted: dict[str, Any], why: str):
    with pytest.raises(BadInput) as caught:
        await forecast(temporal().client, two, scenario, **wanted)
    assert str(caught.value) == why
