"""An entry: one contact and the trigger's data, and the variables that templates get from them.

The second part is about data as plain JSON, which entries become and workflows read. No message contains the data.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from scenario.entry.objects import ALIASES, DATA, TRIGGER, Contact, Shape, event_root, trigger_root
from scenario.entry.values import PLATFORM, Id, PlatformDates, as_id
from scenario.errors import EntryError, ScenarioError
from scenario.model.scenario import TRIGGERS
from scenario.source.decoding import MOST_DIGITS, TOO_LONG, NotJson, TooDeep, read_json
from scenario.type_guards import is_list, is_mapping, is_sequence, members
from scenario.validation import flaws

_LONGEST_ID: Final = 300
"""Maximum bytes of a contact's id or a key."""
LARGEST: Final = 1024 * 1024
"""Maximum bytes of an entry as JSON. A journey passes it on, within Temporal's limit of 2 MB."""
LARGEST_EVENT: Final = 256 * 1024
"""Maximum bytes of an event as JSON."""
_DEEPEST: Final = 60
_DEEPEST_OF_ALL: Final = 100
"""Maximum nesting. Journeys wrap the data, and readers of JSON give up at some 200 levels."""
_HUGE: Final = 10**MOST_DIGITS
_HALF: Final = re.compile("[\ud800-\udfff]")


class Entry(BaseModel):
    """One contact's request to enter a scenario.

    Attributes:
        scenario: A name, or ``name@version``.
        trigger: ``{"type": …}`` and the trigger's data under its own name.
        key: The engine's key for this journey, or None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    scenario: str
    contact: dict[str, Any]
    trigger: dict[str, Any]
    key: Id = None

    @property
    def name(self) -> str:
        return self.scenario.partition("@")[0]

    @property
    def version(self) -> int | None:
        """The pinned version, or None for the newest."""
        _, at, number = self.scenario.partition("@")
        return int(number) if at else None

    @cached_property
    def contact_id(self) -> str:
        return as_id(self.contact["id"]) or ""


_SCENARIO: Final = re.compile(r"(?=[^@]{1,100}(?:@|\Z))[a-z0-9]+(?:-[a-z0-9]+)*(?:@[1-9]\d{0,8})?", re.ASCII)


def parse_entry(data: object) -> Entry:
    """Check an entry, apart from the platform's settings. Raise EntryError, which has no data of the contact."""
    try:
        entry = Entry.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        if unknown := next((item for item in found if item["type"] == "extra_forbidden"), None):
            (flaw,) = flaws([unknown], data, Entry, whole="the entry")
            raise EntryError(flaw.sentence, at=flaw.at, meant=flaw.meant) from None
        raise _refusal("the entry", error) from None
    if not _SCENARIO.fullmatch(entry.scenario):
        sentence = "'scenario' must be a scenario's name, or a name and a version such as post-purchase@3"
        raise EntryError(sentence, at=["scenario"])
    kind = entry.trigger.get("type")
    if kind not in TRIGGERS:
        raise EntryError(f"'trigger.type' must be one of {', '.join(TRIGGERS)}", at=["trigger", "type"])
    try:
        identifier = as_id(entry.contact.get("id"))
    except ValueError as error:
        raise EntryError(f"'id' of contact: {error}", at=["contact", "id"]) from None
    for place, value in ((("contact", "id"), identifier), (("key",), entry.key)):
        if value is not None and len(value.encode()) > _LONGEST_ID:
            raise EntryError(f"'{'.'.join(place)}' is longer than {_LONGEST_ID} bytes", at=place)
    if identifier is None:
        raise EntryError("the contact has no id: give 'contact.id'", at=["contact", "id"])
    return entry


def is_entry(data: object) -> bool:
    """Return True if an argument is an entry, perhaps a wrong one: an object that names a scenario."""
    return is_mapping(data) and isinstance(data.get("scenario"), str)


def is_too_deep(data: object) -> bool:
    """Return True if JSON data is nested too deeply for journeys, which wrap it, and for readers of JSON."""
    level: list[object] = [data]
    for _ in range(_DEEPEST_OF_ALL):
        level = [part for item in level for _, part in members(item)]
        if not level:
            return False
    return True


