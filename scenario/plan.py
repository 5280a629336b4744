"""A scenario compiled for running: a flat table of steps, each naming its successors.

The plan is what a journey carries: kinds, successors, waits, conditions as text, retry policies and which fields each
step's templates name. Template bodies stay in the store. A journey's history holds its plan once, so its JSON leaves
out everything that has its default value: **the defaults below are part of the format and never change**.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from scenario import model

_CONFIG = ConfigDict(extra="ignore")


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Retry:
    """A retry policy in Temporal's words; intervals and deadline in seconds. See `scenario.model.Retry`."""

    initial: float = 5.0
    coefficient: float = 3.0
    maximum: float = 21_600.0
    deadline: float = 259_200.0
    attempts: int = 0


RETRY_WORDS: Final[Mapping[str, str]] = {
    "initial_interval": "initial",
    "backoff_coefficient": "coefficient",
    "maximum_interval": "maximum",
    "deadline": "deadline",
    "maximum_attempts": "attempts",
}
"""The fields of `Retry`, by the words of scenarios, of `destinations.yaml` and of operators."""


class _Row:
    """What the rows of all step kinds have beside their fields."""

    @property
    def successors(self) -> tuple[str | None, ...]:
        """Where the journey may go from here, None being the end; nothing where it ends."""
        return ()

    @property
    def skipped_to(self) -> str | None:
        """Where it goes when an operator skips the step: a fork is left by its `else`."""
        return self.successors[-1] if self.successors else None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Send(_Row):
    """A delivery.

    Attributes:
        to: The host or the destination that a webhook goes to.
        destination: Whether `to` names a destination, rather than a host.
        fields: The data that its templates name.
        items: Of those that may be lists, what the templates read of each item, where that is known field by field:
            `{"order.products": ("name", "options[].label")}`. Who does not know this hands over all of each item.
        own: Which of the retry policy's values, and whether `timeout`, the scenario itself sets: what it does not, a
            destination may.
        save: The name under which the response is kept, if it is.
    """

    kind: Literal["email", "sms", "webhook"]
    next: str | None = None
    to: str = ""
    fields: tuple[str, ...] = ()
    items: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    retry: Retry = Retry()
    timeout: float = 15.0
    on_failure: model.OnFailure = "hold"
    on_unknown: model.OnUnknown = "retry"
    destination: bool = False
    own: tuple[str, ...] = ()
    save: str | None = None

    @property
    def successors(self) -> tuple[str | None, ...]:
        """See `_Row`."""
        return (self.next,)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Wait(_Row):
    """A wait: for `seconds`, until the local time `clock` on one of `days`, or until `date` (a template) plus `offset`.

    Attributes:
        offset: Seconds; whole days of it are days of the calendar, so that the local time of day stays.
    """

    kind: Literal["wait"]
    next: str | None = None
    seconds: float | None = None
    clock: str | None = None
    days: tuple[model.Weekday, ...] = ()
    date: str | None = None
    offset: float = 0.0
    on_failure: model.OnFailure = "hold"

    @property
    def successors(self) -> tuple[str | None, ...]:
        """See `_Row`."""
        return (self.next,)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class WaitFor(_Row):
    """A wait for an event, at most `seconds` long (None: for ever)."""

    kind: Literal["wait_for"]
    event: str
    condition: str | None = None
    seconds: float | None = None
    since: Literal["entry", "now"] = "entry"
    then: str | None = None
    otherwise: str | None = None

    @property
    def successors(self) -> tuple[str | None, ...]:
        """See `_Row`."""
        return (self.then, self.otherwise)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class If(_Row):
    """A fork in the road."""

    kind: Literal["if"]
    condition: str
    then: str | None = None
    otherwise: str | None = None

    @property
    def successors(self) -> tuple[str | None, ...]:
        """See `_Row`."""
        return (self.then, self.otherwise)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Exit(_Row):
    """An end before the end."""

    kind: Literal["exit"]
    reason: str


Step = Annotated[Send | Wait | WaitFor | If | Exit, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ExitRule:
    """An event that ends the journey, wherever it is."""

    event: str
    condition: str | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Plan:
    """All that a journey needs to find its way.

    Attributes:
        start: The id of the first step.
        steps: Steps by id. A successor of None is the end.
        exit: Rules for leaving early.
        zone: IANA zone of contacts that have none.
    """

    start: str
    steps: dict[str, Step]
    exit: tuple[ExitRule, ...] = ()
    zone: str = "UTC"
    events: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())

    def __post_init__(self) -> None:
        waited = (step.event for step in self.steps.values() if isinstance(step, WaitFor))
        object.__setattr__(self, "events", frozenset((*waited, *(rule.event for rule in self.exit))))


_PLAN: Final = TypeAdapter(Plan)
PATH_SEPARATOR: Final = "."
"""Between the segments of a field's path, as in ``contact.custom.vip``."""
EACH: Final = "[]"
"""Behind a list's name, for each of its items, as in ``options[].label``: in `Send.items` alone. In `Send.fields` it
is a part of a name like any other."""


def dump_plan(plan: Plan) -> dict[str, Any]:
    """The plan as plain JSON data, without what has its default value."""
    return _PLAN.dump_python(plan, mode="json", exclude_defaults=True, exclude={"events"})


def load_plan(data: Mapping[str, Any]) -> Plan:
    """Reads what `dump_plan` wrote. Keys that a newer version added are passed over."""
    return _PLAN.validate_python(data)
