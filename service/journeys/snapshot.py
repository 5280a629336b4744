"""Everything that Temporal, the workflow and the store know about a journey, read at one time.

`describe` and `pending` return what Temporal alone knows: its runs, and its deliveries in progress.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, cast

from pydantic import Field, PlainSerializer, ValidationError
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure as TemporalFailure
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistoryEventFilterType,
    WorkflowQueryFailedError,
)
from temporalio.converter import decode_typed_search_attributes
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.service import RPCError

from activities.failures import Failure, failure_of
from runtime.encryption.keyring import Erased, UnknownKey
from runtime.search_attributes import JOURNEY_STATE, LAST_HELD, STEP_ID
from runtime.store import Attempt, Store, StoredEntry
from runtime.temporal_faults import NO_WORKER, is_unknown_workflow, unless_gone
from scenario.plan.plan import Plan, load_plan
from scenario.plan.retry import RetryPolicy
from scenario.policies.draw import WITHHELD
from scenario.words import JourneyState
from service.errors import NotFound
from service.view import View

LONGEST: Final = 1000  # maximum bytes of a workflow id in Temporal
_UNUSED: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def check_identifier(journey: str, run_id: str | None = None) -> None:
    """Raise NotFound if no workflow can have these ids, which Temporal would answer with a fault."""
    if not journey or len(journey) > LONGEST or _UNUSED.search(journey) or len(journey.encode()) > LONGEST:
        raise NotFound("there is no journey of this id: list the journeys to find its id")
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise NotFound(f"there is no such run of the journey '{journey}': leave the run out to see the newest")


class DeliveryStatus(View):
    """A delivery in progress, from Temporal."""

    step: str
    """Step id."""
    state: str
    """`scheduled` (waits for its turn or the next attempt), `started`, `paused`, …"""
    attempt: int
    """Number of the attempt, from 1; those that ended before sending do not count."""
    next_try_at: datetime | None = None
    """Time of the next attempt; null while one is running."""
    last_failure: str | None = None
    """Failure of the last attempt."""
    retry: Annotated[RetryPolicy, PlainSerializer(asdict)] | None = None
    """Retry policy with an operator's changes, durations in seconds; null if the server does not report it."""
    gives_up_at: datetime | None = None
    """End of the deadline."""
    activity: Annotated[str, Field(exclude=True)] = ""
    """Type of the activity, such as `send_webhook`."""
    fairness_key: Annotated[str, Field(exclude=True)] = ""
    """Key by which the server limits the rate: the beginning of a webhook's destination, or empty."""
    turned_away: str | None = None
    """Reason why the last attempt was refused before sending, in one word: `breaker_open`, `busy`, …"""
    why: str | None = None
    """The same in a few words, or the failure of the last attempt."""
    journey_state: Annotated[JourneyState, Field(exclude=True)] = JourneyState.RUNNING
    """State of the journey because of it."""


async def describe(
    temporal: Client, journey: str, run_id: str | None = None, *, patience: timedelta | None = None
) -> DescribeWorkflowExecutionResponse | None:
    """Return Temporal's description of a journey, or None if it does not exist."""
    # Not the handle's own describe(): it cannot read a workflow that was paused on the server, and omits the first run.
    execution = WorkflowExecution(workflow_id=journey, run_id=run_id or "")
    with unless_gone():
        return await temporal.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=temporal.namespace, execution=execution),
            retry=True,
            timeout=patience,
        )
    return None


def word_of(info: WorkflowExecutionInfo) -> str:
    """Return the status of a run in a word, such as ``running`` or ``continued_as_new``."""
    try:
        name = WorkflowExecutionStatus.Name(info.status)
    except ValueError:  # of a newer server
        return "unknown"
    return name.removeprefix("WORKFLOW_EXECUTION_STATUS_").lower()


async def pending_of(temporal: Client, journey: str) -> list[DeliveryStatus]:
    described = await describe(temporal, journey)
    return await pending(temporal, described) if described else []


async def pending(temporal: Client, described: DescribeWorkflowExecutionResponse) -> list[DeliveryStatus]:
    return [
        _pending(activity, await _failure(temporal, activity.last_failure)) for activity in described.pending_activities
    ]


async def _failure(temporal: Client, told: TemporalFailure) -> Failure | None:
    """Return the details of a failed attempt, or None if they are not ours or cannot be decrypted here."""
    if not told.application_failure_info.details.payloads:
        return None
    try:
        error = await temporal.data_converter.decode_failure(told)
    except Exception:  # of whatever codec: what can be shown without is shown
        return None
    return failure_of(error) if isinstance(error, ApplicationError) else None


