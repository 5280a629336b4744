"""A worker is versioned where both variables say so."""

from __future__ import annotations

import pytest
from temporalio.common import VersioningBehavior

from runtime.errors import SettingsError
from runtime.process.versioning import deployment_of, unversioned
from runtime.version import version


@pytest.mark.parametrize("environ", [{}, {"TEMPORAL_DEPLOYMENT_NAME": "", "TEMPORAL_WORKER_BUILD_ID": ""}])
def test_it_is_not_unless_it_is_told(environ: dict[str, str]):
    assert deployment_of(environ) is None


def test_without_versions_a_worker_tells_its_release():
    found = unversioned()
    assert version().startswith(found.version.build_id)
    assert not found.use_worker_versioning


def test_both_make_a_version_whose_journeys_go_on_with_the_next():
    found = deployment_of({"TEMPORAL_DEPLOYMENT_NAME": "scenario-runner", "TEMPORAL_WORKER_BUILD_ID": "1.4.0"})
    assert found is not None
    assert found.version.to_canonical_string() == "scenario-runner.1.4.0"
    assert found.use_worker_versioning
    assert found.default_versioning_behavior is VersioningBehavior.AUTO_UPGRADE


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"),
        ("TEMPORAL_WORKER_BUILD_ID", "TEMPORAL_DEPLOYMENT_NAME"),
    ],
)
def test_one_alone_is_refused(there: str, missing: str):
    with pytest.raises(SettingsError) as caught:
        deployment_of({there: "x"})
    assert str(caught.value) == f"{there} is set and {missing} is not: set both for a versioned worker, or neither"
