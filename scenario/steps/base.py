"""What all kinds of steps are made of: the model that an author fills, and the row that a journey performs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass as plain
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from scenario.model.parts import Model, Save
from scenario.model.scalars import StepId
from scenario.policies.draw import Lot
from scenario.steps.host import Host, Outcome

if TYPE_CHECKING:
    from scenario.liquid import Kind
    from scenario.source.findings import Severity

Path = tuple[str | int, ...]
Role = Literal["acts", "sends", "waits", "divides", "repeats", "ends"]
"""What a step does in the course of a journey, by which maps draw it."""
Handed = tuple[tuple[str, ...], dict[str, tuple[str, ...]]]
"""Fields of the journey's data, and what is needed of the items of those that may be lists."""


def is_given(value: object) -> bool:
    """Whether a key with this value says anything: nothing and an empty list do not."""
    return value is not None and value != []


class Source(NamedTuple):
    """A template in a step, as it was written.

    Attributes:
        path: Where, from the step on.
        kind: What its output becomes.
        text: The text, or the mapping or list of a structured body.
        lead: How many characters of the text come before what was written.
        met: What its value is compared with: the place of each, from the step on, and conditions of which one has to
            hold where the value is that.
    """

    path: Path
    kind: Kind
    text: Any
    lead: int = 0
    met: Sequence[tuple[Path, Sequence[str]]] = ()


class Flaw(NamedTuple):
    """What is wrong with a step beyond its keys and the form of its values.

    Attributes:
        path: Where, from the step on.
        code: As in `scenario.source.findings.Finding`.
        message: One sentence for the author.
        key: Whether to point at the key rather than at its value.
        severity: Whether it forbids publishing.
    """

    path: Path
    code: str
    message: str
    key: bool = False
    severity: Severity = "error"


class Awaited(NamedTuple):
    """An event that a step waits for, as it was written.

    Attributes:
        path: Where it is named, from the step on.
        way: The key of the way that it opens.
        event: Its name.
        condition: Which of these events; None: any.
        is_new: Whether only one counts that comes while the step waits.
        is_certain: Whether nobody gets past the step without it.
    """

    path: Path
    way: str
    event: Any
    condition: Any
    is_new: bool
    is_certain: bool


