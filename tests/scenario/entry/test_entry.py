# ruff: noqa: E501 - sentences are asserted whole
"""Entries come in as a platform sends them, unchanged, and templates see one clean shape."""

import json
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario.entry.entry import LONGEST_WORKFLOW_ID, clean, is_entry, journey_id, parse_entry, patch_contact
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError

PARIS = PlatformDates("Europe/Paris")
Sample = Callable[[str], dict[str, Any]]


def entry(contact: Any = None, trigger: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "scenario": "post-purchase",
        "contact": {"id": 1} if contact is None else contact,
        "trigger": {"type": "birthday"} if trigger is None else trigger,
        **more,
    }


def cleaned(contact: Any = None, trigger: Any = None) -> dict[str, Any]:
    return clean(parse_entry(entry(contact, trigger)), PARIS)


CUSTOM = {
    "civility": "mme",
    "birthday": "1987-03-02",
    "favourite_store": "Champs-Élysées\\Rez-de-chaussée",
    "orders_count": 12,
    "vip": True,
    "last_visit": None,
}
PLATFORM: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("birthday", "contact", {"id": "3028687", "firstname": "Zoé", "lastname": 'O\'Brien "La Zo"', "creation_date": "2018-01-24T15:00:00+01:00", "timezone": None, "double_optin": None}),
    ("birthday", "contact", {"custom": CUSTOM, "tracking_consent.0.date": "2021-06-01T09:12:44+02:00", "recommendations.1.price": 52}),
    ("birthday", "contact", {"lists": [{"id": "51", "name": "Newsletter"}, {"id": "52", "name": "SMS"}], "loyalty": [{"card_code": "33010000001", "id_program": "1"}]}),
    ("order", "order", {"external_id": "CGX0094", "total_price": 66.25, "discount_amount": 0, "ordered_at": "2026-07-15T18:45:00+02:00", "store.online": False, "loyalty.id_program": "1"}),
    ("order", "order", {"custom": {"id_mail": "", "gift_message": "Joyeux anniversaire !\nÀ bientôt 🎁"}, "products.1.external_id": "11", "products.1.product_id": "11", "products.1.custom": {"gift_wrap": "1"}}),
    ("order", "order", {"contact.id": 3028687}),  # fields that nobody declared are kept as they came
    ("abandoned_cart", "cart", {"external_id": "3", "total_price": 50, "completed": False, "products.0.external_id": "10", "products.0.quantity": 2, "products.0.unit_price": 25}),
    ("reward", "reward", {"individual_id": "3028687", "loyalty_status_id": "47", "earned_date": "2026-09-03T17:24:02+02:00", "burned_date": None, "expiration_date": None}),
    ("reward", "reward", {"reward_definition.monetary_value": 15, "reward_definition.monetary": True}),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "root", "fields"), PLATFORM)
def test_the_objects_of_a_platform_come_in_unchanged(kind: str, root: str, fields: dict[str, Any], sample: Sample):
    trigger = {"type": kind} if root == "contact" else {"type": kind, root: sample(root)}
    found = cleaned(sample("contact"), trigger)[root]

    def at(path: str) -> Any:
        return reduce(lambda value, key: value[int(key) if key.isdigit() else key], path.split("."), found)

    assert {path: at(path) for path in fields} == fields


def test_a_contact_with_next_to_nothing_has_every_field(sample: Sample):
    rich, poor = cleaned(sample("contact"))["contact"], cleaned(sample("contact_minimal"))["contact"]
    assert set(poor) == set(rich)
    assert (poor["cellphone"], poor["custom"], poor["recommendations"]) == ("", {}, [])


def test_a_ticket_is_an_order_by_another_name(sample: Sample):
    as_order = cleaned(trigger={"type": "ticket", "order": sample("order")})
    as_ticket = cleaned(trigger={"type": "ticket", "ticket": sample("order")})
    assert as_order == as_ticket
    assert as_order["order"] == as_order["ticket"]


def test_what_comes_out_is_json_and_comes_out_the_same_again(sample: Sample):
    data = cleaned(sample("contact"), {"type": "order", "order": sample("order")})
    again = cleaned(data["contact"], {"type": "order", "order": data["order"]})
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert again == data


def test_an_event_has_its_properties_under_their_own_names_too():
    event = {"name": "store.visit", "time": "2026-07-15 18:45:00", "properties": {"store": "2", "name": "Lyon"}}
    assert cleaned(trigger={"type": "event", "event": event})["event"] == {
        "name": "store.visit",
        "time": "2026-07-15T18:45:00+02:00",
        "store": "2",
        "properties": {"store": "2", "name": "Lyon"},
    }


@pytest.mark.parametrize("nothing", [None, "", []])
def test_lists_and_objects_may_be_absent_in_any_form(nothing: Any):
    contact = {"id": 1, "lists": nothing, "loyalty": nothing, "custom_fields": nothing, "recommendations": nothing}
    order = {"products": nothing, "store": nothing, "loyalty": nothing, "custom_fields": nothing}
    data = cleaned(contact, {"type": "order", "order": order})
    assert (data["contact"]["lists"], data["contact"]["custom"], data["order"]["products"]) == ([], {}, [])
    assert data["order"]["store"]["name"] is None
    assert data["order"]["loyalty"]["card_code"] is None


def test_what_no_json_could_hold_is_mended():
    contact = {"id": 1, "firstname": "a\ud800b", "note": ["\ud83d\ude00", float("nan"), {"\udfff": float("inf")}]}
    data = cleaned(contact)["contact"]
    assert data["firstname"] == "a\ufffdb"
    assert data["note"] == ["😀", None, {"\ufffd": None}]
    json.dumps(data, allow_nan=False).encode()


