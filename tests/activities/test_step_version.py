"""Steps as other versions have them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from activities.content import Content
from activities.interface import StepVersion, StepVersionRequest
from activities.renewal import StepVersions
from tests.activities.versions import Versions, version

FIRST = version(1, "{sms: first, text: hi, timeout: 5s}")
SECOND = version(2, "{sms: first, text: hi, timeout: 9s}")


@pytest.mark.parametrize(
    ("scenario", "number", "step", "kind", "expected"),
    [
        ("welcome", 1, "first", "sms", StepVersion(version=1, step={"kind": "sms", "timeout": 5.0})),
        ("welcome", None, "first", "sms", StepVersion(version=2, step={"kind": "sms", "timeout": 9.0})),
        ("welcome", 3, "first", "sms", StepVersion(error="welcome@3 is not published: publish it first")),
        ("farewell", None, "first", "sms", StepVersion(error="farewell is not published: publish it first")),
        (
            "welcome",
            1,
            "second",
            "sms",
            StepVersion(error="welcome@1 has no step 'second': name a version that has it"),
        ),
        ("welcome", 1, "first", "email", StepVersion(error="'first' is of kind sms in welcome@1, not email")),
    ],
)
async def test_a_step_is_found_or_a_sentence_says_why_not(
    scenario: str, number: int | None, step: str, kind: str, expected: StepVersion
) -> None:
    amendments = StepVersions(Content(Versions([FIRST, SECOND])))
    found = await amendments.amend(StepVersionRequest(scenario=scenario, version=number, step=step, kind=kind))
    kept = {key: value for key, value in found.step.items() if key in ("kind", "timeout")}
    assert (found.version, kept, found.error) == (expected.version, expected.step, expected.error)


async def test_a_step_that_a_newer_program_has_published_is_not_handed_to_the_journey() -> None:
    row = {"kind": "sms", "on_failure": "ring the bell"}
    newer = replace(FIRST, version=3, plan={"start": "first", "steps": {"first": row}})
    amendments = StepVersions(Content(Versions([newer])))
    found = await amendments.amend(StepVersionRequest(scenario="welcome", version=None, step="first", kind="sms"))
    assert found == StepVersion(error="'first' of welcome@3 is not for this version of the workers: update them")
