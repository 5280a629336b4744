"""The way that a contact would take: branches, local times, and what keeps it from going on."""

from datetime import datetime
from typing import Any

import pytest

from activities.sms.channel import RenderedText
from gateway.preview.contact import PreviewInputs
from gateway.preview.walk import GivenEvent
from scenario.policies.draw import Holdout, Lot, apart
from scenario.policies.policies import Policies
from tests.gateway.preview.conftest import AT, Follow, Reported, Walk

WAITS = """steps:
  - wait: 2d
  - wait: {until: "10:00", on: [mon, wed]}
  - wait: {until: "{{ contact.custom.birthday }}", offset: -3d}
"""
FORK = """steps:
  - if: contact.custom.vip == true
    then:
      - sms: vip
        text: "{{ now }}"
    else:
      - wait: 1d
      - sms: plain
        text: "{{ now }}"
  - sms: both
    text: "{{ now }} {{ today }}"
"""
EVENTS = """steps:
  - wait_for: order.delivered
    if: event.order_id == order.external_id
    for: 7d
    then:
      - sms: arrived
        text: "{{ event.carrier }} {{ event.name }}"
    else:
      - sms: late
        text: late
  - sms: after
    text: "{{ now }} {{ event.carrier }}"
"""
FOR_EVER = """steps:
  - wait_for: order.delivered
    then:
      - sms: arrived
        text: "arrived {{ event.carrier }}"
  - sms: after
    text: after
"""


