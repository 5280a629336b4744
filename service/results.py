"""Results of a scenario's goal: by the branches of each split, and compared with contacts who got nothing.

A package for statistics has fifty megabytes. The functions here are a few lines each, tested with published examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import erfc, exp, lgamma, log, sqrt
from statistics import NormalDist
from typing import Annotated, Final

from pydantic import PlainSerializer, WithJsonSchema, computed_field

from activities.content import Content
from runtime.store import GoalCount, Store
from scenario.model.scenario import Goal
from scenario.policies.draw import CONTROL, WHOLE, WITHHELD, Lot
from scenario.time import format_duration
from service.caller import TERMINAL
from service.scenarios import load_version, require_for
from service.view import View

Z: Final = NormalDist().inv_cdf(0.975)  # for 95 % confidence
FEWEST: Final = 5
"""Expected counts below this are too few for the normal and the χ² distribution (Cochran, "Some methods for
strengthening the common χ² tests", Biometrics 10, 1954)."""


def interval(reached: int, entered: int) -> tuple[float, float]:
    """Return Wilson's score interval of a rate, 95 %, without a correction for continuity.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927; method 3 of
    R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998.
    """
    if not entered:
        return 0.0, 1.0
    middle = reached + Z * Z / 2
    half = Z * sqrt(reached * (entered - reached) / entered + Z * Z / 4)
    whole = entered + Z * Z
    # At the ends, the formula gives 0 and 1 except for rounding.
    low = 0.0 if reached == 0 else (middle - half) / whole
    high = 1.0 if reached == entered else (middle + half) / whole
    return low, high


def p_of_rates(one: tuple[int, int], other: tuple[int, int]) -> float | None:
    """Return the p-value of the difference of two rates (reached, of all): the two-sided z test with the pooled rate.

    It equals Pearson's χ² test of the 2×2 table without a correction for continuity, as R's
    ``prop.test(…, correct=FALSE)``. None if fewer than five are expected in a cell of the table.
    """
    (a, n), (b, m) = one, other
    if not n or not m:
        return None
    pooled = (a + b) / (n + m)
    if min(n, m) * min(pooled, 1 - pooled) < FEWEST:
        return None
    z = (a / n - b / m) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return erfc(abs(z) / sqrt(2))


def p_of_shares(strata: Sequence[Sequence[tuple[int, float]]]) -> float | None:
    """Return the p-value of the deviation from a draw's shares, by Pearson's χ² test, or None if counts are too small.

    Args:
        strata: For each period with the same shares: how many drew each branch, and its share of 1. The sums of χ² and
            of degrees of freedom over independent strata are χ² again.
    """
    total, freedom = 0.0, 0
    for drawn in strata:
        everybody = sum(count for count, _ in drawn)
        cells = [(count, everybody * share) for count, share in drawn if count or share]
        if any(not expected for _, expected in cells):
            return 0.0  # no draw has this result
        if len(cells) < 2 or any(expected < FEWEST for _, expected in cells):
            continue
        total += sum((count - expected) ** 2 / expected for count, expected in cells)
        freedom += len(cells) - 1
    return chi_square_tail(total, freedom) if freedom else None


def chi_square_tail(value: float, freedom: int) -> float:
    """Return the probability that χ² with these degrees of freedom exceeds a value.

    Finite sums: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 (odd) and 26.4.5 (even).
    """
    if not value:
        return 1.0
    half, odd = value / 2, freedom % 2
    powers = (number + odd / 2 for number in range(freedom // 2))
    # With many degrees of freedom, powers and the gamma function overflow without logarithms.
    tail = sum(exp(power * log(half) - half - lgamma(power + 1)) for power in powers)
    return tail + erfc(sqrt(half)) if odd else tail


EVERYBODY: Final = "all"  # the arm of all journeys, if a scenario has no split
SIGNIFICANT: Final = 0.05
"""Differences with a lower probability are called better or worse. It is divided by the number of comparisons
(Bonferroni)."""
MISMATCH: Final = 0.001
"""Shares with a lower probability are out of ratio: contacts of a branch are lost, or counted twice. GrowthBook uses
the same bound ("Experiment Results", sample ratio mismatch)."""


def _exact(amount: Decimal) -> str:
    return format(amount.normalize() + 0, "f")


class Arm(View):
    """Journeys that were treated alike."""

    name: str
    """Branch, `all`, `control` or `holdout`."""
    entered: int = 0
    """Journeys admitted."""
    reached: int = 0
    """Journeys that reached the goal."""
    open: int = 0
    """Journeys that have not reached the goal and still have time."""
    value: Annotated[Decimal, PlainSerializer(_exact, return_type=str)] = Decimal(0)
    """Total value of the goals, as an exact decimal."""
    uplift: float | None = None
    """Rate relative to the baseline's: 0.1 is ten per cent more. Null for the baseline, and if its rate is 0."""
    p: float | None = None
    """Probability of at least this difference by chance alone; null also if the counts are too small."""
    is_too_small: bool = False
    """True if the counts are too small to compare."""
    verdict: str | None = None
    """The comparison with the baseline, in words; null for the baseline itself."""

    @computed_field
    @property
    def rate(self) -> float | None:
        """Share of journeys that reached the goal."""
        return self.reached / self.entered if self.entered else None

    @computed_field
    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the rate."""
        return interval(self.reached, self.entered)

    @property
    def each(self) -> Decimal | None:
        """Value per journey admitted."""
        return self.value / self.entered if self.entered else None

    @computed_field
    @property
    def value_each(self) -> str | None:
        """Value per journey admitted, rounded to six digits."""
        return None if self.each is None else _exact(round(self.each, 6))

    @classmethod
    def of(cls, name: str, tallies: Iterable[GoalCount]) -> Arm:
        some = list(tallies)
        return cls(
            name=name,
            entered=sum(one.entered for one in some),
            reached=sum(one.reached for one in some),
            open=sum(one.open for one in some),
            value=sum((one.value for one in some), Decimal(0)),
        )


class Comparison(View):
    """The branches of a split, or all journeys, beside the control group and the holdout."""

    split: str | None
    """Step id of the split; null for all journeys."""
    arms: list[Arm]
    """Arms that are compared."""
    baseline: str | None
    """Name of the arm that the others are compared with; null if there is only one."""
    mismatch: float | None = None
    """Probability of shares this far from those configured, if it is below 0.001."""
    undrawn: int = 0
    """Journeys without a branch of this split."""


class ResultsView(View):
    """Results of a scenario's goal."""

    scenario: str
    """Name of the scenario."""
    versions: list[int]
    """Versions that admitted the journeys, the oldest first."""
    goal: Annotated[
        Goal | None,
        PlainSerializer(lambda goal: goal and goal.model_dump(mode="json", by_alias=True)),
        WithJsonSchema({"anyOf": [{"additionalProperties": True, "type": "object"}, {"type": "null"}]}),
    ]
    """Goal of the newest of these versions; null if none has a goal."""
    is_same_goal: bool
    """True if all versions have the same goal."""
    goalless: int
    """Journeys admitted by versions without a goal; they are not counted."""
    entered: int
    """Journeys admitted."""
    contacts: int
    """Number of contacts."""
    reached: int
    """Journeys that reached the goal."""
    open: int
    """Journeys that have not reached the goal and still have time."""
    control_mismatch: float | None
    """As `mismatch` of a comparison, for the share of the control group."""
    comparisons: list[Comparison]
    """Comparisons by split, in the order of the newest version; without splits, one of all journeys."""


@dataclass(frozen=True)
class _Version:
    """The goal and the draws of a version, and its counts."""

    goal: Goal | None
    lots: Mapping[str, Lot]
    control: int
    tallies: list[GoalCount] = field(default_factory=list[GoalCount])


async def results(
    store: Store, scenario: str, now: datetime, *, version: int | None = None, since: datetime | None = None
) -> ResultsView:
    """Count the journeys that reached a scenario's goal. Raise BadInput if there is no such scenario or version."""
    newest = await require_for(store, TERMINAL, scenario)
    found = await store.goal_counts(scenario, now, version=version, since=since)
    content = Content(store)
    versions: dict[int, _Version] = {}
    for number in sorted({tally.version for tally in found}.union(() if found else [version or newest])):
        opened = await load_version(content, scenario, number, newest)
        tallies = [tally for tally in found if tally.version == number]
        versions[number] = _Version(opened.scenario.goal, opened.table.lots, opened.scenario.control or 0, tallies)
    measured = {number: one for number, one in versions.items() if one.goal is not None} or versions
    goals = [one.goal for one in measured.values()]
    counted = [tally for one in measured.values() for tally in one.tallies]
    return ResultsView(
        scenario=scenario,
        versions=list(measured),
        goal=goals[-1],
        is_same_goal=all(goal == goals[-1] for goal in goals),
        goalless=sum(tally.entered for tally in found) - sum(tally.entered for tally in counted),
        entered=sum(tally.entered for tally in counted),
        contacts=sum(tally.contacts for tally in counted),
        reached=sum(tally.reached for tally in counted),
        open=sum(tally.open for tally in counted),
        control_mismatch=_seldom(_strata_of_control(one) for one in measured.values() if one.control),
        comparisons=_comparisons(list(measured.values())),
    )


def _comparisons(versions: Sequence[_Version]) -> list[Comparison]:
    names = dict.fromkeys(name for one in reversed(versions) for name in one.lots)
    if not names:
        everybody = [tally for one in versions for tally in one.tallies if not tally.group]
        return [_compared(None, {EVERYBODY: everybody}, versions)]
    return [_by_split(name, [one for one in versions if name in one.lots]) for name in names]


def _by_split(split: str, versions: Sequence[_Version]) -> Comparison:
    """Compare the branches of a split, over the versions that have it."""
    branches = {name: list[GoalCount]() for one in reversed(versions) for name in one.lots[split].shares}
    undrawn = 0
    for tally in (tally for one in versions for tally in one.tallies if not tally.group):
        if (drawn := tally.branches.get(split)) is None:
            undrawn += tally.entered
        else:
            branches.setdefault(drawn, []).append(tally)
    # Entries may share a unit that a template makes. Their draws are not independent.
    strata = [_strata(split, one) for one in versions if "{" not in one.lots[split].by]
    return _compared(split, branches, versions).model_copy(update={"mismatch": _seldom(strata), "undrawn": undrawn})


def _compared(split: str | None, groups: Mapping[str, Sequence[GoalCount]], versions: Sequence[_Version]) -> Comparison:
    """Compare groups with the control group, or else the first branch, or else the holdout."""
    arms = [Arm.of(name, tallies) for name, tallies in groups.items()]
    apart = [
        Arm.of(name, (tally for one in versions for tally in one.tallies if tally.group == name)) for name in WITHHELD
    ]
    arms += [arm for arm in apart if arm.entered]
    control = next((arm for arm in apart if arm.name == CONTROL and arm.entered), None)
    base = control or (arms[0] if split is not None else arms[-1])
    if len(arms) == 1:
        return Comparison(split=split, arms=arms, baseline=None)
    against = [arm if arm is base else _against(arm, base, SIGNIFICANT / (len(arms) - 1)) for arm in arms]
    return Comparison(split=split, arms=against, baseline=base.name)


def _against(arm: Arm, base: Arm, significant: float) -> Arm:
    p = p_of_rates((arm.reached, arm.entered), (base.reached, base.entered))
    uplift = arm.rate / base.rate - 1 if arm.rate is not None and base.rate else None
    compared = {"uplift": uplift, "p": p, "is_too_small": p is None, "verdict": _verdict(arm, base, p, significant)}
    return arm.model_copy(update=compared)


def _verdict(arm: Arm, base: Arm, p: float | None, significant: float) -> str:
    if p is None or arm.rate is None or base.rate is None:
        return "too few to tell"
    rates = f"{100 * arm.rate:.2f} % against {100 * base.rate:.2f} %"
    if p >= significant:
        return f"no clear difference from {base.name}: {rates}"
    return f"{'better' if arm.rate > base.rate else 'worse'} than {base.name}: {rates}"


def _strata(split: str, version: _Version) -> list[tuple[int, float]]:
    """Return how many contacts drew each branch in a version, at their first entry, and its share."""
    lot = version.lots[split]
    first = [tally for tally in version.tallies if not tally.group and split in tally.branches]
    names = dict.fromkeys((*lot.shares, *(tally.branches[split] for tally in first)))
    return [
        (sum(tally.contacts for tally in first if tally.branches[split] == name), lot.shares.get(name, 0) / WHOLE)
        for name in names
    ]


def _strata_of_control(version: _Version) -> list[tuple[int, float]]:
    """Return the same for a version's control group. The holdout is drawn before it."""
    kept = sum(tally.contacts for tally in version.tallies if tally.group == CONTROL)
    others = sum(tally.contacts for tally in version.tallies if not tally.group)
    return [(kept, version.control / WHOLE), (others, 1 - version.control / WHOLE)]


def _seldom(strata: Iterable[Sequence[tuple[int, float]]]) -> float | None:
    p = p_of_shares(list(strata))
    return p if p is not None and p < MISMATCH else None


def headline(found: ResultsView) -> Iterator[str]:
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
