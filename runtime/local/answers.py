"""What the local receiver answers with: it is told by a file, which holds until somebody writes another one."""

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
"""The file in the folder of the state."""


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """How requests to one place are answered.

    Attributes:
        first: Statuses that each delivery (each ``webhook-id``) gets in turn, one a request.
        delay: Seconds until the answer.
        refuse: No connection is accepted, as if nothing listened there.
        told: When that was said, in nanoseconds since 1970: what is said again begins again.
    """

    first: tuple[int, ...] = ()
    then: int = 200
    delay: float = 0.0
    refuse: bool = False
    told: int = 0

    @property
    def words(self) -> str:
        """That as people say it."""
        if self.refuse:
            return "connections are refused"
        said = str(self.then)
        if self.first:
            turns = ", then ".join(str(status) for status in dict.fromkeys(self.first))
            said = f"{turns} to the first {len(self.first)} attempts of each message, then {said}"
        return f"{said}, each after {self.delay:g} s" if self.delay else said


_FILE: Final = TypeAdapter(dict[str, ReceiverAnswer])


class ReceiverAnswers:
    """What is told at present, by place.

    A place is a destination's name or a host, with as much of the path behind it as is meant, or a part of a path:
    ``wax``, ``hooks.example.com``, ``hooks.example.com/wax``. Of several that a request fits, the longest counts.

    Args:
        path: The file; looked at for each request. One that cannot be read leaves things as they are.
    """

    def __init__(self, path: Path | None = None, defaults: Mapping[str, ReceiverAnswer] | None = None) -> None:
        self._path = path
        self._defaults = dict(defaults or {})
        self._read: dict[str, ReceiverAnswer] = {}
        self._stamp: tuple[int, int] | None = None

    def find(self, path: str) -> tuple[str, ReceiverAnswer]:
        """What a request to a path of the receiver gets, and for which place that was told; for none, 200."""
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
    """Whether a request to a path of the receiver goes to a place: whole parts of the path, one after the other."""
    return not place.strip("/") or f"/{place.strip('/')}/" in f"{path}/"


def read(path: Path) -> dict[str, ReceiverAnswer] | None:
    """What a file tells, by place; None where it cannot be read."""
    try:
        return _FILE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_answers(state: Path) -> dict[str, ReceiverAnswer]:
    """What the receiver of a state folder is told, by place.

    Raises:
        LocalError: The file cannot be read.
    """
    path = state / NAME
    if not path.exists():
        return {}
    if (found := read(path)) is None:
        raise LocalError(f"{path} cannot be read: delete it, and tell the receiver again")
    return found


def set_answer(state: Path, place: str | None, answer: ReceiverAnswer | None) -> None:
    """Tells the receiver of a state folder what a place gets from now on.

    Args:
        state: The folder; made when it is not there.
        place: See `ReceiverAnswers`; None for all that is told.
        answer: None for what it gets when nothing is told.

    Raises:
        LocalError: The file cannot be read or written.
    """
    make_folder(state)
    answers = read_answers(state) if place else {}
    if place and answer:
        answers[place] = replace(answer, told=time.time_ns())
    elif place:
        answers.pop(place, None)
    write_private(state / NAME, _FILE.dump_json(answers, indent=2))
