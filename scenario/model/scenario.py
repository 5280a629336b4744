"""The scenario file as pydantic models: exactly what an author may write.

`scenario.source` reads YAML, `scenario.check` words mistakes, `scenario.plan.compile` makes a plan of the result.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from scenario.model.parts import Model, optional
from scenario.model.scalars import DURATION, Condition, EventName, Interval, Name, Template, Zone, read_span, satisfies
from scenario.policies.consent import Subscription
from scenario.policies.draw import KeptOut
from scenario.policies.hours import QuietHours
from scenario.source.findings import listed, near
from scenario.steps.registry import KINDS, holds_steps
from scenario.words import Purpose

if TYPE_CHECKING:
    from scenario.steps.base import BaseStep as Step

LONGEST: Final = timedelta(days=90)
"""Maximum period of a goal. Later events have other causes, and the entry has to be kept that long."""
_LARGEST: Final = Decimal(10**12)
_PLACES: Final = Decimal("0.000001")
_OUTPUT: Final = re.compile(r"\s*\{\{[^{}]*\}\}\s*")


def number_of(value: object) -> Decimal | None:
    """Return a number below 10^12, also from a text, or None. Six decimals are kept: no currency has more."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number.copy_abs() >= _LARGEST:
        return None
    return number.quantize(_PLACES).normalize() + 0


def is_worth(text: str) -> bool:
    """Return True if a text can give a number: it is a number, or exactly one output."""
    return _OUTPUT.fullmatch(text) is not None or ("{" not in text and number_of(text) is not None)


def _worth(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_Within = Annotated[Interval, satisfies(lambda value: value <= LONGEST, f"a goal counts for {LONGEST.days}d at most")]


class Goal(Model):
    """The event that a scenario aims at. It is counted once per entry, during the journey or after it."""

    event: EventName
    condition: Condition | None = Field(
        default=None, alias="if", description="Condition for the event; it may use `event` and `journey` only."
    )
    within: _Within = Field(description="Time after the entry in which the goal counts, at most 90d.")
    value: (
        Annotated[
            Template,
            BeforeValidator(_worth),
            WithJsonSchema({"type": ["string", "number"], "minLength": 1, "examples": ["{{ event.total }}"]}),
        ]
        | None
    ) = Field(default=None, description="Value of a goal: a number, or one output that gives it.")


Trigger = Literal[
    "order",
    "ticket",
    "abandoned_cart",
    "reward",
    "contact_created",
    "contact_updated",
    "subscription",
    "unsubscription",
    "tier_change",
    "loyalty_subscription",
    "birthday",
    "segment",
    "event",
]
TRIGGERS: Final[tuple[str, ...]] = get_args(Trigger)


def _again(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('write never, when_finished, always or "after 30d"')  # noqa: TRY004 pydantic's way
    if value in ("never", "when_finished", "always"):
        return value
    word, _, rest = value.partition(" ")
    if word != "after":
        raise ValueError(f"'{value[:40]}' is not one of never, when_finished, always or \"after 30d\"")
    if read_span(rest) <= timedelta(0):
        raise ValueError("'after' needs a duration greater than zero")
    return value


Again = Annotated[
    str,
    BeforeValidator(_again),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["never", "when_finished", "always"]},
                {"type": "string", "pattern": f"^after {DURATION}$", "examples": ["after 30d"]},
            ]
        }
    ),
]
"""Whether the same contact and key may enter again."""


class EntryRules(Model):
    """The rules of admission."""

    key: Template | None = Field(
        default=None, description="One journey per contact and key; without it, one per contact."
    )
    again: Again = Field(default="when_finished", description="When the same contact and key may enter again.")
    condition: Condition | None = Field(default=None, alias="if", description="Condition for admission.")


class ExitRule(Model):
    """An event that ends the journey immediately."""

    event: EventName
    condition: Condition | None = Field(default=None, alias="if", description="Condition for `event`.")


def _by_channel(subscription: Subscription) -> Subscription:
    channels = [kind for kind, model in KINDS.items() if model.sends]
    for name in subscription:
        if name not in channels:
            guess = near(name, channels)
            hint = f"did you mean '{guess}'?" if guess else f"write {listed(channels)}"
            raise ValueError(f"'{name[:40]}' is not a channel: {hint}")
    return subscription


class Scenario(Model):
    """A scenario as its author wrote it."""

    scenario: Name
    description: str = Field(default="", description="Its purpose, in a sentence.")
    trigger: Trigger = Field(description="Kind of event that starts a journey.")
    entry: EntryRules = Field(default=EntryRules(), description="The rules of admission.")
    exit: list[ExitRule] = Field(default_factory=list[ExitRule], description="Events that end the journey immediately.")
    purpose: Purpose = Field(
        default="marketing",
        exclude_if=lambda purpose: purpose == "marketing",
        description="Transactional: no quiet hours, caps or holdout; it does not count towards caps.",
    )
    subscription: Annotated[Subscription, Field(min_length=1), AfterValidator(_by_channel)] | None = optional(
        "List that a contact must be on to get marketing, by channel."
    )
    control: KeptOut | None = optional("Percentage of admitted contacts who get nothing.")
    goal: Goal | None = optional("Event that shows success; `scenario results` counts it.")
    timezone: Zone = Field(default="UTC", description="Zone of contacts without a zone.")
    quiet_hours: QuietHours | None = optional("Hours and days in the contact's zone without sending.")
    steps: list[Step] = Field(min_length=1, description="Steps, in this order.")


holds_steps(Scenario)
