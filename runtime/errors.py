"""Exceptions of a process's setup and of its store.

Each message is one sentence that says what to do next. It names variables, files, hosts and ports, never a value that
may be secret: messages end up in logs and in Temporal's history.
"""

from __future__ import annotations


class SetupError(Exception):
    """The base class of setup errors."""


class SettingsError(SetupError):
    """A setting cannot be used. The message names the variable and never shows its value."""


class ConnectionFailed(SetupError):
    """Temporal cannot be reached, or denies access."""


class AttributesMissing(SetupError):
    """Search attributes are missing and could not be registered. The message holds the command that does it."""


class ClockWrong(SetupError):
    """This machine's clock differs too much from the store's or from Temporal's."""


class WorkerFailed(SetupError):
    """A worker ended unexpectedly, so its task queue is not polled."""


class LocalError(SetupError):
    """The local server, inbox or receiver cannot be started."""


class NotInstalled(LocalError):
    """The program of the local server is missing."""


class PortInUse(LocalError):
    """Another program listens on the port."""

    def __init__(self, port: int, advice: str) -> None:
        self.port = port
        super().__init__(f"port {port} is in use by another program: {advice}")


class StoreError(Exception):
    """The base class of store errors."""


class StoreAddressError(StoreError):
    """SCENARIO_STORE is not the URL of a supported database."""


class StoreUnavailable(StoreError):
    """The database cannot be reached or is busy. Every call of the store may be repeated."""


class JournalUnavailable(StoreUnavailable):
    """The journal of what must survive a restore cannot be read or written now."""


class StoreMissing(StoreError):
    """The database file does not exist, and the caller did not ask to create it."""


class StoreOutdated(StoreError):
    """The database has an older schema or no tables, and the caller did not ask to migrate it."""


class StoreTooNew(StoreError):
    """A later release has migrated the database: writing to it could lose data of that release."""


class StoreMismatch(StoreError):
    """The store and the Temporal namespace do not belong together: one is a copy or a backup."""


class StoreFault(StoreError):
    """The database refused a statement, because of a defect, a missing right or damaged data. The API answers 503."""
