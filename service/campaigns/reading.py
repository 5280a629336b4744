"""Reads an uploaded file of contacts in a child process, within limits of memory, and without blocking the gateway.

A request is a byte and its content: `_BEGIN` with the surveyor's settings as JSON, `_FEED` with the next bytes of the
file (none at its end), or `_MORE`. An answer is `_FEED` if the child needs bytes, `_LINES` with lines as JSON, finally
`_SURVEY` with the survey, or `_REFUSED` with a sentence.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from typing_extensions import override

from authoring.errors import BadInput
from runtime.process.sandboxed import SandboxedProcess, SandboxEnded, answer_requests
from scenario.dates import DateOrder
from scenario.entry.values import PlatformDates
from scenario.errors import ScenarioError
from scenario.model.scenario import load
from service.campaigns.audience_file import AudienceFile
from service.campaigns.survey import AudienceEntry, Survey, Surveyor

_BEGIN, _FEED, _MORE, _LINES, _SURVEY, _REFUSED = b"b", b"f", b"m", b"l", b"s", b"-"
_TOGETHER: Final = 200  # lines of an answer
_CHARACTERS: Final = 1024 * 1024  # of an answer, beyond its last line
_LARGEST: Final = 64 * 2**20  # bytes of an answer
_MEGABYTES: Final = 1024  # for the marks of ten million contacts, or a sheet with a million rows
_NICE: Final = 5


@dataclass(frozen=True, kw_only=True)
class AudienceReading:
    """The settings of a surveyor, and of the file that it reads."""

    document: Mapping[str, Any]  # the stored scenario
    version: int
    campaign: str
    zone: str  # IANA zone of the platform's dates without an offset
    dates: DateOrder | None  # order of the platform's dates with slashes
    file: str  # the file's name
    encoding: str | None = None
    local_start: str | None = None  # each contact's own date and time of the start, in ISO 8601


async def read_audience(
    reading: AudienceReading, parts: AsyncIterator[bytes]
) -> AsyncGenerator[list[AudienceEntry] | Survey]:
    """Read a file in parts. Yield its lines, some at a time, and its survey. Raise BadInput if it is unusable."""
    process = SandboxedProcess(__name__)
    try:
        await asyncio.to_thread(process.start)
        request = _BEGIN + json.dumps(vars(reading)).encode()
        while True:
            answer = await _ask(process, request)
            request = _MORE
            match answer[:1], answer[1:]:
                case b"f", _:
                    request = _FEED + await anext(parts, b"")
                case b"l", found:
                    yield [_line(*line) for line in json.loads(found)]
                case b"s", found:
                    yield Survey.model_validate_json(found)
                    return
                case _, sentence:
                    raise BadInput(sentence.decode())
    finally:
        process.kill()
        await asyncio.to_thread(process.end)


def _line(
    line: int, contact: str, entry: dict[str, Any] | None, journey: str | None, due: str | None, *end: Any
) -> AudienceEntry:
    return AudienceEntry(line, contact, entry, journey, datetime.fromisoformat(due) if due else None, *end)


async def _ask(process: SandboxedProcess, request: bytes) -> bytes:
    asking = asyncio.ensure_future(asyncio.to_thread(process.ask, request, _LARGEST))
    try:
        return await asyncio.shield(asking)
    except SandboxEnded as error:
        if error.is_limit:
            raise BadInput(
                "reading the file takes too much memory: make several files of it, or save it as CSV"
            ) from None
        raise OSError(f"the process that reads a file ended {error}") from None
    except asyncio.CancelledError:
        process.kill()
        with suppress(SandboxEnded):
            await asking
        raise


# ---- in the child process


class _Reader:
    """Reads a file in a thread, which waits for bytes, and whose answers wait to be fetched."""

    def __init__(self) -> None:
        self.parts, self.answers = queue.Queue[bytes](1), queue.Queue[bytes](1)

    def handle(self, request: bytes) -> bytes:
        if request[:1] == _BEGIN:
            reading = AudienceReading(**json.loads(request[1:]))
            threading.Thread(target=self._run, args=(reading,), daemon=True).start()
        elif request[:1] == _FEED:
            self.parts.put(request[1:])
        return self.answers.get()

    def _run(self, reading: AudienceReading) -> None:
        try:
            self.answers.put(self._read(reading))
        except (BadInput, ScenarioError) as error:
            self.answers.put(_REFUSED + str(error).encode(errors="replace"))
        except (MemoryError, RecursionError):
            os.abort()
        except Exception as error:  # a mistake in the program, which a repetition would make again
            sentence = f"{reading.file} cannot be read ({type(error).__name__}): save it as CSV in UTF-8"
            self.answers.put(_REFUSED + sentence.encode(errors="replace"))
        except BaseException:  # a thread that ended silently would be waited for
            os._exit(1)

    def _read(self, reading: AudienceReading) -> bytes:
        local = reading.local_start
        surveyor = Surveyor(
            load(reading.document),
            reading.version,
            reading.campaign,
            PlatformDates(reading.zone, reading.dates),
            datetime.fromisoformat(local) if local else None,
        )
        file = AudienceFile(reading.file, io.BufferedReader(_Parts(self)), reading.encoding)
        lines: list[str] = []
        size = 0
        for one in surveyor.read(file):
            due = one.due and one.due.isoformat()
            lines.append(json.dumps([one.line, one.contact, one.entry, one.journey, due, one.outcome, one.reason]))
            size += len(lines[-1])
            if len(lines) >= _TOGETHER or size >= _CHARACTERS:
                self._tell(lines)
                size = 0
        self._tell(lines)
        return _SURVEY + surveyor.result(file).model_dump_json().encode()

    def _tell(self, lines: list[str]) -> None:
        if lines:
            self.answers.put(_LINES + f"[{','.join(lines)}]".encode())
        lines.clear()


class _Parts(io.RawIOBase):
    """The bytes that a reader is fed."""

    def __init__(self, reader: _Reader) -> None:
        self._reader, self._rest = reader, b""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._reader.answers.put(_FEED)
            self._rest = self._reader.parts.get()
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)


def serve() -> None:
    """Answer requests. The main function of the child process."""
    answer_requests(_Reader().handle, megabytes=_MEGABYTES, nice=_NICE)
