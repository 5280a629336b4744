"""Replaces references to files by their texts: ``html: {file: mails/thank-you.html}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from scenario.model.outline import outline
from scenario.source.findings import clip
from scenario.source.report import Report
from scenario.type_guards import Path, is_mapping, with_value

MAX_TEXT: Final = 512 * 1024
"""Maximum length of a file's text, in characters."""
_FILE: Final = re.compile(r"[\w./-]+\.(?:html?|txt|liquid|json|mjml|md)")


def inline_files(data: Any, read: Callable[[str], str] | None, report: Report) -> Any:
    """Read the files that a scenario refers to.

    Args:
        data: The scenario as written.
        read: See `scenario.check.check.check`.
        report: Receives the findings.

    Returns:
        The data with texts in place of all readable references.
    """
    texts: dict[Path, str] = {}
    # Once for all steps that refer to a file: their texts are one in memory, however many they are.
    read = cache(read) if read is not None else None
    for step in outline(data):
        for key in step.model.texts:
            reference = step.keys.get(key)
            path = (*step.path, key)
            if isinstance(reference, str) and _FILE.fullmatch(reference):
                message = f"this would be sent as it stands: write {{file: {reference}}} for the text of that file"
                report.add(path, "file", message, severity="warning")
            if is_mapping(reference) and (name := _name(reference)) is not None:
                text = _read(name, (*path, "file"), read, report)
                if text is not None:
                    report.inlined(path, name, text)
                    texts[path] = text
    for path, text in texts.items():
        data = with_value(data, path, text)
    return data


def _name(reference: Mapping[str, Any]) -> str | None:
    name = reference.get("file")
    return name if set(reference) == {"file"} and isinstance(name, str) and name else None


def _read(name: str, place: Path, read: Callable[[str], str] | None, report: Report) -> str | None:
    shown = clip(name, 100)
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
        report.add(place, "file", f"'{shown}' leaves the scenario's folder: keep the file beneath it")
        return None
    if "\0" in name:
        report.add(place, "file", "a file's name cannot contain U+0000")
        return None
    if read is None:
        report.add(place, "file", f"'{shown}' cannot be read here: put the text itself in the scenario")
        return None
    try:
        text = read(name)
    except UnicodeDecodeError:
        report.add(place, "file", f"'{shown}' is not UTF-8: save it as UTF-8")
        return None
    except OSError as error:
        report.add(place, "file", f"'{shown}' cannot be read: {(error.strerror or 'no such file').lower()}")
        return None
    if len(text) > MAX_TEXT:
        report.add(place, "file", f"'{shown}' is longer than {MAX_TEXT // 1024} KB")
        return None
    if not text.strip():
        report.add(place, "file", f"'{shown}' is empty")
        return None
    return text
