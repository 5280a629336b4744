"""Which entries are admitted, under which key, and what a contact that is let in is drawn for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from scenario.check.check import check
from scenario.entry.admission import (
    EntryMistaken,
    EntryRefused,
    branches,
    check_identity,
    check_rules,
    check_trigger,
    entry_data,
    identity,
    key_of,
    withheld,
)
from scenario.entry.entry import Entry, parse_entry
from scenario.entry.values import DEFAULT_PLATFORM, PlatformDates
from scenario.errors import EntryError
from scenario.model.scenario import Scenario
from scenario.policies.draw import Holdout, Lot

NOW = datetime(2026, 7, 1, 22, 30, 15, 5, UTC)
NO_CONSENT = "no consent to news: the contact is not on the list VIP"
DOES_NOT_HOLD = "the entry rule of news does not hold: order.total_price > 20"
KEYED = 'entry: {key: " {{ order.external_id }} "}'


def scenario(head: str = "") -> Scenario:
    made = check(f"scenario: news\ntrigger: order\ntimezone: Asia/Tokyo\n{head}\nsteps: [{{wait: 1d}}]\n").scenario
    assert made is not None
    return made


def entry(number: str = "A1", price: Any = 30, **more: Any) -> Entry:
    order = {"external_id": number, "total_price": price}
    contact = {"id": 7, "lists": [{"id": 51, "name": "Newsletter"}]}
    return parse_entry({"scenario": "news", "contact": contact, "trigger": {"type": "order", "order": order}, **more})


def data(asking: Entry, wanted: Scenario) -> dict[str, Any]:
    return entry_data(asking, wanted, 3, PlatformDates("Europe/Paris"), NOW)


@pytest.mark.parametrize(
    ("own", "zone", "now"),
    [
        (None, "Asia/Tokyo", "2026-07-02T07:30:15+09:00"),
        ("Nowhere/Land", "Asia/Tokyo", "2026-07-02T07:30:15+09:00"),
        ("America/New_York", "America/New_York", "2026-07-01T18:30:15-04:00"),
    ],
)
def test_rules_see_the_time_on_the_contacts_clock_and_nothing_that_comes_later(own: str | None, zone: str, now: str):
    asking = entry(key="B2")
    seen = data(asking.model_copy(update={"contact": {**asking.contact, "timezone": own}}), scenario())
    assert (seen["now"], seen["today"], seen["responses"]) == (now, now[:10], {})
    assert seen["journey"] == {
        "id": None,
        "scenario": "news",
        "version": 3,
        "entered_at": "2026-07-01T22:30:15.000005+00:00",
        "key": "B2",
        "timezone": zone,
    }


@pytest.mark.parametrize(
    ("head", "price", "refused"),
    [
        ("", 30, None),
        ("subscription: {email: Newsletter}", 30, None),
        ("subscription: {email: VIP, sms: Newsletter}", 30, None),
        ("subscription: {email: VIP}", 30, (NO_CONSENT, "consent")),
        # What a contact has bought is no marketing: nobody has to subscribe to it.
        ("purpose: transactional\nsubscription: {email: VIP}", 30, None),
        ("entry: {if: order.total_price > 20}", 21, None),
        ("entry: {if: order.total_price > 20}", 20, (DOES_NOT_HOLD, "condition")),
        ("subscription: {email: VIP}\nentry: {if: order.total_price > 20}", 20, (NO_CONSENT, "consent")),
    ],
)
def test_a_contact_has_to_fulfil_the_entry_rules(head: str, price: int, refused: tuple[str, str] | None) -> None:
    wanted = scenario(head)
    seen = data(entry(price=price), wanted)
    if refused is None:
        check_rules(wanted, seen)
        return
    with pytest.raises(EntryRefused) as caught:
        check_rules(wanted, seen)
    assert (str(caught.value), caught.value.word) == refused


def test_a_rule_that_cannot_be_evaluated_refuses() -> None:
    wanted = scenario("entry: {if: contact.custom.n > 2, key: '{{ 1 | divided_by: contact.custom.zero }}'}")
    asking = entry(contact={"id": 7, "custom": {"n": "many", "zero": 0}})
    seen = data(asking, wanted)
    with pytest.raises(EntryRefused, match="the entry rule of news cannot be evaluated: "):
        check_rules(wanted, seen)
    with pytest.raises(EntryRefused, match="the key of news cannot be rendered: "):
        key_of(asking, wanted, seen)


def test_an_entry_by_another_trigger_is_mistaken_and_told_the_right_one() -> None:
    with pytest.raises(EntryMistaken, match="news is entered by 'order', not by 'birthday'") as caught:
        identity(entry(trigger={"type": "birthday"}), scenario(KEYED), 3, DEFAULT_PLATFORM, NOW)
    assert (caught.value.at, caught.value.meant, caught.value.word) == (("trigger", "type"), "order", "mistaken")
    check_trigger(entry(), scenario())


@pytest.mark.parametrize(
    ("head", "number", "given", "key"),
    [
        ("", "A1", None, None),
        ("", "A1", "B2", "B2"),
        (KEYED, "A1", None, "A1"),
        # An engine that names a key knows better than the scenario's rule.
        (KEYED, "A1", "B2", "B2"),
    ],
)
def test_the_engines_key_comes_before_the_scenarios_rule(head: str, number: str, given: str | None, key: str | None):
    asking, wanted = entry(number, key=given), scenario(head)
    assert key_of(asking, wanted, data(asking, wanted)) == key
    where = "/".join(["news/7", *([key] if key else [])])
    summary = " · ".join(["news@3", "contact 7", f"order {key}" if key else "order"])
    assert identity(asking, wanted, 3, PlatformDates("Europe/Paris"), NOW) == (where, summary)
    check_identity(where, asking, key)


def test_a_key_is_neither_empty_nor_longer_than_a_workflow_id() -> None:
    with pytest.raises(EntryRefused, match="the key of news is empty for this entry"):
        identity(entry(" "), scenario(KEYED), 3, DEFAULT_PLATFORM, NOW)
    longest = "a" * (250 - len("news/7/"))
    name, summary = identity(entry(longest), scenario(KEYED), 3, DEFAULT_PLATFORM, NOW)
    assert (len(name), len(summary)) == (250, 200)
    with pytest.raises(EntryError, match="together are longer than 250 bytes"):
        identity(entry(longest + "a"), scenario(KEYED), 3, DEFAULT_PLATFORM, NOW)


@pytest.mark.parametrize(
    ("given", "key", "message"),
    [
        ("news/8", None, "the workflow id must be news/<contact id>, as"),
        ("news/7", "A1", "the workflow id must be news/<contact id>/<key>, as"),
        ("news/7-2026-11-26T12:00:00Z", None, "a Temporal Schedule appends the time"),
        ("news/7/A1-2026-11-26T12:00:00.25Z", "A1", "a Temporal Schedule appends the time"),
        ("news/8-2026-11-26T12:00:00Z", None, "the workflow id must be"),
        ("news/7-2026-11-26T12:00:00Zulu", None, "the workflow id must be"),
    ],
)
def test_another_workflow_id_is_refused(given: str, key: str | None, message: str) -> None:
    with pytest.raises(EntryRefused, match=message):
        check_identity(given, entry(), key)


HOLDOUT = Holdout(share=50, seed="2026")


@pytest.mark.parametrize(
    ("head", "holdout", "outcome"),
    [
        ("", None, None),
        ("", HOLDOUT, "holdout"),
        ("control: 50", None, "control"),
        ("control: 50", HOLDOUT, "holdout"),
        ("purpose: transactional", HOLDOUT, None),
        ("purpose: transactional\ncontrol: 50", HOLDOUT, "control"),
    ],
)
def test_a_contact_is_held_out_of_marketing_before_a_scenario_draws_its_control_group(
    head: str, holdout: Holdout | None, outcome: str | None
) -> None:
    # The first contact that both draws keep out, and the first that neither keeps out.
    kept, free = "7", "2"
    found = withheld(scenario(head), kept, holdout)
    assert (found and found.outcome) == outcome
    assert found is None or found.why in found.reason
    assert withheld(scenario(head), free, holdout) is None


@pytest.mark.parametrize(
    ("by", "unit"),
    [
        ("contact", "7"),
        ("journey", "news/7/A1"),
        ("{{ contact.language }}", "fr"),
        ("{{ journey.key }}", "A1"),
        ("{{ journey.id }}", "news/7/A1"),
        ("{{ journey.scenario }}", "news"),
        # What is another at the step, or cannot be worked out now, is drawn there.
        ("{{ now }}", None),
        ("{{ today }}", None),
        ("{{ responses.poll.kind | default: 'none' }}", None),
        ("{{ event.name | default: contact.language }}", None),
        ("{{ 1 | divided_by: contact.custom.zero }}", None),
        ("{{ contact.zip }}", None),
    ],
)
def test_a_branch_is_known_at_the_entry_if_what_it_is_drawn_by_is(by: str, unit: str | None) -> None:
    trigger = {"type": "event", "event": {"name": "store.visit"}}
    asking = entry(contact={"id": 7, "language": "fr", "custom": {"zero": 0}}, trigger=trigger)
    lot = Lot(seed="seed", shares={"a": 5000, "b": 5000}, by=by)
    known = {} if unit is None else {"split-1": lot.draw(unit).name}
    assert branches({"split-1": lot}, "news/7/A1", data(asking, scenario())) == known
