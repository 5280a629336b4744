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
from scenario.words import MARKETING

Argument = TypeVar("Argument")


@dataclass(frozen=True, kw_only=True)
class IdentityRequest:
    """The request for the journey that an entry would start.

    Attributes:
        now: ISO 8601 in UTC.
    """

    entry: dict[str, Any]
    now: str


@dataclass(frozen=True, kw_only=True)
class EntryIdentity:
    """The journey's id, or the reason for a refusal.

    Attributes:
        refused: A reason for refusal that is known before admission; else empty.
        summary: The journey's summary for Temporal's UI: ids only.
        joins: True if an entry of a running journey is answered with that journey.
        purpose: The scenario's purpose.
    """

    refused: str = ""
    workflow_id: str = ""
    summary: str = ""
    joins: bool = False
    purpose: str = MARKETING


IDENTIFY: Final = ActivityType("identify", IdentityRequest, EntryIdentity)

# ---- erasure. Nothing here contains the contact's id: the erasure's id leads to it, in the store.

ERASE_WORKFLOW: Final = "Erase"


@dataclass(frozen=True, kw_only=True)
class ErasurePass:
    """A pass of an erasure.

    Attributes:
        erasure: The erasure's id in the store.
        passes: Number of completed passes.
        remaining: Number of runs that Temporal still had at the beginning of this pass.
    """

    erasure: str
    passes: int = 0
    remaining: int = 0


@dataclass(frozen=True, kw_only=True)
class JourneysEnded:
    """The result of `end_journeys`: the number of runs that Temporal still has."""

    remaining: int


@dataclass(frozen=True, kw_only=True)
class RowsCleared:
    """The result of `clear_rows`.

    Attributes:
        finished: True if nothing is left to be erased.
        pause: Seconds until the next pass.
    """

    finished: bool = False
    pause: float = 0.0


END_JOURNEYS: Final = ActivityType("end_journeys", ErasurePass, JourneysEnded, JOURNEYS)
DELETE_HISTORIES: Final = ActivityType("delete_histories", ErasurePass, type(None), JOURNEYS)
CLEAR_ROWS: Final = ActivityType("clear_rows", ErasurePass, RowsCleared, JOURNEYS)

# ---- retention

PRUNE_WORKFLOW: Final = "Prune"


@dataclass(frozen=True, kw_only=True)
class PruneRequest:
    """A request to delete a part of the old data.

    Attributes:
        ages: The ages, as `runtime.retention.parse_ages` reads them.
        now: The reference time, ISO 8601 in UTC; empty at the start of a workflow.
        job: The job to continue with; empty at the beginning.
        since: The progress of that job, ISO 8601 in UTC.
        deleted: Numbers of deleted rows so far, by kind.
    """

    ages: str
    now: str = ""
    job: str = ""
    since: str = ""
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])

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
    """The result of a part.

    Attributes:
        job: The job to continue with; empty if all is done.
        since: The progress of that job, ISO 8601 in UTC.
        deleted: Numbers of deleted rows, by kind.
        kept: Data that is kept longer than requested, and why: sentences.
        pause: Seconds to wait before the next part.
    """

    job: str = ""
    since: str = ""
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])
    kept: tuple[str, ...] = ()
    pause: float = 0.0


PRUNE: Final = ActivityType("prune", PruneRequest, PruneResult)

# ---- notices to the platform

TELL_WORKFLOW: Final = "TellPlatform"


@dataclass(frozen=True, kw_only=True)
class SuppressionNotice:
    """A suppressed address to report.

    Attributes:
        destination: The platform's destination.
        channel: ``email`` or ``sms``.
        address: The sealed address, see `runtime.derived_keys`.
        source: The reason, in the platform's words.
        scope: The list; empty for all.
        at: Time of the suppression, ISO 8601 in UTC.
    """

    destination: str
    channel: str
    address: str
    source: str
    scope: str = ""
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class PlatformReply:
    """The platform's reply.

    Attributes:
        outcome: ``told``, or ``known`` if the platform had the address already.
        status: The HTTP status.
    """

    outcome: str
    status: int = 0


TELL: Final = ActivityType("tell_platform", SuppressionNotice, PlatformReply, queue=WEBHOOK.queue)


_READERS: Final = {kind: TypeAdapter(kind) for kind in (ErasurePass, PruneRequest, SuppressionNotice)}


def read_argument(kind: type[Argument], argument: object) -> Argument | None:
    """Return a workflow's argument, or None if it is something else."""
    reader: TypeAdapter[Argument] = _READERS[kind]  # type: ignore[index, assignment]
    try:
        return reader.validate_python(argument)
    except ValidationError:
        return None
