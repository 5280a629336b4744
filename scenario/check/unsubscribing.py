"""The check that marketing contains an unsubscribe link."""

from __future__ import annotations

from typing import Any, Final

from scenario import liquid
from scenario.errors import TemplateError
from scenario.model.outline import outline
from scenario.plan.inputs import UNSUBSCRIBE
from scenario.policies.purpose import MARKETING
from scenario.source.report import Report
from scenario.type_guards import is_mapping

_MISSING: Final = (
    "this shows no link to unsubscribe: put {{ journey.unsubscribe_url }} into it, or write "
    "'purpose: transactional' if the scenario is no marketing"
)


def check_unsubscribing(data: Any, report: Report) -> None:
    """Report marketing messages without `journey.unsubscribe_url`.

    The one-click headers are set anyway, but many mail programs show no button, and the law requires a link.
    """
    if not is_mapping(data) or data.get("purpose", MARKETING) != MARKETING:
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
        return True  # reported elsewhere
