"""Names, queues, priorities, arguments and results of the activities of journeys, without their code.

Histories hold them without default values (`runtime.data_converter`). Results may come from workers of another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json

from scenario.dates import DateOrder
from scenario.plan.migration import Place
from scenario.steps.host import EvaluationRequest, EvaluationResult, Event
from scenario.time import read_zone
from scenario.words import MARKETING, TRANSACTIONAL

if TYPE_CHECKING:  # previews are made of the same names and arguments, and have no Temporal
    from temporalio.common import Priority, RawValue

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ActivityType(Generic[Argument, Result]):
    """An activity as its caller sees it."""

    name: str
    argument: type[Argument]
    result: type[Result]
    queue: str | None = None  # its task queue; None for a local activity
    instead: Result | None = None  # the result to use if the answer is unreadable, if any
    reader: TypeAdapter[Result] = field(init=False, repr=False, compare=False)  # reads results; made once per process

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", TypeAdapter(self.result))

    def read(self, answer: RawValue | None) -> Result:
        """Read the activity's result. Raise ValueError if it is unreadable."""
        return self.reader.validate_json(_json(answer))


def plain(answer: RawValue | None) -> Any:
    """Return the activity's result as JSON data. Raise ValueError if it is not JSON."""
    return from_json(_json(answer), allow_inf_nan=False)


def _json(answer: RawValue | None) -> bytes:
    """Return the text of a result, or nothing if it has another encoding."""
    if answer is None or answer.payload.metadata.get("encoding") != b"json/plain":
        return b""
    return answer.payload.data


@dataclass(frozen=True, kw_only=True)
class CompletedStep:
    """A completed step."""

    version: int
    step: str
    outcome: str  # its outcome, see `scenario.steps.host.StepRecord.outcome`
    at: str  # its end, ISO 8601 in UTC


@dataclass(frozen=True, kw_only=True)
class CompletedSteps:
    """Completed steps in order. Some may have been reported before."""

    workflow_id: str
    run_id: str
    first: int = 0  # number of earlier steps
    passed: list[CompletedStep] = field(default_factory=list[CompletedStep])
    # Number of the last of them that were completed in the workflow task that reports them. Temporal may refuse that
    # task, and a later report replaces them.
    revisable: int = 0
    now: str = ""  # time of the report, ISO 8601 in UTC


COUNT: Final = ActivityType("count", CompletedSteps, type(None))
REPORT_STEPS: Final = "scenario_report_steps"
"""Name of the worker's function that takes `CompletedSteps` of a running journey; see `activities.passages`."""
WITHDRAW_STEPS: Final = "scenario_withdraw_steps"
"""Name of the one that drops them again, before the journey counts them itself."""


JOURNEYS: Final = "journeys"
"""Task queue of the workflows and their local activities."""

DELIVERY_DELAYED: Final = "delivery_delayed"
"""The signal by which an attempt reports that its delivery will be attempted again."""


@dataclass(frozen=True, kw_only=True)
class DelayReport:
    """The argument of `DELIVERY_DELAYED`."""

    decided: float  # of the `Delivery`, which it tells from others. A replay under another id has another delivery id.
    destination: str  # its destination or host
    failed: bool  # True if an attempt has failed; False if it was put off before its first attempt


_FAIRNESS_KEY: Final = 64  # bytes; the server refuses a longer one


def fairness_key(destination: str) -> str:
    """Return a destination's key for its rate at the server: its name or host, cut if long."""
    return destination.encode()[:_FAIRNESS_KEY].decode(errors="ignore")


OPERATORS: Final = "operators"
CAMPAIGNS: Final = "campaigns"
PRIORITIES: Final[Mapping[str, int]] = {OPERATORS: 1, TRANSACTIONAL: 2, MARKETING: 3, CAMPAIGNS: 4}
"""Temporal's priority keys of journeys, attempts and operations. Tasks with a smaller one go first.

A task without one counts as marketing.
"""


def priority_of(purpose: str, destination: str = "") -> Priority:
    """Return the priority for a scenario's purpose, `OPERATORS` or `CAMPAIGNS`.

    The server limits the rate of each destination, and lets those of the same purpose take turns.
    """
    from temporalio.common import Priority

    key = fairness_key(destination) if destination else None
    return Priority(priority_key=PRIORITIES.get(purpose), fairness_key=key)


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A journey's request for admission."""

    entry: dict[str, Any]
    workflow_id: str
    run_id: str
    now: str  # its start, ISO 8601 in UTC
    root: str = ""  # what its delivery ids are made from, if a campaign started it; else empty


