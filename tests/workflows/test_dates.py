"""Dates and times as contacts read them: the same text in a preview, in a case and in a journey."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from activities.context import template_data
from activities.failures import FailureKind
from activities.interface import Delivery, Sent
from activities.sms.channel import RenderedText
from activities.sms.provider import render
from gateway.cases.file import read
from gateway.cases.run import Circumstances, run
from gateway.preview.contact import PreviewInputs, preview
from gateway.preview.draft import draft
from scenario.plan.compile import named_steps
from scenario.steps.sms import Sms
from tests.workflows.conftest import Stage, failing
from tests.workflows.test_not_before import kept_back

MOMENTS = {
    "utc": "2026-07-02T12:30:00Z",
    "elsewhere": "2026-07-02T12:30:00+05:30",
    "wall": "2026-07-02 12:30",
    "day": "2026-07-02",
    "seconds": 1782995400,
    "gap": "2026-03-29T01:30:00Z",
    "before": "2026-03-29T00:59:00+00:00",
    "twice": "2026-10-25T00:30:00Z",
    "again": "2026-10-25T01:30:00Z",
}
PRINTED = "; ".join(f"{{{{ trigger.properties.{name} | date: '%d.%m. %H:%M %Z' }}}}" for name in MOMENTS)
TEXT = f"""\
scenario: dates
trigger: event
timezone: Europe/Paris
purpose: transactional
steps:
  - sms: hi
    text: "{{{{ journey.timezone }}}}; {PRINTED}; {{{{ trigger.properties.utc | date: '%H:%M', 'UTC' }}}}"
"""
READ: dict[str | None, tuple[str, ...]] = {
    None: (
        "Europe/Paris",
        "02.07. 14:30 CEST; 02.07. 09:00 CEST; 02.07. 12:30 CEST",
        "02.07. 00:00 CEST; 02.07. 14:30 CEST; 29.03. 03:30 CEST",
        "29.03. 01:59 CET; 25.10. 02:30 CEST; 25.10. 02:30 CET",
        "12:30",
    ),
    "Nowhere/Land": (
        "Europe/Paris",
        "02.07. 14:30 CEST; 02.07. 09:00 CEST; 02.07. 12:30 CEST",
        "02.07. 00:00 CEST; 02.07. 14:30 CEST; 29.03. 03:30 CEST",
        "29.03. 01:59 CET; 25.10. 02:30 CEST; 25.10. 02:30 CET",
        "12:30",
    ),
    "America/New_York": (
        "America/New_York",
        "02.07. 08:30 EDT; 02.07. 03:00 EDT; 02.07. 12:30 EDT",
        "02.07. 00:00 EDT; 02.07. 08:30 EDT; 28.03. 21:30 EDT",
        "28.03. 20:59 EDT; 24.10. 20:30 EDT; 24.10. 21:30 EDT",
        "12:30",
    ),
    "Asia/Tokyo": (
        "Asia/Tokyo",
        "02.07. 21:30 JST; 02.07. 16:00 JST; 02.07. 12:30 JST",
        "02.07. 00:00 JST; 02.07. 21:30 JST; 29.03. 10:30 JST",
        "29.03. 09:59 JST; 25.10. 09:30 JST; 25.10. 10:30 JST",
        "12:30",
    ),
    "Australia/Lord_Howe": (
        "Australia/Lord_Howe",
        "02.07. 23:00 +1030; 02.07. 17:30 +1030; 02.07. 12:30 +1030",
        "02.07. 00:00 +1030; 02.07. 23:00 +1030; 29.03. 12:30 +11",
        "29.03. 11:59 +11; 25.10. 11:30 +11; 25.10. 12:30 +11",
        "12:30",
    ),
    "Pacific/Kiritimati": (
        "Pacific/Kiritimati",
        "03.07. 02:30 +14; 02.07. 21:00 +14; 02.07. 12:30 +14",
        "02.07. 00:00 +14; 03.07. 02:30 +14; 29.03. 15:30 +14",
        "29.03. 14:59 +14; 25.10. 14:30 +14; 25.10. 15:30 +14",
        "12:30",
    ),
    "+02:00": (
        "UTC+02:00",
        "02.07. 14:30 UTC+02:00; 02.07. 09:00 UTC+02:00; 02.07. 12:30 UTC+02:00",
        "02.07. 00:00 UTC+02:00; 02.07. 14:30 UTC+02:00; 29.03. 03:30 UTC+02:00",
        "29.03. 02:59 UTC+02:00; 25.10. 02:30 UTC+02:00; 25.10. 03:30 UTC+02:00",
        "12:30",
    ),
}


def entry(zone: str | None) -> dict[str, Any]:
    contact = {"id": 7, "cellphone": "+33612345678", **({"timezone": zone} if zone else {})}
    return {
        "scenario": "dates",
        "contact": contact,
        "trigger": {"type": "event", "event": {"name": "booked", "properties": MOMENTS}},
    }


def previewed(text: str, zone: str | None, folder: Path, at: str = "2026-03-03T10:00") -> str:
    (folder / "dates.yaml").write_text(text, "utf-8")
    made, findings = draft(folder / "dates.yaml")
    assert made is not None, findings
    shown = preview(made, entry(zone), PreviewInputs(at=datetime.fromisoformat(at)))
    return next(passed.result.text for passed in shown.steps if isinstance(passed.result, RenderedText))


def in_a_case(text: str, zone: str | None, folder: Path, at: str = "2026-03-03T10:00") -> str:
    (folder / "dates.yaml").write_text(text, "utf-8")
    case = folder / "dates.test.yaml"
    given = {"entry": entry(zone), "at": at, "cases": {"one": {"expect": {"ends": "finished"}}}}
    case.write_text(json.dumps(given), "utf-8")  # JSON is YAML too
    cases, findings = read(case)
    assert cases is not None, findings
    course = run(cases, "one", Circumstances())
    return next(got.message.text for got in course.steps if isinstance(got.message, RenderedText))


def sent(text: str, delivery: Delivery, folder: Path) -> str:
    """The text of a delivery as the activity renders it."""
    (folder / "dates.yaml").write_text(text, "utf-8")
    made, findings = draft(folder / "dates.yaml")
    assert made is not None, findings
    step = cast("Sms", dict(named_steps(made.scenario))[delivery.step])
    return render(step, template_data(delivery, "dates/7"))


@pytest.mark.parametrize("zone", READ)
def test_previews_and_cases_print_moments_on_the_contacts_clock(zone: str | None, tmp_path: Path) -> None:
    assert previewed(TEXT, zone, tmp_path) == "; ".join(READ[zone])
    assert in_a_case(TEXT, zone, tmp_path) == "; ".join(READ[zone])


NOW = """\
scenario: dates
trigger: event
timezone: Europe/Paris
quiet_hours: {days_off: [sun], from: "21:00", to: "08:00"}
purpose: marketing
steps:
  - sms: hi
    text: "{{ now | date: '%a %H:%M %Z' }} {{ 'now' | date: '%d' }} {{ today }} {{ now }}"
