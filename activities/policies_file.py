"""Watches `policies.yaml` while a worker runs."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import SettingsError
from runtime.watched_file import WatchedFile
from scenario.policies.policies import Policies, examine


class PoliciesError(SettingsError):
    """`policies.yaml` cannot be used."""


class PoliciesFile(WatchedFile[Policies]):
    """The current policies.

    Args:
        path: Path of `policies.yaml`; None for no policies.

    Raises:
        PoliciesError: The file cannot be used at the start.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path, read=read, empty=Policies(), size=_size)


def read(path: Path) -> Policies:
    """Read `policies.yaml`.

    Raises:
        PoliciesError: It cannot be read, or has a mistake. The message has the first one's line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it is not a file").lower()
        raise PoliciesError(f"SCENARIO_POLICIES names {path}, which cannot be read: {reason}") from None
    findings, policies = examine(content, str(path))
    if policies is not None:
        return policies
    errors = [finding for finding in findings if finding.severity == "error"]
    more = f" (and {len(errors) - 1} more: see 'scenario policies {path}')" if len(errors) > 1 else ""
    raise PoliciesError(f"{errors[0].file}:{errors[0].line}: {errors[0].message}{more}")


def _size(policies: Policies) -> str:
    return f"{len(policies.caps)} caps"
