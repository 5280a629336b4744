"""The configured responses of the local receiver, in a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from runtime.errors import LocalError
from runtime.local.folder import make_folder, write_private

NAME: Final = "receiver.json"
"""Name of the file in the state folder."""


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """The responses to requests for one place.

    Attributes:
        first: Statuses for the first requests of each delivery (each ``webhook-id``), in order.
        delay: Seconds until the response.
        told: Time of the configuration, in nanoseconds since 1970. A repeated one restarts `first`.
    """

    first: tuple[int, ...] = ()
    then: int = 200
    delay: float = 0.0
    refuse: bool = False
    told: int = 0

    @property
    def words(self) -> str:
        """A description for people."""
        if self.refuse:
            return "connections are refused"
        said = str(self.then)
        if self.first:
            turns = ", then ".join(str(status) for status in dict.fromkeys(self.first))
            said = f"{turns} to the first {len(self.first)} attempts of each message, then {said}"
        return f"{said}, each after {self.delay:g} s" if self.delay else said


_FILE: Final = TypeAdapter(dict[str, ReceiverAnswer])


class ReceiverAnswers:
    """The configured responses, by place.

    A place is a destination's name or a host, optionally with a path, or a part of a path: ``wax``,
    ``hooks.example.com``, ``hooks.example.com/wax``. The longest match wins.

    Args:
        path: The file, checked for each request. If it is unreadable, the previous content stays in use.
    """

    def __init__(self, path: Path | None = None, defaults: Mapping[str, ReceiverAnswer] | None = None) -> None:
        self._path = path
        self._defaults = dict(defaults or {})
        self._read: dict[str, ReceiverAnswer] = {}
        self._stamp: tuple[int, int] | None = None

    def find(self, path: str) -> tuple[str, ReceiverAnswer]:
        """Return the matching place and its response, or "" and status 200."""
        self._look()
        answers = self._defaults | self._read
        place = max((name for name in answers if covers(name, path)), key=len, default=None)
        return ("", ReceiverAnswer()) if place is None else (place, answers[place])

    def _look(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
        except OSError:
            stamp = None
        else:
            stamp = (status.st_ino, status.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp = stamp
            found = read(self._path) if stamp else {}
            self._read = self._read if found is None else found


def covers(place: str, path: str) -> bool:
    return not place.strip("/") or f"/{place.strip('/')}/" in f"{path}/"


def read(path: Path) -> dict[str, ReceiverAnswer] | None:
    try:
        return _FILE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_answers(state: Path) -> dict[str, ReceiverAnswer]:
    """Return the configured responses in a state folder, by place."""
    path = state / NAME
    if not path.exists():
        return {}
    if (found := read(path)) is None:
        raise LocalError(f"{path} cannot be read: delete it, and tell the receiver again")
    return found


def set_answer(state: Path, place: str | None, answer: ReceiverAnswer | None) -> None:
    """Configure the response to a place."""
    make_folder(state)
    answers = read_answers(state) if place else {}
    if place and answer:
        answers[place] = replace(answer, told=time.time_ns())
    elif place:
        answers.pop(place, None)
    write_private(state / NAME, _FILE.dump_json(answers, indent=2))
