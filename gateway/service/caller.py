"""The caller of a use case: a key of the HTTP API, or an operator on a terminal; and the use cases about keys.

Access is checked here only. Only an operator on a terminal manages keys.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from gateway.errors import BadInput, Forbidden
from gateway.service.view import View
from runtime.api_keys import SCOPES, ApiKey, Scope, make_token, names_key, parse_token

if TYPE_CHECKING:  # commands without a server name callers, too
    from runtime.store import Store

_LONGEST_NOTE: Final = 100  # characters of a key's note in the name of its caller


@dataclass(frozen=True)
class Caller:
    """The caller of a use case."""

    id: str  # the key's id. Limits count by it.
    name: str  # the name that operations record: the note of a key and its id
    scopes: Collection[Scope]  # the actions that the caller may take
    scenarios: Collection[str] | None = None  # the only scenarios that the caller may use, or None for all
    rate: float | None = None  # the caller's own limit of requests per second, or None for the gateway's

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes

    def may_use(self, scenario: str | None) -> bool:
        """Return True if the caller may use a scenario; for None, all scenarios."""
        return self.scenarios is None or scenario in self.scenarios

    def require(self, scope: Scope) -> None:
        if not self.has(scope):
            raise Forbidden(f"this key lacks the scope '{scope}'")

    def check(self, scenario: str | None, where: str = "?scenario=") -> None:
        """Raise Forbidden if the caller may not use a scenario, which `where` names; for None, all scenarios."""
        if not self.may_use(scenario):
            limits = "other scenarios" if scenario is not None else f"some scenarios: name one of them, {where}"
            raise Forbidden(f"this key is for {limits}")

    def check_journey(self, journey: str, scenario: str | None = None) -> None:
        """Raise Forbidden if the caller may not use a journey's scenario.

        If that is not known, it is the beginning of the id, unless an engine has started the journey under another id.
        """
        self.check(scenario or journey.partition("/")[0])

    def check_all(self) -> None:
        if self.scenarios is not None:
            raise Forbidden("this key is limited to some scenarios: use a key for all scenarios")

    def operator(self, stated: str | None) -> str:
        """Return the operator to record: the stated name and the key. Raise BadInput if the name looks like a key."""
        if stated is None:
            return self.name
        if names_key(stated):
            sentence = "an operator's name must not name a key: the key of the request is recorded beside it"
            raise BadInput(sentence, at=["operator"], code="operator")
        return f"{stated} ({'terminal' if self.id == TERMINAL.id else f'key {self.id}'})"


def caller_with(key: ApiKey) -> Caller:
    note = " ".join(key.note.split())[:_LONGEST_NOTE]
    name = f"{note} (key {key.id})" if note else f"key {key.id}"
    return Caller(key.id, name, key.scopes, key.scenarios, key.rate)


TERMINAL: Final = Caller("terminal", "terminal", SCOPES)
"""A person with the settings of a worker at hand, who may do anything."""


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
