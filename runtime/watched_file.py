"""A file of settings that is watched while a process runs, and read again when it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from runtime.errors import SettingsError

Content = TypeVar("Content")

_AGAIN: Final = 10.0
"""Seconds after which a file that could not be used is read again although it is the same: what was in its way (a
certificate that comes later, too many open files) may be gone."""

_logger = logging.getLogger(__name__)
# (inode, mtime in ns, ctime in ns, bytes): another content has another stamp. The inode and ctime tell of files put in
# place by a rename, as editors and Kubernetes do, which may keep size and mtime.
_Stamp = tuple[int, int, int, int]


class WatchedFile(Generic[Content]):
    """What a file says now.

    A file that was edited is read again as soon as it rests, for the time between two looks: what is still being
    written may be YAML already, with half of its content. One that cannot be used, or that is gone, is reported
    once in the log, and what was read before stays; it is read again now and then.

    Args:
        path: Of the file; None where there is none: then it says `empty`.
        read: Reads it; raises `SettingsError` where it cannot be used.
        size: How much it holds, in words for the log.
        every: Seconds between two looks at the file.
        clock: Seconds, for tests.
        wall: Seconds since 1970, as files have them; for tests.

    Raises:
        SettingsError: The file cannot be used at the start.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        read: Callable[[Path], Content],
        empty: Content,
        size: Callable[[Content], str],
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._read, self._size = path, read, size
        self._every, self._clock, self._wall = every, clock, wall
        self._stamp: _Stamp | None = None  # of what was read last
        self._seen: _Stamp | None = None  # at the last look
        self._looked = self._tried = clock()
        self._fault = ""
        self._content = empty
        if path is not None:
            # Before the reading: what is written meanwhile is seen at the next look.
            self._stamp = self._seen = _stamp(path)
            self._content = read(path)

    @property
    def configured(self) -> bool:
        """Whether there is a file."""
        return self._path is not None

    @property
    def content(self) -> Content:
        """What the file says; the same object until the file says something else."""
        now = self._clock()
        if self._path is not None and now - self._looked >= self._every:
            self._looked = now
            self._look(self._path)
        return self._content

    def _look(self, path: Path) -> None:
        before, self._seen = self._seen, _stamp(path)
        stamp = self._seen
        if stamp != before and not self._rests(stamp):
            return
        if stamp == self._stamp and not (self._fault and self._looked - self._tried >= _AGAIN):
            return
        told = self._fault if stamp == self._stamp else ""
        self._stamp, self._tried = stamp, self._looked
        try:
            content = self._read(path)
        except SettingsError as error:
            self._fault = str(error)
            if self._fault != told:
                _logger.error("%s; what was read before stays in use", error)  # noqa: TRY400 a sentence for people
            return
        self._fault = ""
        if content != self._content:
            self._content = content
            _logger.info("%s was read again: %s", path, self._size(content))

    def _rests(self, stamp: _Stamp | None) -> bool:
        return stamp is not None and self._wall() - stamp[2] / 1e9 >= self._every


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
