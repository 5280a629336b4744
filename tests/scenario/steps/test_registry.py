"""The registry of step kinds."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from scenario.model.parts import Model
from scenario.steps import registry
from scenario.steps.base import BaseStep
from scenario.steps.base import BaseStep as Step


class Imported(BaseStep):
    """`Step` is imported at run time, so that pydantic resolves it to the base class."""

    sides: dict[str, list[Step]]


class Named(BaseStep):
    sides: list[BaseStep] | None = None


class Side(Model):
    steps: list[BaseStep]


class Nested(BaseStep):
    forms: ClassVar[Mapping[str, type[Model]]] = {"<side>": Side}

    side: Side


@pytest.mark.parametrize(
    ("model", "field"), [(Imported, "Imported.sides"), (Named, "Named.sides"), (Nested, "Side.steps")]
)
def test_a_kind_whose_branches_hold_the_base_class_is_refused(model: type[BaseStep], field: str) -> None:
    with pytest.raises(TypeError) as raised:
        registry.add("toss", model)
    assert str(raised.value) == (
        f"{field} holds BaseStep itself, which reads no step kind: write list[Step], "
        "and import 'BaseStep as Step' only under 'if TYPE_CHECKING:'"
    )
    assert "toss" not in registry.KINDS


def test_a_model_around_steps_is_checked_too() -> None:
    with pytest.raises(TypeError, match=r"^Side\.steps holds BaseStep itself"):
        registry.holds_steps(Side)
