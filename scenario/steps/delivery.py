"""The common parts of steps that send: their model, their row, and how a delivery is performed."""

from __future__ import annotations

import hashlib
from dataclasses import field, replace
from datetime import timedelta
from typing import Any, ClassVar, Final

from pydantic import Field
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.model.parts import Interval, OnFailure, OnUnknown, Retry, Timeout, optional
from scenario.plan.retry import Changes, RetryPolicy
from scenario.policies.caps import Capped
from scenario.policies.hours import Window
from scenario.policies.suppression import Source
from scenario.steps.base import BaseStep, Compiler, Row
from scenario.steps.host import ContinueAsNew, Delivered, Failed, Host, Leave, Next, NotBefore, Outcome
from scenario.time import spell

ON_UNKNOWN: Final = "If it was sent without an answer: retry (it may arrive twice), hold, or continue."


CAPPED: Final = "capped"
"""The cause of holds when a cap is reached."""
REFUSED_ANSWER: Final = "refused_answer"
"""The cause of holds, and the outcome of attempts, if the response does not fit."""
_ANSWERED: Final = ("delivered", REFUSED_ANSWER)
SOONEST: Final = timedelta(seconds=5)
"""Minimum wait of a deferred delivery before it is tried again."""


def delivery_id(workflow_id: str, root: str, step: str, visit: int) -> str:
    """Return the id of a delivery, which is stable over attempts, crashes, operators' retries and continue-as-new.

    Args:
        root: The id of the journey's first run, or what a campaign or a batch call has instead.
    """
    place = "\n".join((workflow_id, root, step, str(visit)))
    return f"msg_{hashlib.sha256(place.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, kw_only=True)
class Batching:
    """A delivery as an item of a batch."""

    within: float
    """Seconds after which the batch is sent."""
    wait: bool = False
    """True if the journey waits for the item's outcome."""


@dataclass(frozen=True, kw_only=True)
class Send(Row):
    """A delivery."""

    own_role = "sends"
    own_ways = (("next", "next"),)

    next: str | None = None
    to: str = ""
    """The host or destination of a webhook."""
    fields: tuple[str, ...] = ()
    """The data that its templates name."""
    item_fields: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The parts that the templates read of each item of those `fields` that may be lists, if that is known:
    `{"order.products": ("name", "options[].label")}`. Otherwise items are passed whole."""
    retry: RetryPolicy = RetryPolicy()
    timeout: float = 15.0
    on_failure: OnFailure = "hold"
    on_unknown: OnUnknown = "retry"
    destination: bool = False
    """True if `to` names a destination instead of a host."""
    own_settings: tuple[str, ...] = ()
    """The values of the retry policy, and `timeout`, that the scenario sets. A destination may set the others."""
    save: str | None = None
    """The name under which the response is saved, if any."""
    required: bool = False
    """True if the step fails without a response that can be saved."""
    via: str = ""
    """The channel; empty if it has the kind's name."""
    batch: Batching | None = None
    """How it joins a batch, if one request is sent for many contacts."""

    @property
    def channel(self) -> str:
        return self.via or self.kind

    @property
    def calls_back(self) -> bool:
        """True if a template names the callback URL. It is listed beside `journey` if both are named."""
        return "journey.callback_url" in self.fields

    @property
    def lead(self) -> float:
        """Seconds that the delivery waits for its batch before its first attempt."""
        return self.batch.within if self.batch is not None and self.batch.wait else 0.0

    def as_asked(self, retry: Changes, timeout: float | None) -> Send:
        """Return the step with its destination's values for the settings that the scenario leaves open."""
        theirs = {name: value for name, value in retry.items() if name not in self.own_settings}
        timeout = self.timeout if timeout is None or "timeout" in self.own_settings else timeout
        return replace(self, retry=self.retry.changed_by(theirs), timeout=timeout)

    @override
    def describe(self) -> str:
        kind = f"batch {self.kind}" if self.batch is not None else self.kind
        return f"{kind} → {self.to}" if self.to else kind

    @override
    def instead(self, other: object) -> Send:
        return replace(other, next=self.next, save=self.save or other.save) if isinstance(other, Send) else self

    async def perform(self, host: Host) -> Outcome:
        """Deliver as soon as policies allow. `on_failure` or an operator decides about a terminal failure."""
        self._forget_response(host)
        while True:
            if outcome := await host.decided():
                return outcome
            if (deferred := host.memory.deferred) is not None:
                changes = host.inputs.changes
                what = f"{host.step}: {deferred.since} until {spell(deferred.moment, host.zone)}"
                await host.wait(deferred.moment, what, lambda changes=changes: _is_released(host, changes))
                if _is_released(host, changes) or deferred.moment <= host.now():
                    host.memory.stop_waiting()  # the policies decide again: the contact may be in another zone
                if host.must_continue:
                    return ContinueAsNew()
                if host.inputs.paused:
                    await host.wait(None, f"{host.step}: paused", lambda: not host.inputs.paused)
                    if host.must_continue:
                        return ContinueAsNew()
                    continue
            row = self.on(host)
            sent = row._with_response(await host.deliver(row))
            if isinstance(sent, NotBefore):
                # Clocks differ: without a minimum, a delivery that is due now would be tried in a busy loop.
                host.memory.defer(replace(sent, moment=max(sent.moment, host.now() + SOONEST)), host.zone)
                continue
            if not isinstance(sent, Failed):
                note = sent.note
                if row.save is not None and sent.saved is not None:
                    note = "; ".join(filter(None, (note, host.memory.save(row.save, sent.saved)))) or None
                host.record(sent.outcome, sent.reason, status=sent.status, attempts=sent.attempts, note=note)
                return Next(row.next)
            # A reached cap is not a failure. The step's own `capped` has decided to hold.
            decision = "hold" if sent.cause == CAPPED else row.on_unknown if sent.unknown else row.on_failure
            if decision in ("continue", "exit"):
                outcome = "unknown" if sent.unknown else "failed"
                host.record(outcome, sent.reason, status=sent.status, attempts=sent.attempts, note=sent.note)
                return Next(row.next) if decision == "continue" else Leave(f"step {host.step} failed")
            host.hold(sent)

    @override
    def skip(self, host: Host, reason: str | None) -> Next:
        self._forget_response(host)
        return super().skip(host, reason)

    def _with_response(self, sent: Delivered | Failed | NotBefore) -> Delivered | Failed | NotBefore:
        """Return the failure of a delivery that lacks the response that the step requires."""
        if not self.required or not isinstance(sent, Delivered):
            return sent
        if sent.outcome not in _ANSWERED or sent.saved is not None:
            return sent
        to = self.to or self.channel
        answered = f"{to} answered {sent.status}" if sent.status else to
        why = sent.note or f"no response was kept as '{self.save}'"
        return Failed(
            reason=f"{answered}: {why}",
            kind="DeliveryPermanent",
            cause=REFUSED_ANSWER,
            destination=to,
            status=sent.status,
            attempts=sent.attempts or 0,
            excerpt=sent.excerpt,
        )

    def _forget_response(self, host: Host) -> None:
        """Forget the response of an earlier round: templates must not take it for this one's."""
        if self.save is not None:
            host.memory.forget(self.save)


