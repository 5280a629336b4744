"""The local activity that evaluates a journey's conditions and values. It has no effects."""

from __future__ import annotations

from temporalio import activity

from activities.evaluation import evaluate
from activities.interface import DECIDE, Answer, Question
from scenario.errors import TemplateError


@activity.defn(name=DECIDE.name)
async def decide(question: Question) -> Answer:
    """Evaluate a condition, or the value of a template.

    Returns:
        The answer, or a sentence if the template fails for this contact's data. It is no exception, because a retry
            would give the same.
    """
    try:
        return evaluate(question)
    except TemplateError as error:
        return Answer(error=str(error))
