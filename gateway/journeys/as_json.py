"""Journeys as JSON for programs, and for the tables that people see.

**Keys are stable: some may be added, none is changed.**

`journey` gives, for ``scenario show --format json``:

| key | meaning |
|---|---|
| `id`, `run_id` | the workflow's, the run's |
| `scenario`, `contact`, `key` | ``post-purchase@3``, the contact's id, what tells it from others of the contact |
| `status` | Temporal's word: ``running``, ``completed``, ``failed``, …; ``forgotten`` after its retention |
| `state` | ``entering``, ``running``, ``waiting``, ``held``, ``paused``, ``leaving``; over: ``finished``, ``exited``, |
|  | ``control``, ``holdout``, ``refused``, ``lost``; or Temporal's word where the journey has none |
| `reason` | why it is held, paused, refused, left or failed; of a finished one, how many deliveries failed |
| `entered_at`, `ended_at` | when |
| `at`, `since` | the step at which it stands, since when |
| `waiting` | ``{"for", "until", …}``; held: ``{"for": "an operator", "step", "kind", "reason", "at", "destination",`` |
|  | ``"status", "attempts", "excerpt", "cause"}``, as far as known |
| `paused` | the operator's pause as in `operations`, also of a journey that is held; null where it is not paused |
| `moves_to` | the version in which it goes on once its delivery under way is over; null where it stays |
| `answered` | whether a worker answered; false: what follows is what the store and the result say |
| `steps` | ``{"id", "kind", "what", "state", "outcome", "reason", "status", "attempts", "at", "note",`` |
|  | ``"way"}``; `state` is ``done``, ``now`` or ``to come`` (may come: a fork ahead is not decided) |
| `steps_forgotten` | how many records of steps that were repeated are not among them |
| `rounds` | the repetitions that it is in: ``{"step", "round", "of"}``, the outermost first |
| `pending` | deliveries under way, as Temporal sees them: ``{"step", "state", "attempt", "next_try_at",`` |
|  | ``"last_failure", "retry", "gives_up_at", "turned_away", "why"}``; `retry` in a scenario's words, |
|  | durations in seconds |
| `deliveries` | see `attempt`, oldest first; of many the newest 1,000 |
| `earlier_deliveries` | whether there are attempts on record from before those |
| `events` | kept events: ``{"name", "at"}`` |
| `operations` | what operators did: ``{"name", "operator", "reason", "at", "step"}``, maybe ``"details"`` |
| `passed_over` | events, changes, time zones and conditions that could not be used: ``{"what", "reason", "at",`` |
|  | ``"count"}``, where `reason` and `at` are those of the last time |
| `goal` | until when the scenario's goal counts, when it was reached, what that is worth: ``{"until", "reached_at",`` |
|  | ``"value"}``; null where there is none |

Times are ISO 8601 in UTC; what is not known is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from gateway.journeys.pending_activities import Pending
from gateway.journeys.view import JourneyView, pause_in
from gateway.operations.retry_policy import PendingDelivery
from gateway.service.listing import ListedJourney
from runtime.store import Attempt, StoredEntry
from scenario.steps.base import Row

_STEP = ("id", "kind", "what", "state", "outcome", "reason", "status", "attempts", "at", "note", "way")


def journey(view: JourneyView) -> dict[str, Any]:
    """One journey, step by step; its keys are described above."""
    progress: Mapping[str, Any] = view.progress or {}
    result: Mapping[str, Any] = view.result or {}
    waiting: Mapping[str, Any] = progress.get("waiting") or {}
    entry = view.entry
    over = view.status not in ("running", "paused")
    return {
        "id": view.id,
        "run_id": view.run_id,
        "scenario": f"{entry.scenario}@{entry.version}" if entry else progress.get("scenario") or None,
        "contact": entry.contact_id if entry else None,
        "key": entry.key if entry else None,
        "status": view.status,
        "state": _state(view),
        "reason": _reason(view, waiting),
        "entered_at": iso(entry.admitted_at if entry else progress.get("entered_at")),
        "ended_at": iso(entry.ended_at) if entry else None,
        "at": None if over else _place(view),
        "since": None if over else iso(progress.get("since")),
        "waiting": None if over or not waiting else dict(waiting),
        "paused": None if over else pause_in(progress),
        "answered": view.progress is not None,
        "moves_to": None if over else progress.get("moves_to"),
        "steps": list(_steps(view, progress.get("steps") or result.get("steps") or ())),
        "steps_forgotten": progress.get("steps_forgotten") or 0,
        "rounds": [] if over else list(progress.get("rounds") or ()),
        "pending": [_pending(item) for item in view.pending],
        "deliveries": [attempt(item) for item in with_what_comes(view.attempts, view.pending)],
        "earlier_deliveries": view.earlier,
        "events": list(progress.get("events") or ()),
        "operations": list(progress.get("operations") or ()),
        "passed_over": list(progress.get("passed_over") or ()),
        "goal": _goal(entry),
    }


def with_what_comes(attempts: Sequence[Attempt], pending: Sequence[Pending]) -> list[Attempt]:
    """A journey's attempts, with the next one only where it is to come.

    What Temporal has scheduled is what will happen: an operator may have changed it, or the journey have left.
    """
    due = {item.step: item for item in pending}
    latest = {item.step: item for item in attempts}
    return [
        replace(item, next_try_at=going.next_try_at or item.next_try_at)
        if item is latest[item.step] and (going := due.get(item.step)) is not None
        else replace(item, next_try_at=None)
        for item in attempts
    ]


def attempt(item: Attempt) -> dict[str, Any]:
    """One attempt of a delivery: the fields of `runtime.store.Attempt`, for ``scenario deliveries --format json``."""
    return {**asdict(item), "started_at": iso(item.started_at), "next_try_at": iso(item.next_try_at)}


def listed(item: ListedJourney) -> dict[str, Any]:
    """One journey of a list, with the fields of `ListedJourney`, for ``scenario list --format json``."""
    times = {"entered_at": iso(item.entered_at), "ended_at": iso(item.ended_at), "since": iso(item.since)}
    return {**asdict(item), **times}


def flight(item: PendingDelivery) -> dict[str, Any]:
    """One delivery under way, for ``scenario retune --dry-run --format json``.

    Keys: `journey`, `step`, `delivery_id` and `attempts` (on record; both None where there is none), `pending` (as
    above).
    """
    return {
        "journey": item.journey,
        "step": item.step,
        "delivery_id": item.latest.delivery_id if item.latest else None,
        "attempts": item.latest.attempt if item.latest else None,
        "pending": _pending(item.pending),
    }


def _pending(item: Pending) -> dict[str, Any]:
    told = {**asdict(item), "next_try_at": iso(item.next_try_at), "gives_up_at": iso(item.gives_up_at)}
    return {key: value for key, value in told.items() if key not in ("activity", "fairness_key")}  # internal


def _goal(entry: StoredEntry | None) -> dict[str, Any] | None:
    if entry is None or entry.goal_until is None:
        return None
    return {"until": iso(entry.goal_until), "reached_at": iso(entry.reached_at), "value": entry.goal_value}


def _state(view: JourneyView) -> str:
    if view.status == "running" and view.entry is None and view.progress is None:
        return "entering"
    if view.status == "running":
        return str((view.progress or {}).get("state") or view.state or view.status)
    if view.status == "paused":  # the whole workflow, on the server: it does nothing at all
        return view.status
    if view.result is not None:
        return str(view.result.get("outcome") or view.status)
    if view.status == "forgotten" and view.entry is not None:
        return view.entry.outcome or "lost"
    return view.status


def _place(view: JourneyView) -> str | None:
    """The step at which it stands, as far as is known."""
    return view.progress.get("at") if view.progress is not None else view.step


def _reason(view: JourneyView, waiting: Mapping[str, Any]) -> str | None:
    entry = view.entry
    said = (view.result or {}).get("reason") or view.failure or waiting.get("reason")
    return said or (entry.reason if entry else None) or None


def _steps(view: JourneyView, done: Any) -> Iterator[dict[str, Any]]:
    steps: Mapping[str, Row] = view.plan.steps if view.plan else {}
    for record in done:
        what = steps[record["id"]].describe() if record.get("id") in steps else record.get("kind")
        yield _row({**record, "at": iso(record.get("at")), "what": what, "state": "done"})
    at = _place(view)
    if at is None or view.plan is None or at not in steps or view.status not in ("running", "paused"):
        return
    waiting: Mapping[str, Any] = (view.progress or {}).get("waiting") or {}
    now = {"id": at, "kind": steps[at].kind, "what": steps[at].describe(), "state": "now"}
    yield _row({**now, "outcome": _state(view), "reason": waiting.get("reason"), "status": waiting.get("status")})
    passed = {record.get("id") for record in done} | {at}
    for name in view.plan.ahead(at):
        if name not in passed:
            yield _row({"id": name, "kind": steps[name].kind, "what": steps[name].describe(), "state": "to come"})


def _row(known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: known.get(key) for key in _STEP}


def iso(moment: datetime | str | None) -> str | None:
    """A moment for programs: ISO 8601 in UTC."""
    if not moment:
        return None
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return parsed.astimezone(UTC).isoformat()
