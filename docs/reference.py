"""The pages of the reference, made from the code: commands, settings, the HTTP API, files, metrics, alerts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal, cast, get_args, get_origin

import typer
import yaml
from fastapi.routing import APIRoute
from pydantic import SecretStr

from activities.webhook.destinations.form import schema as destinations_schema
from authoring.cases.model import schema as case_schema
from cli.app import COMMANDS, app
from docs.variables import old_names, variables
from gateway.api.app import PREFIX as API
from gateway.api.app import ROUTERS, application
from gateway.api.authentication import Keys, scope_of
from gateway.api.problem import TITLES
from runtime.settings import PREFIX, Settings
from runtime.telemetry.metrics import OF_ALL, OF_EACH, Counter, Metric
from scenario.model.json_schema import entry_schema
from scenario.model.json_schema import schema as scenario_schema
from scenario.policies.policies import schema as policies_schema
from service.destinations import DeliveryInProgress
from service.journeys.view import AttemptView, JourneyView
from service.listing import JourneySummary
from service.overview import OverviewView
from service.results import ResultsView
from service.stats import StatsView, TrendsView
from service.view import View
from service.why.why import WhyView

Schema = Mapping[str, Any]
VIEWS: Final[Mapping[str, type[View]]] = {
    "scenario show": JourneyView,
    "scenario list": JourneySummary,
    "scenario deliveries": AttemptView,
    "scenario stats": StatsView,
    "scenario overview": OverviewView,
    "scenario stats --by day": TrendsView,
    "scenario results": ResultsView,
    "scenario why": WhyView,
    "scenario retune --dry-run": DeliveryInProgress,
}
ALERTS: Final = Path(__file__).parents[1] / "deploy" / "prometheus" / "alerts.yaml"


def commands() -> Iterator[str]:
    """Yield the page of the command line."""
    yield "# Command line\n\n`scenario COMMAND --help` prints the same.\n"
    root: Any = typer.main.get_command(app)
    for name in COMMANDS:
        yield from _command(f"scenario {name}", root.commands[name])


def _command(name: str, command: Any) -> Iterator[str]:
    for word, inner in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {word}", inner)
    if hasattr(command, "commands"):
        return
    rows = [(_spelling(item), item.help or "") for item in command.params if not item.hidden]
    yield f"## {name}\n\n{command.help or ''}\n"
    yield from _table(("option", "meaning"), rows)


def _spelling(item: Any) -> str:
    """Return an option with its value as the help shows it, or an argument in capitals."""
    if not item.opts[0].startswith("-"):
        return f"`{item.metavar or item.name.upper()}`"
    kind = item.type_descriptor.annotation
    value = "|".join(get_args(kind)) if get_origin(kind) is Literal else kind.__name__.upper()
    return f"`{', '.join([*item.opts, *item.secondary_opts])}{'' if item.is_flag else f' {item.metavar or value}'}`"


def api() -> Iterator[str]:
    """Yield the page of the HTTP API."""
    nothing: Any = SimpleNamespace(store=None)
    document = application(nothing, Keys(nothing)).openapi()
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    scopes = {(API + route.path_format, method): scope_of(route) for route in routes for method in route.methods or ()}
    components: Schema = document["components"]["schemas"]
    yield "# HTTP API\n\nThe gateway serves it as OpenAPI, `/v1/openapi.json`: see [the guide](../integrate/api.md).\n"
    yield "## Problems\n"
    problems = ((str(status), f"`{code}`", title) for code, (status, title) in TITLES.items())
    yield from _table(("status", "code", "title"), problems)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"## {method.upper()} {path}\n\n{operation['description']}\n"
            parameters = [item for item in operation.get("parameters", ()) if item["in"] != "header"]
            rows = [(f"`{item['name']}`", item["in"], item.get("description", "")) for item in parameters]
            yield from _table(("parameter", "in", "meaning"), rows)
            if body := operation.get("requestBody"):
                yield "Body:\n"
                yield from _fields(_json_schema(body), components)
            for status, answer in operation["responses"].items():
                if status < "300" and "content" in answer:
                    yield f"Answer {status}:\n"
                    yield from _fields(_json_schema(answer), components)
            yield f"Scope of the key: `{scopes[path, method.upper()]}`.\n"
            yield f"Problems: {', '.join(status for status in operation['responses'] if status >= '400')}.\n"


def _json_schema(holder: Schema) -> Schema:
    empty: Schema = {}
    return next((media["schema"] for name, media in holder["content"].items() if "json" in name), empty)


def _fields(schema: Schema, components: Schema) -> Iterator[str]:
    """Yield a table of an object's fields; those of inner objects by their paths."""
    rows = list(_paths(schema, components, "", ()))
    yield from _table(("field", "type", "meaning"), [(f"`{path}`", kind, text) for path, kind, text in rows])


