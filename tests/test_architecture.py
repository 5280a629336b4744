"""The arrows between the packages, and the habits that keep them readable, read off the source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from activities.channel_registry import CHANNELS
from scenario.steps.registry import KINDS

ROOT = Path(__file__).parent.parent
PACKAGES = ("activities", "authoring", "cli", "gateway", "runtime", "scenario", "service", "splio", "workflows")
OURS = frozenset({*PACKAGES, "worker", "tests", "benchmarks", "deploy", "examples"})

# Package → what of ours it may import. A room imports those below it; the command line starts all of them.
_BELOW = ("workflows", "activities", "runtime", "scenario")
ALLOWED = {
    "scenario": ("scenario",),
    "runtime": ("runtime", "scenario"),
    "activities": ("activities", "runtime", "scenario"),
    "workflows": (
        *("workflows", "scenario", "runtime.search_attributes"),
        *("activities.background", "activities.channel_registry", "activities.failures", "activities.interface"),
    ),
    "worker": ("worker", "workflows", "activities", "runtime", "scenario"),
    "authoring": ("authoring", *_BELOW),
    "service": ("service", "authoring", *_BELOW),
    "gateway": ("gateway", "service", "authoring", *_BELOW),
    "cli": ("cli", "gateway", "service", "authoring", "worker", *_BELOW),
    # An optional part: nothing imports it, the core finds it through entry points.
    "splio": (
        *("splio", "scenario", "activities.channel_registry", "activities.webhook.presets"),
        *("cli", "authoring.errors"),
    ),
}

# The language does no I/O and knows nothing of Temporal.
OUTSIDE_SCENARIO = ("temporalio", "httpx", "aiohttp", "aiosmtplib", "sqlalchemy", "opentelemetry", "asyncio", "socket")

DRAWERS = {"utils", "util", "common", "helpers", "helper", "shared", "misc"}

# A module is one thing, whatever its length; past this it hardly is.
MOST_LINES = 400


def modules(*under: str) -> list[Path]:
    found = [path for name in under for path in sorted((ROOT / name).rglob("*.py"))]
    return [path for path in found if "__pycache__" not in path.parts]


@cache
def production() -> list[Path]:
    return [*modules(*PACKAGES), ROOT / "worker.py"]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imports_of(path: Path) -> list[str]:
    return list(imports(tree(path)))


def imports(code: ast.AST) -> Iterator[str]:
    """Every module that the code may import, wherever it does.

    `from a.b import c` may name a module a.b.c or something inside a.b: it counts as `a.b.c`, which begins with both.
    """
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def inside(module: str, names: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in names)


def breaches(package: str, code: ast.AST) -> list[str]:
    wrong = [
        module
        for module in imports(code)
        if module.startswith(".") or (module.partition(".")[0] in OURS and not inside(module, ALLOWED[package]))
    ]
    if package == "scenario":
        wrong += [module for module in imports(code) if inside(module, OUTSIDE_SCENARIO)]
    if package == "workflows":
        known = {"temporalio", "typing_extensions", *OURS, *sys.stdlib_module_names}
        wrong += [module for module in imports(code) if module.partition(".")[0] not in known]
    return wrong


def at_import(code: ast.AST) -> Iterator[ast.AST]:
    """What is run when the module is imported: all but the bodies of functions."""
    for node in ast.iter_child_nodes(code):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from at_import(node)


def test_imports_follow_the_arrows() -> None:
    # One test for all modules: a test for each would cost more than what it looks at.
    wrong = {
        name(path): breaches(path.relative_to(ROOT).parts[0].removesuffix(".py"), tree(path)) for path in production()
    }
    assert {module: found for module, found in wrong.items() if found} == {}


@pytest.mark.parametrize(
    ("package", "source", "forbidden"),
    [
        ("scenario", "import temporalio.workflow", ["temporalio.workflow"]),
        ("scenario", "def f():\n    import asyncio", ["asyncio"]),
        ("scenario", "import re\nfrom liquid import Token", []),
        ("workflows", "from activities.interface import JOURNEYS", []),
        ("workflows", "from activities.interfaces import JOURNEYS", ["activities.interfaces.JOURNEYS"]),
        ("workflows", "from runtime import search_attributes, store", ["runtime.store"]),
        ("workflows", "if TYPE_CHECKING:\n    import httpx", ["httpx"]),
        ("activities", "from . import log", ["..log"]),
        ("worker", "from service import client", ["service.client"]),
        ("service", "from gateway import serving", ["gateway.serving"]),
        ("authoring", "from service.errors import NotFound", ["service.errors.NotFound"]),
        ("gateway", "def f():\n    import splio.command", ["splio.command"]),
        ("splio", "from activities.webhook import platform", ["activities.webhook.platform"]),
    ],
)
def test_a_forbidden_import_is_found(package: str, source: str, forbidden: list[str]) -> None:
    assert breaches(package, ast.parse(source)) == forbidden


def test_every_package_has_its_arrows() -> None:
    assert set(ALLOWED) == {*PACKAGES, "worker"}
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} <= OURS


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def arrows() -> dict[str, set[str]]:
    """Which modules each module imports, for types alone included."""
    known = {dotted(path) for path in production()}
    found: dict[str, set[str]] = {}
    for path in production():
        named = {name for name in imports_of(path) if inside(name, tuple(OURS))}
        targets = {name if name in known else name.rpartition(".")[0] for name in named}
        found[dotted(path)] = (targets & known) - {dotted(path)}
    return found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that can be reached from each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            members = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(members) > 1:
                found.append(members)

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]
    assert circles(arrows()) == []


# Kinds whose names are words of something else too: of a contact, of Liquid and JSON Schema, of a scenario's own keys.
# One of these counts beside another kind, or where it is compared with a kind.
HOMONYMS = {"audience", "email", "if", "exit", "repeat", "split"}


def choices(node: ast.AST) -> Iterator[ast.AST | None]:
    """What a node tells apart, if it is a table, a comparison or a `match`."""
    match node:
        case ast.Dict(keys=keys, values=values):
            yield from (*keys, *values)
        case ast.Set(elts=items) | ast.Tuple(elts=items) | ast.List(elts=items):
            yield from items
        case ast.Subscript(value=ast.Name(id="Literal"), slice=only):
            yield only
        case ast.Compare(left=left, comparators=right):
            yield left
            for side in right:
                yield from (side, *choices(side))
        case ast.Match(cases=cases):
            for part in (part for case in cases for part in ast.walk(case.pattern)):
                match part:
                    case ast.MatchValue(value=value) | ast.MatchClass(cls=value):
                        yield value
                    case _:
                        pass
        case _:
            pass


def kinds_named(code: ast.Module) -> set[str]:
    """The kinds of steps that a module outside of `scenario/steps/` tells apart, by their names or their classes."""
    classes = {model.__name__: kind for kind, model in KINDS.items()}
    classes |= {model.row.__name__: kind for kind, model in KINDS.items() if not model.sends}  # those share a row
    imported = {module.rpartition(".")[2] for module in imports(code) if inside(module, ("scenario.steps",))}
    found: set[str] = set()
    for node in ast.walk(code):
        words = {part.value for part in choices(node) if isinstance(part, ast.Constant) and part.value in KINDS}
        names = {part.id for part in choices(node) if isinstance(part, ast.Name)} & imported & classes.keys()
        about_kinds = isinstance(node, ast.Compare) and re.search(r"\bkind\b", ast.unparse(node))
        if len(words) > 1 or words - HOMONYMS or about_kinds:
            found |= {str(word) for word in words}
        found |= {classes[name] for name in names}
    return found


def test_no_module_but_its_own_names_a_kind_of_step() -> None:
    """A kind is one module and a line in the registry: nothing else has to be changed for a new one."""
    own = ("scenario/steps/", *(f"activities/{channel}/" for channel in CHANNELS))
    outside = [path for path in production() if not name(path).startswith(own)]
    named = {name(path): kinds_named(tree(path)) for path in outside}
    named = {module: kinds for module, kinds in named.items() if kinds}
    assert named == {}


NONE: set[str] = set()
STEPS = "from scenario.steps.branch import If, IfRow\nfrom scenario.steps.delivery import Send\n"


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("KINDS = {'wait': 1, 'order': 2}", {"wait"}),
        ("WORDS = {'hook': 'webhook'}", {"webhook"}),
        ("if step.kind == 'exit': ...", {"exit"}),
        ("Kind = Literal['wait_for']", {"wait_for"}),
        ("Kind = Literal['if', 'exit']", {"if", "exit"}),
        ("match kind:\n    case 'wait' | 'webhook': ...", {"wait", "webhook"}),
        (STEPS + "match row:\n    case IfRow(): ...", {"if"}),
        (STEPS + "SHOWN = {If: 1}", {"if"}),
        (STEPS + "match row:\n    case Send(): ...", NONE),
        ("SHOWN = {If: 1}", NONE),
        ("CONTACT = ('email', 'cellphone')", NONE),
        ("_HERE = ('allOf', 'else', 'if', 'then')", NONE),
        ("if path[:1] == ('exit',): ...", NONE),
    ],
)
def test_a_table_that_names_a_kind_is_found(source: str, kinds: set[str]) -> None:
    assert kinds_named(ast.parse(source)) == kinds


def test_no_module_is_a_drawer() -> None:
    found = [
        name(path)
        for path in modules(*PACKAGES, "tests", "benchmarks", "deploy")
        if DRAWERS & {path.stem, path.parent.name}
    ]
    assert found == []


def test_no_class_name_stands_twice() -> None:
    names = Counter(
        node.name for path in production() for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)
    )
    twice = {one for one, number in names.items() if number > 1 and not one.startswith("_")}
    assert twice == {"Store"}, "the database, and the shop of an order"


def test_modules_are_short() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in production()}
    assert {module: count for module, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize(
    ("packages", "users"),
    [
        (("css_inline", "selectolax", "activities.email.markup"), {"activities/email/markup.py"}),  # parsers of HTML
        # One stack serves; aiohttp is the transport of the client.
        (("aiohttp.web", "aiohttp.web_runner", "http.server"), NONE),
        (("uvicorn",), {"runtime/process/http_server.py"}),
    ],
)
def test_only_some_modules_load_a_package(packages: tuple[str, ...], users: set[str]) -> None:
    found = {name(path) for path in production() if any(inside(module, packages) for module in imports_of(path))}
    assert found == users


def test_only_the_command_line_prints_and_no_setting_is_read_at_import_time() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in production()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    found += [
        f"{name(path)}:{node.lineno}"
        for path in production()
        for node in at_import(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]
    assert [place for place in found if not place.startswith("cli/")] == []


def test_a_missing_workflow_is_told_from_a_missing_namespace() -> None:
    """Temporal answers NOT_FOUND for both: `runtime.temporal_faults` tells them apart."""
    found = {name(path) for path in production() if "RPCStatusCode.NOT_FOUND" in path.read_text(encoding="utf-8")}
    about_others = {"activities/open_attempt.py", "activities/retention.py", "activities/retry.py"}
    about_namespaces = {"runtime/connection.py", "runtime/process/namespace.py", "runtime/temporal_faults.py"}
    assert found <= about_others | about_namespaces


def test_ci_runs_the_readmes_test_command_and_a_commit_is_asked_what_ci_asks_first() -> None:
    ci = ROOT / ".ci" / "run"
    said = subprocess.run(["bash", str(ci), "--tests"], check=True, capture_output=True, encoding="utf-8").stdout
    assert said.startswith("uv run --group test pytest")
    assert f"pip install uv && {said.strip()}" in (ROOT / "README.md").read_text(encoding="utf-8")
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    asked = [hook["entry"].replace("uv run --all-groups", "uv run") for hook in repository["hooks"]]
    assert asked == re.findall(r"^step (uv run .+)$", ci.read_text(encoding="utf-8"), re.MULTILINE)
