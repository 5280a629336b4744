"""The schema's history: one module a change, ``v<number>_<what>.py``, applied in order and never edited afterwards.

A migration is an Alembic revision with ``upgrade(op)`` alone: the store goes forward only. It uses plain SQLAlchemy
types, not those of ``runtime.store.columns``, which may change later.
"""

HEAD = "0002"
"""The newest revision. Known here so that a current database is recognised without loading Alembic."""
