"""Batch calls: journeys join a batch, its delivery sends the items, and its end wakes the journeys that wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities import redaction
from activities.background import BATCH_WORKFLOW, FULL, SETTLE, BatchEnd, BatchStart
from activities.content import Content, UnknownVersion
from activities.failures import FailureKind
from activities.interface import JOURNEYS, Delivery, priority_of
from activities.open_attempt import OpenAttempt
from activities.outcome import Backoff, Judgement, Outcome, Verdict
from activities.periodic import repeating
from activities.retry import jittered
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import is_deferred, item_outcomes, not_delivered, parse_retry_after
from activities.webhook.rendering import render
from runtime.encryption.codec import EntryCodec
from runtime.errors import StoreError
from runtime.store import Store
from runtime.store.batches import StoredBatch, StoredBatchItem
from runtime.telemetry.metrics import BATCH_ITEMS
from runtime.temporal_faults import is_unknown_workflow
from scenario.errors import Aborted, MissingVariable
from scenario.model.batch import BatchCall, item_of, value_at_path
from scenario.steps.delivery import Send, delivery_id
from scenario.steps.registry import dump_row
from scenario.steps.webhook import Webhook
from scenario.words import ItemOutcome

EVERY: Final = 60.0  # seconds between two looks for batches without a workflow
LEASE: Final = "batches"
_LOST: Final = timedelta(minutes=1)  # time after which a batch that is due and has not ended may have lost its workflow
_SOON: Final = timedelta(seconds=2)
_SELDOM: Final = timedelta(minutes=5)
"""Minimum and maximum pause before an item's outcome is read again. Its batch usually ends the pause."""
_RPC: Final = timedelta(seconds=5)
_TRIES: Final = 3
_PAGE: Final = 1_000
_AT_ONCE: Final = 20
_MOST_REASONS: Final = 200
_UNRECORDED: Final = "the worker or the store was lost while the response was recorded"
_MASK: Final = "x"  # stands for each secret when a rendering is only tried


class Members(NamedTuple):
    """The members of a frozen batch that its next request has."""

    batch: StoredBatch
    items: Sequence[StoredBatchItem]
    data: Sequence[Mapping[str, Any]]  # the variables of each
    deferred: int  # how often the receiver wanted them later

    def request_id(self, delivery: Delivery) -> str:
        """Return the id of the request: another one once the body has fewer items."""
        return f"{delivery.id}-{self.deferred + 1}" if self.deferred else delivery.id


