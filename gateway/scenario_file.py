"""A scenario as it was written: a file on this machine, or a text that somebody sent; with the texts it refers to."""

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
"""How findings name a scenario that was sent."""


@dataclass(frozen=True)
class ScenarioFile:
    """A scenario as it was written.

    Attributes:
        name: How findings name it.
        content: YAML. Of a file that is too large as many bytes as tell that it is.
        read: Gives the texts that it refers to, see `scenario.check.check.check`.
    """

    name: str
    content: str | bytes = field(repr=False)
    read: Callable[[str], str]

    @classmethod
    def at(cls, path: Path) -> Self:
        """The file at a path, together with the files beneath its folder.

        Raises:
            BadInput: It cannot be read.
        """
        return cls(str(path), content(path), _beside(path))

    @classmethod
    def sent(cls, content: str, files: Mapping[str, str] | None = None, name: str = SENT) -> Self:
        """A text that somebody sent. No file of this machine is ever read for it.

        Args:
            content: YAML.
            files: The texts that it may refer to, by their paths from where it would be.
            name: How findings name it.
        """
        texts = {str(PurePosixPath(path)): _as_opened(text) for path, text in (files or {}).items()}

        def read(path: str) -> str:
            try:
                return texts[str(PurePosixPath(path))]
            except KeyError:
                raise FileNotFoundError(errno.ENOENT, "it is not among the files that were sent") from None

        return cls(name, content, read)


def _as_opened(text: str) -> str:
    """A text as it would be read from a file, so that it makes the same version by either way."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def content(path: Path) -> bytes:
    """A file's bytes; of one that is too large as many as tell that it is.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from None


def _beside(path: Path) -> Callable[[str], str]:
    """Reads the texts that a file refers to.

    Links are followed within the scenario's folder, as Kubernetes lays out its ConfigMaps, and not out of it: what is
    read is published, and whoever may put a file there need not be one who may read everything here.
    """

    def read(name: str) -> str:
        with (path.parent / name).open(encoding="utf-8-sig") as file:
            # Once it is open: whatever cannot be resolved cannot be opened either.
            if not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
                raise PermissionError(errno.EACCES, "a link leads out of the scenario's folder")
            return file.read(MAX_TEXT + 1)

    return read
