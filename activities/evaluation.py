"""Evaluates the conditions and values by which a journey steers, from its data: pure functions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from activities.interface import Answer, Question
from scenario import liquid
from scenario.entry.trigger import with_trigger
from scenario.errors import EntryError
from scenario.steps.switch import case_met
from scenario.time.timing import parse_moment, shift, zone_of

_SHOWN: Final = 100
"""Characters of a value that should be a date: it may be anything, and history keeps the answer."""


def evaluate(question: Question) -> Answer:
    """Works out a condition, or what a template gives.

    Raises:
        TemplateError: The template fails on this contact's data.
    """
    data = with_trigger(question.data)
    if question.kind == "condition":
        return Answer(value=liquid.evaluate_condition(question.text, data))
    if question.kind == "text":
        return Answer(value=liquid.render_line(question.text, data))
    value = liquid.evaluate_value(question.text, data)
    if question.cases:
        return Answer(value=case_met(value, question.cases))
    return _moment(value, question) if question.zone else Answer(value=value)


def _moment(value: Any, question: Question) -> Answer:
    """The end of a wait, and the beginning of the value: what is not a date is for the journey to tell.

    Worked out here and not in the journey, since the answer is kept: a newer tz database must not change in a replay
    what a journey did long ago.
    """
    if value is None:
        return Answer()
    text, zone = str(value), zone_of(question.zone)
    try:
        moment = parse_moment(text, zone)
    except EntryError:
        moment = None
    end = "" if moment is None else shift(moment, timedelta(seconds=question.offset), zone).isoformat()
    return Answer(value=text[:_SHOWN], end=end)
