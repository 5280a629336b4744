import pytest

from activities.webhook.errors import WORDS, AttemptError
from activities.webhook.throttle.health import Pulse, of_status


@pytest.mark.parametrize(
    ("status", "pulse"),
    [
        (200, Pulse.ALIVE),
        (204, Pulse.ALIVE),
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


@pytest.mark.parametrize("word", WORDS)
def test_what_an_attempt_without_a_response_says(word: str):
    pulse = AttemptError(word).pulse
    if word.startswith(("refused_", "request_", "pool_")):
        assert pulse is Pulse.NOTHING
    if word.startswith(("connect_", "dns_", "reset_", "disconnect_")) or word.endswith("read_timeout"):
        assert pulse is Pulse.FAILING