@dataclass(frozen=True, kw_only=True)
class AdmissionResult:
    """A plan to follow, or the reason for a refusal."""

    refused: str = ""  # why the contact is not admitted; empty otherwise
    version: int = 0
    plan: dict[str, Any] = field(default_factory=dict[str, Any])  # from `scenario.plan.plan.shorten`
    zone: str = "UTC"  # IANA zone of the platform's dates without an offset
    dates: DateOrder | None = None  # order of the platform's dates with slashes, if it is set
    outcome: str = ""  # ``control`` or ``holdout`` if the contact gets nothing: the journey ends, and `plan` is empty
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Departure:
    """The end of a journey."""

    workflow_id: str
    run_id: str
    outcome: str
    reason: str  # the reason, without data of the contact
    now: str  # the time, ISO 8601 in UTC
    delivery: str = ""  # id of the delivery in progress, if any
    arrived: str = ""  # id of a delivery that arrived meanwhile: an earlier report may have released its place
    events: list[Event] | None = None  # events that may reach its goal and are not evaluated yet
    passed: list[CompletedStep] | None = None  # completed steps that are not counted yet, in order
    first: int = 0  # number of earlier steps
    revisable: int = 0  # number of the last of them that may change, see `activities.interface.CompletedSteps`
    withdraws_since: str = ""  # if the contact leaves batches that are not sent yet: the journey's start, ISO 8601


@dataclass(frozen=True, kw_only=True)
class GoalEvent:
    """An event that may reach a journey's goal."""

    workflow_id: str
    run_id: str
    event: Event  # the event, with the time at which the journey heard of it


@dataclass(frozen=True, kw_only=True)
class GoalResult:
    """The evaluation of a goal."""

    reached: bool = False  # True if the goal is reached
    error: str = ""  # why its condition or value could not be evaluated, without data of the contact


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A delivery of a journey's step."""

    id: str  # the delivery id (``msg_…``), stable over attempts, crashes and operators' retries
    scenario: str  # name and version, ``post-purchase@3``
    contact: str
    step: str = ""  # the step's id; empty in a history, where the activity's id is the same
    # When the message may leave, in the contact's zone, ISO 8601: `now` of templates. By default the time of the
    # decision.
    now: str = ""
    data: dict[str, Any] = field(default_factory=dict[str, Any])  # the fields that the step's templates use
    timeout: float = 15.0  # seconds of one attempt
    on_unknown: Literal["retry", "hold", "continue"] = "retry"  # what to do after a request without an answer
    attempts: int = 0  # maximum number of real attempts; 0 = as many as the deadline allows
    root: str = ""  # the journey's first run, if a template uses `journey.callback_url`; else empty
    room: float = 30.0  # seconds between the deadline and Temporal's own limit, for a running attempt
    zone: str = ""  # the contact's zone, as `scenario.time.read_zone` reads it; empty for UTC
    at_once: bool = False  # True if an operator wants it sent despite hours and caps
    entered: float = 0.0  # start of the journey in seconds since 1970, if this is its first message, without waits
    began: str = ""  # start of the step, ISO 8601 in UTC; empty if that is `now`
    tried: int = 0  # number of attempts before a deferral; `waited` is seconds since the first was scheduled
    waited: float = 0.0
    decided: float = 0.0  # start of the workflow task that decided, in seconds since 1970; it knows no later signals
    retried: bool = False  # True if an operator has it retried: it is not sent if the log of attempts has its delivery

    def __post_init__(self) -> None:
        if not self.now:
            object.__setattr__(self, "now", self.decided_at)

    def of_step(self, step: str) -> Delivery:
        """Return the delivery with the step's id, which the history leaves out."""
        return replace(self, step=self.step or step)

    @property
    def decided_at(self) -> str:
        """`decided` in the contact's zone, ISO 8601."""
        moment = datetime.fromtimestamp(self.decided, UTC).astimezone(read_zone(self.zone) or UTC)
        return moment.isoformat(timespec="seconds")

    @cached_property
    def name(self) -> str:
        return self.scenario.partition("@")[0]

    @cached_property
    def version(self) -> int:
        return int(self.scenario.partition("@")[2])


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The result of a delivery that did not fail."""

    # Skipped without an address, or by a template; batched if it has joined a batch call and does not wait for it;
    # refused_answer if it was delivered, but the response lacks what the step requires.
    outcome: Literal["delivered", "skipped", "batched", "refused_answer"] = "delivered"
    status: int | None = None  # the receiver's reply code (HTTP, SMTP), if any
    attempt: int = 0  # its number since the step was last scheduled, from 1; 0 if an operator completed it
    reason: str | None = None
    saved: Any = None  # the response as JSON, if the step has a `save:` and it can be kept
    note: str | None = None  # a remark, such as why the response was not kept
    excerpt: str = ""  # of a refused answer the first 2 KB, redacted


@dataclass(frozen=True, kw_only=True)
class DestinationPolicyRequest:
    """A webhook to the destination of this name is about to be scheduled: what does the destination ask for?"""

    destination: str


@dataclass(frozen=True, kw_only=True)
class DestinationPolicy:
    """A destination's policy; only its queue is set if this process does not know the destination."""

    retry: dict[str, float] = field(default_factory=dict[str, float])  # by names of `scenario.plan.retry.STORED`
    timeout: float | None = None  # seconds of one attempt
    queue: str = ""  # its task queue; empty for the channel's own


