"""Dates and times as contacts read them: in a case, which shares its host with previews, and in a journey."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from activities.evaluation import template_data
from activities.failures import FailureKind
from activities.interface import Delivery, Sent
from activities.sms.channel import RenderedText
from activities.sms.provider import render
from gateway.cases.file import read
from gateway.cases.run import Circumstances, run
from gateway.preview.draft import draft
from scenario.plan.compile import named_steps
from scenario.steps.sms import Sms
from tests.workflows.conftest import Stage, failing
from tests.workflows.test_not_before import kept_back

MOMENTS = {
    "utc": "2026-07-02T12:30:00Z",
    "wall": "2026-07-02 12:30",
    "day": "2026-07-02",
    "seconds": 1782995400,
    "gap": "2026-03-29T01:30:00Z",
    "twice": "2026-10-25T00:30:00Z",
}
PRINTED = "; ".join(f"{{{{ trigger.properties.{name} | date: '%d.%m. %H:%M %Z' }}}}" for name in MOMENTS)
HEAD = "scenario: dates\ntrigger: event\ntimezone: Europe/Paris\n"
TEXT = f"""\
purpose: transactional
steps:
  - sms: hi
    text: "{{{{ journey.timezone }}}}; {PRINTED}; {{{{ trigger.properties.utc | date: '%H:%M', 'UTC' }}}}"
"""


def entry(zone: str | None = None) -> dict[str, Any]:
    contact = {"id": 7, "cellphone": "+33612345678", **({"timezone": zone} if zone else {})}
    event = {"name": "booked", "properties": MOMENTS}
    return {"scenario": "dates", "contact": contact, "trigger": {"type": "event", "event": event}}


def in_a_case(text: str, zone: str | None, folder: Path, at: str = "2026-03-03T10:00") -> str:
    (folder / "dates.yaml").write_text(HEAD + text, "utf-8")
    case = folder / "dates.test.yaml"
    given = {"entry": entry(zone), "at": at, "cases": {"one": {"expect": {"ends": "finished"}}}}
    case.write_text(json.dumps(given), "utf-8")  # JSON is YAML too
    cases, findings = read(case)
    assert cases is not None, findings
    return next(
        got.message.text for got in run(cases, "one", Circumstances()).steps if isinstance(got.message, RenderedText)
    )


def sent(text: str, delivery: Delivery, folder: Path) -> str:
    """The text of a delivery as the activity renders it."""
    (folder / "dates.yaml").write_text(HEAD + text, "utf-8")
    made, findings = draft(folder / "dates.yaml")
    assert made is not None, findings
    step = cast("Sms", dict(named_steps(made.scenario))[delivery.step])
    return render(step, template_data(delivery, "dates/7"))


@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        (
            "Nowhere/Land",
            "Europe/Paris; 02.07. 14:30 CEST; 02.07. 12:30 CEST; 02.07. 00:00 CEST; 02.07. 14:30 CEST; "
            "29.03. 03:30 CEST; 25.10. 02:30 CEST; 12:30",
        ),
        (
            "America/New_York",
            "America/New_York; 02.07. 08:30 EDT; 02.07. 12:30 EDT; 02.07. 00:00 EDT; 02.07. 08:30 EDT; "
            "28.03. 21:30 EDT; 24.10. 20:30 EDT; 12:30",
        ),
        (
            "+02:00",
            "UTC+02:00; 02.07. 14:30 UTC+02:00; 02.07. 12:30 UTC+02:00; 02.07. 00:00 UTC+02:00; "
            "02.07. 14:30 UTC+02:00; 29.03. 03:30 UTC+02:00; 25.10. 02:30 UTC+02:00; 12:30",
        ),
    ],
)
def test_moments_are_printed_on_the_contacts_clock(zone: str, wanted: str, tmp_path: Path) -> None:
    assert in_a_case(TEXT, zone, tmp_path) == wanted


NOW = """\
quiet_hours: {days_off: [sun], from: "21:00", to: "08:00"}
purpose: marketing
steps:
  - sms: hi
    text: "{{ now | date: '%a %H:%M %Z' }} {{ 'now' | date: '%d' }} {{ today }} {{ now }}"
"""


def test_now_is_when_a_message_that_was_kept_back_may_leave(tmp_path: Path) -> None:
    # A Saturday evening: the clocks in Paris change in the night, and Sunday is a day off.
    text = in_a_case(NOW, None, tmp_path, "2026-03-28T22:00")
    assert text == "Mon 08:00 CEST 30 2026-03-30 2026-03-30T08:00:00+02:00"


async def test_now_of_a_journeys_message_is_when_it_may_leave_and_stays_that(stage: Stage, tmp_path: Path) -> None:
    refused, fails = kept_back(stage, times=2), cast("Callable[[Delivery, int], Sent]", failing(FailureKind.RETRY))

    async def script(delivery: Delivery, attempt: int) -> Sent:
        return fails(delivery, attempt) if len(stage.channels.of("hi")) in (3, 4) else await refused(delivery, attempt)

    stage.channels.scripts["hi"] = script
    await stage.publish(HEAD + NOW)
    given = entry()
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
        (None, "2028-02-29T23:59", "2028-02-29 1 01.03. 23:59"),
        (None, "2028-03-01T00:00", "2029-02-28 0 02.03. 00:00"),
        ("America/New_York", "2028-02-29T23:59", "2028-02-29 0 01.03. 23:59"),
        (None, "2026-03-28T02:30", "2027-02-28 704 29.03. 03:30"),
    ],
)
def test_calculations_go_by_the_contacts_calendar(zone: str | None, at: str, wanted: str, tmp_path: Path) -> None:
    assert in_a_case(BIRTHDAY, zone, tmp_path, at) == wanted
