# ruff: noqa: E501 - a case is a line
"""The order of asking: suppression, consent, window and quiet hours, cap; and what each answers."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scenario.check.check import check
from scenario.policies.caps import Cap, CappedWait, Full
from scenario.policies.consent import Agreement
from scenario.policies.hours import QuietHours, Window
from scenario.policies.order import Defer, Hold, PlannedMessage, Rules, Ruling, Skip, ask, rules_of
from scenario.policies.policies import Policies
from scenario.policies.suppression import Suppression
from scenario.time import spell

PARIS = ZoneInfo("Europe/Paris")
NIGHT = QuietHours.model_validate({"from": "21:00", "to": "08:00"})
OFFICE = Window.model_validate({"from": "09:00", "to": "18:00"})
WEEK = Cap.model_validate({"name": "week", "at_most": 4, "per": "7d"})
NEWS = {"sms": Agreement.model_validate({"list": "SMS"})}
GONE = Suppression("sms", "0" * 64, "unsub", datetime(2026, 2, 3, tzinfo=UTC))
STOP = Suppression("sms", "0" * 64, "stop", datetime(2026, 2, 3, tzinfo=UTC))
ON_IT = {"lists": [{"id": 52, "name": "SMS"}]}


WRITTEN = """
scenario: a
trigger: segment
quiet_hours: {from: '22:00', to: '07:00', channels: [sms]}
subscription: {sms: SMS}
steps:
  - {sms: hi, text: hi, window: {from: '09:00', to: '18:00'}, expires: 2d, capped: hold}
