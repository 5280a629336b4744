"""The command line as a process: from arguments to an exit status, with every error as one sentence."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Final, NoReturn, TextIO

import typer

from cli.terminal import note
from scenario.plain_text import plain

PROGRAM: Final = "scenario"
FAILED: Final = 1  # the command failed. The message on standard error says why
MISUSED: Final = 2  # the arguments are wrong
BUG: Final = 70  # an unexpected error; EX_SOFTWARE of ``sysexits.h``
INTERRUPTED: Final = 130  # Ctrl-C, or SIGTERM in a container: 128 + SIGINT, as in shells
UNHEARD: Final = 141  # the reader of the output is gone (``scenario list | head -1``): 128 + SIGPIPE, as in shells
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_COMPLETE: Final = "_SCENARIO_COMPLETE"
DEBUG: Final = "SCENARIO_DEBUG"  # if this variable is set, every error shows its traceback


def main() -> NoReturn:
    """Run the installed command."""
    if os.getpid() == 1:  # in a container, the kernel ignores signals that this process does not handle
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter shows the rest
    if _COMPLETE in os.environ:
        # A shell requests completions, by the script of ``--show-completion``.
        from cli.app import app

        typer.main.get_command(app).main(prog_name=PROGRAM)
        sys.exit(0)
    status = run(sys.argv[1:])
    if "temporalio" in sys.modules:
        from runtime.process.shutdown import exit_process

        exit_process(status)
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command, and return the exit status. Errors have been printed on standard error."""
    try:
        status = _invoke(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget(sys.stdout)
        return UNHEARD
    except SystemExit:  # rich has met a broken pipe, and has dealt with the stream
        return UNHEARD
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        # Every error becomes a sentence and a status.
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            _forget(sys.stdout)
            note(f"{PROGRAM}: the output cannot be written: {os.strerror(error.errno).lower()}")
            return FAILED
        return _explain(error, arguments)
    return status


def _invoke(arguments: Sequence[str]) -> int:
    from cli.app import app

    command = typer.main.get_command(app)
    # Not the command's main(), which handles some errors itself, with other statuses.
    try:
        with command.make_context(PROGRAM, list(arguments) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as ending:
        return ending.exit_code
    return 0


def _explain(error: Exception, arguments: Sequence[str]) -> int:
    if os.environ.get(DEBUG):
        note("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, typer.TyperException):
        note(f"{PROGRAM}: {_usage(error.format_message(), arguments)}")
        return MISUSED
    trees = (
        ("service.errors", "Refusal"),
        ("runtime.errors", "SetupError"),
        ("runtime.errors", "StoreError"),
        ("scenario.errors", "ScenarioError"),
    )
    # A module that is not loaded has raised nothing.
    if isinstance(error, tuple(getattr(sys.modules[module], name) for module, name in trees if module in sys.modules)):
        note(f"{PROGRAM}: {sentence(str(error))}")
        return FAILED
    # Its text is for programmers, and may quote a contact's data.
    note(
        f"{PROGRAM}: something went wrong that should not ({type(error).__name__}): "
        f"run with {DEBUG}=1 for the traceback, and report it"
    )
    return BUG


def sentence(text: str) -> str:
    """Return a message as it follows ``scenario: ``: one line, in lower case, without a full stop."""
    text = plain(" ".join(text.split())).removesuffix(".")
    return re.sub(r"\A(?:The|A|An|No|There)\b", lambda word: word[0].lower(), text)


def _usage(text: str, arguments: Sequence[str]) -> str:
    from cli.app import COMMANDS

    said = sentence(text).replace(". Did you mean", ": did you mean").replace(": Value error, ", ": ")
    said = said[:1].lower() + said[1:]
    if said.endswith("?"):
        return said.replace("', '", "' or '")
    named = next((argument for argument in arguments if argument in COMMANDS), "")
    return f"{said}: see '{' '.join(filter(None, (PROGRAM, named, '--help')))}'"


def _forget(stream: TextIO) -> None:
    """Discard the output that the interpreter flushes at exit, as Python's documentation of SIGPIPE advises."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):  # no real file: nothing will be flushed
        return
