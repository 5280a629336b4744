"""The work of a child process: check a scenario, or preview it.

Requests and answers are JSON objects. A request has ``do`` (``check``, ``preview``, ``sample`` or ``render``) and
``with`` (`Setup`). A submitted scenario has ``source``, ``files`` and ``name``; a published one ``version`` (with its
name), ``document`` and ``plan``. A preview also has ``entry``, and optionally ``at``, ``events``, ``responses`` and
``step``. A message to render again has the ``document`` of its version, the ``delivery`` and the ``journey``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from activities.interface import Delivery
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import read as read_destinations
from gateway.errors import Forbidden, Refusal
from gateway.preview import draft as drafts
from gateway.preview.contact import PreviewInputs, preview, report
from gateway.preview.draft import Draft
from gateway.preview.rendering import MessageRenderer, TemplateLocator, described, render_again
from gateway.preview.samples import first_entry
from gateway.preview.walk import GivenEvent
from gateway.publishing import ScenarioFile, check_file
from gateway.service.caller import Caller
from runtime.errors import SetupError
from runtime.process.sandboxed import answer_requests
from runtime.watched_file import read_policies
from scenario.errors import EntryError, ScenarioError
from scenario.model.document import document
from scenario.policies.policies import Policies
from scenario.source.findings import Finding

if TYPE_CHECKING:
    from runtime.settings import Settings

DONE: Final = b"+"  # first byte of a successful answer
REFUSED: Final = b"-"
"""First byte of a refusal: ``{"said", "at", "meant"}``: the reason, the place in the request, a suggestion."""
LARGEST: Final = 16 * 2**20  # maximum bytes of an answer
NICE: Final = 5  # lower priority than the gateway's
MEGABYTES: Final = 512  # memory that the process may use beyond its initial size


@dataclass(frozen=True)
class Setup:
    """Settings for checks and previews, without secrets."""

    destinations: str | None = None  # path of `destinations.yaml`, or None
    policies: str | None = None  # path of `policies.yaml`, or None
    zone: str = "UTC"  # IANA zone of the platform's dates without an offset
    mail_from: str | None = None  # sender of e-mails
    mail_from_allowed: str | None = None  # other allowed senders
    base: str | None = None  # base of callback URLs

    @classmethod
    def of(cls, settings: Settings) -> Self:
        destinations, policies = (path and str(path) for path in (settings.destinations, settings.policies))
        return cls(
            destinations=destinations or None,
            policies=None if policies in (None, ".") else policies,  # a variable that is empty counts as not set
            zone=settings.platform_timezone,
            mail_from=settings.mail_from,
            mail_from_allowed=settings.mail_from_allowed,
            base=settings.callback_url,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def answer(request: Mapping[str, Any]) -> bytes:
    """Answer one request: `DONE` or `REFUSED`, and JSON."""
    setup = Setup(**request["with"])
    try:
        book = read_destinations(Path(setup.destinations)) if setup.destinations else None
        policies = read_policies(Path(setup.policies)) if setup.policies else Policies()
        made = _DONE[request["do"]](request, setup, book, policies)
    except EntryError as error:
        return _refused(str(error), "entry", *error.at, meant=error.meant)
    except (Refusal, ScenarioError) as error:
        return _refused(str(error), forbidden=isinstance(error, Forbidden))
    except SetupError:
        return _refused("destinations.yaml or policies.yaml of this server cannot be used")
    told = DONE + json.dumps(made, ensure_ascii=False).encode(errors="replace")
    return told if len(told) <= LARGEST else _refused(f"that would be more than {LARGEST // 2**20} MB")


def _refused(said: str, *at: str | int, meant: str | None = None, forbidden: bool = False) -> bytes:
    return REFUSED + json.dumps({"said": said, "at": at, "meant": meant, "forbidden": forbidden}).encode()


def _check(request: Mapping[str, Any], _setup: Setup, book: Destinations | None, policies: Policies) -> dict[str, Any]:
    """Return ``{"findings", "document"}``; the document is null if a finding is an error."""
    checked = check_file(_sent(request), book and book.listing, policies.quiet_hours)
    made = checked.scenario and document(checked.scenario)
    return {"findings": _plain(checked.findings), "document": made}


def _preview(request: Mapping[str, Any], setup: Setup, book: Destinations | None, policies: Policies) -> dict[str, Any]:
    """Return `gateway.preview.contact.report` with ``findings``; without steps if one is an error."""
    made, findings = draft_of(request, book, policies)
    if made is None:
        return {"steps": [], "findings": _plain(findings)}
    step = request.get("step")
    made.require(step)
    given = given_in(request, setup, book, policies)
    told = report(preview(made, request["entry"], given), TemplateLocator(made.file), step)
    return {**told, "findings": _plain(findings)}


def _sample(request: Mapping[str, Any], _setup: Setup, book: Destinations | None, policies: Policies) -> dict[str, Any]:
    """Return ``{"entry", "findings"}``; the entry is null if none was found or a finding is an error."""
    made, findings = draft_of(request, book, policies)
    return {"entry": made and first_entry(made), "findings": _plain(findings)}


def _render(request: Mapping[str, Any], setup: Setup, book: Destinations | None, _policies: Policies) -> dict[str, Any]:
    delivery = Delivery(**request["delivery"])
    return described(render_again(request["document"], _renderer(setup, book), delivery, request["journey"]))


def draft_of(
    request: Mapping[str, Any], book: Destinations | None, policies: Policies
) -> tuple[Draft | None, tuple[Finding, ...]]:
    """Return the scenario of a request, or None if it has a mistake, and its findings.

    Raise Forbidden if the caller may not use a scenario of this name.
    """
    if "document" in request:
        return drafts.published(request["version"], request["document"], request["plan"]), ()
    made, findings = drafts.draft(_sent(request), book and book.listing, policies.quiet_hours)
    if made is not None:
        Caller(id="", name="", scopes=(), scenarios=request.get("scenarios")).check(made.scenario.scenario)
    return made, findings


def given_in(request: Mapping[str, Any], setup: Setup, book: Destinations | None, policies: Policies) -> PreviewInputs:
    at = request.get("at")
    return PreviewInputs(
        at=datetime.fromisoformat(at) if at else None,
        events=[GivenEvent(event["name"], event["properties"]) for event in request.get("events") or ()],
        responses=request.get("responses") or {},
        platform_zone=setup.zone,
        renderer=_renderer(setup, book),
        policies=policies,
    )


def _renderer(setup: Setup, book: Destinations | None) -> MessageRenderer:
    return MessageRenderer.configured(setup.mail_from, setup.mail_from_allowed, setup.base, book)


def _sent(request: Mapping[str, Any]) -> ScenarioFile:
    return ScenarioFile.sent(request["source"], request.get("files"), request.get("name") or "scenario.yaml")


def _plain(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    return [finding.as_json() for finding in findings]


_DONE: Final = {"check": _check, "preview": _preview, "sample": _sample, "render": _render}


def serve() -> None:
    """Answer requests, in the child process."""
    answer_requests(lambda request: answer(json.loads(request)), megabytes=MEGABYTES, nice=NICE)
