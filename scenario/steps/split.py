"""The step `split`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeGuard

from pydantic import BeforeValidator, Field, PlainSerializer, SerializationInfo
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.model.parts import BRANCH, Template
from scenario.policies.draw import CONTACT, JOURNEY, UNITS, WHOLE, Lot, Seed, Share, hundredths, percent
from scenario.source.findings import Flaw, clip, listed, near
from scenario.steps.base import BaseStep, Compiler, Row, TemplateSource
from scenario.steps.host import Failed, Host, Next, Outcome, evaluate
from scenario.type_guards import Path, is_mapping, list_or_empty

if TYPE_CHECKING:
    from scenario.steps.base import BaseStep as Step

_FEWEST: Final = 2
_MOST: Final = 10
_MEANT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("contact_id", "contact.id", "id", "user", "user_id", "customer", "profile", "recipient"), CONTACT),
    **dict.fromkeys(("journey.id", "journey_id", "entry", "run", "random"), JOURNEY),
}
"""Other words that authors write for units, besides similar spellings."""
_OUTCOMES: Final = frozenset(
    (
        *("sent", "delivered", "batched", "skipped", "failed", "unknown", "held", "paused", "waiting", "waited"),
        *("event", "timeout", "exited", "left"),
    )
)
"""Outcomes of steps, which may not be names of branches."""


@dataclass(frozen=True, kw_only=True)
class SplitRow(Row):
    """A fork that divides contacts by shares."""

    settings = ("by",)

    seed: str
    shares: tuple[tuple[str, int], ...]
    """Of each branch, in hundredths of a per cent. A list, since its order counts and histories may sort keys."""
    branches: dict[str, str | None]
    by: str = CONTACT
    """The unit: ``contact``, ``journey``, or a template."""
    following: str | None = None
    """The next step if an operator skips this one."""

    @property
    @override
    def ways(self) -> Mapping[str, str | None]:
        return {name: self.branches[name] for name, _ in self.shares}

    @property
    @override
    def labels(self) -> Mapping[str, str]:
        return {name: f"{name}: {percent(share)} %" for name, share in self.shares}

    @property
    @override
    def skipped_to(self) -> str | None:
        return self.following

    @property
    @override
    def lot(self) -> Lot:
        return Lot(seed=self.seed, shares=dict(self.shares), by=self.by)

    @override
    def describe(self) -> str:
        return " ".join(("split", *(f"{name} {percent(share)}" for name, share in self.shares)))

    async def perform(self, host: Host) -> Outcome:
        """Choose the way that the unit draws. Only a template as the unit adds to the history.

        A unit that is blank or cannot be evaluated holds the journey. Otherwise all contacts without one would take the
        same way.
        """
        while True:
            if outcome := await host.decided():
                return outcome
            lot = self.on(host).lot
            unit, error = lot.unit(host.data()), ""
            if unit is None:
                answer = await evaluate(host, lot.by, "text")
                unit, error = str(answer.value or ""), answer.error
            if unit and not error:
                drawn = lot.draw(unit)
                host.record(drawn.name, note="; ".join(filter(None, (str(drawn), self.note(host)))))
                return Next(self.ways[drawn.name], drawn.name)
            reason = f"the value of 'by' cannot be determined: {error}" if error else "the value of 'by' is blank"
            host.hold(Failed(reason=reason))


BranchName = Annotated[str, Field(pattern=BRANCH, max_length=50)]


def _pairs(value: Any) -> Any:
    """Read shares as documents store them. An author's own form stays unchanged."""
    return dict(value) if _is_pairs(value) else value


def _is_pairs(value: Any) -> TypeGuard[list[tuple[str, Any]]]:
    pairs = [list_or_empty(pair) for pair in list_or_empty(value)]
    return bool(pairs) and all(len(pair) == 2 and isinstance(pair[0], str) for pair in pairs)


def _listed(shares: Mapping[str, int], info: SerializationInfo) -> Any:
    """Return shares as documents store them, or as an author writes them if there is a context.

    A database may sort keys, and the order counts in the digest.
    """
    written = {name: percent(share) for name, share in shares.items()}
    return written if info.context else [[*pair] for pair in written.items()]


Shares = Annotated[
    dict[BranchName, Share],
    Field(min_length=_FEWEST, max_length=_MOST),
    BeforeValidator(_pairs),
    PlainSerializer(_listed),
]


