"""Evaluates a journey's conditions and values: pure functions, which previews use, so they load no Temporal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from activities.interface import EvaluationRequest, EvaluationResult
from scenario import liquid
from scenario.entry.trigger import with_trigger
from scenario.errors import EntryError
from scenario.steps.switch import case_met
from scenario.time.timing import parse_moment, shift, zone_of


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
    """Return the end of a wait for a date.

    It is calculated here and stored, so that a newer tz database changes nothing in a replay.
    """
    zone = zone_of(question.zone)
    try:
        moment = None if value is None else parse_moment(str(value), zone)
    except EntryError as error:
        return EvaluationResult(no_date=str(error))
    if moment is None:
        return EvaluationResult(no_date="the date to wait for is missing")
    return EvaluationResult(end=shift(moment, timedelta(seconds=question.offset), zone).isoformat())
