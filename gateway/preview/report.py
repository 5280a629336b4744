"""A preview as JSON data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from activities.channel import RenderedMessage
from gateway.preview.contact import Preview
from gateway.preview.places import TemplateLocator
from gateway.preview.walk import StepPreview
from scenario.time.timing import zone_of


def report(shown: Preview, places: TemplateLocator, only: str | None = None) -> dict[str, Any]:
    """Return a preview as JSON data.

    Args:
        only: The id of the only step to include, or None.

    Returns:
        ``{"journey", "contact", "key", "entered_at", "timezone", "refused", "withheld", "notes", "exit", "steps"}``;
            ``withheld`` is null or ``{"outcome", "reason"}``. Each step has ``id``, ``kind``, ``what``, ``taken``,
            ``reachable``, ``branch``, ``at`` and ``outcome``, and optionally ``reason``, ``waits_until``, ``way``,
            ``note``, ``error`` (``message``, ``file``, ``line``, ``column``), and ``request`` (``method``, ``url``,
            ``headers``, names of ``attempt_headers``, ``body``) or ``message``.
    """
    zone = str(shown.zone)
    return {
        "journey": shown.journey,
        "contact": shown.contact,
        "key": shown.key,
        "entered_at": _local(shown.start, zone),
        "timezone": zone,
        "refused": shown.refused,
        "withheld": shown.withheld and {"outcome": shown.withheld.outcome, "reason": shown.withheld.reason},
        "notes": list(shown.notes),
        "exit": [{"event": exit_.rule.event, "if": exit_.rule.condition, "given": exit_.met} for exit_ in shown.exits],
        "steps": [_step(passed, places, zone) for passed in shown.steps if only in (None, passed.id)],
    }


def _local(moment: datetime, zone: str) -> str:
    return moment.astimezone(zone_of(zone)).isoformat(timespec="seconds")


def _step(passed: StepPreview, places: TemplateLocator, zone: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": passed.id,
        "kind": passed.row.kind,
        "what": passed.row.describe(),
        "taken": passed.taken,
        "reachable": passed.reachable,
        "branch": [{"of": fork, "way": way} for fork, way in passed.branch],
        "at": _local(passed.began, zone),
        "outcome": passed.outcome,
    }
    until = None if passed.until is None else _local(passed.until, zone)
    further = {"reason": passed.reason, "waits_until": until, "way": passed.way, "note": passed.note}
    made |= {key: value for key, value in further.items() if value is not None}
    if isinstance(passed.result, RenderedMessage):
        made |= passed.result.describe()
    if passed.problem is not None:
        found = places.find(passed.id, passed.problem)
        made["error"] = {"message": found.message, "file": found.file, "line": found.line, "column": found.column}
    return made
