"""Every metric of journeys and deliveries: its name, labels and meaning.

    ATTEMPTS.add("webhook", "wax", "delivered", "first")
    DURATION.record(0.31, "webhook", "wax", "no")

Without a meter provider (`runtime.telemetry.telemetry.Telemetry`), these do nothing. Values of labels are passed in the
order of their declaration, so that no caller can add a label. They are words and names, never ids, addresses or data of
a contact. The number of user-defined names is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

SCOPE: Final = "scenario"  # the instrumentation scope
MOST_NAMES: Final = 1_000  # maximum number of scenarios, and of destinations, with their own series
OTHER: Final = "other"  # label of all further ones

Labels = tuple[str | int | None, ...]
Rows = Iterable[tuple[Labels, float]]  # values of a gauge's labels, and a number

_NAMED: Final = {"scenario": "scenario", "destination": "destination", "server.address": "destination"}
_known: dict[str, set[str]] = {what: set() for what in _NAMED.values()}
_meter = metrics.get_meter(SCOPE)


class Metric:
    """A metric. Its unit is in UCUM; ``{…}`` is only for people."""

    def __init__(self, series: str, unit: str, meaning: str) -> None:
        # Its name, with its labels in braces.
        self.name, _, labels = series.removesuffix("}").partition("{")
        self.labels = tuple(labels.split(", ")) if labels else ()
        self.unit, self.meaning = unit, meaning

    def attributes(self, values: Sequence[str | int | None]) -> dict[str, str | int]:
        named: dict[str, str | int] = {}
        for label, value in zip(self.labels, values, strict=True):
            if label in _NAMED and value is not None:
                named[label] = _bounded(_NAMED[label], str(value))
            elif value is not None:  # the SDK would count a word of an enum apart from the same text
                named[label] = str(value) if isinstance(value, str) else value
        return named


class Counter(Metric):
    """A number that only grows."""

    def __init__(self, series: str, unit: str, meaning: str) -> None:
        super().__init__(series, unit, meaning)
        self._add = _meter.create_counter(self.name, self.unit, self.meaning).add

    def add(self, *values: str | int | None, number: int = 1) -> None:
        self._add(number, self.attributes(values))


class Histogram(Metric):
    """Durations, in seconds, as are the upper bounds of its buckets."""

    def __init__(self, series: str, meaning: str, buckets: tuple[float, ...]) -> None:
        super().__init__(series, "s", meaning)
        self._record = _meter.create_histogram(
            self.name, self.unit, self.meaning, explicit_bucket_boundaries_advisory=buckets
        ).record

    def record(self, seconds: float, *values: str | int | None) -> None:
        """Count a duration; a negative one, between different clocks, counts as 0."""
        self._record(max(seconds, 0.0), self.attributes(values))


class Gauge(Metric):
    """Numbers read at each scrape."""

    def __init__(self, series: str, unit: str, meaning: str) -> None:
        super().__init__(series, unit, meaning)
        _meter.create_observable_gauge(self.name, [self._observe], self.unit, self.meaning)

    def reads(self, source: Callable[[], Rows] | None) -> None:
        """Set the source of the numbers, from any thread, or remove it."""
        if source is None:
            _sources.pop(self.name, None)
        else:
            _sources[self.name] = source

    @contextmanager
    def reading(self, source: Callable[[], Rows]) -> Generator[None]:
        """Read the numbers from a source meanwhile."""
        self.reads(source)
        try:
            yield
        finally:
            self.reads(None)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        source, found = _sources.get(self.name), dict[tuple[tuple[str, str | int], ...], float]()
        for values, number in () if source is None else source():
            labels = tuple(self.attributes(values).items())
            found[labels] = found.get(labels, 0.0) + number  # several names may be "other"
        return [Observation(number, dict(labels)) for labels, number in found.items()]


_sources: dict[str, Callable[[], Rows]] = {}


def _bounded(what: str, name: str) -> str:
    known = _known[what]
    if name in known:
        return name
    if len(known) >= MOST_NAMES:
        return OTHER
    known.add(name)
    return name


_HTTP: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""OpenTelemetry's conventions for HTTP."""
_LONG: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 259_200.0)
_SHORT: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

