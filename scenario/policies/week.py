"""The effect of hours in a typical week, for checks before any message waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from scenario.policies.days_off import unknown
from scenario.policies.hours import Hours, stretches
from scenario.source.findings import Flaw
from scenario.time.duration import format_duration
from scenario.time.timing import WEEKDAYS

MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""The start of a week that represents all others."""


MIDNIGHT: Final = (
    "messages kept back on a day off leave at 00:00 in the contact's zone, also text messages: "
    "add 'from' and 'to', such as {wanted}"
)
"""The warning about hours that open at midnight."""


def openings(*rules: Hours) -> list[tuple[datetime, timedelta]]:
    """Return when all rules allow sending in a week without holidays and clock changes, and for how long."""
    weekly = [rule.weekly for rule in rules]
    return [(start, end - start) for start, end in stretches(weekly, MONDAY, UTC)]


def opened_at_midnight(rules: Sequence[Hours]) -> Hours | None:
    """Return the rule whose day off ends at a midnight at which all rules allow sending, or None.

    A public holiday may fall on any weekday.
    """
    for rule in rules:
        for day in [day for day in rule.days_off or () if not unknown(day)]:
            ends = [WEEKDAYS.index(day)] if day in WEEKDAYS else range(len(WEEKDAYS))
            midnights = [MONDAY + timedelta(days=end + 1) for end in ends]
            if not all(_closed(rules, midnight) for midnight in midnights):
                return rule
    return None


def _closed(rules: Sequence[Hours], local: datetime) -> bool:
    return any(rule.weekly.closed(local) for rule in rules)


def flaws(hours: Hours) -> Iterator[Flaw]:
    """Yield unknown countries, hours without any time, and a spread that does not fit."""
    for index, day in enumerate(hours.days_off or ()):
        if sentence := unknown(day):
            yield Flaw(("days_off", index), "value", sentence)
    found = openings(hours)
    if not found:
        yield Flaw((), "never-open", "nothing is ever sent: these hours leave no time of the week", key=True)
        return
    # Hours that are open at midnight on Monday may have begun on Sunday; they occur again as a whole.
    shortest = min((length for start, length in found if start > MONDAY), default=hours.spread)
    if hours.spread > shortest:
        given, most = format_duration(hours.spread), format_duration(shortest)
        message = f"'spread' ({given}) is longer than it is open at a time: write {most} at most"
        yield Flaw(("spread",), "spread", message)
