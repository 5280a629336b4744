"""Operations on many journeys: their requests, validated before they begin and stored, and their execution at a rate.

Each journey gets the same update as a single one would, sent by this process. Temporal's own batch jobs run one at a
time and report no progress. An interrupted batch is run again: journeys that accepted are no longer found, or refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from temporalio.exceptions import ApplicationError

from authoring.errors import BadInput, Refusal
from runtime.store import StoredOperation
from scenario.plan.retry import BOUNDS, STEEPEST, STORED, UNLIMITED, fit
from scenario.words import Operation
from service.concurrency import Concurrency, Pace
from service.errors import BadOperation, NotAccepted, NotAnswered
from service.index import JourneyFilter
from service.view import View
from workflows.operation import SLOWEST
from workflows.updates import read_flag, read_names, read_retry, read_version, read_waits

RATE: Final = 10.0
"""Default rate, in operations a second. Each may cause a delivery to a receiver that has just recovered."""
AT_ONCE: Final = 20  # maximum number of operations in flight. As many in a row without an answer end the batch.


@dataclass(frozen=True)
class JourneyTarget:
    """A journey that an operation applies to."""

    id: str
    step: str | None = None
    """The step at which the journey was found. The journey refuses the operation at any other step. None if the step
    does not matter."""


class RefusalView(View):
    """A journey that did not accept an operation."""

    id: str
    """The journey's id."""
    why: str
    """The reason, as one sentence."""


@dataclass
class Tally:
    """The progress and result of a batch."""

    accepted: list[str] = field(default_factory=list[str])  # journeys that accepted, in this order
    refused: list[RefusalView] = field(default_factory=list[RefusalView])
    """Journeys that did not, for example because they have ended."""
    left: int = 0  # number of journeys that were not asked
    unanswered: bool = False  # true if the batch ended because no worker answered

    @property
    def complete(self) -> bool:
        return bool(self.accepted) and not self.refused and not self.left

    def __str__(self) -> str:
        """Return such as ``accepted 198, refused 2 (nothing to retry: the journey is not held)``."""
        parts = [f"accepted {len(self.accepted)}"]
        if self.refused:
            reasons = Counter(item.why for item in self.refused).most_common()
            text = reasons[0][0] if len(reasons) == 1 else "; ".join(f"{times} × {why}" for why, times in reasons)
            parts.append(f"refused {len(self.refused)} ({text})")
        parts += [f"not asked {self.left}"] if self.left else []
        return ", ".join(parts)


@dataclass
class OperationRun:
    """One operation for many journeys. A `Refusal` is counted; any other error ends the batch."""

    send: Callable[[JourneyTarget], Awaitable[Any]]
    rate: float = RATE
    done: Callable[[JourneyTarget], None] = lambda _: None
    tally: Tally = field(default_factory=Tally)  # the progress so far, also if `run` is cancelled or fails
    _silent: int = 0

    async def run(self, targets: Sequence[JourneyTarget]) -> Tally:
        """Send the operation to one journey after the other. An error that is no refusal cancels those in flight."""
        self.tally.left = len(targets)
        pace = Pace(self.rate)
        async with Concurrency(AT_ONCE) as pool:
            for target in targets:
                await pool.acquire()
                await pace.turn()
                if pool.has_failed or self.tally.unanswered:
                    break
                pool.start(self._one(target))
        return self.tally

    async def _one(self, target: JourneyTarget) -> None:
        try:
            await self.send(target)
        except Refusal as error:
            self._silent = self._silent + 1 if isinstance(error, NotAnswered) else 0
            self.tally.unanswered = self._silent >= AT_ONCE
            reason = error.reason if isinstance(error, NotAccepted) else str(error)
            self.tally.refused.append(RefusalView(id=target.id, why=reason))
        else:
            self._silent = 0
            self.tally.accepted.append(target.id)
        self.tally.left -= 1
        self.done(target)


