"""The host on which steps are performed, and the outcomes of performing them.

A row of the plan performs itself against `Host`. A journey implements it with Temporal's timers and activities. The
virtual host of previews and cases has a clock that jumps. A plan therefore has one interpreter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypedDict, Unpack

from scenario.entry.objects import event_root
from scenario.errors import EntryError
from scenario.source.decoding import size_of
from scenario.time import spell

MOST_DEFERRALS: Final = 5
"""Maximum number of deferrals in a step's record; the latest are kept."""
KEPT_RESPONSES: Final = 131_072
"""Bytes of JSON of all saved responses together. Each run of a journey carries them."""


@dataclass(frozen=True)
class Next:
    """The journey continues at another step, or ends if that is None. `way` is the chosen one of several."""

    step: str | None
    way: str | None = None


@dataclass(frozen=True)
class ContinueAsNew:
    """The step is undecided: continue as new, then perform the same step."""


@dataclass(frozen=True)
class Leave:
    """The journey ends here, before its last step."""

    reason: str


Outcome: TypeAlias = Next | ContinueAsNew | Leave


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of the contact. Journeys carry these: fields may be added, and never renamed."""

    name: str
    """Such as ``order.delivered``."""
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    at: str = ""
    """When it happened, or when the journey received it if the sender did not state a time. ISO 8601 in UTC."""
    id: str | None = None
    number: int = 0
    """Position among the kept events of this journey, from 1."""

    @cached_property
    def size(self) -> int:
        """Characters of the properties as JSON. Escaped, since a lone surrogate has no encoding."""
        return len(json.dumps(self.properties))

    def data(self) -> dict[str, Any]:
        return event_root(self.name, self.at, self.properties)


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """The progress of a repetition. Journeys carry these: fields may be added, and never renamed."""

    number: int = 0
    """Number of the latest round; 0 before the first."""
    began: str = ""
    """When that round was due, ISO 8601 in UTC."""
    mark: int = 0
    """Number of events kept when the repetition began."""


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A delivery that did not fail, with the receiver's reply code and a remark.

    Its outcome is ``delivered``, ``skipped``, ``batched``, or ``refused_answer``: delivered, without the response that
    the step requires. Previews have ``sent``.
    """

    outcome: str
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    note: str | None = None
    saved: Any = None
    """The response that the step saves, or None."""
    excerpt: str = ""
    """The first 2 KB of a response that does not fit, redacted."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A terminal failure of a step."""

    reason: str
    kind: str = "TemplateFailed"
    """One of `activities.failures.FailureKind`."""
    cause: str = "template"
    """One of `scenario.words.HeldCause`, for searches."""
    unknown: bool = False
    """True if the message may have been delivered."""
    destination: str = ""
    status: int | None = None
    attempts: int = 1
    excerpt: str = ""
    """The first 2 KB of the reply, redacted."""
    note: str | None = None

    def held(self, step: str, at: datetime) -> dict[str, Any]:
        given = {name: value for name, value in asdict(self).items() if name not in ("unknown", "note")}
        return {**given, "step": step, "at": at.isoformat(timespec="seconds"), "attempts": self.attempts or None}


@dataclass(frozen=True, kw_only=True)
class NotBefore:
    """A delivery that policies defer until a moment, for a reason that completes "waits for …": ``quiet hours``."""

    moment: datetime
    since: str


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """The outcome of a step. Journeys carry these: fields may be added, and never renamed."""

    id: str
    kind: str
    # ``delivered``, ``skipped``, ``failed``, ``unknown``; ``waited``, ``past``, ``event``, ``timeout``; ``then``,
    # ``case``, ``else``; the branch of a ``split``; ``round``, ``until``, ``ended``; ``exited``; or ``left`` if the
    # journey ended during the step.
    outcome: str
    at: str  # when it ended, ISO 8601 in UTC
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    note: str | None = None  # a remark, such as that the message was rendered again or that a response was not kept
    way: str | None = None  # the chosen way, if the outcome does not name it: the case of a ``switch``

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON data, without empty fields."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class Remarks(TypedDict, total=False):
    """Further fields of a `StepRecord`."""

    status: int | None
    attempts: int | None
    note: str | None
    way: str | None


EvaluationKind: TypeAlias = Literal["condition", "value", "text"]


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """A condition or a value to be evaluated from a journey's data."""

    text: str  # a condition; for ``kind="value"`` and ``"text"`` a template
    data: dict[str, Any]  # variables by root name, with `now` and `today`
    kind: EvaluationKind = "condition"
    zone: str = ""  # for a date to wait for: a zone that `scenario.time.read_zone` reads; else empty
    offset: float = 0.0  # seconds from that date to the end of the wait
    cases: tuple[str, ...] = ()  # values to compare with: the answer is the one that matches


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """The result of an evaluation."""

    value: Any = None  # a bool for a condition, a text for a template's output
    error: str = ""  # why it could not be evaluated; one sentence
    end: str = ""  # for a date: the end of the wait, ISO 8601 in UTC
    no_date: str = ""  # for a date: why the value is none, in one sentence

    @property
    def moment(self) -> datetime:
        """The end of the wait, if a date was asked for. Raise EntryError if it is missing or not a date."""
        if self.error or self.no_date:
            raise EntryError(self.no_date or f"the date cannot be computed: {self.error}")
        return datetime.fromisoformat(self.end)


class RowOverride(NamedTuple):
    """The row of another version that an operator ordered for the current step."""

    row: object
    version: str

    @property
    def note(self) -> str:
        """The remark for the record of a step that the override decided."""
        return f"evaluated again with {self.version}"


