"""What requests with an Idempotency-Key were answered, and which of them are being carried out.

One statement takes a request up, so that of several at once one does: it inserts the row, or takes over one that is
forgotten by now, or whose process was killed. Who was only slow, and comes to its end after another has taken over,
changes nothing any more: `started_at` tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from sqlalchemy import Executable, and_, bindparam, case, delete, or_, select, tuple_, update

from runtime.store.api_schema import api_answers
from runtime.store.columns import Instant
from runtime.store.database import Inserting, Queries

KEPT: Final = timedelta(hours=24)
"""How long an answer is kept."""
LEASE: Final = timedelta(seconds=60)
"""How long a request may be under way before its process is taken for killed, unless it renews the request."""
_TOGETHER: Final = 500  # rows that are forgotten at a time
_FREE: Final = datetime(1970, 1, 1, tzinfo=UTC)

_table = api_answers.c


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that whoever asked has to carry out.

    Attributes:
        key_id: The API key's id.
        idempotency_key: A keyed digest of its caller's key of the request.
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
        answer: Its headers and body, sealed.
    """

    digest: str
    status: int | None
    answer: str | None


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

    async def renew_request(self, taken: Taken, now: datetime) -> None:
        """Note that a request is still under way; nothing happens if another has taken it over."""
        await self._database.write(_RENEW, _mine(taken) | {"now": now})

    async def keep_answer(self, taken: Taken, status: int, answer: str) -> None:
        """Keep what a request was answered; nothing happens where another has taken it over."""
        await self._database.write(_KEEP, _mine(taken) | {"status": status, "answer": answer})

    async def give_up_request(self, taken: Taken) -> None:
        """Let whoever asks next carry a request out, at once."""
        await self._database.write(_GIVE_UP, _mine(taken))

    async def prune_answers(self, now: datetime) -> bool:
        """Forget some answers that are old enough. Returns whether there may be more of them."""
        gone = await self._database.write(_PRUNE, {"before": now - KEPT, "most": _TOGETHER})
        return len(gone) == _TOGETHER


def _mine(taken: Taken) -> dict[str, object]:
    return {"of_key": taken.key_id, "named": taken.idempotency_key, "mine": taken.started_at}


_ONE = select(_table.digest, _table.status, _table.answer).where(
    _table.key_id == bindparam("key_id"), _table.idempotency_key == bindparam("idempotency_key")
)
_UPDATE = update(api_answers).where(
    _table.key_id == bindparam("of_key"),
    _table.idempotency_key == bindparam("named"),
    _table.started_at == bindparam("mine"),
    _table.status.is_(None),
)
_RENEW = _UPDATE.values(renewed_at=bindparam("now"))
_KEEP = _UPDATE.values(status=bindparam("status"), answer=bindparam("answer"))
_GIVE_UP = _UPDATE.values(renewed_at=_FREE)
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
        _table.status.is_(None), _table.renewed_at < bindparam("killed", type_=Instant), _table.digest == digest
    )
    statement = insert(api_answers).values(
        key_id=bindparam("key_id"),
        idempotency_key=bindparam("idempotency_key"),
        digest=digest,
        requested_at=now,
        started_at=now,
        renewed_at=now,
    )
    anew = {
        "digest": statement.excluded.digest,
        "requested_at": case((forgotten, statement.excluded.requested_at), else_=_table.requested_at),
        "started_at": statement.excluded.started_at,
        "renewed_at": statement.excluded.renewed_at,
        "status": None,
        "answer": None,
    }
    return statement.on_conflict_do_update(
        index_elements=[_table.key_id, _table.idempotency_key], set_=anew, where=or_(forgotten, killed)
    ).returning(_table.requested_at)