def outcomes(steps: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Each step's outcome; in brackets where the contact does not come by, with ``?`` where it might."""
    marks = {(True, True): "{}", (False, True): "({}?)", (False, False): "({})"}
    return {name: marks[step["taken"], step["reachable"]].format(step["outcome"]) for name, step in steps.items()}


@pytest.mark.parametrize(
    ("birthday", "last"),
    [("2026-04-02", "2026-03-30T00:00:00+02:00"), ("1987-03-02", None)],  # what is over does not turn the clock back
)
def test_waits_end_at_the_contacts_local_time(walk: Walk, birthday: str, last: str | None) -> None:
    steps = walk(WAITS, custom={"birthday": birthday}).values()
    ends = ["2026-03-05T09:00:00+01:00", "2026-03-09T10:00:00+01:00", last]
    assert [step.get("waits_until") for step in steps] == ends
    assert [step.get("reason", "").startswith("is past: ") for step in steps] == [end is None for end in ends]


@pytest.mark.parametrize(
    ("birthday", "taken"),
    [("2026-03-20", ["week", "day", "after"]), ("2026-03-09", ["day", "after"]), ("2026-03-03", ["after"])],
)
def test_behind_a_wait_for_a_past_date_steps_are_skipped_up_to_the_next_wait(
    follow: Follow, birthday: str, taken: list[str]
) -> None:
    until = '{until: "{{ contact.custom.birthday }}", past: skip, offset: '
    steps = f"[{{wait: {until}-30d}}}}, {{sms: month, text: t}}, {{wait: {until}-7d}}}}, {{sms: week, text: t}}, "
    steps += f"{{wait: {until}-1d}}}}, {{sms: day, text: t}}]"
    text = f"steps:\n  - if: 'true'\n    then: {steps}\n  - {{sms: after, text: t}}\n"
    shown = follow(text, custom={"birthday": birthday})
    assert [step.id for step in shown.steps if step.taken and isinstance(step.result, RenderedText)] == taken


def test_now_is_when_a_message_that_is_kept_back_may_leave(follow: Follow) -> None:
    # A Saturday evening: the clocks in Paris change in the night, and Sunday is a day off.
    text = 'quiet_hours: {days_off: [sun], from: "21:00", to: "08:00"}\npurpose: marketing\n'
    given = PreviewInputs(at=datetime.fromisoformat("2026-03-28T22:00"), platform_zone="Europe/Paris")
    [step] = follow(f'{text}steps:\n  - {{sms: hi, text: "{{{{ now }}}} {{{{ today }}}}"}}\n', given=given).steps
    assert isinstance(step.result, RenderedText)
    assert step.result.text == "2026-03-30T08:00:00+02:00 2026-03-30"


def test_a_wait_that_an_event_met_ends_with_it(walk: Walk) -> None:
    text = "steps:\n  - wait: 1d\n  - wait_for: paid\n    for: 5d\n  - wait_for: other\n    for: 5d\n"
    given = PreviewInputs(at=AT, events=[GivenEvent("paid")], platform_zone="Europe/Paris")
    steps = walk(text, given=given)
    assert (steps["wait_for-2"]["outcome"], "waits_until" in steps["wait_for-2"]) == ("event", False)
    assert (steps["wait_for-3"]["outcome"], steps["wait_for-3"]["waits_until"][:10]) == ("timeout", "2026-03-09")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_what_waits_behind_the_end_of_time_waits_no_longer(walk: Walk, zone: str) -> None:
    text = """steps:
  - wait: {until: "{{ contact.custom.never }}"}
  - wait: 5d
  - wait: {until: "10:00", on: [mon]}
  - wait_for: order.delivered
    for: 5d
  - email: after
    subject: "{{ now | date: '%Y' }} {{ journey.callback_url | size }}"
    text: "{{ today }}"
    window: {from: "09:00", to: "10:00"}
"""
    steps = walk(text, timezone=zone, custom={"never": "9999-12-31 23:59:59"})
    assert outcomes(steps) == dict.fromkeys(("wait-1", "wait-2", "wait-3"), "waited") | {
        "wait_for-4": "timeout",
        "after": "sent",
    }
    assert steps["after"]["message"]["subject"].startswith("9999 ")


def test_a_zone_that_cannot_be_used_is_told_and_one_that_is_an_offset_is_used(
    follow: Follow, reported: Reported
) -> None:
    text = "steps:\n  - wait: {until: '10:00'}\n"
    lost = follow(text, timezone="Mars/Olympus")
    assert lost.notes == (
        "contact.timezone is ignored: it is neither the name of a time zone, such as Europe/Paris, nor an offset, "
        "such as +02:00: the scenario's is used, Europe/Paris",
    )
    shown = reported(follow(text, timezone="UTC+5:30"))
    assert (shown["timezone"], shown["notes"]) == ("UTC+05:30", [])
    assert shown["steps"][0]["waits_until"] == "2026-03-04T10:00:00+05:30"


def test_a_start_without_a_zone_is_the_contacts_time(follow: Follow) -> None:
    shown = follow(FORK, given=PreviewInputs(at=AT.replace(tzinfo=None)), timezone="Asia/Tokyo")
    assert shown.start.isoformat() == "2026-03-03T00:00:00+00:00"


@pytest.mark.parametrize("vip", [True, False])
def test_both_ways_of_a_fork_are_shown_and_time_goes_on_behind_the_one_that_is_taken(walk: Walk, vip: bool) -> None:
    steps = walk(FORK, custom={"vip": vip})
    taken = {"if-1": "then", "vip": "sent", "wait-1.else.1": "(waited)", "plain": "(sent)", "both": "sent"}
    other = {"if-1": "else", "vip": "(sent)", "wait-1.else.1": "waited", "plain": "sent", "both": "sent"}
    assert outcomes(steps) == (taken if vip else other)
    day = "03" if vip else "04"
    assert steps["both"]["message"]["text"] == f"2026-03-{day}T09:00:00+01:00 2026-03-{day}"
    assert steps["plain"]["message"]["text"] == "2026-03-04T09:00:00+01:00"
    assert steps["vip"]["branch"] == [{"of": "if-1", "way": "then"}]


SWITCH = """steps:
  - switch: contact.custom.size
    cases:
      1: [{sms: small, text: hi}]
      "x l": [{wait: 2d}, {exit: large}]
    else: [{exit: none}]
  - sms: after
    text: "{{ now }}"
"""


def test_the_way_of_a_switch_is_shown_with_its_value(walk: Walk) -> None:
    steps = walk(SWITCH, custom={"size": 1})
    assert [(name, step["taken"], step.get("way")) for name, step in steps.items()] == [
        ("switch-1", True, "1"),
        ("small", True, None),
        ("wait-1.x-l__fb9102e9.1", False, None),
        ("exit-1.x-l__fb9102e9.2", False, None),
        ("exit-1.else.1", False, None),
        ("after", True, None),
    ]
    steps = walk(SWITCH, custom={"size": []})
    assert [name for name, step in steps.items() if step["taken"]] == ["switch-1", "exit-1.else.1"]
    assert (steps["switch-1"]["outcome"], steps["switch-1"].get("way")) == ("else", None)


REPEAT = """steps:
  - repeat: {every: 7d, times: 4, until: {event: email.clicked}}
    steps:
      - sms: weekly
        text: "{{ now }}"
      - wait: 2d
  - sms: after
    text: "{{ now }} {{ event.link | default: 'nothing' }}"
"""


@pytest.mark.parametrize(
    ("until", "events", "reason", "after"),
    [
        ("{event: email.clicked}", [("email.clicked", {"link": "a"})], "round 1 of 4", "2026-03-05T09:00:00+01:00 a"),
        ("contact.custom.vip == true", [], "after 0 rounds", "2026-03-03T09:00:00+01:00 nothing"),
        ("now > '2026-03-17T08:00:00+01:00'", [], "round 1 of 4", "2026-03-17T09:00:00+01:00 nothing"),
    ],
)
def test_of_a_repetition_the_first_round_is_shown_and_time_goes_on_by_all(
    walk: Walk, until: str, events: list[tuple[str, dict[str, Any]]], reason: str, after: str
) -> None:
    text = REPEAT.replace("{event: email.clicked}", until)
    given = PreviewInputs(at=AT, events=[GivenEvent(*event) for event in events])
    steps = walk(text, given=given, custom={"vip": True})
    assert steps["repeat-1"]["reason"] == reason
    assert steps["weekly"]["taken"] is (reason == "round 1 of 4")
    assert (steps["after"]["taken"], steps["after"]["message"]["text"]) == (True, after)


@pytest.mark.parametrize(
    ("orders", "comes", "after", "reason"),
    [
        ([], False, "2026-03-10T09:00:00+01:00", "order.delivered is not given"),
        (["other"], False, "2026-03-10T09:00:00+01:00", "order.delivered does not fulfil its condition"),
        (["other", "X1"], True, "2026-03-03T09:00:00+01:00 Post", "order.delivered comes"),
    ],
)
def test_an_event_that_is_given_comes_once_a_step_waits_for_it(
    walk: Walk, orders: list[str], comes: bool, after: str, reason: str
) -> None:
    events = [GivenEvent("order.delivered", {"order_id": order, "carrier": "Post"}) for order in orders]
    steps = walk(EVENTS, given=PreviewInputs(at=AT, events=events))
    arrived = "sent" if comes else "(sent)" if orders else "(sent?)"
    assert outcomes(steps) == {
        "wait_for-1": "event" if comes else "timeout",
        "arrived": arrived,
        "late": "(sent?)" if comes else "sent",
        "after": "sent",
    }
    assert steps["after"]["message"]["text"] == after
    assert steps["wait_for-1"]["reason"] == reason


def test_an_event_that_is_given_comes_when_the_step_has_begun(walk: Walk) -> None:
    text = EVENTS.replace("for: 7d", "for: 7d\n    since: now")
    events = [GivenEvent("order.delivered", {"order_id": "X1", "carrier": "Post"})]
    steps = walk(text, given=PreviewInputs(at=AT, events=events))
    assert outcomes(steps) == {"wait_for-1": "event", "arrived": "sent", "late": "(sent?)", "after": "sent"}
    assert steps["wait_for-1"]["reason"] == "order.delivered comes"


def test_a_wait_without_an_end_goes_on_as_if_the_event_had_come_and_says_so(walk: Walk) -> None:
    steps = walk(FOR_EVER)
    assert outcomes(steps) == {"wait_for-1": "event", "arrived": "sent", "after": "sent"}
    expected = "order.delivered is not given: it would wait forever; from here on as if the event had come"
    assert steps["wait_for-1"]["reason"] == expected
    assert "waits_until" not in steps["wait_for-1"]


def test_behind_an_exit_nothing_is_on_the_way(walk: Walk) -> None:
    text = """steps:
  - if: contact.custom.vip == true
    then: [{exit: vip}]
    else: [{wait: 1d}]
  - sms: after
    text: "{{ now }}"
"""
    left = walk(text, custom={"vip": True})
    assert outcomes(left) == {"if-1": "then", "exit-1.then.1": "exited", "wait-1.else.1": "(waited)", "after": "(sent)"}
    # What follows is shown as those see it who come by the other way.
    assert left["after"]["message"]["text"] == "2026-03-04T09:00:00+01:00"
    stayed = walk(text, custom={"vip": False})
    assert outcomes(stayed)["after"] == "sent"


@pytest.mark.parametrize(
    ("step", "outcome", "after"),
    [
        ("wait: {until: '{{ contact.custom.none }}'}", "held", "sent"),
        ("wait: {until: '{{ contact.custom.none }}'}\n    on_failure: exit", "failed", "(sent)"),
        ("webhook: w\n    url: https://x.example/{{ contact.firstname }}/", "held", "sent"),
        ("webhook: w\n    url: https://x.example/\n    body: {a: \"{% abort 'no' %}\"}", "skipped", "sent"),
    ],
)
def test_a_step_that_cannot_be_performed_ends_as_its_on_failure_says(
    walk: Walk, step: str, outcome: str, after: str
) -> None:
    found = outcomes(walk(f"steps:\n  - {step}\n  - sms: after\n    text: x\n"))
    assert list(found.values()) == [outcome, after]


def test_a_response_is_there_on_the_ways_behind_its_step_alone(walk: Walk, follow: Follow) -> None:
    text = """steps:
  - if: contact.firstname == 'Bo'
    then:
      - webhook: ask
        url: https://x.example/
        save: {as: answer}
      - sms: inside
        text: "{{ responses.answer.id }}!"
  - sms: behind
    text: "{{ responses.answer.id }}!"
"""
    given = PreviewInputs(at=AT, responses={"answer": {"id": "7"}})

    def texts(**contact: Any) -> list[str]:
        shown = walk(text, given=given, **contact)
        return [shown[name]["message"]["text"] for name in ("inside", "behind")]

    assert texts(firstname="Bo") == ["7!", "7!"]
    assert texts() == ["7!", "!"]
    assert follow(text, given=given).notes == ()
    assert follow(text).notes == ("responses.answer is empty here: give a response called 'answer'",)


@pytest.mark.parametrize(
    ("response", "reason", "shown"),
    [
        ({"id": "7"}, None, "7"),
        ({"id": 7}, "the response was not kept as 'answer': it does not fit its schema, at 'properties/id/type'", "-"),
        (None, "the response was not kept as 'answer': it does not fit its schema, at 'type'", "-"),
    ],
)
def test_a_response_is_kept_only_where_a_worker_would_keep_it(
    walk: Walk, response: Any, reason: str | None, shown: str
) -> None:
    text = """steps:
  - webhook: ask
    url: https://x.example/
    save: {as: answer, schema: {type: object, properties: {id: {type: string}}}}
  - sms: behind
    text: "{{ responses.answer.id | default: '-' }}"
"""
    steps = walk(text, given=PreviewInputs(at=AT, responses={"answer": response}))
    assert (steps["ask"]["outcome"], steps["ask"].get("reason")) == ("sent", reason)
    assert steps["behind"]["message"]["text"] == shown


def test_exit_rules_say_whether_a_given_event_fulfils_them(follow: Follow) -> None:
    text = """exit:
  - event: order.returned
    if: event.order_id == order.external_id
  - event: contact.lost
steps:
  - wait: 1d
"""
    events = [GivenEvent("order.returned", {"order_id": "X1"}), GivenEvent("order.retruned")]
    shown = follow(text, given=PreviewInputs(at=AT, events=events))
    assert [(exit_.rule.event, exit_.met) for exit_ in shown.exits] == [
        ("order.returned", True),
        ("contact.lost", False),
    ]
    assert shown.notes == ("no step and no exit rule waits for 'order.retruned'",)
    assert not any(exit_.met for exit_ in follow(text).exits)
    other = follow(text, given=PreviewInputs(at=AT, events=[GivenEvent("order.returned", {"order_id": "X2"})]))
    assert other.notes == ("the given order.returned ends no journey: it does not meet the condition of the exit rule",)


def test_a_given_response_that_no_step_saves_is_said(follow: Follow) -> None:
    shown = follow(FORK, given=PreviewInputs(at=AT, responses={"whatsap": {"id": 1}}))
    assert shown.notes == ("no step saves a response as 'whatsap'",)


SPLIT = """steps:
  - split: {a: 50, b: 50, none: 0}
    id: tone
    branches:
      a: [{sms: brisk, text: "{{ contact.firstname }}"}]
      b: [{sms: warm, text: "{{ contact.firstname | number }}"}]
      none: [{sms: never, text: "{{ contact.firstname | number }}"}]
  - split: {x: 50, y: 50}
    by: "{{ contact.custom.store }}"
    id: store
"""


def test_the_branch_of_a_split_is_shown_with_its_number(walk: Walk) -> None:
    drawn = {contact: Lot(seed="a/tone", shares={"a": 5000, "b": 5000}).draw(str(contact)) for contact in range(20)}
    contact = next(contact for contact, draw in drawn.items() if draw.name == "a")
    steps = walk(SPLIT, id=contact, firstname="Zoé", custom={"store": 12})
    tone, store = steps["tone"], steps["store"]
    assert (tone["what"], tone["outcome"], tone["note"]) == ("split a 50 b 50 none 0", "a", str(drawn[contact]))
    assert store["note"] == str(
        Lot(seed="a/store", shares={"x": 5000, "y": 5000}, by="{{ contact.custom.store }}").draw("12")
    )
    # Another contact with the same data may draw the other branch: a mistake there is one. No contact draws none.
    assert {name: (steps[name]["taken"], steps[name]["reachable"]) for name in ("brisk", "warm", "never")} == {
        "brisk": (True, True),
        "warm": (False, True),
        "never": (False, False),
    }


def test_a_split_by_what_is_blank_is_held(walk: Walk) -> None:
    store = walk(SPLIT, firstname="Zoé")["store"]
    assert (store["outcome"], store["error"]["message"]) == ("held", "the value of 'by' is blank")


def test_who_would_get_nothing_is_told_what_it_would_be(walk: Walk, follow: Follow, reported: Reported) -> None:
    text = "scenario: a\ntrigger: order\ncontrol: 50\nsteps:\n  - sms: offer\n    text: hi\n"
    control, holdout = apart("a/control", "control", 5000), Holdout.model_validate({"share": 50, "seed": "q4"})
    kept = next(number for number in range(20) if control.draw(str(number)).name)
    said = {"outcome": "control", "reason": f"in the control group ({control.draw(str(kept)).why})"}
    assert reported(follow(text, id=kept))["withheld"] == said
    assert walk(text, id=kept)["offer"]["taken"], "what others get is shown all the same"
    out = next(number for number in range(20) if apart("q4", "holdout", 5000).draw(str(number)).name)
    given = PreviewInputs(at=AT, platform_zone="Europe/Paris", policies=Policies(holdout=holdout))
    assert reported(follow(text, given=given, id=out))["withheld"]["outcome"] == "holdout"