@plain(frozen=True)
class Compiler:
    """What a step's compilation takes from the scenario around it.

    Attributes:
        following: The id of the step behind it; None is the end.
        resume: The id of the next wait in its list, or else of what follows the list.
        begin: Compiles a list of steps inside it; gives the id of its first, or of what follows where it is empty.
        again: The same, where the last of them leads back to the step itself.
        handed: What templates need of a journey's data: the fields, and what of the items of lists; see
            `scenario.plan.inputs.handed`.
        seed: What draws of the step are made with, unless it says otherwise: ``<scenario>/<step id>``.
        consents: The fields that tell whether a contact agrees to be sent something, by the kind of step.
    """

    following: str | None
    resume: str | None
    begin: Callable[[Sequence[BaseStep]], str | None]
    again: Callable[[Sequence[BaseStep]], str | None]
    handed: Callable[[Iterable[tuple[Any, Kind]], Iterable[tuple[str, ...]]], Handed]
    seed: str
    consents: Mapping[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore"))
class Row:
    """A step in a plan: what a journey needs to perform it, and nothing else.

    Rows of all kinds derive from this. Journeys hold them in their histories, without what has its default value: so
    fields may be added, and neither names nor **defaults ever change**. Keys of a newer version are ignored.
    """

    kind: str

    @property
    def ways(self) -> Mapping[str, str | None]:
        """Where the journey may go from here, None being the end, by the key of each way; empty where it ends."""
        return {}

    @property
    def successors(self) -> tuple[str | None, ...]:
        """Where the journey may go from here."""
        return tuple(self.ways.values())

    @property
    def labels(self) -> Mapping[str, str]:
        """What people read at each way that a journey may take by itself, by its key; nothing at an only one."""
        ways = self.ways
        return {key: key if len(ways) > 1 else "" for key in ways}

    @property
    def role(self) -> Role:
        """What it does in the course of a journey."""
        if not self.ways:
            return "ends"
        return "repeats" if self.again is not None else "divides" if len(self.ways) > 1 else "acts"

    @property
    def skipped_to(self) -> str | None:
        """Where it goes when an operator skips the step: a fork is left by its last way."""
        return self.successors[-1] if self.successors else None

    @property
    def again(self) -> str | None:
        """The key of the way that comes back to it, if one does."""
        return None

    @property
    def most(self) -> int | None:
        """How many rounds there are of the steps on that way at most."""
        return None

    @property
    def awaited(self) -> Mapping[str, str]:
        """The events that it waits for, by the key of the way that each opens."""
        return {}

    @property
    def asked(self) -> str | None:
        """The condition or value that is worked out to perform it, if there is one."""
        return None

    @property
    def lot(self) -> Lot | None:
        """How its way is drawn, if it is: chance decides then, and not what is known of the contact."""
        return None

    def describe(self) -> str:
        """The step in a few words: ``webhook → hooks.example.com``, ``wait 2d``."""
        return self.kind

    @property
    def detail(self) -> str:
        """What `describe` leaves out to be brief: a condition, as it was written."""
        asked = self.asked or ""
        return "" if asked in self.describe() else asked

    def on(self, host: Host) -> Self:
        """The row by which the step is performed: this one, unless an operator took it from another version."""
        other = host.row_override
        return self if other is None else self.instead(other.row)

    def note(self, host: Host) -> str | None:
        """Return the remark for the record of a step that an override decided, or None."""
        other = host.row_override
        return None if other is None else other.note

    def instead(self, other: object) -> Self:
        """Return the row with the settings of the row that another version has. The ways stay this row's."""
        del other
        return self

    async def perform(self, host: Host) -> Outcome:
        """Perform the step, and return where the journey continues."""
        raise NotImplementedError


class BaseStep(Model):
    """What all steps have.

    Attributes:
        id: See `scenario.model.outline.Written.id`.
        row: The class of its row in a plan.
        branches: The keys under which it has steps of its own.
        templates: What the output of a template becomes, by the key under which it stands alone.
        texts: The keys whose text may be in a file of its own.
        forms: Models of parts that pydantic tells apart by a tag.
        synonyms: What people write for the kind, beside what looks alike.
        together: Which keys go together, as JSON Schema says it: what `complaint` says in words.
        recipient: Where the address that it writes to stands in the journey's data; None where it writes to none.
        unsubscribing: Keys of texts in which people look for a link to unsubscribe.
        sends: Whether the step is a delivery: then its kind's key gives its name.
        rings: Whether what it sends makes a telephone ring: at night it is worth a warning.
        secrets: Whether its templates may name secrets.
        loop: The key of the way that leads back to it, if one does.
        waits: Whether contacts whose date is past at an earlier wait of the same list may go on here.
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
    rings: ClassVar[bool] = False
    secrets: ClassVar[bool] = False
    loop: ClassVar[str | None] = None
    waits: ClassVar[bool] = False

    id: StepId | None = Field(default=None, description="The step's name over all versions, unique in the scenario.")

    # ---- as it was written, right or wrong: for checks that must not wait for each other

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """What is wrong with a step that has these keys and no others, whatever their values.

        Args:
            given: The step's keys as an author writes them.

        Returns:
            The key to point at and the sentence, or None.
        """
        del given
        return None

    @classmethod
    def lists(cls, keys: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
        """The lists of steps inside a step: for each the key of its way, its path from the step on, and the list.

        Args:
            keys: The step's keys and values as an author writes them.
        """
        for key in cls.branches:
            yield key, (key,), keys.get(key)

    @classmethod
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The ways by which contacts may come to what stands after the step; none where nobody does.

        Args:
            keys: The step's keys and values as an author writes them.

        Returns:
            None where there are no branches between.
        """
        return tuple(way for way, _, _ in cls.lists(keys)) or None

    @classmethod
    def sources(cls, keys: Mapping[str, Any]) -> Iterator[Source]:
        """The templates of a step.

        Args:
            keys: The step's keys and values as an author writes them.
        """
        for key, kind in cls.templates.items():
            if isinstance(text := keys.get(key), str) and text:
                yield Source((key,), kind, text)

    @classmethod
    def awaits(cls, keys: Mapping[str, Any]) -> Iterator[Awaited]:
        """The events that it waits for.

        Args:
            keys: The step's keys and values as an author writes them.
        """
        del keys
        yield from ()

    @classmethod
    def implied(cls, keys: Mapping[str, Any]) -> Mapping[str, tuple[Any, bool]]:
        """What is known of a condition on the ways that lead out of the step: the condition, and whether it is true."""
        del keys
        return {}

    @classmethod
    def flaws(cls, keys: Mapping[str, Any]) -> Iterator[Flaw]:
        """What is wrong with it that neither its keys nor the form of its values show.

        Args:
            keys: The step's keys and values as an author writes them, whatever is wrong with them.
        """
        del keys
        yield from ()

    @classmethod
    def moment(cls, keys: Mapping[str, Any]) -> tuple[Path, str] | None:
        """A moment that it names itself, and where from the step on; None where it names none.

        Args:
            keys: The step's keys and values as an author writes them.
        """
        del keys
        return None

    @classmethod
    def leaves(cls, keys: Mapping[str, Any], at: int | None) -> int | None:
        """The time of day on the contact's clock at which the step is over, in minutes; None where it is not known.

        Args:
            keys: The step's keys and values as an author writes them.
            at: The time at which it begins, if that is known.
        """
        return at if cls.loop is None and not any(cls.awaits(keys)) else None

    @classmethod
    def lasts(cls, keys: Mapping[str, Any]) -> timedelta:
        """Return the least time that the step itself takes."""
        del keys
        return timedelta(0)

    @classmethod
    def every(cls, keys: Mapping[str, Any]) -> timedelta | None:
        """Return the time from the beginning of a round to that of the next, or None if there are no rounds."""
        del keys
        return None

    @classmethod
    def rounds(cls, keys: Mapping[str, Any]) -> int:
        """How often the steps inside it may be performed."""
        del keys
        return 1

    @classmethod
    def saves(cls, keys: Mapping[str, Any]) -> Any:
        """How it keeps a response, as it was written; None where it keeps none."""
        del keys
        return None

    @classmethod
    def has(cls, keys: Iterable[str]) -> bool:
        """Whether all of these are keys of the step."""
        return set(keys) <= {field.alias or name for name, field in cls.model_fields.items()}

    # ---- once it is known to be right

    @property
    def saved(self) -> Save | None:
        """How it keeps a response, if it does."""
        return None

    @property
    def compared(self) -> tuple[str, Sequence[Any]] | None:
        """A template whose value it compares, and the values that it compares it with."""
        return None

    def messages(self) -> list[tuple[Any, Kind]]:
        """The templates of what it sends, and what each is for; references to files that were not read are left out."""
        return [(source.text, source.kind) for source in self.sources(self.keys())] if self.sends else []

    def keys(self) -> dict[str, Any]:
        """Its keys and values, as an author writes them."""
        return {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}

    def compile(self, compiler: Compiler) -> Row:
        """Its row in a plan."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if found := self.complaint({key for key, value in self.keys().items() if is_given(value)}):
            raise PydanticCustomError("complaint", "{sentence}", {"sentence": found[1]})
        return self
