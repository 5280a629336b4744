"""The operations: the updates that journeys take from operators, and what people call them."""

from __future__ import annotations

from typing import Final, Literal

Verb = Literal["retry_step", "skip_step", "leave", "pause", "resume", "retune", "migrate"]
"""The updates of a journey, which are the operations."""

Word = Literal["retry", "skip", "leave", "pause", "resume", "retune", "migrate"]
"""What people call them."""

WORDS: Final[dict[Verb, Word]] = {
    "retry_step": "retry",
    "skip_step": "skip",
    "leave": "leave",
    "pause": "pause",
    "resume": "resume",
    "retune": "retune",
    "migrate": "migrate",
}
"""What people call each."""

VERBS: Final[dict[Word, Verb]] = {word: verb for verb, word in WORDS.items()}
"""The update that people mean by each word."""

NOT_HELD: Final = frozenset({"pause", "resume"})
"""Those that make sense for journeys which are not held, too."""
