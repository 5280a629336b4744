import pytest

from activities.webhook.circuit_breaker import (
    LONGEST,
    SPREAD,
    BreakerLimits,
    BreakerState,
    CircuitBreaker,
    HealthSignal,
    Ticket,
    signal_of,
)
from activities.webhook.errors import WORDS, AttemptError
from tests.factories import present
from tests.fakes import Clock

LIMITS = BreakerLimits()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(LIMITS, clock)


def send(breaker: CircuitBreaker, *pulses: HealthSignal) -> None:
    for pulse in pulses:
        ticket = present(breaker.admit())
        breaker.give_back(ticket, pulse)


def broken(breaker: CircuitBreaker) -> None:
    send(breaker, *[HealthSignal.FAILING] * LIMITS.minimum)
    assert breaker.state is BreakerState.OPEN


def probe(breaker: CircuitBreaker, clock: Clock) -> Ticket:
    clock.now = max(clock.now, breaker.reopens)
    ticket = present(breaker.admit())
    assert ticket.probe
    return ticket


def test_it_opens_at_each_share_to_the_result(clock: Clock):
    for percent in range(1, 101):
        below = CircuitBreaker(BreakerLimits(failures=percent / 100, minimum=100), clock)
        send(below, *[HealthSignal.ALIVE] * (101 - percent), *[HealthSignal.FAILING] * (percent - 1))
        assert (below.counted(), below.state) == ((percent - 1, 100), BreakerState.CLOSED)
        at = CircuitBreaker(BreakerLimits(failures=percent / 100, minimum=100), clock)
        send(at, *[HealthSignal.ALIVE] * (100 - percent), *[HealthSignal.FAILING] * percent)
        assert (at.counted(), at.state) == ((percent, 100), BreakerState.OPEN)


def test_only_a_failing_result_opens_it_and_a_request_that_never_left_counts_as_nothing(breaker: CircuitBreaker):
    send(breaker, *[HealthSignal.FAILING] * 9, *[HealthSignal.NOTHING] * 50)
    assert (breaker.counted(), breaker.state) == ((9, 9), BreakerState.CLOSED)
    send(breaker, HealthSignal.ALIVE)
    assert (breaker.counted(), breaker.state) == ((9, 10), BreakerState.CLOSED)


def test_results_count_for_the_window_only(breaker: CircuitBreaker, clock: Clock):
    send(breaker, *[HealthSignal.FAILING] * 9)
    clock.now = LIMITS.window * 0.9
    assert breaker.counted() == (9, 9)
    clock.now = LIMITS.window + 1
    assert breaker.counted() == (0, 0)
    send(breaker, *[HealthSignal.FAILING] * 9)
    assert breaker.state is BreakerState.CLOSED


def test_the_window_slides(breaker: CircuitBreaker, clock: Clock):
    for second in range(0, 3000, 10):  # at any moment 30 results in the window, half of them good
        clock.now = second
        send(breaker, HealthSignal.FAILING if second % 20 else HealthSignal.ALIVE)
    bad, total = breaker.counted()
    assert 28 <= total <= 30
    assert abs(bad - total / 2) <= 1


def test_it_may_close_while_another_thread_looks():
    turn = iter(range(100))
    looks = False

    def clock() -> float:
        if looks and ticket:  # between two things that whoever looks does
            breaker.give_back(ticket, HealthSignal.ALIVE)
        return float(next(turn)) if not looks else 1e6

    breaker = CircuitBreaker(BreakerLimits(pause=1), clock)
    broken(breaker)
    ticket = breaker.admit()
    while ticket is None:
        ticket = breaker.admit()
    looks = True
    assert breaker.state is BreakerState.HALF_OPEN
    looks = False
    assert breaker.state is BreakerState.CLOSED


