"""The source of a scenario: a local file or a submitted text, with the texts that it refers to."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Self

from gateway.errors import unreadable
from scenario.check.files import MAX_TEXT
from scenario.source.yaml import MAX_BYTES

SENT: Final = "scenario.yaml"
"""The name of a submitted scenario in findings."""


@dataclass(frozen=True)
class ScenarioFile:
    """The source of a scenario."""

    name: str
    """Its name in findings."""
    content: str | bytes = field(repr=False)
    """YAML; of a file that is too large, only its beginning."""
    read: Callable[[str], str]
    """Returns a text that it refers to; see `scenario.check.check.check`."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open a file, with the files in its folder. Raise BadInput if it cannot be read."""
        return cls(str(path), content(path), _beside(path))

    @classmethod
    def sent(cls, content: str, files: Mapping[str, str] | None = None, name: str = SENT) -> Self:
        """Return a submitted text with its files by path. No file of this machine is read for it."""
        texts = {str(PurePosixPath(path)): _as_opened(text) for path, text in (files or {}).items()}

        def read(path: str) -> str:
            try:
                return texts[str(PurePosixPath(path))]
            except KeyError:
                raise FileNotFoundError(errno.ENOENT, "it is not among the files that were sent") from None

        return cls(name, content, read)


def _as_opened(text: str) -> str:
    """Return a text as it would be read from a file, so that both ways make the same version."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def content(path: Path) -> bytes:
    """Return a file's bytes; of one that is too large, one byte too many. Raise BadInput if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from None


def _beside(path: Path) -> Callable[[str], str]:
    """Return a reader of the texts that a file refers to.

    Links are followed within the scenario's folder, as in ConfigMaps of Kubernetes, and not out of it: the texts are
    published, and a person who may add files there may not be allowed to read all files here.
    """

    def read(name: str) -> str:
        with (path.parent / name).open(encoding="utf-8-sig") as file:
            # After opening: a path that cannot be resolved cannot be opened either.
            if not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
                raise PermissionError(errno.EACCES, "a link leads out of the scenario's folder")
            return file.read(MAX_TEXT + 1)

    return read
