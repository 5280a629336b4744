"""Views of campaigns and their lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from gateway.campaigns.survey import Estimate, Survey
from gateway.service.view import View
from runtime.store.campaigns import PENDING, CampaignItem, StoredCampaign
from scenario.plan.gear import GearName
from scenario.words import LINE_OUTCOMES, LineOutcome

CampaignOperation = Literal["start", "pause", "resume", "retune", "stop"]
CampaignProgress = Literal["preparing", "ready", "scheduled", "running", "paused", "finished", "stopped", "failed"]


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
    def of(cls, stored: StoredCampaign, counts: Mapping[str, int]) -> CampaignView:
        """Return the view of a stored campaign with these numbers of lines by outcome."""
        known: dict[LineOutcome, int] = {name: counts[name] for name in LINE_OUTCOMES if counts.get(name)}
        total = sum(counts.values())
        gear: GearName = "blast" if stored.gear == "blast" else "enter"
        survey = Survey.model_validate(stored.survey) if stored.survey else None
        return cls(
            name=stored.name,
            scenario=f"{stored.scenario}@{stored.version}",
            gear=gear,
            gear_reason=stored.gear_reason,
            state=_state(stored),
            file=stored.file,
            digest=stored.digest,
            survey=survey,
            estimate=Estimate.of(gear, survey.entries, stored.rate) if survey else None,
            rate=stored.rate,
            outcomes=known,
            done=total - counts.get(PENDING, 0),
            total=total,
            operator=stored.operator,
            since=stored.created_at,
            starts_at=stored.starts_at,
            local_start=stored.local_start,
            paused_by=stored.paused_by,
            pause_reason=stored.pause_reason,
            ended_at=stored.ended_at,
            trouble=stored.trouble,
            stopped_by=stored.stopped_by,
            stop_reason=stored.stop_reason,
        )

    @property
    def over(self) -> bool:
        """True if the campaign has ended."""
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
    def of(cls, item: CampaignItem) -> CampaignLineView:
        """Return the view of a stored line."""
        return cls.model_validate(
            {
                "line": item.line,
                "contact": item.contact_id,
                "journey": item.journey,
                "outcome": item.outcome or PENDING,
                "reason": item.reason,
                "at": item.answered_at,
            }
        )


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