"""


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_now_is_when_a_message_that_was_kept_back_may_leave(zone: str | None, tmp_path: Path) -> None:
    wanted = {
        None: "Mon 08:00 CEST 30 2026-03-30 2026-03-30T08:00:00+02:00",
        "Asia/Tokyo": "Mon 08:00 JST 30 2026-03-30 2026-03-30T08:00:00+09:00",
    }[zone]
    # A Saturday evening: the clocks in Paris change in the night, and Sunday is a day off.
    assert previewed(NOW, zone, tmp_path, "2026-03-28T22:00") == wanted
    assert in_a_case(NOW, zone, tmp_path, "2026-03-28T22:00") == wanted


async def test_now_of_a_journeys_message_is_when_it_may_leave_and_stays_that(stage: Stage, tmp_path: Path) -> None:
    refused, fails = kept_back(stage, times=2), cast("Callable[[Delivery, int], Sent]", failing(FailureKind.RETRY))

    async def script(delivery: Delivery, attempt: int) -> Sent:
        return fails(delivery, attempt) if len(stage.channels.of("hi")) in (3, 4) else await refused(delivery, attempt)

    stage.channels.scripts["hi"] = script
    await stage.publish(NOW)
    given = entry(None)
    result = await stage.run("dates", given["trigger"], contact=given["contact"])
    assert [step["outcome"] for step in result["steps"]] == ["delivered"]
    attempts = stage.channels.of("hi")
    assert len(attempts) == 5
    for before in attempts[:3]:
        assert abs(datetime.fromisoformat(before.delivery.now) - before.at) < timedelta(minutes=1)
    assert {attempt.delivery.now for attempt in attempts[2:]} == {attempts[2].delivery.now}
    assert {datetime.fromisoformat(attempt.delivery.began or attempt.delivery.now) for attempt in attempts} == {
        datetime.fromisoformat(attempts[0].delivery.now)
    }
    local = datetime.fromisoformat(attempts[2].delivery.now)
    assert sent(NOW, attempts[-1].delivery, tmp_path).endswith(local.isoformat())


BIRTHDAY = """\
scenario: dates
trigger: event
timezone: Europe/Paris
purpose: transactional
steps:
  - sms: hi
    text: >-
      {{ '1988-02-29' | next_anniversary }} {{ '2028-03-01T00:30:00Z' | days_until }}
      {{ now | add: '1d' | date: '%d.%m. %H:%M' }}
