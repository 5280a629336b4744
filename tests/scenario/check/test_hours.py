# ruff: noqa: E501 - reports are asserted as they are printed
"""What `check` says of quiet hours and windows, and of text messages at night without them."""

from typing import Any

import pytest

from scenario.check.check import check
from scenario.http.destinations import KnownDestination, KnownDestinations
from scenario.policies.policies import Policies, examine

SMS = "steps: [{sms: a, text: t}]"
NIGHT = "quiet_hours: {from: 21:00, to: 08:00}"
WAX = KnownDestinations({"wax": KnownDestination()})


def told(text: str, destinations: KnownDestinations | None = None) -> list[str]:
    found = check(f"scenario: a\ntrigger: reward\n{text}\n", destinations=destinations).findings
    return [str(one).removeprefix("scenario.yaml:") for one in found]


AT_MIDNIGHT = (
    "messages kept back on a day off leave at 00:00 in the contact's zone, also text messages: "
    "add 'from' and 'to', such as {from: \"21:00\", to: \"08:00\"}"
)
# Line 3 is the first.
QUIET = (
    ("{from: 21:00, to: 08:00, on: [fri, sat], days_off: [sun, FR, DE-BY, NO], channels: [sms, wax], spread: 15m}", ("3:55: warning at-night: " + AT_MIDNIGHT,)),
    ("{days_off: [sun]}", ("3:15: warning at-night: " + AT_MIDNIGHT,)),
    ("{days_off: [sun], channels: [email]}", ()),
    ("{from: 23:00, to: 24:00, days_off: [FR]}", ("3:39: warning at-night: " + AT_MIDNIGHT,)),
    ("{days_off: [XX, DE-BYY, UK, FR]}", (
        "3:15: warning at-night: " + AT_MIDNIGHT,
        "3:26: error value: the public holidays of 'XX' are not known: write mon to sun, or the code of a country such as FR, or of a part of one such as DE-BY",
        "3:30: error value: the public holidays of 'DE-BYY' are not known: did you mean 'DE-BY'?",
        "3:38: error value: the public holidays of 'UK' are not known: did you mean 'GB'?",
    )),
    ("{from: 21:00, to: 08:00, channels: [smss, wax, push]}", ("3:50: warning channel: 'smss' is neither a channel nor a destination: did you mean 'sms'?",)),
    ("{from: 08:00, to: 20:00, days_off: [mon, tue, wed, thu, fri, sat, sun]}", ("3:1: error never-open: nothing is ever sent: these hours leave no time of the week",)),
    ("{from: 08:00, to: 07:00, spread: 1h}", ()),
    ("{from: 21:00, to: 08:00, spread: 2d}", ("3:47: error value: 'spread' is a day at most: write 15m or 2h",)),
    ("21:00-08:00", ("3:14: error type: 'quiet_hours' must be keys with values, not a text: it has from, to, on, days_off, spread and channels",)),
    ("{start: 21:00, end: 08:00, holidays: [FR]}", (
        "3:15: error unknown-key: unknown key 'start': did you mean 'from'?",
        "3:29: error unknown-key: unknown key 'end': did you mean 'to'?",
        "3:41: error unknown-key: unknown key 'holidays': did you mean 'days_off'?",
    )),
)  # fmt: skip


@pytest.mark.parametrize(("written", "reports"), QUIET, ids=[written for written, _ in QUIET])
def test_quiet_hours_that_cannot_be_meant_are_told(written: str, reports: tuple[str, ...]):
    assert told(f"quiet_hours: {written}\n{SMS}") == list(reports)


def test_where_destinations_are_known_quiet_hours_name_one_of_them():
    text = f"quiet_hours: {{days_off: [sun], channels: [sms, wax, waxx, push]}}\n{SMS}"
    assert told(text, WAX) == [
        "3:15: warning at-night: " + AT_MIDNIGHT,
        "3:53: error channel: 'waxx' is neither a channel nor a destination: did you mean 'wax'?",
        "3:59: error channel: 'push' is neither a channel nor a destination: write email, sms or webhook, or the name of a destination",
    ]


