"""What can be wrong with the setting up of a process, as one small tree of exceptions.

    SetupError
    ├── SettingsError      a SCENARIO_* variable, or Temporal's own configuration, that cannot be used
    ├── ConnectionFailed   no Temporal server, or one that does not let this process in
    ├── AttributesMissing  search attributes that are not there and may not be registered by this process
    ├── ClockWrong         this machine's clock differs too much from another
    ├── WorkerFailed       the worker of a task queue has ended by itself
    └── LocalError         the local server, inbox or receiver cannot be started
        ├── NotInstalled   its program is not there
        └── PortInUse      another program listens on its port

Each message is one sentence that says what to do next. It names variables, hosts and ports, never a value that may be
secret.
"""

from __future__ import annotations


class SetupError(Exception):
    """Anything wrong with the setting up of a process."""


class SettingsError(SetupError):
    """A setting that cannot be used. The message names the variable and never shows its value."""


class ConnectionFailed(SetupError):
    """Temporal cannot be reached, or does not let this process in."""


class AttributesMissing(SetupError):
    """Search attributes are missing and could not be registered. The message holds the command that does it."""


class ClockWrong(SetupError):
    """This machine's clock differs too much from the store's or from Temporal's."""


class WorkerFailed(SetupError):
    """The worker of a task queue has ended although nobody asked it to: nothing polls that queue any more."""


class LocalError(SetupError):
    """The local server, inbox or receiver cannot be started."""


class NotInstalled(LocalError):
    """The program of the local server is not there."""


class PortInUse(LocalError):
    """Another program listens on the port.

    Attributes:
        port: The port.
    """

    def __init__(self, port: int, advice: str) -> None:
        self.port = port
        super().__init__(f"port {port} is in use by another program: {advice}")
