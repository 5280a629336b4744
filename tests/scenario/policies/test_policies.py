# ruff: noqa: E501 - reports are asserted as they are printed
"""Hours of the workspace that cannot be meant are told before anything waits for them."""

import pytest

from scenario.policies.hours import QuietHours, openings
from scenario.policies.policies import examine

AT_MIDNIGHT = (
    "1:15: warning at-night: messages kept back on a day off leave at 00:00 in the contact's zone, also text messages: "
    "add 'from' and 'to', such as {from: \"21:00\", to: \"08:00\"}"
)
POLICIES = (
    ("quiet_hours: {from: 21:00, to: 08:00, days_off: [sun, FR], spread: 15m}", ()),
    ("quiet_hours: {days_off: [sun, UK]}", (AT_MIDNIGHT, "1:31: error value: the public holidays of 'UK' are not known: did you mean 'GB'?",)),
    ("quiet_hours: true", ("1:14: error type: 'quiet_hours' must be keys with values, not a true or false",)),
    ("quiet_hours: {days_off: [sun], zone: UTC}", ("1:32: error unknown-key: unknown key 'zone': the keys here are from, to, on, days_off, spread and channels",)),
    ("quiet_hours: {from: 00:00, to: 24:00}", ("1:1: error never-open: nothing is ever sent: these hours leave no time of the week",)),
    ("quiet_hours:\n- {days_off: [sun], channels: [email]}\n- {from: 21:00, to: 08:00, on: [fri], days_off: [NO]}", (AT_MIDNIGHT.replace("1:15", "3:39"),)),
    ("quiet_hours:\n- {days_off: [sun]}\n- {from: 08:00, to: 07:00, spread: 2h}", ("3:36: error spread: 'spread' (2h) is longer than it is open at a time: write 1h at most",)),
)  # fmt: skip


@pytest.mark.parametrize(("text", "reports"), POLICIES, ids=[text for text, _ in POLICIES])
def test_what_is_wrong_with_quiet_hours_of_all_scenarios_is_told(text: str, reports: tuple[str, ...]):
    found = examine(text, "policies.yaml").findings
    assert [str(one).removeprefix("policies.yaml:") for one in found] == list(reports)


def test_a_week_is_known_by_its_openings():
    hours = QuietHours.model_validate({"from": "21:00", "to": "08:00", "days_off": ["sat", "sun", "FR"]})
    week = [f"{start:%a %H:%M} for {length}" for start, length in openings(hours)]
    assert week[:5] == [f"{day} 08:00 for 13:00:00" for day in ("Mon", "Tue", "Wed", "Thu", "Fri")]
    assert week[5] == "Mon 08:00 for 13:00:00"
