"""Whether a message may leave: what is asked before every attempt, and in which order.

Suppression, consent, window and quiet hours, cap. Exit rules act before, by themselves. Journeys ask, as do previews
and cases: who they are makes no difference but for what they know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol, TypeAlias

from scenario.policies import consent
from scenario.policies.capped import Capped, CappedWait
from scenario.policies.caps import Cap, Full
from scenario.policies.hours import AHEAD, Hours, opening, spread_by
from scenario.policies.policies import Policies
from scenario.policies.purpose import MARKETING, Purpose
from scenario.policies.suppression import Suppression, stops
from scenario.time.duration import format_duration
from scenario.time.timing import later, spell


@dataclass(frozen=True, slots=True)
class Defer:
    """The message may not be sent before `until`.

    Attributes:
        until: When to check again, in UTC.
        reason: A short phrase that completes "kept back until …", such as ``quiet hours``.
        code: One word for metrics and the log of attempts.
    """

    until: datetime
    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class Skip:
    """The message must not be sent. The step is skipped.

    Attributes:
        reason: A short phrase without any of the contact's data.
        code: ``suppressed``, ``no_consent``, ``expired`` or ``capped``.
    """

    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The message must not be sent until an operator decides."""

    reason: str


Ruling: TypeAlias = Defer | Skip | Hold | None
"""None means that the message may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is to leave.

    Attributes:
        delivery: Its delivery's id.
        channel: By what.
        destination: The name of the destination that it goes to, or the host; "" where the channel has one place.
        began: When its step began.
        zone: The contact's.
        contact: The contact's fields, those among them that consent needs.
        at_once: Whether an operator wants it to leave whatever the hour, and whatever caps say.
    """

    delivery: str
    channel: str
    destination: str
    began: datetime
    zone: tzinfo
    contact: Mapping[str, Any]
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for a message.

    Attributes:
        purpose: Its scenario's.
        subscription: The consent that its scenario asks for.
        hours: When it may leave: all of them must be open.
        expires: How long it may wait.
        caps: Those that count it.
        capped: What becomes of it where one of them is full.
    """

    purpose: Purpose = MARKETING
    subscription: consent.Subscription | None = None
    hours: tuple[Hours, ...] = ()
    expires: timedelta | None = None
    caps: tuple[Cap, ...] = ()
    capped: Capped = "skip"


class ByScenario(Protocol):
    """What a scenario says for all of its messages: `scenario.model.scenario.Scenario`."""

    @property
    def purpose(self) -> Purpose: ...
    @property
    def subscription(self) -> consent.Subscription | None: ...
    @property
    def quiet_hours(self) -> Any: ...


class ByStep(Protocol):
    """What a step says for its own: `scenario.steps.delivery.DeliveryStep`."""

    @property
    def window(self) -> Hours | None: ...
    @property
    def expires(self) -> timedelta | None: ...
    @property
    def capped(self) -> Capped: ...


class Facts(Protocol):
    """What has to be looked up: each is asked for only where it matters, in the order of the rules."""

    async def suppressions(self) -> Iterable[Suppression]:
        """What stands against the address; nothing where the channel has none."""
        ...

    async def claim(self, caps: Sequence[Cap]) -> Full | None:
        """Takes a place under these caps, unless the delivery has one; what is full, where there is none."""
        ...

    def now(self) -> datetime:
        """The time, aware."""
        ...


def rules_of(scenario: ByScenario, step: ByStep, policies: Policies, channel: str, destination: str) -> Rules:
    """What holds for the messages of a step.

    Args:
        scenario: Its scenario.
        step: The step.
        policies: Those of all scenarios.
        channel: By what it sends.
        destination: See `Message`.
    """
    own = () if step.window is None else (step.window,)
    if scenario.purpose != MARKETING:
        return Rules(purpose=scenario.purpose, hours=own, expires=step.expires)
    quiet = [*policies.quiet_hours, *((scenario.quiet_hours,) if scenario.quiet_hours else ())]
    return Rules(
        subscription=scenario.subscription,
        hours=(*(hours for hours in quiet if hours.applies_to(channel, destination)), *own),
        expires=step.expires,
        caps=tuple(cap for cap in policies.caps if cap.applies_to(channel, destination)),
        capped=step.capped,
    )


def stopped(channel: str, rules: Rules, suppressions: Iterable[Suppression]) -> Suppression | None:
    """Return the suppression of an address that stops a step's messages to it, or None."""
    asked = (rules.subscription or {}).get(channel)
    scopes = [asked.mailing_list] if asked is not None and asked.mailing_list is not None else []
    return stops(suppressions, rules.purpose, scopes)


async def ask(message: Message, rules: Rules, facts: Facts) -> Ruling:
    """Whether a message may leave now."""
    asked = (rules.subscription or {}).get(message.channel)
    if found := stopped(message.channel, rules, await facts.suppressions()):
        return Skip(found.words, "suppressed")
    if asked is not None and (lacking := asked.missing(message.channel, message.contact)):
        return Skip(f"no consent: {lacking}", "no_consent")
    now = facts.now()
    ends = None if rules.expires is None else later(message.began, rules.expires.total_seconds())
    if rules.expires is not None and ends is not None and now >= ends:
        return Skip(f"expired: it has waited longer than {format_duration(rules.expires)}", "expired")
    if message.at_once:
        await facts.claim([cap.model_copy(update={"at_most": _ANY}) for cap in rules.caps])
        return None
    ruling = _hour(message, rules, now)
    if ruling is None and (full := await facts.claim(rules.caps)) is not None:
        ruling = _place(message, rules, full, now)
    if isinstance(ruling, Defer) and ends is not None and ruling.until >= ends:
        return Skip(f"expired: {ruling.reason} until {spell(ruling.until, message.zone)}", "expired")
    return ruling


_ANY = 1_000_000
"""As many messages as nobody is sent: what leaves whatever caps say counts all the same."""


def _hour(message: Message, rules: Rules, now: datetime) -> Ruling:
    """Whether the hour is right."""
    closed = opening(rules.hours, now, message.zone) if rules.hours else None
    if closed is None:
        return None
    if closed.moment is None:  # holidays on end: nothing is lost meanwhile
        return Defer(now + AHEAD, closed.since, "quiet")
    return Defer(closed.moment + spread_by(message.delivery, closed.spread), closed.since, "quiet")


def _place(message: Message, rules: Rules, full: Full, now: datetime) -> Ruling:
    """What becomes of a message for which a cap has no place."""
    words = full.words(now, message.zone)
    match rules.capped:
        case "hold":
            return Hold(words)
        case CappedWait(wait=wait) if full.free <= later(message.began, wait.total_seconds()):
            return Defer(full.free, f"capped by {full.cap}", "capped")
        case _:
            return Skip(words, "capped")
