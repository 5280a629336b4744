"""The scenario file as pydantic models: exactly what an author may write.

`scenario.source` reads YAML, `scenario.check` words mistakes, `scenario.plan.compile` makes a plan of the result.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from scenario.model.goal import Goal
from scenario.model.parts import Model, is_none
from scenario.model.scalars import DURATION, Condition, EventName, Name, Template, Zone, read_span
from scenario.policies.consent import Subscription
from scenario.policies.draw import KeptOut
from scenario.policies.hours import QuietHours
from scenario.source.findings import listed, near
from scenario.steps.registry import KINDS, holds_steps
from scenario.words import Purpose

if TYPE_CHECKING:
    from scenario.steps.base import BaseStep as Step

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
"""All triggers."""


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
    subscription: Annotated[Subscription, Field(min_length=1), AfterValidator(_by_channel)] | None = Field(
        default=None,
        exclude_if=is_none,
        description="List that a contact must be on to get marketing, by channel.",
    )
    control: KeptOut | None = Field(
        default=None,
        exclude_if=is_none,
        description="Percentage of admitted contacts who get nothing.",
    )
    goal: Goal | None = Field(
        default=None,
        exclude_if=is_none,
        description="Event that shows success; `scenario results` counts it.",
    )
    timezone: Zone = Field(default="UTC", description="Zone of contacts without a zone.")
    quiet_hours: QuietHours | None = Field(
        default=None,
        exclude_if=is_none,
        description="Hours and days in the contact's zone without sending.",
    )
    steps: list[Step] = Field(min_length=1, description="Steps, in this order.")


holds_steps(Scenario)
