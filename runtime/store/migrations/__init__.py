"""The schema's history: one module a change, ``v<number>_<what>.py``, applied in order and never edited once released.

Until the first release there is one, edited in place: a store from before the edit is made anew.

A migration is an Alembic revision with ``upgrade(op)`` alone: the store goes forward only. It uses plain SQLAlchemy
types, not those of ``runtime.store.columns``, which may change later.
"""

HEAD = "0001"
"""The newest revision. Known here so that a current database is recognised without loading Alembic."""
