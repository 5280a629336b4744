"""The scenario file as pydantic models: exactly what an author may write.

A version is stored as a JSON document with all defaults written out. The outline lists all steps in one sequence, also
of a file with mistakes. `scenario.source` reads YAML, `scenario.check` words mistakes, `scenario.plan.compile` makes a
plan of the result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema

from scenario.errors import ScenarioError
from scenario.model.parts import (
    DURATION,
    Condition,
    EventName,
    Interval,
    Model,
    Name,
    Template,
    Zone,
    optional,
    read_span,
    satisfies,
)
from scenario.policies.consent import Subscription
from scenario.policies.draw import KeptOut
from scenario.policies.hours import QuietHours
from scenario.source.findings import listed, near
from scenario.steps.base import BaseStep
from scenario.steps.registry import KINDS, holds_steps, kind_of, kind_stored
from scenario.type_guards import Path, is_list, is_mapping, list_or_empty, with_value
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


# ---- all steps in one sequence

_WORD: Final = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", re.ASCII)
_LONGEST_WORD: Final = 40


class WrittenStep(NamedTuple):
    """One step."""

    step: Any
    """Its keys and values, or its model."""
    path: Path
    """Its path, ``("steps", 4, "then", 0)``."""
    kind: str | None
    keys: Mapping[str, Any]
    place: str
    """Its position for generated ids, ``5.then.1``."""

    @property
    def id(self) -> str | None:
        """Its id: `id`, else its name, else one from its position; None if unknown."""
        if self.kind is None:
            return None
        named = KINDS[self.kind].is_message
        for name in (self.keys.get("id"), self.keys.get(self.kind) if named else None):
            if name is not None:
                return name if isinstance(name, str) else None
        return None if named else f"{self.kind}-{self.place}"

    @property
    def model(self) -> type[BaseStep]:
        """The model of its kind, or the base model."""
        return BaseStep if self.kind is None else KINDS[self.kind]


def outline(data: Any) -> Iterator[WrittenStep]:
    """Yield all steps of a scenario, written or as models, in the order of the file, whatever is wrong with it."""
    if is_mapping(data):
        yield from _steps_in(data.get("steps"), ("steps",), "")


def _steps_in(items: Any, path: Path, place: str) -> Iterator[WrittenStep]:
    for index, item in enumerate(list_or_empty(items)):
        keys: Mapping[str, Any]
        if isinstance(item, BaseStep):
            keys = item.keys()
        elif is_mapping(item):
            keys = item
        else:
            continue
        step = WrittenStep(item, (*path, index), kind_of(item), keys, f"{place}{index + 1}")
        yield step
        for way, inner, branch in step.model.lists(keys):
            yield from _steps_in(branch, (*step.path, *inner), f"{step.place}.{spelled(way)}.")


def spelled(way: str) -> str:
    """Return the unique spelling of a branch in step ids.

    A short word does not change, and `.` becomes `--`. Anything else becomes its letters and digits and a digest.
    """
    if _WORD.fullmatch(way) and len(way) <= _LONGEST_WORD:
        return way.replace(".", "--")
    plain = "-".join(re.findall(r"[A-Za-z0-9]+", way))[:_LONGEST_WORD]
    return f"{plain}__{hashlib.sha256(way.encode()).hexdigest()[:8]}"


def document(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as a JSON document with all defaults, so that later defaults change nothing.

    A step's kind is its first key, as `load` requires.
    """
    return _kinds_first(scenario.model_dump(mode="json", by_alias=True))


def concise(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without its defaults, as an author writes it. Raises as `load`."""
    scenario = load(stored)
    given: dict[str, Any] = {"mode": "json", "by_alias": True, "context": "file"}
    short = _kinds_first(scenario.model_dump(**given, exclude_defaults=True))
    # A default matters if it takes precedence over a destination's setting.
    is_same = document(load(short)) == document(scenario)
    return short if is_same else _kinds_first(scenario.model_dump(**given, exclude_none=True))


def load(stored: Mapping[str, Any]) -> Scenario:
    """Read a document, its keys in any order. Raise ScenarioError if it is none, or one of a newer version."""
    try:
        return Scenario.model_validate(_kinds_first(stored), by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ScenarioError(f"this is not a scenario that this version can read: {first['msg']} at '{place}'") from None


def _kinds_first(stored: Mapping[str, Any]) -> dict[str, Any]:
    steps = stored.get("steps")
    if not is_list(steps):
        return {**stored}
    return {**stored, "steps": [_kind_first(step) for step in steps]}


def _kind_first(step: Any) -> Any:
    """Return a step with its kind as the first key. 'if' is a kind, and also a key of 'wait_for'."""
    if not is_mapping(step):
        return step
    kind = kind_stored(step)
    if kind is None:
        return {**step}
    ordered: Any = {kind: step[kind], **step}
    for _, path, steps in KINDS[kind].lists(step):
        if is_list(steps):
            ordered = with_value(ordered, path, [_kind_first(inner) for inner in steps])
    return ordered


def digest(stored: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document's canonical JSON (sorted keys, no blanks, UTF-8), in hexadecimal."""
    canonical = json.dumps(stored, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


_LIKE_NUMBERS: Final = frozenset("0123456789+-.")
_ODD_BREAKS: Final = frozenset("\x85\u2028\u2029")  # line breaks for PyYAML, but not for YAML 1.2


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and quotes those that YAML 1.2 might take for numbers."""


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = "'" if text[:1] in _LIKE_NUMBERS else None
    if not _ODD_BREAKS.isdisjoint(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(document: Mapping[str, Any]) -> str:
    """Return a document as YAML that `scenario.source.yaml` reads back as the same values."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