WINDOWS = (
    (NIGHT, "{from: 21:30, to: 09:00}", ()),
    (NIGHT, "{days_off: [sun]}", ()),
    ("purpose: transactional", "{days_off: [sun]}", ("4:36: warning at-night: " + AT_MIDNIGHT.replace("21:00", "09:00").replace("08:00", "20:00"),)),
    ("quiet_hours: {days_off: [sun]}", "{from: 09:00, to: 20:00}", ()),
    (NIGHT, "{from: 21:30, to: 07:00}", ("4:27: error never-open: this step never sends: its window lies within the quiet hours",)),
    ("quiet_hours: {from: 21:00, to: 08:00, channels: [email]}", "{from: 21:30, to: 07:00}", ()),
    ("purpose: transactional", "{from: 21:30, to: 07:00}", ()),
    ("quiet_hours: {days_off: [sat, sun]}", "{on: [sat]}", ("4:27: error never-open: this step never sends: its window lies within the quiet hours",)),
    (NIGHT, "{on: [sun], days_off: [sun, FR]}", ("4:27: error never-open: nothing is ever sent: these hours leave no time of the week",)),
    (NIGHT, "{from: 23:00, to: 02:00, on: [sat], days_off: [sat]}", ("4:27: error never-open: this step never sends: its window lies within the quiet hours",)),
    (NIGHT, "{from: 08:00, to: 09:00, spread: 2h}", ("4:68: error spread: 'spread' (2h) is longer than it is open at a time: write 1h at most",)),
    (NIGHT, "{}", ("4:35: error value: a window needs 'from' and 'to', 'on' or 'days_off'",)),
    (NIGHT, "{channels: [sms], from: 08:00}", ("4:36: error unknown-key: unknown key 'channels': 'window' has from, to, on, days_off and spread",)),
    (NIGHT, "09:00-20:00", ("4:35: error type: 'window' must be keys with values, not a text: it has from, to, on, days_off and spread",)),
)  # fmt: skip


@pytest.mark.parametrize(("around", "window", "reports"), WINDOWS, ids=[f"{case[0]} {case[1]}" for case in WINDOWS])
def test_a_window_that_cannot_be_meant_is_told(around: str, window: str, reports: tuple[str, ...]):
    assert told(f"{around}\nsteps: [{{sms: a, text: t, window: {window}}}]") == list(reports)


def test_quiet_hours_of_what_was_asked_for_hold_for_nothing():
    assert told(f"purpose: transactional\n{NIGHT}\n{SMS}") == [
        "4:1: warning redundant: these quiet hours hold for nothing: a transactional scenario sends at any hour"
    ]