def is_too_large(data: object, limit: int) -> bool:
    """Return True if JSON data takes more bytes than a limit, in UTF-8."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return len(text) > limit or len(text.encode(errors="replace")) > limit


LONGEST_WORKFLOW_ID: Final = 250
"""Maximum bytes of a workflow id."""
_SLASH: Final = "%2F"
"""Spelling of ``/`` in a contact's id within a workflow id."""


def journey_root(workflow_id: str | None, scenario: str, version: int, entered_at: str | None) -> dict[str, Any]:
    """Return the variable `journey`. Before the journey starts, its workflow id is unknown."""
    key = next(iter((workflow_id or "").split("/", 2)[2:]), None)
    return {"id": workflow_id, "scenario": scenario, "version": version, "entered_at": entered_at, "key": key}


def journeys_of(scenario: str, contact: str) -> str:
    """Return the workflow id of a contact's journey without a key, which is also the prefix of ids with keys."""
    return f"{scenario}/{contact.replace('/', _SLASH)}"


def journey_id(entry: Entry, key: str | None) -> str:
    """Return the workflow id of an entry's journey: ``<scenario>/<contact id>`` or ``<scenario>/<contact id>/<key>``.

    A ``/`` in a contact's id is written ``%2F``, so that it cannot be mistaken for the one before a key. Raise
    EntryError if it is too long for Temporal's SQL stores (VARCHAR(255)), or the contact's id contains ``%2F``, so that
    two contacts would share a journey.
    """
    if _SLASH in entry.contact_id:
        raise EntryError(
            f"the contact's id has '{_SLASH}' in it, which stands for '/' in ids of journeys: give it without",
            at=["contact", "id"],
        )
    identifier = "/".join(filter(None, (journeys_of(entry.name, entry.contact_id), key)))
    if len(identifier.encode()) > LONGEST_WORKFLOW_ID:
        raise EntryError(f"scenario, contact id and key together are longer than {LONGEST_WORKFLOW_ID} bytes")
    return identifier


def clean(entry: Entry, platform: PlatformDates) -> dict[str, Any]:
    """Return the entry's variables for templates: plain JSON values by root name.

    Dates are those of the platform. Raise EntryError, which names the field, if data is malformed.
    """
    context: dict[str, Any] = {"contact": _clean(Contact, entry.contact, "contact", platform)}
    kind = entry.trigger["type"]
    if kind in DATA:
        root, shape = DATA[kind]
        given = entry.trigger.get(root, entry.trigger.get(ALIASES.get(kind, root)))
        if not is_mapping(given):
            raise EntryError(f"a trigger '{kind}' needs its data under 'trigger.{root}'", at=["trigger", root])
        # The order is that of the platform's objects. An event's sender writes its own dates.
        context[root] = _clean(
            shape, given, f"trigger.{root}", PlatformDates(platform.zone) if kind == "event" else platform
        )
        if kind == "event":
            event = context[root]
            context[root] = {**event, **event_root(event["name"], event["time"], event["properties"])}
        if kind in ALIASES:
            context[ALIASES[kind]] = context[root]
    context[TRIGGER] = trigger_root(kind, context)
    return context


def patch_contact(contact: Mapping[str, Any], patch: Mapping[str, Any], platform: PlatformDates) -> dict[str, Any]:
    """Return a clean contact with changed fields, custom ones individually. Raise EntryError if they are malformed."""
    changed = _clean(Contact, patch, "contact", platform)
    given = {("custom" if key == "custom_fields" else key) for key in patch} - {"id"}
    merged = {**contact, **{key: value for key, value in changed.items() if key in given}}
    if "custom" in given:
        merged["custom"] = {**contact.get("custom", {}), **changed["custom"]}
    return merged


def _clean(shape: type[Shape], data: object, where: str, platform: PlatformDates) -> dict[str, Any]:
    try:
        return shape.model_validate(_sound(data, where), context={PLATFORM: platform}).model_dump()
    except ValidationError as error:
        raise _refusal(where, error, *where.split(".")) from None


