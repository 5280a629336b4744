"""One of everything that commands and pages show."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.campaigns.survey import Estimate
from gateway.journeys.snapshot import DeliveryStatus
from gateway.operations.migration import MigrationForecast, StepPopulation
from gateway.operations.retry_policy import PendingDelivery
from gateway.reconcile.reconcile import Discrepancy, Kind
from gateway.service.campaign_views import CampaignLineView, CampaignView
from gateway.service.destinations import DestinationNow
from gateway.service.erasures import ErasureView
from gateway.service.listing import JourneySummary
from gateway.service.overview import HeldCount, MissingWorkers, OverviewView, RetryingDestination, WaitingBatches
from gateway.service.results import Arm, Comparison, ResultsView
from gateway.service.stats import (
    DayView,
    PopulationView,
    StatsView,
    StepStats,
    StepTrend,
    TrendsView,
    VersionStats,
    VersionTrends,
)
from gateway.why.story import told
from gateway.why.why import CapPlaces, WhyView
from scenario.model.scenario import Goal
from scenario.plan.difference import Redrawn, VersionDifference
from scenario.plan.retry import RetryPolicy
from tests.fakes import ERASURE
from tests.gateway.journey import ENTRY, HELD, PROGRESS, START, attempt
from tests.gateway.service.test_operations_and_campaigns import SURVEY
from workflows.state import IgnoredInput

DUE: Final = START + timedelta(minutes=90)
LISTED: Final = JourneySummary(
    id="a/7",
    run_id="r1",
    scenario="a@3",
    contact="7",
    key=None,
    state="held",
    step="hook",
    reason="hooks.example.com answered 422",
    entered_at=START,
    ended_at=None,
    destination="hooks.example.com",
    held_reason="permanent",
    since=START + timedelta(minutes=20),
    status=422,
)
POLICY: Final = RetryPolicy(
    initial_interval=4.8, backoff_coefficient=3.0, maximum_interval=21_600, maximum_attempts=9, deadline=259_200
)
PENDING: Final = DeliveryStatus(
    step="hook",
    state="scheduled",
    attempt=3,
    next_try_at=DUE,
    retry=POLICY,
    last_failure="it answered 503",
    gives_up_at=datetime(2026, 4, 3, 8, 5, tzinfo=UTC),
)
PAUSE: Final = {"name": "pause", "operator": "ann", "reason": "sale", "at": DUE.isoformat(), "step": "hook"}
IGNORED: Final = [
    asdict(IgnoredInput(what="event", reason="it is larger than 256 KB", at=DUE.isoformat(), count=4)),
    asdict(IgnoredInput(what="step wait-3", reason="no number", at=DUE.isoformat(), count=1)),
]
FULL: Final = replace(
    HELD,
    pending=(PENDING,),
    entry=replace(ENTRY, goal_until=START, reached_at=START, goal_value="49.9"),
    progress={
        **PROGRESS,
        "moves_to": "a@4",
        "rounds": [{"step": "again", "round": 1, "of": 3}],
        "operations": [*PROGRESS["operations"], PAUSE],
        "passed_over": IGNORED,
    },
)
"""A journey of which there is everything to say."""
OVER: Final = replace(
    HELD,
    status="completed",
    progress=None,
    result={"outcome": "exited", "reason": "event order.returned", "steps": PROGRESS["steps"]},
    entry=replace(ENTRY, ended_at=START + timedelta(days=1), outcome="exited"),
)
LONG: Final = "abandoned-cart-with-a-voucher/3028687/CGX0094-2026-11-26-paris-1er"
"""The id of a journey that hardly fits into a line."""
ATTEMPTS: Final = [
    attempt("mail", 1, channel="email", destination="mx.example.com", status=250, outcome="delivered"),
    attempt("hook", 2, minutes=5, status=None, error="connect_refused", next_try_at=START + timedelta(minutes=6)),
    replace(
        attempt("hook", 3, minutes=9, response=f"slow\n{'down ' * 50}", trace_id="4bf92f3577b34da6a3ce929d0e0e4736"),
        workflow_id="b/8",
        destination="other.example.com",
        delivery_id="msg_3",
        contact_id="8",
    ),
    attempt("hook", 4, minutes=10, outcome="skipped", status=None, error="capped"),
]
WELL: Final = OverviewView(
    at=START,
    well=True,
    in_progress=3,
    held=[],
    retrying=[],
    missing_workers=[],
    campaigns=[],
    batches=WaitingBatches(),
    held_audiences=0,
    outgoing=[],
)
ILL: Final = WELL.model_copy(
    update={
        "well": False,
        "held": [HeldCount(cause="permanent", journeys=1_000), HeldCount(cause=None, journeys=1)],
        "retrying": [
            RetryingDestination(destination="wax", deliveries=2, since=START, paused=True, why="wax answered 503")
        ],
        "missing_workers": [MissingWorkers(queue="email", tasks=7)],
        "batches": WaitingBatches(open=2, overdue=1, oldest_due_at=START),
    }
)
STEPS: Final = [
    StepStats(
        id="mail",
        kind="email",
        what="email",
        now=PopulationView(),
        passed={"delivered": 1890, "skipped": 12},
        passed_lately={"delivered": 60},
        attempts={"delivered": 310, "skipped": 4},
        skipped={"capped": 4},
    ),
    StepStats(
        id="wait-2",
        kind="wait",
        what="wait 2d",
        now=PopulationView(waiting=2104),
        passed={"waited": 1700},
        passed_lately={"waited": 55},
    ),
    StepStats(
        id="hook",
        kind="webhook",
        what="webhook → hooks.example.com",
        now=PopulationView(retrying=9, held=7),
        attempts={"retry": 40},
    ),
]
AS_OF: Final = START + timedelta(seconds=5)
STATS: Final = StatsView(
    scenario="sale",
    as_of=AS_OF,
    since=START - timedelta(days=1),
    versions=[
        VersionStats(
            version=3,
            is_newest=True,
            entered=4120,
            under_way=2120,
            over={"exited": 120, "finished": 1890},
            now=PopulationView(waiting=2104, retrying=9, held=7, paused=0),
            steps=STEPS,
        )
    ],
)
_UNSEARCHED: Final = {"now": None, "is_newest": False, "steps": [one.model_copy(update={"now": None}) for one in STEPS]}
UNSEARCHED: Final = STATS.model_copy(
    update={
        "versions": [STATS.versions[0].model_copy(update=_UNSEARCHED)],
        "trouble": "the Temporal server has no search: nobody knows",
    }
)
_DAYS: Final = date(2026, 3, 30), date(2026, 3, 31)
_SENT: Final = [
    DayView(day=day, outcomes=outcomes)
    for day, outcomes in zip(_DAYS, ({"delivered": 1900, "retry": 7}, {"failed": 1}), strict=True)
]
_PEOPLE: Final = [DayView(day=_DAYS[0], outcomes={"delivered": 1890, "skipped": 12, "unknown": 1, "left": 9})]
TRENDS: Final = TrendsView(
    scenario="sale",
    as_of=AS_OF,
    since=_DAYS[0],
    until=_DAYS[1],
    attempts_since=_DAYS[1],
    versions=[
        VersionTrends(
            version=3,
            is_newest=True,
            steps=[
                StepTrend(id="mail", kind="email", what="email", people=_PEOPLE, attempts=_SENT),
                StepTrend(
                    id="if-2", kind="if", what="if", people=[DayView(day=_DAYS[0], outcomes={"then": 1, "else": 2})]
                ),
            ],
        )
    ],
)
ARMS: Final = [
    Arm(name="a", entered=2250, reached=180, open=180, value=Decimal(8910), uplift=1 / 3, p=0.1277),
    Arm(name="b", entered=2025, reached=202, value=Decimal("11160.5"), uplift=0.663, p=0.0004),
    Arm(name="none", entered=0, is_too_small=True),
    Arm(name="control", entered=500, reached=30, value=Decimal(1350)),
]
RESULTS: Final = ResultsView(
    scenario="sale",
    versions=[1],
    goal=Goal.model_validate(
        {"event": "order.placed", "if": "event.total > 0", "within": "14d", "value": "{{ event.total }}"}
    ),
    is_same_goal=True,
    goalless=0,
    entered=5003,
    contacts=5003,
    reached=416,
    open=180,
    control_mismatch=None,
    comparisons=[Comparison(split="subject", arms=ARMS, baseline="control", undrawn=3)],
)
WITHOUT_GOAL: Final[dict[str, Any]] = {
    "goal": None,
    "comparisons": [Comparison(split=None, arms=[Arm(name="all")], baseline=None)],
}
DOUBTFUL: Final[dict[str, Any]] = {
    "goal": RESULTS.goal and RESULTS.goal.model_copy(update={"value": None, "within": timedelta(days=7)}),
    "comparisons": [Comparison(split="subject", arms=[Arm(name="a")], baseline=None, mismatch=7e-79)],
    "is_same_goal": False,
    "goalless": 7,
    "control_mismatch": 4e-8,
    "open": 0,
    "versions": [1, 3],
    "entered": 3109,
    "contacts": 1984,
}
UNADMITTED: Final = Discrepancy(kind=Kind.UNADMITTED, id="wishes/8/K8", run="r2", store="acknowledged", repaired=True)
LOST: Final = Discrepancy(kind=Kind.LOST, id="wishes/9/K9", run="r1", store="running")
UNREADABLE: Final = Discrepancy(
    kind=Kind.UNKNOWN, id="wishes/7/K7", run="r3", temporal="running", trouble="it is unreadable"
)
WHY: Final = WhyView(
    contact="7",
    step="hook",
    answer="Not yet.",
    entries=[told(FULL, ENTRY), told(OVER, ENTRY)],
    caps=[
        CapPlaces(cap="day", taken=1, at_most=1, per="day", free_at=START),
        CapPlaces(cap="week", taken=3, at_most=4, per="7d", free_at=None),
    ],
    zone=ZoneInfo("Europe/Paris"),
)
GONE: Final = StepPopulation(3, "wait-2", "waiting", ("a/1", "a/2"), fits=False, becomes="which is gone: map it")
STAYS: Final = StepPopulation(3, "hook", "held", ("a/3",), fits=True, becomes="which stays")
_BETWEEN: Final = StepPopulation(2, None, "running", ("a/4", "a/5"), fits=True, becomes="each journey is asked")
_DIFFERENT: Final = VersionDifference(
    removed=("wait-2",), changed={"hook": ("body",)}, redrawn=(Redrawn("split halves", 700, "contacts"),)
)
FORECAST: Final = MigrationForecast("a", 4, {3: _DIFFERENT, 2: None}, (GONE, STAYS, _BETWEEN))
LATEST: Final = attempt("hook", 4, error="connect_refused", status=None, destination="wax")
FLIGHT: Final = PendingDelivery(
    "a/7", "hook", "wax", LATEST, DeliveryStatus(step="hook", state="scheduled", attempt=5, next_try_at=DUE)
)
QUEUED: Final = PendingDelivery("a/8", "hook", "wax", None, DeliveryStatus(step="hook", state="scheduled", attempt=1))
STANDING: Final = DestinationNow(
    destination="wax", waiting=12, left_alone=True, why="wax has failed too often", next_try_at=None
)
_NOT_YET: Final[tuple[Any, ...]] = (
    *("starts_at", "local_start", "paused_by", "pause_reason", "ended_at", "trouble", "stopped_by", "stop_reason"),
)
CAMPAIGN: Final = CampaignView(
    name="advent",
    scenario="sale@3",
    gear="enter",
    gear_reason="it has 2 sending steps",
    state="running",
    file="people.csv",
    digest="0123",
    survey=SURVEY.model_copy(update={"lines": 1204, "entries": 1200, "invalid": 4}),
    estimate=Estimate.of("enter", 1200, 200.0),
    rate=200.0,
    outcomes={"entered": 1200, "pending": 4},
    done=1200,
    total=1204,
    operator="ann",
    since=START,
    **dict.fromkeys(_NOT_YET),
)
LINES: Final = [
    CampaignLineView(line=2, contact="7", journey="sale/7/advent", outcome="entered", reason=None, at=START),
    CampaignLineView(line=3, contact="", journey=None, outcome="invalid", reason="no id", at=START),
]
_ASKED: Final = replace(
    ERASURE, state="waiting", ended=1, histories=3, remaining=2, rows={"entries": 3, "deliveries": 7}
)
_ERASED: Final = replace(
    _ASKED,
    contact_id=None,
    state="finished",
    remaining=0,
    sent_to=[{"channel": "email", "destination": "local"}, {"channel": "webhook", "destination": "wax"}],
    confirmed_at=ERASURE.requested_at,
    finished_at=ERASURE.requested_at + timedelta(minutes=2),
)
BEGUN, ERASED, UNSEALED, WOULD_BE = (
    *map(ErasureView.of, (_ASKED, _ERASED, replace(_ERASED, encrypted=False))),
    ErasureView.of(_ASKED, dry_run=True),
)
STUCK: Final = ErasureView.of(replace(_ERASED, finished_at=None, state="ending", trouble="Temporal cannot be reached"))
