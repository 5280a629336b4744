"""The subscriptions to outgoing events (`outgoing.yaml`, read again when it changes), and the form of an event."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from runtime.store.outgoing import OutgoingEvent
from runtime.watched_file import WatchedFile, read_bytes, require_usable
from scenario.model.mistakes import tell
from scenario.model.parts import Model
from scenario.source.findings import Finding, clip, listed, near
from scenario.source.report import Report
from scenario.source.source import Source
from scenario.source.yaml import MAX_NODES
from scenario.words import CAUSES, EVENT_TYPES, EventType

Preset = Literal["slack"]
VARIABLE: Final = "SCENARIO_OUTGOING"
"""The setting that names the file."""
_WORDS: Final[Mapping[str, str]] = {
    "empty": "the file is empty: begin with 'feed: true' or 'subscriptions:'",
    "values": f"more than {MAX_NODES:,} values: remove subscriptions",
    "single document": "there is content after '---': put everything before it",
}


def _page(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # an unclosed bracket
        parts = urlsplit("")
    is_plain = not (parts.query or parts.fragment or set(url) & set("@ |<>"))  # it becomes a part of Slack's markup
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ValueError("this is not the address of the pages: write such as https://scenario.example.com")
    return url.rstrip("/")


Name = Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]


class Subscription(Model, use_attribute_docstrings=True):
    """A subscription: which events a destination gets."""

    to: str = Field(min_length=1)
    """Name of a destination in destinations.yaml."""
    types: list[EventType] | None = Field(default=None, min_length=1)
    """Only these types; by default all, with the preset 'slack' journey.held."""
    scenarios: list[str] | None = Field(default=None, min_length=1)
    """Only events of these scenarios; those about destinations have none."""
    preset: Preset | None = None
    """The form of the body, instead of a CloudEvent."""

    @property
    def wanted(self) -> frozenset[str]:
        """The types of its events."""
        default = ("journey.held",) if self.preset == "slack" else EVENT_TYPES
        return frozenset(self.types or default)


class Outgoing(Model, use_attribute_docstrings=True):
    """The content of `outgoing.yaml`."""

    feed: bool = False
    """Keep events of all types for GET /v1/feed."""
    pages: Annotated[str, AfterValidator(_page)] | None = None
    """Address of the gateway's pages, for links in presets."""
    subscriptions: dict[Name, Subscription] = Field(default_factory=dict[str, Subscription])
    """Subscriptions by name."""

    @property
    def wanted(self) -> frozenset[str]:
        """The types of events that somebody wants."""
        if self.feed:
            return frozenset(EVENT_TYPES)
        return frozenset[str]().union(*(one.wanted for one in self.subscriptions.values()))

    @property
    def reports_deliveries(self) -> bool:
        return any(kind.startswith("delivery.") for kind in self.wanted)


class CheckedOutgoing(NamedTuple):
    """All findings, in the order of the file, and its content if no finding is an error."""

    findings: tuple[Finding, ...]
    outgoing: Outgoing | None


def examine(text: str | bytes, file: str, destinations: Collection[str] | None = None) -> CheckedOutgoing:
    """Read and check `outgoing.yaml`. If no destinations are known, any name is accepted."""
    source = Source(text, file, _WORDS)
    report = Report(source)
    outgoing: Outgoing | None = None
    if source.data is not None:
        data: Any = source.data
        try:
            outgoing = Outgoing.model_validate(data)
        except ValidationError as error:
            tell(error, data, Outgoing, "outgoing", report)
        else:
            if destinations is not None:
                _check_destinations(outgoing, destinations, report)
    return CheckedOutgoing(report.findings, None if report.has_errors else outgoing)


def _check_destinations(outgoing: Outgoing, known: Collection[str], report: Report) -> None:
    for name, subscription in outgoing.subscriptions.items():
        if subscription.to not in known:
            guess = near(subscription.to, known)
            hint = f"did you mean '{guess}'?" if guess else f"there is {listed(sorted(known), 'and') or 'none'}"
            message = f"there is no destination '{clip(subscription.to)}' in destinations.yaml: {hint}"
            report.add(("subscriptions", name, "to"), "unknown", message)


def read_outgoing(path: Path) -> Outgoing:
    """Read `outgoing.yaml`, or raise UnusableFile."""
    findings, outgoing = examine(read_bytes(path, VARIABLE), str(path))
    return require_usable(outgoing, findings, f"scenario outgoing check {path}")


class OutgoingFile(WatchedFile[Outgoing]):
    """The current subscriptions. UnusableFile is raised only if the file cannot be used at the start."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(
            path, read=read_outgoing, empty=Outgoing(), size=lambda found: f"{len(found.subscriptions)} subscriptions"
        )


CLOUD_EVENTS: Final = "application/cloudevents+json"
"""The content type of a CloudEvent in structured mode."""
SOURCE: Final = "/scenario-runner"
"""The attribute `source` of all events."""
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
