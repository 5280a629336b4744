"""Mistakes of a file that one pydantic model describes, with places."""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scenario.model.messages import worded
from scenario.source.findings import clip, listed, near
from scenario.source.report import Report
from scenario.type_guards import Path, is_list, is_mapping, value_at

_MEANT: Final = re.compile(r": did you mean '(.*)'\?$")


def tell(error: ValidationError, data: Any, form: type[BaseModel], whole: str, report: Report) -> None:
    """Report pydantic's errors. A missing key that is only misspelt is reported once.

    Args:
        data: The file's data.
        form: The model of the whole file.
        whole: The file's name as the subject of a sentence.
        report: Receives the findings.
    """
    said = [explained(detail, data, form, whole) for detail in error.errors(include_url=False)]
    meant = {
        (path[:-1], found[1])
        for path, code, text, _ in said
        if code == "unknown-key" and (found := _MEANT.search(text))
    }
    for path, code, message, key in said:
        if code != "missing" or (path, message.split("'")[1]) not in meant:
            report.add(path, code, message, key=key)


def explained(detail: ErrorDetails, data: Any, form: type[BaseModel], whole: str) -> tuple[Path, str, str, bool]:
    """Return the path, code and sentence of one error, and True if it is about the key."""
    path, around = _resolved(detail["loc"], data, form)
    name = str(path[-1]) if path else ""
    match detail["type"]:
        case "extra_forbidden" if around is not None:
            present = value_at(data, path[:-1])
            known = [field.alias or key for key, field in around.model_fields.items()]
            guess = near(name, [key for key in known if key not in present])
            hint = f"did you mean '{guess}'?" if guess else f"the keys here are {listed(known, 'and')}"
            return path, "unknown-key", f"unknown key '{clip(name)}': {hint}", True
        case "missing":
            return path[:-1], "missing", f"'{name}' is missing here", True
        case _:
            subject = next((part for part in reversed(path) if isinstance(part, str)), None)
            code, message = worded(detail, f"'{clip(subject)}'" if subject else whole)
            return path, code, message, False


def _resolved(place: tuple[str | int, ...], data: Any, form: type[BaseModel]) -> tuple[Path, type[BaseModel] | None]:
    """Return the path of a place in pydantic's report, without names of union members, and the model at its end."""
    path: list[str | int] = []
    around: type[BaseModel] | None = None
    forms: list[Any] = [form]
    for part in place:
        here = value_at(data, tuple(path))
        is_last = len(path) + 1 >= len(place)
        if not _has(here, part) and not (is_last and is_mapping(here)):
            named = [one for one in forms if getattr(one, "__name__", None) == part]
            # An entry that stands alone, without its list.
            alone = [inner for one in forms for inner in _inside(one, part)] if isinstance(part, int) else []
            forms = named or alone or forms
            continue
        models = [one for one in forms if isinstance(one, type) and issubclass(one, BaseModel)]
        around = models[0] if models else None
        path.append(part)
        forms = [inner for one in forms for inner in _inside(one, part)]
    return tuple(path), around


def _inside(form: Any, part: str | int) -> list[Any]:
    """Return models, lists and mappings that may stand at a key or an index."""
    if isinstance(form, type) and issubclass(form, BaseModel):
        found = next((f for key, f in form.model_fields.items() if (f.alias or key) == part), None)
        return _choices(found.annotation) if found else []
    return _choices(get_args(form)[-1]) if get_args(form) else []


def _choices(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [inner for choice in get_args(annotation) for inner in _choices(choice)]
    return [annotation]


def _has(data: Any, part: str | int) -> bool:
    if is_mapping(data):
        return part in data
    return is_list(data) and isinstance(part, int) and part < len(data)
