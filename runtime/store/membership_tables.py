"""The tables of audiences at other systems; see `runtime.store.memberships`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    and_,
    literal_column,
    or_,
    text,
)

from runtime.store.columns import SafeText, UtcDateTime
from runtime.store.schema import metadata, partial_index, table_of

# In parentheses, and word for word as in the index that serves it.
DIFFERS: Final = text("(batch IS NOT NULL OR (refused IS NULL AND (is_member <> wanted OR digest <> sent_digest)))")
NO_MEMBER: Final = literal_column("is_member = 0", Boolean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A wanted membership, and the one that the platform has."""

    id: str
    """Random. It orders the members of a request, and stays when an erasure replaces the contact's id."""
    destination: str
    audience: str
    contact_id: str
    wanted: bool
    wanted_at: datetime
    member: str
    """What identifies the wanted member at the platform, encrypted if payloads are."""
    digest: str
    """A keyed digest of `member`."""
    is_member: bool = False
    """True if the platform has the member."""
    email: str | None = None
    """A keyed digest of the wanted member's address, if the platform knows members by it alone; `phone` likewise."""
    phone: str | None = None
    sent_member: str | None = None
    """The member that was sent last, or is being sent. In a removal, an address or number of another member is None."""
    sent_digest: str | None = None
    sent_email: str | None = None
    sent_phone: str | None = None
    batch: str | None = None
    """The request in progress."""
    refused: str | None = None
    """Why the platform refused the change."""
    erased: str | None = None
    """The pseudonym of an erased contact."""


audience_memberships = table_of(
    "audience_memberships",
    Membership,
    PrimaryKeyConstraint("id"),
    UniqueConstraint("destination", "audience", "contact_id"),
    # Read for erasures.
    Index(None, "contact_id"),
    partial_index("ix_audience_memberships_erased", "erased", where=text("erased IS NOT NULL")),
    partial_index("ix_audience_memberships_batch", "batch", where=text("batch IS NOT NULL")),
    partial_index("ix_audience_memberships_differing", "destination", "audience", where=DIFFERS),
    partial_index("ix_audience_memberships_refused", "wanted_at", where=text("refused IS NOT NULL")),
    partial_index("ix_audience_memberships_no_member", "wanted_at", where=text("is_member = 0")),
    partial_index("ix_audience_memberships_email", "destination", "audience", "email", where=text("email IS NOT NULL")),
    partial_index("ix_audience_memberships_phone", "destination", "audience", "phone", where=text("phone IS NOT NULL")),
)
"""One row a contact and audience. That of a removed contact stays a while: an earlier addition may arrive."""

IS_SETTLED: Final = or_(
    audience_memberships.c.refused.is_not(None),
    and_(audience_memberships.c.wanted == 0, audience_memberships.c.batch.is_(None)),
)
"""With `NO_MEMBER`: the platform refused the contact, or it was removed."""

audience_syncs = Table(
    "audience_syncs",
    metadata,
    Column("destination", SafeText, nullable=False),
    Column("audience", SafeText, nullable=False),
    Column("synced_at", UtcDateTime, nullable=True),
    # Number of members of all requests that the platform refused without naming them.
    Column("unnamed", Integer, nullable=False),
    # Why it makes no progress: a sentence.
    Column("trouble", SafeText, nullable=True),
    # Since when it waits for an operator.
    Column("held_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("destination", "audience"),
)
"""The state of each audience that was ever sent."""
