"""Requests for campaigns, and views of campaigns and their lines."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from math import inf
from time import monotonic
from typing import Final, Literal

from authoring.errors import BadInput
from runtime.store.campaigns import PENDING, StoredCampaign
from scenario.plan.plan import GearName
from scenario.words import LINE_OUTCOMES, LineOutcome
from service.campaigns.survey import Estimate, Survey
from service.errors import BadOperation
from service.view import View
from workflows.campaign import FASTEST, SLOWEST

_NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)

_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_LAST_ZONE: Final = timezone(timedelta(hours=-12))  # the zone in which each hour comes last


@dataclass(frozen=True, kw_only=True)
class CampaignRequest:
    """A campaign to be started."""

    name: str
    scenario: str  # a published scenario, or ``name@version``
    audience: str  # the name of an uploaded file of contacts
    operator: str
    rate: float  # maximum number of lines a second
    digest: str | None = None  # the SHA-256 that the file must have, in hex; None: any
    encoding: str | None = None  # the encoding of CSV, or None to detect it
    starts_at: datetime | None = None  # time of the start, with its zone; None: immediately
    local_start: datetime | None = None
    """Date and time, without a zone, at which it starts for each contact by the contact's own clock."""
    accept: bool = False  # start even if more lines are invalid than usual
    ask: bool = False  # wait with the start until it is confirmed
    gear: Literal["enter"] | None = None
    """``enter`` to start a journey for each line; None: the fastest gear for the scenario."""

    def check(self, now: datetime) -> None:
        """Raise BadInput if a part of it is wrong, apart from the scenario and the file."""
        if not _NAME.fullmatch(self.name):
            message = "a campaign's name is lower-case words joined by '-', at most 64 letters"
            raise BadInput(f"'{self.name[:80]}' is not a campaign's name: {message}", at=["name"])
        check_rate(self.rate)
        if self.starts_at is not None and self.starts_at.tzinfo is None:
            raise BadInput("the start has no offset: write such as 2026-11-27T09:00+01:00", at=["at"])
        if self.local_start is not None and self.local_start.tzinfo is not None:
            raise BadInput("a local start has no offset: write such as 2026-11-27T09:00", at=["at"])
        latest = self.local_start and self.local_start.replace(tzinfo=_LAST_ZONE)
        if (self.starts_at or latest or now) < now:
            raise BadInput("the start is in the past: leave it out to start now", at=["at"])
        if (self.starts_at or latest or now) > _LATEST:
            raise BadInput("the start is too far away", at=["at"])


def check_rate(rate: float | None) -> None:
    if rate is None or not SLOWEST <= rate <= FASTEST:
        raise BadOperation(f"a rate is {SLOWEST:g} to {FASTEST:g} lines a second", "rate")


CampaignOperation = Literal["start", "pause", "resume", "retune", "stop"]
CampaignProgress = Literal["preparing", "ready", "scheduled", "running", "paused", "finished", "stopped", "failed"]


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class LeavingView(View):
    """The end of the journeys that a campaign started."""

    operation: str
    """The id of the operation that ends them."""
    journeys: int
    """Number of journeys that ran when it was requested."""