class Batches:
    """Batches in the store, and their workflows."""

    def __init__(self, store: Store, content: Content) -> None:
        self._store, self._content = store, content

    # ---- joining

    async def join(self, attempt: OpenAttempt, step: Webhook, batch: BatchCall, data: Mapping[str, Any]) -> None:
        """Join a batch, and wait for its outcome if the step does. Idempotent.

        Raise ApplicationError if the item has no outcome yet or was not delivered, or policies defer it; TemplateError
        if the step cannot be rendered for this contact; Aborted if policies or a template skip it.
        """
        delivery, info, attempt.is_item = attempt.delivery, attempt.context.info, True
        attempt.destination = step.to or urlsplit(step.url or "").hostname or ""
        item = await self._store.batch_item(delivery.id)
        # An operator has scheduled the step again after its item was not delivered: it joins another batch.
        is_again = item is not None and info.scheduled_time > item.joined_at
        if item is None or (is_again and item.outcome not in (None, "delivered")):
            await self._try_alone(delivery, step, data)
            await attempt.may_leave()
            await self._add(attempt, batch, item_of(data))
            item = await self._store.batch_item(delivery.id)
            assert item is not None  # noqa: S101 it was added, and only the journey's exit deletes it
        stored = await self._store.stored_batch(item.batch)
        if item.outcome is None and stored is not None and stored.frozen_at is None:
            await self._run(stored)
        if not batch.wait:
            attempt.batched(f"in {stored.delivery_id}" if stored else None)
        else:
            self._tell(attempt, item, stored)

    async def _try_alone(self, delivery: Delivery, step: Webhook, data: Mapping[str, Any]) -> None:
        """Render a batch of one contact: a mistake in its data, or an abort, must not end the batch of others."""
        names = (await self._content.open(delivery.name, delivery.version)).secrets(delivery.step)
        try:
            render(step, {**data, "secrets": dict.fromkeys(names or (), _MASK)}, delivery.id)
        except MissingVariable as error:
            if error.path[:1] != ("secrets",):  # its name is computed
                raise

    def _tell(self, attempt: OpenAttempt, item: StoredBatchItem, stored: StoredBatch | None) -> None:
        """Pass on an item's outcome, or wait for it."""
        note = f"in {stored.delivery_id}" if stored else None
        match item.outcome:
            case "delivered":
                attempt.delivered(item.status, note=note)
            case "skipped":
                raise Aborted(item.reason or "its batch was skipped")
            case "refused" | "unknown":
                is_unknown = item.outcome == "unknown"
                raise attempt.failure(
                    FailureKind.UNKNOWN if is_unknown else FailureKind.PERMANENT,
                    not_delivered(attempt.destination, item.outcome, item.reason),
                    status=item.status,
                    error=f"item_{item.outcome}",
                    unknown=is_unknown,
                )
            case _:
                raise attempt.backed_off(_pause(attempt, stored))

    async def _add(self, attempt: OpenAttempt, batch: BatchCall, data: dict[str, Any]) -> None:
        """Make the delivery an item of the step's open batch. Open one if there is none."""
        delivery, info = attempt.delivery, attempt.context.info
        size = len(json.dumps(data, ensure_ascii=False).encode(errors="replace"))
        name, version, at_step = delivery.name, delivery.version, delivery.step
        while True:
            now = attempt.now
            taken = await self._store.take_place(name, version, at_step, size=size, most=batch.size, now=now)
            if taken is None:
                await self._store.open_batch(_new(delivery, batch, now))
                continue
            item = StoredBatchItem(
                delivery_id=delivery.id,
                batch=taken.id,
                position=taken.places,
                contact_id=delivery.contact,
                workflow_id=info.workflow_id or "",
                waiting_run=info.workflow_run_id if batch.wait else None,
                data=await EntryCodec(activity.client()).encode(taken.id, data),
                joined_at=info.scheduled_time,
            )
            if await self._store.join_batch(item):
                return
            current = await self._store.batch_item(delivery.id)
            if current is not None and current.outcome is None:
                return  # an earlier attempt added it, and then its worker was lost

    async def _run(self, batch: StoredBatch) -> None:
        """Make sure that a batch has a workflow, which knows if it is full."""
        client = activity.client()
        if batch.started_at is None:
            await start_batch(client, self._store, self._content, batch)
        if batch.closed_at is not None:
            try:
                handle = client.get_workflow_handle(batch.id)
                await handle.signal("event", {"name": FULL, "id": FULL}, rpc_timeout=_RPC)
            except RPCError as error:
                if not is_unknown_workflow(error):  # otherwise it has ended
                    raise

    # ---- sending

    async def members(self, attempt: OpenAttempt) -> Members | None:
        """Freeze a batch, and return its members. Return None if it was sent, and an earlier attempt did not report it.

        Raise Aborted if it has none, or has ended.
        """
        now = attempt.now
        batch = await self._store.freeze_batch(attempt.delivery.contact, now)
        if batch is None or batch.ended_at is not None:
            raise Aborted("the batch has ended")
        items: list[StoredBatchItem] = []
        while found := await self._store.batch_items(batch.id, after=items[-1].position if items else 0, limit=_PAGE):
            items += found
        if not items:
            raise Aborted("every contact has left")
        deferred = max(item.deferred for item in items)
        recorded = next((item for item in items if item.data is None and item.deferred == deferred), None)
        # Items without an outcome, although the response to their request was recorded, are unknown.
        lost = deferred if recorded else deferred - 1
        if any(item.data is not None and item.deferred <= lost for item in items):
            status = recorded.status if recorded else None
            await self._store.record_item_outcomes(
                batch.id, "unknown", now, reason=_UNRECORDED, status=status, deferred=lost
            )
        if recorded:
            attempt.delivered(recorded.status)
            return None
        items = [item for item in items if item.data is not None and item.deferred == deferred]
        data, codec = list[Mapping[str, Any]](), EntryCodec(activity.client())
        for item in items:
            data.append(await codec.decode(batch.id, item.data or ""))
            if not len(data) % _AT_ONCE:
                await asyncio.sleep(0)  # other deliveries run meanwhile
        return Members(batch, items, data, deferred)

    async def record(
        self,
        attempt: OpenAttempt,
        members: Members,
        batch: BatchCall,
        response: Response,
        hidden: redaction.KnownSecrets,
    ) -> str | None:
        """Record the outcome of each item after a 2xx. Return a note about items that were not delivered.

        The store is tried several times, since the request must otherwise be sent again. Raise ApplicationError if the
        response with the results was cut off, or if the receiver wants some items later: the next attempt has only
        these.
        """
        if batch.results is not None and response.body_error is not None:
            sentence = f"{attempt.destination} answered {response.status}, and the results of the items were cut off"
            judgement = Judgement(Verdict(Outcome.RETRY, response.body_error, unknown=True), sentence)
            raise attempt.failed(judgement, status=response.status)
        if batch.key is None:
            identifiers = [item.contact_id for item in members.items]
        else:
            identifiers = [value_at_path(data, batch.key) for data in members.data]
        outcomes, note = item_outcomes(batch, response, identifiers)
        at, identifier = attempt.now, members.batch.id
        groups: dict[tuple[ItemOutcome, str | None], list[int]] = {}
        deferred: dict[str | None, list[int]] = {}
        for item, answer in zip(members.items, outcomes, strict=True):
            if answer.outcome != "delivered":
                shown = redaction.excerpt(answer.reason.encode(), hidden) if answer.reason else None
                reason = shown if len(groups) + len(deferred) < _MOST_REASONS else None
                places = deferred.setdefault(reason, []) if is_deferred(answer) else None
                (groups.setdefault((answer.outcome, reason), []) if places is None else places).append(item.position)
        for number in range(1, _TRIES + 1):
            try:
                # Deferred items come first: their higher number shows a recording that was cut short.
                for reason, places in deferred.items():
                    await self._store.defer_items(identifier, places, members.deferred + 1, reason=reason)
                for (outcome, reason), places in groups.items():
                    await self._store.record_item_outcomes(
                        identifier, outcome, at, positions=places, reason=reason, status=response.status
                    )
                await self._store.record_item_outcomes(
                    identifier, "delivered", at, status=response.status, deferred=members.deferred
                )
                break
            except StoreError:
                if number == _TRIES:
                    raise
                await asyncio.sleep(number)
        destination = attempt.destination
        for (outcome, _), places in groups.items():
            BATCH_ITEMS.add(destination, outcome, number=len(places))
        failed, later = sum(map(len, groups.values())), sum(map(len, deferred.values()))
        if failed + later < len(members.items):
            BATCH_ITEMS.add(destination, "delivered", number=len(members.items) - failed - later)
        if later:
            sentence = f"{destination} wants {later:,} of {len(members.items):,} items later"
            asked = parse_retry_after(response.headers.get("retry-after"), at)
            judgement = Judgement(Verdict(Outcome.RETRY, "items_deferred"), sentence, asked)
            raise attempt.failed(judgement, status=response.status, excerpt=redaction.excerpt(response.body, hidden))
        return note or (f"{failed:,} of {len(members.items):,} items were not delivered" if failed else None)

    # ---- the end

    @activity.defn(name=SETTLE.name)
    async def settle_batch(self, end: BatchEnd) -> None:
        """Record the end of a batch, and wake the activities that wait for it."""
        now = activity.info().started_time
        # If it was ended while contacts joined it, no further contact may join.
        await self._store.freeze_batch(end.batch, now)
        await self._store.record_item_outcomes(end.batch, end.outcome, now, reason=end.reason)
        await self._store.end_batch(end.batch, end.outcome, now)
        client, turns = activity.client(), asyncio.Semaphore(_AT_ONCE)

        async def wake(item: StoredBatchItem) -> None:
            async with turns:
                activity.heartbeat()
                # Otherwise it finds the outcome itself, some minutes later.
                with suppress(RPCError):
                    await client.workflow_service.reset_activity(_reset(client, item, end.step), timeout=_RPC)

        after = 0
        while items := await self._store.batch_items(end.batch, after=after, limit=_PAGE):
            await asyncio.gather(*(wake(item) for item in items if item.waiting_run is not None))
            after = items[-1].position


