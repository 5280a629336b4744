"""The secrets that webhooks may name, ``{{ secrets.NAME }}``: from the environment and from a folder of files."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from runtime.errors import SettingsError
from runtime.settings import Settings

PREFIX: Final = "SCENARIO_SECRET_"
"""A variable ``SCENARIO_SECRET_NAME`` holds the secret NAME."""

MAX_BYTES: Final = 64 * 1024
"""A secret's file may have this many bytes: more is a file that got there by mistake."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# (inode, mtime in ns, ctime in ns, bytes): another content has another stamp. The inode and ctime tell of files put in
# place by a rename, which may keep size and mtime.
_Stamp = tuple[int, int, int, int]


class Secrets(Mapping[str, str]):
    """Name → value of every secret; a file that changes is read again at the next look.

    A file ``NAME`` under the settings' folder wins over the variable ``SCENARIO_SECRET_NAME``, since it can be changed
    while the process runs. One newline at a file's end is not part of the secret. Files whose name is not a name that a
    template can write (``.gitkeep``, ``a.pem``, the ``..data`` of a Kubernetes volume) are left alone.

    Printing shows names only.

    Args:
        environ: Variables; the process's own by default, read at each look.
        every: Seconds between two looks of `snapshot`.
        clock: Seconds, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str] | None = None,
        *,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = settings.secrets_dir
        self._environ = os.environ if environ is None else environ
        self._read: dict[str, tuple[_Stamp, str]] = {}
        self._every, self._clock = every, clock
        self._latest: SecretsSnapshot | None = None
        self._looked = 0.0

    def names(self) -> list[str]:
        """The secrets' names, sorted.

        Raises:
            SettingsError: The folder cannot be read.
        """
        return sorted({*self._variables(), *self._files()})

    def all(self) -> dict[str, str]:
        """Every secret as it is now: a new mapping, for one rendering. Costs a `stat` a file.

        Raises:
            SettingsError: The folder or one of its files cannot be read.
        """
        found = self._variables()
        for name, path in self._files().items():
            value = self._value(name, path)
            if value is not None:
                found[name] = value
        return found

    def snapshot(self) -> SecretsSnapshot:
        """Every secret, for one delivery: as it is, or was a second ago. While nothing changes it is the same object.

        A file that cannot be read stands in nobody's way but of those who ask for that secret. One that is empty, or
        that was there and is gone, counts as such: it is being replaced, or somebody made a mistake. A look costs a
        `stat` a file, and there are many deliveries a second.

        Raises:
            SettingsError: The folder cannot be read.
        """
        now, latest = self._clock(), self._latest
        if latest is None or now - self._looked >= self._every:
            found = self._look()
            if latest is None or found != latest:
                self._latest = latest = found
            self._looked = now
        return latest

    def _look(self) -> SecretsSnapshot:
        found, unreadable = self._variables(), dict[str, SettingsError]()
        files = self._files()
        for name in self._read.keys() - files.keys() - found.keys():
            unreadable[name] = SettingsError(f"the file of the secret {name} is gone: put it back")
        for name, path in files.items():
            try:
                value = self._value(name, path)
            except SettingsError as error:
                found.pop(name, None)
                unreadable[name] = error
            else:
                if value:
                    found[name] = value
                elif value is not None:
                    found.pop(name, None)
                    unreadable[name] = SettingsError(
                        f"the file of the secret {name} is empty: write the secret into it"
                    )
        return SecretsSnapshot(found, unreadable)

    def __getitem__(self, name: str) -> str:
        path = self._files().get(name)
        value = self._value(name, path) if path is not None else None
        return self._variables()[name] if value is None else value

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self.names())})"

    def _variables(self) -> dict[str, str]:
        return {
            name.removeprefix(PREFIX): value
            for name, value in self._environ.items()
            if name.startswith(PREFIX) and _NAME.fullmatch(name.removeprefix(PREFIX))
        }

    def _files(self) -> dict[str, Path]:
        if self._folder is None:
            return {}
        try:
            return {path.name: path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)}
        except OSError:
            raise SettingsError(
                "SCENARIO_SECRETS_DIR names a folder that cannot be read: check that it exists, and its permissions"
            ) from None

    def _value(self, name: str, path: Path) -> str | None:
        """The file's secret, or None where there is no such file any more or it is a folder."""
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return None
            stamp = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
            known = self._read.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            if status.st_size > MAX_BYTES:
                raise SettingsError(
                    f"the secret {name} is a file of more than {MAX_BYTES} bytes: remove it from the folder"
                )
            value = path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except OSError:
            raise SettingsError(f"the file of the secret {name} cannot be read: check its permissions") from None
        except UnicodeDecodeError:
            raise SettingsError(f"the file of the secret {name} is not UTF-8 text: write it as text") from None
        value = value.removesuffix("\n").removesuffix("\r")
        self._read[name] = (stamp, value)
        return value


class SecretsSnapshot(Mapping[str, str]):
    """The secrets at one moment.

    It lists those that could be read, and says what is wrong with another where that one is asked for.

    Printing shows names only.

    Args:
        unreadable: What is wrong with the others, by name.
    """

    def __init__(self, found: Mapping[str, str], unreadable: Mapping[str, SettingsError]) -> None:
        self._found, self._unreadable = found, unreadable

    def __getitem__(self, name: str) -> str:
        """The secret.

        Raises:
            SettingsError: Its file cannot be read.
            KeyError: There is none of that name.
        """
        if name in self._unreadable:
            raise SettingsError(str(self._unreadable[name]))  # a new one: each keeps where it was raised
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._found or name in self._unreadable

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretsSnapshot) and self._told() == other._told()

    __hash__ = None  # type: ignore[assignment]

    def _told(self) -> tuple[Mapping[str, str], dict[str, str]]:
        return self._found, {name: str(error) for name, error in self._unreadable.items()}

    def __repr__(self) -> str:
        return f"Snapshot({', '.join(sorted(self._found))})"