LONGEST: Final = 500  # maximum length of operator and reason, in characters. A journey refuses longer ones.
FASTEST: Final = 10_000.0  # maximum rate, in journeys a second
NOT_HELD: Final = frozenset({Operation.PAUSE, Operation.RESUME})

# The filters that an operation takes, if it does not take all.
_FILTERS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.RETUNE: ("destination",),
    Operation.MIGRATE: ("scenario", "version", "step"),
}
_HELD_FILTERS: Final = ("step", "reason")


_ARGUMENTS: Final[Mapping[Operation, Mapping[str, Callable[[dict[str, Any]], Any]]]] = {
    Operation.RETRY: {"version": read_version} | {name: partial(read_flag, name=name) for name in ("now", "anew")},
    Operation.RETUNE: {"retry": read_retry},
    Operation.MIGRATE: {"version": read_version, "map": read_names, "waits": read_waits},
}


@dataclass(frozen=True, kw_only=True)
class RequestedOperation:
    """A request for an operation on many journeys."""

    operation: Operation
    which: JourneyFilter  # the journeys it applies to
    operator: str
    reason: str
    rate: float = RATE
    limit: int | None = None  # maximum number of journeys, or None for all that match
    dry_run: bool = False  # true to find the journeys only
    everybody: bool = False  # for `leave`: all running journeys, held or not
    unknown: bool = False  # for `retry`: also messages that may have been delivered
    uncertain: Mapping[str, int] | None = None  # their number by the log's last word, once the journeys are found
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further arguments of the update; see `service.client.ScenarioClient.operate`."""

    def check(self) -> None:
        """Validate the request, without looking at journeys. Raise BadOperation if the request is invalid."""
        check_record(self.operator, self.reason)
        if not SLOWEST <= self.rate <= FASTEST:
            raise BadOperation(f"the rate must be from {SLOWEST:g} to {FASTEST:g} journeys a second", "rate")
        if self.limit is not None and self.limit < 1:
            raise BadOperation("the limit must be at least 1", "limit")
        self._check_which()
        check_arguments(self.operation, self.more)

    def _check_which(self) -> None:
        filters = {name: value for name, value in vars(self.which).items() if value is not None}
        if not filters:
            raise BadOperation("select journeys: by scenario, destination or since", "which")
        if self.everybody and self.operation is not Operation.LEAVE:
            raise BadOperation("'everybody' is for leave: leave it out", "everybody")
        if self.unknown and self.operation is not Operation.RETRY:
            raise BadOperation("'unknown' is for retry: leave it out", "unknown")
        if "version" in filters and "scenario" not in filters:
            raise BadOperation("a version needs a scenario: name it", "which", "version")
        for name, value in filters.items():
            if isinstance(value, str) and "\0" in value:
                raise BadOperation(f"'{name}' contains the character U+0000, which no id does", "which", name)
        if self.which.since is not None and self.which.since.tzinfo is None:
            raise BadOperation("'since' needs a time zone: such as 2026-03-31T10:00:00Z", "which", "since")
        known = _FILTERS.get(self.operation)
        for name in filters:
            if known is not None and name not in known:
                text = f"{self.operation} cannot select journeys by '{name}': it takes {', '.join(known)}"
                raise BadOperation(text, "which", name)
            if name in _HELD_FILTERS and (self.everybody or self.operation in NOT_HELD):
                raise BadOperation(f"'{name}' is for held journeys: leave it out", "which", name)
        if "state" in filters and (self.everybody or self.operation not in (Operation.SKIP, Operation.LEAVE)):
            raise BadOperation("'state' is for skip and leave without 'everybody': leave it out", "which", "state")
        if self.which.state == "retrying" and "reason" in filters:
            raise BadOperation("'reason' is for held journeys: leave it out", "which", "reason")
        if "campaign" in filters and not self.everybody:
            raise BadOperation("'campaign' is for leave with 'everybody': leave it out", "which", "campaign")
        if "operation" in filters:
            if self.operation is not Operation.RESUME:
                text = "'operation' is for resume: it names the pause whose journeys are resumed"
                raise BadOperation(text, "which", "operation")
            for name in filters.keys() - {"operation", "scenario"}:
                raise BadOperation(f"'operation' selects the journeys already: leave '{name}' out", "which", name)
        if known is not None and known[0] not in filters:
            raise BadOperation(f"{self.operation} needs a {known[0]}", "which", known[0])

    def as_json(self) -> dict[str, Any]:
        """Return the request in its stored form, without operation, operator and reason."""
        since = self.which.since
        which = {**self.which.model_dump(), "since": since and since.astimezone(UTC).isoformat()}
        return {
            "which": {name: value for name, value in which.items() if value is not None},
            "rate": self.rate,
            "limit": self.limit,
            "dry_run": self.dry_run,
            "everybody": self.everybody,
            "unknown": self.unknown,
            "uncertain": self.uncertain,
            "more": dict(self.more),
        }


def check_record(operator: str, reason: str) -> None:
    """Raise BadOperation if the operator or the reason is missing or too long."""
    for name, text in (("operator", operator), ("reason", reason)):
        if not text.strip() or len(text) > LONGEST:
            raise BadOperation(f"the {name} must have 1 to {LONGEST} characters", name)


def check_arguments(operation: Operation, more: Mapping[str, Any]) -> None:
    """Validate an operation's further arguments, as a journey would. Raise BadOperation if one is wrong or missing."""
    known = _ARGUMENTS.get(operation, {})
    for name in more:
        if name not in known:
            advice = f"it takes {', '.join(known)}" if known else "it takes no arguments of this kind"
            raise BadOperation(f"{operation} has no argument '{name[:40]}': {advice}", name)
    if operation is Operation.RETUNE and "retry" not in more:
        raise BadOperation("retune needs 'retry': the changes of the retry policy", "retry")
    for name in more:
        try:
            known[name](dict(more))
        except ApplicationError as error:
            raise BadOperation(error.message, name) from None


