"""The child process that parses e-mail HTML, so that no e-mail can end a worker, block its thread or fill its memory.

The parsers are written in C and Rust (`activities.email.markup`), and a check of the text beforehand cannot bound them.
By the rules of HTML, 10 KB become 180 MB of elements (`<p><b 1><p><b 2>…`: each paragraph reopens all of them),
50,000 levels take seconds to open, and 100 KB of styles take seconds to match.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from threading import Lock
from typing import Final

from runtime.process.sandboxed import AnswerTooLarge, SandboxedProcess, SandboxEnded
from scenario.errors import LimitExceeded, TemplateError
from scenario.mail_limits import MAX_PART

SECONDS: Final = 0.4
"""CPU time limit for one e-mail; a large one takes 0.1."""
MEGABYTES: Final = 64
"""Memory limit, in addition to the child's memory at its start."""
LARGEST: Final = 2 * 6 * MAX_PART + 64
"""Maximum number of bytes of an answer: two parts as JSON, in which a control character takes six."""
TOO_MUCH: Final = (
    f"it takes more than {SECONDS} seconds or {MEGABYTES} MB to process: "
    "use fewer elements, attributes and rules of style"
)
"""Reason for refusing HTML that reached one of these limits."""

_MODULE: Final = "activities.email.markup"
_LIFE: Final = 1_000  # e-mails, so that small memory leaks do not add up to the limit


@dataclass(frozen=True)
class Markup:
    """The two parts made from an e-mail's HTML."""

    text: str  # plain text; lines end with a line feed
    html: str


class MarkupProcessLost(Exception):
    """The process could not be started, or was ended from outside. Retryable: the next call starts another."""


class MarkupProcess:
    """The child process, started by the first call and restarted after an e-mail has ended it. Thread-safe.

    One e-mail at a time, each a few milliseconds.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._process = SandboxedProcess(_MODULE)
        self._requests = 0

    def work(self, html: str) -> Markup:
        """Make the parts of an e-mail from HTML, however malformed, without half surrogate pairs.

        Raise TemplateError if it is nested too deeply, or takes too much time or memory.
        """
        with self._lock:
            answer = self._ask(html.encode())
        if "reason" in answer:
            raise TemplateError(answer["reason"])
        return Markup(**answer)

    def close(self) -> None:
        """End the process; a later call starts another."""
        with self._lock:
            self._process.end()

    def _ask(self, html: bytes) -> dict[str, str]:
        self._requests += 1
        if self._requests % _LIFE == 0:
            self._process.end()
        try:
            self._process.start()
            return json.loads(self._process.ask(html, LARGEST))
        except AnswerTooLarge:
            raise LimitExceeded(TOO_MUCH) from None
        except SandboxEnded as error:
            if error.is_limit:
                raise LimitExceeded(TOO_MUCH) from None
            raise MarkupProcessLost(f"the process that reads HTML ended {error}") from None