class CampaignView(View):
    """A campaign. The sum of `outcomes` is the number of lines of the file."""

    name: str
    """The campaign's name."""
    scenario: str
    """The scenario and its version."""
    gear: GearName
    """How lines are processed. `enter`: each starts a journey; `blast`: its message is sent without one."""
    gear_reason: str
    """Why it has this gear, as a clause."""
    state: CampaignProgress
    """The state of the campaign. `preparing`: its file is being read; `ready`: it waits for the operation `start`;
    `scheduled`: it starts later."""
    file: str
    """The name of the file."""
    digest: str
    """SHA-256 of the file, in hex."""
    survey: Survey | None
    """The result of reading the file; null before."""
    estimate: Estimate | None
    """The estimated cost; null before the file was read."""
    rate: float
    """Maximum number of lines a second."""
    outcomes: Mapping[LineOutcome, int]
    """Number of lines by outcome. `pending`: those that wait."""
    done: int
    """Number of lines with an outcome."""
    total: int
    """Number of lines; while it is being prepared, of those that are stored."""
    speed: float | None = None
    """Lines a second within the last minute, if it was looked at before; null if it does not run."""
    seconds_left: float | None = None
    """Estimated time to its end, at this speed or its rate; null if it does not run, or makes no progress."""
    operator: str
    """The operator who started it."""
    since: datetime
    """Time of the request."""
    starts_at: datetime | None
    """Time of the start, if one was given; with `local_start`, of the contacts that are next."""
    local_start: str | None
    """Date and time of the start by each contact's own clock, if one was given."""
    paused_by: str | None
    """The operator who paused it; null if it is not paused."""
    pause_reason: str | None
    """The operator's reason."""
    ended_at: datetime | None
    """Time of the end; null while it runs."""
    trouble: str | None
    """Why it makes no progress, or why it failed, as a sentence."""
    stopped_by: str | None
    """The operator who stopped it."""
    stop_reason: str | None
    """The reason why it was stopped."""
    leaving: LeavingView | None = None
    """In the answer to `stop` with `leave`: the operation that ends its journeys."""

    @classmethod
    def of(cls, stored: StoredCampaign, counts: Mapping[str, int], most: float = inf) -> CampaignView:
        """Return the view of a stored campaign, whose destination takes `most` lines a second from campaigns."""
        total = sum(counts.values())
        gear: GearName = "blast" if stored.gear == "blast" else "enter"
        survey = Survey.model_validate(stored.survey) if stored.survey else None
        return cls.from_record(
            stored,
            scenario=f"{stored.scenario}@{stored.version}",
            gear=gear,
            state=_state(stored),
            survey=survey,
            estimate=Estimate.of(gear, survey.entries, min(stored.rate, most)) if survey else None,
            outcomes={name: counts[name] for name in LINE_OUTCOMES if counts.get(name)},
            done=total - counts.get(PENDING, 0),
            total=total,
            since=stored.created_at,
        )

    def moving(self, speed: float | None) -> CampaignView:
        """Return the view of a running campaign that works on so many lines a second, if that is known."""
        pace = (self.estimate.rate if self.estimate else self.rate) if speed is None else speed
        left = (self.total - self.done) / pace if pace else None
        return self.model_copy(update={"speed": speed, "seconds_left": left})

    @property
    def over(self) -> bool:
        return self.ended_at is not None


class CampaignLineView(View):
    """A line of a campaign's file."""

    line: int
    """Its number, from 1. The header of a table is line 1."""
    contact: str
    """The contact's id; empty for an invalid line."""
    journey: str | None
    """The id of its journey."""
    outcome: LineOutcome
    """What became of it. `pending`: it waits."""
    reason: str | None
    """Why it was refused, skipped or held, became a journey, or is invalid."""
    at: datetime | None
    """Time of the outcome."""

    @classmethod
    def as_csv(cls, lines: Iterable[CampaignLineView], *, header: bool = False, for_spreadsheets: bool = False) -> str:
        """Return lines as CSV, the first row perhaps with the names of the fields.

        For spreadsheets, texts that one would execute as formulas get an apostrophe (OWASP, "CSV Injection").
        """
        text = io.StringIO()
        written: csv.DictWriter[str] = csv.DictWriter(text, tuple(cls.model_fields), lineterminator="\n")
        if header:
            written.writeheader()
        for line in lines:
            row = line.model_dump(mode="json")
            if for_spreadsheets:
                row = {name: f"'{cell}" if str(cell).startswith(_FORMULA) else cell for name, cell in row.items()}
            written.writerow(row)
        return text.getvalue()


_SPAN: Final = 60.0  # seconds over which a speed is measured
_SHORTEST: Final = 1.0
_WATCHED: Final = 100  # campaigns


class Speedometer:
    """The speeds of the campaigns that somebody looks at, from the numbers of lines that were shown before."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def speed(self, campaign: str, done: int) -> float | None:
        """Return the lines a second since an earlier look within the last minute, or None without one."""
        now = monotonic()
        looks = self._seen.setdefault(campaign, deque())
        while looks and looks[0][0] < now - _SPAN:
            looks.popleft()
        if not looks or now - looks[-1][0] >= _SHORTEST:
            looks.append((now, done))
        while len(self._seen) > _WATCHED:
            del self._seen[next(iter(self._seen))]
        since, before = looks[0]
        return (done - before) / (now - since) if now - since >= _SHORTEST else None

    def forget(self, campaign: str) -> None:
        self._seen.pop(campaign, None)


def _state(stored: StoredCampaign) -> CampaignProgress:
    match stored.outcome:
        case "finished" | "stopped" | "failed":
            return stored.outcome
        case _ if stored.loaded_at is None:
            return "preparing"
        case _ if stored.confirmed_at is None:
            return "ready"
        case _ if stored.paused_by is not None:
            return "paused"
        case _ if stored.starts_at is not None and stored.starts_at > datetime.now(UTC):
            return "scheduled"
        case _:
            return "running"
