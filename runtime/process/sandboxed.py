"""A child process that does untrusted work behind pipes and resource limits.

Parsers and templates of strangers can take any amount of time and memory, and may crash the interpreter. The operating
system bounds a child process, so its parent survives. The child imports this module: only the standard library is used.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

_LENGTH: Final = 4  # bytes of the length before each message, in both directions
_READY: Final = b"!"  # written by the child before it reads the first request
_PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from {module} import serve; serve()"
_INHERITED: Final = ("LD_LIBRARY_PATH",)  # no secrets; only what Python needs to find its libraries
_MAX_CAUSE: Final = 300  # characters

LIMIT_SIGNALS: Final = frozenset(
    {signal.SIGPROF, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGTRAP}
)
"""Signals that end a child at one of its limits, or in a crash that its input caused."""


class SandboxEnded(Exception):
    """The child ended instead of answering.

    `cause` is the last line of an error at its start, or "". Later lines are discarded: they might quote the input.
    """

    def __init__(self, status: int, cause: str = "") -> None:
        self.status, self.cause, self.is_limit = status, cause, -status in LIMIT_SIGNALS
        super().__init__(f"({status}){cause and f': {cause}'}")


class AnswerTooLarge(Exception):
    """The child's answer exceeds the limit. The child was ended."""


class SandboxedProcess:
    """A child process that answers one request at a time.

    It gets no secrets, and ends with its parent. Its methods block, so an event loop calls them in a thread. Its module
    has a function `serve` that calls `answer_requests`.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[..., SandboxedProcess] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the child, unless it is running."""
        if self.is_running:
            return
        self.end()
        self._process = subprocess.Popen(  # noqa: S603 - a constant program
            [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path, module=self._module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # closed by the child before it reads a request
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        )
        self._finalizer = weakref.finalize(self, _end_in_thread, self._process)
        _, answers, errors = _pipes(self._process)
        if answers.read(len(_READY)) != _READY:
            cause = errors.read().decode(errors="replace").strip().rpartition("\n")[2].strip()
            self.end()
            raise SandboxEnded(self._process.returncode, cause[:_MAX_CAUSE])

    def ask(self, request: bytes, max_answer: int) -> bytes:
        """Send a request to a started child, and return the answer of at most `max_answer` bytes."""
        if self._process is None:
            raise AssertionError
        requests, answers, _ = _pipes(self._process)
        with suppress(BrokenPipeError):
            requests.write(len(request).to_bytes(_LENGTH, "big") + request)
            requests.flush()
        length = int.from_bytes(answers.read(_LENGTH), "big")
        if length > max_answer:
            self.end()
            raise AnswerTooLarge
        answer = answers.read(length)
        if not answer:
            self.end()
            raise SandboxEnded(self._process.returncode)
        return answer

    def end(self) -> None:
        """End the child, if there is one, after the request in progress."""
        if self._process is not None and self._finalizer is not None and self._finalizer.detach():
            _end(self._process)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()


def answer_requests(handle: Callable[[bytes], bytes], *, megabytes: int, cpu_seconds: float = 0, nice: int = 0) -> None:
    """Answer requests from standard input until it is closed. Called by the child.

    Args:
        handle: Answers one request. A MemoryError or RecursionError that it raises ends the child as a limit does.
        megabytes: Memory limit, beyond what the child uses at its start. Not enforced on macOS.
    """
    # A parent that stops closes the pipe. A request in progress is still needed, so signals to the group are ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would contain personal data
    with suppress(OSError, ValueError):  # macOS has neither the file nor the limit
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # The parent reads from standard error why the child could not start. Later lines might quote a request.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    source, target = sys.stdin.buffer, sys.stdout.buffer
    target.write(_READY)
    target.flush()
    while length := source.read(_LENGTH):
        request = source.read(int.from_bytes(length, "big"))
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            answer = handle(request)
        except (MemoryError, RecursionError):
            os.abort()
        signal.setitimer(signal.ITIMER_PROF, 0)
        target.write(len(answer).to_bytes(_LENGTH, "big") + answer)
        target.flush()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError
    return process.stdin, process.stdout, process.stderr


def _end_in_thread(process: subprocess.Popen[bytes]) -> None:
    # The garbage collector may run in a workflow's thread, which must not block.
    try:
        threading.Thread(target=_end, args=(process,), daemon=True).start()
    except RuntimeError:  # the interpreter is shutting down
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    requests, *others = _pipes(process)
    with suppress(BrokenPipeError):
        requests.close()
    for pipe in others:
        pipe.close()
    process.wait()
