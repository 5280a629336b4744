"""A journal in a folder: a file a month, with a batch a line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from activities.journal.batch import JournalBatch, read_batch
from activities.journal.places import KEPT
from runtime.errors import JournalUnavailable

T = TypeVar("T")

FILE: Final = "file:"
_TAIL: Final = 4 * 1024 * 1024  # bytes, more than a batch


class FolderPlace:
    """A folder. All processes that write the journal must see the same one."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = f"{FILE}{folder}", folder

    async def begin(self) -> None:
        await self._guarded(lambda: self._folder.mkdir(mode=0o700, parents=True, exist_ok=True))

    async def append(self, batch: JournalBatch) -> None:
        await self._guarded(lambda: self._append(batch))

    async def last(self) -> int:
        def find() -> int:
            for path in reversed(self._segments()):
                # Two processes may have written concurrently.
                if numbers := [batch.last for batch in _batches(_tail(path))]:
                    return max(numbers)
            return 0

        return await self._guarded(find)

    async def batches(self) -> AsyncIterator[JournalBatch]:
        for path in await self._guarded(self._segments):
            for batch in _batches(await self._guarded(path.read_bytes)):
                yield batch

    def _segments(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.suffix == ".jsonl")

    def _append(self, batch: JournalBatch) -> None:
        segments = self._segments()
        # A clock that was set back must not change the order.
        name = max([f"{batch.at:%Y-%m}.jsonl", *(path.name for path in segments[-1:])])
        path = self._folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # A killed process may have left half a line.
            size = os.fstat(descriptor).st_size
            is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            _write(descriptor, b"\n" * is_torn + batch.text.encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if path not in segments:
            self._sync()
            oldest = f"{batch.at - KEPT:%Y-%m}.jsonl"
            with suppress(OSError):  # the disk may be append-only
                for old in (segment for segment in segments if segment.name < oldest):
                    old.unlink(missing_ok=True)

    def _sync(self) -> None:
        """Have the new file's name survive a crash of the machine."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    async def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise JournalUnavailable(
                f"the journal {self.name} cannot be used ({error.strerror}): check that SCENARIO_JOURNAL names a "
                "folder on a disk that is mounted and has room, and that this user may write there"
            ) from None


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return file.read()


def _batches(data: bytes) -> Iterator[JournalBatch]:
    return filter(None, map(read_batch, data.splitlines()))


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
