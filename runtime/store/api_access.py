"""Keys of the HTTP API, sessions of the pages, and answers to requests with an Idempotency-Key.

One statement claims a request: it inserts the row, or takes over one that has expired or lost its process. If that
process was only slow, its answer changes nothing, since `started_at` differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from runtime.api_keys import ApiKey
from runtime.store.database import InsertFactory, Queries, matching, row_of
from runtime.store.schema import UtcDateTime, table_of

api_keys = table_of("api_keys", ApiKey, sa.PrimaryKeyConstraint("id"))
"""Keys of the HTTP API. A revoked key stays, to be distinguished from an unknown one."""

sessions = table_of(
    "sessions",
    # By the SHA-256 of the random token in the cookie, in hex: the store cannot be used to sign in.
    {"digest": "str", "key_id": "str", "ends_at": "datetime"},
    sa.PrimaryKeyConstraint("digest"),
    sa.Index(None, "ends_at"),
)
"""Sessions of people on the pages."""

_answer_columns: Final = {
    "key_id": "str",
    "idempotency_key": "str",  # a digest keyed with the API key: clients' keys may contain a contact's id
    "digest": "str",  # keyed, of the request: the same key for another request is an error
    "requested_at": "datetime",  # of the first request, which identifies this use of the key
    "started_at": "datetime",  # start of the attempt in progress, which identifies its process
    "renewed_at": "datetime",  # if the process was killed, another takes over after the lease
    "status": "int | None",  # null while the request is in progress
    "answer": "str | None",  # headers and body as Base64, sealed with a key derived from the client's API key
}
api_answers = table_of(
    "api_answers",
    _answer_columns,
    sa.PrimaryKeyConstraint("key_id", "idempotency_key"),
    sa.Index(None, "requested_at"),
)
"""Answers to requests with an Idempotency-Key."""

_keys, _answers = api_keys.c, api_answers.c

KEPT: Final = timedelta(hours=24)  # retention of answers
LEASE: Final = timedelta(seconds=60)
"""Time after which a request in progress is taken over, unless its process renews it."""
_TOGETHER: Final = 500  # rows that are forgotten at a time
_FREE: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClaimedRequest:
    """A request that the caller has to carry out."""

    key_id: str
    idempotency_key: str
    requested_at: datetime  # time of the first request, also if an earlier attempt was given up
    started_at: datetime


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An earlier request with the same key."""

    digest: str
    status: int | None
    answer: str | None


class ApiAccess(Queries):
    """The tables of keys, sessions and answers."""

    async def add_key(self, key: ApiKey) -> None:
        await self._database.write(sa.insert(api_keys), row_of(api_keys, key))

    async def key(self, identifier: str) -> ApiKey | None:
        """Return a key, also if it is revoked or expired, or None."""
        return await self._find(ApiKey, api_keys, id=identifier)

    async def keys(self) -> list[ApiKey]:
        """Return all keys, the newest first."""
        return await self._all(ApiKey, sa.select(api_keys).order_by(_keys.created_at.desc(), _keys.id))

    async def revoke_key(self, identifier: str, now: datetime) -> bool:
        """Revoke a key. Return False if it is missing or already revoked."""
        return await self._change(api_keys, _keys.id == identifier, _keys.revoked_at.is_(None), revoked_at=now)

    async def begin_session(self, digest: str, key_id: str, now: datetime, ends_at: datetime) -> None:
        """Store a session, and delete expired ones; `digest` is the SHA-256 of its token, in hex."""
        await self._delete(sessions, sessions.c.ends_at <= now)
        await self._database.write(sa.insert(sessions), {"digest": digest, "key_id": key_id, "ends_at": ends_at})

    async def key_of_session(self, digest: str, now: datetime) -> str | None:
        """Return the id of the API key that began a session, or None if the session is unknown or expired."""
        return await self._value(_SESSION_KEY, {"digest": digest, "now": now})

    async def end_session(self, digest: str) -> None:
        """End a session. Idempotent."""
        await self._delete(sessions, sessions.c.digest == digest)

    async def take_request(
        self, key_id: str, idempotency_key: str, digest: str, now: datetime, *, lease: timedelta = LEASE
    ) -> ClaimedRequest | StoredAnswer:
        """Claim a request, or return its answer."""
        one = {"key_id": key_id, "idempotency_key": idempotency_key}
        row = {**one, "digest": digest, **dict.fromkeys(("requested_at", "started_at", "renewed_at"), now)}
        bounds = {"forgotten": now - KEPT, "killed": now - lease}
        while True:
            if taken := await self._database.write(_take(self._database.insert), row | bounds):
                return ClaimedRequest(key_id, idempotency_key, taken[0]["requested_at"], now)
            if found := await self._one(StoredAnswer, _ONE_ANSWER, one):
                return found
            # It expired in between: try again.

    async def renew_request(self, taken: ClaimedRequest, now: datetime) -> None:
        """Extend the lease of a request in progress, unless another process has taken it over."""
        await self._change(api_answers, *_is_mine(taken), renewed_at=now)

    async def keep_answer(self, taken: ClaimedRequest, status: int, answer: str) -> None:
        """Store an answer, unless another process has taken the request over."""
        await self._change(api_answers, *_is_mine(taken), status=status, answer=answer)

    async def give_up_request(self, taken: ClaimedRequest) -> None:
        """Release a request, so that the next caller can claim it."""
        await self._change(api_answers, *_is_mine(taken), renewed_at=_FREE)

    async def prune_answers(self, now: datetime) -> bool:
        """Delete a batch of expired answers. Return True if there may be more."""
        key = (_answers.key_id, _answers.idempotency_key)
        old = sa.select(*key).where(_answers.requested_at < now - KEPT).order_by(_answers.requested_at).limit(_TOGETHER)
        gone = await self._database.write(sa.delete(api_answers).where(sa.tuple_(*key).in_(old)).returning(key[1]))
        return len(gone) == _TOGETHER


_SESSION_KEY = sa.select(sessions.c.key_id).where(
    sessions.c.digest == sa.bindparam("digest"), sessions.c.ends_at > sa.bindparam("now")
)
_ONE_ANSWER = sa.select(_answers.digest, _answers.status, _answers.answer).where(
    _answers.key_id == sa.bindparam("key_id"), _answers.idempotency_key == sa.bindparam("idempotency_key")
)


def _is_mine(taken: ClaimedRequest) -> list[sa.ColumnElement[bool]]:
    one = {"key_id": taken.key_id, "idempotency_key": taken.idempotency_key, "started_at": taken.started_at}
    return [*matching(api_answers, **one), _answers.status.is_(None)]


@cache
def _take(insert: InsertFactory) -> sa.Executable:
    row = insert(api_answers)
    new = row.excluded
    forgotten = _answers.requested_at < sa.bindparam("forgotten", type_=UtcDateTime)
    is_late = _answers.renewed_at < sa.bindparam("killed", type_=UtcDateTime)
    killed = sa.and_(_answers.status.is_(None), is_late, _answers.digest == new.digest)
    anew: dict[str, sa.ColumnElement[Any] | None] = {name: new[name] for name in ("digest", "started_at", "renewed_at")}
    anew |= {"requested_at": sa.case((forgotten, new.requested_at), else_=_answers.requested_at)}
    anew |= dict.fromkeys(("status", "answer"))
    return row.on_conflict_do_update(
        index_elements=api_answers.primary_key.columns, set_=anew, where=sa.or_(forgotten, killed)
    ).returning(_answers.requested_at)
