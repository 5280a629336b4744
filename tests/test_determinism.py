"""Workflow code read for what a replay would answer otherwise: workers run it without the SDK's sandbox."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_architecture import arrows, dotted, imports, inside, modules, name, production, tree

# Clocks, chance, the process's own state, and what does not run on the workflow's own event loop.
MODULES = (
    *("concurrent", "contextvars", "multiprocessing", "os", "random", "secrets", "selectors", "signal", "socket"),
    *("subprocess", "tempfile", "threading", "time", "uuid"),
)
READS = {"datetime.now", "datetime.today", "datetime.utcnow", "date.today"}
STEADY = {"asyncio.CancelledError", "asyncio.Task", "asyncio.create_task", "asyncio.current_task"}
"""The parts of asyncio that schedule alike on Python 3.11, 3.12 and 3.13. Others were rewritten in between: `wait_for`,
`timeout`, `gather`, `as_completed`, `TaskGroup`."""
LIMITED = {"wait_condition", "wait", "as_completed"}
"""Functions of `temporalio.workflow` that with a timeout are `asyncio.wait_for`; use `workflows.primitives.wait`."""
CALLS = {"hash", "input", "open", "print"}
SET_TYPES = {"AbstractSet", "Set", "frozenset", "set"}
SET_METHODS = {"difference", "intersection", "symmetric_difference", "union"}
INSENSITIVE = {"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"}
"""Functions whose result does not depend on the order of what they are given."""

ALLOWED = {
    # The time limit of rendering, which only activities do, and its change for a batch.
    "scenario/liquid/engine/limits.py": ["time", "contextvars.ContextVar"],
    # Outputs that printed nothing, which previews record: templates are rendered by activities only.
    "scenario/liquid/engine/context.py": ["contextvars.ContextVar"],
    "runtime/search_attributes.py": ["asyncio.timeout", "asyncio.sleep"],  # registers them when a process starts
    "scenario/liquid/engine/environment.py": ["threading"],  # one for all threads, of parsed templates
    "scenario/responses.py": ["threading"],  # what a check of a response may still cost: activities only
}
# Plans are made, and templates analysed, when a version is published.
ELSEWHERE = ("scenario.check", "scenario.liquid", "scenario.map")


@cache
def loaded() -> list[Path]:
    """Return the modules that workflow code loads, by whatever way."""
    graph = arrows()
    found: set[str] = set()
    to_see = [module for module in graph if inside(module, ("workflows",))]
    while to_see:
        module = to_see.pop()
        if module not in found:
            found.add(module)
            to_see += graph[module]
    return [path for path in production() if dotted(path) in found]


def chance(code: ast.AST) -> Iterator[str]:
    """Yield the imports, attributes and calls that answer otherwise in a replay."""
    yield from (module for module in imports(code) if inside(module, MODULES) or module.startswith("asyncio."))
    for node in ast.walk(code):
        match node:
            case ast.Attribute() if (text := ast.unparse(node)) in READS or text.removeprefix("dt.") in READS:
                yield text
            case ast.Attribute(value=ast.Name(id="asyncio")) if (text := ast.unparse(node)) not in STEADY:
                yield text
            case ast.Call(func=ast.Attribute(attr=called), keywords=named) if called in LIMITED:
                yield from (f"{called}(timeout)" for keyword in named if keyword.arg == "timeout")
            case ast.Call(func=ast.Name(id=called)) if called in CALLS:
                yield called
            case ast.Global(names=names):
                yield f"global {', '.join(names)}"
            case _:
                pass


def declared_sets(code: ast.AST) -> set[str]:
    """Return the names that a module annotates or assigns as sets."""
    names: set[str] = set()
    for node in ast.walk(code):
        match node:
            case ast.arg(arg=given, annotation=ast.expr() as kind) if is_set_type(kind):
                names.add(given)
            case ast.AnnAssign(target=ast.Name(id=given) | ast.Attribute(attr=given), annotation=kind) if is_set_type(
                kind
            ):
                names.add(given)
            case ast.Assign(targets=[ast.Name(id=given) | ast.Attribute(attr=given)], value=value) if is_set(value):
                names.add(given)
            case _:
                pass
    return names


def is_set_type(kind: ast.expr) -> bool:
    match kind:
        case ast.Subscript(value=ast.Name(id="ClassVar" | "Final" | "Annotated"), slice=inner):
            return is_set_type(inner)
        case ast.Subscript(value=ast.Name(id=given)) | ast.Name(id=given):
            return given in SET_TYPES
        case ast.BinOp(left=left, right=right):
            return is_set_type(left) or is_set_type(right)
        case _:
            return False


def is_set(node: ast.expr, names: frozenset[str] | set[str] = frozenset()) -> bool:
    """Return True if an expression is a set, as far as one module tells."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=called) | ast.Subscript(value=ast.Name(id=called))):
            return called in SET_TYPES
        case ast.Call(func=ast.Attribute(attr=method)):
            return method in SET_METHODS
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), left=left, right=right):
            return any(is_set(side, names) or ast.unparse(side).endswith(".keys()") for side in (left, right))
        case ast.IfExp(body=body, orelse=other):
            return is_set(body, names) or is_set(other, names)
        case ast.Name(id=given) | ast.Attribute(attr=given):
            return given in names
        case _:
            return False


