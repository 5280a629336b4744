"""The order in which rules decide whether a message may leave: suppression, consent, hours, caps.

Journeys, previews and cases use it alike. Exit rules act before, independently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol, TypeAlias

from scenario.model.scenario import Scenario
from scenario.policies import consent
from scenario.policies.caps import Cap, Capped, CappedWait, Full
from scenario.policies.hours import AHEAD, Hours, opening, spread_by
from scenario.policies.policies import Policies
from scenario.policies.suppression import Suppression, stops
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep
from scenario.time import format_duration, later, spell
from scenario.words import MARKETING, Purpose, SkipReason


@dataclass(frozen=True, slots=True)
class Defer:
    """The message may not be sent before a time in UTC, when the rules decide again."""

    until: datetime
    reason: str
    """A short phrase that completes "kept back until …", such as ``quiet hours``."""
    code: str
    """One word for metrics and the log of attempts."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The message must not be sent, and the step is skipped."""

    reason: str
    """A short phrase without any of the contact's data."""
    code: str
    """A `SkipReason`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The message must not be sent until an operator decides."""

    reason: str


Ruling: TypeAlias = Defer | Skip | Hold | None
"""None means that the message may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMessage:
    """A message that is to leave."""

    delivery: str
    channel: str
    destination: str
    """Its destination or host; empty for channels with one place."""
    began: datetime
    zone: tzinfo
    contact: Mapping[str, Any]
    """The contact's fields that consent needs."""
    at_once: bool = False
    """True if an operator wants it sent despite hours and caps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules for a message."""

    purpose: Purpose = MARKETING
    subscription: consent.Subscription | None = None
    hours: tuple[Hours, ...] = ()
    """Hours, all of which must be open."""
    expires: timedelta | None = None
    """Maximum wait."""
    caps: tuple[Cap, ...] = ()
    capped: Capped = "skip"


class Facts(Protocol):
    """Facts that have to be looked up. Each is requested only if it matters, in the order of the rules."""

    async def suppressions(self) -> Iterable[Suppression]:
        """Return the suppressions of the address; none if the channel has no addresses."""
        ...

    async def claim(self, caps: Sequence[Cap]) -> Full | None:
        """Claim a place under caps unless the delivery has one. Return the full cap, or None."""
        ...

    def now(self) -> datetime:
        """Return the time, with a zone."""
        ...


def rules_of(scenario: Scenario, step: DeliveryStep, policies: Policies, channel: str, destination: str) -> Rules:
    """Return the rules for the messages that a step sends by a channel to a destination."""
    own = () if step.window is None else (step.window,)
    if scenario.purpose != MARKETING:
        return Rules(purpose=scenario.purpose, hours=own, expires=step.expires)
    if not step.is_message:
        subscription = scenario.subscription if step.needs_consent else None
        return Rules(subscription=subscription, hours=own, expires=step.expires)
    quiet = [*policies.quiet_hours, *((scenario.quiet_hours,) if scenario.quiet_hours else ())]
    return Rules(
        subscription=scenario.subscription,
        hours=(*(hours for hours in quiet if hours.applies_to(channel, destination)), *own),
        expires=step.expires,
        caps=tuple(cap for cap in policies.caps if cap.applies_to(channel, destination)),
        capped=step.capped,
    )


def scope_of(scenario: Scenario, step: BaseStep) -> str | None:
    """Return the scope that a contact unsubscribes from by a step's message: a list's id or name.

    It is empty for all marketing of the channel, and None if it is not marketing, or goes to no address.
    """
    if scenario.purpose != MARKETING or not isinstance(step, DeliveryStep) or step.recipient is None:
        return None
    asked = (scenario.subscription or {}).get(step.channel)
    return (asked.mailing_list if asked else None) or ""


def stopped(channel: str, rules: Rules, suppressions: Iterable[Suppression]) -> Suppression | None:
    """Return the suppression of an address that stops a step's messages to it, or None."""
    asked = (rules.subscription or {}).get(channel)
    scopes = [asked.mailing_list] if asked is not None and asked.mailing_list is not None else []
    return stops(suppressions, rules.purpose, scopes)


async def ask(message: PlannedMessage, rules: Rules, facts: Facts) -> Ruling:
    """Return the ruling on a message."""
    asked = (rules.subscription or {}).get(message.channel)
    if found := stopped(message.channel, rules, await facts.suppressions()):
        return Skip(found.words, SkipReason.SUPPRESSED)
    if asked is not None and (lacking := asked.missing(message.channel, message.contact)):
        return Skip(f"no consent: {lacking}", SkipReason.NO_CONSENT)
    now = facts.now()
    ends = None if rules.expires is None else later(message.began, rules.expires.total_seconds())
    if rules.expires is not None and ends is not None and now >= ends:
        return Skip(f"expired: it has waited longer than {format_duration(rules.expires)}", SkipReason.EXPIRED)
    if message.at_once:
        await facts.claim([cap.model_copy(update={"at_most": _ANY}) for cap in rules.caps])
        return None
    ruling = _hour(message, rules, now)
    if ruling is None and (full := await facts.claim(rules.caps)) is not None:
        ruling = _place(message, rules, full, now)
    if isinstance(ruling, Defer) and ends is not None and ruling.until >= ends:
        return Skip(f"expired: {ruling.reason} until {spell(ruling.until, message.zone)}", SkipReason.EXPIRED)
    return ruling


_ANY = 1_000_000
"""A number of places that no contact uses up: an operator's message leaves despite caps and still counts."""


def _hour(message: PlannedMessage, rules: Rules, now: datetime) -> Ruling:
    closed = opening(rules.hours, now, message.zone) if rules.hours else None
    if closed is None:
        return None
    if closed.moment is None:  # holidays on end: nothing is lost meanwhile
        again = later(now, AHEAD.total_seconds())
        return Defer(again, closed.since, "quiet") if again > now else None
    return Defer(closed.moment + spread_by(message.delivery, closed.spread), closed.since, "quiet")


def _place(message: PlannedMessage, rules: Rules, full: Full, now: datetime) -> Ruling:
    """Return the ruling on a message that exceeds a cap."""
    words = full.words(now, message.zone)
    match rules.capped:
        case "hold":
            return Hold(words)
        case CappedWait(wait=wait) if full.free <= later(message.began, wait.total_seconds()):
            return Defer(full.free, f"capped by {full.cap}", "capped")
        case _:
            return Skip(words, SkipReason.CAPPED)
