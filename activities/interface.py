"""The interface of activities: their names, queues, arguments and results. No activity's body is here.

Histories hold these, without the fields that have their default values (`runtime.data_converter`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from activities.call import ActivityType
from activities.counting import Passage
from scenario.errors import EntryError
from scenario.steps.host import Event
from scenario.time.timing import read_zone

JOURNEYS: Final = "journeys"
"""Task queue of the workflows and their local activities."""

_FAIRNESS_KEY: Final = 64  # bytes; the server refuses a longer one


def fairness_key(destination: str) -> str:
    """Return the key of a destination's rate at the server, for journeys and workers: a name or host, cut if long."""
    return destination.encode()[:_FAIRNESS_KEY].decode(errors="ignore")


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A journey asks to come in.

    Attributes:
        entry: The entry as it came.
        workflow_id: The journey's.
        run_id: Its first execution's.
        now: When it started, ISO 8601 in UTC.
    """

    entry: dict[str, Any]
    workflow_id: str
    run_id: str
    now: str


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """The answer: a plan to follow, or why not.

    Attributes:
        refused: Why the contact is not admitted; empty if it may.
        version: Number of the scenario's version that was opened.
        plan: As `scenario.plan.brief.shorten` writes it.
        zone: IANA zone of the platform's zone-less dates.
        outcome: ``control`` or ``holdout`` where the contact is to get nothing: the journey ends at once, and `plan` is
            empty.
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
    """A journey is over.

    Attributes:
        workflow_id: The journey's.
        run_id: Its first execution's.
        reason: Why, without any of the contact's data.
        now: When, ISO 8601 in UTC.
        delivery: The id of the delivery that it ended in the middle of, if it did.
        arrived: The id of a delivery that arrived meanwhile: an earlier report may have given its place back.
        events: Those that may reach its goal and have not been looked at yet.
        passed: The steps that it is through with and that are not counted yet, in its order.
        first: How many there were before these.
        revisable: How many of the last of them may come out otherwise, see `activities.counting.Passages`.
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
    """True if the goal is reached.

    Attributes:
        reached: It is.
        error: Why its condition could not be worked out, or its value where it is reached; without any of the contact's
            data.
    """

    reached: bool = False
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A condition or a value to be evaluated from a journey's data.

    Attributes:
        text: The condition, or for ``kind="value"`` and ``"text"``, which is what it prints, a template.
        data: The data by root name, `now` and `today` among it.
        zone: Of a value that is a date to wait for, as `scenario.time.timing.read_zone` reads it; else empty.
        offset: Seconds from that date to the end of the wait.
        cases: Of a value that is compared with these: which of them it meets is the answer.
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
        value: A bool for a condition, a text for what a template prints.
        error: Why it could not be evaluated; one sentence.
        end: If a date was asked for: the end of the wait, ISO 8601 in UTC.
        no_date: If a date was asked for and the value is none: why, in one sentence.
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
        id: The delivery id (``msg_…``): the same over all attempts, crashes and operators' retries.
        scenario: Name and version, ``post-purchase@3``.
        step: The step's id; empty in a history: there the activity's id is the same.
        contact: The contact's id.
        now: When the message may leave, in the contact's zone, ISO 8601: what templates see as `now`. By default the
            time of the decision.
        data: The fields that the step's templates name, by root.
        timeout: Seconds that one attempt may take.
        on_unknown: What to do where a request left and no answer came.
        attempts: So many attempts at most, counting those that were really made; 0 = as many as the deadline allows.
        root: The journey's first run, where a template names `journey.callback_url`; else empty.
        room: Seconds from the deadline to Temporal's own end of all attempts, for the one that is in progress then. By
            default those of a step that has the defaults.
        zone: The contact's, as `scenario.time.timing.read_zone` reads it; empty for UTC.
        at_once: True if an operator wants it to leave whatever the hour, and whatever caps say.
        decided: Seconds since 1970 at which the workflow task began that decided to send. It knows nothing told since.
        entered: Seconds since 1970 at which the journey started, if this is its first message and no wait came before.
        began: When the step began, ISO 8601 in UTC; empty if that is `now`.
        tried: How many attempts were made before it was kept back; `waited` is seconds since the first was scheduled.
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
        """Fill in the time."""
        if not self.now:
            object.__setattr__(self, "now", self.decided_at)

    def of_step(self, step: str) -> Delivery:
        """Return the delivery as its step's activity, which has the step's id, finds it in the history."""
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
    """How a delivery ended that did not fail.

    Attributes:
        outcome: ``delivered``, or ``skipped`` where there was nothing to deliver to or a template aborted.
        status: The receiver's reply code (HTTP, SMTP), if it has one.
        attempt: Which attempt it was, counted from 1 since the step was last scheduled; 0 if a person completed it.
        reason: Why it was skipped.
        saved: The JSON of the response, where the step has a `save:` and it can be kept.
        note: Something that a person should know although it was delivered: why the response was not kept.
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
    """What a destination asks for; empty if this process knows none of that name.

    Attributes:
        retry: What it sets of the retry policy, by the names of `scenario.plan.retry.STORED`.
        timeout: Seconds of one attempt.
    """

    retry: dict[str, float] = field(default_factory=dict[str, float])
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Retuning:
    """An operator changes the retry policy of a delivery in progress.

    Attributes:
        workflow_id: The journey's.
        run_id: The run that the delivery belongs to.
        step: The step's id, which is the activity's.
        retry: The new values, by the names of `scenario.plan.retry.STORED` (seconds). What is left out stays.
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
    """How did the latest attempt of the delivery of this id end, before it was turned away?"""

    delivery: str


@dataclass(frozen=True, kw_only=True)
class LastAttempt:
    """How it ended; empty if nothing is on record.

    Attributes:
        status: The receiver's reply code, if there was a reply.
        error: Class of the error in one word.
        excerpt: How the reply began, redacted.
        now: What its templates saw as `now`.
    """

    status: int | None = None
    error: str = ""
    excerpt: str = ""
    now: str = ""


@dataclass(frozen=True, kw_only=True)
class Release:
    """The delivery of this id is not tried any more, and has not arrived: its place under caps is free."""

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
