"""Reads and writes the files of commands: one entry per file or standard input, or one per line."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TextIO

from authoring.errors import BadInput, unreadable, why
from scenario.source.decoding import MORE, NotJson, TooDeep, read_json
from scenario.type_guards import is_list, is_mapping

STDIN: Final = "-"
ENTRY: Final = "an entry is a JSON object with 'scenario', 'contact' and 'trigger'"
_AHEAD: Final = 100  # lines read in advance
_LONGEST: Final = 4 * 1024 * 1024  # bytes of a line; the rest is discarded


@dataclass(frozen=True)
class Line:
    """A line of a file of entries."""

    number: int
    content: bytes


def read_entry(source: str, *, many: bool = True) -> dict[str, Any]:
    """Read a file's only entry; ``-`` is standard input. Raise BadInput if it cannot be read, or is no JSON object.

    `many` is True if the command has an option ``--many``, which the message for several entries names.
    """
    return parse(read(source), named(source), many=many)


def read(source: str) -> bytes:
    """Read all bytes of a file; ``-`` is standard input. Raise BadInput if the file cannot be read."""
    with opened(source) as file:
        try:
            return file.read()
        except OSError as error:
            raise unreadable(named(source), error) from None


@contextmanager
def writing(path: Path) -> Generator[TextIO]:
    """Open a file for text in UTF-8, with unchanged line breaks, or standard output. Raise BadInput if that fails."""
    if str(path) == STDIN:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {why(error)}") from None


def parse(
    content: bytes, name: str, *, line: int | None = None, wanted: str = ENTRY, many: bool = False
) -> dict[str, Any]:
    """Parse a JSON object, such as an entry, with or without a byte order mark; `many` as in `read_entry`.

    Raise BadInput if it is not a JSON object. The message names the place.
    """
    what = name if line is None else f"line {line} of {name}"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{what} is not UTF-8: save it as UTF-8", line=line) from None
    if not text.strip():
        raise BadInput(f"{what} is empty: {wanted}", line=line)
    try:
        value: Any = read_json(text)
    except TooDeep:
        raise BadInput(f"{what} is nested too deeply: {wanted}", line=line) from None
    except NotJson as error:
        place = f"column {error.column}" if line is not None else f"line {error.line}, column {error.column}"
        if error.reason == MORE and line is None and wanted is ENTRY:
            hint = "enter one a line with --many" if many else "give one entry"
            raise BadInput(f"{what} holds more than one value ({place}): {hint}", line=line) from None
        raise BadInput(f"{what} is not JSON ({place}): {error.reason}", line=line) from None
    if is_list(value) and line is None and wanted is ENTRY:
        hint = "write one entry a line, and enter them with --many" if many else "give one entry"
        raise BadInput(f"{what} holds a list: {hint}", line=line)
    if not is_mapping(value):
        raise BadInput(f"{what} is not a JSON object: {wanted}", line=line)
    return dict(value)


async def lines(file: IO[bytes], name: str) -> AsyncIterator[Line]:
    """Read the lines of a file that are not blank.

    A thread reads them, so that a slow pipe does not block the loop. It is a daemon: Ctrl-C does not wait for it.
    Raise BadInput if the file cannot be read to its end.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Line | OSError | None] = asyncio.Queue(_AHEAD)

    def put(item: Line | OSError | None) -> None:
        putting = queue.put(item)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except RuntimeError:
            putting.close()
            raise

    def read() -> None:
        try:
            try:
                for line in _split(file):
                    put(line)
            except OSError as error:
                put(error)
            else:
                put(None)
        except (RuntimeError, CancelledError, ValueError):
            return  # the loop has ended, or the file is closed

    threading.Thread(target=read, name="entries", daemon=True).start()
    while (item := await queue.get()) is not None:
        if isinstance(item, OSError):
            raise unreadable(name, item)
        yield item


def _split(file: IO[bytes]) -> Iterator[Line]:
    number = 0
    while content := file.readline(_LONGEST):
        number += 1
        if content.strip():
            yield Line(number, content.rstrip(b"\r\n"))
        while len(content) == _LONGEST and not content.endswith(b"\n"):  # the rest of a line without an end
            content = file.readline(_LONGEST)


@contextmanager
def opened(source: str) -> Generator[IO[bytes]]:
    """Open a file for its bytes, or standard input, which stays open. Raise BadInput if that fails."""
    if source == STDIN:
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - only the opening is guarded
    except OSError as error:
        raise unreadable(source, error) from None
    with file:
        yield file


def count_lines(source: str) -> int | None:
    """Return a file's number of lines, or None if it can be read only once."""
    path = Path(source)
    if source == STDIN or not path.is_file():
        return None
    with opened(source) as file:
        return sum(1 for _ in _split(file))


def named(source: str) -> str:
    """Return a file's name for messages."""
    return "standard input" if source == STDIN else source
