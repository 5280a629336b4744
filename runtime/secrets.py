"""Secrets for webhooks, ``{{ secrets.NAME }}``, from the environment and a folder of files."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.errors import SettingsError
from runtime.settings import Settings
from runtime.watched_file import FileStamp, stamp_of

PREFIX: Final = "SCENARIO_SECRET_"  # a variable ``SCENARIO_SECRET_NAME`` holds the secret NAME

MAX_BYTES: Final = 64 * 1024
"""Maximum size of a secret's file. A larger file is a mistake."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Secrets:
    """The secrets, which follow their files.

    A file ``NAME`` in the folder overrides the variable ``SCENARIO_SECRET_NAME``, since it can change while the process
    runs. One newline at its end is not part of the secret. Files whose names a template cannot write (``.gitkeep``,
    ``a.pem``, the ``..data`` of a Kubernetes volume) are ignored.

    A snapshot is cached for `every` second.
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
        self._read: dict[str, tuple[FileStamp, str]] = {}
        self._every, self._clock = every, clock
        self._latest: SecretsSnapshot | None = None
        self._looked = 0.0

    def snapshot(self) -> SecretsSnapshot:
        """Return the secrets, at most a second old; the same object while nothing changes.

        An unreadable file fails only accesses to its secret. An empty or removed file counts as unreadable: it is being
        replaced, or the operator made a mistake. A read costs a `stat` for each file, and there are many deliveries per
        second. Raise SettingsError if the folder cannot be read.
        """
        now, latest = self._clock(), self._latest
        if latest is None or now - self._looked >= self._every:
            found = self._look()
            if latest is None or found != latest:
                self._latest = latest = found
            self._looked = now
        return latest

    def _look(self) -> SecretsSnapshot:
        found, unreadable = self._variables(), dict[str, str]()
        files = self._files()
        for name in self._read.keys() - files.keys() - found.keys():
            unreadable[name] = f"the file of the secret {name} is gone: put it back"
        for name, path in files.items():
            try:
                value = self._value(name, path)
            except SettingsError as error:
                found.pop(name, None)
                unreadable[name] = str(error)
            else:
                if value:
                    found[name] = value
                elif value is not None:
                    found.pop(name, None)
                    unreadable[name] = f"the file of the secret {name} is empty: write the secret into it"
        return SecretsSnapshot(found, unreadable)

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
        """Return the secret in a file, or None if it is missing or a folder."""
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return None
            stamp = stamp_of(status)
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


@dataclass(repr=False)
class SecretsSnapshot(Mapping[str, str]):
    """The secrets at one time. It lists readable ones; access to an unreadable one raises its error."""

    found: Mapping[str, str]
    unreadable: Mapping[str, str]  # the error messages, by the name of the secret

    def __getitem__(self, name: str) -> str:
        if name in self.unreadable:
            raise SettingsError(self.unreadable[name])
        return self.found[name]

    def __contains__(self, name: object) -> bool:
        return name in self.found or name in self.unreadable

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)
