"""In which version a journey may go on, and what is noted of that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.content import Content
from activities.interface import Adoption, Renewal
from activities.renewal import Renewals
from runtime.store import AdmissionRequest, Store
from scenario.plan.migration import Place
from scenario.plan.plan import LARGEST_PLAN
from tests.activities.versions import Version, Versions, version

FIRST = version(1, "{wait: 1d}", "{sms: a, text: hi}")
SECOND = version(2, "{wait: 2d}", "{sms: b, text: hi}", "{sms: a, text: hi}")
BEHIND = Place(at="wait-1", is_over=True, following="a")


async def test_where_there_is_nothing_newer_one_look_is_enough(store: Store) -> None:
    versions = Versions([SECOND])
    renewals = Renewals(Content(versions), store)
    asked = Renewal(scenario="welcome", version=2, place=BEHIND, follows=True)
    for _ in range(3):
        assert not (await renewals.renew(asked)).version
    assert (versions.asked, versions.opened) == (3, [2])


async def test_the_newer_version_comes_with_its_plan_and_the_place(store: Store) -> None:
    renewals = Renewals(Content(Versions([FIRST, SECOND])), store)
    found = await renewals.renew(Renewal(scenario="welcome", version=1, place=BEHIND, follows=True))
    assert (found.version, found.plan, found.at, found.error) == (2, SECOND.plan, "b", "")
    found = await renewals.renew(Renewal(scenario="welcome", version=1, place=Place(at="wait-1"), to=2))
    assert (found.version, found.plan, found.at, found.error) == (2, SECOND.plan, "wait-1", "")


NEWER = replace(SECOND, version=3, plan={"start": "a", "steps": {"a": {"kind": "sms", "on_failure": "ring the bell"}}})
LARGE = replace(SECOND, version=3, plan={**SECOND.plan, "more": "x" * LARGEST_PLAN})
GONE = version(3, "{wait: 2d}")


@pytest.mark.parametrize(
    ("third", "more", "why"),
    [
        (GONE, {"to": 1}, "the journey follows welcome@1 already"),
        (GONE, {"to": 9}, "welcome@9 is not published: publish it first"),
        (GONE, {"follows": True}, "welcome@3: step 'a' no longer exists: map it"),
        (GONE, {"names": {"x": "y"}}, "welcome@3: there is no step 'y', to which 'x' is mapped"),
        (NEWER, {}, "welcome@3 is not for this version of the workers: update them"),
        (LARGE, {}, "welcome@3: it is too large to be performed: split it, or name less in its templates"),
    ],
)
async def test_a_sentence_says_why_it_cannot_be(store: Store, third: Version, more: dict[str, Any], why: str) -> None:
    renewals = Renewals(Content(Versions([FIRST, third])), store)
    found = await renewals.renew(Renewal(scenario="welcome", version=1, place=BEHIND, **more))
    assert (found.error, found.plan) == (why, {})


async def test_those_who_look_find_the_version_that_a_journey_follows(store: Store) -> None:
    for name in ("welcome/1", "welcome/2"):
        now = datetime.now(UTC)
        await store.admit(AdmissionRequest("welcome", 1, name, None, name, "r", "always", now))
    renewals = Renewals(Content(store), store)
    for _ in range(2):
        await renewals.adopt(Adoption(workflow_id="welcome/1", run_id="r", version=2))
    assert await store.counts() == {("welcome", 1): 1, ("welcome", 2): 1}
    assert [entry.workflow_id for entry in await store.entries(version=2)] == ["welcome/1"]