def _sound(data: Any, where: str, depth: int = 0) -> Any:
    """Return data that JSON in UTF-8 can hold: a lone surrogate becomes U+FFFD, NaN and infinity become None."""
    if depth > _DEEPEST:
        raise EntryError(f"{where} is nested more than {_DEEPEST} levels deep", at=where.split("."))
    if isinstance(data, str):
        return data if data.isascii() else data.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if is_mapping(data):
        return {_sound(str(key), where): _sound(value, where, depth + 1) for key, value in data.items()}
    if is_list(data):
        return [_sound(item, where, depth + 1) for item in data]
    return data


_WORDS: Final[Mapping[str, str]] = {
    "list_type": "must be a list",
    "string_type": "must be text",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be an object"),
}


def _refusal(where: str, error: ValidationError, *at: str) -> EntryError:
    """Return the first mistake as an error that names its place, and not its value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    subject = f"'{place}' of {where}" if place else where
    match first["type"]:
        case "missing":
            sentence = f"{where} needs '{place}'"
        case known if known in _WORDS:
            sentence = f"{subject} {_WORDS[known]}"
        case _:
            message = first["msg"].removeprefix("Value error, ")
            sentence = f"{subject}: {message[:1].lower()}{message[1:]}"
    return EntryError(sentence, at=[*at, *first["loc"]])


# ---- as plain JSON

Form = TypeVar("Form")


def plain_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as plain JSON for the workflow. Raise EntryError if JSON cannot hold it, or it is too long."""
    try:
        content = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise EntryError(unsent(entry, "the entry")) from None
    if is_too_deep(entry):
        raise EntryError(f"the entry is nested more than {_DEEPEST_OF_ALL} levels deep")
    if len(content) > LARGEST:
        raise EntryError(f"the entry has {len(content)} bytes, and may have {LARGEST}: leave out what no step names")
    return dict(entry)


def unsent(data: object, what: str) -> str:
    """Return why data, called `what`, cannot be written as JSON."""
    return _cause(data, what) or f"{what} holds something that JSON does not have, such as NaN: send plain JSON"


def unread(content: bytes, what: str, hint: str = "") -> str:
    """Return why a worker cannot read a JSON text, called `what`, or nothing. `hint` is for a text that is no JSON."""
    try:
        return _cause(read_json(content.decode()), what)
    except UnicodeDecodeError:
        return f"{what} is not UTF-8"
    except TooDeep:
        return _deep(what)
    except NotJson as error:
        if error.reason == TOO_LONG:
            return f"{what} holds a number of more than {MOST_DIGITS:,} digits: send it as text"
        return f"{what} is not JSON (line {error.line}, column {error.column}){hint and f': {hint}'}"


def reader_of(form: type[Form]) -> TypeAdapter[Form]:
    """Return a reader of JSON data as a dataclass. It ignores unknown keys, and takes milliseconds to make."""
    return TypeAdapter(form)


def read_form(reader: TypeAdapter[Form], data: object, what: str) -> Form:
    """Return JSON data as a dataclass, or raise ScenarioError. Pydantic's own error would quote the data."""
    try:
        return reader.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ScenarioError(f"{what} is not for this version: {first['msg']} at '{place}'") from None


def _cause(data: object, what: str) -> str:
    level, seen = [data], set[int]()
    for _ in range(_DEEPEST_OF_ALL + 1):
        for item in level:
            match item:
                case str() if _HALF.search(item):
                    return f"a text of {what} holds half a character (a lone surrogate): send whole ones"
                case int() if abs(item) >= _HUGE:
                    return f"{what} holds a number of more than {MOST_DIGITS:,} digits: send it as text"
                case float() if not math.isfinite(item):
                    return ""
                case _:
                    pass
        level = [part for item in level for part in _inside(item, seen)]
        if not level:
            return ""
    return _deep(what)


def _deep(what: str) -> str:
    return f"{what} is nested more than {_DEEPEST_OF_ALL} levels deep"


def _inside(item: object, seen: set[int]) -> Iterator[object]:
    """Yield the values of an object or a list once each, also if it contains itself."""
    if not (is_mapping(item) or is_sequence(item)) or id(item) in seen:
        return
    seen.add(id(item))
    yield from item
    if is_mapping(item):
        yield from item.values()
