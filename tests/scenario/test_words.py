"""Names that belong to events of providers and of the engine."""

import pytest

from gateway.callbacks.links import EVENT
from scenario.words import PROVIDER_EVENTS, is_reserved_event


@pytest.mark.parametrize("name", [*PROVIDER_EVENTS, EVENT, "contact.changed", "sms.replied", "email.x", "whatsapp.a:b"])
def test_the_names_of_providers_and_of_the_engine_are_reserved(name: str):
    assert is_reserved_event(name)


@pytest.mark.parametrize(
    "name", ["email", "emails.sent", "my.email.clicked", "contact.changed.twice", "order.delivered"]
)
def test_other_names_are_free(name: str):
    assert not is_reserved_event(name)