"""


@pytest.mark.parametrize(
    ("zone", "at", "wanted"),
    [
        (None, "2027-02-28T10:00", "2027-02-28 367 01.03. 10:00"),
        (None, "2027-03-01T10:00", "2028-02-29 366 02.03. 10:00"),
        (None, "2028-02-28T10:00", "2028-02-29 2 29.02. 10:00"),
        (None, "2028-02-29T23:59", "2028-02-29 1 01.03. 23:59"),
        (None, "2028-03-01T00:00", "2029-02-28 0 02.03. 00:00"),
        ("America/New_York", "2028-02-29T23:59", "2028-02-29 0 01.03. 23:59"),
        (None, "2026-03-28T02:30", "2027-02-28 704 29.03. 03:30"),
        (None, "2026-10-24T02:30", "2027-02-28 494 25.10. 02:30"),
    ],
)
def test_calculations_go_by_the_contacts_calendar(zone: str | None, at: str, wanted: str, tmp_path: Path) -> None:
    assert previewed(BIRTHDAY, zone, tmp_path, at) == wanted
    assert in_a_case(BIRTHDAY, zone, tmp_path, at) == wanted


PAST = """\
scenario: dates
trigger: event
timezone: Europe/Paris
purpose: transactional
steps:
  - if: trigger.properties.ends != blank
    then:
      - wait: {until: "{{ trigger.properties.ends }}", offset: -30d, past: MODE}
      - sms: month
        text: month
      - wait: {until: "{{ trigger.properties.ends }}", offset: -7d, past: MODE}
      - sms: week
        text: week
      - if: "true"
        then: [{sms: inner, text: inner}]
      - wait: {until: "{{ trigger.properties.ends }}", offset: -1d, past: MODE}
      - sms: last
        text: last
  - sms: after
    text: after
"""
DAYS = {
    ("continue", 5): [*("month", "week", "inner", "last", "after"), ""],
    ("continue", -5): [*("month", "week", "inner", "last", "after"), ""],
    ("skip", 40): [*("month", "week", "inner", "last", "after"), ""],
    ("skip", 20): [*("week", "inner", "last", "after"), ""],
    ("skip", 5): [*("last", "after"), ""],
    ("skip", -5): ["after", ""],
    ("exit", 20): ["the date of step wait-1.then.1 is past"],
    ("exit", 40): [*("month", "week", "inner", "last", "after"), ""],
}
START = datetime.fromisoformat("2026-03-03T10:00:00+01:00")


def ending(now: datetime, days: int) -> dict[str, Any]:
    given = entry(None)
    given["trigger"]["event"]["properties"] = {"ends": (now + timedelta(days=days)).isoformat()}
    return given


@pytest.mark.parametrize(("mode", "days"), DAYS)
def test_a_date_that_is_past_continues_skips_or_exits(mode: str, days: int, tmp_path: Path) -> None:
    text, wanted = PAST.replace("MODE", mode), DAYS[mode, days]
    (tmp_path / "dates.yaml").write_text(text, "utf-8")
    made, _ = draft(tmp_path / "dates.yaml")
    assert made is not None
    shown = preview(made, ending(START, days), PreviewInputs(at=START))
    assert [one.id for one in shown.steps if one.taken and isinstance(one.result, RenderedText)] == wanted[:-1]
    case = tmp_path / "dates.test.yaml"
    given = {"entry": ending(START, days), "at": START.isoformat(), "cases": {"one": {"expect": {"ends": "finished"}}}}
    case.write_text(json.dumps(given), "utf-8")
    cases, findings = read(case)
    assert cases is not None, findings
    course = run(cases, "one", Circumstances())
    assert [*(got.step for got in course.steps if got.message), course.reason] == wanted
    are_past = [got.reason for got in course.steps if (got.reason or "").startswith("is past: ")]
    told = [one.reason for one in shown.steps if one.taken and (one.reason or "").startswith("is past: ")]
    assert are_past == told
    assert len(told) == (mode != "exit" or days < 30) * sum(days < ahead for ahead in (30, 7, 1)) or mode == "exit"
