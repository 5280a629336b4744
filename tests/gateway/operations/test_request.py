"""What an operation on many journeys may be asked for, and how the store keeps it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import BadOperation
from gateway.operations.request import RequestedOperation, request_of
from gateway.service.index import JourneyFilter
from runtime.store import StoredOperation
from scenario.words import Operation

NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
RETRY = RequestedOperation(
    operation=Operation.RETRY, which=JourneyFilter(destination="wax"), operator="ann", reason="it is back"
)
MIGRATE = replace(RETRY, operation=Operation.MIGRATE)


def stored(request: RequestedOperation, **more: Any) -> StoredOperation:
    return StoredOperation(
        id="op1",
        verb=request.operation,
        request={**request.as_json(), **more},
        operator=request.operator,
        reason=request.reason,
        created_at=NOW,
    )


@pytest.mark.parametrize(
    "request_",
    [
        RETRY,
        replace(
            RETRY, which=JourneyFilter(scenario="a", version=3, step="hook", reason="exhausted", since=NOW), limit=3
        ),
        replace(RETRY, more={"version": "newest", "now": True}, dry_run=True, rate=0.5),
        replace(RETRY, operation=Operation.LEAVE, which=JourneyFilter(scenario="a", since=NOW), everybody=True),
        replace(RETRY, operation=Operation.RESUME, which=JourneyFilter(scenario="a", operation="op0")),
        replace(RETRY, operation=Operation.RETUNE, more={"retry": {"deadline": "3d", "maximum_attempts": 0}}),
        replace(
            RETRY,
            operation=Operation.MIGRATE,
            which=JourneyFilter(scenario="a", step="x"),
            more={"map": {"x": "y"}, "waits": "restart"},
        ),
    ],
)
def test_what_makes_sense_is_kept_as_it_was_asked_for(request_: RequestedOperation) -> None:
    request_.check()
    assert request_of(stored(request_)) == request_


@pytest.mark.parametrize(
    ("changes", "at", "sentence"),
    [
        ({"operator": ""}, "operator", "the operator must have 1 to 500 characters"),
        ({"reason": "x" * 501}, "reason", "the reason must have 1 to 500 characters"),
        ({"rate": 0.001}, "rate", "the rate must be from 0.01 to 10000 journeys a second"),
        ({"rate": float("nan")}, "rate", "the rate must be"),
        ({"which": JourneyFilter(contact="\0")}, "which", "'contact' contains the character U+0000"),
        ({"limit": 0}, "limit", "the limit must be at least 1"),
        ({"which": JourneyFilter(contact="7", since=datetime(2026, 1, 1))}, "which", "'since' needs a time zone"),  # noqa: DTZ001
        (
            {"which": JourneyFilter(scenario="a", step="b"), "operation": Operation.LEAVE, "everybody": True},
            "which",
            "'step' is for held",
        ),
        (
            {"operation": Operation.MIGRATE, "which": JourneyFilter(scenario="a", contact="7")},
            "which",
            "migrate cannot select journeys by 'contact'",
        ),
        ({"which": JourneyFilter()}, "which", "select journeys: by scenario, destination or since"),
        ({"which": JourneyFilter(version=1)}, "which", "a version needs a scenario: name it"),
        ({"everybody": True}, "everybody", "'everybody' is for leave: leave it out"),
        ({"more": {"waits": "keep"}}, "waits", "retry has no argument 'waits': it takes version, now"),
        (
            {"operation": Operation.PAUSE, "more": {"now": True}},
            "now",
            "pause has no argument 'now': it takes no arguments",
        ),
        (
            {"operation": Operation.PAUSE, "which": JourneyFilter(step="a")},
            "which",
            "'step' is for held journeys: leave it out",
        ),
        (
            {"operation": Operation.RETUNE, "which": JourneyFilter(scenario="a")},
            "which",
            "retune cannot select journeys by 'scenario': it takes dest",
        ),
        ({"operation": Operation.RETUNE}, "retry", "retune needs 'retry'"),
        (
            {"operation": Operation.RETUNE, "more": {"retry": {"deadline": "soon"}}},
            "retry",
            "'deadline' must be a duration, such as 90s or 2h, or a number of seconds",
        ),
        ({"operation": Operation.MIGRATE, "which": JourneyFilter(step="a")}, "which", "migrate needs a scenario"),
        ({"which": JourneyFilter(operation="op0")}, "which", "'operation' is for resume"),
        ({"which": JourneyFilter(state="retrying")}, "which", "'state' is for skip and leave"),
        (
            {"operation": Operation.SKIP, "which": JourneyFilter(state="retrying", reason="exhausted")},
            "which",
            "'reason' is for held journeys",
        ),
        (
            {"operation": Operation.RESUME, "which": JourneyFilter(operation="op0", since=NOW)},
            "which",
            "'operation' selects the journeys already: leave 'since' out",
        ),
        ({"more": {"version": 0}}, "version", "'version' must be the number of a version"),
        ({"more": {"now": "yes"}}, "now", "'now' must be true or false"),
        (
            {"operation": Operation.MIGRATE, "which": JourneyFilter(scenario="a"), "more": {"map": {"a": 1}}},
            "map",
            "'map' must be an",
        ),
    ],
)
def test_what_makes_none_is_said_in_one_sentence(changes: dict[str, Any], at: str, sentence: str) -> None:
    with pytest.raises(BadOperation) as caught:
        replace(RETRY, **changes).check()
    assert caught.value.at is not None
    assert caught.value.at[0] == at
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("more", [{"fairness": 3}, {"which": {"moon": "full"}}, {"which": None}])
def test_what_another_release_has_asked_for_is_none_of_ours(more: dict[str, Any]) -> None:
    with pytest.raises(BadOperation, match="requested by a newer release: update this gateway"):
        request_of(stored(RETRY, **more))


def test_an_operation_of_another_release_is_none_of_ours() -> None:
    with pytest.raises(BadOperation, match="newer release"):
        request_of(replace(stored(RETRY), verb="explode"))
