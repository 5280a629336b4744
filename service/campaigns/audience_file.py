"""Files of contacts: JSON lines, CSV, Excel and Parquet, the first two also compressed by gzip.

A file is read once, from its beginning to its end, a line at a time. Encoding and delimiter of CSV are detected, and
stated in `AudienceFile.form`. The files of campaigns are uploaded first (`service.audiences`), then read in a
child process (`service.campaigns.reading`).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TextIO

from typing_extensions import override

from authoring.errors import BadInput, unreadable
from scenario.source.decoding import NotJson, TooDeep, read_json
from scenario.type_guards import is_mapping

MAX_LINE: Final = 1024 * 1024  # maximum characters of a line
MAX_LINES: Final = 20_000_000  # maximum number of lines, with blank ones: a small compressed file may have any number
MAX_COLUMNS: Final = 1000
_SAMPLE: Final = 64 * 1024  # bytes that are read to detect the form
_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WESTERN: Final = "cp1252"
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_PARQUET: Final = b"PAR1"
_KINDS: Final = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".txt": "csv"}
_EXTRAS: Final = {"xlsx": ("python_calamine", "Excel"), "parquet": ("pyarrow.parquet", "Parquet")}
"""By kind: the module that reads it, and its name for people."""


class AudienceForm(NamedTuple):
    """The form of a file."""

    kind: str  # ``jsonl``, ``csv``, ``xlsx`` or ``parquet``
    compressed: bool = False
    encoding: str = ""  # of text, as Python names it
    delimiter: str = ""  # of CSV
    columns: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        """Return such as ``CSV in utf-8, separated by semicolons, compressed by gzip``."""
        name = {"jsonl": "JSON lines", "csv": "CSV"}.get(self.kind) or _EXTRAS[self.kind][1]
        parts = [f"{name} in {self.encoding.removesuffix('-sig')}" if self.encoding else name]
        parts += [f"separated by {_DELIMITERS[self.delimiter]}"] if self.delimiter else []
        parts += ["compressed by gzip"] if self.compressed else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class AudienceLine:
    """A line of a file that is not blank. It has data or a problem."""

    number: int  # from 1; the header of a table is line 1
    data: dict[str, Any] | None = None  # an object of JSON, or values by column without the empty ones
    problem: str = ""


class AudienceFile:
    """An open file of contacts. Read `lines` once to the end; then `digest` is known."""

    def __init__(self, name: str, file: IO[bytes], encoding: str | None = None) -> None:
        self._path, self._encoding, self._hash = name, encoding, hashlib.sha256()
        self._raw = io.BufferedReader(_Hashed(file, self._hash), _SAMPLE)
        self.form, self._content = self._detect()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def lines(self) -> Iterator[AudienceLine]:
        """Yield the lines. Raise BadInput if the file cannot be read to its end, or its header cannot be used."""
        try:
            match self.form.kind:
                case "jsonl":
                    yield from self._json_lines()
                case "csv":
                    yield from self._rows(self._csv_rows())
                case "xlsx":
                    yield from self._rows(self._sheet_rows())
                case _:
                    yield from self._parquet_rows()
            while self._raw.read(_SAMPLE):  # the rest of the file, so that its digest is complete
                pass
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise BadInput(f"{self._path} is damaged: it cannot be decompressed to its end") from None
        except UnicodeError:
            raise BadInput(f"{self._path} is not {self.form.encoding}: name its encoding by --encoding") from None
        except OSError as error:
            raise unreadable(self._path, error) from None

    def _detect(self) -> tuple[AudienceForm, IO[bytes]]:
        """Return the form, and the content without compression."""
        content: IO[bytes] = self._raw
        compressed = self._raw.peek(2).startswith(_GZIP)
        if compressed:
            content = io.BufferedReader(gzip.GzipFile(fileobj=self._raw), _SAMPLE)  # type: ignore[arg-type]
        try:
            sample = content.peek(_SAMPLE)  # type: ignore[attr-defined]
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise BadInput(f"{self._path} is damaged: it cannot be decompressed") from None
        for start, kind in ((_ZIP, "xlsx"), (_PARQUET, "parquet")):
            if sample.startswith(start):
                if compressed:
                    raise BadInput(f"{self._path} is a compressed {_EXTRAS[kind][1]} file: decompress it first")
                return AudienceForm(kind), content
        if not sample.strip():
            raise BadInput(f"{self._path} is empty")
        name = self._path.lower().removesuffix(".gz")
        kind = _KINDS.get(Path(name).suffix) or ("jsonl" if sample.lstrip()[:1] == b"{" else "csv")
        if kind == "jsonl":
            return AudienceForm(kind, compressed, "utf-8-sig"), content
        encoding = self._encoding or _encoding_of(sample)
        if encoding is None:
            raise BadInput(f"{self._path} is neither UTF-8 nor {_WESTERN}: name its encoding by --encoding")
        try:
            text = sample.decode(encoding, "replace")
        except (LookupError, ValueError):  # also codecs that are no encodings of text, such as base64
            raise BadInput(f"there is no encoding {encoding[:40]!r}: write such as cp1250 or iso-8859-2") from None
        header = text.lstrip("\ufeff\r\n").partition("\n")[0]
        return AudienceForm(kind, compressed, encoding, max(_DELIMITERS, key=header.count)), content

    # ---- forms

    def _json_lines(self) -> Iterator[AudienceLine]:
        number = 0
        while text := self._content.readline(MAX_LINE + 1):
            number = _counted(number + 1)
            if len(text) > MAX_LINE and not text.endswith(b"\n"):
                yield AudienceLine(number, problem=f"is longer than {MAX_LINE:,} bytes")
                while text and not text.endswith(b"\n"):
                    text = self._content.readline(MAX_LINE)
            elif text.strip():
                yield _json_line(number, text)

    def _csv_rows(self) -> Iterator[tuple[int, Sequence[Any]]]:
        # Bytes that the encoding does not have are marked, and make their line invalid.
        self._text = io.TextIOWrapper(
            self._content, self.form.encoding, "surrogateescape", newline=""
        )  # closes if freed
        csv.field_size_limit(MAX_LINE)
        rows = csv.reader(_short_lines(self._text), delimiter=self.form.delimiter, strict=True)
        while True:
            number = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                for line in range(number, rows.line_num + 1):  # all that an open quotation mark has swallowed
                    yield line, (error,)
                continue
            yield number, row

    def _sheet_rows(self) -> Iterator[tuple[int, Sequence[Any]]]:
        calamine = self._extra("xlsx")
        try:
            sheet = calamine.CalamineWorkbook.from_filelike(io.BytesIO(self._content.read())).get_sheet_by_index(0)
        except calamine.CalamineError:
            raise BadInput(f"{self._path} is no Excel file, or a damaged one") from None
        for number, row in enumerate(sheet.iter_rows(), 1):
            yield number, [_cell(value) for value in row]

    def _parquet_rows(self) -> Iterator[AudienceLine]:
        parquet = self._extra("parquet")
        try:
            file = parquet.ParquetFile(io.BytesIO(self._content.read()))
            header = self._header([str(name) for name in file.schema_arrow.names])
            number = 0
            for batch in file.iter_batches(1000):
                for row in batch.to_pylist():
                    number = _counted(number + 1)
                    yield AudienceLine(
                        number, {name: _cell(row[name]) for name in header if row[name] not in (None, "")}
                    )
        except (ValueError, OSError) as error:  # pyarrow's errors are kinds of these
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"{self._path} is no Parquet file, or a damaged one") from None

    def _extra(self, kind: str) -> Any:
        module, name = _EXTRAS[kind]
        try:
            return import_module(module)
        except ImportError:
            raise BadInput(
                f"{self._path} is {name}, which this installation cannot read: pip install 'scenario-runner[{kind}]', "
                "or save it as CSV"
            ) from None

    def _rows(self, rows: Iterable[tuple[int, Sequence[Any]]]) -> Iterator[AudienceLine]:
        header: tuple[str, ...] | None = None
        for number, row in rows:
            _counted(number)
            if row and isinstance(row[0], csv.Error):
                problem = f"has a misplaced quotation mark or is too long ({row[0]})"
                if header is None:
                    raise BadInput(f"the header of {self._path} {problem}")
                yield AudienceLine(number, problem=problem)
            elif not any(value not in (None, "") for value in row):
                continue
            elif header is None:
                header = self._header([str(value).strip() for value in row])
            else:
                yield _table_line(number, header, row, self.form.encoding)
        if header is None:
            raise BadInput(f"{self._path} has no header: its first line names the columns, such as contact.id")

    def _header(self, names: list[str]) -> tuple[str, ...]:
        while names and not names[-1]:
            names.pop()
        if len(names) > MAX_COLUMNS:
            raise BadInput(f"{self._path} has more than {MAX_COLUMNS:,} columns")
        twice = next((name for name in names if names.count(name) > 1), None)
        if "" in names:
            raise BadInput(f"column {names.index('') + 1} of {self._path} has no name in the header")
        if twice is not None:
            raise BadInput(f"{self._path} has two columns '{twice[:80]}'")
        self.form = self.form._replace(columns=tuple(names))
        return self.form.columns


def _short_lines(text: TextIO) -> Iterator[str]:
    """Yield lines of CSV: a small compressed file may have one that does not fit into memory."""
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE and not line.endswith(("\n", "\r")):
            while line and not line.endswith(("\n", "\r")):
                line = text.readline(MAX_LINE)
            line = "x" * (MAX_LINE + 1)  # which the reader of CSV refuses, and counts
        yield line


def _counted(number: int) -> int:
    if number > MAX_LINES:
        raise BadInput(f"the file has more than {MAX_LINES:,} lines: split it into several files")
    return number


@contextmanager
def open_unchanged(path: Path) -> Generator[IO[bytes]]:
    """Open a file. Raise BadInput if it cannot be read, or changes meanwhile."""
    try:
        with path.open("rb", buffering=0) as file:
            before = _state(file)
            yield file
            if _state(file) != before:
                raise BadInput(f"{path} changed while it was read: use a copy that no program writes to")
    except OSError as error:
        raise unreadable(str(path), error) from None


def _state(file: IO[bytes]) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


@contextmanager
def open_audience(path: Path, encoding: str | None = None) -> Generator[AudienceFile]:
    """Open a file of contacts on this machine. The encoding of CSV is detected unless it is given."""
    with open_unchanged(path) as file:
        yield AudienceFile(str(path), file, encoding)


class _Hashed(io.RawIOBase):
    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)


def _encoding_of(sample: bytes) -> str | None:
    """Return the encoding of text: by its mark, else UTF-8, else that of Western spreadsheets; None if it is none.

    A guess by statistics reads names wrong: single-byte encodings differ in a few letters only.
    """
    for mark, name in _MARKS.items():
        if sample.startswith(mark):
            return name
    for name in ("utf-8", _WESTERN):
        try:
            sample[: sample.rfind(b"\n") + 1 or None].decode(name)
        except UnicodeDecodeError:
            continue
        return name
    return None


def _json_line(number: int, text: bytes) -> AudienceLine:
    try:
        value: Any = read_json(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return AudienceLine(number, problem="is not UTF-8")
    except TooDeep:
        return AudienceLine(number, problem="is nested too deeply")
    except NotJson as error:
        return AudienceLine(number, problem=f"is not JSON (column {error.column}): {error.reason}")
    return AudienceLine(number, dict(value)) if is_mapping(value) else AudienceLine(number, problem="is no JSON object")


def _table_line(number: int, header: Sequence[str], row: Sequence[Any], encoding: str) -> AudienceLine:
    values = [*row]
    while len(values) > len(header) and values[-1] in (None, ""):
        values.pop()
    if len(values) > len(header):
        return AudienceLine(number, problem=f"has {len(values)} values, and the header has {len(header)}")
    if any(isinstance(value, str) and not value.isascii() and _is_marked(value) for value in values):
        return AudienceLine(number, problem=f"has a byte that {encoding.removesuffix('-sig')} does not have")
    return AudienceLine(
        number, {name: value for name, value in zip(header, values, strict=False) if value not in (None, "")}
    )


def _is_marked(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)


def _cell(value: Any) -> Any:
    """Return a cell's value as JSON has it. Whole numbers, which a spreadsheet keeps as decimal ones, stay whole."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case date() | time():
            return value.isoformat()
        case _:
            return value
