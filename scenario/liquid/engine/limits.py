"""What a template may cost: steps, time, room, nesting and size.

python-liquid limits loops nest by nest and output as a whole. That leaves open what a template does in sequence
(500 loops of 99,000), what one filter makes of its input (``s | replace: 'a', s``) and how long it takes. Here one
``Budget`` is shared by everything that a rendering does, so that every hostile template ends in an error within
half a second and a few megabytes.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, Final

from liquid.exceptions import ResourceLimitError
from liquid.token import Token

MAX_SOURCE: Final = 64 * 1024
"""Characters of one template's text. E-mail clients cut a message off at about 100 KB of HTML."""

MAX_OUTPUT: Final = 1_000_000
"""Characters that one rendering may write, captures included."""

MAX_BODY: Final = 256 * 1024
"""Bytes of a webhook's body, as sent."""

MAX_STEPS: Final = 100_000
"""Nodes rendered and filters applied in one rendering: an e-mail with 50 products takes about 2,000."""

MAX_SECONDS: Final = 0.4
"""Processor seconds of one rendering. Not wall-clock time: a busy machine must not change what is sent."""

MAX_PAUSE: Final = 0.1
"""Processor seconds that count at most between two looks at the clock.

What a template does between two looks, 64 steps or the call of one filter, takes 20 milliseconds at most. A longer time
is not its own: a garbage collection of a large process takes hundreds of milliseconds of this very thread, and must not
make a delivery fail for good.
"""

MAX_TEXT: Final = 256 * 1024
"""Characters of a text that a filter makes."""

MAX_ITEMS: Final = 10_000
"""Items of a list that a filter makes."""

MAX_NUMBER: Final = 10**40
"""Where whole numbers end: larger ones are nobody's price, and take time to multiply."""

MOST_DIGITS: Final = 40
"""The same in digits."""

MAX_LOCALS: Final = 1_000_000
"""Characters and list items that ``assign`` and ``capture`` may hold at one time."""

MAX_FILTERS: Final = 30
"""Filters in one expression."""

MAX_BRACKETS: Final = 50
"""Opening brackets and parentheses in one expression: python-liquid's expression lexer is quadratic in them."""

MAX_OPERATORS: Final = 100
"""``and``, ``or`` and ``not`` in one expression: each is a level of recursion."""

MAX_DEPTH: Final = 64
"""Levels of mappings and lists in a value that is written as JSON."""

_LOOK_EVERY: Final = 64


class BoundReached(ResourceLimitError):
    """A bound of this module was reached. Its message is fit for people; it becomes ``LimitExceeded``."""

    def __init__(self, message: str, token: Token | None = None) -> None:
        super().__init__(message, token=token)


class Budget:
    """The steps and the time that are left to one rendering.

    Attributes:
        steps: Steps left. Read and written by the hottest code directly; ``look`` is to be called when it falls
            below ``next_look``.
        next_look: The number of steps left at which the clock is to be read again.
    """

    __slots__ = ("_looked", "_seconds", "next_look", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.next_look = MAX_STEPS - _LOOK_EVERY
        self._seconds = MAX_SECONDS
        self._looked = time.thread_time()

    def spend(self, steps: int) -> None:
        """Take some steps.

        Raises:
            BoundReached: There are not that many left, or the time is over.
        """
        self.steps -= steps
        if self.steps < self.next_look:
            self.look()

    def look(self) -> None:
        """Compare what is left with the bounds.

        Raises:
            BoundReached: The steps or the seconds are used up.
        """
        if self.steps < 0:
            raise BoundReached(f"the template takes more than {MAX_STEPS:,} steps: loop over less")
        now = time.thread_time()
        self._seconds -= min(now - self._looked, MAX_PAUSE)
        self._looked = now
        if self._seconds < 0:
            raise BoundReached(f"the template takes longer than {MAX_SECONDS} seconds: loop over less")
        self.next_look = self.steps - _LOOK_EVERY


def cost(value: object) -> int:
    """The steps that a filter's work on a value takes, beyond the one for its call: a step is about a microsecond."""
    if isinstance(value, str):
        return len(value) >> 9
    return len(value) >> 2 if isinstance(value, list) else 0  # pyright: ignore[reportUnknownArgumentType]


def few_digits(value: Any) -> Any:
    """The value, unless it is a Decimal that takes seconds to turn into a whole number, such as 1E+999999.

    Raises:
        OverflowError: It is one.
    """
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > MOST_DIGITS:
        raise OverflowError
    return value


def check_range(numbers: range) -> None:
    """Refuse a range that is too long to be made a list of.

    Raises:
        BoundReached: It has more than ``MAX_ITEMS`` numbers.
    """
    # Not len(): it fails where a range is longer than a machine word can count.
    if numbers.stop - numbers.start > MAX_ITEMS:
        raise BoundReached(f"a range has more than {MAX_ITEMS:,} numbers")


def check_made(name: str, made: object) -> None:
    """Refuse what a filter made if it is too large.

    Args:
        name: The filter's name, for the message.
        made: Its result.

    Raises:
        BoundReached: The result is a longer text or list, or a larger number, than a template may handle.
    """
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