# Steps, and the messages that are sent at night, with the time.
NIGHTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("[{wait: {until: 21:59}}, {sms: a, text: t}]", {}),
    ("[{wait: {until: 08:00}}, {sms: a, text: t}]", {}),
    ("[{wait: {until: 07:59}}, {sms: a, text: t}]", {"a": "07:59"}),
    # A date alone is its midnight, whole days before it as well.
    ("[{wait: {until: '{{ reward.expiration_date }}', offset: -7d}}, {sms: a, text: t}]", {"a": "00:00"}),
    ("[{wait: {until: '{{ contact.custom.points_end }} 09:30', offset: -7d}}, {sms: a, text: t}]", {}),
    ("[{wait: {until: '{{ contact.custom.points_end }} 23:30:00', offset: -7d}}, {sms: a, text: t}]", {"a": "23:30"}),
    ("[{wait: {until: '{{ contact.custom.points_end }}', offset: 10h}}, {sms: a, text: t}]", {}),
    ("[{wait: {until: '{{ contact.custom.points_end }}', offset: -90m}}, {sms: a, text: t}]", {"a": "22:30"}),
    ("[{wait: {until: \"{{ reward.assigned_at | date: '%Y-%m-%d' }}\", offset: 2d}}, {sms: a, text: t}]", {"a": "00:00"}),
    ("[{wait: {until: 2099-12-24}}, {sms: a, text: t}]", {"a": "00:00"}),
    ("[{wait: {until: 2099-12-24T09:00}}, {sms: a, text: t}]", {}),
    # What nobody knows is not guessed.
    ("[{wait: {until: 2099-12-24T23:00Z}}, {sms: a, text: t}]", {}),
    ("[{wait: {until: '{{ now }}', offset: 2d}}, {sms: a, text: t}]", {}),
    ("[{wait: {until: '{{ reward.assigned_at }}', offset: 2d}}, {sms: a, text: t}]", {}),
    ("[{wait: 2d}, {sms: a, text: t}]", {}),
    # It is still night behind what takes no time, and may be another time behind what does.
    ("[{wait: {until: 23:00}}, {email: b, subject: s, text: t}, {sms: a, text: t}]", {"a": "23:00"}),
    ("[{wait: {until: 23:00}}, {wait: 1d}, {sms: a, text: t}]", {"a": "23:00"}),
    ("[{wait: {until: 23:00}}, {wait: 10h}, {sms: a, text: t}]", {}),
    ("[{wait: {until: 15:00}}, {wait: 10h}, {sms: a, text: t}]", {"a": "01:00"}),
    ("[{wait: {until: 23:00}}, {if: contact.email, then: [{sms: a, text: t}, {wait: {until: 10:00}}]}, {sms: b, text: t}]", {"a": "23:00"}),
    ("[{wait: {until: 23:00}}, {if: contact.email, then: [{email: a, subject: s, text: t}]}, {sms: b, text: t}]", {"b": "23:00"}),
    ("[{wait: {until: 23:00}}, {wait_for: x, for: 1d, then: [{sms: a, text: t}]}, {sms: b, text: t}]", {}),
    ("[{wait: {until: 23:00}}, {repeat: {every: 1h, times: 3}, steps: [{sms: a, text: t}]}, {sms: b, text: t}]", {}),
    # A window is the author's word, whatever it says.
    ("[{wait: {until: 23:00}}, {sms: a, text: t, window: {to: 23:30}}]", {}),
    # Mails wake nobody.
    ("[{wait: {until: 23:00}}, {email: a, subject: s, text: t}]", {}),
    ("[{wait: {until: 23:00}}, {webhook: a, to: b}]", {}),
)  # fmt: skip
HINT = "add 'window: {from: \"09:00\", to: \"20:00\"}' to the step, or 'quiet_hours' to the scenario"


def at_night(text: str) -> dict[str, str]:
    """The messages that are said to be sent at night, each with the time of day."""
    found = [one for one in check(f"scenario: a\ntrigger: reward\n{text}\n").findings if one.code == "at-night"]
    at: dict[str, str] = {}
    for one in found:
        assert one.severity == "warning"
        assert one.message.endswith(f" on the contact's clock: {HINT}")
        name = text.splitlines()[one.line - 3][one.column - 1 :].removeprefix("sms: ")[0]
        at[name] = one.message.removeprefix("this can be sent at ")[:5]
    return at


@pytest.mark.parametrize(("steps", "expected"), NIGHTS, ids=[steps for steps, _ in NIGHTS])
def test_text_messages_that_are_plainly_sent_at_night_are_told(steps: str, expected: dict[str, str]):
    assert at_night(f"steps: {steps}") == expected


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ("purpose: marketing", {"a": "23:00"}),
        ("purpose: transactional", {}),
        (NIGHT, {}),
        ("quiet_hours: {from: 21:00, to: 08:00, channels: [sms]}", {}),
        ("quiet_hours: {from: 21:00, to: 08:00, on: [fri]}", {}),
        ("quiet_hours: {from: 21:00, to: 08:00, channels: [email]}", {"a": "23:00"}),
        ("quiet_hours: {from: 00:00, to: 08:00}", {"a": "23:00"}),
        ("quiet_hours: {days_off: [sun], from: 02:00, to: 03:00, channels: [email]}", {"a": "23:00"}),
    ],
)
def test_quiet_hours_that_cover_the_time_are_enough(around: str, expected: dict[str, str]):
    assert at_night(f"{around}\nsteps: [{{wait: {{until: 23:00}}}}, {{sms: a, text: t}}]") == expected


