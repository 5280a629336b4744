"""The retry policy that a delivery is scheduled with."""

from temporalio.api.common.v1 import RetryPolicy

from scenario.plan.retry import RetryPolicy as Policy
from scenario.steps.delivery import Send
from workflows.delivery import retry_policy


def test_no_jitter_makes_a_policy_that_temporal_refuses() -> None:
    """The longest pause is the first one: rounding must not put it below."""
    seconds = 5.0
    step = Send(
        kind="webhook",
        to="wax",
        retry=Policy(initial_interval=seconds, maximum_interval=seconds, backoff_coefficient=1.0),
    )
    initial: set[float] = set()
    for number in range(2000):
        policy = retry_policy(step, f"msg_{number}")
        policy.apply_to_proto(RetryPolicy())  # checks it
        initial.add(policy.initial_interval.total_seconds())
    assert seconds * 0.8 <= min(initial) < seconds * 0.81
    assert seconds * 1.19 < max(initial) <= seconds * 1.2


def test_no_number_of_attempts_is_too_large_for_temporal() -> None:
    """A policy that cannot be written fails the workflow task, forever."""
    policy = retry_policy(Send(kind="sms", retry=Policy(maximum_attempts=10**20)), "msg_1")
    policy.apply_to_proto(RetryPolicy())
