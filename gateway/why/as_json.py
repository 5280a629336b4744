"""Why a contact did, or did not, get something, as JSON for programs: ``scenario why --format json`` and the API.

Keys are stable: some may be added, none is changed.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.journeys.as_json import iso
from gateway.why.why import Why


def as_json(found: Why) -> dict[str, Any]:
    """The answer as JSON data; its keys are described by ``scenario why --help``."""
    entries = [
        {
            "journey": story.journey,
            "run_id": story.run_id,
            "scenario": story.scenario,
            "key": story.key,
            "asked_at": iso(story.asked_at),
            "let_in": story.let_in,
            "zone": str(story.zone),
            "state": story.state,
            "happenings": [{**asdict(one), "at": iso(one.at)} for one in story.happenings],
            "now": story.now or None,
            "at": story.at,
        }
        for story in found.entries
    ]
    caps = None if found.caps is None else [{**asdict(one), "free_at": iso(one.free_at)} for one in found.caps]
    return {
        "contact": found.contact,
        "step": found.step,
        "answer": found.answer or None,
        "entries": entries,
        "caps": caps,
        "zone": str(found.zone),
    }
