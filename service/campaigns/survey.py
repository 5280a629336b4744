"""A survey of a file of contacts: which lines can enter a scenario, which cannot, and which are there twice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

from pydantic import Field

from activities.background import LINES
from authoring.errors import BadInput
from scenario.entry.admission import EntryRefused, check_trigger, entry_data
from scenario.entry.entry import journey_id, parse_entry, plain_entry
from scenario.entry.objects import ALIASES, DATA, Contact
from scenario.entry.values import PlatformDates
from scenario.errors import EntryError
from scenario.model.scenario import Scenario
from scenario.plan.plan import GearName
from scenario.time import at_local, zone_of
from service.campaigns.audience_file import AudienceFile, AudienceLine
from service.view import View

MAX_INVALID: Final = 0.01  # share of invalid lines from which a campaign does not start without consent
_LISTED: Final = 100  # maximum number of invalid lines that are listed
_ACTIONS: Final = 5.5  # Temporal actions of a journey with one message, on average. Temporal Cloud bills them.
_BYTES: Final = 21_800  # bytes that Temporal stores of a waiting journey
_CHUNK_ACTIONS: Final = 1.5
_CHUNK_BYTES: Final = 2_500  # the same of a chunk of a campaign in the gear blast

_CONTACT: Final = ("contact", "custom")
_CLOSE: Final = 0.75


class InvalidLine(View):
    """A line that cannot enter."""

    line: int
    """Its number, from 1."""
    problem: str
    """Why, without the contact's data."""


class Survey(View):
    """The result of reading a file of contacts for a scenario."""

    form: str
    """The file's form, such as ``CSV in utf-8, separated by semicolons``."""
    columns: tuple[str, ...]
    """The columns of a table."""
    unknown_columns: tuple[str, ...]
    """Columns that name no known field of a contact, such as a misspelt one."""
    digest: str
    """SHA-256 of the file's bytes, in hex."""
    lines: int
    """Lines that are not blank, without the header."""
    entries: int
    """Lines that can enter."""
    invalid: int
    """Lines that cannot."""
    invalid_lines: tuple[InvalidLine, ...]
    """The first of these."""
    duplicates: int
    """Lines that repeat the contact of an earlier line. They are skipped."""
    time_zones: Mapping[str, int] = Field(default_factory=dict)
    """Number of entries by the contact's time zone, the most frequent first; ``""``: the scenario's."""

    @property
    def is_acceptable(self) -> bool:
        """True if few enough lines are invalid to start without consent."""
        return self.entries > 0 and self.invalid <= self.lines * MAX_INVALID


@dataclass(frozen=True, slots=True)
class AudienceEntry:
    """The entry of a line, with the workflow id of its journey, and its own time if each contact has one.

    A line that cannot enter has an outcome instead, which is ``invalid`` or ``duplicate``.
    """

    line: int
    contact: str = ""
    entry: dict[str, Any] | None = None
    journey: str | None = None
    due: datetime | None = None
    outcome: str | None = None
    reason: str | None = None


