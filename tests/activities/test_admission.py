"""Plans that no journey could take up, and what is counted of who asks twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.admission import AdmissionActivities
from activities.background import IdentityRequest
from activities.content import Content
from activities.interface import Admission, AdmissionResult
from runtime.encryption.keyring import Keyring
from runtime.store import Closure, Store
from runtime.store.erasures import ERASED
from runtime.telemetry.metrics import ADMISSION
from scenario.entry.values import DEFAULT_PLATFORM, PlatformDates
from scenario.errors import ScenarioError
from scenario.model.scenario import digest, document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import LARGEST_PLAN, dump_plan
from tests.measured import Measured
from tests.scenarios import scenario_of, scenario_text


async def admit(
    store: Store,
    row: Mapping[str, Any],
    closure: Closure | None = None,
    platform: PlatformDates = PlatformDates("Europe/Paris"),  # noqa: B008 it is frozen
) -> AdmissionResult:
    scenario = scenario_of(scenario_text("{sms: first, text: hi}", name="welcome", trigger="segment"))
    content, plan = document(scenario), dump_plan(compile_plan(scenario))
    plan["steps"]["first"] |= row
    await store.publish("welcome", content, plan, digest(content))
    if closure is not None:
        await store.close_scenario(closure)
    entry = {"scenario": "welcome", "contact": {"id": 1}, "trigger": {"type": "segment"}}
    admission = Admission(entry=entry, workflow_id="welcome/1", run_id="r", now="2027-01-01T00:00:00+00:00")
    activities = AdmissionActivities(Content(store), store, platform)
    admitted = await activities.admit(admission)
    assert await activities.admit(admission) == admitted  # as where the server never heard of the first answer
    return admitted


async def test_a_plan_with_what_only_a_newer_program_knows_is_passed_over_key_by_key(store: Store) -> None:
    measured = Measured(ADMISSION)
    assert (await admit(store, {"a_key_of_a_later_version": 1})).refused == ""
    assert measured.of(ADMISSION) == {("welcome", "admitted", None): (1, 1)}  # once, though it is asked twice


async def test_a_journey_is_given_how_the_platform_writes_dates(store: Store) -> None:
    admitted = await admit(store, {}, platform=PlatformDates("Asia/Tokyo", "mdy"))
    assert (admitted.zone, admitted.dates) == ("Asia/Tokyo", "mdy")


async def test_a_plan_that_this_program_cannot_read_keeps_the_contact_waiting_for_a_worker_that_can(
    store: Store,
) -> None:
    with pytest.raises(ScenarioError, match="welcome@1 is not for this version of the workers: update them"):
        await admit(store, {"kind": "pigeon"})


async def test_a_plan_that_temporal_would_not_take_refuses_the_contact(store: Store) -> None:
    admitted = await admit(store, {"to": "a" * LARGEST_PLAN})
    assert admitted.refused == "welcome is too large to be performed: split it, or name less in its templates"


@pytest.mark.parametrize(("reason", "said"), [("the sale is over", " (the sale is over)"), ("", "")])
async def test_a_closed_scenario_says_since_when_and_why(store: Store, reason: str, said: str) -> None:
    closure = Closure("welcome", datetime(2026, 3, 31, 8, 0, tzinfo=UTC), "ann", reason)
    await store.want_events(["journey.refused"])
    admitted = await admit(store, {}, closure)
    assert admitted.refused == f"welcome is closed since Tue 2026-03-31 08:00 UTC: nobody is admitted{said}"
    [event] = (await store.outgoing_events(0))[0]  # though it was asked twice
    assert (event.type, event.subject, event.contact_id, event.scenario) == (
        *("journey.refused", "welcome/1", "1", "welcome"),
    )
    assert event.data == {"reason": "closed"}


async def test_no_journey_is_begun_for_an_erased_contact(store: Store) -> None:
    """Not even to be refused: what one worker encrypts for it, another cannot read, and would try for ever."""
    entry = {"scenario": "welcome", "contact": {"id": 1}, "trigger": {"type": "segment"}}
    keys = store.sealing = Keyring(store, None)
    await keys.destroy("1")
    asked = IdentityRequest(entry=entry, now="2027-01-01T00:00:00+00:00")
    assert (await AdmissionActivities(Content(store), store, DEFAULT_PLATFORM).identify(asked)).refused == ERASED
