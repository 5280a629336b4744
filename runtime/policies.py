"""The file that SCENARIO_POLICIES names."""

from __future__ import annotations

from pathlib import Path

from runtime.watched_file import WatchedFile, read_bytes, require_usable
from scenario.policies.policies import Policies, examine


def read_policies(path: Path) -> Policies:
    """Read `policies.yaml`, or raise UnusableFile."""
    findings, policies = examine(read_bytes(path, "SCENARIO_POLICIES"), str(path))
    return require_usable(policies, findings, f"scenario policies {path}")


class PoliciesFile(WatchedFile[Policies]):
    """The current policies. UnusableFile is raised only if the file cannot be used at the start."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path, read=read_policies, empty=Policies(), size=lambda found: f"{len(found.caps)} caps")
