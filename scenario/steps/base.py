"""The base classes of all step kinds: the model that an author fills, and the row that a journey performs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass as plain
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from scenario.liquid.shapes import Kind
from scenario.model.parts import Model, Save, StepId
from scenario.policies.draw import Lot
from scenario.source.findings import Flaw
from scenario.steps.host import Host, Next, Outcome
from scenario.type_guards import Path, is_mapping

Role = Literal["acts", "sends", "waits", "divides", "repeats", "ends"]
"""The role of a step, by which maps draw it."""
Handed = tuple[tuple[str, ...], dict[str, tuple[str, ...]]]
"""Fields of the journey's data, and for those that may be lists the parts of their items."""


def is_given(value: object) -> bool:
    """Return True if a key with this value states anything. None and an empty list do not."""
    return value is not None and value != []


def keys_of(model: Model) -> dict[str, Any]:
    """Return the keys and values of a step or of a part of one, as an author writes them. Nested steps stay models."""
    return {field.alias or name: _as_written(getattr(model, name)) for name, field in type(model).model_fields.items()}


def _as_written(value: Any) -> Any:
    if isinstance(value, Model) and not isinstance(value, BaseStep):
        return keys_of(value)
    return {key: _as_written(item) for key, item in value.items()} if is_mapping(value) else value


class TemplateSource(NamedTuple):
    """A template in a step, as written."""

    path: Path
    """Relative to the step."""
    kind: Kind
    """What its output becomes."""
    text: Any
    """The text, or the mapping or list of a structured body."""
    lead: int = 0
    """Number of characters of `text` before what the author wrote."""
    met: Sequence[tuple[Path, Sequence[str]]] = ()
    """The values it is compared with: for each its path relative to the step, and conditions of which one holds if the
    value matches."""


class Awaited(NamedTuple):
    """An event that a step waits for, as written."""

    path: Path
    """Where it is named, relative to the step."""
    way: str
    """The key of the way that it opens."""
    event: Any
    condition: Any
    is_new: bool
    """True if only an event counts that arrives while the step waits."""
    is_certain: bool
    """True if no contact passes the step without the event."""


