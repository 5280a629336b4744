"""Configuration files, read, checked, and read again when they change; and the simplest one, `policies.yaml`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from runtime.errors import SettingsError
from scenario.policies.policies import Policies, examine
from scenario.source.findings import Finding

Content = TypeVar("Content")

_AGAIN: Final = 10.0
"""Seconds after which an unusable file is read again even if it is unchanged: the cause (a missing certificate, too
many open files) may be resolved.
"""

_logger = logging.getLogger(__name__)
FileStamp = tuple[int, int, int, int]
"""Inode, mtime and ctime in ns, and bytes, which differ for other content.

Inode and ctime detect files replaced by a rename, as editors and Kubernetes do, which may keep size and mtime.
"""


class WatchedFile(Generic[Content]):
    """The content of a file that may change.

    A changed file is read once it has not changed between two checks: a file being written may be valid YAML already.
    If it is unusable or missing, that is logged once, the previous content stays in use, and reading is retried.
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
        self.configured = path is not None
        self._every, self._clock, self._wall = every, clock, wall
        self._stamp: FileStamp | None = None  # of the content
        self._seen: FileStamp | None = None  # at the last look
        self._looked = self._tried = clock()
        self._fault = ""
        self._content = empty
        if path is not None:
            # Before reading: the next check sees later changes.
            self._stamp = self._seen = _stamp(path)
            self._content = read(path)

    @property
    def content(self) -> Content:
        """The current content; the same object until it changes."""
        now = self._clock()
        if self._path is not None and now - self._looked >= self._every:
            self._looked = now
            self._look(self._path)
        return self._content

    def _look(self, path: Path) -> None:
        before, self._seen = self._seen, _stamp(path)
        stamp = self._seen
        if stamp != before and (stamp is None or self._wall() - stamp[2] / 1e9 < self._every):
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
                _logger.error("%s; the earlier content stays in use", error)  # noqa: TRY400 a sentence for people
            return
        self._fault = ""
        if content != self._content:
            self._content = content
            _logger.info("%s was read again: %s", path, self._size(content))


def _stamp(path: Path) -> FileStamp | None:
    try:
        return stamp_of(path.stat())
    except OSError:
        return None


def stamp_of(status: os.stat_result) -> FileStamp:
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


class UnusableFile(SettingsError):
    """A configuration file that cannot be used."""

    def __init__(self, message: str, findings: tuple[Finding, ...] = ()) -> None:
        self.findings = findings  # all findings; none if it cannot be read at all
        super().__init__(message)


def read_bytes(path: Path, setting: str) -> bytes:
    """Read a file that a setting names, or raise UnusableFile."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it is not a file").lower()
        raise UnusableFile(f"{setting} names {path}, which cannot be read: {reason}") from None


def require_usable(content: Content | None, findings: Sequence[Finding], command: str) -> Content:
    """Return the content of a file, or raise UnusableFile with the line of its first error and the command for all."""
    if content is not None:
        return content
    errors = [finding for finding in findings if finding.severity == "error"]
    more = f" (and {len(errors) - 1} more: see '{command}')" if len(errors) > 1 else ""
    raise UnusableFile(f"{errors[0].file}:{errors[0].line}: {errors[0].message}{more}", tuple(findings))


def read_policies(path: Path) -> Policies:
    """Read `policies.yaml`, or raise UnusableFile."""
    findings, policies = examine(read_bytes(path, "SCENARIO_POLICIES"), str(path))
    return require_usable(policies, findings, f"scenario policies {path}")


class PoliciesFile(WatchedFile[Policies]):
    """The current policies. UnusableFile is raised only if the file cannot be used at the start."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path, read=read_policies, empty=Policies(), size=lambda found: f"{len(found.caps)} caps")
