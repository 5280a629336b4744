"""The worker process: one worker a task queue. It drains on SIGTERM.

    python worker.py [--queues journeys,webhooks] [--health-port 8081] [--metrics-port 9090]

Health pages and metrics listen on loopback, unless `--health-host` and `--metrics-host` name another address.
TEMPORAL_*, SCENARIO_* and OTEL_* variables configure it: see `docs/`.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any, Final, NoReturn

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from activities.admission import AdmissionActivities
from activities.attempt import DeliveryRecords
from activities.audience.sync import AudienceActivities, starting_audience_syncs
from activities.blast.chunk import CHUNKS, BlastActivities, ChannelSender
from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import CHANNELS, QUEUES, WEBHOOK
from activities.decision import GoalActivities, Renewals, decide
from activities.dependencies import (
    CLOSING,
    INBOX,
    WorkerServices,
    channels_of,
    measured_certificates,
    sending_events,
    services,
    warn_of_short,
)
from activities.erasure import ErasureActivities, starting_erasures
from activities.gate import PolicyGate
from activities.interface import JOURNEYS
from activities.journal.journal import keeping_journal
from activities.outgoing.file import OutgoingFile
from activities.outgoing.sender import HeldReports
from activities.retention import Prunings, keep_schedule
from activities.retry import DestinationPolicies, Retunings
from activities.suppressions import PlatformNotifier, notify_nobody
from activities.undecoded import UncountedOutages
from activities.webhook.batches import starting_batches
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.platform import SuppressionReporter
from activities.webhook.server_rates import pacing
from runtime import search_attributes, version
from runtime.connection import connect
from runtime.encryption.codec import check_keys, keyring_in, keyring_of, recording_keys
from runtime.encryption.converter import encrypt_client
from runtime.errors import SetupError, WorkerFailed
from runtime.identity import StoreIdentity, guarding_identity
from runtime.platform_dates import agree_on_dates
from runtime.process import HOST
from runtime.process.health import Check, ClockCheck, health_pages, measuring_keys, measuring_readiness, watching
from runtime.process.namespace import PollerCheck, watching_namespace
from runtime.process.shutdown import Deadline, exit_process
from runtime.process.workers import (
    ActivityWorker,
    PausableWorker,
    RunnableWorker,
    Workers,
    completes_polls,
    deployment_from,
    running_workers,
    tune_garbage_collection,
    unversioned,
)
from runtime.settings import Settings
from runtime.store import Store, StoreError
from runtime.telemetry import logs, metrics
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.polling import cluster_metrics
from runtime.telemetry.telemetry import PATIENCE, Telemetry
from runtime.watched_file import PoliciesFile
from workflows.background import Erase, Prune, SyncAudience, TellPlatform
from workflows.batch import Batch
from workflows.journey import Enter, Journey, UnknownWorkflow
from workflows.runner import HISTORY_SHARES, HISTORY_USED

logger = logging.getLogger("worker")

DRAIN: Final = timedelta(seconds=20)
"""Time for attempts in flight when the worker stops: the timeout of an attempt, plus a margin."""
_SPARE: Final = timedelta(seconds=5)
ENDING: Final = timedelta(seconds=8)
"""Time of a shutdown beyond the drain: 2 s for cancelled attempts, and `activities.dependencies.CLOSING`."""
PLATFORM: Final = timedelta(seconds=10)  # time beyond the drain after which an orchestrator may kill the worker
WAIT: Final = 60.0  # seconds to wait at the start for an unreachable Temporal server, and then for a store
_CONCURRENT: Final = 200
_REMOTE: Final = 40  # maximum number of concurrent activities beside the workflows, other than local ones
_POLLERS: Final = 10
_ASKED: Final = 5  # polls in flight of a channel: more are hardly faster, and delay a stop
_STICKY: Final = timedelta(seconds=5)
"""Time that a journey waits for the worker that has it cached, after which another one replays its history. At 2 s,
half of 400 journeys changed workers on a busy machine."""


def drain_of(book: Destinations) -> timedelta:
    """Return the time for webhooks in flight at a stop: the longest timeout of a destination, plus a margin.

    The timeout of a scenario's step is unknown here. A longer attempt is cancelled, and repeated under the same
    delivery id.
    """
    longest = max((found.timeout or 0.0 for found in book.destinations.values()), default=0.0)
    return max(DRAIN, timedelta(seconds=longest) + _SPARE)


def served(queues: Iterable[str], given: WorkerServices) -> list[str]:
    """Return the queues, with all those of webhooks in place of the first, and those of campaigns."""
    found = [one for queue in queues for one in (given.webhook_queues if queue == WEBHOOK.queue else (queue,))]
    return found + [one.campaigns for one in CHANNELS.values() if one.queue in found and one.queue != JOURNEYS]


async def workers(
    client: Client,
    given: WorkerServices,
    queues: Collection[str] = (),
    deployment: WorkerDeploymentConfig | None = None,
    may_send: Callable[[], bool] = lambda: True,
) -> list[RunnableWorker]:
    """Make a worker for each task queue. Those of channels pause while they may not send.

    A channel never shares the workflows' queue: eager dispatch there would bypass the server's rate limits.
    """
    plain, holdout = given.refuses_plain, lambda: given.policies.content.holdout
    admissions = AdmissionActivities(given.content, given.store, given.platform, holdout, refuses_plain=plain)
    goals = GoalActivities(given.content, given.store)
    renewals, retunings = Renewals(given.content, given.store), Retunings(client)
    erasures = ErasureActivities(client, given.store, keyring_in(given.store))
    destination_policies = DestinationPolicies(given.destinations, given.queue_shards)
    records = DeliveryRecords(given.store)
    metrics.BREAKER_STATE.reads(given.limiter.breakers)
    metrics.REFRESH_TOKEN_REPLACED.reads(given.calls.tokens.replaced_refresh_tokens)
    ways = given.channels
    notify = notify_nobody
    if ways.seal:
        notify = PlatformNotifier(client, ways.seal, lambda: given.destinations.book, shards=given.queue_shards)
    gate = PolicyGate(given.content, given.store, lambda: given.policies.content, ways.hashes, notify)
    context = given.worker_context(gate)
    platforms = SuppressionReporter(given.calls, given.routes, ways.seal)
    # A task without a free connection waits at Temporal: it uses up no attempt there, and another worker may take it.
    audiences = AudienceActivities(context.memberships, given.routes, given.calls, shards=given.queue_shards)
    own: list[Callable[..., Any]] = []  # activities that only write to the store
    senders: dict[str, tuple[list[Callable[..., Any]], int, timedelta]] = {}
    blasting: dict[str, ChannelSender] = {}
    blast = BlastActivities(client, given, admissions, blasting)
    for channel in CHANNELS.values():
        connection = ways.connection(channel.name)
        sender = ChannelActivity[Any](channel, context, connection)
        if channel.queue == JOURNEYS:
            own.append(sending_activity(sender))
            continue
        at_once = connection.connections if connection else _CONCURRENT
        grace = drain_of(given.destinations.book) if channel.addressed else DRAIN
        blasting[channel.name] = ChannelSender(sender, at_once)
        senders[channel.queue] = ([sending_activity(sender)], at_once, grace)
        senders[channel.campaigns] = ([blast.blast_lines], CHUNKS, grace)
    own += senders[WEBHOOK.queue][0]  # joins batch calls
    senders[WEBHOOK.queue][0].extend([platforms.tell_platform, audiences.send_audience_batch])
    senders |= dict.fromkeys(given.webhook_queues, senders[WEBHOOK.queue])
    completed, deployment = await completes_polls(client), deployment or unversioned()
    made: list[RunnableWorker] = []
    # By default those of all channels that there are now, which extensions may have added.
    every = dict.fromkeys((JOURNEYS, *(channel.queue for channel in CHANNELS.values())))
    for queue in served(queues or every, given):
        if queue == JOURNEYS:
            made.append(
                Worker(
                    client,
                    task_queue=queue,
                    workflows=[Journey, Batch, Enter, TellPlatform, Prune, Erase, SyncAudience, UnknownWorkflow],
                    activities=[
                        admissions.admit,
                        admissions.identify,
                        admissions.depart,
                        admissions.count,
                        goals.goal,
                        decide,
                        destination_policies.clear,
                        *(renewals.amend, renewals.renew, renewals.adopt, retunings.retune),
                        *(records.recall, records.release, HeldReports(given.store).report_held),
                        Prunings(given.store).prune,
                        context.batches.settle_batch,
                        erasures.end_journeys,
                        erasures.delete_histories,
                        erasures.clear_rows,
                        audiences.freeze_audience_batch,
                        audiences.hold_audience,
                        *own,
                    ],
                    # Erasures and ends of batch calls are few; their joins and changes of audiences take milliseconds.
                    max_concurrent_activities=_REMOTE,
                    max_concurrent_activity_task_polls=1,
                    workflow_runner=UnsandboxedWorkflowRunner(),
                    interceptors=[given.passages, UncountedOutages()],
                    max_concurrent_workflow_task_polls=_POLLERS,
                    nonsticky_to_sticky_poll_ratio=0.5,
                    sticky_queue_schedule_to_start_timeout=_STICKY,
                    graceful_shutdown_timeout=DRAIN,
                    deployment_config=deployment,
                )
            )
        else:
            send, at_once, grace = senders[queue]
            make = partial(
                ActivityWorker,
                client,
                task_queue=queue,
                activities=send,
                interceptors=[UncountedOutages()],
                concurrent=at_once,
                polls=_ASKED,
                grace=grace,
                polls_completed=completed,
                deployment=deployment,
            )
            made.append(PausableWorker(queue, make, may_send))
    return made


async def serve(
    settings: Settings,
    queues: Collection[str],
    deadline: Deadline,
    *,
    health_port: int | None = None,
    health_host: str = HOST,
    telemetry: Telemetry | None = None,
    change_dates: bool = False,
) -> None:
    """Run the worker until it is asked to stop. With `change_dates`, SCENARIO_PLATFORM_DATES may have changed.

    Raise SetupError if a setting is wrong, there is no server, or a queue cannot be polled.
    """
    telemetry = telemetry or Telemetry(None)
    # Validated before waiting for a server.
    destinations, channels = DestinationsFile(settings.destinations), channels_of(settings, INBOX)
    policies, deployment = PoliciesFile(settings.policies), deployment_from()
    outgoing = OutgoingFile(settings.outgoing)
    stop = asyncio.Event()
    ready = asyncio.Event()
    crew: Workers | None = None
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask_to_stop() -> None:
        deadline.begin()
        if task is not None and not ready.is_set() and not stop.is_set():  # it may still wait for a server
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask_to_stop)

    def is_ready() -> bool:
        return ready.is_set() and not stop.is_set() and crew is not None and crew.sound

    checks: dict[str, Check] = {"worker": is_ready}

    async with AsyncExitStack() as stack:
        # `asyncio.run` would wait for blocked threads, for example of a name lookup. `exit_process` ends them.
        stack.callback(lambda: loop.set_default_executor(ThreadPoolExecutor(1)))
        stack.enter_context(measuring_readiness(checks))
        # Before any wait: a process that starts must not look like one without keys.
        stack.enter_context(measuring_keys(settings))
        if health_port is not None:
            await stack.enter_async_context(health_pages(health_port, checks, host=health_host))
        native = await telemetry.runtime(stack, {HISTORY_USED: HISTORY_SHARES})
        client = await connect(role="", patience=WAIT, runtime=native)
        await search_attributes.ensure(client)
        url, make = settings.store.get_secret_value(), settings.has_default_store
        store = await stack.enter_async_context(Store.open(url, make=make, patience=WAIT))
        identity = StoreIdentity(client, store)
        await identity.ensure()
        await store.check(writing=True)  # a read-only store would fail at the first journey
        await agree_on_dates(settings, store, change=change_dates)
        await stack.enter_async_context(guarding_identity(identity, store, ask_to_stop, rotates=True))
        keys = keyring_of(settings, store)
        await check_keys(keys, store)
        await stack.enter_async_context(recording_keys(keys, store, "worker"))
        await stack.enter_async_context(keeping_journal(settings, client, store, writes=JOURNEYS in queues))
        client = encrypt_client(client, keys, worker=True)
        opened = await stack.enter_async_context(
            services(
                settings,
                store=store,
                destinations=destinations,
                policies=policies,
                outgoing=outgoing,
                channels=channels,
                deadline=deadline,
            )
        )
        if not keys.encrypts:
            logger.warning("payloads are readable in Temporal: set SCENARIO_ENCRYPTION_KEYS to encrypt them")
        if WEBHOOK.queue in queues:
            warn_of_short(opened.secrets)
        if JOURNEYS in queues:
            await keep_schedule(client, settings.retention)
            await stack.enter_async_context(starting_erasures(client, store))
            await stack.enter_async_context(starting_audience_syncs(client, store))
            await stack.enter_async_context(starting_batches(client, store, opened.content))
        clock = ClockCheck({"store": store})
        made = await workers(client, opened, queues, deployment, clock.is_right)
        # Not earlier: creating the workers blocks the event loop, and a check could time out on a busy machine.
        checks["store"] = (await stack.enter_async_context(watching(opened.store))).is_well
        stack.enter_context(measured_certificates(client, settings, opened.destinations))
        drain = drain_of(opened.destinations.book) if WEBHOOK.queue in queues else DRAIN
        if WEBHOOK.queue in queues:
            paces = pacing(client, opened.destinations, store, opened.webhook_queues, clock.server_time)
            await stack.enter_async_context(paces)
            await stack.enter_async_context(sending_events(opened, clock.is_right))
        if telemetry.meters is not None:
            await stack.enter_async_context(
                cluster_metrics(
                    client, store, {queue: queue == JOURNEYS for queue in served(QUEUES, opened)}, clock.server_time
                )
            )
        deadline.seconds = (drain + ENDING).total_seconds()
        crew = await stack.enter_async_context(running_workers(made, deadline=deadline, keep=CLOSING))
        await crew.polling()
        polls = PollerCheck(client, [worker.task_queue for worker in made], JOURNEYS, is_polled=crew.polls)
        checks["temporal"] = (await stack.enter_async_context(watching_namespace(polls))).is_well
        clock.others["temporal"] = polls
        checks["clock"] = (await stack.enter_async_context(clock.watching())).is_well
        tune_garbage_collection()
        ready.set()
        logger.info("ready, polling %s; %s", ", ".join(served(queues, opened)), channels.sentence)
        if drain > DRAIN:
            logger.warning(
                "because of a destination's timeout, a stop may take %d s: set the platform's grace period to "
                "at least %d s",
                drain.total_seconds(),
                (drain + PLATFORM).total_seconds(),
            )
        try:
            await crew.until(stop)
        finally:
            deadline.begin()
            logger.info("stopping: attempts in flight have %d s", drain.total_seconds())
    logger.info("stopped")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not an IP address: write {HOST} for this machine, or 0.0.0.0 for all addresses"
        ) from None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(prog="worker.py", description="Runs journeys and sends their messages.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    parser.add_argument("--queues", default=",".join(QUEUES), help="task queues to serve, separated by commas")
    for what, pages in (("health", "/healthz and /readyz"), ("metrics", "metrics for Prometheus, at /metrics,")):
        parser.add_argument(f"--{what}-port", type=int, help=f"serve {pages} on this port")
        listen = f"listen on this address instead of {HOST}; 0.0.0.0 for all"
        parser.add_argument(f"--{what}-host", type=_address, default=HOST, metavar="ADDRESS", help=listen)
    parser.add_argument("--change-dates", action="store_true", help="accept another SCENARIO_PLATFORM_DATES for all")
    given = parser.parse_args(arguments)
    queues = [queue.strip() for queue in given.queues.split(",") if queue.strip()]
    unknown = sorted(set(queues) - set(QUEUES))
    if unknown or not queues:
        parser.error(f"--queues: there is no queue {', '.join(unknown) or 'at all'}; there are {', '.join(QUEUES)}")
    logs.configure()
    telemetry, status = None, 0
    deadline = Deadline((DRAIN + ENDING).total_seconds())
    try:
        page = None if given.metrics_port is None else Exposition(given.metrics_port, given.metrics_host)
        telemetry = Telemetry.start(exposition=page)
        health = {"health_port": given.health_port, "health_host": given.health_host}
        asyncio.run(serve(Settings(), queues, deadline, **health, telemetry=telemetry, change_dates=given.change_dates))
    except WorkerFailed:
        status = 1  # already logged
    except (SetupError, StoreError) as error:
        sys.stderr.write(f"worker: {error}\n")
        status = 1
    except asyncio.CancelledError:
        logger.info("stopped before it was ready")
    exit_process(status, telemetry, patience=deadline.left(PATIENCE))


if __name__ == "__main__":
    main()
