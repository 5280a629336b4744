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
from tests.factories import stored_operation

NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
WAX = {"destination": "wax"}
HELD = JourneyFilter(scenario="a", version=3, step="hook", reason="exhausted", since=NOW)
RETRY = RequestedOperation(
    operation=Operation.RETRY, which=JourneyFilter.model_validate(WAX), operator="ann", reason="it is back"
)
MIGRATE = replace(RETRY, operation=Operation.MIGRATE)


def stored(request: RequestedOperation, **more: Any) -> StoredOperation:
    return stored_operation(
        verb=request.operation, request={**request.as_json(), **more}, reason=request.reason, operator=request.operator
    )


@pytest.mark.parametrize(
    "request_",
    [
        RETRY,
        replace(RETRY, which=HELD, limit=3),
        replace(RETRY, more={"version": "newest", "now": True}, dry_run=True, rate=0.5),
        replace(RETRY, operation=Operation.LEAVE, which=JourneyFilter(scenario="a", since=NOW), everybody=True),
        replace(RETRY, operation=Operation.RESUME, which=JourneyFilter(scenario="a", operation="op0")),
        replace(RETRY, operation=Operation.RETUNE, more={"retry": {"deadline": "3d", "maximum_attempts": 0}}),
        replace(MIGRATE, which=JourneyFilter(scenario="a", step="x"), more={"map": {"x": "y"}, "waits": "restart"}),
    ],
)
def test_what_makes_sense_is_kept_as_it_was_asked_for(request_: RequestedOperation) -> None:
    request_.check()
    assert request_of(stored(request_)) == request_


@pytest.mark.parametrize(
    ("operation", "which", "changes", "at", "sentence"),
    [
        ("retry", {}, {"operator": ""}, "operator", "the operator must have 1 to 500 characters"),
        ("retry", {}, {"reason": "x" * 501}, "reason", "the reason must have 1 to 500 characters"),
        ("retry", {}, {"rate": 0.001}, "rate", "the rate must be from 0.01 to 10000 journeys a second"),
        ("retry", {}, {"rate": float("nan")}, "rate", "the rate must be"),
        ("retry", {}, {"limit": 0}, "limit", "the limit must be at least 1"),
        ("retry", {}, {}, "which", "select journeys: by scenario, destination or since"),
        ("retry", {"contact": "\0"}, {}, "which", "'contact' contains the character U+0000"),
        ("retry", {"since": datetime(2026, 1, 1)}, {}, "which", "'since' needs a time zone"),  # noqa: DTZ001
        ("retry", {"version": 1}, {}, "which", "a version needs a scenario: name it"),
        ("retry", {"operation": "op0"}, {}, "which", "'operation' is for resume"),
        ("retry", {"state": "retrying"}, {}, "which", "'state' is for skip and leave"),
        ("retry", WAX, {"everybody": True}, "everybody", "'everybody' is for leave: leave it out"),
        ("retry", WAX, {"more": {"waits": "keep"}}, "waits", "retry has no argument 'waits': it takes version, now"),
        ("retry", WAX, {"more": {"version": 0}}, "version", "'version' must be the number of a version"),
        ("retry", WAX, {"more": {"now": "yes"}}, "now", "'now' must be true or false"),
        ("leave", {"scenario": "a", "step": "b"}, {"everybody": True}, "which", "'step' is for held"),
        ("skip", {"state": "retrying", "reason": "exhausted"}, {}, "which", "'reason' is for held journeys"),
        ("pause", WAX, {"more": {"now": True}}, "now", "pause has no argument 'now': it takes no arguments"),
        ("pause", {"step": "a"}, {}, "which", "'step' is for held journeys: leave it out"),
        ("resume", {"operation": "op0", "since": NOW}, {}, "which", "'operation' selects the journeys already: leave"),
        ("retune", {"scenario": "a"}, {}, "which", "retune cannot select journeys by 'scenario': it takes dest"),
        ("retune", WAX, {}, "retry", "retune needs 'retry'"),
        ("retune", WAX, {"more": {"retry": {"deadline": "soon"}}}, "retry", "'deadline' must be a duration, such as"),
        ("migrate", {"scenario": "a", "contact": "7"}, {}, "which", "migrate cannot select journeys by 'contact'"),
        ("migrate", {"step": "a"}, {}, "which", "migrate needs a scenario"),
        ("migrate", {"scenario": "a"}, {"more": {"map": {"a": 1}}}, "map", "'map' must be an"),
    ],
)
def test_what_makes_none_is_said_in_one_sentence(
    operation: str, which: dict[str, Any], changes: dict[str, Any], at: str, sentence: str
) -> None:
    with pytest.raises(BadOperation) as caught:
        replace(RETRY, operation=Operation(operation), which=JourneyFilter(**which), **changes).check()
    assert caught.value.at is not None
    assert caught.value.at[0] == at
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("more", [{"fairness": 3}, {"which": {"moon": "full"}}, {"which": None}])
def test_what_another_release_has_asked_for_is_none_of_ours(more: dict[str, Any]) -> None:
    with pytest.raises(BadOperation, match="requested by a newer release: update this gateway"):
        request_of(stored(RETRY, **more))
    with pytest.raises(BadOperation, match="newer release"):
        request_of(replace(stored(RETRY), verb="explode"))
