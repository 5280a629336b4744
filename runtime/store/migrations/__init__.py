"""The schema's history: one module a change, ``v<number>_<what>.py``, applied in order and never edited afterwards.

A migration is an Alembic revision with ``upgrade(op)`` alone: the store goes forward only. It uses plain SQLAlchemy
types, not those of ``runtime.store.columns``, which may change later.

It runs in a transaction. For what PostgreSQL does outside of one only it may commit, where it begins another afterwards
and can be repeated (see ``v0003_many.py``): the lock against other processes holds on.
"""

HEAD = "0010"
"""The newest revision. Known here so that a current database is recognised without loading Alembic."""