def deep(levels: int) -> Any:
    return [] if not levels else [deep(levels - 1)]


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    (entry({}), "the contact has no id: give 'contact.id'"),
    (entry({"id": ""}), "the contact has no id: give 'contact.id'"),
    (entry({"id": ["secret"]}), "'id' of contact: an id must be text or a whole number"),
    (entry({"id": "é" * 151}), "'contact.id' is longer than 300 bytes"),
    (entry({"id": 1, "email": ["secret"]}), "'email' of contact: must be text"),
    (entry({"id": 1, "lists": ["secret"]}), "'lists.0' of contact must be an object"),
    (entry({"id": 1, "creation_date": "secret"}), "'creation_date' of contact: a date cannot be read: write it as 2026-03-29 or 2026-03-29T10:00:00+02:00"),
    (entry({"id": 1, "note": deep(80)}), "contact is nested more than 60 levels deep"),
    (entry([]), "'contact' of the entry must be an object"),
    (entry(key="é" * 151), "'key' is longer than 300 bytes"),
    (entry(key=["secret"]), "'key' of the entry: an id must be text or a whole number"),
    (entry(colour="secret"), "the entry has no field 'colour': it has scenario, contact, trigger and key"),
    (entry(scenario="Post Purchase"), "'scenario' must be a scenario's name, or a name and a version such as post-purchase@3"),
    (entry(scenario="a@0"), "'scenario' must be a scenario's name, or a name and a version such as post-purchase@3"),
    (entry(scenario=None), "'scenario' of the entry must be text"),
    (entry(trigger={}), "'trigger.type' must be one of order, ticket, abandoned_cart, reward, contact_created, contact_updated, subscription, unsubscription, tier_change, loyalty_subscription, birthday, segment, event"),
    (entry(trigger={"type": "order"}), "a trigger 'order' needs its data under 'trigger.order'"),
    (entry(trigger={"type": "abandoned_cart", "order": {}}), "a trigger 'abandoned_cart' needs its data under 'trigger.cart'"),
    (entry(trigger={"type": "order", "order": {"products": [{"quantity": "secret"}]}}), "'products.0.quantity' of trigger.order: must be a number, with a point before its decimals"),
    (entry(trigger="order"), "'trigger' of the entry must be an object"),
    ({"scenario": "a"}, "the entry needs 'contact'"),
)  # fmt: skip


@pytest.mark.parametrize(("data", "sentence"), REFUSED, ids=[sentence[:60] for _, sentence in REFUSED])
def test_what_cannot_come_in_is_refused_in_one_sentence_without_its_data(data: dict[str, Any], sentence: str):
    with pytest.raises(EntryError) as caught:
        clean(parse_entry(data), PARIS)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("data", [None, [], "entry", 12, {}, {"scenario": 12}])
def test_an_argument_that_is_no_entry_at_all_is_told_apart(data: Any):
    assert not is_entry(data)
    with pytest.raises(EntryError):
        parse_entry(data)


IDS = (
    ({"id": 3028687}, None, "post-purchase/3028687"),
    ({"id": 3028687.0}, "CGX0094", "post-purchase/3028687/CGX0094"),
    ({"id": " a "}, "x/y", "post-purchase/a/x/y"),
    ({"id": "a/x"}, "y", "post-purchase/a%2Fx/y"),
)


@pytest.mark.parametrize(("contact", "key", "workflow"), IDS)
def test_a_journey_has_one_id_for_a_contact_and_a_key(contact: dict[str, Any], key: str | None, workflow: str):
    for scenario, version in (("post-purchase", None), ("post-purchase@12", 12)):  # which an entry may pin
        parsed = parse_entry(entry(contact) | {"scenario": scenario})
        assert (journey_id(parsed, key), parsed.version) == (workflow, version)


def test_a_contact_whose_journeys_would_pass_for_anothers_is_refused():
    for contact in ("a%2Fb", "%2F"):
        with pytest.raises(EntryError, match=r"^the contact's id has '%2F' in it") as raised:
            journey_id(parse_entry(entry({"id": contact})), None)
        assert raised.value.at == ("contact", "id")
    assert journey_id(parse_entry(entry({"id": "a%2fb%"})), None).endswith("/a%2fb%")


def test_a_workflow_id_that_temporal_could_not_keep_is_refused():
    longest = parse_entry(entry({"id": "é" * 50}, key="é" * 50))
    assert len(journey_id(longest, longest.key).encode()) <= LONGEST_WORKFLOW_ID
    with pytest.raises(EntryError, match="together are longer than 250 bytes"):
        journey_id(longest, "é" * 90)


def test_a_patch_changes_what_it_names_and_nothing_else(sample: Sample):
    contact = cleaned(sample("contact"))["contact"]
    patch = {
        "id": 5,
        "email": "new@example.com",
        "custom_fields": [{"name": "vip", "value": "0", "data_type": "boolean"}],
    }
    patched = patch_contact(contact, patch, PARIS)
    assert patched == {**contact, "email": "new@example.com", "custom": {**contact["custom"], "vip": False}}
    with pytest.raises(EntryError, match="'email' of contact: must be text"):
        patch_contact(contact, {"email": []}, PARIS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(("id", "email", "creation_date", "lists", "custom_fields", "custom", "timezone", "note"))


@given(
    st.dictionaries(FIELDS, JSON, max_size=5),
    st.dictionaries(st.sampled_from(("total_price", "products", "store", "ordered_at", "x")), JSON),
)
@settings(max_examples=80)
def test_whatever_is_sent_it_comes_in_as_json_or_is_refused(contact: dict[str, Any], order: dict[str, Any]):
    try:
        data = cleaned(contact, {"type": "order", "order": order})
    except EntryError:
        return
    assert json.loads(json.dumps(data, allow_nan=False).encode()) == data