@dataclass(frozen=True, kw_only=True)
class Retuning:
    """An operator's change of the retry policy of a delivery in progress."""

    workflow_id: str
    run_id: str
    step: str  # the step's id, which is the activity's
    retry: dict[str, float]  # the new values in seconds, by the names of `scenario.plan.retry.STORED`. Others stay.
    now: str  # the journey's time, ISO 8601


@dataclass(frozen=True, kw_only=True)
class RetuningResult:
    """Done, or `error` says why not."""

    error: str = ""


@dataclass(frozen=True, kw_only=True)
class DeliveryRef:
    """A delivery, by its id."""

    delivery: str


@dataclass(frozen=True, kw_only=True)
class LastAttempt:
    """The outcome of a recorded attempt; empty if there is none."""

    status: int | None = None  # the receiver's reply code, if any
    error: str = ""
    excerpt: str = ""  # the beginning of the reply, redacted
    now: str = ""  # `now` of its templates
    delivered: Sent | None = None  # the result of the attempt that delivered the message, which may be an earlier one


@dataclass(frozen=True, kw_only=True)
class HeldJourney:
    """A journey that is held, for an outgoing event: ids and words only."""

    id: str  # of the event
    workflow_id: str
    contact: str
    scenario: str  # ``post-purchase@3``
    at: str  # since when, ISO 8601 in UTC
    step: str
    kind: str
    cause: str
    destination: str = ""
    status: int | None = None
    attempts: int | None = None


@dataclass(frozen=True, kw_only=True)
class StepVersionRequest:
    """An operator wants a held step to be tried again with the templates of another version."""

    scenario: str
    version: int | None  # its version; None for the newest
    step: str
    kind: str  # the step's kind, which must be the same


@dataclass(frozen=True, kw_only=True)
class StepVersion:
    """The step as that version has it, or why it cannot be used."""

    version: int = 0
    step: dict[str, Any] = field(default_factory=dict[str, Any])  # from `scenario.plan.plan.dump_plan`
    error: str = ""  # why there is none; empty if there is


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The request for a version in which a journey can continue."""

    scenario: str
    version: int
    place: Place
    to: int | None = None  # the operator's version; None for the newest
    names: dict[str, str] = field(default_factory=dict[str, str])  # new ids of steps by their old ones
    follows: bool = False  # True if the journey follows newer versions, without an operator
    workflow_id: str = ""
    run_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The version to continue in, or why it is impossible."""

    version: int = 0  # its number; 0 if a following journey finds nothing newer
    plan: dict[str, Any] = field(default_factory=dict[str, Any])  # from `dump_plan`; empty with an error
    at: str = ""  # the step at which the journey continues; of a following one, the next step
    error: str = ""  # why it is impossible; empty otherwise
    unknown: tuple[str, ...] = ()  # variables that later steps read and the journey lacks: ``responses.poll``


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """A journey's new version, for the store."""

    workflow_id: str
    run_id: str
    version: int


_UNREADABLE: Final = "the answer of the worker cannot be read"

ADMIT: Final = ActivityType("admit", Admission, AdmissionResult)
DEPART: Final = ActivityType("depart", Departure, type(None))
GOAL: Final = ActivityType("goal", GoalEvent, GoalResult, instead=GoalResult(error=_UNREADABLE))
DECIDE: Final = ActivityType("decide", EvaluationRequest, EvaluationResult, instead=EvaluationResult(error=_UNREADABLE))
CLEAR: Final = ActivityType("clear", DestinationPolicyRequest, DestinationPolicy, instead=DestinationPolicy())
RETUNE: Final = ActivityType("retune", Retuning, RetuningResult, instead=RetuningResult(error=_UNREADABLE))
REPORT_HELD: Final = ActivityType("report_held", HeldJourney, type(None))
RELEASE: Final = ActivityType("release", DeliveryRef, type(None))
RECALL: Final = ActivityType("recall", DeliveryRef, LastAttempt, instead=LastAttempt())
AMEND: Final = ActivityType("amend", StepVersionRequest, StepVersion, instead=StepVersion(error=_UNREADABLE))
RENEW: Final = ActivityType("renew", Renewal, Renewed, instead=Renewed(error=_UNREADABLE))
ADOPT: Final = ActivityType("adopt", Adoption, type(None))
