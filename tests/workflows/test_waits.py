"""Local times, as people read them: on the clock and the calendar of the contact."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scenario.time.timing import spell
from tests.workflows.conftest import Stage

UNTIL = """
scenario: until
trigger: reward
timezone: Europe/Paris
steps:
  - wait: WAIT
  - sms: hi
    text: hi
"""


async def sent_at(stage: Stage, wait: str, start: str, zone: str | None, reward: dict[str, object]) -> str:
    """Runs a journey that starts at a local time, and tells the minute in which it sent, in the same form."""
    place = ZoneInfo(zone or "Europe/Paris")
    begin = datetime.fromisoformat(start).replace(tzinfo=place).astimezone(UTC)
    await stage.publish(UNTIL.replace("WAIT", wait))
    await stage.environment.sleep(begin - await stage.now())
    contact = {"timezone": zone} if zone else {}
    result = await stage.run("until", {"type": "reward", "reward": {"external_id": "R", **reward}}, contact=contact)
    assert [step["outcome"] for step in result["steps"]] == ["waited", "delivered"]
    return spell(stage.channels.of("hi")[0].at.replace(second=0, microsecond=0), place)


@pytest.mark.parametrize(
    ("wait", "zone", "start", "sent"),
    [
        # A Tuesday in Tokyo is a Tuesday there, while it is still Monday in Paris.
        ('{until: "08:00", on: [tue]}', "Asia/Tokyo", "2027-03-01 23:30", "Tue 2027-03-02 08:00 Asia/Tokyo"),
        ('{until: "08:00", on: [tue]}', "Asia/Tokyo", "2027-03-02 09:00", "Tue 2027-03-09 08:00 Asia/Tokyo"),
        # 09:00 stays 09:00 when the clocks go forward and back.
        ('{until: "09:00"}', None, "2027-03-27 20:00", "Sun 2027-03-28 09:00 Europe/Paris"),
        ('{until: "09:00"}', None, "2027-10-30 20:00", "Sun 2027-10-31 09:00 Europe/Paris"),
        # A repeated time is taken the first time round, a skipped one by the offset from before the change.
        ('{until: "02:30"}', None, "2027-10-31 01:00", "Sun 2027-10-31 02:30 Europe/Paris"),
        ('{until: "02:30"}', None, "2027-03-28 01:00", "Sun 2027-03-28 03:30 Europe/Paris"),
        ('{until: "10:00", on: [mon, tue, wed, thu]}', None, "2027-01-01 10:01", "Mon 2027-01-04 10:00 Europe/Paris"),
    ],
)  # fmt: skip
async def test_a_wait_until_a_local_time(stage: Stage, wait: str, zone: str | None, start: str, sent: str) -> None:
    assert await sent_at(stage, wait, start, zone, {}) == sent


async def test_the_repeated_hour_is_taken_the_first_time_round(stage: Stage) -> None:
    await sent_at(stage, '{until: "02:30"}', "2027-10-31 01:00", None, {})
    assert stage.channels.of("hi")[0].at.strftime("%H:%M") == "00:30"  # UTC: 02:30 in summer time


@pytest.mark.parametrize(
    ("offset", "sent"),
    [
        ("-3d", "Fri 2027-03-26 09:00 Europe/Paris"),  # across the change of the clocks: still 09:00
        ("-12h", "Sun 2027-03-28 21:00 Europe/Paris"),
        ("0s", "Mon 2027-03-29 09:00 Europe/Paris"),
    ],
)
async def test_a_wait_until_a_date_of_the_trigger(stage: Stage, offset: str, sent: str) -> None:
    wait = f'{{until: "{{{{ reward.expiration_date }}}}", offset: {offset}}}'
    reward: dict[str, object] = {"expiration_date": "2027-03-29 09:00:00"}
    assert await sent_at(stage, wait, "2027-03-01 12:00", None, reward) == sent


LITERAL = """
scenario: literal
trigger: reward
timezone: Europe/Paris
steps:
"""


async def test_a_wait_until_a_date_that_the_scenario_names(stage: Stage) -> None:
    expected = {
        "2027-03-27": "Sat 2027-03-27 00:00",
        "2027-03-28T02:30": "Sun 2027-03-28 03:30",  # skipped that night
        "2027-03-01": "Sun 2027-03-28 03:30",  # past: it goes on at once
        "2027-03-31T09:00, offset: -2d": "Mon 2027-03-29 09:00",
        "2027-03-29T09:00:30+01:00": "Mon 2027-03-29 10:00",
        "2027-10-31 02:30": "Sun 2027-10-31 02:30",
    }
    steps = [f"  - wait: {{until: {wait}}}\n  - sms: s{n}\n    text: hi\n" for n, wait in enumerate(expected)]
    await stage.publish(LITERAL + "".join(steps))
    await stage.environment.sleep(datetime(2027, 3, 26, 11, tzinfo=UTC) - await stage.now())
    handle = await stage.start("literal", {"type": "reward", "reward": {"external_id": "R"}})
    await stage.result(handle)
    sent = [attempt.at.replace(second=0, microsecond=0) for attempt in stage.channels.attempts]
    place = ZoneInfo("Europe/Paris")
    assert [spell(at, place).removesuffix(" Europe/Paris") for at in sent] == list(expected.values())
    assert sent[-1].hour == 0  # UTC: 02:30 in summer time, which comes first


async def test_a_date_that_the_scenario_names_moves_with_the_contact(stage: Stage) -> None:
    await stage.publish(UNTIL.replace("WAIT", "{until: 2027-05-03T10:00}"))
    await stage.environment.sleep(datetime(2027, 5, 1, 12, tzinfo=UTC) - await stage.now())
    handle = await stage.start("until", {"type": "reward", "reward": {"external_id": "R"}})
    await stage.until(handle, "waiting")
    await handle.signal("contact_changed", {"timezone": "America/New_York"})
    await stage.result(handle)
    assert stage.channels.of("hi")[0].at.strftime("%Y-%m-%d %H:%M") == "2027-05-03 14:00"


async def test_a_date_in_the_past_is_waited_for_no_longer(stage: Stage) -> None:
    wait = '{until: "{{ reward.expiration_date }}"}'
    reward: dict[str, object] = {"expiration_date": "2026-03-29 09:00:00"}
    assert await sent_at(stage, wait, "2027-03-01 12:00", None, reward) == "Mon 2027-03-01 12:00 Europe/Paris"


async def test_a_missing_date_holds_the_journey(stage: Stage) -> None:
    await stage.publish(UNTIL.replace("WAIT", '{until: "{{ reward.expiration_date }}"}'))
    reward = {"external_id": "R", "expiration_date": "0000-00-00 00:00:00"}
    handle = await stage.start("until", {"type": "reward", "reward": reward})
    progress = await stage.until(handle, "held")
    assert progress["state"] == "held"
    assert progress["waiting"]["reason"] == "the date to wait for is missing"
    await stage.operate(handle, "skip_step", {"operator": "ann", "reason": "no date"})
    result = await stage.result(handle)
    assert [step["outcome"] for step in result["steps"]] == ["skipped", "delivered"]


async def test_a_changed_time_zone_moves_the_end_of_a_wait(stage: Stage) -> None:
    await stage.publish(UNTIL.replace("WAIT", '{until: "10:00"}'))
    begin = datetime(2027, 5, 3, 12, tzinfo=UTC)
    await stage.environment.sleep(begin - await stage.now())
    handle = await stage.start("until", {"type": "reward", "reward": {"external_id": "R"}})
    await handle.signal("contact_changed", {"timezone": "America/New_York"})
    await stage.result(handle)
    sent = stage.channels.of("hi")[0].at.replace(second=0, microsecond=0)
    assert spell(sent, ZoneInfo("America/New_York")) == "Mon 2027-05-03 10:00 America/New_York"


PASSED_OVER = (
    "it is neither the name of a time zone, such as Europe/Paris, nor an offset, such as +02:00: "
    "the scenario's is used, Europe/Paris"
)


async def test_a_zone_that_cannot_be_used_is_told_and_one_that_is_an_offset_is_used(stage: Stage) -> None:
    await stage.publish(UNTIL.replace("WAIT", '{until: "10:00"}'))
    await stage.environment.sleep(datetime(2027, 5, 3, 12, tzinfo=UTC) - await stage.now())
    trigger = {"type": "reward", "reward": {"external_id": "R"}}
    handle = await stage.start("until", trigger, contact={"timezone": "Mars/Olympus"})
    progress = await stage.until(handle, "waiting")
    assert progress["waiting"]["until"] == "2027-05-04T08:00:00+00:00"
    told = {"what": "contact.timezone", "reason": PASSED_OVER, "count": 1}
    assert [{**item, "at": None} for item in progress["passed_over"]] == [{**told, "at": None}]
    await handle.signal("contact_changed", {"firstname": "Zoë"})  # its zone is no news then
    await handle.signal("contact_changed", {"timezone": "Mars/Utopia"})
    progress = await stage.until(handle, "waiting")
    assert [item["count"] for item in progress["passed_over"]] == [2]
    await handle.signal("contact_changed", {"timezone": "UTC-3:30"})
    await stage.result(handle)
    assert stage.channels.of("hi")[0].at.strftime("%Y-%m-%d %H:%M") == "2027-05-03 13:30"


async def test_a_month_of_waiting_takes_no_time(stage: Stage) -> None:
    await stage.publish(UNTIL.replace("WAIT", "33d"))
    result = await stage.run("until", {"type": "reward", "reward": {"external_id": "R"}})
    assert [step["outcome"] for step in result["steps"]] == ["waited", "delivered"]
