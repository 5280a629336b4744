"""The tables of those who use the API and the pages: keys, sessions, and answers to requests that may come again."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, PrimaryKeyConstraint, Table

from runtime.store.columns import Instant, Json, Words
from runtime.store.schema import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Words, nullable=False),
    # SHA-256 of the secret, in hex: a secret of 256 random bits needs no slow hash.
    Column("digest", Words, nullable=False),
    Column("scopes", Json, nullable=False),
    # Names of the only scenarios that it is for; null: all.
    Column("scenarios", Json, nullable=True),
    # Requests a second; null: as the gateway has it.
    Column("rate", Float, nullable=True),
    Column("note", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("expires_at", Instant, nullable=True),
    Column("revoked_at", Instant, nullable=True),
    PrimaryKeyConstraint("id"),
)
"""Keys of the HTTP API. A revoked one stays, to be told from one that never was."""

sessions = Table(
    "sessions",
    metadata,
    # SHA-256 of the random token in the cookie, in hex: the store cannot be used to sign in.
    Column("digest", Words, nullable=False),
    Column("key_id", Words, nullable=False),
    Column("ends_at", Instant, nullable=False),
    PrimaryKeyConstraint("digest"),
    Index(None, "ends_at"),
)
"""Sessions of people on the pages."""

api_answers = Table(
    "api_answers",
    metadata,
    Column("key_id", Words, nullable=False),
    # A digest of it, keyed with the API key: engines make their keys of what they send, a contact's id among it.
    Column("idempotency_key", Words, nullable=False),
    # Of the request, keyed too: the same key for another request is a mistake.
    Column("digest", Words, nullable=False),
    # When it was first asked. It tells what is done for the key now from what is done for it when it is forgotten.
    Column("requested_at", Instant, nullable=False),
    # When the process that carries it out took it up; this tells it from processes before it.
    Column("started_at", Instant, nullable=False),
    # When that process last said that it does: if it was killed, another takes over after a while.
    Column("renewed_at", Instant, nullable=False),
    # Null while the request is under way.
    Column("status", Integer, nullable=True),
    # Headers and body, sealed with a key that only the caller's API key gives, as Base64.
    Column("answer", Words, nullable=True),
    PrimaryKeyConstraint("key_id", "idempotency_key"),
    Index(None, "requested_at"),
)
"""What requests with an Idempotency-Key were answered."""