class Split(BaseStep):
    """Divides contacts between branches by chance, each always into the same."""

    row = SplitRow
    synonyms: ClassVar[tuple[str, ...]] = (
        *("ab", "ab_test", "abtest", "a/b", "a_b", "experiment", "experiment_paths", "variants"),
        *("random", "random_split", "randomize", "cohort", "random_cohort", "percentage"),
    )

    split: Shares = Field(
        description="Percentages by branch, 100 in total, with at most two decimals; 0 is allowed.",
        examples=[{"a": 50, "b": 45, "none": 5}],
    )
    by: Template = Field(
        default=CONTACT,
        description="The draw is per contact, journey, or output of a template such as {{ order.external_id }}.",
    )
    seed: Seed | None = Field(
        default=None,
        description="Equal seeds divide contacts equally, also in other scenarios; by default <scenario>/<step id>.",
    )
    steps: dict[BranchName, list[Step]] = Field(
        default_factory=dict[str, list["Step"]],
        alias="branches",
        description="Steps by branch; a branch without steps continues behind the split.",
    )

    @classmethod
    @override
    def lists(cls, keys: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
        branches = _mapping(keys, "branches")
        for name in dict.fromkeys((*_mapping(keys, "split"), *branches)):
            yield name, ("branches", name), branches.get(name)

    @classmethod
    @override
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        return tuple(name for name, share in _mapping(keys, "split").items() if share != 0) or None

    @classmethod
    @override
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[TemplateSource]:
        by = keys.get("by")
        if isinstance(by, str) and "{{" in by and not _mistaken(by):
            yield TemplateSource(("by",), "value", by)

    @classmethod
    @override
    def flaws(cls, keys: Mapping[str, Any]) -> Iterator[Flaw]:
        shares = _mapping(keys, "split")
        if _is_pairs(keys.get("split")):
            yield Flaw(("split",), "split-weights", "write each branch with its share: {a: 50, b: 50}")
        yield from _flaws_of_shares(shares)
        for name in _mapping(keys, "branches"):
            if shares and name not in shares:
                guess = near(name, shares)
                hint = f"did you mean '{guess}'?" if guess else f"'split' has {listed(shares, 'and')}"
                yield Flaw(("branches", name), "split-branch", f"'{clip(name)}' has no share: {hint}", key=True)
        by = keys.get("by")
        if isinstance(by, str) and by not in UNITS and (message := _mistaken(by)):
            yield Flaw(("by",), "value", message)

    @override
    def compile(self, compiler: Compiler) -> Row:
        return SplitRow(
            kind="split",
            seed=compiler.seed if self.seed is None else self.seed,
            shares=tuple(self.split.items()),
            branches={name: compiler.begin(self.steps.get(name, ())) for name in self.split},
            by=self.by,
            following=compiler.following,
        )


def _mapping(keys: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = _pairs(keys.get(key))
    return found if is_mapping(found) else {}


def _flaws_of_shares(shares: Mapping[str, Any]) -> Iterator[Flaw]:
    for name in shares:
        if name in _OUTCOMES:
            message = f"'{name}' says how a step ended: choose another name for the branch"
            yield Flaw(("split", name), "split-branch", message, key=True)
    try:
        total = sum(hundredths(share) for share in shares.values())
    except ValueError:  # the model says so
        return
    if not _FEWEST <= len(shares) <= _MOST or total == WHOLE:
        return
    said = f"{Decimal(total) / 100:f}"
    if total == 100:
        message = f"the shares come to {said}: write per cent, such as 50 rather than 0.5"
    else:
        message = f"the shares come to {said} per cent, and must come to 100"
    yield Flaw(("split",), "split-weights", message)


def _mistaken(by: str) -> str:
    """Return the mistake in a unit that is neither a known word nor a template with one output, or nothing."""
    if len(re.findall(r"\{\{", by)) == 1 and re.fullmatch(r"\s*\{\{.*\}\}\s*", by, re.DOTALL) and "{%" not in by:
        return ""
    if "{{" in by or "{%" in by:
        return "'by' is one output, such as {{ order.external_id }}: join several by the filter append"
    guess = _MEANT.get(by.lower()) or near(by, UNITS)
    written = f"{{{{ {by} }}}}" if re.fullmatch(r"\w+(\.\w+)+", by) else "contact, journey or {{ … }}"
    hint = f"did you mean '{guess}'?" if guess else f"write {written}"
    return f"'{clip(by)}' cannot be the 'by' of a split: {hint}"
