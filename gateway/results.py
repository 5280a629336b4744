"""What came of a scenario's goal: by the branches of each split, and against those who got nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from activities.content import Content, UnknownVersion
from gateway.errors import BadInput
from gateway.service.scenarios import require
from gateway.significance import interval, p_of_rates, p_of_shares
from runtime.store import GoalCount, Store
from scenario.model.goal import Goal
from scenario.plan.plan import load_plan
from scenario.policies.draw import CONTROL, WHOLE, WITHHELD, Lot

EVERYBODY: Final = "all"
"""The arm of those who went through a scenario, where it has no split."""
MISMATCH: Final = 0.001
"""Shares that chance misses by so much less often than this are out of ratio: contacts are lost on one side, or
counted twice. The bound is GrowthBook's, too ("Experiment Results", sample ratio mismatch)."""


@dataclass(frozen=True)
class Arm:
    """Those who were treated alike.

    Attributes:
        name: The branch, `EVERYBODY`, ``control`` or ``holdout``.
        entered: How many came in.
        reached: How many of them reached the goal.
        open: How many have not, and still have time.
        value: What the goals were worth together.
        uplift: How much more often than the baseline: 0.1 is ten per cent more. None of the baseline itself, and where
            that never reached it.
        p: How often chance alone would part them so far; None also where they are too few to tell.
        is_too_small: Whether they are.
    """

    name: str
    entered: int = 0
    reached: int = 0
    open: int = 0
    value: Decimal = Decimal(0)
    uplift: float | None = None
    p: float | None = None
    is_too_small: bool = False

    @property
    def rate(self) -> float | None:
        """How many of those who came in reached the goal, of 1."""
        return self.reached / self.entered if self.entered else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true rate is, in 95 of 100 cases."""
        return interval(self.reached, self.entered)

    @property
    def each(self) -> Decimal | None:
        """What the goals were worth for each who came in."""
        return self.value / self.entered if self.entered else None

    @classmethod
    def of(cls, name: str, tallies: Iterable[GoalCount]) -> Arm:
        """Counts tallies together."""
        some = list(tallies)
        return cls(
            name,
            sum(one.entered for one in some),
            sum(one.reached for one in some),
            sum(one.open for one in some),
            sum((one.value for one in some), Decimal(0)),
        )


@dataclass(frozen=True)
class Comparison:
    """The branches of a split, or all who went through, beside those who got nothing.

    Attributes:
        split: The split's id; None for all who went through.
        arms: What is compared.
        baseline: The name of the arm that the others are compared with; None where there is but one.
        mismatch: How often chance alone would miss the shares by so much, where that is below `MISMATCH`.
        undrawn: How many came in without a branch of this split that was known then.
    """

    split: str | None
    arms: list[Arm]
    baseline: str | None
    mismatch: float | None = None
    undrawn: int = 0


@dataclass(frozen=True)
class Results:
    """What came of a scenario's goal.

    Attributes:
        scenario: Its name.
        versions: The versions that let in those who are counted, the oldest first.
        goal: The goal of the newest of these; None where none has one.
        is_same_goal: Whether the others have the same.
        goalless: How many came in by versions without a goal, where others have one: they are not counted.
        entered: How many came in.
        contacts: How many contacts they are.
        reached: How many reached the goal.
        open: How many have not reached the goal, and still have time.
        control_mismatch: As `Comparison.mismatch`, of the control group's share.
        comparisons: By split, in the order of the newest version; without splits, one of all.
    """

    scenario: str
    versions: list[int]
    goal: Goal | None
    is_same_goal: bool
    goalless: int
    entered: int
    contacts: int
    reached: int
    open: int
    control_mismatch: float | None
    comparisons: list[Comparison]


@dataclass(frozen=True)
class _Version:
    """What a version measures by."""

    goal: Goal | None
    lots: Mapping[str, Lot]
    control: int
    tallies: list[GoalCount] = field(default_factory=list[GoalCount])


async def results(
    store: Store, scenario: str, now: datetime, *, version: int | None = None, since: datetime | None = None
) -> Results:
    """Counts who reached a scenario's goal.

    Args:
        store: Has the entries and the versions.
        scenario: The scenario's name.
        now: The time.
        version: Only those whom this version let in.
        since: Only those who were let in then or later.

    Raises:
        BadInput: There is no scenario, or no version, of that name.
    """
    newest = await require(store, scenario)
    found = await store.tally(scenario, now, version=version, since=since)
    content = Content(store)
    versions: dict[int, _Version] = {}
    for number in sorted({tally.version for tally in found}.union(() if found else [version or newest])):
        try:
            opened = await content.open(scenario, number)
        except UnknownVersion:
            raise BadInput(f"{scenario} has no version {number}: the newest is {newest}") from None
        lots = load_plan(opened.plan).lots
        tallies = [tally for tally in found if tally.version == number]
        versions[number] = _Version(opened.scenario.goal, lots, opened.scenario.control or 0, tallies)
    measured = {number: one for number, one in versions.items() if one.goal is not None} or versions
    goals = [one.goal for one in measured.values()]
    counted = [tally for one in measured.values() for tally in one.tallies]
    return Results(
        scenario,
        list(measured),
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
        return [
            _compared(
                None, {EVERYBODY: [tally for one in versions for tally in one.tallies if not tally.group]}, versions
            )
        ]
    return [_by_split(name, [one for one in versions if name in one.lots]) for name in names]


def _by_split(split: str, versions: Sequence[_Version]) -> Comparison:
    """Compares the branches of a split, over the versions that have it."""
    branches = {name: list[GoalCount]() for one in reversed(versions) for name in one.lots[split].shares}
    undrawn = 0
    for tally in (tally for one in versions for tally in one.tallies if not tally.group):
        if (drawn := tally.branches.get(split)) is None:
            undrawn += tally.entered
        else:
            branches.setdefault(drawn, []).append(tally)
    # Entries whose unit is a template's may share it, and chance is not what one can tell of them.
    strata = [_strata(split, one) for one in versions if "{" not in one.lots[split].by]
    return replace(_compared(split, branches, versions), mismatch=_seldom(strata), undrawn=undrawn)


def _compared(split: str | None, groups: Mapping[str, Sequence[GoalCount]], versions: Sequence[_Version]) -> Comparison:
    """Compares groups with the control group, else with the first branch, else with the holdout."""
    arms = [Arm.of(name, tallies) for name, tallies in groups.items()]
    apart = [
        Arm.of(name, (tally for one in versions for tally in one.tallies if tally.group == name)) for name in WITHHELD
    ]
    arms += [arm for arm in apart if arm.entered]
    control = next((arm for arm in apart if arm.name == CONTROL and arm.entered), None)
    base = control or (arms[0] if split is not None else arms[-1])
    if len(arms) == 1:
        return Comparison(split, arms, None)
    return Comparison(split, [arm if arm is base else _against(arm, base) for arm in arms], base.name)


def _against(arm: Arm, base: Arm) -> Arm:
    p = p_of_rates((arm.reached, arm.entered), (base.reached, base.entered))
    uplift = arm.rate / base.rate - 1 if arm.rate is not None and base.rate else None
    return replace(arm, uplift=uplift, p=p, is_too_small=p is None)


def _strata(split: str, version: _Version) -> list[tuple[int, float]]:
    """How many contacts drew each branch in a version, at their first entry, and its share."""
    lot = version.lots[split]
    first = [tally for tally in version.tallies if not tally.group and split in tally.branches]
    names = dict.fromkeys((*lot.shares, *(tally.branches[split] for tally in first)))
    return [
        (sum(tally.contacts for tally in first if tally.branches[split] == name), lot.shares.get(name, 0) / WHOLE)
        for name in names
    ]


def _strata_of_control(version: _Version) -> list[tuple[int, float]]:
    """The same of a version's control group. The holdout is drawn before it."""
    kept = sum(tally.contacts for tally in version.tallies if tally.group == CONTROL)
    others = sum(tally.contacts for tally in version.tallies if not tally.group)
    return [(kept, version.control / WHOLE), (others, 1 - version.control / WHOLE)]


def _seldom(strata: Iterable[Sequence[tuple[int, float]]]) -> float | None:
    p = p_of_shares(list(strata))
    return p if p is not None and p < MISMATCH else None


def as_json(found: Results) -> dict[str, Any]:
    """Results as plain data; amounts of money as text, exact to the last digit."""
    goal = found.goal
    return {
        **{name: value for name, value in vars(found).items() if name != "comparisons"},
        "goal": goal and goal.model_dump(mode="json", by_alias=True),
        "comparisons": [{**vars(one), "arms": [_arm_as_json(arm) for arm in one.arms]} for one in found.comparisons],
    }


def _arm_as_json(arm: Arm) -> dict[str, Any]:
    each = arm.each
    return {
        **asdict(arm),
        "rate": arm.rate,
        "interval": list(arm.interval),
        "value": _exact(arm.value),
        "value_each": None if each is None else _exact(round(each, 6)),
    }


def _exact(amount: Decimal) -> str:
    return format(amount.normalize() + 0, "f")
