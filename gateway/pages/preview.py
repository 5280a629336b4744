"""The page that previews a scenario for a contact, byte by byte, and sends one message as a test.

Forms use POST, and are neither stored nor logged: an entry is a contact's data.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response
from temporalio.service import RPCError

from authoring.errors import BadInput, Refusal
from gateway.api.problem import VERSIONED, Problem, problem_of
from gateway.pages.page import Form, Page, at_field, check_sure, does, reason_in, refused, shows
from scenario.errors import NotConfigured
from scenario.steps.delivery import Send
from scenario.time import ENTRY_YEARS
from service.authoring import AuthoringService, ContentService
from service.errors import Forbidden, MistakenEntry, NotFound, UnknownScenario
from service.index import JourneyFilter
from service.sending import Exchange, Outbox
from service.view import PageRequest

logger = logging.getLogger("gateway")
_BYTES: Final = 4 * 1024 * 1024  # of a form, in which a character may take three
_FORMS: Final = ("/preview", "/preview/sample", "/preview/send")
LARGER: Final[Mapping[str, int]] = dict.fromkeys(_FORMS, _BYTES)
"""Maximum bytes of forms: an entry, and perhaps a scenario."""
_LINES: Final = 100
_RUNNING: Final = 10
_NONE: Final = Form()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The filled-in form, unchanged."""

    version: str = ""  # a published version, ``post-purchase@3``; empty if `source` is used
    source: str = ""  # a scenario file, YAML
    contact: str = ""  # the id of a contact or journey whose data is wanted as the entry
    loaded: str = ""  # the one whose data the entry has
    entry: str = ""
    at: str = ""  # when the contact enters; empty for now
    events: str = ""  # one per line, ``NAME`` or ``NAME={…}``
    responses: str = ""  # one per line, ``NAME={…}``
    step: str = ""
    to: str = ""  # the recipient, instead of the entry's
    reason: str = ""  # why it is sent

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Asked:
        """Read a form or an address."""
        return cls(**{field.name: str(given.get(field.name, "")).strip() for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The content of the page."""

    asked: Asked
    told: Mapping[str, Any] | None = None  # the preview, as `authoring.preview.contact.report` makes it
    sent: Exchange | None = None


async def _show(page: Page) -> Response:
    """Show the form; with a scenario or a contact in the address, also its preview."""
    name = page.asked("version") or page.asked("scenario") or ""
    asked = Asked(version=name, contact=page.asked("contact") or "", step=page.asked("step") or "")

    async def begin(page: Page, asked: Asked, none: Form) -> Shown:
        if name and "@" not in name:
            (newest, *_) = await page.use.scenarios.versions(page.caller, name)
            asked = replace(asked, version=f"{name}@{newest.version}")
        return await _preview(page, asked, none) if name or asked.contact else Shown(asked=asked)

    return await _answer(page, asked, _NONE, begin)


Make = Callable[[Page, Asked, Form], Awaitable[Shown]]


def _answers(make: Make) -> Callable[[Page, Form], Awaitable[Response]]:
    """Answer a form with its own page, so that its content is not lost after an error."""

    async def answer(page: Page, form: Form) -> Response:
        return await _answer(page, Asked.of(form), form, make)

    return answer


async def _answer(page: Page, asked: Asked, form: Form, make: Make) -> Response:
    try:
        return await _render(page, await make(page, asked, form))
    except MistakenEntry as error:
        problem = at_field("entry", str(error))
    except NotConfigured as error:
        problem = Problem("invalid", str(error))
    except (Problem, Refusal) as error:
        problem = problem_of(error)
    return await _render(refused(page, problem, form or None), Shown(asked=asked))


async def _preview(page: Page, asked: Asked, _form: Form) -> Shown:
    asked = await _with_contact(page, asked)
    scenario = await _scenario(page, asked)
    if not asked.entry:
        asked = await _with_sample(page, asked, scenario)
    return Shown(asked=asked, told=await _told(page, scenario | _circumstances(asked)))


async def _sample(page: Page, asked: Asked, _form: Form) -> Shown:
    return Shown(asked=await _with_sample(page, asked, await _scenario(page, asked)))


async def _with_contact(page: Page, asked: Asked) -> Asked:
    """Replace the entry by that of the contact or journey, unless it is that one already, perhaps edited."""
    if asked.contact in ("", asked.loaded):
        return asked
    contents: ContentService = page.request.app.state.contents
    name = asked.version.partition("@")[0]
    try:
        entry = await contents.entry(page.caller, name, asked.contact)
    except (BadInput, NotFound) as error:
        raise at_field("contact", str(error)) from None
    given = str(entry.get("scenario", "")).partition("@")[0]
    if not asked.version and not asked.source:
        (newest, *_) = await page.use.scenarios.versions(page.caller, given)
        asked = replace(asked, version=f"{given}@{newest.version}")
    elif given != name:  # the trigger is another scenario's
        made = json.loads((await _with_sample(page, asked, await _scenario(page, asked))).entry or "{}")
        entry = {**made, "contact": entry.get("contact")}
    own = {key: value for key, value in entry.items() if key != "scenario"}  # the selected version counts
    return replace(asked, entry=_text(own), loaded=asked.contact)


async def _send(page: Page, asked: Asked, form: Form) -> Shown:
    outbox: Outbox | None = page.request.app.state.outbox
    if outbox is None:
        raise Problem("not-accepted", "nothing can be sent: this server has no channels")
    if not asked.step:
        raise at_field("step", "name the step of the message")
    asked = await _with_contact(page, asked)
    if not asked.entry:
        raise at_field("entry", "the message needs an entry: write one, generate one, or use a contact's data")
    check_sure(form, "the message is to be sent for real")
    reason = reason_in(form)
    request = await _scenario(page, asked) | _circumstances(asked)
    # Rendered here in a limited process, which shows that it ends in time. Sending renders it again.
    told = await _told(page, request)
    name = asked.version.partition("@")[0] or str(told.get("journey") or "").partition("/")[0]
    page.caller.check(name)
    step = next((one for one in told["steps"] if one["id"] == asked.step), None)
    if step is None or not ({"request", "message"} & step.keys()):
        raise at_field("step", f"the step '{asked.step}' sends nothing: preview it to see why")
    sent = await outbox.send(page.caller, request, asked.step, asked.to or None)
    logger.info(
        "key %s sent a test message of %s, step %s, as %s: %s; reason: %s",
        *(page.caller.id, name, asked.step, sent.id),
        *("delivered" if sent.answer.delivered else "not delivered", " ".join(reason.split())),
    )
    return Shown(asked=asked, told=told, sent=sent)


async def _render(page: Page, shown: Shown) -> Response:
    listed = await page.use.scenarios.versions(page.caller)
    names = [f"{one.scenario}@{one.version}" for one in listed]
    asked, told = shown.asked, shown.told
    if asked.version and asked.version not in names:
        names.append(asked.version)
    selected = asked.version or ("" if asked.source else "".join(names[:1]))
    return page.render(
        "preview.html",
        versions=names,
        asked=asked,
        told=told,
        sending=await _sending(page, asked, selected, told),
        selected=selected,
        running=await _running(page, selected),
        sent=shown.sent,
        can_send=page.request.app.state.outbox is not None,
    )


async def _running(page: Page, version: str) -> list[str]:
    """Return some running journeys of a scenario, whose data may be wanted."""
    found = list[str]()
    if version and page.may("content"):
        wanted = JourneyFilter(scenario=version.partition("@")[0])
        with suppress(Refusal, RPCError):
            listed = await page.use.journeys.list(page.caller, wanted, None, PageRequest(_RUNNING), running=True)
            found = [one.id for one in listed.items]
    return found


async def _sending(page: Page, asked: Asked, version: str, told: Mapping[str, Any] | None) -> list[str]:
    """Return the steps of which a test can be sent: those previewed, or else those of the selected version."""
    if told and told["steps"]:
        return [step["id"] for step in told["steps"] if {"request", "message"} & step.keys()]
    name, _, number = version.partition("@")
    found = list[str]()
    with suppress(Refusal, ValueError):
        opened = await page.use.scenarios.opened(page.caller, name, int(number))
        found = [step for step, row in opened.table.steps.items() if isinstance(row, Send)]
    return found if asked.step in ("", *found) else [asked.step, *found]  # unchanged after an error


async def _scenario(page: Page, asked: Asked) -> dict[str, Any]:
    """Return the scenario for `service.authoring_process`."""
    if not asked.version:
        if not asked.source:
            raise at_field("version", "choose a published scenario, or paste one")
        if not page.may("publish"):
            raise Problem("forbidden", "to paste a scenario, your key needs the scope 'publish'")
        return {"source": asked.source}
    with suppress(Forbidden, UnknownScenario):
        if re.fullmatch(VERSIONED, asked.version):
            return await _author(page).published(page.caller, asked.version)
    raise Problem("not-found", "this version is not published: choose another one")


async def _with_sample(page: Page, asked: Asked, scenario: Mapping[str, Any]) -> Asked:
    made = await _author(page).sample(page.caller, scenario)
    if any(one["severity"] == "error" for one in made["findings"]):
        return asked  # the preview lists them
    if made["entry"] is None:
        raise Problem(
            "invalid", "no generated contact is admitted by the scenario's 'entry.if': write an entry by hand"
        )
    return replace(asked, entry=_text(made["entry"]), contact="", loaded="")


def _text(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, indent=2)


async def _told(page: Page, request: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(await _author(page).preview(page.caller, request))


def _author(page: Page) -> AuthoringService:
    return page.request.app.state.authoring


def _circumstances(asked: Asked) -> dict[str, Any]:
    entry = _json("entry", asked.entry, "the entry") if asked.entry else None
    events = _named("events", asked.events, "an event", bare={})
    if not isinstance(entry, dict | None):
        raise at_field("entry", "the entry is a JSON object: {…}")
    if not all(isinstance(properties, dict) for _, properties in events):
        raise at_field("events", "the properties of an event are a JSON object: order.delivered={…}")
    return {
        "entry": {**({"scenario": asked.version.partition("@")[0]} if asked.version else {}), **(entry or {})},
        "at": _moment(asked.at),
        "events": [{"name": name, "properties": properties} for name, properties in events],
        "responses": dict(_named("responses", asked.responses, "a response")),
    }


def _named(at: str, text: str, what: str, bare: Any = None) -> list[tuple[str, Any]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _LINES:
        raise at_field(at, f"give {_LINES} of them at most")
    found: list[tuple[str, Any]] = []
    for line in lines:
        name, equals, given = line.partition("=")
        if not name.strip() or (not equals and bare is None):
            raise at_field(at, f"{what} is a separate line: NAME={{…}}")
        found.append((name.strip(), _json(at, given, f"the value of {what}") if equals else bare))
    return found


def _json(at: str, text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise at_field(at, f"{what} is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise at_field(at, f"{what} is not JSON: {place}: {error.msg.lower()}") from None
    except ValueError:  # Python reads no integer of more than some 4,000 digits
        raise at_field(at, f"{what} has a number that is too long") from None


def _moment(text: str) -> str | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not ENTRY_YEARS[0] <= moment.year <= ENTRY_YEARS[1]:
        raise at_field("at", "the time of entry is a date and time, such as 2026-03-29T10:00")
    return moment.isoformat()


ROUTES: Final = (
    shows("/preview", _show),
    does("/preview", _answers(_preview), "read", "waiting"),
    does("/preview/sample", _answers(_sample), "read", "waiting"),
    does("/preview/send", _answers(_send), "operate", "waiting"),
)