@plain(frozen=True)
class Compiler:
    """The scenario around a step that is compiled.

    Attributes:
        following: The id of the next step; None is the end.
        resume: The id of the next wait in its list, or of what follows the list.
        begin: Compiles a list of inner steps. Returns the id of the first, or of what follows an empty list.
        again: Does the same for steps of which the last leads back to this step.
        handed: The fields, and the parts of list items, that templates read; see `scenario.plan.compile.handed`.
        item_fields: The paths in a journey's data that a batch call's templates read of each contact; see
            `scenario.plan.compile.item_fields`.
        seed: The default seed of draws: ``<scenario>/<step id>``.
        consents: The fields that state a contact's consent, by channel.
    """

    following: str | None
    resume: str | None
    begin: Callable[[Sequence[BaseStep]], str | None]
    again: Callable[[Sequence[BaseStep]], str | None]
    handed: Callable[[Iterable[tuple[Any, Kind]], Iterable[tuple[str, ...]]], Handed]
    item_fields: Callable[[Iterable[tuple[Any, Kind]]], tuple[tuple[str, ...], ...]]
    seed: str
    consents: Mapping[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore"))
class Row:
    """A step in a plan, reduced to the data that a journey needs.

    Journeys carry rows in their histories, without default values. Fields may be added, but neither names nor
    **defaults ever change**. Keys of a newer version are ignored.
    """

    own_role: ClassVar[Role | None] = None
    again: ClassVar[str | None] = None
    """The key of the way that leads back to this step, if any."""
    settings: ClassVar[tuple[str, ...]] = ()
    """What `instead` takes from the row of another version."""
    question: ClassVar[str | None] = None
    """The field with the condition or value that it evaluates, if there is one."""
    own_ways: ClassVar[tuple[tuple[str, str], ...]] = ()
    """The key of each way with the field that has its next step."""

    kind: str

    @property
    def ways(self) -> Mapping[str, str | None]:
        """The next steps by the key of each way; None is the end. Empty if the journey ends here."""
        return {key: getattr(self, name) for key, name in self.own_ways}

    @property
    def successors(self) -> tuple[str | None, ...]:
        return tuple(self.ways.values())

    @property
    def labels(self) -> Mapping[str, str]:
        """The label of each way, by its key. Empty if there is only one way."""
        ways = self.ways
        return {key: key if len(ways) > 1 else "" for key in ways}

    @property
    def role(self) -> Role:
        """The role by which maps draw the step: the kind's own, or the one that its ways show."""
        if self.own_role is not None or not self.ways:
            return self.own_role or "ends"
        return "repeats" if self.again is not None else "divides" if len(self.ways) > 1 else "acts"

    @property
    def skipped_to(self) -> str | None:
        """The next step if an operator skips this one: that of the last way."""
        return self.successors[-1] if self.successors else None

    @property
    def most(self) -> int | None:
        """Maximum number of rounds on the way back."""
        return None

    @property
    def awaited(self) -> Mapping[str, str]:
        """The events it waits for, by the key of the way that each opens."""
        return {}

    @property
    def asked(self) -> str | None:
        """The condition or value that it evaluates, if any."""
        return None if self.question is None else getattr(self, self.question)

    @property
    def lot(self) -> Lot | None:
        """The draw that chooses the way, if chance decides."""
        return None

    def describe(self) -> str:
        """Return the step in a few words: ``webhook → hooks.example.com``, ``wait 2d``."""
        return self.kind

    @property
    def detail(self) -> str:
        """The part that `describe` omits: a condition, as written."""
        asked = self.asked or ""
        return "" if asked in self.describe() else asked

    def on(self, host: Host) -> Self:
        """Return the row to perform: this one, or one with the settings of an operator's override."""
        other = host.row_override
        return self if other is None else self.instead(other.row)

    def note(self, host: Host) -> str | None:
        """Return the remark for the record of a step that an override decided, or None."""
        other = host.row_override
        return None if other is None else other.note

    def instead(self, other: object) -> Self:
        """Return the row with the settings of the row that another version has. The ways stay this row's."""
        if not isinstance(other, type(self)):
            return self
        return replace(self, **{name: getattr(other, name) for name in self.settings})

    async def perform(self, host: Host) -> Outcome:
        """Perform the step, and return where the journey continues."""
        raise NotImplementedError

    def skip(self, host: Host, reason: str | None) -> Next:
        """Record that an operator skips the step, and return where the journey continues."""
        host.memory.rounds.pop(host.step, None)
        host.record("skipped", reason)
        return Next(self.skipped_to)


class BaseStep(Model):
    """The base of all step models.

    The class methods take a step's keys and values as an author wrote them, whatever is wrong with them. Checks
    therefore need not wait for each other.

    Attributes:
        branches: The keys of its lists of steps.
        templates: The output kind of templates, by the key of each.
        texts: The keys whose text may be in a separate file.
        forms: Models of parts that pydantic tells apart by a tag.
        synonyms: Other words that authors write for the kind, besides similar spellings.
        together: Which keys go together, as JSON Schema: the same rules as `complaint`.
        recipient: The path of the recipient's address in the journey's data, if any.
        unsubscribing: Keys of texts that should contain an unsubscribe link.
        sends: True for a delivery.
        is_message: True for a delivery to which quiet hours and caps apply. The key of the kind names the step.
        rings: True if it rings a telephone, which is worth a warning at night.
        secrets: True if its templates may name secrets.
        changes_audiences: True if its destination must have audiences.
        loop: The key of the way that leads back to it, if any.
        waits: True if contacts resume here that skip steps because an earlier date is past.
    """

    row: ClassVar[type[Row]]
    branches: ClassVar[tuple[str, ...]] = ()
    templates: ClassVar[Mapping[str, Kind]] = {}
    texts: ClassVar[tuple[str, ...]] = ()
    forms: ClassVar[Mapping[str, type[Model]]] = {}
    synonyms: ClassVar[tuple[str, ...]] = ()
    together: ClassVar[Mapping[str, Any]] = {}
    recipient: ClassVar[tuple[str, str] | None] = None
    unsubscribing: ClassVar[tuple[str, ...]] = ()
    sends: ClassVar[bool] = False
    is_message: ClassVar[bool] = False
    rings: ClassVar[bool] = False
    secrets: ClassVar[bool] = False
    changes_audiences: ClassVar[bool] = False
    loop: ClassVar[str | None] = None
    waits: ClassVar[bool] = False

    id: StepId | None = Field(default=None, description="The step's name over all versions, unique in the scenario.")

    # ---- as it was written, right or wrong: for checks that must not wait for each other

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """Return the key and the sentence of a mistake in a step that has exactly these keys, or None."""
        return None

    @classmethod
    def lists(cls, keys: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
        """Yield the lists of inner steps: the key of the way, the path relative to the step, and the list."""
        for key in cls.branches:
            yield key, (key,), keys.get(key)

    @classmethod
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the ways that lead to the next step, or None if the step has no branches."""
        return tuple(way for way, _, _ in cls.lists(keys)) or None

    @classmethod
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[TemplateSource]:
        for key, kind in cls.templates.items():
            if isinstance(text := keys.get(key), str) and text:
                yield TemplateSource((key,), kind, text)

    @classmethod
    def awaits(cls, keys: Mapping[str, Any]) -> Iterator[Awaited]:
        yield from ()

    @classmethod
    def implied(cls, keys: Mapping[str, Any]) -> Mapping[str, tuple[Any, bool]]:
        """Return by way a condition, and whether it is true for contacts that take the way."""
        return {}

    @classmethod
    def flaws(cls, keys: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield the mistakes beyond its keys and the form of its values."""
        yield from ()

    @classmethod
    def moment(cls, keys: Mapping[str, Any]) -> tuple[Path, str] | None:
        """Return the path and text of a literal moment in the step, or None."""
        return None

    @classmethod
    def leaves(cls, keys: Mapping[str, Any], at: int | None) -> int | None:
        """Return the local time of day at which a step that begins `at` one ends, in minutes; None if unknown."""
        return at if cls.loop is None and not any(cls.awaits(keys)) else None

    @classmethod
    def lasts(cls, keys: Mapping[str, Any]) -> timedelta:
        """Return the minimum duration."""
        return timedelta(0)

    @classmethod
    def every(cls, keys: Mapping[str, Any]) -> timedelta | None:
        """Return the interval between rounds, or None if there are none."""
        return None

    @classmethod
    def rounds(cls, keys: Mapping[str, Any]) -> int:
        """Return how often the inner steps may be performed."""
        return 1

    @classmethod
    def saves(cls, keys: Mapping[str, Any]) -> Any:
        """Return how it saves a response, as written, or None."""
        return None

    @classmethod
    def has(cls, keys: Iterable[str]) -> bool:
        """Return True if all of these are keys of the step."""
        return set(keys) <= {field.alias or name for name, field in cls.model_fields.items()}

    # ---- once it is known to be right

    @property
    def saved(self) -> Save | None:
        """The name and form under which it saves a response, if it does."""
        return None

    @property
    def compared(self) -> tuple[str, Sequence[Any]] | None:
        """The compared template, and the values to compare its value with."""
        return None

    def messages(self) -> list[tuple[Any, Kind]]:
        """Return the templates of its message with their kinds, except references to files that were not read."""
        return [(source.text, source.kind) for source in self.sources(self.keys())] if self.sends else []

    def keys(self) -> dict[str, Any]:
        """Return its keys and values, as an author writes them."""
        return keys_of(self)

    def compile(self, compiler: Compiler) -> Row:
        """Return its row in a plan."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if found := self.complaint({key for key, value in self.keys().items() if is_given(value)}):
            raise PydanticCustomError("complaint", "{sentence}", {"sentence": found[1]})
        return self
