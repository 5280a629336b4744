import pytest

from activities.webhook.circuit_breaker import HealthSignal, signal_of
from activities.webhook.errors import WORDS, AttemptError


@pytest.mark.parametrize(
    ("statuses", "pulse"),
    [
        ((101, 200, 204, 302, 400, 404, 408, 429, 501, 505), HealthSignal.ALIVE),
        ((500, 502, 503, 504, 529, 999), HealthSignal.FAILING),
    ],
)
def test_only_a_server_s_own_trouble_is_failing(statuses: tuple[int, ...], pulse: HealthSignal):
    assert {status: signal_of(status) for status in statuses} == dict.fromkeys(statuses, pulse)


def test_what_an_attempt_without_a_response_says():
    for word in WORDS:
        pulse = AttemptError(word).pulse
        if word.startswith(("refused_", "request_", "pool_")):
            assert pulse is HealthSignal.NOTHING
        if word.startswith(("connect_", "dns_", "reset_", "disconnect_")) or word.endswith("read_timeout"):
            assert pulse is HealthSignal.FAILING
