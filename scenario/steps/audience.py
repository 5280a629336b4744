"""The step that changes an audience: a membership list at another system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from typing_extensions import override

from scenario.model.parts import Name, OnUnknown
from scenario.source.findings import Flaw
from scenario.steps.base import Compiler
from scenario.steps.delivery import DeliveryStep, Send

AudienceOperation = Literal["add", "remove"]


@dataclass(frozen=True, kw_only=True)
class AudienceChange(Send):
    """A change of a membership."""

    audience: str
    op: AudienceOperation = "add"

    @override
    def describe(self) -> str:
        return f"{'add to' if self.op == 'add' else 'remove from'} {self.audience} → {self.to}"


class Audience(DeliveryStep):
    """Adds the contact to an audience at another system, or removes the contact from it.

    The journey continues immediately. Changes of many contacts are sent together.
    """

    row = AudienceChange
    kind: ClassVar[str] = "audience"
    channel: ClassVar[str] = "audience"
    synonyms: ClassVar[tuple[str, ...]] = ("custom_audience", "customer_match", "user_list")
    always: ClassVar[tuple[tuple[str, ...], ...]] = (("contact", "email"), ("contact", "cellphone"))
    is_message: ClassVar[bool] = False
    changes_audiences: ClassVar[bool] = True

    audience: Name
    to: Name = Field(description="The destination that has the audience, by the name that operators gave.")
    op: AudienceOperation = Field(default="add", description="Whether the contact becomes a member or stops being one.")
    on_unknown: OnUnknown = Field(default="retry", description="Has no effect here: a change is never lost.")

    @property
    @override
    def needs_consent(self) -> bool:
        return self.op == "add"

    @classmethod
    @override
    def flaws(cls, keys: Mapping[str, Any]) -> Iterator[Flaw]:
        if keys.get("capped") is not None:
            yield Flaw(("capped",), "capped", "caps count messages, and this step sends none: remove it", key=True)

    @override
    def compile(self, compiler: Compiler, **more: Any) -> AudienceChange:
        # The journey sends nothing to the destination: its retry policy and its task queue are not for this step.
        made = super().compile(compiler, **more, to=self.to)
        return AudienceChange(**vars(made), audience=self.audience, op=self.op)