def test_quiet_hours_of_all_scenarios_are_counted_in():
    everywhere = Policies.model_validate({"quiet_hours": {"from": "21:00", "to": "08:00", "channels": ["sms"]}})
    text = "scenario: a\ntrigger: reward\n{}steps: [{{wait: {{until: 23:00}}}}, {{sms: a, text: t}}, {{sms: b, text: t, window: {{from: 22:00}}}}]\n"
    assert [one.code for one in check(text.format("")).findings] == ["at-night"]
    assert [one.code for one in check(text.format(""), policies=everywhere).findings] == ["never-open"]
    assert check(text.format("purpose: transactional\n"), policies=everywhere).findings == ()


@pytest.mark.parametrize(
    ("own", "everywhere", "places"),
    [
        ("", {"days_off": ["sun"]}, ["4:10"]),
        (NIGHT, {"days_off": ["sun"]}, []),
        ("quiet_hours: {days_off: [FR]}", {"days_off": ["sun"]}, ["4:10"]),
        ("quiet_hours: {days_off: [FR]}", {"from": "22:00", "to": "08:00", "on": ["fri"]}, ["3:15"]),
        ("quiet_hours: {days_off: [FR]}", {"from": "22:00", "to": "08:00"}, []),
        ("purpose: transactional", {"days_off": ["sun"]}, []),
    ],
)
def test_openings_at_midnight_are_told_where_all_quiet_hours_leave_them(
    own: str, everywhere: dict[str, Any], places: list[str]
):
    text = f"scenario: a\ntrigger: reward\n{own or 'description: b'}\n{SMS}\n"
    found = check(text, policies=Policies.model_validate({"quiet_hours": everywhere})).findings
    assert [(f"{one.line}:{one.column}", one.code) for one in found] == [(place, "at-night") for place in places]


@pytest.mark.parametrize(
    ("own", "capped", "policies", "is_told"),
    [
        ("", "{wait: 2d}", "caps: [{name: b, channels: [email, sms], at_most: 1, per: day}]", True),
        ("", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: week}]", True),
        ("", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: month}]", True),
        # A duration ends at the time of day of an earlier message.
        ("", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: 24h}]", False),
        ("", "{wait: 2d}", "caps: [{name: b, channels: [email], at_most: 1, per: day}]", False),
        ("", "skip", "caps: [{name: b, at_most: 1, per: day}]", False),
        ("", "hold", "caps: [{name: b, at_most: 1, per: day}]", False),
        ("purpose: transactional", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: day}]", False),
        # Hours that cover all midnights at which the cap may open.
        (NIGHT, "{wait: 2d}", "caps: [{name: b, at_most: 1, per: day}]", False),
        ("", "{wait: 2d}", "quiet_hours: {from: '21:00', to: '08:00'}\ncaps: [{name: b, at_most: 1, per: day}]", False),
        ("", "{wait: 2d}, window: {from: '09:00', to: '20:00'}", "caps: [{name: b, at_most: 1, per: day}]", False),
        ("quiet_hours: {from: '21:00', to: '08:00', on: [sun]}", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: week}]", False),
        ("quiet_hours: {from: '21:00', to: '08:00', on: [sun]}", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: day}]", True),
        ("quiet_hours: {from: '21:00', to: '08:00', on: [sun]}", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: month}]", True),
        ("quiet_hours: {from: '21:00', to: '08:00', channels: [email]}", "{wait: 2d}", "caps: [{name: b, at_most: 1, per: day}]", True),
    ],
)  # fmt: skip
def test_a_text_message_that_waits_for_a_cap_until_midnight_is_told(
    own: str, capped: str, policies: str, is_told: bool
):
    rules = examine(policies, "policies.yaml")
    text = f"scenario: a\ntrigger: reward\n{own or 'description: b'}\nsteps: [{{sms: a, text: t, capped: {capped}}}]\n"
    found = check(text, policies=rules.policies).findings
    message = f"4:27: warning at-night: this can be sent at 00:00 on the contact's clock, when the cap 'b' has a place: {HINT}"
    assert rules.findings == ()
    assert [str(one).removeprefix("scenario.yaml:") for one in found] == [message] * is_told