def _is_released(host: Host, changes: int) -> bool:
    return host.inputs.changes != changes or host.inputs.send_now


class DeliveryStep(BaseStep):
    """A step that sends a message.

    Attributes:
        kind: The key that names it.
        channel: Its channel. Several kinds may use the same one.
        always: Fields of the journey's data that it needs whole, in addition to those that its templates name.
        suppressed_by: Reasons for which an address of this channel may be suppressed. Empty if it has no address.
    """

    row = Send
    kind: ClassVar[str]
    channel: ClassVar[str]
    sends: ClassVar[bool] = True
    is_message: ClassVar[bool] = True
    always: ClassVar[tuple[tuple[str, ...], ...]] = ()
    suppressed_by: ClassVar[tuple[Source, ...]] = ()

    retry: Retry = Field(default=Retry(), description="Retry policy.")
    timeout: Timeout = Field(default=timedelta(seconds=15), description="Time of one attempt, from 1s to 5m.")
    on_failure: OnFailure = Field(
        default="hold", description="After a terminal failure: hold the journey for an operator, continue, or exit."
    )
    on_unknown: OnUnknown
    window: Window | None = optional("Hours in the contact's zone in which the step may send; at other times it waits.")
    expires: Interval | None = optional(
        "Maximum wait for a window, a cap, a rate or the receiver; then the step is skipped."
    )
    capped: Capped = Field(
        default="skip",
        exclude_if=lambda capped: capped == "skip",
        description="If a cap is full: skip the step, hold the journey, or {wait: 2d} for a free place.",
    )

    @property
    def needs_consent(self) -> bool:
        return True

    @classmethod
    def spelled(cls, address: str) -> str:
        """Return the normalized spelling of an address, or raise BadRecipient, which does not quote it."""
        return address

    @override
    def compile(self, compiler: Compiler, **more: Any) -> Send:
        """Return the row of a delivery. `more` contains the fields of one kind alone."""
        fields, items = compiler.handed(self.messages(), (*self.always, *compiler.consents.get(self.channel, ())))
        return Send(
            kind=self.kind,
            via="" if self.channel == self.kind else self.channel,
            next=compiler.following,
            fields=fields,
            item_fields=items,
            retry=self.retry.policy,
            timeout=self.timeout.total_seconds(),
            on_failure=self.on_failure,
            on_unknown=self.on_unknown,
            **more,
        )