ATTEMPTS: Final = Counter(
    "scenario.delivery.attempts{channel, destination, outcome, attempt}",
    "{attempt}",
    "attempts to deliver, by outcome: `delivered`, `refused_answer`, `retry`, `failed`, `unknown`, `skipped`, "
    "`cancelled`; `attempt` is `first` or `retry`. Messages stopped by a policy, a limit or a breaker are not "
    "counted; attempts that ended before they could send are in `scenario.delivery.unsent`",
)
UNSENT: Final = Counter(
    "scenario.delivery.unsent{channel, reason}",
    "{attempt}",
    "attempts that ended before their message could leave, and do not count: Temporal was too slow (`not_told`, "
    "`not_noted`), the worker was (`no_time`), `store`, `secrets_unreadable`, `worker_stopped`, `called_off` (the "
    "step has ended or is paused), `error` (see its log line)",
)
DURATION: Final = Histogram(
    "scenario.delivery.duration{channel, destination, kept_back}",
    "time from when a message was due until its receiver had it, including all waits; `kept_back` is `yes` if quiet "
    "hours, a cap, a hold or a pause are included, else `no`",
    _LONG,
)
SKIPPED: Final = Counter(
    "scenario.delivery.skipped{channel, reason}",
    "{delivery}",
    "messages that were not sent, by reason: `capped`, `expired`, `no_consent`, `suppressed`, or `template` if the "
    "template ended itself",
)
WAIT: Final = Histogram(
    "scenario.delivery.wait{channel, why}",
    "planned delay of a message, counted each time it is planned, by reason: `quiet` hours and windows, `cap`, "
    "`concurrency`, `breaker`, `login` (the mail server rejected ours), `retry_after` (requested by the receiver), "
    "`journey` (the journey has a pending event or operation), `batch` (a contact waits for its batch call)",
    _LONG,
)
HTTP_CLIENT: Final = Histogram(
    "http.client.request.duration{server.address, http.request.method, http.response.status_code, error.type}",
    "requests to receivers of webhooks, to platforms and to Twilio, by destination, host or `twilio`. `error.type` is "
    "the status from 400 on, or the class of the error if there was no response",
    _HTTP,
)
HTTP_SERVER: Final = Histogram(
    "http.server.request.duration{http.route, http.request.method, http.response.status_code, error.type}",
    "requests to the gateway, by route (`/v1/journeys/{id}`; none if the request was rejected before routing, for "
    "example for a wrong key). `error.type` is the status from 500 on, or the class of an exception",
    _HTTP,
)
ADMISSION: Final = Counter(
    "scenario.admission{scenario, outcome, reason}",
    "{entry}",
    "entries that a worker has decided on, `admitted` or `refused`; those that the gateway refuses are not counted. "
    "Reasons of admissions without messages are `control` and `holdout`; of refusals `under_way`, "
    "`entered_before`, `too_soon`, `closed`, `condition`, `consent`, `mistaken`, `erased`, "
    "`plain_text`, `other`",
)
START_TO_FIRST_SEND: Final = Histogram(
    "scenario.start_to_first_send{channel}",
    "time from a journey's start until its first message was about to leave, if no wait precedes it and nothing "
    "delayed it",
    _SHORT,
)
BREAKER_STATE: Final = Gauge(
    "scenario.breaker.state{destination}",
    "",
    "state of the breaker of each destination that this process has sent to in the last hour: 0 closed, 1 half open, "
    "2 open (nothing is sent)",
)
LOG_DROPPED: Final = Counter(
    "scenario.log.dropped",
    "{row}",
    "rows of the log of deliveries that were lost because the store was unavailable for too long",
)
RETENTION_DELETED: Final = Counter(
    "scenario.retention.deleted{table}",
    "{row}",
    "rows that the daily pruning deleted from the store, by table; of `responses`, rows that were emptied. Rows "
    "deleted by `scenario prune` are not counted",
)
JOURNEYS: Final = Gauge(
    "scenario.journeys{scenario, state}",
    "{journey}",
    "running journeys: `retrying`, `held`, `paused`, or `running`, which is all others, including those that wait",
)
HELD: Final = Gauge(
    "scenario.held{destination, reason}",
    "{journey}",
    "held journeys, by destination, if a delivery is held, and reason: `permanent`, `exhausted`, `unknown`, "
    "`unconfigured`, `template`, `capped`",
)
HELD_OLDEST_AGE: Final = Gauge("scenario.held.oldest_age", "s", "age of the longest hold; 0 without holds")
BACKLOG: Final = Gauge("scenario.backlog{queue}", "{task}", "pending tasks, by task queue")
BACKLOG_AGE: Final = Gauge("scenario.backlog.age{queue}", "s", "age of the oldest pending task")
POLLERS: Final = Gauge("scenario.pollers{queue}", "{worker}", "workers that polled within the last two minutes")
PROBLEMS: Final = Gauge(
    "scenario.problems", "{journey}", "journeys without progress because their workflow tasks fail repeatedly"
)
ERASURES: Final = Gauge("scenario.erasures", "{erasure}", "erasures of contacts that are not finished")
ERASURES_OLDEST_AGE: Final = Gauge("scenario.erasures.oldest_age", "s", "age of the oldest of them; 0 without any")
JOURNAL_OLDEST_AGE: Final = Gauge(
    "scenario.journal.oldest_age", "s", "age of the oldest change that is not in the journal yet; 0 without any"
)
CAMPAIGN_LINES: Final = Counter(
    "scenario.campaign.lines{outcome}",
    "{line}",
    "processed lines of campaigns, by outcome. Invalid, duplicate and skipped lines are not processed. A line whose "
    "journey was entered and is refused later counts as `entered`",
)
BATCH_ITEMS: Final = Counter(
    "scenario.batch.items{destination, outcome}",
    "{item}",
    "contacts of batch calls that were answered with a 2xx, by outcome: `delivered`, `refused`, `unknown`. Attempts of "
    "the requests are in `scenario.delivery.attempts`",
)
PROVIDER_EVENTS: Final = Counter(
    "scenario.provider_events{provider, event, result}",
    "{event}",
    "events from providers: `told` to a journey, `goal` counted after it, `unused` by its scenario, `over` (the "
    "journey has ended), `throttled`, `repeated`, `stale`, `unknown` (not our message), `failed` for now; `forged` "
    "calls",
)
CAMPAIGNS: Final = Gauge(
    "scenario.campaigns{state}",
    "{campaign}",
    "campaigns that are `scheduled`, `running` or `paused`, and those that `failed` within the last hour",
)
CAMPAIGNS_STALLED_AGE: Final = Gauge(
    "scenario.campaigns.stalled_age",
    "s",
    "longest time since the latest outcome of a line, of running campaigns; 0 without any",
)
AUDIENCES_HELD: Final = Gauge(
    "scenario.audiences.held", "{audience}", "audiences that are not kept in sync until an operator retries"
)
OUTGOING: Final = Counter(
    "scenario.outgoing.events{subscription, outcome}",
    "{event}",
    "attempts to send outgoing events, by outcome: `accepted`, `failed` (attempted again), `held`, `deferred` (not "
    "sent: the destination is paused or not configured)",
)
OUTGOING_PENDING: Final = Gauge(
    "scenario.outgoing.pending{subscription, state}",
    "{event}",
    "outgoing events that were not accepted yet: `held`, `failing`, `waiting` for an earlier one about the same "
    "subject, and those `behind` that were not taken from the log yet, of any type",
)
OUTGOING_OLDEST_AGE: Final = Gauge(
    "scenario.outgoing.oldest_age{subscription}",
    "s",
    "age of the oldest outgoing event that was not accepted yet, held ones included; 0 without any",
)
POLL_AGE: Final = Gauge("scenario.poll.age", "s", "age of the values that one worker reports for all")