def test_after_the_pause_one_probe_goes_at_a_time(breaker: CircuitBreaker, clock: Clock):
    broken(breaker)
    clock.now = LIMITS.pause - 1
    assert breaker.admit() is None
    ticket = probe(breaker, clock)
    assert breaker.state is BreakerState.HALF_OPEN
    assert [breaker.admit() for _ in range(100)] == [None] * 100
    breaker.give_back(ticket, HealthSignal.ALIVE)
    assert (breaker.counted(), breaker.state) == ((0, 0), BreakerState.CLOSED), "the past is forgotten"
    send(breaker, *[HealthSignal.FAILING] * 9)
    assert breaker.state is BreakerState.CLOSED


def test_each_failing_probe_doubles_the_pause_up_to_a_limit(breaker: CircuitBreaker, clock: Clock):
    broken(breaker)
    pauses: list[float] = []
    for _ in range(8):
        pauses.append(breaker.reopens - clock.now)
        breaker.give_back(probe(breaker, clock), HealthSignal.FAILING)
    for pause, planned in zip(pauses, [30, 60, 120, 240, 480, LONGEST, LONGEST, LONGEST], strict=True):
        assert planned <= pause <= planned * (1 + SPREAD)
    breaker.give_back(probe(breaker, clock), HealthSignal.ALIVE)
    broken(breaker)
    assert breaker.reopens - clock.now <= 30 * (1 + SPREAD), "pauses begin anew"


def test_a_long_pause_that_is_asked_for_stays_as_long(clock: Clock):
    breaker = CircuitBreaker(BreakerLimits(pause=3600), clock)
    broken(breaker)
    breaker.give_back(probe(breaker, clock), HealthSignal.FAILING)
    assert 3600 <= breaker.reopens - clock.now <= 3600 * (1 + SPREAD)


def test_processes_do_not_probe_at_the_same_moment(clock: Clock):
    breakers = [CircuitBreaker(LIMITS, clock, seed) for seed in ("1", "2", "3", "4")]
    for breaker in breakers:
        broken(breaker)
    assert len({breaker.reopens for breaker in breakers}) == 4
    again = CircuitBreaker(LIMITS, clock, "1")
    broken(again)
    assert again.reopens == breakers[0].reopens


def test_a_probe_that_is_lost_lets_another_go(breaker: CircuitBreaker, clock: Clock):
    broken(breaker)
    breaker.give_back(probe(breaker, clock), HealthSignal.NOTHING)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admit() is not None


def test_results_of_before_it_opened_say_nothing_any_more(breaker: CircuitBreaker, clock: Clock):
    early = [breaker.admit() for _ in range(20)]
    broken(breaker)
    until = breaker.reopens
    for ticket in early[:10]:
        assert ticket is not None
        breaker.give_back(ticket, HealthSignal.ALIVE)
    assert breaker.reopens == until
    breaker.give_back(probe(breaker, clock), HealthSignal.ALIVE)
    for ticket in early[10:]:
        assert ticket is not None
        breaker.give_back(ticket, HealthSignal.FAILING)
    assert breaker.counted() == (0, 0)
    assert breaker.state is BreakerState.CLOSED


def test_a_receiver_that_comes_back_gets_few_requests_at_first(breaker: CircuitBreaker, clock: Clock):
    assert breaker.room >= 1000
    broken(breaker)
    breaker.give_back(probe(breaker, clock), HealthSignal.ALIVE)
    rooms = [breaker.room]
    for pulse in (HealthSignal.ALIVE, HealthSignal.FAILING, HealthSignal.ALIVE, *[HealthSignal.ALIVE] * 20):
        send(breaker, pulse)
        rooms.append(breaker.room)
    assert rooms[:4] == [2, 4, 4, 8]
    assert rooms[-1] >= 1000


def test_limits_may_change_while_it_runs(breaker: CircuitBreaker, clock: Clock):
    send(breaker, *[HealthSignal.FAILING] * 9)
    breaker.limits = BreakerLimits(minimum=6, pause=5, window=60)  # another window begins empty
    send(breaker, *[HealthSignal.FAILING] * 5)
    assert breaker.counted() == (5, 5)
    send(breaker, HealthSignal.FAILING)
    assert breaker.state is BreakerState.OPEN
    assert 5 <= breaker.reopens - clock.now <= 5 * (1 + SPREAD)


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
