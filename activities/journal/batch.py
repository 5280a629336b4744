"""The journal's form: batches of entries, each a line of JSON that can be read without the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A change. It identifies contacts and addresses by HMACs only."""

    number: int  # its place in the journal, from 1
    id: str
    kind: str  # see `runtime.store.journal.OutboxEntry`
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalBatch:
    """Entries that were written together, and the keys that their HMACs were made with."""

    at: datetime
    last: int  # number of the last entry
    entries: Sequence[JournalEntry] = ()
    store: str = ""
    """Id of the key of contacts' HMACs, which identifies the store; empty before there is one."""
    index_key: str = ""
    """That key, wrapped; empty if no key could wrap it."""
    suppression_key: str = ""
    """Name of the key of addresses' HMACs; empty if none is configured."""
    format: int = FORMAT

    @property
    def text(self) -> str:
        return _BATCH.dump_json(self).decode()


_BATCH: Final = TypeAdapter(JournalBatch)


def read_batch(text: str | bytes) -> JournalBatch | None:
    """Return the batch in a line, or None if the line is damaged: its writer was killed, and wrote it again."""
    try:
        return _BATCH.validate_json(text)
    except ValidationError:
        return None