def iterated(node: ast.AST) -> list[ast.expr]:
    """Return the expressions that a node goes through in their order."""
    match node:
        case ast.For(iter=through):
            return [through]
        case ast.ListComp(generators=parts) | ast.GeneratorExp(generators=parts) | ast.DictComp(generators=parts):
            return [part.iter for part in parts]
        case ast.Call(func=ast.Name(id="dict" | "enumerate" | "filter" | "iter" | "list" | "map" | "tuple" | "zip")):
            return node.args
        case ast.Call(func=ast.Attribute(attr="extend" | "fromkeys" | "join")):
            return node.args
        case ast.Call(func=ast.Attribute(value=popped, attr="pop"), args=[]):
            return [popped]
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [part.value for part in parts if isinstance(part, ast.Starred)]
        case _:
            return []


def unordered(code: ast.AST) -> Iterator[str]:
    """Yield where a module goes through a set: the order of texts in it is another one in each process."""
    names = declared_sets(code)
    calls = (node for node in ast.walk(code) if isinstance(node, ast.Call))
    harmless = {
        argument
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in INSENSITIVE
        for argument in call.args
    }
    for node in ast.walk(code):
        if node not in harmless and any(is_set(through, names) for through in iterated(node)):
            yield ast.unparse(node).partition("\n")[0]


def test_workflow_code_reads_no_clock_no_chance_and_nothing_of_its_process() -> None:
    paths = {*modules("scenario", "workflows"), *loaded()}
    found = {name(path): list(chance(tree(path))) for path in sorted(paths)}
    assert {module: wrong for module, wrong in found.items() if wrong} == ALLOWED


def test_workflow_code_goes_through_no_set() -> None:
    paths = [path for path in loaded() if not inside(dotted(path), ELSEWHERE)]
    found = {name(path): list(unordered(tree(path))) for path in paths}
    assert {module: wrong for module, wrong in found.items() if wrong} == {}


def test_all_of_what_workflow_code_loads_is_read() -> None:
    read = {dotted(path) for path in loaded()}
    assert {"workflows.journey", "activities.interface", "runtime.search_attributes", "scenario.steps.wait"} <= read
    assert "runtime.store" not in read


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from uuid import uuid4", ["uuid.uuid4"]),
        ("def f():\n    import threading", ["threading"]),
        ("at = datetime.now(UTC)", ["datetime.now"]),
        ("at = dt.datetime.utcnow()", ["dt.datetime.utcnow"]),
        ("at = workflow.now()", []),
        ("await asyncio.wait_for(x, 1)", ["asyncio.wait_for"]),
        ("async with asyncio.TaskGroup() as group: ...", ["asyncio.TaskGroup"]),
        ("from asyncio import timeout", ["asyncio.timeout"]),
        ("task = asyncio.create_task(f())", []),
        ("await workflow.wait_condition(f, timeout=limit)", ["wait_condition(timeout)"]),
        ("await workflow.wait_condition(f)", []),
        ("bucket = hash(contact) % 100", ["hash"]),
        ("def f():\n    global SEEN", ["global SEEN"]),
    ],
)
def test_what_a_replay_would_answer_otherwise_is_found(source: str, found: list[str]) -> None:
    assert list(chance(ast.parse(source))) == found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("for name in {'a', 'b'}: ...", 1),
        ("for name in sorted(set(names)): ...", 0),
        ("for name in old.keys() - new.keys(): ...", 1),
        ("for name in left | right: ...", 0),
        ("seen: set[str] = f()\nlist(seen)", 1),
        ("seen = set[str]()\n','.join(seen)", 1),
        ("def f(names: frozenset[str] | None): return [g(name) for name in names]", 1),
        ("def f(names: frozenset[str]): return sum(g(name) for name in names)", 0),
        ("class A:\n    left: Final[set[str]]\n    def f(self): return (*self.left,)", 1),
        ("seen = {1}\nfirst = seen.pop()", 1),
        ("both = {*{1}, *{2}}", 0),
    ],
)
def test_a_loop_over_a_set_is_found(source: str, count: int) -> None:
    assert len(list(unordered(ast.parse(source)))) == count
