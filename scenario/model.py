"""The scenario file as pydantic models: what an author may write, and nothing else.

`scenario.source` reads YAML into the plain data that is validated here; `scenario.check` words what is wrong;
`scenario.compile` makes a plan of the result. The step kinds are in `scenario.steps`, single values in
`scenario.terms`; their names are known here too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema

from scenario.steps import (
    KINDS,
    NAMED,
    Email,
    Exit,
    File,
    If,
    Model,
    Retry,
    Sms,
    Step,
    Until,
    Wait,
    WaitFor,
    Webhook,
    is_given,
    kind_of,
)
from scenario.terms import Condition, EventName, Name, OnFailure, OnUnknown, Template, Weekday, Zone, read_span

__all__ = (
    "KINDS",
    "NAMED",
    "TRIGGERS",
    "Email",
    "EntryRules",
    "Exit",
    "ExitRule",
    "File",
    "If",
    "Model",
    "OnFailure",
    "OnUnknown",
    "Retry",
    "Scenario",
    "Sms",
    "Step",
    "Trigger",
    "Until",
    "Wait",
    "WaitFor",
    "Webhook",
    "Weekday",
    "is_given",
    "kind_of",
)

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
"""What may let a contact into a scenario."""


def _again(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('write never, when_finished, always or "after 30d"')  # noqa: TRY004 pydantic's way
    if value in ("never", "when_finished", "always"):
        return value
    word, _, rest = value.partition(" ")
    if word != "after":
        raise ValueError(f"'{value[:40]}' is none of never, when_finished, always or \"after 30d\"")
    if read_span(rest) <= timedelta(0):
        raise ValueError("'after' needs a duration longer than nothing")
    return value


class EntryRules(Model):
    """Who may come in, and how often."""

    key: Template | None = Field(default=None, description="one journey per contact and key")
    again: Annotated[
        str,
        BeforeValidator(_again),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["never", "when_finished", "always"]},
                    {"type": "string", "pattern": "^after ", "examples": ["after 30d"]},
                ]
            }
        ),
    ] = "when_finished"
    condition: Condition | None = Field(default=None, alias="if")


class ExitRule(Model):
    """An event that makes the contact leave at once, whatever the journey is doing."""

    event: EventName
    condition: Condition | None = Field(default=None, alias="if")


class Scenario(Model):
    """A scenario as its author wrote it."""

    scenario: Name
    description: str = ""
    trigger: Trigger
    entry: EntryRules = EntryRules()
    exit: list[ExitRule] = Field(default_factory=list[ExitRule])
    timezone: Zone = "UTC"
    steps: Annotated[list[Step], Field(min_length=1)]
