"""The migrations of the schema: ``v<number>_<name>.py``, applied in order and never edited once released.

Until the first release there is one, edited in place. A migration is an Alembic revision with ``upgrade(op)`` alone,
since there is no downgrade. It uses plain SQLAlchemy types, since ``runtime.store.columns`` may change.
"""

HEAD = "0001"
"""The newest revision, so that a current database is recognised without loading Alembic."""
