"""Whether marketing shows how to unsubscribe from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from scenario import liquid
from scenario.errors import TemplateError
from scenario.model.outline import outline
from scenario.plan.inputs import UNSUBSCRIBE
from scenario.policies.purpose import MARKETING
from scenario.source.report import Report

_MISSING: Final = (
    "this shows no link to unsubscribe: put {{ journey.unsubscribe_url }} into it, or write "
    "'purpose: transactional' if the scenario is no marketing"
)


def check_unsubscribing(data: Any, report: Report) -> None:
    """Reports messages of a marketing scenario that name no `journey.unsubscribe_url`.

    Their headers for one click are there anyway, but many mail programs show no button, and the law asks for a link.

    Args:
        data: The scenario as it was written, with the texts of other files in place.
        report: Takes the findings.
    """
    if not isinstance(data, Mapping) or cast("Mapping[str, Any]", data).get("purpose", MARKETING) != MARKETING:
        return
    for step in outline(data):
        for key in step.model.unsubscribing:
            text = step.keys.get(key)
            if isinstance(text, str) and text.strip() and not _names(text, step.model.templates[key]):
                report.add((*step.path, key), "no-unsubscribe", _MISSING, severity="warning")
                break


def _names(text: str, kind: liquid.Kind) -> bool:
    try:
        return UNSUBSCRIBE in liquid.find_fields(text, kind=kind)
    except TemplateError:
        return True  # what is wrong with it is said elsewhere