def _paths(schema: Schema, components: Schema, before: str, within: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for part, seen in _objects(schema, components, within):
        for name, field in part.get("properties", {}).items():
            path = f"{before}{name}"
            yield path, _kind(field), field.get("description", "")
            inner = field.get("items", field)
            yield from _paths(inner, components, f"{path}[]." if "items" in field else f"{path}.", seen)


def _objects(schema: Schema, components: Schema, within: tuple[str, ...]) -> Iterator[tuple[Schema, tuple[str, ...]]]:
    for part in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        name = part.get("$ref", "").rpartition("/")[2]
        if name and name not in within:
            yield from _objects(components[name], components, (*within, name))
        elif "items" in part and part is not schema:
            yield from _objects(part["items"], components, within)
        elif "properties" in part:
            yield part, within


def _kind(field: Schema) -> str:
    if "enum" in field:
        return " · ".join(f"`{word}`" for word in field["enum"] if word is not False)
    if "const" in field:
        return f"`{field['const']}`"
    parts = [_kind(part) for part in (*field.get("anyOf", ()), *field.get("oneOf", ()))]
    if parts:
        return " or ".join(dict.fromkeys(parts))
    kind = field.get("format") or field.get("type") or ("object" if "$ref" in field else "any")
    if isinstance(kind, list):
        return " or ".join(cast("list[str]", kind))
    return f"list of {_kind(field['items'])}" if kind == "array" and "items" in field else str(kind)


def _default(value: object) -> str:
    """Return a default value as YAML has it, if it is not empty."""
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case str() | int() | float() if value != "":
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        case _:
            return ""


def file_page(title: str, text: str, schema: Callable[[], Schema]) -> Callable[[], Iterator[str]]:
    """Return the maker of the page of a file's keys, from its JSON Schema."""

    def page() -> Iterator[str]:
        made = schema()
        parts: Schema = made.get("$defs", {})
        yield f"# {title}\n\n{text}\n"
        for name, part in {"The file": made, **parts}.items():
            properties = part.get("properties", {})
            if properties:
                head = name if part is made else part.get("title", re.sub("(Form|Files)$", "", name))
                yield f"## {head}\n\n{part.get('description', '')}\n"
                required = part.get("required", ())
                rows = [
                    (
                        f"`{key}`{' (required)' if key in required else ''}",
                        *(_kind(field), field.get("description", "")),
                        _default(field.get("default")),
                    )
                    for key, field in properties.items()
                ]
                yield from _table(("key", "value", "meaning", "default"), rows)

    return page


def views() -> Iterator[str]:
    """Yield the page of the JSON of reads."""
    yield (
        "# JSON of journeys\n\nWhat `--format json` prints, and the HTTP API returns. "
        "Keys are stable: keys may be added, none changes. Times are in UTC, in ISO 8601; unknown values are null.\n"
    )
    seen: set[type[View]] = set()
    for title, view in VIEWS.items():
        yield f"## {title}\n\n{view.__doc__ or ''}\n"
        yield from _view(view, seen)


def _view(view: type[View], seen: set[type[View]]) -> Iterator[str]:
    """Yield the fields of a view, then those of the views in it that are new."""
    seen.add(view)
    fields = {**view.model_fields, **view.model_computed_fields}
    shown = {name: field for name, field in fields.items() if not getattr(field, "exclude", None)}
    rows = [(f"`{name}`", " ".join((field.description or "").split())) for name, field in shown.items()]
    yield from _table(("key", "meaning"), rows)
    for name, field in shown.items():
        for inner in _inner(getattr(field, "annotation", None)):
            if inner not in seen:
                yield f"### {inner.__name__}: `{name}`\n\n{inner.__doc__ or ''}\n"
                yield from _view(inner, seen)


def _inner(annotation: Any) -> Iterator[type[View]]:
    if isinstance(annotation, type) and issubclass(annotation, View):
        yield annotation
    for part in get_args(annotation):
        yield from _inner(part)


def settings() -> Iterator[str]:
    """Yield the page of settings."""
    yield "# Settings\n\nEnvironment variables of all processes: see [Settings](../run/settings.md).\n"
    rows: list[tuple[str, ...]] = []
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        rows.append((f"`{PREFIX}{name.upper()}`", field.description or "", f"`{default}`" if default else ""))
    yield from _table(("variable", "meaning", "default"), rows)


def metrics() -> Iterator[str]:
    """Yield the page of metrics."""
    yield "# Metrics\n"
    for title, listed in (("Of each process", OF_EACH), ("Of one worker, for all", OF_ALL)):
        yield f"## {title}\n"
        rows = [
            (f"`{one.name}`<br>`{prometheus_name(one)}`", type(one).__name__.lower(), *_more(one)) for one in listed
        ]
        yield from _table(("metric, name in Prometheus", "type", "unit", "labels", "meaning"), rows)


def _more(one: Metric) -> tuple[str, str, str]:
    return one.unit or "1", ", ".join(f"`{name}`" for name in one.labels) or "none", one.meaning


def prometheus_name(metric: Metric) -> str:
    """Return the name under which Prometheus has a metric."""
    name = metric.name.replace(".", "_")
    return f"{name}_total" if isinstance(metric, Counter) else f"{name}_seconds" if metric.unit == "s" else name


def alerts() -> Iterator[str]:
    """Yield the page of alert rules."""
    yield "# Alerts\n\nEach links to its runbook. The rules are `deploy/prometheus/alerts.yaml`.\n"
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    rows: list[tuple[str, ...]] = []
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
        summary = re.sub(r"{{ \$labels\.(\w+) }}", r"*\1*", rule["annotations"]["summary"])
        summary = re.sub(r"{{ \$value.*?}}", "…", summary)
        name, severity = rule["alert"], rule["labels"]["severity"]
        rows.append((f"[{name}](../run/slo.md#{name.lower()})", severity, rule.get("for", "immediately"), summary))
    yield from _table(("alert", "severity", "after", "summary"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    if lines:
        yield "\n".join((f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "reference/commands.md": commands,
    "reference/api.md": api,
    "reference/settings.md": settings,
    "reference/scenario-file.md": file_page(
        "Scenario file", "Every key of a scenario. `scenario schema` prints it as JSON Schema.", scenario_schema
    ),
    "reference/variables.md": variables,
    "reference/old-names.md": old_names,
    "reference/entry.md": file_page(
        "Entry", "What starts a journey. `scenario schema entry` prints it as JSON Schema.", entry_schema
    ),
    "reference/case-file.md": file_page(
        "Case file", "Every key of a file of test cases. `scenario schema cases` prints it as JSON Schema.", case_schema
    ),
    "reference/policies.md": file_page(
        "policies.yaml",
        "Every key of the rules for all scenarios: `scenario schema policies` as JSON Schema.",
        policies_schema,
    ),
    "reference/destinations.md": file_page(
        "destinations.yaml",
        "Every key of [destinations](../run/destinations.md): `scenario schema destinations` as JSON Schema.",
        destinations_schema,
    ),
    "reference/json-journeys.md": views,
    "reference/metrics.md": metrics,
    "reference/alerts.md": alerts,
}
"""What makes each page, by its path."""
