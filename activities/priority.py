"""The priorities of journeys, attempts and operations among tasks that wait for a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from temporalio.common import Priority

from activities.interface import fairness_key
from scenario.words import MARKETING, TRANSACTIONAL

OPERATORS: Final = "operators"
CAMPAIGNS: Final = "campaigns"
PRIORITIES: Final[Mapping[str, int]] = {OPERATORS: 1, TRANSACTIONAL: 2, MARKETING: 3, CAMPAIGNS: 4}
"""Temporal's priority keys: tasks with a smaller one go first. A task without one counts as marketing."""


def priority_of(purpose: str, destination: str = "") -> Priority:
    """Return the priority for a scenario's purpose, `OPERATORS` or `CAMPAIGNS`.

    The server limits the rate of each destination, and lets those of the same purpose take turns.
    """
    return Priority(
        priority_key=PRIORITIES.get(purpose), fairness_key=fairness_key(destination) if destination else None
    )
