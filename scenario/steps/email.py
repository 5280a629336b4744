"""The step that sends an e-mail."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

from pydantic import Field
from typing_extensions import override

from scenario.liquid.shapes import Kind
from scenario.model.parts import Name, OnUnknown, Template, Text, optional
from scenario.policies.suppression import Source
from scenario.recipients import parse_address
from scenario.steps.delivery import ON_UNKNOWN, DeliveryStep


class Email(DeliveryStep):
    """Sends an e-mail to the contact."""

    kind: ClassVar[str] = "email"
    channel: ClassVar[str] = "email"
    templates: ClassVar[Mapping[str, Kind]] = {
        "from": "mailbox",
        "reply_to": "mailbox",
        "subject": "line",
        "html": "html",
        "text": "text",
    }
    texts: ClassVar[tuple[str, ...]] = ("html", "text")
    synonyms: ClassVar[tuple[str, ...]] = ("mail", "newsletter")
    together: ClassVar[Mapping[str, Any]] = {"anyOf": [{"required": ["html"]}, {"required": ["text"]}]}
    recipient: ClassVar[tuple[str, str] | None] = ("contact", "email")
    always: ClassVar[tuple[tuple[str, ...], ...]] = (("contact", "email"), ("contact", "language"))
    unsubscribing: ClassVar[tuple[str, ...]] = ("html", "text")
    suppressed_by: ClassVar[tuple[Source, ...]] = ("custom", "unsub", "soft", "bounce", "fbl")

    email: Name
    sender: Template | None = optional(
        "Sender: an address or Name <address>, with Liquid; by default SCENARIO_MAIL_FROM.", alias="from"
    )
    reply_to: Template | None = optional("Address for replies, with Liquid; by default the sender.")
    subject: Template = Field(description="One line of text with Liquid.")
    html: Text | None = Field(default=None, description="HTML with Liquid; outputs are escaped.")
    text: Text | None = Field(default=None, description="Plain text with Liquid; without it, made from the HTML.")
    on_unknown: OnUnknown = Field(default="retry", description=ON_UNKNOWN)

    @classmethod
    @override
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        if given.isdisjoint(("html", "text")):
            return "email", "an e-mail needs 'html', 'text' or both"
        return None

    @classmethod
    @override
    def spelled(cls, address: str) -> str:
        """Return the address in lower case, with its domain in ASCII (IDNA).

        The local part may be case-sensitive (RFC 5321 §2.4), but servers do not use that. Writing to a suppressed
        address would be worse than suppressing one too many.
        """
        return parse_address(address).address.lower()
