"""What journeys and activities agree on."""

import pytest

from activities.channel_registry import CHANNELS, QUEUES
from activities.interface import JOURNEYS, fairness_key
from scenario.steps.registry import KINDS


@pytest.mark.parametrize(
    ("destination", "key"),
    [("wax", "wax"), ("a" * 70, "a" * 64), ("é" * 40, "é" * 32), ("a" + "é" * 40, "a" + "é" * 31)],
)
def test_a_long_destination_has_as_much_of_its_name_as_the_server_takes(destination: str, key: str):
    assert fairness_key(destination) == key


def test_every_kind_of_step_that_sends_has_a_channel_with_a_queue_of_its_own():
    assert {kind for kind, model in KINDS.items() if model.sends} == set(CHANNELS)
    assert list(QUEUES) == [JOURNEYS, "webhooks", "email", "sms"]
    assert {name: channel.send.name for name, channel in CHANNELS.items()} == {
        "webhook": "send_webhook",
        "email": "send_email",
        "sms": "send_sms",
    }
