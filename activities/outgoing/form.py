"""The form of an outgoing event: a CloudEvent in JSON, or a message of Slack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final, Literal
from urllib.parse import quote

from runtime.store.outgoing import OutgoingEvent
from scenario.words import CAUSES

CLOUD_EVENTS: Final = "application/cloudevents+json"
"""The content type of a CloudEvent in structured mode."""
SOURCE: Final = "/scenario-runner"
"""The attribute `source` of all events."""
Preset = Literal["slack"]

# The kind of an event's subject, by the first part of its type; or else this part.
_SUBJECTS: Final = {"goal": "journey", "delivery": "journey"}


def cloud_event(event: OutgoingEvent) -> dict[str, Any]:
    """Return an event as a CloudEvent 1.0 with the extension `sequence`. It holds ids and words only."""
    about = event.type.partition(".")[0]
    named = {"scenario": event.scenario, "contact_id": event.contact_id, _SUBJECTS.get(about, about): event.subject}
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": SOURCE,
        "type": event.type,
        "subject": event.subject,
        "time": event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{event.position:020}",
        "data": {name: value for name, value in (named | dict(event.data)).items() if value is not None},
    }


def json_line(content: Mapping[str, Any]) -> bytes:
    """Return JSON that is the same for the same content."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def slack_message(event: OutgoingEvent, pages: str | None) -> dict[str, str]:
    """Return an event as the body of a Slack webhook, with a link to the gateway's pages if their URL is given."""
    data = event.data
    lines = [f"*{event.type}*: {_escaped(event.subject)}"]
    if event.type == "journey.held":
        version = f"{event.scenario}@{data.get('version')}"
        answer = f" ({data['destination']} answered {data['status']})" if data.get("status") else ""
        cause = str(data.get("cause") or "")
        lines = [
            f"*A journey is held* in {_escaped(version)} at step {_escaped(str(data.get('step')))}",
            _escaped(CAUSES.get(cause, cause) + answer),
        ]
    elif outcome := data.get("outcome"):
        lines.append(_escaped(str(outcome)))
    if pages is not None and event.contact_id is not None:
        lines.append(f"<{pages}/journeys/{quote(event.subject, safe='/')}|open the journey>")
    return {"text": "\n".join(lines)}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
