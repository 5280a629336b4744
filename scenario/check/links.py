"""Links for people in a scenario's messages: callback URLs with an event's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from scenario.check.templates import templates
from scenario.source.findings import clip
from scenario.source.report import Report
from scenario.type_guards import walk
from scenario.words import is_reserved_event

_LINK: Final = re.compile(
    r"\bjourney\.callback_url\s*(?:-?\}\}|\|\s*append:\s*[\"'])\?((?:\{\{[^{}]*\}\}|[^\s\"'<>{}])*)"
)
"""A callback URL and its query, which may contain outputs and end within a larger text."""
_NAME: Final = re.compile(r"(?:^|[&;])name=([^&;{]*)")  # in HTML, "&amp;" separates


def check_links(data: Mapping[str, Any], report: Report) -> None:
    """Report links whose event has a reserved name: the gateway never accepts them."""
    for template in templates(data):
        for place, text in walk(template.source):
            for link in _LINK.finditer(text) if isinstance(text, str) else ():
                for named in _NAME.finditer(link[1]):
                    if is_reserved_event(name := unquote_plus(named[1])):
                        message = (
                            f"'{clip(name)}' is a reserved name, and a link with it never counts: choose another, such "
                            "as chat.replied"
                        )
                        offset = link.start(1) + named.start(1) - template.lead
                        report.add((*template.path, *place), "reserved-event", message, offset=offset)