@dataclass
class Surveyor:
    """Reads the entries of a file, and counts its lines.

    Args:
        version: The version that entries name, or None for the newest.
        campaign: The campaign's name, which is the key of its journeys: a contact is processed once.
        local: Date and time of the start by each contact's own clock, or None.
    """

    scenario: Scenario
    version: int | None
    campaign: str
    platform: PlatformDates
    local: datetime | None = None
    lines: int = 0  # number of lines read so far
    _entries: int = 0
    _duplicates: int = 0
    _invalid: int = 0
    _listed: list[InvalidLine] = field(default_factory=list[InvalidLine])
    _zones: Counter[str] = field(default_factory=Counter[str])
    _seen: set[int] = field(default_factory=set[int])
    _paths: Mapping[str, tuple[str, ...]] | None = None

    def entries(self, file: AudienceFile) -> Iterator[AudienceEntry]:
        """Yield the entries of the lines that can enter, without duplicates. Raise BadInput for an unusable file."""
        return (one for one in self.read(file) if one.outcome is None)

    def read(self, file: AudienceFile) -> Iterator[AudienceEntry]:
        """Yield all lines. Raise BadInput for an unusable file."""
        now = datetime.now(UTC)
        for line in file.lines():
            self.lines += 1
            self._learn(file)
            problem, entry = line.problem, line.data
            if entry is not None:
                try:
                    found = self._entry(line, entry, now)
                except (EntryError, EntryRefused) as error:
                    problem = str(error)
                else:
                    self._entries += found.outcome is None
                    yield found
                    continue
            self._invalid += 1
            yield AudienceEntry(line.number, outcome="invalid", reason=problem)
            if len(self._listed) < _LISTED:
                self._listed.append(InvalidLine(line=line.number, problem=problem))
        self._learn(file)  # of a table without lines

    def _learn(self, file: AudienceFile) -> None:
        if self._paths is None and file.form.columns:
            self._paths = self._read_header(file.form.columns)

    def result(self, file: AudienceFile) -> Survey:
        return Survey(
            form=str(file.form),
            columns=file.form.columns,
            unknown_columns=tuple(_unknown(file.form.columns)),
            digest=file.digest,
            lines=self.lines,
            entries=self._entries,
            invalid=self._invalid,
            invalid_lines=tuple(self._listed),
            duplicates=self._duplicates,
            time_zones=dict(self._zones.most_common()),
        )

    def _entry(self, line: AudienceLine, data: Mapping[str, Any], now: datetime) -> AudienceEntry:
        """Return the entry of a line, or a duplicate. Raise EntryError or EntryRefused for an invalid one."""
        entry = plain_entry(self._arranged(data) if self._paths is not None else self._completed(data))
        parsed = parse_entry(entry)
        check_trigger(parsed, self.scenario)
        known = entry_data(parsed, self.scenario, self.version or 1, self.platform, now)
        mark = int.from_bytes(hashlib.blake2b(parsed.contact_id.encode(), digest_size=16).digest())
        if mark in self._seen:
            self._duplicates += 1
            return AudienceEntry(line.number, outcome="duplicate")
        self._seen.add(mark)
        own = known["contact"].get("timezone")
        self._zones[str(own or "")] += 1
        due = self.local and at_local(self.local.date(), self.local.time(), zone_of(own, self.scenario.timezone))
        return AudienceEntry(line.number, parsed.contact_id, entry, journey_id(parsed, parsed.key), due)

    def _completed(self, data: Mapping[str, Any]) -> dict[str, Any]:
        name = self.scenario.scenario
        given = data.get("scenario", name)
        if not isinstance(given, str) or given.partition("@")[0] != name:
            raise EntryError(f"the line names another scenario than {name}", at=["scenario"])
        if "key" in data:
            raise EntryError("the line has a key, which is the campaign's name in all lines: remove it", at=["key"])
        return {"trigger": {"type": self.scenario.trigger}, **data, **self._same}

    @property
    def _same(self) -> dict[str, str]:
        version = f"@{self.version}" if self.version else ""
        return {"scenario": self.scenario.scenario + version, "key": self.campaign}

    def _arranged(self, row: Mapping[str, Any]) -> dict[str, Any]:
        entry: dict[str, Any] = {"contact": {}, "trigger": {"type": self.scenario.trigger}, **self._same}
        for column, value in row.items():
            place = entry
            *path, last = (self._paths or {})[column]
            for part in path:
                place = place.setdefault(part, {})
            place[last] = value
        return entry

    def _read_header(self, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the place of each column's values in an entry. Raise BadInput if one has none, or no id."""
        trigger = self.scenario.trigger
        roots = tuple(filter(None, (DATA[trigger][0], ALIASES.get(trigger)))) if trigger in DATA else ()
        paths: dict[str, tuple[str, ...]] = {}
        for column in columns:
            first, *rest = column.split(".")
            if not rest or not all((first, *rest)) or first not in (*_CONTACT, "trigger", *roots):
                raise BadInput(_no_place(column, roots))
            match first:
                case "contact" | "trigger":
                    paths[column] = (first, *rest)
                case "custom":
                    paths[column] = ("contact", "custom", *rest)
                case _:
                    paths[column] = ("trigger", first, *rest)
        for column, path in paths.items():
            inside = next(
                (other for other, longer in paths.items() if longer[: len(path)] == path and other != column), None
            )
            if inside is not None:
                raise BadInput(f"the columns '{column}' and '{inside}' exclude each other: keep one")
        if ("contact", "id") not in paths.values():
            raise BadInput("no column is called contact.id: each line needs the contact's id")
        return paths


def _no_place(column: str, roots: Sequence[str]) -> str:
    starts = [f"{name}.…" for name in (*_CONTACT, *roots)]
    meant = column if column in Contact.model_fields else None
    meant = meant or next(iter(get_close_matches(column, Contact.model_fields, 1, _CLOSE)), None)
    hint = f"did you mean 'contact.{meant}'?" if meant else f"write {' or '.join(starts)}"
    return f"the column '{column[:80]}' has no place in an entry: {hint}"


def _unknown(columns: Sequence[str]) -> Iterator[str]:
    for column in columns:
        first, *rest = column.split(".")
        if first == "contact" and rest[0] not in (*Contact.model_fields, "custom"):
            yield column


class Estimate(View):
    """The estimated cost of a campaign."""

    rate: float
    """Lines a second: its rate or, in the gear `blast`, at most 80 % of its destination's."""
    seconds: float
    """Time from its start to its end, at this rate."""
    actions: int
    """Temporal actions, with one message for each line. In the gear `blast`, without lines that become journeys."""
    bytes: int
    """Bytes that Temporal stores, in the gear `enter` while all journeys wait."""

    @classmethod
    def of(cls, gear: GearName, entries: int, rate: float) -> Estimate:
        number, actions, size = entries, _ACTIONS, _BYTES
        if gear == "blast":
            number, actions, size = entries // LINES + 1, _CHUNK_ACTIONS, _CHUNK_BYTES
        return cls(rate=rate, seconds=entries / rate, actions=round(number * actions), bytes=number * size)