READY: Final = Gauge(
    "scenario.ready{check}",
    "",
    "1 if the process has what `/readyz` checks, else 0: `worker` or `gateway` (started, and not stopping), `store`, "
    "`temporal`, `clock`",
)
CLOCK_OFFSET: Final = Gauge(
    "scenario.clock.offset{of}",
    "s",
    "seconds by which this machine's clock is at least ahead of that of the `store` (PostgreSQL) or of `temporal`; "
    "negative if it is behind",
)
CERTIFICATE_LEFT: Final = Gauge(
    "scenario.certificate.left{use, destination}",
    "s",
    "remaining validity of a configured certificate: `client` and `ca` of a destination, `smtp_ca`, `temporal_client` "
    "and `temporal_ca`. Of several authorities in a file, the last one counts",
)
REFRESH_TOKEN_REPLACED: Final = Gauge(
    "scenario.refresh_token.replaced{destination}",
    "",
    "1 for each destination whose authorization server has replaced the refresh token. Ours may be refused from now on",
)
KEY: Final = Gauge(
    "scenario.key{setting, key}",
    "",
    "1 for each key of the process in `SCENARIO_CALLBACK_KEY` and `SCENARIO_SUPPRESSION_KEY`, or the previous ones; "
    "`key` is a name that reveals nothing of it",
)
NAMESPACE_RETENTION: Final = Gauge(
    "scenario.namespace.retention", "s", "retention of the histories of ended journeys in Temporal's namespace"
)

OF_ALL: Final = (
    *(JOURNEYS, HELD, HELD_OLDEST_AGE, BACKLOG, BACKLOG_AGE, POLLERS, PROBLEMS, ERASURES, ERASURES_OLDEST_AGE),
    *(JOURNAL_OLDEST_AGE, CAMPAIGNS, CAMPAIGNS_STALLED_AGE, AUDIENCES_HELD, NAMESPACE_RETENTION, POLL_AGE),
    *(OUTGOING_PENDING, OUTGOING_OLDEST_AGE),
)
"""Reported by one worker for all: see `runtime.telemetry.polling`."""
OF_EACH: Final[tuple[Metric, ...]] = (
    *(ATTEMPTS, UNSENT, DURATION, SKIPPED, WAIT, HTTP_CLIENT, HTTP_SERVER, ADMISSION, START_TO_FIRST_SEND),
    *(BREAKER_STATE, LOG_DROPPED, RETENTION_DELETED, CAMPAIGN_LINES, BATCH_ITEMS, READY, CLOCK_OFFSET),
    *(CERTIFICATE_LEFT, REFRESH_TOKEN_REPLACED, KEY, PROVIDER_EVENTS, OUTGOING),
)
"""Reported by each process."""
