"""Names, queues, arguments and results of the activities of journeys, without their code.

Histories hold these classes without default values (`runtime.data_converter`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from activities.call import ActivityType
from scenario.errors import EntryError
from scenario.steps.host import Event
from scenario.time.timing import read_zone


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A completed step.

    Attributes:
        version: The version that the journey followed.
        step: The step's id in that version.
        outcome: Its outcome, see `workflows.state.StepRecord.outcome`.
        at: Its end, ISO 8601 in UTC.
    """

    version: int
    step: str
    outcome: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Passages:
    """Completed steps in order. Some may have been reported before.

    Attributes:
        workflow_id: The journey's id.
        run_id: Its first execution's.
        first: Number of earlier steps.
        passed: The steps.
        revisable: Number of the last of them that were completed in the workflow task that reports them. Temporal may
            refuse that task, and a later report replaces them.
        now: Time of the report, ISO 8601 in UTC.
    """

    workflow_id: str
    run_id: str
    first: int = 0
    passed: list[Passage] = field(default_factory=list[Passage])
    revisable: int = 0
    now: str = ""


COUNT: Final = ActivityType("count", Passages, type(None))


JOURNEYS: Final = "journeys"
"""Task queue of the workflows and their local activities."""

_FAIRNESS_KEY: Final = 64  # bytes; the server refuses a longer one


def fairness_key(destination: str) -> str:
    """Return a destination's key for its rate at the server: its name or host, cut if long."""
    return destination.encode()[:_FAIRNESS_KEY].decode(errors="ignore")


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A journey's request for admission.

    Attributes:
        entry: The entry.
        workflow_id: The journey's id.
        run_id: Its first execution's.
        now: Its start, ISO 8601 in UTC.
    """

    entry: dict[str, Any]
    workflow_id: str
    run_id: str
    now: str


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A plan to follow, or the reason for a refusal.

    Attributes:
        refused: Why the contact is not admitted; empty otherwise.
        version: The scenario's version.
        plan: From `scenario.plan.plan.shorten`.
        zone: IANA zone of the platform's dates without an offset.
        outcome: ``control`` or ``holdout`` if the contact gets nothing: the journey ends, and `plan` is empty.
        reason: Why it ends so.
    """

    refused: str = ""
    version: int = 0
    plan: dict[str, Any] = field(default_factory=dict[str, Any])
    zone: str = "UTC"
    outcome: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Departure:
    """The end of a journey.

    Attributes:
        workflow_id: The journey's id.
        run_id: Its first execution's.
        reason: The reason, without data of the contact.
        now: The time, ISO 8601 in UTC.
        delivery: Id of the delivery in progress, if any.
        arrived: Id of a delivery that arrived meanwhile: an earlier report may have released its place.
        events: Events that may reach its goal and are not evaluated yet.
        passed: Completed steps that are not counted yet, in order.
        first: Number of earlier steps.
        revisable: Number of the last of them that may change, see `activities.interface.Passages`.
    """

    workflow_id: str
    run_id: str
    outcome: str
    reason: str
    now: str
    delivery: str = ""
    arrived: str = ""
    events: list[Event] | None = None
    passed: list[Passage] | None = None
    first: int = 0
    revisable: int = 0


@dataclass(frozen=True, kw_only=True)
class GoalEvent:
    """An event that may reach a journey's goal.

    Attributes:
        run_id: Its first execution's.
        event: The event, with the time at which the journey heard of it.
    """

    workflow_id: str
    run_id: str
    event: Event


