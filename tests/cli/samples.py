"""One of everything that commands and pages show."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from scenario.plan.migration import Redrawn, VersionDifference
from scenario.plan.retry import RetryPolicy
from service.campaigns.views import CampaignLineView, CampaignView
from service.destinations import DestinationNow, PendingDelivery
from service.erasures import ErasureView
from service.journeys.snapshot import DeliveryStatus
from service.listing import JourneySummary
from service.operations.migration import MigrationForecast, StepPopulation
from service.overview import OverviewView, WaitingBatches
from service.reconcile.reconcile import Discrepancy
from service.results import ResultsView
from service.stats import StatsView, TrendsView
from service.why.story import told
from service.why.why import CapPlaces, WhyView
from tests.fakes import ERASURE
from tests.journey import ENTRY, HELD, PROGRESS, START, attempt
from workflows.state import IgnoredInput

PRINTED: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("json.json").read_text("utf-8"))
"""By command, what programs get: the views that are shown are those of which this can be told."""
DUE: Final = START + timedelta(minutes=90)
LISTED: Final = JourneySummary.model_validate(PRINTED["list"][0])
ILL: Final = OverviewView.model_validate(PRINTED["overview"])
WELL: Final = ILL.model_copy(
    update={"well": True, **dict.fromkeys(("held", "retrying", "missing_workers"), ()), "batches": WaitingBatches()}
)
STATS, UNSEARCHED = (StatsView.model_validate(PRINTED[f"stats sale{more}"]) for more in ("", " --version 3"))
TRENDS: Final = TrendsView.model_validate(PRINTED["stats sale --by day --days 2"])
RESULTS, WITHOUT_GOAL, DOUBTFUL = (
    ResultsView.model_validate(PRINTED[f"results sale{more}"]) for more in (" --version 2", " --version 1", "")
)
STANDING: Final = DestinationNow.model_validate(PRINTED["destinations --now"][0])
CAMPAIGN: Final = CampaignView.model_validate(PRINTED["campaign show advent"])
LINES: Final = [CampaignLineView.model_validate(line) for line in PRINTED["campaign results advent"]]
LOST, UNADMITTED, UNREADABLE = (Discrepancy.model_validate(one) for one in PRINTED["store reconcile"][1:4])
STUCK, ERASED = (ErasureView.model_validate(one) for one in PRINTED["erasures"])
UNSEALED: Final = ERASED.model_copy(update={"encrypted": False})
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
_RUNNING: Final[dict[str, Any]] = {"state": "running", "at": "hook", "since": "2026-03-31T08:05:00+00:00", "steps": []}
_FAILED: Final[dict[str, Any]] = {"turned_away": "breaker_open", "why": "hooks.example.com has failed too often"}
_TURNED_AWAY: Final = DeliveryStatus(step="hook", state="scheduled", attempt=3, next_try_at=DUE, **_FAILED)
_DUE: Final = [attempt("hook", 1, next_try_at=DUE)]
_AGAIN: Final = [attempt("hook", number, minutes=minute, response="busy") for minute, number in enumerate((1, 2, 1))]
VIEWS: Final = {
    "a/paused": replace(HELD, progress={**PROGRESS, "operations": [PAUSE]}),
    "a/goal": replace(HELD, entry=replace(ENTRY, goal_until=DUE), earlier=True),
    "a/unanswered": replace(HELD, progress=None, state="waiting", step="hook"),
    "a/tried": replace(HELD, progress=_RUNNING, pending=(PENDING,), attempts=_DUE),
    "a/turned-away": replace(HELD, progress=_RUNNING, pending=(_TURNED_AWAY,), attempts=()),
    "a/again": replace(HELD, attempts=_AGAIN),
    "a/over": replace(OVER, progress={**PROGRESS, "at": None}, attempts=_DUE),
}
"""Journeys in circumstances about which there is a line of text, or none."""
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


def standing(version: int, step: str | None, state: str, ids: tuple[str, ...], *, becomes: str) -> StepPopulation:
    fits = becomes != "which is gone: map it"
    return StepPopulation(
        version=version, step=step, state=state, journeys=len(ids), fits=fits, becomes=becomes, ids=ids
    )


GONE: Final = standing(3, "wait-2", "waiting", ("a/1", "a/2"), becomes="which is gone: map it")
STAYS: Final = standing(3, "hook", "held", ("a/3",), becomes="which stays")
_BETWEEN: Final = standing(2, None, "running", ("a/4", "a/5"), becomes="each journey is asked")
_DIFFERENT: Final = VersionDifference(
    removed=("wait-2",), changed={"hook": ("body",)}, redrawn=(Redrawn("split halves", 700, "contacts"),)
)
FORECAST: Final = MigrationForecast(
    scenario="a", to=4, differences={3: _DIFFERENT, 2: None}, standing=[GONE, STAYS, _BETWEEN]
)
LATEST: Final = attempt("hook", 4, error="connect_refused", status=None, destination="wax")
FLIGHT: Final = PendingDelivery(
    "a/7", "hook", "wax", LATEST, DeliveryStatus(step="hook", state="scheduled", attempt=5, next_try_at=DUE)
)
QUEUED: Final = PendingDelivery("a/8", "hook", "wax", None, DeliveryStatus(step="hook", state="scheduled", attempt=1))
_ASKED: Final = replace(
    ERASURE, state="waiting", ended=1, histories=3, remaining=2, rows={"entries": 3, "deliveries": 7}
)
BEGUN, WOULD_BE = (ErasureView.of(_ASKED, dry_run=dry_run) for dry_run in (False, True))
