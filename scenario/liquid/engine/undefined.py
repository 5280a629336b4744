"""What a template gets for a variable or field that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Never, cast

from liquid.exceptions import UndefinedError
from liquid.token import Token
from liquid.undefined import UNDEFINED, Undefined


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