def _pending(activity: PendingActivityInfo, failure: Failure | None) -> DeliveryStatus:
    name = PendingActivityState.Name(activity.state)
    state = JourneyState.RUNNING
    if activity.HasField("last_failure"):  # the first attempt may have been put off
        is_waiting = failure is not None and failure.attempt <= failure.unsent
        state = JourneyState.WAITING if is_waiting else JourneyState.RETRYING
    room = activity.activity_options.start_to_close_timeout.ToTimedelta()  # see `Delivery.room`
    return DeliveryStatus(
        step=activity.activity_id,
        state=name.removeprefix("PENDING_ACTIVITY_STATE_").lower(),
        # Temporal's number also counts attempts that sent nothing, such as while a circuit breaker was open.
        attempt=activity.attempt if failure is None else failure.attempt - failure.unsent + 1,
        next_try_at=activity.next_attempt_schedule_time.ToDatetime(UTC)
        if activity.HasField("next_attempt_schedule_time")
        else None,
        last_failure=activity.last_failure.message or None,
        retry=_policy(activity),
        gives_up_at=activity.expiration_time.ToDatetime(UTC) - room if activity.HasField("expiration_time") else None,
        activity=activity.activity_type.name,
        fairness_key=activity.priority.fairness_key,
        turned_away=failure.error if failure and failure.turned_away else None,
        why=(failure.why or failure.reason) if failure else activity.last_failure.message or None,
        journey_state=state,
    )


def _policy(activity: PendingActivityInfo) -> RetryPolicy | None:
    options = activity.activity_options
    if not options.HasField("retry_policy"):
        return None
    policy = options.retry_policy
    return RetryPolicy(
        initial_interval=_seconds(policy.initial_interval.ToTimedelta()),
        backoff_coefficient=round(policy.backoff_coefficient, 6),
        maximum_interval=_seconds(policy.maximum_interval.ToTimedelta()),
        maximum_attempts=policy.maximum_attempts,
        deadline=_seconds(
            max(
                timedelta(0),
                options.schedule_to_close_timeout.ToTimedelta() - options.start_to_close_timeout.ToTimedelta(),
            )
        ),
    )


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 3)


QUERY: Final = timedelta(seconds=3)  # time to wait for a workflow's answer to a query. Without a worker, none comes.

SHOWN: Final = 1000  # maximum number of attempts of one journey. `scenario deliveries` lists more.


