"""Lifecycle of a process: workers, health, HTTP servers, shutdown; and ports, by default of the loopback interface."""

from __future__ import annotations

import errno
import socket
from typing import Final

from runtime.errors import LocalError, PortInUse

HOST: Final = "127.0.0.1"  # default address of every server


def free_port() -> int:
    """Return a free port. Another program may take it at any time."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def check_port(port: int, purpose: str) -> None:
    """Check that a port can be listened on. Raise LocalError if this user may not listen on it, or it is invalid."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, or a recently closed connection would count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise port_error(error, port, purpose) from None
        except OverflowError:
            raise LocalError(f"{port} is not a port: choose one from 1024 to 65535 for {purpose}") from None


def port_error(error: OSError, port: int, purpose: str) -> LocalError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(port, f"stop that program, or choose another port for {purpose}")
    if error.errno == errno.EADDRNOTAVAIL:
        return LocalError(f"this machine has no such address to listen on: choose 127.0.0.1, or 0.0.0.0, for {purpose}")
    return LocalError(f"port {port} cannot be listened on: choose one from 1024 to 65535 for {purpose}")