def _new(delivery: Delivery, batch: BatchCall, now: datetime) -> StoredBatch:
    # Without a slash, which would make a part of it a contact's id: see `runtime.encryption.codec.contact_of`.
    name = f"batch-{uuid4().hex}"
    return StoredBatch(
        id=name,
        scenario=delivery.name,
        version=delivery.version,
        step=delivery.step,
        delivery_id=delivery_id(name, name, delivery.step, 0),
        created_at=now,
        due_at=now + batch.within,
    )


def _pause(attempt: OpenAttempt, batch: StoredBatch | None) -> Backoff:
    """Return the pause before an item's outcome is read again."""
    now = attempt.now
    if batch is None or batch.frozen_at is None:
        due = now if batch is None else batch.due_at
        delay, why = max(due - now, timedelta(0)) + _SOON, "its batch is being filled"
    else:
        delay = min(max((now - batch.frozen_at) / 4, _SOON), _SELDOM)
        why = f"its batch {batch.delivery_id} is being sent"
    pause = delay - _SOON + jittered(_SOON, attempt.delivery.id, activity.info().attempt)
    return Backoff(pause, why, "this delivery waits for the outcome", "batch")


def _reset(client: Client, item: StoredBatchItem, step: str) -> ResetActivityRequest:
    """Return the request that lets an activity make its next attempt now."""
    execution = WorkflowExecution(workflow_id=item.workflow_id, run_id=item.waiting_run or "")
    return ResetActivityRequest(namespace=client.namespace, execution=execution, id=step, identity=client.identity)