class Inputs(NamedTuple):
    """The effects of signals and updates. A step that wakes compares them with those it saw before."""

    changes: int
    """Number of changes of the contact in this run."""
    events: Sequence[Event]
    """The kept events, oldest first."""
    counted: int
    """Number of events kept so far, including forgotten ones."""
    paused: bool
    send_now: bool
    """True if an operator wants the current delivery sent regardless of hours and caps."""


@dataclass(kw_only=True)
class Memory:
    """The memory of steps. It survives interruptions and continue-as-new."""

    until: datetime | None = None
    """When the current wait or deferral ends, in UTC, once computed."""
    awaiting: str | None = None
    deferral: str | None = None
    """The reason why the current delivery may not be sent before `until`."""
    deferrals: list[str] = field(default_factory=list[str])
    """Sentences about all deferrals of the current delivery, for its record."""
    mark: int = 0
    """Number of events kept when the current step began."""
    rounds: dict[str, Rounds] = field(default_factory=dict[str, Rounds])
    """Progress of each repetition by step id. A repetition removes its own entry when it ends."""
    event: dict[str, Any] | None = None
    responses: dict[str, Any] = field(default_factory=dict[str, Any])
    """Saved responses by name, the latest last."""

    @property
    def deferred(self) -> NotBefore | None:
        if self.until is None or self.deferral is None:
            return None
        return NotBefore(moment=self.until, since=self.deferral)

    def defer(self, until: NotBefore, zone: tzinfo) -> None:
        """Defer the current delivery, and note it for the record: ``kept back until Tue 2026-03-03 08:00 …``."""
        self.until, self.deferral = until.moment.astimezone(UTC), until.since
        sentence = f"kept back until {spell(until.moment, zone)}: {until.since}"
        self.deferrals = [*self.deferrals[-(MOST_DEFERRALS - 1) :], sentence]

    def stop_waiting(self) -> None:
        self.until = self.awaiting = self.deferral = None

    def save(self, name: str, response: Any) -> str | None:
        """Save a response. Return a remark if older ones were forgotten to make room."""
        self.forget(name)
        size = size_of(response) + sum(size_of(value) for value in self.responses.values())
        forgotten: list[str] = []
        while self.responses and size > KEPT_RESPONSES:
            oldest = next(iter(self.responses))
            size -= size_of(self.responses[oldest])
            self.forget(oldest)
            forgotten.append(oldest)
        self.responses = {**self.responses, name: response}
        names = ", ".join(forgotten)
        return f"older responses were forgotten, all together are too large: {names}" if forgotten else None

    def forget(self, name: str) -> None:
        """Forget a saved response, if there is one. The data of an evaluation in progress keep it."""
        self.responses = {key: value for key, value in self.responses.items() if key != name}

    def leave_step(self) -> None:
        """Forget what concerns the current step alone."""
        self.stop_waiting()
        self.deferrals = []


class Host(Protocol):
    """The interface between a step and the journey it belongs to.

    A step's coroutine may be cancelled at any await, because the contact leaves or an operator skips the step. It keeps
    what must survive in `memory`, and resumes from there when it is called again for the same step.
    """

    @property
    def step(self) -> str: ...

    @property
    def began(self) -> datetime: ...

    @property
    def zone(self) -> tzinfo:
        """The contact's time zone, or the scenario's by default."""
        ...

    @property
    def memory(self) -> Memory: ...

    @property
    def inputs(self) -> Inputs: ...

    @property
    def must_continue(self) -> bool:
        """True if the step must stop at its next wait and return `ContinueAsNew`."""
        ...

    @property
    def row_override(self) -> RowOverride | None:
        """The row that replaces the step's own by order of an operator."""
        ...

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...

    def data(self) -> dict[str, Any]: ...

    async def answer(self, question: EvaluationRequest) -> EvaluationResult: ...

    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        """Wait until a moment (None: forever), `wake`, or `must_continue`. Return True for the latter two."""
        ...

    def ignore(self, what: str, reason: str) -> None:
        """Report an input or a condition that cannot be used."""
        ...

    async def deliver(self, row: Any) -> Delivered | Failed | NotBefore: ...

    def hold(self, failed: Failed) -> None:
        """Hold the journey at this step until an operator decides."""
        ...

    async def decided(self) -> Outcome | None:
        """Wait for that decision if the step is held. Return None if the step is to be performed."""
        ...

    def record(self, outcome: str, reason: str | None = None, **more: Unpack[Remarks]) -> None:
        """Record how the step ended."""
        ...


def question_of(
    host: Host,
    text: str,
    kind: EvaluationKind,
    *,
    event: Event | None = None,
    cases: Sequence[str] = (),
    offset: float | None = None,
) -> EvaluationRequest:
    """Return the request to evaluate a condition, which gives a bool, or a template: its value, or its text as a line.

    Args:
        text: The condition or template.
        event: The event that the condition sees as `event`.
        cases: Return the matching case of the value, or None.
        offset: Return the value as a date moved by so many seconds, in `moment`.
    """
    now = host.now().astimezone(host.zone).isoformat(timespec="seconds")
    data = {**host.data(), "now": now, "today": now[:10], **({} if event is None else {"event": event.data()})}
    when: dict[str, Any] = {} if offset is None else {"zone": str(host.zone), "offset": offset}
    return EvaluationRequest(text=text, data=data, kind=kind, cases=tuple(cases), **when)


async def evaluate(host: Host, text: str, kind: EvaluationKind, **more: Any) -> EvaluationResult:
    """Evaluate a condition or a template; see `question_of`."""
    return await host.answer(question_of(host, text, kind, **more))


async def satisfies(host: Host, event: Event, condition: str | None) -> bool:
    """Return True if an event meets a condition. Report a condition that cannot be evaluated."""
    if condition is None:
        return True
    answer = await evaluate(host, condition, "condition", event=event)
    if answer.error:
        host.ignore(f"step {host.step}", answer.error)
    return answer.value is True
