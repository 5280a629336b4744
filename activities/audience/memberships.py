"""The memberships of audiences, encrypted in the store if payloads are.

The key is that of no contact. An erasure destroys the contact's key first, and must still be able to tell the platform
whom to remove. The row is deleted as soon as the platform has answered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import uuid4

from activities.audience.formats import Member
from runtime.encryption.opening import keyring_in
from runtime.store import Store
from runtime.store.memberships import Membership

SYNCED: Final = "the audience has the contact already"
NO_MEMBER: Final = "the contact is not in the audience: there is nothing to remove"


class MembershipBook:
    """The wanted memberships, and those that platforms have."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._keys = keyring_in(store)

    async def add(self, destination: str, audience: str, contact: str, member: Member, at: datetime) -> str | None:
        """Want a contact to be a member. Return a remark if nothing is to be sent."""
        text = json.dumps(member, separators=(",", ":"), sort_keys=True)
        sealed = await self._keys.seal(None, text)
        wanted = Membership(
            id=uuid4().hex,
            destination=destination,
            audience=audience,
            contact_id=contact,
            wanted=True,
            wanted_at=at,
            # A digest under a key of the store: encrypted texts cannot be compared.
            digest=await self._keys.name_of(text),
            member=sealed or "",
        )
        return None if await self.store.want_member(wanted) else SYNCED

    async def remove(self, destination: str, audience: str, contact: str, at: datetime) -> str | None:
        """Want a contact to be no member. Return a remark if nothing is to be sent."""
        return None if await self.store.want_no_member(destination, audience, contact, at) else NO_MEMBER

    async def members(self, batch: str) -> tuple[Sequence[str], Sequence[Member]]:
        """Return the ids of a batch's rows and their members, in an order that never changes."""
        rows = await self.store.audience_batch(batch)
        return [row.id for row in rows], [json.loads(await self._keys.unseal(row.member) or "{}") for row in rows]
