"""Words that programs and people meet everywhere: states, causes, outcomes, operations and events.

Each is a string in the store, in workflow results, in JSON, in metrics and on the pages. They are contracts: words may
be added, and none changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal, get_args

from scenario.source.findings import near


class JourneyState(StrEnum):
    """The state of a journey."""

    ENTERING = "entering"
    """Started, and not admitted yet."""
    RUNNING = "running"
    """Between steps, or sending."""
    WAITING = "waiting"
    """Waiting for a time, an event, or until a message may leave."""
    RETRYING = "retrying"
    """A delivery has failed, and will be attempted again."""
    HELD = "held"
    """A step failed terminally; an operator decides."""
    PAUSED = "paused"
    """Paused by an operator."""
    LEAVING = "leaving"
    """Ending by a decision."""
    FINISHED = "finished"
    """Ended after its last step."""
    EXITED = "exited"
    """Ended early: by an exit rule, an `exit` step or an operator."""
    CONTROL = "control"
    """Ended at its start: the contact belongs to the scenario's control group."""
    HOLDOUT = "holdout"
    """Ended at its start: the contact belongs to the holdout of all scenarios."""
    REFUSED = "refused"
    """Not admitted."""
    LOST = "lost"
    """Admitted, but its workflow ended without a result."""


LineOutcome = Literal["delivered", "entered", "refused", "skipped", "held", "invalid", "duplicate", "pending"]
"""The outcome of a line of a campaign's file."""
LINE_OUTCOMES: Final[tuple[LineOutcome, ...]] = get_args(LineOutcome)
ENDED: Final = (
    JourneyState.FINISHED,
    JourneyState.EXITED,
    JourneyState.CONTROL,
    JourneyState.HOLDOUT,
    JourneyState.LOST,
)
"""States of admitted journeys that have ended."""
LISTED: Final = (
    JourneyState.RUNNING,
    JourneyState.WAITING,
    JourneyState.RETRYING,
    JourneyState.HELD,
    JourneyState.PAUSED,
    *ENDED,
)
"""States by which journeys can be listed."""


class HeldCause(StrEnum):
    """Why a journey is held."""

    PERMANENT = "permanent"
    """The receiver refused the message, and would refuse it again."""
    EXHAUSTED = "exhausted"
    """All attempts failed, or the deadline passed."""
    UNKNOWN = "unknown"
    """The message may or may not have been delivered."""
    UNCONFIGURED = "unconfigured"
    """A destination, a secret or a setting is missing."""
    TEMPLATE = "template"
    """A template, a condition or a date cannot be evaluated for this contact."""
    CAPPED = "capped"
    """A cap is full, and the step holds instead of skipping."""
    REFUSED_ANSWER = "refused_answer"
    """The message was delivered, but the response lacks what the step requires."""


CAUSES: Final[Mapping[str, str]] = {
    HeldCause.PERMANENT: "the receiver refused it permanently",
    HeldCause.EXHAUSTED: "attempts or time ran out",
    HeldCause.UNKNOWN: "it may or may not have arrived",
    HeldCause.UNCONFIGURED: "something is not configured",
    HeldCause.TEMPLATE: "a template, condition or date could not be evaluated",
    HeldCause.CAPPED: "a cap is full",
    HeldCause.REFUSED_ANSWER: "the response is not the one that the step requires",
}
"""Causes as parts of a sentence."""


class AttemptOutcome(StrEnum):
    """The recorded outcome of one attempt of a delivery, see `activities.attempt`."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Failed, and will be attempted again."""
    FAILED = "failed"
    """Failed terminally."""
    UNKNOWN = "unknown"
    """Sent, but without an answer that tells whether it was accepted."""
    SKIPPED = "skipped"
    """Not sent, for a reason that is a `SkipReason`."""
    CANCELLED = "cancelled"
    """Stopped because the journey left the step."""
    BATCHED = "batched"
    """Joined a batch call, whose attempts are recorded by its own delivery id."""
    REFUSED_ANSWER = "refused_answer"
    """Delivered, but the response lacks what the step requires."""


