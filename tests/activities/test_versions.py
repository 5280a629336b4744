"""Published versions as activities read them, and in which of them a journey continues."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from typing_extensions import override

from activities.content import Content, UnknownVersion
from activities.decision import Renewals
from activities.interface import Adoption, Renewal, StepVersion, StepVersionRequest
from runtime.store import AdmissionRequest, Store
from runtime.store.versions import StoredVersion, Versions
from scenario.model.scenario import document
from scenario.plan.compile import compile_plan
from scenario.plan.migration import Place
from scenario.plan.plan import LARGEST_PLAN, dump_plan
from tests.factories import NOW, admission_request
from tests.scenarios import scenario_of, scenario_text


def version(number: int, *steps: str) -> StoredVersion:
    made = scenario_of(scenario_text(*steps, name="welcome", trigger="segment"))
    return StoredVersion("welcome", number, document(made), dump_plan(compile_plan(made)), "", NOW)


@dataclass
class Shelf(Versions):
    known: list[StoredVersion]
    opened: list[int] = field(default_factory=list[int])
    asked: int = 0

    @override
    async def newest(self, scenario: str) -> int | None:
        self.asked += 1
        return max((one.version for one in self.known if one.scenario == scenario), default=None)

    @override
    async def version(self, scenario: str, version: int | None = None) -> StoredVersion | None:
        assert version is not None
        self.opened.append(version)
        found = [one for one in self.known if (one.scenario, one.version) == (scenario, version)]
        return found[-1] if found else None


FIRST = version(1, "{wait: 1d}", "{sms: a, text: hi}")
SECOND = version(2, "{wait: 2d}", "{sms: b, text: hi}", "{sms: a, text: hi}")
WITH_A = [version(number, f"{{sms: a, text: hi, timeout: {seconds}s}}") for number, seconds in ((1, 5), (2, 9))]
BEHIND = Place(at="wait-1", is_over=True, following="a")


async def test_where_there_is_nothing_newer_one_look_is_enough(store: Store) -> None:
    versions = Shelf([SECOND])
    renewals = Renewals(Content(versions), store)
    asked = Renewal(scenario="welcome", version=2, place=BEHIND, follows=True)
    for _ in range(3):
        assert not (await renewals.renew(asked)).version
    assert (versions.asked, versions.opened) == (3, [2])


async def test_the_newer_version_comes_with_its_plan_and_the_place(store: Store) -> None:
    renewals = Renewals(Content(Shelf([FIRST, SECOND])), store)
    found = await renewals.renew(Renewal(scenario="welcome", version=1, place=BEHIND, follows=True))
    assert (found.version, found.plan, found.at, found.error) == (2, SECOND.plan, "b", "")
    found = await renewals.renew(Renewal(scenario="welcome", version=1, place=Place(at="wait-1"), to=2))
    assert (found.version, found.plan, found.at, found.error) == (2, SECOND.plan, "wait-1", "")


async def test_a_journey_that_may_move_to_an_earlier_version_is_on_record_before_it_is_ordered(store: Store) -> None:
    for name in ("welcome/1", "welcome/2"):
        await store.admit(admission_request(workflow_id=name, contact_id=name, version=2))
    renewals = Renewals(Content(Shelf([FIRST, SECOND, replace(SECOND, version=3)])), store)
    for number, (to, error) in enumerate([(3, ""), (1, "")], start=1):
        asked = Renewal(
            scenario="welcome",
            version=2,
            place=Place(at="wait-1"),
            to=to,
            workflow_id=f"welcome/{number}",
            run_id="run-1",
        )
        assert (await renewals.renew(asked)).error == error
    found = {entry.workflow_id: entry.entered_version for entry in await store.entries()}
    assert found == {"welcome/1": None, "welcome/2": 2}


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
async def test_a_sentence_says_why_it_cannot_be(
    store: Store, third: StoredVersion, more: dict[str, Any], why: str
) -> None:
    renewals = Renewals(Content(Shelf([FIRST, third])), store)
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


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("welcome", 1, "a", "sms"), StepVersion(version=1, step={"kind": "sms", "timeout": 5.0})),
        (("welcome", None, "a", "sms"), StepVersion(version=2, step={"kind": "sms", "timeout": 9.0})),
        (("welcome", 4, "a", "sms"), StepVersion(error="welcome@4 is not published: publish it first")),
        (("farewell", None, "a", "sms"), StepVersion(error="farewell is not published: publish it first")),
        (("welcome", 1, "b", "sms"), StepVersion(error="welcome@1 has no step 'b': name a version that has it")),
        (("welcome", 1, "a", "email"), StepVersion(error="'a' is of kind sms in welcome@1, not email")),
        (
            ("welcome", 3, "a", "sms"),
            StepVersion(error="'a' of welcome@3 is not for this version of the workers: update them"),
        ),
    ],
)
async def test_a_step_is_found_or_a_sentence_says_why_not(
    store: Store, asked: tuple[str, int | None, str, str], expected: StepVersion
) -> None:
    scenario, number, step, kind = asked
    renewals = Renewals(Content(Shelf(WITH_A if number is None else [*WITH_A, NEWER])), store)
    found = await renewals.amend(StepVersionRequest(scenario=scenario, version=number, step=step, kind=kind))
    kept = {key: value for key, value in found.step.items() if key in ("kind", "timeout")}
    assert (found.version, kept, found.error) == (expected.version, expected.step, expected.error)


async def test_a_version_is_read_once_whether_it_is_named_or_the_newest() -> None:
    versions = Shelf([FIRST])
    content = Content(versions)
    first = await content.open("welcome")
    assert [await content.open("welcome"), await content.open("welcome", 1)] == [first, first]
    assert (first.version, versions.opened) == (1, [1])


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [("welcome", 4, "welcome@4 is not published"), ("other", None, "other is not published")],
)
async def test_what_was_never_published_is_named(name: str, version: int | None, said: str) -> None:
    with pytest.raises(UnknownVersion) as unknown:
        await Content(Shelf([FIRST])).open(name, version)
    assert str(unknown.value) == said
