"""Evaluates conditions and values, and makes the variables of templates, which are the same in every channel.

All are pure functions, which previews use, so they load no Temporal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from activities.interface import Delivery
from scenario import liquid
from scenario.entry.entry import journey_root
from scenario.entry.objects import with_trigger
from scenario.errors import EntryError, NotConfigured, TemplateError
from scenario.model.scenario import Scenario
from scenario.policies.order import scope_of
from scenario.steps.delivery import DeliveryStep
from scenario.steps.host import EvaluationRequest, EvaluationResult
from scenario.steps.switch import case_met
from scenario.time import parse_moment, shift, zone_of

if TYPE_CHECKING:
    from runtime.public_links import Subscriber


class CallbackUrls(Protocol):
    """Makes `journey.callback_url`, by a pure function: `runtime.public_links.Callbacks`, or a preview's stand-in."""

    def url(self, workflow_id: str, root: str, delivery_id: str, now: datetime) -> str: ...


class UnsubscribeUrls(Protocol):
    """Makes `journey.unsubscribe_url` likewise: `runtime.public_links.Unsubscribing`, or a preview's stand-in."""

    def url(self, subscriber: Subscriber) -> str: ...


def subscriber_of(
    scenario: Scenario, step: DeliveryStep, contact_id: str, data: Mapping[str, Any]
) -> Subscriber | None:
    """Return the subscriber that a message's unsubscribe link is for, or None.

    Raise BadRecipient if the recipient's address is malformed.
    """
    from runtime.public_links import Subscriber  # here, since it loads what encrypts

    scope = scope_of(scenario, step)
    if scope is None or step.recipient is None:
        return None
    root, field = step.recipient
    there: Any = data.get(root) or {}
    written = str(there.get(field) or "").strip()
    return Subscriber(step.channel, scope, contact_id, step.spelled(written)) if written else None


def template_data(
    delivery: Delivery, workflow_id: str, callbacks: CallbackUrls | None = None, unsubscribe_url: str = ""
) -> dict[str, Any]:
    """Return the variables of a delivery's templates. It is a pure function: every attempt renders the same bytes.

    They are the journey's data, `now` and `today` (when the message may leave, in the contact's zone) and `journey`.
    `journey.delivery_id` is always present, `journey.entered_at` and `journey.callback_url` if a template uses them
    (raise NotConfigured if it cannot be made). Marketing always has `journey.unsubscribe_url`, for its headers.
    Webhooks add secrets.
    """
    handed: dict[str, Any] = delivery.data.get("journey") or {}
    made = journey_root(workflow_id, delivery.name, delivery.version, handed.get("entered_at"))
    made["delivery_id"] = delivery.id
    if delivery.root:
        if callbacks is None:
            raise NotConfigured(
                "a template asks for journey.callback_url, which is not configured: "
                "set SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY for the workers"
            )
        made["callback_url"] = callbacks.url(
            workflow_id, delivery.root, delivery.id, datetime.fromisoformat(delivery.now)
        )
    if unsubscribe_url:
        made["unsubscribe_url"] = unsubscribe_url
    whole = with_trigger(delivery.data)
    return {**whole, "journey": {**handed, **made}, "now": delivery.now, "today": delivery.now[:10]}


def answer(question: EvaluationRequest) -> EvaluationResult:
    """Evaluate. If the template fails for this contact's data, the result says so: a retry would give the same."""
    try:
        return evaluate(question)
    except TemplateError as error:
        return EvaluationResult(error=str(error))


def evaluate(question: EvaluationRequest) -> EvaluationResult:
    """Evaluate a condition, or a template's output. Raise TemplateError if it fails for this contact's data."""
    data = with_trigger(question.data)
    if question.kind == "condition":
        return EvaluationResult(value=liquid.evaluate_condition(question.text, data))
    if question.kind == "text":
        return EvaluationResult(value=liquid.render_line(question.text, data))
    value = liquid.evaluate_value(question.text, data)
    if question.cases:
        return EvaluationResult(value=case_met(value, question.cases))
    return _end(value, question) if question.zone else EvaluationResult(value=value)


def _end(value: Any, question: EvaluationRequest) -> EvaluationResult:
    """Return the end of a wait for a date. It is stored, so that a newer tz database changes nothing in a replay."""
    zone = zone_of(question.zone)
    try:
        moment = None if value is None else parse_moment(str(value), zone)
    except EntryError as error:
        return EvaluationResult(no_date=str(error))
    if moment is None:
        return EvaluationResult(no_date="the date to wait for is missing")
    return EvaluationResult(end=shift(moment, timedelta(seconds=question.offset), zone).isoformat())
