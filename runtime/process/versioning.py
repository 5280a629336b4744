"""Which version of a Worker Deployment this process is: Temporal's Worker Versioning.

Without it, whichever worker is free takes a task, and histories only tell its release. With it, the server gives tasks
to the version that somebody has made the current one. Journeys live for weeks, and their code is kept fit for being
replayed; so each of them goes on with the version that is current (AUTO_UPGRADE), and none keeps an old release alive.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from runtime.errors import SettingsError
from runtime.version import version

DEPLOYMENT: Final = "TEMPORAL_DEPLOYMENT_NAME"
BUILD: Final = "TEMPORAL_WORKER_BUILD_ID"
"""The variables that Temporal's worker controller for Kubernetes sets."""


def deployment_of(environ: Mapping[str, str] = os.environ) -> WorkerDeploymentConfig | None:
    """What this process is by its variables; None where it is not versioned.

    All workers of a deployment have to be versioned, whichever queues they serve, or none of them: the server hands
    the deliveries of a versioned journey to workers of its own deployment.

    Raises:
        SettingsError: Only one of the two variables is set.
    """
    name, build = environ.get(DEPLOYMENT, ""), environ.get(BUILD, "")
    if not name and not build:
        return None
    if not name or not build:
        there, missing = (DEPLOYMENT, BUILD) if name else (BUILD, DEPLOYMENT)
        raise SettingsError(f"{there} is set and {missing} is not: set both for a versioned worker, or neither")
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(name, build),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


def unversioned() -> WorkerDeploymentConfig:
    """Return what tells the release of a worker that is not versioned.

    Most events of a history repeat it. The SDK's default, a hash of all modules, is longer and nobody can read it.
    """
    release = version().partition("+")[0]
    return WorkerDeploymentConfig(version=WorkerDeploymentVersion("scenario", release), use_worker_versioning=False)
