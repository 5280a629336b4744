"""The list of step kinds, how a step or a row of any kind is read, and the addresses that kinds send to.

A new kind is a module beside this one, and a line here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Union, get_args

from pydantic import Discriminator, GetCoreSchemaHandler, Tag, TypeAdapter
from pydantic_core import CoreSchema

from scenario.model.parts import Model
from scenario.policies.suppression import Source
from scenario.steps.audience import Audience
from scenario.steps.base import BaseStep, Row
from scenario.steps.branch import If
from scenario.steps.delivery import DeliveryStep
from scenario.steps.email import Email
from scenario.steps.exit import Exit
from scenario.steps.repeat import Repeat
from scenario.steps.sms import Sms
from scenario.steps.split import Split
from scenario.steps.switch import Switch
from scenario.steps.wait import Wait
from scenario.steps.wait_for import WaitFor
from scenario.steps.webhook import Webhook
from scenario.type_guards import is_mapping

KINDS: Final[dict[str, type[BaseStep]]] = {
    "email": Email,
    "sms": Sms,
    "webhook": Webhook,
    "audience": Audience,
    "wait": Wait,
    "wait_for": WaitFor,
    "if": If,
    "switch": Switch,
    "split": Split,
    "repeat": Repeat,
    "exit": Exit,
}
"""Step kinds by the key that names them."""
_HOLDING: Final[list[type[Model]]] = []
"""Models outside of this package that have steps in them."""


def kind_of(step: object) -> str | None:
    """Return the kind of a step: its first key that names one, or None."""
    if isinstance(step, BaseStep):
        return next((kind for kind, model in KINDS.items() if type(step) is model), None)
    return next((key for key in step if key in KINDS), None) if is_mapping(step) else None


def suppressible_channels() -> tuple[str, ...]:
    """Return the channels that write to addresses which may be suppressed."""
    return tuple(dict.fromkeys(model.channel for model in _senders() if model.suppressed_by))


def suppression_sources(channel: str) -> tuple[Source, ...]:
    """Return the reasons for which an address of a channel may be suppressed."""
    return next((model.suppressed_by for model in _senders() if model.channel == channel), ())


def recipient_fields() -> dict[str, tuple[str, str]]:
    """Return the root and field of the recipient's address, by channel whose addresses may be suppressed."""
    return {model.channel: model.recipient for model in _senders() if model.suppressed_by and model.recipient}


def canonical_address(channel: str, address: str) -> str:
    """Return the canonical spelling of an address. Raise BadRecipient, which does not quote it."""
    return next(model for model in _senders() if model.channel == channel).spelled(address)


def _senders() -> Iterator[type[DeliveryStep]]:
    yield from (model for model in KINDS.values() if issubclass(model, DeliveryStep))


def is_delivery(kind: str) -> bool:
    return kind in KINDS and KINDS[kind].sends


def kind_stored(keys: Mapping[str, Any]) -> str | None:
    """Return the kind of a stored step, where keys have lost their order: the kind that has all the keys."""
    named = [key for key in keys if key in KINDS]
    return next((kind for kind in named if KINDS[kind].has(named)), None)


class _AnyStep:
    """Takes the place of `Step`: the union of all kinds that exist when a model is completed."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def tag(step: object) -> str | None:
            # In angle brackets, so that an error's location never confuses a tag with a key.
            return None if (kind := kind_of(step)) is None else f"<{kind}>"

        tagged = tuple(Annotated[form, Tag(f"<{kind}>")] for kind, form in KINDS.items())
        step: Any = Annotated[Union[tagged], Discriminator(tag)]  # noqa: UP007 made of what there is
        return handler.generate_schema(step)


def holds_steps(model: type[Model]) -> None:
    """Complete a model that has lists of `Step`, now and whenever the kinds change."""
    _complete(model)
    _HOLDING.append(model)


def add(kind: str, model: type[BaseStep]) -> None:
    """Add a kind before any scenario or plan is read. Raise TypeError if its branches are lists of `BaseStep`."""
    _check_branches(model)
    KINDS[kind] = model
    _complete(*KINDS.values(), *_HOLDING)


def remove(kind: str) -> None:
    del KINDS[kind]
    _complete(*KINDS.values(), *_HOLDING)


def _complete(*models: type[Model]) -> None:
    steps = {"Step": _AnyStep}
    for model in models:
        _check_branches(model)
        for form in model.forms.values() if issubclass(model, BaseStep) else ():
            form.model_rebuild(force=True, _types_namespace=steps)
        model.model_rebuild(force=True, _types_namespace=steps)


def _check_branches(model: type[Model]) -> None:
    """Raise TypeError if a field holds `BaseStep` itself, which pydantic would read as a step without keys."""
    forms = model.forms.values() if issubclass(model, BaseStep) else ()
    for holder in (model, *forms):
        for name, field in holder.model_fields.items():
            if _mentions_base(field.annotation):
                raise TypeError(
                    f"{holder.__name__}.{name} holds BaseStep itself, which reads no step kind: write list[Step], "
                    "and import 'BaseStep as Step' only under 'if TYPE_CHECKING:'"
                )


def _mentions_base(annotation: object) -> bool:
    return annotation is BaseStep or any(_mentions_base(part) for part in get_args(annotation))


def read_row(data: object) -> Row:
    """Read a row of a plan, which may be the JSON data that `dump_row` wrote. Raise ValueError if it is none."""
    if isinstance(data, Row):
        return data
    kind = data.get("kind") if is_mapping(data) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"this program has no step of the kind {str(kind)[:40]!r}")
    return _adapter(KINDS[kind].row).validate_python(data)


def dump_row(row: Row) -> dict[str, Any]:
    """Return a row as JSON data, without default values."""
    dumped: dict[str, Any] = _adapter(type(row)).dump_python(row, mode="json", exclude_defaults=True)
    return dumped


@lru_cache  # building one takes milliseconds, which a workflow's thread has not to spare: see the end of this module
def _adapter(row: type[Row]) -> TypeAdapter[Any]:
    return TypeAdapter(row)


_complete(*KINDS.values())
for _model in KINDS.values():
    _adapter(_model.row)
