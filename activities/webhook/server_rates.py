"""Rates per destination at Temporal's server, for all workers together.

Each webhook is scheduled with its destination as *fairness key*. The task queue has one default rate per key, and a
key's *weight* multiplies it: 10/s with a default of 100/s is the weight 0.1. A task over its rate stays in the server's
queue: it uses no slot and no attempt, and delays no other key. The weight is also the key's share of overloaded
workers.

See `docs/run/rates.md` for measurements and manual commands.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueueConfig
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.channel_registry import WEBHOOK
from activities.interface import fairness_key
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from runtime.connection import describe_queue
from runtime.process.shutdown import background_task
from runtime.store import Store
from runtime.store.campaigns import StoredCampaign

LIGHTEST: Final = 0.001
HEAVIEST: Final = 1000.0  # maximum weight at the server; the minimum is its inverse
MOST: Final = 1_000  # maximum number of weights of a task queue
SHARED: Final = 0.8
"""Share of a destination's rate that campaigns without journeys have together at most. Journeys have the rest."""

_PATIENCE: Final = timedelta(seconds=10)
_RARELY: Final = 600.0  # seconds after which a server without rates is asked again
_REASON: Final = "destinations.yaml"
_NEAR: Final = 1e-6  # weights are 32-bit floats on the server

logger = logging.getLogger(__name__)


class RateKeeper:
    """Keeps a task queue's rates up to date.

    Several workers may do so: the latest change wins, and correct rates are not written again. Manual changes last
    until the destinations change or a worker starts.
    """

    def __init__(
        self, client: Client, queue: str = WEBHOOK.queue, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._queue = queue
        self._applied: tuple[float, dict[str, float]] | None = None
        self._clock = clock
        self._unable: float | None = None  # since when the server is known to keep no rates

    async def apply(self, default: float, rates: Mapping[str, float]) -> bool:
        """Set the default rate and those of destinations, all more than 0, if they have changed, or raise ValueError.

        Return False if the server is too old for rates; that is logged once, and it is asked again every ten minutes.
        """
        weights = _weights(default, rates)
        if self._applied == (default, weights):
            return True
        if self._unable is not None and self._clock() - self._unable < _RARELY:
            return False
        try:
            await self._write(default, weights)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNIMPLEMENTED:
                raise
            if self._unable is None:
                logger.warning(
                    "this Temporal server keeps no rates per destination: "
                    "webhooks are sent as quickly as the workers can"
                )
            self._unable = self._clock()
            return False
        self._unable = None
        self._applied = (default, weights)
        off = sorted(name for name, rate in rates.items() if not LIGHTEST <= rate / default <= HEAVIEST)
        if off:
            logger.warning(
                "rates more than a thousand times off the default of %g/s cannot be kept: %s", default, ", ".join(off)
            )
        return True

    async def keep(
        self, wanted: Callable[[], Awaitable[tuple[float, Mapping[str, float]]]], every: float = 5.0
    ) -> NoReturn:
        """Apply the rates every few seconds while the worker runs. Failures are logged once and retried."""
        trouble = ""
        while True:
            try:
                await self.apply(*await wanted())
            except Exception as error:  # whatever it is, the next look may go well
                match error:
                    case RPCError():
                        now = error.status.name
                    case ValueError():
                        now = str(error)
                    case _:
                        now = type(error).__name__
                if now != trouble:
                    logger.warning("the rates per destination could not be set (%s): trying again", now)
                trouble = now
            else:
                trouble = ""
            await asyncio.sleep(every)

    async def _write(self, default: float, weights: dict[str, float]) -> None:
        now = await self._read()
        limit = now.fairness_keys_rate_limit_default
        there = {key: float(weight) for key, weight in now.fairness_weight_overrides.items()}
        changed = {key: weight for key, weight in weights.items() if not _same(there.get(key), weight)}
        gone = [key for key in there if key not in weights]
        request = UpdateTaskQueueConfigRequest(
            namespace=self._client.namespace,
            identity=self._client.identity,
            task_queue=self._queue,
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            set_fairness_weight_overrides=changed,
            unset_fairness_weight_overrides=gone,
        )
        known = limit.rate_limit.requests_per_second if limit.HasField("rate_limit") else None
        if not _same(known, default):
            request.update_fairness_key_rate_limit_default.rate_limit.requests_per_second = default
            request.update_fairness_key_rate_limit_default.reason = _REASON
        elif not changed and not gone:
            return
        await self._client.workflow_service.update_task_queue_config(request, timeout=_PATIENCE)
        logger.info(
            "rates set: %g/s for each destination, %d with rates of their own, %d gone",
            default,
            len(weights),
            len(gone),
        )

    async def _read(self) -> TaskQueueConfig:
        return (await describe_queue(self._client, self._queue, _PATIENCE, config=True)).config


def _weights(default: float, rates: Mapping[str, float]) -> dict[str, float]:
    """Return the weights that differ from 1."""
    for name, rate in {"default": default, **rates}.items():
        if not rate > 0:
            raise ValueError(f"the rate of '{name}' must be more than 0")
    weights = {
        fairness_key(name): min(max(rate / default, LIGHTEST), HEAVIEST)
        for name, rate in rates.items()
        if rate != default
    }
    if len(weights) > MOST:
        raise ValueError(f"{len(weights)} destinations have rates of their own: at most {MOST} can")
    return weights


def _same(there: float | None, wanted: float) -> bool:
    return there is not None and abs(there - wanted) <= _NEAR * wanted


def campaign_rates(campaigns: Iterable[StoredCampaign], book: Destinations, now: datetime) -> dict[str, float]:
    """Return the lines a second of each campaign that sends now, by name. A destination's rate is divided equally."""
    sending = _sending(campaigns, now)
    numbers = Counter(one.destination for one in sending)
    return {
        one.name: min(one.rate, SHARED * book.rates.get(one.destination, book.rate) / numbers[one.destination])
        for one in sending
    }


def left_by(campaigns: Iterable[StoredCampaign], book: Destinations, now: datetime) -> dict[str, float]:
    """Return the deliveries a second of journeys, for destinations that differ from the default."""
    sending, left = _sending(campaigns, now), dict(book.rates)
    for name, rate in campaign_rates(sending, book, now).items():
        destination = next(one.destination for one in sending if one.name == name)
        left[destination] = left.get(destination, book.rate) - rate
    return left


def _sending(campaigns: Iterable[StoredCampaign], now: datetime) -> list[StoredCampaign]:
    return [
        one
        for one in campaigns
        if one.destination
        and one.loaded_at
        and one.confirmed_at
        and not one.paused_by
        and (one.starts_at is None or one.starts_at <= now)
    ]


@asynccontextmanager
async def pacing(
    client: Client,
    destinations: DestinationsFile,
    store: Store,
    queues: Sequence[str] = (WEBHOOK.queue,),
    server_time: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncGenerator[None]:
    """Keep the server's rates equal to `destinations.yaml`, if there is one, less what campaigns send without journeys.

    Each queue has the rates of all destinations: those that moved to another queue still have tasks in the earlier one.
    """
    if not destinations.configured:
        yield
        return

    async def wanted() -> tuple[float, dict[str, float]]:
        book = destinations.book
        return book.rate, left_by(await store.stored_campaigns(is_open=True, limit=MOST), book, server_time())

    async with AsyncExitStack() as stack:
        for queue in queues:
            await stack.enter_async_context(background_task(RateKeeper(client, queue).keep(wanted), "rates"))
        yield
