"""What requests with an Idempotency-Key were answered, and which of them are being carried out.

One statement takes a request up, so that of several at once one does: it inserts the row, or takes over one that is
forgotten by now, or whose process was killed. Who was only slow, and comes to its end after another has taken over,
changes nothing any more: `started_at` tells the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from sqlalchemy import Executable, and_, bindparam, case, delete, or_, select, tuple_, update

from runtime.store.columns import Instant
from runtime.store.database import Inserting, Queries
from runtime.store.schema import api_answers

KEPT: Final = timedelta(hours=24)
"""How long an answer is kept."""
LEASE: Final = timedelta(seconds=60)
"""How long a request may be under way before its process is taken for killed: longer than any is answered in."""
_TOGETHER: Final = 500  # rows that are forgotten at a time
_FREE: Final = datetime(1970, 1, 1, tzinfo=UTC)

_table = api_answers.c


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that whoever asked has to carry out.

    Attributes:
        key_id: The API key's id.
        idempotency_key: A digest of its caller's key of the request.
        requested_at: When it was first asked: the same where an earlier try was given up.
        started_at: When it was taken up now.
    """

    key_id: str
    idempotency_key: str
    requested_at: datetime
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered before.

    Attributes:
        digest: Of the request.
        status: HTTP's; None while it is under way.
        headers: The answer's, as far as they are kept.
        body: The answer's.
    """

    digest: str
    status: int | None
    headers: Mapping[str, str] | None
    body: str | None


class ApiAnswers(Queries):
    """The table of answers."""

    async def take_request(
        self, key_id: str, idempotency_key: str, digest: str, now: datetime, *, lease: timedelta = LEASE
    ) -> Taken | Answered:
        """Take a request up, or say what became of it.

        Args:
            key_id: The API key's id.
            idempotency_key: A digest of its caller's key of the request.
            digest: Of the request.
            now: When.
            lease: See `LEASE`.
        """
        row = {"key_id": key_id, "idempotency_key": idempotency_key, "digest": digest, "now": now}
        bounds = {"forgotten": now - KEPT, "killed": now - lease}
        one = {"key_id": key_id, "idempotency_key": idempotency_key}
        while True:
            if taken := await self._database.write(_take(self._database.insert), row | bounds):
                return Taken(key_id, idempotency_key, taken[0]["requested_at"], now)
            if found := await self._database.read(_ONE, one):
                return Answered(**found[0])
            # It was forgotten in between: try again.

    async def keep_answer(self, taken: Taken, status: int, headers: Mapping[str, str], body: str) -> None:
        """Keep what a request was answered; nothing happens where another has taken it over."""
        await self._database.write(_KEEP, _mine(taken) | {"status": status, "headers": dict(headers), "body": body})

    async def give_up_request(self, taken: Taken) -> None:
        """Let whoever asks next carry a request out, at once."""
        await self._database.write(_GIVE_UP, _mine(taken))

    async def prune_answers(self, now: datetime) -> bool:
        """Forget some answers that are old enough. Returns whether there may be more of them."""
        gone = await self._database.write(_PRUNE, {"before": now - KEPT, "most": _TOGETHER})
        return len(gone) == _TOGETHER


def _mine(taken: Taken) -> dict[str, object]:
    return {"of_key": taken.key_id, "named": taken.idempotency_key, "mine": taken.started_at}


_ONE = select(_table.digest, _table.status, _table.headers, _table.body).where(
    _table.key_id == bindparam("key_id"), _table.idempotency_key == bindparam("idempotency_key")
)
_UPDATE = update(api_answers).where(
    _table.key_id == bindparam("of_key"),
    _table.idempotency_key == bindparam("named"),
    _table.started_at == bindparam("mine"),
    _table.status.is_(None),
)
_KEEP = _UPDATE.values(status=bindparam("status"), headers=bindparam("headers"), body=bindparam("body"))
_GIVE_UP = _UPDATE.values(started_at=_FREE)
_OLD = (
    select(_table.key_id, _table.idempotency_key)
    .where(_table.requested_at < bindparam("before"))
    .order_by(_table.requested_at)
    .limit(bindparam("most"))
)
_PRUNE = (
    delete(api_answers).where(tuple_(_table.key_id, _table.idempotency_key).in_(_OLD)).returning(_table.idempotency_key)
)


@cache
def _take(insert: Inserting) -> Executable:
    now, digest = bindparam("now", type_=Instant), bindparam("digest", type_=_table.digest.type)
    forgotten = _table.requested_at < bindparam("forgotten", type_=Instant)
    killed = and_(
        _table.status.is_(None), _table.started_at < bindparam("killed", type_=Instant), _table.digest == digest
    )
    statement = insert(api_answers).values(
        key_id=bindparam("key_id"),
        idempotency_key=bindparam("idempotency_key"),
        digest=digest,
        requested_at=now,
        started_at=now,
    )
    anew = {
        "digest": statement.excluded.digest,
        "requested_at": case((forgotten, statement.excluded.requested_at), else_=_table.requested_at),
        "started_at": statement.excluded.started_at,
        "status": None,
        "headers": None,
        "body": None,
    }
    return statement.on_conflict_do_update(
        index_elements=[_table.key_id, _table.idempotency_key], set_=anew, where=or_(forgotten, killed)
    ).returning(_table.requested_at)
