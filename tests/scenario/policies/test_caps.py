"""A contact gets as many messages as a cap says, by its own calendar, and a full cap knows when the next may go."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from scenario.model.mistakes import worded
from scenario.policies.caps import Cap, Full, full, since
from scenario.time import spell

PARIS, TOKYO, AZORES, CAIRO = "Europe/Paris", "Asia/Tokyo", "Atlantic/Azores", "Africa/Cairo"
MICROSECOND = datetime.resolution


@dataclass(frozen=True)
class Sent:
    claimed_at: datetime
    channel: str = "sms"
    destination: str = ""


def cap(at_most: int, per: str, *channels: str, name: str = "some") -> Cap:
    return Cap.model_validate(
        {"name": name, "at_most": at_most, "per": per, **({"channels": channels} if channels else {})}
    )


def local(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


# So many a time; these went before; it is now; in that zone; then there is a place (None: now).
FREE = (
    # Rolling: to the moment, across nights.
    (1, "24h", ["2026-03-03 10:02:33"], "2026-03-04 10:02:32", PARIS, "Wed 2026-03-04 10:02:33 Europe/Paris"),
    (1, "24h", ["2026-03-03 10:02:33"], "2026-03-04 10:02:33", PARIS, None),
    (1, "24h", ["2026-03-03 10:02:33.2"], "2026-03-04 10:02:33", PARIS, "Wed 2026-03-04 10:02:34 Europe/Paris"),
    (1, "24h", ["2026-03-03 10:02:33.2"], "2026-03-04 10:02:33.2", PARIS, None),
    (2, "7d", ["2026-03-03 10:00"], "2026-03-03 11:00", PARIS, None),
    (2, "7d", ["2026-03-03 10:00", "2026-03-05 09:00"], "2026-03-05 11:00", PARIS, "Tue 2026-03-10 10:00 Europe/Paris"),
    # One that has gone from the window leaves its place to one.
    (2, "7d", ["2026-03-03 10:00", "2026-03-05 09:00"], "2026-03-10 10:00", PARIS, None),
    # More than there may be, since the cap was lowered: the last ones count.
    (1, "7d", ["2026-03-03 10:00", "2026-03-05 09:00"], "2026-03-05 11:00", PARIS, "Thu 2026-03-12 09:00 Europe/Paris"),
    # A length of time is one, also where the clock is put forward.
    (1, "24h", ["2026-03-28 10:00"], "2026-03-29 10:30", PARIS, "Sun 2026-03-29 11:00 Europe/Paris"),
    # A day ends at midnight: 23:00 and 00:00 are two days.
    (1, "day", ["2026-03-03 23:00"], "2026-03-03 23:59:59", PARIS, "Wed 2026-03-04 00:00 Europe/Paris"),
    (1, "day", ["2026-03-03 23:00"], "2026-03-04 00:00", PARIS, None),
    (1, "day", ["2026-03-03 00:00"], "2026-03-03 00:00", PARIS, "Wed 2026-03-04 00:00 Europe/Paris"),
    (2, "day", ["2026-03-03 09:00", "2026-03-02 09:00"], "2026-03-03 10:00", TOKYO, None),
    # Days of 23 and 25 hours.
    (1, "day", ["2026-10-25 00:30"], "2026-10-25 12:00", PARIS, "Mon 2026-10-26 00:00 Europe/Paris"),
    # Midnight comes twice, or never: the day begins with the first, and with what comes instead.
    (1, "day", ["2026-10-24 12:00"], "2026-10-24 23:30", AZORES, "Sun 2026-10-25 00:00 Atlantic/Azores"),
    (1, "day", ["2026-04-23 12:00"], "2026-04-23 23:30", CAIRO, "Fri 2026-04-24 01:00 Africa/Cairo"),
    # A week begins on Monday.
    (1, "week", ["2026-03-02 00:00"], "2026-03-08 23:59", PARIS, "Mon 2026-03-09 00:00 Europe/Paris"),
    (1, "week", ["2026-12-31 12:00"], "2027-01-01 12:00", PARIS, "Mon 2027-01-04 00:00 Europe/Paris"),
    # A month begins on the first.
    (1, "month", ["2026-01-31 12:00"], "2026-01-31 13:00", PARIS, "Sun 2026-02-01 00:00 Europe/Paris"),
    (1, "month", ["2026-01-31 12:00"], "2026-02-01 00:00", PARIS, None),
    # A clock that is ahead has claimed in what is the future here: it counts, now and then.
    (1, "24h", ["2026-03-03 10:00:02"], "2026-03-03 10:00", PARIS, "Wed 2026-03-04 10:00:02 Europe/Paris"),
    (1, "day", ["2026-03-04 00:00:02"], "2026-03-03 23:59:59", PARIS, "Thu 2026-03-05 00:00 Europe/Paris"),
    (2, "day", ["2026-03-03 12:00", "2026-03-04 00:00:02"], "2026-03-03 23:59", "UTC", "Wed 2026-03-04 00:00 UTC"),
)  # fmt: skip


@pytest.mark.parametrize(("at_most", "per", "sent", "now", "zone", "free"), FREE)
def test_a_place_is_free_at_its_moment(at_most: int, per: str, sent: list[str], now: str, zone: str, free: str | None):
    place = ZoneInfo(zone)
    found = full([cap(at_most, per)], [Sent(local(text, place)) for text in sent], local(now, place), place)
    assert (found and spell(found.free, place)) == free


def test_all_caps_must_have_a_place_and_the_last_to_have_one_is_named() -> None:
    zone = ZoneInfo(PARIS)
    caps = [cap(1, "day", name="day"), cap(2, "7d", name="week"), cap(3, "month", name="month")]
    sent = [Sent(local("2026-03-02 10:00", zone)), Sent(local("2026-03-03 10:00", zone))]
    now = local("2026-03-03 12:00", zone)
    assert full(caps, sent, now, zone) == Full("week", 2, "7d", local("2026-03-09 10:00", zone))
    assert full(caps[::2], sent, now, zone) == Full("day", 1, "day", local("2026-03-04 00:00", zone))
    assert full(caps[2:], sent, now, zone) is None


@pytest.mark.parametrize(
    ("channels", "channel", "destination", "applies"),
    [
        ((), "webhook", "wax", True),
        (("sms",), "sms", "", True),
        (("sms",), "email", "", False),
        (("email", "wax"), "webhook", "wax", True),
        (("email", "wax"), "webhook", "shop", False),
        (("webhook",), "webhook", "shop", True),
    ],
)
def test_a_cap_counts_channels_and_destinations(
    channels: tuple[str, ...], channel: str, destination: str, applies: bool
) -> None:
    now = datetime(2026, 3, 3, 12, tzinfo=UTC)
    some = cap(1, "24h", *channels)
    assert some.applies_to(channel, destination) == applies
    assert (full([some], [Sent(now, channel, destination)], now, ZoneInfo("UTC")) is not None) == applies


@pytest.mark.parametrize(
    ("at_most", "per", "sent", "words"),
    [
        # There is a place at the minute that is told.
        (4, "7d", "2026-03-05 10:01:33", "capped by week: 4 in 7d, next Thu 10:02"),
        (4, "7d", "2026-03-05 10:02:00", "capped by week: 4 in 7d, next Thu 10:02"),
        (4, "7d", "2026-03-05 10:02:00.000001", "capped by week: 4 in 7d, next Thu 10:03"),
        (1, "day", "2026-03-11 12:00", "capped by week: 1 a day, next Thu 00:00"),
        # A weekday would be this week's.
        (1, "month", "2026-03-11 11:00", "capped by week: 1 a month, next Wed 2026-04-01 00:00"),
        (1, "7d", "2026-03-11 11:59:30", "capped by week: 1 in 7d, next Wed 2026-03-18 12:00"),
    ],
)
def test_people_are_told_how_many_and_when(at_most: int, per: str, sent: str, words: str) -> None:
    zone = ZoneInfo(PARIS)
    now = local("2026-03-11 12:00", zone)
    found = full([cap(at_most, per, name="week")], [Sent(local(sent, zone))] * at_most, now, zone)
    assert found is not None
    assert found.words(now, zone) == words


def test_at_the_end_of_time_nothing_fails() -> None:
    now = datetime(9999, 12, 29, 12, tzinfo=UTC)
    for per in ("week", "month", "31d"):
        found = full([cap(1, per)], [Sent(now)], now, ZoneInfo(PARIS))
        assert found is None or found.free > now


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"per": "year"}, "'per' is day, week or month, or a length of time up to 31d: write day, 24h or 7d"),
        ({"per": "32d"}, "'per' is day, week or month, or a length of time up to 31d: write day, 24h or 7d"),
        ({"per": ["day"]}, "'per' is day, week or month, or a length of time up to 31d: write day, 24h or 7d"),
        ({"at_most": 0}, "'at_most' must be 1 or more"),
        ({"at_most": 1001}, "'at_most' must be 1000 or less"),
        ({"at_most": "3"}, "'at_most' must be a whole number"),
        ({"channels": []}, "'channels' is empty: name a channel or a destination, or remove it"),
        ({"channels": ["SMS"]}, "'SMS' is not a name: write lower-case words joined by '-', such as sms"),
        ({"name": "A week"}, "'A week' is not a name: write lower-case words joined by '-', such as a-week"),
    ],
)
def test_what_is_no_cap_is_answered_in_a_sentence(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Cap.model_validate({"name": "week", "at_most": 4, "per": "7d", **changed})
    [detail] = caught.value.errors()
    assert worded(detail, f"'{detail['loc'][0]}'")[1] == message


@pytest.mark.parametrize("per", ["day", "week", "month", "1d12h", "31d"])
def test_a_cap_is_written_as_it_was_read(per: str) -> None:
    some = cap(4, per, "email", "wax")
    written = some.model_dump(mode="json")
    assert written == {"name": "some", "channels": ["email", "wax"], "at_most": 4, "per": per}
    assert Cap.model_validate(written) == some
    assert TypeAdapter(Cap).json_schema()["properties"]["per"]["examples"]


BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
zones = st.sampled_from(
    [ZoneInfo(zone) for zone in (PARIS, TOKYO, AZORES, CAIRO, "UTC", "America/Nuuk", "Pacific/Apia")]
)
moments = st.integers(0, 400 * 86_400 * 1_000_000).map(lambda micros: BEGIN + timedelta(microseconds=micros))
lengths = st.integers(1, 31 * 86_400).map(lambda seconds: f"{seconds}s")
caps = st.builds(
    cap, st.integers(1, 4), st.sampled_from(["day", "week", "month"]) | lengths, st.sampled_from(["sms", "email"])
) | st.builds(cap, st.integers(1, 4), st.sampled_from(["day", "week", "month"]) | lengths)
pauses = st.integers(0, 3 * 86_400) | st.sampled_from([0, 1, 3600, 86_400])


@given(st.lists(caps, min_size=1, max_size=3), zones, moments, st.lists(st.tuples(pauses, st.booleans()), max_size=30))
def test_who_waits_for_the_free_place_never_gets_too_many(
    rules: list[Cap], zone: ZoneInfo, now: datetime, asked: list[tuple[int, bool]]
) -> None:
    sent: list[Sent] = []
    for pause, sms in asked:
        now += timedelta(seconds=pause, microseconds=7)
        channel = "sms" if sms else "email"
        applying = [rule for rule in rules if rule.applies_to(channel, "")]
        if found := full(applying, sent, now, zone):
            assert found.free > now
            # Then there is a place, at a whole second, and there was none the second before.
            assert found.free.microsecond == 0
            assert full(applying, sent, found.free - timedelta(seconds=1), zone) is not None
            assert full(applying, sent, found.free, zone) is None
            now = found.free
        sent.append(Sent(now, channel))
    for rule in rules:
        counted = [one.claimed_at for one in sent if rule.applies_to(one.channel, "")]
        for first, beyond in zip(counted, counted[rule.at_most :], strict=False):
            if isinstance(rule.per, timedelta):
                assert beyond - first >= rule.per
            else:
                assert period(rule.per, first, zone) != period(rule.per, beyond, zone)


def period(per: str, moment: datetime, zone: ZoneInfo) -> object:
    there = moment.astimezone(zone)
    return {"day": there.date(), "week": there.isocalendar()[:2], "month": (there.year, there.month)}[per]


@given(st.lists(caps, min_size=1, max_size=3), zones, moments, st.integers(-32 * 86_400 * 10**6, 10**9))
def test_what_a_cap_looks_back_to_is_what_counts(rules: list[Cap], zone: ZoneInfo, now: datetime, away: int) -> None:
    claimed = now + timedelta(microseconds=away)
    for rule in rules:
        for moment in (claimed, rule.since(now, zone), rule.since(now, zone) - MICROSECOND):
            assert (moment >= rule.since(now, zone)) == (rule.until(moment, zone) > now)
    assert since(rules, now, zone) == min(rule.since(now, zone) for rule in rules)


@given(caps, zones, st.lists(moments, min_size=2, max_size=10))
def test_who_came_later_leaves_later(rule: Cap, zone: ZoneInfo, claimed: list[datetime]) -> None:
    ends = [rule.until(moment, zone) for moment in sorted(claimed)]
    assert all(earlier <= later for earlier, later in pairwise(ends))
