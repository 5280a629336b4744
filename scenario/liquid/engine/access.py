"""How a template reads data: what a missing key means.

Three rules, the same in every sink:

* A field of nil is nil: ``order.store.name`` of an order without a store is nothing, not a mistake.
* Some mappings are *open*: which keys they have depends on the retailer or on another system, so that a missing key is
  nil, too. These are everything under a key (or a variable) named ``custom``, ``event``, ``properties`` or
  ``responses``, and every ``Open`` mapping.
* Any other missing key is nothing in texts and e-mails, and a mistake in webhooks, where data carries every declared
  field (as nil, if need be), so that only a misspelling is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Never, cast

from liquid.exceptions import UndefinedError
from liquid.token import Token
from liquid.undefined import UNDEFINED, Undefined

OPEN_NAMES: Final = frozenset({"custom", "event", "properties", "responses"})
"""Keys and variables under which every mapping is open."""


class Open(dict[str, Any]):
    """A mapping whose missing keys are nil, at every depth.

    Names alone make a mapping open (``OPEN_NAMES``), which survives a trip through JSON; this type is for data that
    is open under another name and is handed to the engine directly.
    """

    __slots__ = ()

    def copy(self) -> dict[str, Any]:
        """A plain mapping of the same content."""
        return dict(super().items())

    def __missing__(self, key: str) -> None:
        return None

    def __getitem__(self, key: str) -> Any:
        return opened(super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, opened as by a look-up: what filters such as ``property`` and ``map`` ask."""
        return opened(super().get(key, default))

    def items(self) -> Any:
        """The pairs, values opened as by a look-up."""
        return [(key, opened(value)) for key, value in super().items()]


class _OpenList(list[Any]):
    """A list under an open name: its mappings are open."""

    __slots__ = ()

    def copy(self) -> list[Any]:
        """A plain list of the same content."""
        return list(super().__iter__())

    def __getitem__(self, index: Any) -> Any:
        return opened(super().__getitem__(index))

    def __iter__(self) -> Iterator[Any]:
        return (opened(item) for item in super().__iter__())


def opened(value: Any) -> Any:
    """The same value, open if it is a mapping or a list."""
    if isinstance(value, dict):
        return value if isinstance(value, Open) else Open(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return value if isinstance(value, _OpenList) else _OpenList(cast("list[Any]", value))
    return value


def closed(value: Any) -> Any:
    """The same value as the plain mapping or list that it was before it was opened."""
    return cast("Any", value).copy() if isinstance(value, Open | _OpenList) else value


class Missing(Undefined):
    """Renders as nothing, is false, equals nil, has no items: what texts and e-mails get."""

    __slots__ = ()


class NotThere(UndefinedError):
    """What a template needs is not there.

    Attributes:
        path: The variable that it was looked for in, and the keys below it.
    """

    def __init__(self, message: str, path: tuple[object, ...], token: Token | None) -> None:
        self.path = path
        super().__init__(message, token=token)


class StrictMissing(Undefined):
    """May be tested (``if``, ``== nil``, ``default``); every other use is a mistake: what webhooks get.

    Its `obj` is the path that leads nowhere.
    """

    __slots__ = ()

    def refuse(self) -> Never:
        """Say what is missing.

        Raises:
            NotThere: Always.
        """
        path = (self.name,) if self.obj is UNDEFINED else cast("tuple[object, ...]", self.obj)
        raise NotThere(self.hint or f"there is no '{self.name}'", path, self.token)

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Undefined)

    __hash__ = Undefined.__hash__

    def __str__(self) -> str:
        self.refuse()

    def __int__(self) -> int:
        self.refuse()

    def __len__(self) -> int:
        self.refuse()

    def __iter__(self) -> Iterator[Any]:
        self.refuse()

    def __contains__(self, item: object) -> bool:
        self.refuse()

    def __getitem__(self, key: str) -> object:
        self.refuse()

    def __reversed__(self) -> Iterator[Any]:
        self.refuse()

    def poke(self) -> bool:
        """Raise: python-liquid pokes a value before it takes its length or its items for granted."""
        self.refuse()
