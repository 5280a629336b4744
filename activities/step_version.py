"""The local activity that looks up a held step in another version of its scenario."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError
from temporalio import activity

from activities.amending import AMEND, Amended, Amendment
from activities.content import Content, UnknownVersion
from scenario.plan.plan import load_plan


class Amendments:
    """Looks steps up for operators who try them again after a mistake was fixed."""

    def __init__(self, content: Content) -> None:
        self._content = content

    @activity.defn(name=AMEND.name)
    async def amend(self, amendment: Amendment) -> Amended:
        """Finds the step's row in the plan of a version, the newest where none is named.

        Returns:
            The row; or, where there is none that could be used, a sentence that says why.
        """
        try:
            opened = await self._content.open(amendment.scenario, amendment.version)
        except UnknownVersion as error:
            return Amended(error=f"{error}: publish it first")
        name = f"{opened.name}@{opened.version}"
        steps = cast("Mapping[str, dict[str, Any]]", opened.plan["steps"])
        row = steps.get(amendment.step)
        if row is None:
            return Amended(error=f"{name} has no step '{amendment.step}': name a version that has it")
        if row["kind"] != amendment.kind:
            return Amended(error=f"'{amendment.step}' is of kind {row['kind']} in {name}, not {amendment.kind}")
        try:
            load_plan({"start": amendment.step, "steps": {amendment.step: row}})
        except ValidationError:  # said here, since the journey would fail over it again and again
            return Amended(error=f"'{amendment.step}' of {name} is not for this version of the workers: update them")
        return Amended(version=opened.version, step=row)
