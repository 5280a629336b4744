"""The local activity that evaluates the conditions and values by which a journey steers. It has no effects."""

from __future__ import annotations

from temporalio import activity

from activities.evaluation import evaluate
from activities.interface import DECIDE, Answer, Question
from scenario.errors import TemplateError


@activity.defn(name=DECIDE.name)
async def decide(question: Question) -> Answer:
    """Work out a condition, or the value of a template.

    Returns:
        The answer; or, where the template fails on this contact's data, a sentence that says why. It is a result and
        not an exception, because trying again would give the same.
    """
    try:
        return evaluate(question)
    except TemplateError as error:
        return Answer(error=str(error))
