"""The process in which HTML is worked on, so that no e-mail can end a worker, hold a thread of it or fill its memory.

HTML is read by parsers written in C and Rust (`activities.email.markup`), and no look at a text beforehand tells what
they will need. By the rules of HTML, 10 KB become 180 MB of elements (`<p><b 1><p><b 2>…`: each paragraph begins them
all again), 50,000 levels take seconds to open, and 100 KB of styles take seconds to match. So a process of its own does
it, which the operating system ends where it takes too long or too much memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import IO, Final

from scenario.errors import LimitExceeded, TemplateError

SECONDS: Final = 0.4
"""Of the processor, for one e-mail: a large one takes a tenth of it. Not wall-clock time, as with templates."""
MEGABYTES: Final = 64
"""Of memory, beyond what the process has before it begins."""
LENGTH: Final = 4
"""Bytes that tell how many follow, in both directions."""
TOO_MUCH: Final = (
    f"it takes more than {SECONDS} seconds or {MEGABYTES} MB to process: "
    "use fewer elements, attributes and rules of style"
)
"""The sentence about HTML that came to one of these limits."""

_PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from activities.email.markup import serve; serve()"
_LIFE: Final = 1_000  # e-mails, so that no crumb of memory that is not given back adds up to the limit
_LONGEST: Final = 300  # characters of a cause
_KEPT: Final = ("LD_LIBRARY_PATH",)
_BY_ITSELF: Final = frozenset(
    -number for number in (signal.SIGPROF, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGTRAP)
)
"""What a process ends with that came to a limit. Whatever else ended it has nothing to do with the e-mail."""


@dataclass(frozen=True)
class Markup:
    """What was made of an HTML.

    Attributes:
        text: How it reads; lines ended by a line feed.
        html: It, with its styles at the elements that they apply to.
    """

    text: str
    html: str


class MarkupProcessLost(Exception):
    """The process could not be started, or was ended from outside. Another try takes a new one."""


class MarkupProcess:
    """One such process: started when it is needed first, and again when an e-mail has ended it.

    It is given no secret. It ends with this process, however this one ends. Thread-safe: one e-mail at a
    time, each a few milliseconds.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._end: Callable[[], object] = int

    def work(self, html: str) -> Markup:
        """Reads the HTML of an e-mail.

        Args:
            html: A document or a fragment, however malformed; without half surrogate pairs.

        Raises:
            TemplateError: Nothing can be made of it: it is nested too deeply, it takes too long or too much memory.
            MarkupProcessLost: The process could not be started, or somebody ended it meanwhile.
        """
        with self._lock:
            answer = self._ask(html.encode())
        if "reason" in answer:
            raise TemplateError(answer["reason"])
        return Markup(**answer)

    def close(self) -> None:
        """Ends the process; another e-mail starts a new one."""
        with self._lock:
            self._end()

    def _ask(self, data: bytes) -> dict[str, str]:
        process = self._running()
        asked, told = _pipes(process)
        with suppress(BrokenPipeError):
            asked.write(len(data).to_bytes(LENGTH, "big") + data)
            asked.flush()
        answer = told.read(int.from_bytes(told.read(LENGTH), "big"))
        if answer:
            return json.loads(answer)
        cause = _last_line(process)
        self._end()
        if process.returncode in _BY_ITSELF:
            raise LimitExceeded(TOO_MUCH)
        raise MarkupProcessLost(f"the process that reads HTML ended ({process.returncode}){cause and f': {cause}'}")

    def _running(self) -> subprocess.Popen[bytes]:
        self._asked += 1
        if self._process is None or self._process.poll() is not None or self._asked % _LIFE == 0:
            self._end()
            self._process = subprocess.Popen(  # noqa: S603 - the words are ours
                [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,  # closed by the process before it is given an e-mail
                # No secrets; only where a Python finds its own libraries.
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
            )
            self._end = weakref.finalize(self, _end, self._process)
        return self._process


def _last_line(process: subprocess.Popen[bytes]) -> str:
    """What a process that has ended said last, before it was given any e-mail: why it could not be started."""
    said = process.stderr.read() if process.stderr else b""
    return said.decode(errors="replace").strip().rpartition("\n")[2].strip()[:_LONGEST]


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError
    return process.stdin, process.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it by closing its input, and forgets it."""
    asked, told = _pipes(process)
    with suppress(BrokenPipeError):
        asked.close()
    told.close()
    if process.stderr:
        process.stderr.close()
    process.wait()
