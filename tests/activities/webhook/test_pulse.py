import pytest

from activities.webhook.errors import SENTENCES
from activities.webhook.pulse import Pulse, of_error, of_status


@pytest.mark.parametrize(
    ("status", "pulse"),
    [
        (200, Pulse.DELIVERED),
        (204, Pulse.DELIVERED),
        (101, Pulse.ALIVE),
        (302, Pulse.ALIVE),
        (400, Pulse.ALIVE),
        (404, Pulse.ALIVE),
        (408, Pulse.ALIVE),
        (429, Pulse.ALIVE),
        (500, Pulse.FAILING),
        (501, Pulse.ALIVE),
        (502, Pulse.FAILING),
        (503, Pulse.FAILING),
        (504, Pulse.FAILING),
        (505, Pulse.ALIVE),
        (529, Pulse.FAILING),
        (999, Pulse.FAILING),
    ],
)
def test_only_a_server_s_own_trouble_is_failing(status: int, pulse: Pulse):
    assert of_status(status) is pulse


@pytest.mark.parametrize(
    "word", [*SENTENCES, "rendered_body_not_json", "rendered_body_over_limit", "worker_killed_after_send"]
)
def test_every_failure_without_a_response_has_a_meaning(word: str):
    pulse = of_error(word)
    if word.startswith(("refused_", "rendered_", "request_", "pool_", "worker_")):
        assert pulse is Pulse.NOTHING
    if word.startswith(("connect_", "dns_", "reset_", "disconnect_")) or word.endswith("read_timeout"):
        assert pulse is Pulse.FAILING


def test_an_unknown_word_is_a_mistake_of_ours():
    with pytest.raises(KeyError):
        of_error("gremlins")
