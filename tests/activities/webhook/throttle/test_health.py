import pytest

from activities.webhook.circuit_breaker import HealthSignal, signal_of
from activities.webhook.errors import WORDS, AttemptError


@pytest.mark.parametrize(
    ("status", "pulse"),
    [
        (200, HealthSignal.ALIVE),
        (204, HealthSignal.ALIVE),
        (101, HealthSignal.ALIVE),
        (302, HealthSignal.ALIVE),
        (400, HealthSignal.ALIVE),
        (404, HealthSignal.ALIVE),
        (408, HealthSignal.ALIVE),
        (429, HealthSignal.ALIVE),
        (500, HealthSignal.FAILING),
        (501, HealthSignal.ALIVE),
        (502, HealthSignal.FAILING),
        (503, HealthSignal.FAILING),
        (504, HealthSignal.FAILING),
        (505, HealthSignal.ALIVE),
        (529, HealthSignal.FAILING),
        (999, HealthSignal.FAILING),
    ],
)
def test_only_a_server_s_own_trouble_is_failing(status: int, pulse: HealthSignal):
    assert signal_of(status) is pulse


@pytest.mark.parametrize("word", WORDS)
def test_what_an_attempt_without_a_response_says(word: str):
    pulse = AttemptError(word).pulse
    if word.startswith(("refused_", "request_", "pool_")):
        assert pulse is HealthSignal.NOTHING
    if word.startswith(("connect_", "dns_", "reset_", "disconnect_")) or word.endswith("read_timeout"):
        assert pulse is HealthSignal.FAILING
