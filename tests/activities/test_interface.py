"""What journeys and activities agree on."""

import pytest

from activities.channel_registry import CHANNELS, QUEUES, webhook_queue
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
        "audience": "change_audience",
    }


def test_a_destination_keeps_its_queue_and_few_move_when_there_are_more():
    names = ["wax", "push", "clienteling", "whatsapp"]
    assert [webhook_queue(name, 1) for name in names] == ["webhooks"] * 4
    assert [webhook_queue(name, 4) for name in names] == ["webhooks-1", "webhooks-1", "webhooks-3", "webhooks"]
    many = [str(number) for number in range(1_000)]
    moved = {webhook_queue(name, 5) for name in many if webhook_queue(name, 4) != webhook_queue(name, 5)}
    assert moved == {"webhooks-4"}
