"""Sentences about the results of a goal, for people."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.service.results import ResultsView
from scenario.time.duration import format_duration


def headline(found: ResultsView) -> Iterator[str]:
    """Yield sentences about the goal and all journeys."""
    first, last = found.versions[0], found.versions[-1]
    which = f"{found.scenario}@{first}" if first == last else f"{found.scenario}@{first} to @{last}"
    if (goal := found.goal) is None:
        yield f"{which} has no goal: only those who entered are counted"
        yield f"{found.entered:,} entered"
        return
    condition = f", if {goal.condition}" if goal.condition else ""
    yield f"{which}: {goal.event} within {format_duration(goal.within)}{condition}"
    still = f"; {found.open:,} more still have time" if found.open else ""
    yield f"{found.entered:,} entered, and {found.reached:,} of them reached the goal{still}"


def remarks(found: ResultsView) -> Iterator[str]:
    """Yield warnings that a reader needs before trusting the numbers."""
    for one in found.comparisons:
        if one.mismatch is not None:
            yield _out_of_ratio(f"the branches of split {one.split}", one.mismatch)
        if one.undrawn:
            yield (
                f"{one.undrawn:,} are in no branch of split {one.split}: "
                "which one they would take was not known when they entered"
            )
    if found.control_mismatch is not None:
        yield _out_of_ratio("the control group", found.control_mismatch)
    if found.goalless:
        yield f"{found.goalless:,} more entered by versions without a goal, and are not counted"
    if not found.is_same_goal:
        yield "the goal is not the same in all of these versions: look at each version alone"
    if found.contacts < found.entered:
        yield (
            f"{found.contacts:,} contacts entered {found.entered:,} times: entries of one contact are alike, so "
            "intervals are wider, and p is larger, than is said here"
        )


def _out_of_ratio(what: str, p: float) -> str:
    return (
        f"warning: {what} did not come out as large as drawn (p = {p:.1g}): contacts are missing on one side, or "
        "counted twice. Find out why before you believe the rates"
    )
