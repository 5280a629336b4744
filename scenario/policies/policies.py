"""The rules for all scenarios: `policies.yaml`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from scenario.model.json_schema import DIALECT, tidied
from scenario.model.mistakes import tell
from scenario.model.parts import Model
from scenario.policies.caps import Cap
from scenario.policies.draw import Holdout
from scenario.policies.hours import MIDNIGHT, QuietHours, flaws, opened_at_midnight
from scenario.source.findings import Finding, clip, listed, near
from scenario.source.report import Report
from scenario.source.source import Source
from scenario.source.yaml import MAX_NODES
from scenario.steps.registry import KINDS
from scenario.type_guards import Path, is_list, is_mapping

_WORDS: Final[Mapping[str, str]] = {
    "empty": "the file is empty: begin with 'quiet_hours:', 'holdout:' or 'caps:'",
    "values": f"more than {MAX_NODES:,} values: take caps out",
    "single document": "there is content after '---': put everything before it",
}


def _listed(value: Any) -> Any:
    return value if value is None or is_list(value) else [value]


def _apart(caps: list[Cap]) -> list[Cap]:
    twice = [name for name, times in Counter(cap.name for cap in caps).items() if times > 1]
    if twice:
        raise ValueError(f"two caps are called '{twice[0]}': give each a different name")
    return caps


class Policies(Model):
    """Rules for the marketing of all scenarios. All quiet hours and caps apply."""

    quiet_hours: Annotated[list[QuietHours], BeforeValidator(_listed)] = Field(default_factory=list[QuietHours])
    holdout: Holdout | None = None
    caps: Annotated[list[Cap], AfterValidator(_apart)] = Field(default_factory=list[Cap])


class CheckedPolicies(NamedTuple):
    """All findings, in the order of the file, and the policies if no finding is an error."""

    findings: tuple[Finding, ...]
    policies: Policies | None


def examine(text: str | bytes, file: str, destinations: Collection[str] | None = None) -> CheckedPolicies:
    """Read and check `policies.yaml`. If no destinations are known, any name is accepted."""
    source = Source(text, file, _WORDS)
    report = Report(source)
    policies: Policies | None = None
    if source.data is not None:
        try:
            policies = Policies.model_validate(source.data, by_alias=True, by_name=False)
        except ValidationError as error:
            tell(error, source.data, Policies, "policies", report)
        else:
            _check_channels(policies, destinations, source.data, report)
            for place, hours in _quiet(policies, source.data):
                report.add_flaws(place, flaws(hours))
            _check_midnight(policies, source.data, report)
    return CheckedPolicies(report.findings, None if report.has_errors else policies)


def _check_channels(policies: Policies, known: Collection[str] | None, data: Any, report: Report) -> None:
    if known is None:
        return
    names = {*(kind for kind, model in KINDS.items() if model.is_message), *known}
    named = [((*place, "channels"), hours.channels) for place, hours in _quiet(policies, data)]
    caps = [(("caps", index, "channels"), cap.channels) for index, cap in enumerate(policies.caps)]
    for path, channels in (*named, *caps):
        for index, name in enumerate(channels or ()):
            if name not in names:
                guess = near(name, names)
                hint = f"did you mean '{guess}'?" if guess else f"there is {listed(sorted(names), 'and')}"
                report.add((*path, index), "unknown", f"'{clip(name)}' is neither a channel nor a destination: {hint}")


def _check_midnight(policies: Policies, data: Any, report: Report) -> None:
    for kind in [kind for kind, model in KINDS.items() if model.rings]:
        found = opened_at_midnight([hours for hours in policies.quiet_hours if hours.applies_to(kind)])
        for place, hours in _quiet(policies, data) if found else ():
            if hours is found:
                message = MIDNIGHT.format(wanted='{from: "21:00", to: "08:00"}')
                report.add((*place, "days_off"), "at-night", message, key=True, severity="warning")


def _quiet(policies: Policies, data: Any) -> Iterable[tuple[Path, QuietHours]]:
    """Yield the quiet hours, alone or in a list, with their paths."""
    single = is_mapping(data.get("quiet_hours"))
    for index, hours in enumerate(policies.quiet_hours):
        yield ("quiet_hours",) if single else ("quiet_hours", index), hours


def schema() -> dict[str, Any]:
    made = tidied(Policies.model_json_schema(by_alias=True, mode="validation"))
    hours = made["properties"]["quiet_hours"]
    made["properties"]["quiet_hours"] = {"anyOf": [{"$ref": "#/$defs/QuietHours"}, hours]}
    return {"$schema": DIALECT, **made}
