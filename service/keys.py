"""The use cases about keys of the HTTP API. Only an operator on a terminal manages them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from authoring.errors import BadInput
from runtime.api_keys import ApiKey, Scope, make_token, parse_token
from runtime.store import Store
from service.view import View


class KeyView(View):
    """A key, without its secret."""

    id: str
    """Its id, the first part of the key."""
    state: Literal["good", "expired", "revoked"]
    """`good`, `expired` or `revoked`."""
    scopes: list[Scope]
    """Its scopes."""
    scenarios: list[str] | None
    """The only scenarios that it may use; null for all."""
    rate: float | None
    """Its limit of requests per second; null for the gateway's default."""
    note: str
    """A note, such as its purpose."""
    created_at: datetime
    """Time of its creation."""
    created_by: str
    """The person who created it."""
    expires_at: datetime | None
    """When it expires; null for never."""
    revoked_at: datetime | None
    """When it was revoked; null if it was not."""

    @classmethod
    def of(cls, key: ApiKey, now: datetime) -> KeyView:
        ended = "revoked" if key.revoked_at else "expired"
        return cls.from_record(key, state="good" if key.is_good(now) else ended)


class KeyService:
    """Use cases about keys."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self,
        scopes: Sequence[Scope],
        scenarios: Sequence[str] | None = None,
        *,
        by: str,
        rate: float | None = None,
        note: str = "",
        expires_at: datetime | None = None,
    ) -> tuple[str, KeyView]:
        """Create a key; see `KeyView`. Return the key itself, of which only a digest is stored, and its view."""
        token, identifier, digest = make_token()
        wanted = list(dict.fromkeys(scopes))
        only = list(dict.fromkeys(scenarios)) if scenarios else None
        now = datetime.now(UTC)
        key = ApiKey(identifier, digest, wanted, only, rate, note, now, by, expires_at=expires_at)
        await self._store.add_key(key)
        return token, KeyView.of(key, now)

    async def all(self) -> list[KeyView]:
        now = datetime.now(UTC)
        return [KeyView.of(key, now) for key in await self._store.keys()]

    async def revoke(self, identifier: str) -> tuple[str, bool]:
        """Revoke a key, given by its id or itself, within seconds. This cannot be undone.

        Return its id, and False if it was revoked before. Raise BadInput if there is no such key.
        """
        parsed = parse_token(identifier)
        name = parsed[0] if parsed else identifier
        done = await self._store.revoke_key(name, datetime.now(UTC))
        if not done and await self._store.key(name) is None:
            # The message does not repeat the id: it may be a key with a letter missing.
            raise BadInput("there is no key of this id: 'scenario keys list' lists all keys")
        return name, done
