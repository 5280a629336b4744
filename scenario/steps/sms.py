"""The step that sends a text message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from pydantic import Field
from typing_extensions import override

from scenario.liquid.markup import replace_markup
from scenario.liquid.shapes import Kind
from scenario.model.parts import Name, OnUnknown, Text
from scenario.policies.suppression import Source
from scenario.recipients import international
from scenario.sms_parts import find_typographic
from scenario.source.findings import Flaw
from scenario.steps.delivery import ON_UNKNOWN, DeliveryStep

_LONGEST: Final = 1_600
"""Characters that providers take, in ten parts or more."""
_FORK: Final = re.compile(r"\{%-?\s*(?:if|unless|case|for|comment|capture|abort)\b")
"""Tags by which not all of the text is sent."""
_QUOTED: Final = re.compile("[“„‟«»”‘‚’].*[”“‟»«’‘]", re.DOTALL)


def _name(character: str) -> str:
    return character if character.isprintable() else f"the character U+{ord(character):04X}"


class Sms(DeliveryStep):
    """Sends a text message to the contact's mobile phone."""

    kind: ClassVar[str] = "sms"
    channel: ClassVar[str] = "sms"
    templates: ClassVar[Mapping[str, Kind]] = {"text": "text"}
    texts: ClassVar[tuple[str, ...]] = ("text",)
    synonyms: ClassVar[tuple[str, ...]] = ("message", "text_message")
    rings: ClassVar[bool] = True
    recipient: ClassVar[tuple[str, str] | None] = ("contact", "cellphone")
    always: ClassVar[tuple[tuple[str, ...], ...]] = (("contact", "cellphone"), ("contact", "language"))
    suppressed_by: ClassVar[tuple[Source, ...]] = ("custom", "stop", "soft", "bounce", "unsub")

    sms: Name
    text: Text = Field(description="Plain text with Liquid.")
    on_unknown: OnUnknown = Field(default="hold", description=ON_UNKNOWN)

    @classmethod
    @override
    def flaws(cls, keys: Mapping[str, Any]) -> Iterator[Flaw]:
        text = keys.get("text")
        least = len(replace_markup(text).strip()) if isinstance(text, str) and not _FORK.search(text) else 0
        if least > _LONGEST:
            message = (
                f"this has {least:,} characters, and providers refuse an SMS of more than {_LONGEST:,}: shorten it"
            )
            yield Flaw(("text",), "length", message, severity="warning")
        own = replace_markup(text, " ") if isinstance(text, str) else ""
        if _QUOTED.fullmatch(own):  # a finding already: they would be sent
            own = f" {own[1:-1]} "
        if found := find_typographic(own):
            offset, written, plain = found
            instead = f"write {plain}" if plain.strip() else "write a plain space"
            message = (
                f"{_name(written)} makes this an SMS in UCS-2, with 70 characters in a part instead of 160: {instead}"
            )
            yield Flaw(("text",), "sms-alphabet", message, severity="warning", offset=offset)

    @classmethod
    @override
    def spelled(cls, address: str) -> str:
        return international(address)