@dataclass(frozen=True)
class JourneySnapshot:
    """A journey, seen from outside."""

    id: str
    run_id: str
    status: str
    """Temporal's status: ``running``, ``completed``, ``failed``, …; ``forgotten`` after its retention; ``inline`` if a
    campaign sends or has sent its message without a workflow."""
    progress: dict[str, Any] | None  # the answer to the query `progress`; None if no worker answers
    entry: StoredEntry | None  # the store's record of its admission; None if it was refused
    attempts: Sequence[Attempt]  # recorded delivery attempts, oldest first; at most the newest `SHOWN`
    result: dict[str, Any] | None = None
    failure: str | None = None  # why it has no result, if it ended without one
    plan: Plan | None = None  # the version that it follows; None if it was refused
    pending: Sequence[DeliveryStatus] = ()
    state: str | None = None
    """Its state according to search attributes, for when no worker answers. It may lag by some steps."""
    step: str | None = None  # its step according to search attributes
    earlier: bool = False  # whether there are older recorded attempts
    last_held: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Why it was last held, from its memo; empty if it never was."""


async def read(temporal: Client, store: Store, journey: str, run_id: str | None) -> JourneySnapshot:
    """Read a journey. Raise NotFound if neither Temporal nor the store knows it.

    Without a run, it is the running one, or else the one that was admitted last. A later run that was refused says
    nothing about the journey that a person asks for.
    """
    check_identifier(journey, run_id)
    entry = await store.entry(journey, run_id)
    described = await describe(temporal, journey, run_id)
    if described is not None and entry is not None and run_id is None:
        info = described.workflow_execution_info
        if info.first_run_id != entry.run_id:
            if word_of(info) in ("running", "paused"):
                entry = None  # this run has not been admitted yet
            else:
                described = await describe(temporal, journey, await last_run(temporal, journey, entry.run_id))
    if described is not None:
        return await _look(temporal, store, described, entry)
    if entry is None:
        if await store.has_entered(journey):
            advice = ", but a contact of this id: list the journeys of this contact"
        else:
            advice = ": list the journeys to find its id"
        raise NotFound(f"there is no journey '{journey}'{advice}")
    return await _forgotten(store, entry)


async def read_admitted(temporal: Client, store: Store, entry: StoredEntry) -> JourneySnapshot:
    """Read the journey that an entry admitted, in its current or last run."""
    journey = entry.workflow_id
    described = None if entry.is_inline else await describe(temporal, journey)
    if described is not None and described.workflow_execution_info.first_run_id != entry.run_id:
        described = await describe(temporal, journey, await last_run(temporal, journey, entry.run_id))
    return await (_forgotten(store, entry) if described is None else _look(temporal, store, described, entry))


async def _forgotten(store: Store, entry: StoredEntry) -> JourneySnapshot:
    attempts, earlier = await _attempts(store, entry)
    plan = await _plan(store, entry)
    status = "inline" if entry.is_inline else "forgotten"
    return JourneySnapshot(entry.workflow_id, entry.run_id, status, None, entry, attempts, plan=plan, earlier=earlier)


async def _look(
    temporal: Client, store: Store, described: DescribeWorkflowExecutionResponse, entry: StoredEntry | None
) -> JourneySnapshot:
    execution = described.workflow_execution_info.execution
    status = word_of(described.workflow_execution_info)
    handle = temporal.get_workflow_handle(execution.workflow_id, run_id=execution.run_id)
    result, failure = await end_of(handle) if status not in ("running", "paused") else (None, None)
    known = decode_typed_search_attributes(described.workflow_execution_info.search_attributes)
    # A run that ended immediately has no state, and a paused workflow answers no query.
    asked = status != "paused" and (result is None or result.get("outcome") not in ("refused", *WITHHELD))
    attempts, earlier = await _attempts(store, entry) if entry else ([], False)
    return JourneySnapshot(
        id=execution.workflow_id,
        run_id=execution.run_id,
        status=status,
        progress=await progress_of(handle) if asked else None,
        entry=entry,
        attempts=attempts,
        result=result,
        failure=failure,
        plan=await _plan(store, entry),
        pending=tuple(await pending(temporal, described)),
        state=known.get(JOURNEY_STATE),
        step=known.get(STEP_ID) or None,
        earlier=earlier,
        last_held=await _last_held(temporal, described),
    )


async def _last_held(temporal: Client, described: DescribeWorkflowExecutionResponse) -> Mapping[str, Any]:
    noted = described.workflow_execution_info.memo.fields
    if LAST_HELD not in noted:
        return {}
    try:
        (held,) = await temporal.data_converter.decode([noted[LAST_HELD]])
    except Exception:  # of whatever codec: what can be shown without is shown
        return {}
    return cast("Mapping[str, Any]", held) if isinstance(held, Mapping) else {}


async def _attempts(store: Store, entry: StoredEntry) -> tuple[list[Attempt], bool]:
    """Return a journey's newest attempts, and whether there are earlier ones.

    They are selected by time, because an attempt has its own run id, not the first one of a chain. Attempts after the
    end are included: after a reset, an ended journey can send again. Those of a later journey with the same id are not.
    """
    later = await store.entry_after(entry)
    before = later.admitted_at if later else None
    found = await store.deliveries(entry.workflow_id, since=entry.admitted_at, before=before, limit=SHOWN + 1)
    return found[-SHOWN:], len(found) > SHOWN


async def progress_of(handle: WorkflowHandle[Any, Any]) -> dict[str, Any] | None:
    """Return the workflow's answer to `progress`, or None if no worker answers in time."""
    try:
        async with asyncio.timeout(QUERY.total_seconds() + 1):
            return await handle.query("progress", result_type=dict, rpc_timeout=QUERY)
    except RPCError as error:
        if error.status in NO_WORKER or is_unknown_workflow(error):
            return None
        raise
    except (WorkflowQueryFailedError, TimeoutError):  # its code cannot answer: a replay that fails, say
        return None


def pause_in(progress: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the operator's current pause from a journey's progress, or None if it is not paused.

    `waiting` describes only one thing: if a paused journey is also held, the pause is in its list of operations.
    """
    given = [item for item in progress.get("operations") or () if item.get("name") in ("pause", "resume")]
    return dict(given[-1]) if given and given[-1]["name"] == "pause" else None


async def last_run(temporal: Client, journey: str, run_id: str) -> str:
    """Return the run in which a journey ended that has continued as new since its first run."""
    while True:
        handle = temporal.get_workflow_handle(journey, run_id=run_id)
        following = ""
        with unless_gone():
            async for event in handle.fetch_history_events(
                event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
            ):
                following = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        if not following:
            return run_id
        run_id = following


async def end_of(handle: WorkflowHandle[Any, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """Return the result of a closed run, or why it has none."""
    try:
        result: Any = await handle.result(follow_runs=False)
    except WorkflowFailureError as error:
        return None, why_failed(error.cause)
    except (Erased, UnknownKey) as error:
        return None, f"ended, and its result cannot be read: {error}"
    return (cast("dict[str, Any]", result) if isinstance(result, dict) else {}), None


def why_failed(cause: BaseException | None) -> str:
    """Describe how a workflow without a result ended, to complete "the journey …"."""
    match cause:
        case ApplicationError():
            return f"failed: {cause.message}"
        case TerminatedError():
            return "was terminated"
        case CancelledError():
            return "was cancelled"
        case _:
            return "failed: see it in Temporal's UI"


async def read_plan(store: Store, scenario: str, version: int | None = None) -> Plan | None:
    """Return the plan of a version, by default the newest, or None if it is unknown or of a later release."""
    published = await store.version(scenario, version)
    try:
        return load_plan(published.plan) if published else None
    except ValidationError:
        return None


async def _plan(store: Store, entry: StoredEntry | None) -> Plan | None:
    return await read_plan(store, entry.scenario, entry.version) if entry else None