def operation_named(name: str) -> Operation:
    """Return the operation of a name. Raise BadOperation if there is no such operation."""
    try:
        return Operation(name)
    except ValueError:
        raise BadOperation(f"there is no operation '{name[:40]}': {', '.join(Operation)}", "operation") from None


def request_of(stored: StoredOperation) -> RequestedOperation:
    """Return the request of a stored operation. Raise BadOperation if a newer release has written it."""
    try:
        arguments = dict(stored.request)
        which = dict(arguments.pop("which"))
        if since := which.pop("since", None):
            which["since"] = datetime.fromisoformat(since)
        return RequestedOperation(
            operation=Operation(stored.verb),
            which=JourneyFilter(**which),
            operator=stored.operator,
            reason=stored.reason,
            **arguments,
        )
    except (KeyError, TypeError, ValueError):
        raise BadOperation("the operation was requested by a newer release: update this gateway") from None


_NUMBERS: Final = {
    "backoff_coefficient": f"the backoff coefficient must be from 1 to {STEEPEST}; with 1, all pauses are the same",
    "maximum_attempts": f"the number of attempts must be from 0, which means no limit, to {UNLIMITED}",
}


@dataclass(frozen=True, kw_only=True)
class RetryPolicyChange:
    """A change of a `scenario.plan.retry.RetryPolicy`. A field that is None is not changed. Durations in seconds."""

    initial_interval: float | None = None
    backoff_coefficient: float | None = None
    maximum_interval: float | None = None
    maximum_attempts: int | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        changed = self.given()
        if not changed:
            raise BadInput("name what to change: an interval, the coefficient, the attempts or the deadline")
        for name, value in changed.items():
            low, high = BOUNDS[name]
            if not low <= value <= high:
                problem = "is too long" if value > high else "must be greater than zero"
                raise BadInput(_NUMBERS.get(name, f"the {name.replace('_', ' ')} {problem}"), at=["retry", name])
        if not fit({STORED[name]: value for name, value in changed.items()}):
            text = "the initial interval cannot be longer than the maximum interval"
            raise BadInput(text, at=["retry", "initial_interval"])

    def given(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}
