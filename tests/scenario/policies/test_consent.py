"""Which consent a channel's marketing needs, and when a contact has given it."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from scenario.policies.consent import Agreement, Subscription, nowhere

SUBSCRIPTION: TypeAdapter[Subscription] = TypeAdapter(Subscription)
LISTS, TRACKING = ("contact", "lists"), ("contact", "tracking_consent")
ON_LIST = {"lists": [{"id": "51", "name": "Newsletter"}, {"id": "52", "name": "SMS"}]}
NOT_ON_LIST = "the contact is not on the list Newsletter"
NOT_AGREED = "the contact has not agreed to open by email"


def tracking(*rows: tuple[str, str, object]) -> dict[str, Any]:
    names = ("channel", "scope", "enabled")
    return {"tracking_consent": [dict(zip(names, row, strict=True)) for row in rows]}


OPEN = tracking(("sms", "open", False), ("email", "open", True))


@pytest.mark.parametrize(
    ("needed", "contact", "lacking"),
    [
        ("Newsletter", ON_LIST, ""),
        (" newsLETTER ", ON_LIST, ""),
        (51, ON_LIST, ""),
        ("Newsletter", {"lists": [{"id": 51, "name": " newsletter\n"}]}, ""),
        ("Newsletter", {"lists": [{"id": 5, "name": "VIP"}]}, NOT_ON_LIST),
        ("Newsletter", {"lists": ["Newsletter"]}, NOT_ON_LIST),
        ("Newsletter", {}, NOT_ON_LIST),
        ("None", {"lists": [{"id": None}]}, "the contact is not on the list None"),
        ({"tracking_consent": "open"}, OPEN, ""),
        ({"tracking_consent": "open"}, tracking(("sms", "open", True)), NOT_AGREED),
        ({"tracking_consent": "open"}, tracking(("email", "click", True)), NOT_AGREED),
        # Only a plain true is consent: these are true for Python.
        ({"tracking_consent": "open"}, tracking(("email", "open", "false")), NOT_AGREED),
        ({"tracking_consent": "open"}, tracking(("email", "open", 1)), NOT_AGREED),
        ({"tracking_consent": "open"}, ON_LIST, NOT_AGREED),
        ({"list": "Newsletter", "tracking_consent": "open"}, ON_LIST | OPEN, ""),
        ({"list": "Newsletter", "tracking_consent": "open"}, ON_LIST, NOT_AGREED),
        ({"list": "Newsletter", "tracking_consent": "open"}, OPEN, NOT_ON_LIST),
    ],
)
def test_a_contact_has_consented_or_it_is_said_what_is_missing(needed: Any, contact: Any, lacking: str) -> None:
    assert SUBSCRIPTION.validate_python({"email": needed})["email"].missing("email", contact) == lacking


@pytest.mark.parametrize(
    ("subscription", "lacking"),
    [
        ({}, ""), ({"email": "Newsletter"}, ""), ({"email": "VIP"}, "the contact is not on the list VIP"),
        # One channel that the contact agrees to is enough.
        ({"email": "VIP", "sms": "SMS"}, ""), ({"email": "Newsletter", "sms": "VIP"}, ""),
        ({"email": "VIP", "sms": "Gold"}, "the contact is not on the list VIP"),
    ],
)  # fmt: skip
def test_a_contact_is_refused_only_if_no_channel_is_left(subscription: Any, lacking: str) -> None:
    assert nowhere(SUBSCRIPTION.validate_python(subscription), ON_LIST) == lacking


@pytest.mark.parametrize(
    ("written", "stored", "fields"),
    [
        (" 51 ", {"list": "51"}, (LISTS,)),
        ({"tracking_consent": "open"}, {"tracking_consent": "open"}, (TRACKING,)),
        ({"list": 51, "tracking_consent": "open"}, {"list": "51", "tracking_consent": "open"}, (LISTS, TRACKING)),
    ],
)  # fmt: skip
def test_a_consent_names_the_fields_it_needs_and_is_stored_as_it_was_written(
    written: Any, stored: dict[str, str], fields: Any
) -> None:
    [agreement] = SUBSCRIPTION.validate_python({"email": written}).values()
    assert agreement.fields == fields
    assert agreement.model_dump(by_alias=True) == stored
    assert Agreement.model_validate(stored) == agreement


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (True, "a list is its id or its name"), (5.1, "a list is its id or its name"),
        ("  ", "a list is its id or its name"), ({}, "write the 'list' that the contact must be on"),
        ({"tracking_consent": ""}, "at least 1 character"),
    ],
)  # fmt: skip
def test_what_says_no_list_and_no_scope_is_refused(written: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SUBSCRIPTION.validate_python({"email": written})
