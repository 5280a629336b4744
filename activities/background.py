"""Arguments and results of the activities that `Enter` and the background workflows call.

They are stable, as in `activities.interface`: fields may be added, with a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from activities.channel_registry import WEBHOOK
from activities.interface import JOURNEYS, ActivityType
from scenario.words import MARKETING, ItemOutcome

Argument = TypeVar("Argument")


@dataclass(frozen=True, kw_only=True)
class IdentityRequest:
    """The request for the journey that an entry would start."""

    entry: dict[str, Any]
    now: str  # ISO 8601 in UTC


@dataclass(frozen=True, kw_only=True)
class EntryIdentity:
    """The journey's id, or the reason for a refusal."""

    refused: str = ""  # a reason for refusal that is known before admission; else empty
    workflow_id: str = ""
    summary: str = ""  # the journey's summary for Temporal's UI: ids only
    joins: bool = False  # True if an entry of a running journey is answered with that journey
    purpose: str = MARKETING


IDENTIFY: Final = ActivityType("identify", IdentityRequest, EntryIdentity)

# ---- erasure. Nothing here contains the contact's id: the erasure's id leads to it, in the store.

ERASE_WORKFLOW: Final = "Erase"


@dataclass(frozen=True, kw_only=True)
class ErasurePass:
    """A pass of an erasure."""

    erasure: str
    passes: int = 0  # number of completed passes
    remaining: int = 0  # number of runs that Temporal still had at the beginning of this pass


@dataclass(frozen=True, kw_only=True)
class JourneysEnded:
    """The result of `end_journeys`: the number of runs that Temporal still has."""

    remaining: int


@dataclass(frozen=True, kw_only=True)
class RowsCleared:
    """The result of `clear_rows`."""

    finished: bool = False  # True if nothing is left to be erased
    pause: float = 0.0  # seconds until the next pass


END_JOURNEYS: Final = ActivityType("end_journeys", ErasurePass, JourneysEnded, JOURNEYS)
DELETE_HISTORIES: Final = ActivityType("delete_histories", ErasurePass, type(None), JOURNEYS)
CLEAR_ROWS: Final = ActivityType("clear_rows", ErasurePass, RowsCleared, JOURNEYS)

# ---- retention

PRUNE_WORKFLOW: Final = "Prune"


@dataclass(frozen=True, kw_only=True)
class PruneRequest:
    """A request to delete a part of the old data."""

    ages: str  # the ages, as `runtime.retention.parse_ages` reads them
    now: str = ""  # the reference time, ISO 8601 in UTC; empty at the start of a workflow
    job: str = ""  # the job to continue with; empty at the beginning
    since: str = ""  # the progress of that job, ISO 8601 in UTC
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])  # numbers of deleted rows so far, by kind

    @property
    def is_sound(self) -> bool:
        """True if its times have a zone, and it has both a job and its progress, or neither."""
        try:
            times = [datetime.fromisoformat(text) for text in (self.now, self.since) if text]
        except ValueError:
            return False
        return bool(self.job) == bool(self.since) and all(time.tzinfo is not None for time in times)


@dataclass(frozen=True, kw_only=True)
class PruneResult:
    """The result of a part."""

    job: str = ""  # the job to continue with; empty if all is done
    since: str = ""  # the progress of that job, ISO 8601 in UTC
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])  # numbers of deleted rows, by kind
    kept: tuple[str, ...] = ()  # data that is kept longer than requested, and why: sentences
    pause: float = 0.0  # seconds to wait before the next part


PRUNE: Final = ActivityType("prune", PruneRequest, PruneResult)

# ---- notices to the platform

TELL_WORKFLOW: Final = "TellPlatform"


@dataclass(frozen=True, kw_only=True)
class SuppressionNotice:
    """A suppressed address to report."""

    destination: str
    channel: str  # ``email`` or ``sms``
    address: str  # the sealed address, see `runtime.derived_keys`
    source: str  # the reason, in the platform's words
    scope: str = ""  # the list; empty for all
    at: str = ""  # time of the suppression, ISO 8601 in UTC
    queue: str = WEBHOOK.queue  # the destination's task queue


@dataclass(frozen=True, kw_only=True)
class PlatformReply:
    """The platform's reply."""

    outcome: str  # ``told``, or ``known`` if the platform had the address already
    status: int = 0


TELL: Final = ActivityType("tell_platform", SuppressionNotice, PlatformReply, queue=WEBHOOK.queue)


# ---- audiences. Nothing here identifies a member.

AUDIENCE_WORKFLOW: Final = "SyncAudience"


@dataclass(frozen=True, kw_only=True)
class AudienceRef:
    """An audience at a destination."""

    destination: str
    audience: str


@dataclass(frozen=True, kw_only=True)
class AudienceBatch(AudienceRef):
    """Changes that are sent in one request. Its id states the operation: ``add-…`` or ``remove-…``."""

    batch: str  # its id; of a batch to be frozen the part behind the operation


@dataclass(frozen=True, kw_only=True)
class FrozenBatch:
    """A frozen batch."""

    batch: str = ""  # its id; empty if nothing is to be sent
    more: bool = False  # True if further changes wait
    queue: str = WEBHOOK.queue  # the task queue of its destination


@dataclass(frozen=True, kw_only=True)
class BatchSent:
    """The result of a batch."""

    again: bool = False  # True if some of its changes must be sent again


@dataclass(frozen=True, kw_only=True)
class AudienceTrouble(AudienceRef):
    """The terminal failure of a batch."""

    reason: str


FREEZE: Final = ActivityType("freeze_audience_batch", AudienceBatch, FrozenBatch)
SEND_BATCH: Final = ActivityType("send_audience_batch", AudienceBatch, BatchSent)
HOLD_AUDIENCE: Final = ActivityType("hold_audience", AudienceTrouble, type(None))


# ---- batch calls

BATCH_WORKFLOW: Final = "Batch"
FULL: Final = "batch.full"
"""The event that sends a batch before it is due."""


@dataclass(frozen=True, kw_only=True)
class BatchStart:
    """The argument of a batch's workflow."""

    batch: str  # its id, from which its delivery id is made
    scenario: str
    version: int
    step: str
    row: dict[str, Any] = field(default_factory=dict[str, Any])  # the step, from `scenario.steps.registry.dump_row`
    zone: str = "UTC"  # the scenario's
    purpose: str = MARKETING


@dataclass(frozen=True, kw_only=True)
class BatchEnd:
    """The end of a batch. Items without an outcome get this one."""

    batch: str
    step: str
    outcome: ItemOutcome
    reason: str | None = None


SETTLE: Final = ActivityType("settle_batch", BatchEnd, type(None), JOURNEYS)


_READERS: Final = {
    kind: TypeAdapter(kind) for kind in (ErasurePass, PruneRequest, SuppressionNotice, AudienceRef, BatchStart)
}


def read_argument(kind: type[Argument], argument: object) -> Argument | None:
    """Return a workflow's argument, or None if it is something else."""
    reader: TypeAdapter[Argument] = _READERS[kind]  # type: ignore[index, assignment]
    try:
        return reader.validate_python(argument)
    except ValidationError:
        return None


# ---- campaigns

BLAST: Final = "blast_lines"
LINES: Final = 1_000  # lines of a chunk


@dataclass(kw_only=True)
class CampaignChunk:
    """Some lines of a campaign."""

    campaign: str
    first: int  # its entries have the places `first` to `last`
    last: int
    rate: float  # maximum number of lines a second
    share: float = 1.0  # of the campaign's rate
    due: str = ""  # time at which the entries are due, in ISO 8601; empty: with the campaign