@dataclass(frozen=True, kw_only=True)
class GoalResult:
    """The evaluation of a goal.

    Attributes:
        reached: True if the goal is reached.
        error: Why its condition or value could not be evaluated, without data of the contact.
    """

    reached: bool = False
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A condition or a value to be evaluated from a journey's data.

    Attributes:
        text: A condition; for ``kind="value"`` and ``"text"`` a template.
        data: Variables by root name, with `now` and `today`.
        zone: For a date to wait for: a zone that `scenario.time.timing.read_zone` reads; else empty.
        offset: Seconds from that date to the end of the wait.
        cases: Values to compare with: the answer is the one that matches.
    """

    text: str
    data: dict[str, Any]
    kind: Literal["condition", "value", "text"] = "condition"
    zone: str = ""
    offset: float = 0.0
    cases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of a question.

    Attributes:
        value: A bool for a condition, a text for a template's output.
        error: Why it could not be evaluated; one sentence.
        end: For a date: the end of the wait, ISO 8601 in UTC.
        no_date: For a date: why the value is none, in one sentence.
    """

    value: Any = None
    error: str = ""
    end: str = ""
    no_date: str = ""

    @property
    def moment(self) -> datetime:
        """The end of the wait, if a date was asked for.

        Raises:
            EntryError: The date could not be evaluated, is missing, or is not a date.
        """
        if self.error or self.no_date:
            raise EntryError(self.no_date or f"the date cannot be computed: {self.error}")
        return datetime.fromisoformat(self.end)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One delivery of a journey's step.

    Attributes:
        id: The delivery id (``msg_…``), stable over attempts, crashes and operators' retries.
        scenario: Name and version, ``post-purchase@3``.
        step: The step's id; empty in a history, where the activity's id is the same.
        contact: The contact's id.
        now: When the message may leave, in the contact's zone, ISO 8601: `now` of templates. By default the time of the
            decision.
        data: The fields that the step's templates use, by root name.
        timeout: Seconds of one attempt.
        on_unknown: What to do after a request without an answer.
        attempts: Maximum number of real attempts; 0 = as many as the deadline allows.
        root: The journey's first run, if a template uses `journey.callback_url`; else empty.
        room: Seconds between the deadline and Temporal's own limit, for an attempt in progress at the deadline.
        zone: The contact's zone, as `scenario.time.timing.read_zone` reads it; empty for UTC.
        at_once: True if an operator wants it sent despite hours and caps.
        decided: Start of the workflow task that decided to send, in seconds since 1970. It knows no later signals.
        entered: Start of the journey, in seconds since 1970, if this is its first message and no wait came before.
        began: Start of the step, ISO 8601 in UTC; empty if that is `now`.
        tried: Number of attempts before a deferral; `waited` is seconds since the first was scheduled.
    """

    id: str
    scenario: str
    contact: str
    step: str = ""
    now: str = ""
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    timeout: float = 15.0
    on_unknown: Literal["retry", "hold", "continue"] = "retry"
    attempts: int = 0
    root: str = ""
    room: float = 30.0
    zone: str = ""
    at_once: bool = False
    entered: float = 0.0
    began: str = ""
    tried: int = 0
    waited: float = 0.0
    decided: float = 0.0

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

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenario.partition("@")[0]

    @property
    def version(self) -> int:
        """The scenario's version."""
        return int(self.scenario.partition("@")[2])


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The result of a delivery that did not fail.

    Attributes:
        outcome: ``delivered``, or ``skipped`` if there was no address or a template aborted.
        status: The receiver's reply code (HTTP, SMTP), if any.
        attempt: Its number since the step was last scheduled, from 1; 0 if an operator completed it.
        reason: Why it was skipped.
        saved: The response as JSON, if the step has a `save:` and it can be kept.
        note: A remark, such as why the response was not kept.
    """

    outcome: Literal["delivered", "skipped"] = "delivered"
    status: int | None = None
    attempt: int = 0
    reason: str | None = None
    saved: Any = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class DestinationPolicyRequest:
    """A webhook to the destination of this name is about to be scheduled: what does the destination ask for?"""

    destination: str


@dataclass(frozen=True, kw_only=True)
class DestinationPolicy:
    """A destination's policy; empty if this process does not know the destination.

    Attributes:
        retry: Its values of the retry policy, by the names of `scenario.plan.retry.STORED`.
        timeout: Seconds of one attempt.
    """

    retry: dict[str, float] = field(default_factory=dict[str, float])
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Retuning:
    """An operator's change of the retry policy of a delivery in progress.

    Attributes:
        workflow_id: The journey's id.
        run_id: The delivery's run.
        step: The step's id, which is the activity's.
        retry: The new values in seconds, by the names of `scenario.plan.retry.STORED`. Others stay.
    """

    workflow_id: str
    run_id: str
    step: str
    retry: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class RetuningResult:
    """Done, or `error` says why not."""

    error: str = ""


@dataclass(frozen=True, kw_only=True)
class LastAttemptRequest:
    """The request for the outcome of a delivery's latest attempt, before it was turned away."""

    delivery: str


@dataclass(frozen=True, kw_only=True)
class LastAttempt:
    """The outcome of a recorded attempt; empty if there is none.

    Attributes:
        status: The receiver's reply code, if any.
        error: The error in one word.
        excerpt: The beginning of the reply, redacted.
        now: `now` of its templates.
    """

    status: int | None = None
    error: str = ""
    excerpt: str = ""
    now: str = ""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A delivery that is not tried any longer and has not arrived: its place under caps is free."""

    delivery: str


_UNREADABLE: Final = "the answer of the worker cannot be read"

ADMIT: Final = ActivityType("admit", Admission, Admitted)
DEPART: Final = ActivityType("depart", Departure, type(None))
GOAL: Final = ActivityType("goal", GoalEvent, GoalResult, instead=GoalResult(error=_UNREADABLE))
DECIDE: Final = ActivityType("decide", Question, Answer, instead=Answer(error=_UNREADABLE))
CLEAR: Final = ActivityType("clear", DestinationPolicyRequest, DestinationPolicy, instead=DestinationPolicy())
RETUNE: Final = ActivityType("retune", Retuning, RetuningResult, instead=RetuningResult(error=_UNREADABLE))
RELEASE: Final = ActivityType("release", Release, type(None))
RECALL: Final = ActivityType("recall", LastAttemptRequest, LastAttempt, instead=LastAttempt())