async def start_batch(client: Client, store: Store, content: Content, batch: StoredBatch) -> bool:
    """Start a batch's workflow. Return False if it runs, or has completed.

    One that was terminated on the server starts again, with the same members and the same delivery id.
    """
    opened = await content.open(batch.scenario, batch.version)
    row = opened.table.steps.get(batch.step)
    if not isinstance(row, Send) or row.batch is None:
        raise UnknownVersion(f"the step '{batch.step}' of {batch.scenario}@{batch.version} is not a batch call")
    start = BatchStart(
        batch=batch.id,
        scenario=batch.scenario,
        version=batch.version,
        step=batch.step,
        row=dump_row(row),
        zone=opened.scenario.timezone,
        purpose=opened.scenario.purpose,
    )
    is_started = False
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            BATCH_WORKFLOW,
            start,
            id=batch.id,
            task_queue=JOURNEYS,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            static_summary=f"{batch.scenario}@{batch.version} · {batch.step}",
            priority=priority_of(opened.scenario.purpose),
            rpc_timeout=_RPC,
        )
        is_started = True
    await store.mark_batch_started(batch.id, datetime.now(UTC))
    return is_started


async def start_overdue_batches(client: Client, store: Store, content: Content) -> int:
    """Start the workflows of batches that are due, have not ended and have none. Return their number."""
    overdue = await store.overdue_batches(datetime.now(UTC) - _LOST)
    return sum([await start_batch(client, store, content, batch) for batch in overdue])


def starting_batches(client: Client, store: Store, content: Content) -> AbstractAsyncContextManager[None]:
    """Start the workflows of overdue batches, periodically, in one worker at a time."""
    return repeating(store, LEASE, lambda: start_overdue_batches(client, store, content), every=EVERY)