"""


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(UTC)


@dataclass
class Facts:
    at: datetime
    against: Sequence[Suppression] = ()
    full: Full | None = None
    asked: list[str] = field(default_factory=list[str])

    async def suppressions(self) -> Iterable[Suppression]:
        self.asked.append("suppressions")
        return self.against

    async def claim(self, caps: Sequence[Cap]) -> Full | None:
        self.asked.append(f"claim {','.join(cap.name for cap in caps)}".strip())
        return self.full if any(cap.at_most < 1000 for cap in caps) else None

    def now(self) -> datetime:
        return self.at


def message(began: str, **given: Any) -> PlannedMessage:
    known: dict[str, Any] = {"delivery": "msg_1", "channel": "sms", "destination": "", "zone": PARIS, "contact": ON_IT}
    return PlannedMessage(began=paris(began), **{**known, **given})


def asked(message: PlannedMessage, rules: Rules, facts: Facts) -> Ruling:
    return asyncio.run(ask(message, rules, facts))


def full(free: str) -> Full:
    return Full("week", 4, "7d", paris(free))


ALL = Rules(subscription=NEWS, hours=(NIGHT,), caps=(WEEK,))


def test_each_is_asked_only_where_those_before_have_nothing_against_it() -> None:
    noon, night = paris("2026-03-03T12:00"), paris("2026-03-03T22:00")
    told = message("2026-03-03T12:00")
    cases: list[tuple[Facts, PlannedMessage, str, list[str]]] = [
        (Facts(night, [GONE], full("2026-03-05T10:02")), replace(told, contact={}), "suppressed", ["suppressions"]),
        (Facts(night, [], full("2026-03-05T10:02")), replace(told, contact={}), "no_consent", ["suppressions"]),
        (Facts(night, [], full("2026-03-05T10:02")), told, "quiet", ["suppressions"]),
        (Facts(noon, [], full("2026-03-05T10:02")), told, "capped", ["suppressions", "claim week"]),
        (Facts(noon), told, "", ["suppressions", "claim week"]),
    ]
    for facts, one, word, questions in cases:
        ruling = asked(one, ALL, facts)
        assert (getattr(ruling, "code", ""), facts.asked) == (word, questions)


@pytest.mark.parametrize(
    ("rules", "facts", "ruling"),
    [
        (ALL, Facts(paris("2026-03-03T12:00"), [GONE]), Skip("the address has unsubscribed (unsub, 2026-02-03)", "suppressed")),
        # One who has unsubscribed from a list gets no marketing for which that list is asked for.
        (ALL, Facts(paris("2026-03-03T12:00"), [replace(GONE, scope="sms")]), Skip("the address has unsubscribed from sms (unsub, 2026-02-03)", "suppressed")),
        (ALL, Facts(paris("2026-03-03T12:00"), [replace(GONE, scope="vip")]), None),
        (replace(ALL, subscription={"sms": Agreement.model_validate({"tracking_consent": "open"})}), Facts(paris("2026-03-03T12:00"), [replace(GONE, scope="sms")]), Skip("no consent: the contact has not agreed to open by sms", "no_consent")),
        (replace(ALL, subscription={"email": Agreement.model_validate({"tracking_consent": "open"})}), Facts(paris("2026-03-03T12:00")), None),
        (Rules(purpose="transactional"), Facts(paris("2026-03-03T12:00"), [GONE]), None),
        (Rules(purpose="transactional"), Facts(paris("2026-03-03T12:00"), [STOP]), Skip("the address has answered STOP (stop, 2026-02-03)", "suppressed")),
        (ALL, Facts(paris("2026-03-03T12:00"), [], full("2026-03-05T10:02")), Skip("capped by week: 4 in 7d, next Thu 10:02", "capped")),
        (replace(ALL, capped="hold"), Facts(paris("2026-03-03T12:00"), [], full("2026-03-05T10:02")), Hold("capped by week: 4 in 7d, next Thu 10:02")),
        (replace(ALL, capped=CappedWait(wait=timedelta(days=1))), Facts(paris("2026-03-03T12:00"), [], full("2026-03-05T10:02")), Skip("capped by week: 4 in 7d, next Thu 10:02", "capped")),
        (replace(ALL, expires=timedelta(hours=8)), Facts(paris("2026-03-03T20:00")), Skip("expired: it has waited longer than 8h", "expired")),
    ],
)  # fmt: skip
def test_what_is_said(rules: Rules, facts: Facts, ruling: Ruling) -> None:
    assert asked(message("2026-03-03T12:00"), rules, facts) == ruling


@pytest.mark.parametrize(
    ("zone", "rules", "began", "now", "until"),
    [
        # The night on which clocks go forward, and that on which they go back.
        ("Europe/Paris", ALL, "2026-03-28T22:00", "2026-03-28T22:00", "Sun 2026-03-29 08:00 Europe/Paris"),
        ("Europe/Paris", ALL, "2026-10-24T22:00", "2026-10-25T02:30", "Sun 2026-10-25 08:00 Europe/Paris"),
        ("Asia/Tokyo", ALL, "2026-03-03T14:00", "2026-03-03T14:00", "Wed 2026-03-04 08:00 Asia/Tokyo"),
        ("UTC", ALL, "2026-03-03T22:30", "2026-03-03T22:30", "Wed 2026-03-04 08:00 UTC"),
        ("Europe/Paris", replace(ALL, hours=(NIGHT, OFFICE)), "2026-03-03T18:30", "2026-03-03T18:30", "Wed 2026-03-04 09:00 Europe/Paris"),
        # What never opens is asked again when nobody can know any more that it does not.
        ("Europe/Paris", replace(ALL, hours=(NIGHT, Window.model_validate({"from": "22:00", "to": "23:00"}))), "2026-03-03T12:00", "2026-03-03T12:00", "Wed 2026-03-11 12:00 Europe/Paris"),
        # A place under a cap, at its minute.
        ("Europe/Paris", replace(ALL, capped=CappedWait(wait=timedelta(days=2))), "2026-03-03T12:00", "2026-03-03T12:00", "Thu 2026-03-05 10:02 Europe/Paris"),
    ],
)  # fmt: skip
def test_not_before_a_moment(zone: str, rules: Rules, began: str, now: str, until: str) -> None:
    place = ZoneInfo(zone)
    facts = Facts(paris(now), [], full("2026-03-05T10:02"))
    ruling = asked(message(began, zone=place), rules, facts)
    assert isinstance(ruling, Defer)
    assert spell(ruling.until, place) == until


def test_who_has_waited_for_an_opening_goes_at_a_second_of_his_own() -> None:
    spread = QuietHours.model_validate({"from": "21:00", "to": "08:00", "spread": "15m"})
    rules, facts = Rules(hours=(spread,)), Facts(paris("2026-03-03T22:00"))
    told = [asked(message("2026-03-03T22:00", delivery=f"msg_{number}"), rules, facts) for number in (1, 2, 1)]
    moments = [spell(ruling.until, PARIS) for ruling in told if isinstance(ruling, Defer)]
    assert moments == [
        "Wed 2026-03-04 08:01:01 Europe/Paris",
        "Wed 2026-03-04 08:14:03 Europe/Paris",
        "Wed 2026-03-04 08:01:01 Europe/Paris",
    ]


@pytest.mark.parametrize(
    ("rules", "now", "said"),
    [
        # The night is over at 08:00, ten hours after the step began.
        (replace(ALL, expires=timedelta(hours=10)), "2026-03-03T22:00", "Skip expired"),
        (replace(ALL, expires=timedelta(hours=10, seconds=1)), "2026-03-03T22:00", "Defer quiet"),
        # The next place is free at 10:02 on the third day, 36 hours and two minutes after it.
        (replace(ALL, capped=CappedWait(wait=timedelta(hours=36, minutes=2))), "2026-03-04T12:00", "Defer capped"),
        (replace(ALL, capped=CappedWait(wait=timedelta(hours=36, minutes=1))), "2026-03-04T12:00", "Skip capped"),
        (replace(ALL, capped=CappedWait(wait=timedelta(days=2)), expires=timedelta(hours=36, minutes=2)), "2026-03-04T12:00", "Skip expired"),
    ],
)  # fmt: skip
def test_a_message_waits_only_as_long_as_it_may(rules: Rules, now: str, said: str) -> None:
    ruling = asked(message("2026-03-03T22:00"), rules, Facts(paris(now), [], full("2026-03-05T10:02")))
    assert isinstance(ruling, Defer | Skip)
    assert f"{type(ruling).__name__} {ruling.code}" == said


def test_what_cannot_leave_in_time_says_what_it_would_have_waited_for() -> None:
    rules = replace(ALL, expires=timedelta(hours=6))
    ruling = asked(message("2026-03-03T22:00"), rules, Facts(paris("2026-03-03T22:00")))
    assert ruling == Skip("expired: quiet hours until Wed 2026-03-04 08:00 Europe/Paris", "expired")


def test_an_operator_sends_at_once_whatever_the_hour_and_the_caps_but_not_against_the_contacts_word() -> None:
    now = paris("2026-03-03T22:00")
    hurried = message("2026-03-03T22:00", at_once=True)
    facts = Facts(now, [], full("2026-03-05T10:02"))
    assert asked(hurried, ALL, facts) is None
    assert facts.asked == ["suppressions", "claim week"], "and counts all the same"
    assert asked(replace(hurried, contact={}), ALL, facts) == Skip(
        "no consent: the contact is not on the list SMS", "no_consent"
    )


def test_what_holds_for_a_step_comes_from_its_scenario_itself_and_the_workspace() -> None:
    written = check(WRITTEN).scenario
    assert written is not None
    policies = Policies.model_validate(
        {
            "quiet_hours": [{"from": "21:00", "to": "08:00"}, {"days_off": ["sun"], "channels": ["email"]}],
            "caps": [
                {"name": "a", "channels": ["sms"], "at_most": 1, "per": "day"},
                {"name": "b", "channels": ["email"], "at_most": 1, "per": "day"},
            ],
        }
    )
    step: Any = written.steps[0]
    rules = rules_of(written, step, policies, "sms", "")
    assert [(hours.start, hours.end) for hours in rules.hours] == [
        ("21:00", "08:00"),
        ("22:00", "07:00"),
        ("09:00", "18:00"),
    ]
    assert ([cap.name for cap in rules.caps], rules.expires, rules.capped) == (["a"], timedelta(days=2), "hold")
    assert (rules.purpose, rules.subscription) == ("marketing", written.subscription)
    transactional = written.model_copy(update={"purpose": "transactional"})
    rules = rules_of(transactional, step, policies, "sms", "")
    assert [(hours.start, hours.end) for hours in rules.hours] == [("09:00", "18:00")]
    assert (rules.caps, rules.subscription) == ((), None)
    assert (rules.purpose, rules.expires) == ("transactional", timedelta(days=2))
    bare = written.model_copy(update={"quiet_hours": None})
    assert rules_of(bare, step.model_copy(update={"window": None}), Policies(), "sms", "").hours == ()
