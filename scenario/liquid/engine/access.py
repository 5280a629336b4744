"""Missing data: the rules that all output formats share.

* A field of nil is nil: ``order.store.name`` of an order without a store renders as nothing.
* Some mappings are *open*: their keys depend on the retailer or on another system, so a missing key is nil. These are
  all mappings below a key or variable named ``custom``, ``event``, ``properties`` or ``responses``, and every ``Open``.
* Any other missing key renders as nothing in texts and e-mails, and is an error in webhooks. A webhook's data has every
  declared field, if only as nil, so a missing key is a misspelling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Never

from liquid.exceptions import UndefinedError
from liquid.token import Token
from liquid.undefined import Undefined

from scenario.type_guards import is_list, is_sequence

OPEN_NAMES: Final = frozenset({"custom", "event", "properties", "responses"})
"""Keys and variables below which every mapping is open."""


class Open(dict[str, Any]):
    """A mapping in which missing keys are nil, at every depth.

    ``OPEN_NAMES`` work by name and survive JSON. This type is for data under another name, passed to the engine.
    """

    __slots__ = ()

    def copy(self) -> dict[str, Any]:
        return dict(super().items())

    def __missing__(self, key: str) -> None:
        return None

    def __getitem__(self, key: str) -> Any:
        return open_value(super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return open_value(super().get(key, default))

    def items(self) -> Any:
        return [(key, open_value(value)) for key, value in super().items()]


class _OpenList(list[Any]):
    __slots__ = ()

    def copy(self) -> list[Any]:
        return list(super().__iter__())

    def __getitem__(self, index: Any) -> Any:
        return open_value(super().__getitem__(index))

    def __iter__(self) -> Iterator[Any]:
        return (open_value(item) for item in super().__iter__())


def open_value(value: Any) -> Any:
    """Return the value, made open if it is a mapping or a list."""
    if isinstance(value, Open | _OpenList):
        return value  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return Open(value)  # pyright: ignore[reportUnknownArgumentType]
    return _OpenList(value) if is_list(value) else value


def plain_value(value: Any) -> Any:
    """Return the plain mapping or list behind an open one."""
    return value.copy() if isinstance(value, Open | _OpenList) else value


class LenientMissing(Undefined):
    """A missing value in texts and e-mails: it renders as nothing, is false, equals nil and has no items."""

    __slots__ = ()


class MissingValueError(UndefinedError):
    """A missing value that a template requires. Its path is the variable and the keys below it."""

    def __init__(self, message: str, path: tuple[object, ...], token: Token | None) -> None:
        self.path = path
        super().__init__(message, token=token)


class StrictMissing(Undefined):
    """A missing value in webhooks, its path in `obj`.

    It may be tested (``if``, ``== nil``, ``default``), and every other use is an error.
    """

    __slots__ = ()

    def raise_missing(self, *_: object, **__: object) -> Never:
        """Raise the error that names the missing path."""
        path = tuple(self.obj) if is_sequence(self.obj) else (self.name,)
        raise MissingValueError(self.hint or f"there is no '{self.name}'", path, self.token)

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Undefined)

    __hash__ = Undefined.__hash__

    __str__ = __int__ = __len__ = __iter__ = __contains__ = __getitem__ = __reversed__ = raise_missing
    poke = raise_missing  # python-liquid calls this before it reads a value's length or items