ItemOutcome = Literal["delivered", "refused", "unknown", "skipped"]
"""The outcome of a contact's item of a batch call."""
BATCHED: Final = "batched"
"""The outcome of a step that joined a batch call and does not wait for it."""


class SkipReason(StrEnum):
    """Why a message was not sent."""

    CAPPED = "capped"
    SUPPRESSED = "suppressed"
    NO_CONSENT = "no_consent"
    EXPIRED = "expired"


EventType = Literal[
    "journey.entered",
    "journey.refused",
    "journey.held",
    "journey.ended",
    "delivery.delivered",
    "delivery.failed",
    "delivery.skipped",
    "goal.reached",
    "destination.paused",
    "destination.recovered",
    "campaign.started",
    "campaign.finished",
]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)


class Operation(StrEnum):
    """An operator's action on a journey. `update` is the name of the workflow update that carries it out."""

    RETRY = "retry"
    SKIP = "skip"
    LEAVE = "leave"
    PAUSE = "pause"
    RESUME = "resume"
    RETUNE = "retune"
    MIGRATE = "migrate"

    @property
    def update(self) -> str:
        """The journey's update of this operation."""
        return f"{self}_step" if self in (Operation.RETRY, Operation.SKIP) else str(self)


class OutgoingOperation(StrEnum):
    """An operator's action on a subscription to outgoing events."""

    RETRY = "retry"
    SKIP = "skip"
    REPLAY = "replay"
    FORGET = "forget"


Purpose = Literal["marketing", "transactional"]
"""Transactional messages are requested by the contact: quiet hours, caps, subscriptions and the holdout do not apply.
"""
MARKETING: Final = "marketing"
TRANSACTIONAL: Final = "transactional"


_OF_ALL: Final = ("delivery", "provider", "step")

PROVIDER_EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "email.delivered": _OF_ALL,
    "email.opened": _OF_ALL,
    "email.clicked": _OF_ALL,
    "email.bounced": (*_OF_ALL, "code", "type"),
    "email.complained": _OF_ALL,
    "email.unsubscribed": _OF_ALL,
    "sms.delivered": _OF_ALL,
    "sms.failed": (*_OF_ALL, "code"),
    "whatsapp.sent": _OF_ALL,
    "whatsapp.delivered": _OF_ALL,
    "whatsapp.read": _OF_ALL,
    "whatsapp.failed": (*_OF_ALL, "code"),
}
"""Properties by event. None of them identifies a contact.

- ``step``, ``delivery``: the step that sent the message, and its delivery id.
- ``provider``: the name of the provider.
- ``code``: the provider's or the mail server's code for the reason, such as ``550 5.1.1``; empty if there is none.
- ``type``: ``hard``, ``soft`` or ``blocked``: the address is invalid, is unreachable for now, or is not to blame.
"""
_RESERVED: Final = frozenset({"contact.changed", "contact.unsubscribed"})
_RESERVED_PREFIXES: Final = ("email.", "sms.", "whatsapp.")


def is_reserved_event(name: str) -> bool:
    """Return True if only this product reports events of this name, such as those from providers.

    Prefixes are reserved so that a later release can add names without breaking a customer's own event.
    """
    return name in _RESERVED or name.startswith(_RESERVED_PREFIXES)


_SYNONYMS: Final = {
    "email.spam": "email.complained",
    "email.failed": "email.bounced",
    "email.read": "email.opened",
    "sms.undelivered": "sms.failed",
    "whatsapp.undelivered": "whatsapp.failed",
    "whatsapp.seen": "whatsapp.read",
}


def suggested_event(name: str) -> str | None:
    """Return the provider's event that a similar name means, or None."""
    channel, dot, what = name.partition(".")
    if not dot or name in PROVIDER_EVENTS:
        return None
    known = [one.removeprefix(f"{channel}.") for one in PROVIDER_EVENTS if one.startswith(f"{channel}.")]
    found = near(what, known)
    return _SYNONYMS.get(name) or (f"{channel}.{found}" if found else None)
