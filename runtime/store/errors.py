"""What can go wrong with the store, as one small tree of exceptions.

    StoreError
    ├── StoreAddressError   SCENARIO_STORE is not an address of a database that can be used
    ├── StoreUnavailable    not reachable now, or busy for too long: the same call may succeed later
    ├── StoreMissing        there is none, and none may be made here
    ├── StoreOutdated       the database is older than this program and may not be migrated here
    ├── StoreTooNew         the database was migrated by a later release of this program
    ├── StoreMismatch       the store and the Temporal namespace do not belong together
    └── StoreFault          the database refused a statement: a full disk, a missing right, a mistake of ours

Each message is one sentence that says what to do next. It names the database (a file, or host, port and name), never
a user, a password, a statement or its parameters: messages end up in logs and in Temporal's history.
"""

from __future__ import annotations


class StoreError(Exception):
    """Anything wrong with the store."""


class StoreAddressError(StoreError):
    """The address is not one of a database that can be used."""


class StoreUnavailable(StoreError):
    """The database cannot be reached now, or was busy for too long. Every call of the store may be repeated."""


class StoreMissing(StoreError):
    """There is no file of that name, and the caller asked not to make one."""


class StoreOutdated(StoreError):
    """The database has an older schema, or no tables, and the caller asked not to migrate it."""


class StoreTooNew(StoreError):
    """The database was migrated by a later release: writing to it could lose what that release keeps."""


class StoreMismatch(StoreError):
    """The store and the Temporal namespace do not belong together: one is a copy, a backup, or another's."""


class StoreFault(StoreError):
    """The database refused a statement. Repeating the same call will not help by itself."""
