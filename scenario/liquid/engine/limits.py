"""Limits of a rendering: steps, time, memory, nesting and size.

python-liquid limits nested loops and the total output. It does not limit consecutive loops (500 loops of 99,000), the
result of one filter (``s | replace: 'a', s``) or time. Here all parts of a rendering share one ``Budget``, so that a
hostile template fails within half a second and a few megabytes.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Final

from liquid.exceptions import ResourceLimitError
from liquid.token import Token

MAX_SOURCE: Final = 64 * 1024
"""Characters of one template. E-mail clients truncate messages at about 100 KB of HTML."""

MAX_OUTPUT: Final = 1_000_000
"""Characters of output of one rendering, including captures."""

MAX_BODY: Final = 256 * 1024
"""Bytes of a webhook's body, as sent."""

MAX_STEPS: Final = 100_000
"""Rendered nodes and applied filters of one rendering. An e-mail with 50 products takes about 2,000."""

MAX_SECONDS: Final = 0.4
"""CPU seconds of one rendering. Wall-clock time would make the result depend on the machine's load."""

MAX_PAUSE: Final = 0.1
"""CPU seconds that count at most between two checks.

A template's own work between two checks (64 steps or one filter call) takes at most 20 ms. A garbage collection of a
large process takes hundreds of milliseconds of the same thread, and must not fail a delivery.
"""

MAX_TEXT: Final = 256 * 1024
MAX_ITEMS: Final = 10_000
MAX_NUMBER: Final = 10**40
MOST_DIGITS: Final = 40
MAX_LOCALS: Final = 1_000_000
"""Characters and list items in variables of ``assign`` and ``capture``."""

MAX_FILTERS: Final = 30
MAX_BRACKETS: Final = 50
"""Opening brackets and parentheses in one expression. python-liquid's expression lexer is quadratic in them."""

MAX_OPERATORS: Final = 100
"""``and``, ``or`` and ``not`` in one expression. Each is a level of recursion."""

MAX_DEPTH: Final = 64
"""Levels of mappings and lists in a value written as JSON."""

MAX_BATCH: Final = 8 * 1024 * 1024
"""Bytes of a batch call's body, and characters of its output."""

_LOOK_EVERY: Final = 64
_ITEMS_TOGETHER: Final = 100
"""Items of a batch that have the steps and seconds of one message: an item usually takes 20 to 50 steps."""
_items: ContextVar[int] = ContextVar("items", default=0)


@contextmanager
def room_for(items: int) -> Generator[None]:
    """Raise the limits of renderings in this context for a batch of so many items."""
    token = _items.set(items)
    try:
        yield
    finally:
        _items.reset(token)


def share(limit: float) -> float:
    """Return a limit of steps or seconds for the items of this context."""
    return limit * (1 + _items.get() / _ITEMS_TOGETHER)


def size_limit(limit: int) -> int:
    """Return a limit of bytes or characters for the items of this context."""
    return MAX_BATCH if _items.get() > 1 else limit


class BoundReached(ResourceLimitError):
    """An exceeded limit of this module. Its message is for authors; it becomes ``LimitExceeded``."""

    def __init__(self, message: str, token: Token | None = None) -> None:
        super().__init__(message, token=token)


class Budget:
    """The remaining steps and time of one rendering.

    Attributes:
        steps: Remaining steps. Hot code updates it directly and calls ``check`` when it falls below ``next_check``.
        next_check: The number of remaining steps at which to read the clock again.
    """

    __slots__ = ("_longest", "_looked", "_most", "_seconds", "next_check", "steps")

    def __init__(self) -> None:
        self.steps = self._most = int(share(MAX_STEPS))
        self.next_check = self.steps - _LOOK_EVERY
        self._seconds = self._longest = share(MAX_SECONDS)
        self._looked: float | None = None  # most renderings end before the first look, which is a system call

    def spend(self, steps: int) -> None:
        """Take some steps. Raise BoundReached if steps or time are used up."""
        self.steps -= steps
        if self.steps < self.next_check:
            self.check()

    def check(self) -> None:
        """Compare the remaining steps and time with the limits. Raises as ``spend`` does."""
        if self.steps < 0:
            raise BoundReached(f"the template takes more than {self._most:,} steps: loop over fewer items")
        now = time.thread_time()
        if self._looked is not None:
            self._seconds -= min(now - self._looked, MAX_PAUSE)
        self._looked = now
        if self._seconds < 0:
            raise BoundReached(f"the template takes longer than {self._longest:g} seconds: loop over fewer items")
        self.next_check = self.steps - _LOOK_EVERY


def step_cost(value: object) -> int:
    """Return the steps, about a microsecond each, that a filter takes for a value, in addition to one for its call."""
    if isinstance(value, str):
        return len(value) >> 9
    return len(value) >> 2 if isinstance(value, list) else 0  # pyright: ignore[reportUnknownArgumentType]


def check_digits(value: Any) -> Any:
    """Return the value, or raise OverflowError for a Decimal that is slow to convert to an integer (1E+999999)."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > MOST_DIGITS:
        raise OverflowError
    return value


def check_range(numbers: range) -> None:
    # Not len(), which fails for ranges longer than a machine word.
    if numbers.stop - numbers.start > MAX_ITEMS:
        raise BoundReached(f"a range has more than {MAX_ITEMS:,} numbers")


def check_result(name: str, made: object) -> None:
    if isinstance(made, str):
        if len(made) > MAX_TEXT:
            raise BoundReached(f"'{name}' makes a text of more than {MAX_TEXT:,} characters")
    elif isinstance(made, bool):
        return
    elif isinstance(made, int):
        if not -MAX_NUMBER < made < MAX_NUMBER:
            raise BoundReached(f"'{name}' works with numbers of up to 40 digits")
    elif isinstance(made, Decimal):
        if made.is_finite() and made and made.adjusted() > MOST_DIGITS:
            raise BoundReached(f"'{name}' works with numbers of up to 40 digits")
    elif isinstance(made, list | tuple) and len(made) > MAX_ITEMS:  # pyright: ignore[reportUnknownArgumentType]
        raise BoundReached(f"'{name}' makes a list of more than {MAX_ITEMS:,} items")
