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
from runtime.encryption.codec import keyring_in
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
        # A receiver that gets ids tells contacts with one address apart.
        digests = {name: await self._keys.name_of(value) for name, value in member.items() if "id" not in member}
        wanted = Membership(
            id=uuid4().hex,
            destination=destination,
            audience=audience,
            contact_id=contact,
            wanted=True,
            wanted_at=at,
            # Digests under a key of the store: encrypted texts cannot be compared.
            digest=await self._keys.name_of(text),
            member=await self._keys.seal(None, text) or "",
            email=digests.get("email"),
            phone=digests.get("phone"),
        )
        return None if await self.store.record_membership(wanted) else SYNCED

    async def remove(self, destination: str, audience: str, contact: str, at: datetime) -> str | None:
        """Want a contact to be no member. Return a remark if nothing is to be sent."""
        unwanted = Membership(
            id=uuid4().hex,
            destination=destination,
            audience=audience,
            contact_id=contact,
            wanted=False,
            wanted_at=at,
            digest="",
            member="",
        )
        return None if await self.store.record_membership(unwanted) else NO_MEMBER

    async def members(self, batch: str) -> tuple[Sequence[str], Sequence[Member]]:
        """Return the ids of a batch's rows and their members, in an order that never changes.

        A removal has only what no other member has, too. Rows of which nothing is left are left out.
        """
        ids: list[str] = []
        members: list[Member] = []
        for row in await self.store.audience_batch(batch):
            member: Member = json.loads(await self._keys.unseal(row.member) or "{}")
            if "id" not in member:
                sent = {"email": row.sent_email, "phone": row.sent_phone}
                member = {name: value for name, value in member.items() if sent[name] is not None}
            if member:
                ids.append(row.id)
                members.append(member)
        return ids, members
