"""The step that sends a text message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from scenario.model.parts import Text
from scenario.model.scalars import Name, OnUnknown
from scenario.policies.suppression import Source
from scenario.steps.delivery import ON_UNKNOWN, DeliveryStep

if TYPE_CHECKING:
    from scenario.liquid import Kind


class Sms(DeliveryStep):
    """Sends a text message to the contact's mobile phone."""

    kind: ClassVar[str] = "sms"
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
    def spelled(cls, address: str) -> str:
        """As E.164."""
        from scenario.phone_number import international

        return international(address)
