"""What an operation on many journeys is to do, and to which: checked before it begins, and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from temporalio.exceptions import ApplicationError

from gateway.errors import BadOperation
from gateway.operations.batch import RATE
from gateway.operations.verbs import NOT_HELD, WORDS, Verb
from gateway.service.index import JourneyFilter
from runtime.store import StoredOperation
from workflows.operation import SLOWEST
from workflows.update_arguments import read_names, read_retry, read_version, read_waits

LONGEST: Final = 500
"""Characters of operator and reason: a journey refuses more."""
FASTEST: Final = 10_000.0
"""Journeys a second, at most."""

_BY_NAME: Final[Mapping[str, Verb]] = {verb: verb for verb in WORDS}
# Which of an operation's journeys can be named by what, beside those of which all are taken.
_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "retune": ("destination",),
    "migrate": ("scenario", "version", "step"),
}
_OF_HELD: Final = ("step", "reason")
# What else an operation takes, and what reads it.
_MORE: Final[Mapping[str, Mapping[str, Callable[[dict[str, Any]], Any]]]] = {
    "retry_step": {"version": read_version, "now": lambda given: _read_now(given)},
    "retune": {"retry": read_retry},
    "migrate": {"version": read_version, "map": read_names, "waits": read_waits},
}


@dataclass(frozen=True, kw_only=True)
class RequestedOperation:
    """An operation on many journeys.

    Attributes:
        verb: The update that each journey gets.
        which: What the journeys have in common.
        operator: Who.
        reason: Why.
        rate: Journeys a second at most.
        limit: So many at most; None: all that fit.
        dry_run: Only look for them.
        everybody: Of `leave`: all that are under way, held or not.
        more: What else the update takes; see `gateway.operations.one.Operations.batch`.
    """

    verb: Verb
    which: JourneyFilter
    operator: str
    reason: str
    rate: float = RATE
    limit: int | None = None
    dry_run: bool = False
    everybody: bool = False
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def check(self) -> None:
        """Makes sure that it makes sense, as far as can be told without a look at journeys.

        Raises:
            BadOperation: It does not.
        """
        if self.verb not in _BY_NAME:
            raise BadOperation(f"there is no operation '{str(self.verb)[:40]}': {', '.join(_BY_NAME)}", "operation")
        check_record(self.operator, self.reason)
        if not SLOWEST <= self.rate <= FASTEST:
            raise BadOperation(f"the rate must be from {SLOWEST:g} to {FASTEST:g} journeys a second", "rate")
        if self.limit is not None and self.limit < 1:
            raise BadOperation("the limit must be at least 1", "limit")
        self._check_which()
        check_more(self.verb, self.more)

    def _check_which(self) -> None:
        given = {name: value for name, value in vars(self.which).items() if value is not None}
        if not given:
            raise BadOperation("say which journeys are meant: by scenario, destination or since", "which")
        if self.everybody and self.verb != "leave":
            raise BadOperation("'everybody' is for leave: leave it out", "everybody")
        if "version" in given and "scenario" not in given:
            raise BadOperation("a version goes with a scenario: name it", "which", "version")
        for name, value in given.items():
            if isinstance(value, str) and "\0" in value:
                raise BadOperation(f"'{name}' holds the character U+0000, which no id does", "which", name)
        if self.which.since is not None and self.which.since.tzinfo is None:
            raise BadOperation("'since' needs a time zone: such as 2026-03-31T10:00:00Z", "which", "since")
        known = _OF.get(self.verb)
        for name in given:
            if known is not None and name not in known:
                text = f"'{name}' does not tell journeys of {WORDS[self.verb]} apart: it takes {', '.join(known)}"
                raise BadOperation(text, "which", name)
            if name in _OF_HELD and (self.everybody or self.verb in NOT_HELD):
                raise BadOperation(f"'{name}' is for held journeys: leave it out", "which", name)
        if "operation" in given:
            if self.verb != "resume":
                raise BadOperation(
                    "'operation' is for resume: it names the pause whose journeys go on", "which", "operation"
                )
            for name in given.keys() - {"operation", "scenario"}:
                raise BadOperation(f"'operation' names the journeys already: leave '{name}' out", "which", name)
        if known is not None and known[0] not in given:
            raise BadOperation(f"{WORDS[self.verb]} needs a {known[0]}", "which", known[0])

    def as_json(self) -> dict[str, Any]:
        """As the store keeps it, beside verb, operator and reason."""
        since = self.which.since
        which = {**self.which.model_dump(), "since": since and since.astimezone(UTC).isoformat()}
        return {
            "which": {name: value for name, value in which.items() if value is not None},
            "rate": self.rate,
            "limit": self.limit,
            "dry_run": self.dry_run,
            "everybody": self.everybody,
            "more": dict(self.more),
        }


def check_record(operator: str, reason: str) -> None:
    """Makes sure that somebody says who and why, as a journey wants it.

    Raises:
        BadOperation: Nobody does, or at too great length.
    """
    for name, said in (("operator", operator), ("reason", reason)):
        if not said.strip() or len(said) > LONGEST:
            raise BadOperation(f"say the {name} in 1 to {LONGEST} characters, for the record", name)


def check_more(verb: Verb, more: Mapping[str, Any]) -> None:
    """Makes sure of what an operation takes beside operator and reason, as a journey would.

    Raises:
        BadOperation: It is wrong, or not for this operation.
    """
    takes = _MORE.get(verb, {})
    for name in more:
        if name not in takes:
            what = f"it takes {', '.join(takes)}" if takes else "it takes nothing of the kind"
            raise BadOperation(f"{WORDS[verb]} knows no '{name[:40]}': {what}", name)
    if verb == "retune" and "retry" not in more:
        raise BadOperation("retune needs 'retry': what is to be changed of the policy", "retry")
    for name in more:
        try:
            takes[name](dict(more))
        except ApplicationError as error:  # as a journey would refuse it
            raise BadOperation(error.message, name) from None


def request_of(stored: StoredOperation) -> RequestedOperation:
    """What an operation on record was asked for.

    Raises:
        BadOperation: A release that knows more has written it.
    """
    try:
        given = dict(stored.request)
        which = dict(given.pop("which"))
        if since := which.pop("since", None):
            which["since"] = datetime.fromisoformat(since)
        verb = _BY_NAME[stored.verb]
        return RequestedOperation(
            verb=verb, which=JourneyFilter(**which), operator=stored.operator, reason=stored.reason, **given
        )
    except (KeyError, TypeError, ValueError):
        raise BadOperation("the operation was asked for by another release: update this gateway") from None


def _read_now(given: Mapping[str, Any]) -> None:
    if given["now"] is not True and given["now"] is not False:
        raise ApplicationError("'now' must be true or false", non_retryable=True)
