"""Checks of deliveries: receivers, contents and saved responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from scenario import liquid
from scenario.errors import DurationError, TemplateError
from scenario.http.destinations import KnownDestinations, disowned, without_audiences
from scenario.model.batch import CONTACTS
from scenario.model.parts import Retry
from scenario.model.scenario import WrittenStep, outline
from scenario.recipients import BadAddress, parse_sender
from scenario.responses import faults_of
from scenario.source.findings import clip, closest
from scenario.source.report import Report
from scenario.steps.webhook import LOOK_UP, NO_BODY, NO_FORM, NO_LOOP, body_fault
from scenario.time import parse_duration
from scenario.type_guards import Path, is_list, is_mapping, mapping_at

_CREDENTIALS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "apikey", "x-auth-token", "x-access-token"}
)
_TOKEN: Final = re.compile(
    r"(?i:\b(?:bearer|basic)\s+\S{8})|\b(?:sk|pk|rk)_(?:live|test)_\w|\bgh[pousr]_\w{16}|\bxox[abpr]-"
)
_OPENING, _CLOSING = frozenset("“„‟«»”‘‚’"), frozenset("”“‟»«’‘")
_BARE_SECRET: Final = re.compile(r"\{\{-?\s*secrets\.(\w+)\s*-?\}\}")


def check_delivery(step: WrittenStep, report: Report) -> None:
    for check in (_patience, _mailboxes, _secret_path, _headers, _quotes, _body, _save, _batch):
        check(step, report)


def _patience(step: WrittenStep, report: Report) -> None:
    """Report a deadline without time for a second attempt."""
    retry, defaults = mapping_at(step.keys, "retry"), Retry()
    # The destination may set missing values, so they are not checked.
    known = step.keys.get("to") is None
    deadline = _length(retry.get("deadline"), defaults.deadline if known else timedelta.max)
    initial = _length(retry.get("initial_interval"), defaults.initial_interval if known else timedelta.min)
    if deadline is None or initial is None:
        return
    place = (*step.path, "retry", "deadline" if "deadline" in retry else "initial_interval")
    if deadline <= initial and retry.get("maximum_attempts") != 1:
        message = "nothing is ever tried again: the deadline is not longer than 'initial_interval'"
        report.add(place, "deadline", message, severity="warning")


def _length(value: Any, default: timedelta) -> timedelta | None:
    if value is None:
        return default
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except DurationError:
        return None


def _secret_path(step: WrittenStep, report: Report) -> None:
    """Report a secret in a path without `url_escape` or `url_encode`, which decide on its slashes."""
    for key in ("url", "path"):
        written = step.keys.get(key)
        path = written.partition("?")[0] if isinstance(written, str) and step.model.secrets else ""
        for found in _BARE_SECRET.finditer(path):
            several = f"{{{{ secrets.{clip(found[1])} | url_escape }}}} if it is several parts of the path"
            message = f"in a path, a secret's slashes are percent-encoded too: write {several}, else url_encode"
            report.add((*step.path, key), "secret-path", message, offset=found.start(), severity="warning")


def _mailboxes(step: WrittenStep, report: Report) -> None:
    """Report senders and reply addresses that are no addresses."""
    for key in ("from", "reply_to"):
        written = step.keys.get(key)
        if not isinstance(written, str) or not written or not step.model.has((key,)) or _has_liquid(written):
            continue
        try:
            parse_sender(written)
        except BadAddress as error:
            message = f"'{key}' must be an address, or Name <address>: {error}"
            report.add((*step.path, key), "address", message)


def _has_liquid(text: str) -> bool:
    return "{{" in text or "{%" in text


def _headers(step: WrittenStep, report: Report) -> None:
    seen: dict[str, str] = {}
    for name, value in mapping_at(step.keys, "headers").items():
        place = (*step.path, "headers", name)
        try:
            liquid.check_header_name(name)
        except TemplateError as error:
            report.add(place, "header", error.reason, key=True)
        literal = value if isinstance(value, str) and not _has_liquid(value) else ""
        if _TOKEN.search(literal) or (name.lower() in _CREDENTIALS and literal.strip()):
            message = (
                f"the credential in '{clip(name)}' would be published with the scenario, for all to read: keep it as a "
                "secret of the workers, and write {{ secrets.NAME }}"
            )
            report.add(place, "literal-secret", message, severity="warning")
        other = seen.setdefault(name.lower(), name)
        if other != name:
            report.add(place, "header", f"'{clip(name)}' and '{clip(other)}' are the same header: keep one", key=True)


def _quotes(step: WrittenStep, report: Report) -> None:
    """Report typographic quotes around a text: YAML does not remove them, so they would be sent."""
    for key in ("subject", "text", "from"):
        text = step.keys.get(key)
        if isinstance(text, str) and len(text) > 1 and text[0] in _OPENING and text[-1] in _CLOSING:
            message = f'these quotes are sent as well: write straight ones around the text, "{clip(text[1:-1], 20)}"'
            report.add((*step.path, key), "quotes", message, severity="warning")


def _body(step: WrittenStep, report: Report) -> None:
    """Report a body that does not fit its kind of content."""
    content, body = step.keys.get("content"), step.keys.get("body")
    if step.keys.get("method") == LOOK_UP:
        if body is not None:
            report.add((*step.path, "body"), "look-up", NO_BODY, key=True)
            return
        if step.keys.get("save") is None:
            message = "a look-up (GET) is for its response, and nothing keeps that: add 'save: {as: …}'"
            report.add((*step.path, "method"), "look-up", message, severity="warning")
    if content not in ("json", "form", "text"):
        return
    if body is None:
        if not report.knows((*step.path, "body")):
            message = "'content' says how 'body' is written, and there is no body"
            report.add((*step.path, "content"), "content", message, key=True, severity="warning")
    elif (isinstance(body, str) or is_mapping(body) or is_list(body)) and (fault := body_fault(content, body)):
        report.add((*step.path, "body"), "content", fault)
    elif content == "form" and is_mapping(body):
        _form(body, (*step.path, "body"), report)


def _form(fields: Mapping[str, Any], place: Path, report: Report) -> None:
    """Report a form field that is neither a value nor a list. Rendering checks the results of `$for` and the like."""
    for name, value in fields.items():
        if _is_form({name: value}):
            return
        for item in value if is_list(value) else [value]:
            if is_list(item) or (is_mapping(item) and not _is_form(item)):
                message = f"the field '{clip(name)}' of a form is one value, or a list of values"
                report.add((*place, name), "content", message)
                break


def _save(step: WrittenStep, report: Report) -> None:
    """Report a name or schema that cannot be used."""
    save, place = mapping_at(step.keys, "save"), (*step.path, "save")
    if (name := save.get("as")) in ("size", "first", "last"):
        report.add((*place, "as"), "value", f"'{name}' means something else in Liquid: choose another name")
    if is_mapping(schema := save.get("schema")):
        report.add_flaws((*place, "schema"), faults_of(schema))


def _batch(step: WrittenStep, report: Report) -> None:
    """Report a batch call whose body has none of its contacts, or that nothing can gather."""
    if "batch" not in step.keys or not step.model.has(("batch",)):
        return
    if step.keys.get("content") == "form":
        report.add((*step.path, "content"), "batch", NO_FORM)
        return
    body = [source for source in step.model.sources(step.keys) if source.path == ("body",)]
    try:
        named = {path[:1] for source in body for path in liquid.find_fields(source.text, kind=source.kind)}
    except TemplateError:
        return  # the linter says why
    if body and (CONTACTS,) not in named:
        report.add((*step.path, "body"), "batch", NO_LOOP, key=True)


def check_destinations(data: Any, listing: KnownDestinations, report: Report) -> None:
    """Report unknown or foreign destinations, and headers that the destination sets itself."""
    known = listing.destinations
    for step in outline(data):
        name = step.keys.get("to")
        if not isinstance(name, str) or report.knows((*step.path, "to")):
            continue
        if name in known:
            owners, scenario = known[name].owners, str(data.get("scenario"))
            if owners is not None and scenario not in owners:
                report.add((*step.path, "to"), "destination-owner", disowned(clip(scenario), clip(name)))
            if step.model.changes_audiences and not known[name].has_audiences:
                report.add((*step.path, "to"), "no-audiences", without_audiences(clip(name)))
            taken = {header.lower() for header in known[name].headers}
            for header in mapping_at(step.keys, "headers"):
                if header.lower() in taken:  # such a delivery would be held
                    message = f"destination '{clip(name)}' sets the header '{clip(header)}' itself: remove it here"
                    report.add((*step.path, "headers", header), "destination-header", message, key=True)
            continue
        meant = closest(name, known, 0.75)  # names are short: a worse guess is a random one
        hint = f"did you mean '{meant}'?" if meant else "ask for it to be added to the file of destinations"
        message = f"there is no destination '{clip(name)}': {hint}"
        report.add((*step.path, "to"), "unknown-destination", message, meant=meant)


def _is_form(keys: Mapping[str, Any]) -> bool:
    """Return True if a mapping is a form such as `$for` instead of fields."""
    return any(key.startswith("$") and not key.startswith("$$") for key in keys)
