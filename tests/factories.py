"""Rows of the store and failures with plausible values, of which a test names those that it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from activities.failures import Failure, FailureKind
from activities.interface import Delivery
from authoring.publishing import publish_checked
from runtime.api_keys import SCOPES, ApiKey, Scope, make_token
from runtime.store import AdmissionRequest, Attempt, CapClaim, Store, StoredEntry, StoredOperation
from runtime.store.campaigns import StoredCampaign
from scenario.check.check import check

T = TypeVar("T")

NOW: Final = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
"""The time of everything, unless a test gives another."""
TURNED_AWAY: Final = Failure(
    kind=FailureKind.RETRY,
    reason="wax has failed too often: this delivery waits",
    destination="wax",
    attempt=1,
    error="breaker_open",
    turned_away=True,
    why="wax has failed too often",
)
"""The failure of an attempt that an open breaker did not let through."""


def delivery(step: str = "told", **given: Any) -> Delivery:
    """Return a delivery of the scenario that `tests.fakes.Shelf` has published."""
    defaults: dict[str, Any] = {
        "id": "msg_1",
        "scenario": "post-purchase@3",
        "contact": "3028687",
        "now": "2026-03-02T09:30:00+01:00",
    }
    return Delivery(step=step, **{**defaults, **given})


def admission_request(contact_id: str = "7", scenario: str = "welcome", **given: Any) -> AdmissionRequest:
    key = given.get("key")
    defaults: dict[str, Any] = {
        "version": 1,
        "key": key,
        "workflow_id": "/".join(filter(None, (scenario, contact_id, key))),
        "run_id": "run-1",
        "again": "always",
        "admitted_at": given.pop("now", NOW),
        "trigger": "order",
    }
    return AdmissionRequest(scenario=scenario, contact_id=contact_id, **{**defaults, **given})


def stored_entry(contact_id: str = "7", scenario: str = "welcome", **given: Any) -> StoredEntry:
    key = given.get("key")
    defaults: dict[str, Any] = {
        "version": 1,
        "key": key,
        "workflow_id": "/".join(filter(None, (scenario, contact_id, key))),
        "run_id": "run-1",
        "ordinal": 1,
        "trigger": "order",
        "admitted_at": NOW,
        "ended_at": None,
        "outcome": None,
        "reason": None,
    }
    return StoredEntry(scenario=scenario, contact_id=contact_id, **{**defaults, **given})


def attempt(delivery_id: str = "msg_1", **given: Any) -> Attempt:
    """Return the first attempt of a webhook, which was delivered."""
    defaults: dict[str, Any] = {
        "attempt": 1,
        "workflow_id": "welcome/7",
        "run_id": "run-1",
        "scenario": "welcome",
        "version": 1,
        "step": "hook",
        "channel": "webhook",
        "destination": "hooks.example.com",
        "contact_id": "7",
        "started_at": NOW,
        "milliseconds": 12,
        "outcome": "delivered",
    }
    return Attempt(delivery_id, **{**defaults, **given})


def retried_attempt(delivery_id: str = "msg_1", **given: Any) -> Attempt:
    """Return the first attempt of a webhook, which failed and is tried again in a minute."""
    defaults: dict[str, Any] = {
        "outcome": "retry",
        "status": 503,
        "error": "ServiceUnavailable",
        "next_try_at": NOW + timedelta(minutes=1),
        "response": "try later",
    }
    return attempt(delivery_id, **{**defaults, **given})


def cap_claim(delivery_id: str = "msg_1", contact_id: str = "7", **given: Any) -> CapClaim:
    defaults: dict[str, Any] = {"channel": "sms", "destination": "", "scenario": "welcome", "claimed_at": NOW}
    return CapClaim(delivery_id, contact_id, **{**defaults, **given})


def stored_operation(identifier: str = "op1", **given: Any) -> StoredOperation:
    defaults: dict[str, Any] = {
        "verb": "retry",
        "request": {"which": {"destination": "wax"}},
        "operator": "ann",
        "reason": "x",
        "created_at": NOW,
    }
    return StoredOperation(id=identifier, **{**defaults, **given})


async def add_key(store: Store, *scopes: Scope, **given: Any) -> tuple[str, str]:
    """Store a new key, by default for everything. Return its token and its id."""
    token, identifier, digest = make_token()
    defaults: dict[str, Any] = {"scenarios": None, "rate": None, "note": "", "created_by": "ann"}
    key = ApiKey(identifier, digest, scopes or SCOPES, created_at=datetime.now(UTC), **{**defaults, **given})
    await store.add_key(key)
    return token, identifier


def stored_campaign(name: str = "sale", **given: Any) -> StoredCampaign:
    defaults: dict[str, Any] = {"scenario": "welcome", "version": 1, "file": "people.csv", "digest": "d", "rate": 50.0}
    defaults |= {"operator": "ann", "created_at": NOW}
    return StoredCampaign(name=name, **{**defaults, **given})


def present(value: T | None) -> T:
    """Return what is there, as the test knows."""
    assert value is not None
    return value


LATER_DOCUMENT: Final = {"scenario": "later", "trigger": "order", "steps": [{"fax": "hello"}]}
LATER_PLAN: Final = {"start": "hello", "steps": {"hello": {"kind": "fax", "next": None}}}
"""What a later release publishes, which has another kind of step."""


async def publish(store: Store, text: str) -> int:
    checked = check(text).scenario
    assert checked is not None
    return (await publish_checked(checked, store)).version
