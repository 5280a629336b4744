"""The rules of a scenario in plain words: who is admitted, who leaves, and settings of the whole scenario."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from scenario.model.scenario import Scenario
from scenario.policies.draw import percent
from scenario.policies.hours import QuietHours
from scenario.source.findings import listed
from scenario.time.duration import format_duration

_AGAIN = {
    "never": "once and never again",
    "when_finished": "again once the journey before is over",
    "always": "as often as it happens, also beside a journey under way",
}


def rules(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Yield each rule: its subject and its text.

    Args:
        scenario: The scenario as its author wrote it.
    """
    entry = scenario.entry
    yield "Trigger", scenario.trigger
    yield "Lets in", f"if {entry.condition}" if entry.condition else "everybody"
    per = f"for each {entry.key}" if entry.key else "for each contact"
    yield "How often", f"{per}, {_AGAIN.get(entry.again, entry.again)}"
    for rule in scenario.exit:
        yield "Leaves on", rule.event + (f" if {rule.condition}" if rule.condition else "")
    if goal := scenario.goal:
        which = f" if {goal.condition}" if goal.condition else ""
        worth = f", worth {goal.value}" if goal.value else ""
        yield "Goal", f"{goal.event}{which} within {format_duration(goal.within)}{worth}"
    if scenario.control is not None:
        yield (
            "Control",
            f"{percent(scenario.control)} % of those let in get nothing, so that the effect can be measured",
        )
    if scenario.subscription:
        lists = [f"{channel}: {one.mailing_list or one.tracking}" for channel, one in scenario.subscription.items()]
        yield "Only who is on", listed(lists, "and")
    yield "Purpose", scenario.purpose
    if scenario.quiet_hours:
        yield "Quiet hours", _hours(scenario.quiet_hours)
    yield "Default time zone", scenario.timezone


def _hours(hours: QuietHours) -> str:
    said = hours.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return ", ".join(f"{name} {_plain(value)}" for name, value in said.items())


def _plain(value: object) -> str:
    return ", ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)
