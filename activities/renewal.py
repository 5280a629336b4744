"""The local activities by which journeys, or single steps, continue in another version of their scenario."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from temporalio import activity

from activities.content import Content, LoadedVersion, UnknownVersion
from activities.interface import ADOPT, AMEND, RENEW, Adoption, Renewal, Renewed, StepVersion, StepVersionRequest
from runtime.store import Store
from scenario.entry.entry import is_too_large
from scenario.plan.migration import MigrationError, followed, migrated, unknown
from scenario.plan.plan import LARGEST_PLAN, load_plan


class Renewals:
    """Finds the version in which a journey, or only a step that is tried again, can continue."""

    def __init__(self, content: Content, store: Store) -> None:
        self._content, self._store = content, store

    @activity.defn(name=AMEND.name)
    async def amend(self, request: StepVersionRequest) -> StepVersion:
        """Return the step's row in the plan of a version, by default the newest, or a sentence if it cannot be used."""
        try:
            opened = await self._content.open(request.scenario, request.version)
        except UnknownVersion as error:
            return StepVersion(error=f"{error}: publish it first")
        name = f"{opened.name}@{opened.version}"
        row: dict[str, Any] | None = opened.plan["steps"].get(request.step)
        if row is None:
            return StepVersion(error=f"{name} has no step '{request.step}': name a version that has it")
        if row["kind"] != request.kind:
            return StepVersion(error=f"'{request.step}' is of kind {row['kind']} in {name}, not {request.kind}")
        try:
            load_plan({"start": request.step, "steps": {request.step: row}})
        except ValidationError:  # said here, since the journey would fail over it again and again
            return StepVersion(error=f"'{request.step}' of {name} is not for this version of the workers: update them")
        return StepVersion(version=opened.version, step=row)

    @activity.defn(name=RENEW.name)
    async def renew(self, renewal: Renewal) -> Renewed:
        """Return a journey's position in a version, by default the newest, or a sentence if it cannot continue there.

        For a following journey without a newer version, this is one index look-up.
        """
        try:
            opened = await self._content.open(renewal.scenario, renewal.to)
            if renewal.follows and opened.version <= renewal.version:
                return Renewed()
            old = await self._content.open(renewal.scenario, renewal.version)
        except UnknownVersion as error:
            return Renewed(error=f"{error}: publish it first")
        name = f"{opened.name}@{opened.version}"
        if opened.version == renewal.version:
            return Renewed(error=f"the journey follows {name} already")
        try:
            return _found(old, opened, renewal)
        except MigrationError as error:
            return Renewed(version=opened.version, error=f"{name}: {error}")
        except ValidationError:  # said here, since the journey would fail over it again and again
            return Renewed(version=opened.version, error=f"{name} is not for this version of the workers: update them")

    @activity.defn(name=ADOPT.name)
    async def adopt(self, adoption: Adoption) -> None:
        await self._store.adopt(adoption.workflow_id, adoption.run_id, adoption.version)


def _found(old: LoadedVersion, opened: LoadedVersion, renewal: Renewal) -> Renewed:
    """Return a journey's position in a version. Raise MigrationError if it cannot continue there."""
    new, place = opened.table, renewal.place
    at = followed(old.table, new, place) if renewal.follows else migrated(old.table, new, place, renewal.names)
    if at is None:  # nothing more is to come there either
        return Renewed()
    missing = tuple(unknown(new, opened.steps, at, place))
    if missing and renewal.follows:
        raise MigrationError(f"its steps read {' and '.join(missing)}, which the journey does not have")
    if is_too_large(opened.plan, LARGEST_PLAN):
        raise MigrationError("it is too large to be performed: split it, or name less in its templates")
    return Renewed(version=opened.version, plan=opened.plan, at=at, unknown=missing)
