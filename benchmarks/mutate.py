"""Mutation testing: change the code in small ways, and report the changes that no test notices.

Run by hand, from the project's root::

    python -m benchmarks.mutate scenario/policies=80 --tests tests/scenario/policies --out before.json
    python -m benchmarks.mutate scenario/policies --tests tests/scenario/policies --same before.json --out after.json

One process imports the code and collects the tests. A first fork records which tests reach which lines. Each mutant is
applied in another fork, which runs the tests that reach its line, the quickest first, until one fails. Code of
functions is exchanged in place and in later imports (Temporal's sandbox imports workflows again).

An id names the file, the function, the change and its ordinal there, so it survives changes elsewhere in the file.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[1]
_COMPARISONS: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}  # fmt: skip
_STALLED: Final = 90.0
_Functions = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Mutant:
    """A change of one expression or statement.

    Attributes:
        lines: First and last line of the statement or of its head. A test that reaches one of them is run.
        span: First and last line, and the offsets in bytes in these, of the code that is replaced.
    """

    file: str
    function: str
    line: int
    kind: str
    before: str
    after: str
    ordinal: int
    lines: tuple[int, int]
    span: tuple[int, int, int, int]

    @property
    def id(self) -> str:
        """The id, which contains no line number."""
        return f"{self.file}:{self.function}:{self.kind}:{self.before}:{self.ordinal}"

    def text(self) -> str:
        """Return the text of the changed file."""
        lines = (_ROOT / self.file).read_bytes().splitlines(keepends=True)
        first, start, last, end = self.span
        changed = lines[first - 1][:start] + self.after.encode() + lines[last - 1][end:]
        # As many lines as before, so that the lines of other functions do not change.
        rest = [b"\n"] * (last - first)
        return b"".join([*lines[: first - 1], changed, *rest, *lines[last:]]).decode()


def mutants(file: Path) -> list[Mutant]:
    """Return all mutants of a file's functions, in the order of the code."""
    found: list[Mutant] = []
    seen = Counter[tuple[str, str, str]]()
    name = file.resolve().relative_to(_ROOT).as_posix()

    def visit(node: ast.AST, function: str, statement: tuple[int, int]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (*_Functions, ast.ClassDef)):
                inside = f"{function}.{child.name}".lstrip(".")
                for line in child.body:
                    visit(ast.Module([line], []), inside, statement)
                continue
            here = _lines(child) if isinstance(child, ast.stmt) else statement
            if function and not isinstance(node, ast.ClassDef):
                for kind, after in _changes(child):
                    add(child, kind, after, function, here)
            if isinstance(child, ast.AnnAssign):
                if child.value is not None:
                    visit(ast.Expr(child.value), function, here)
            elif not _is_docstring(child):
                visit(child, function, here)

    def add(node: Any, kind: str, after: str, function: str, lines: tuple[int, int]) -> None:
        before = ast.unparse(node)
        seen[function, kind, before] += 1
        span = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        ordinal = seen[function, kind, before]
        found.append(Mutant(name, function, node.lineno, kind, before, after, ordinal, lines, span))

    visit(ast.parse(file.read_text("utf-8")), "", (0, 0))
    return [mutant for mutant in found if _is_within_function(mutant, file)]


@functools.cache
def _functions(file: Path) -> list[tuple[int, int]]:
    tree = ast.parse(file.read_text("utf-8"))
    return [
        (node.body[0].lineno, node.end_lineno or node.lineno) for node in ast.walk(tree) if isinstance(node, _Functions)
    ]


def _is_within_function(mutant: Mutant, file: Path) -> bool:
    return any(first <= mutant.line <= last for first, last in _functions(file))


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """Return the lines of a statement, or of its head if it has a body."""
    last = statement.end_lineno or statement.lineno
    match statement:
        case ast.If(test=head) | ast.While(test=head) | ast.For(iter=head) | ast.AsyncFor(iter=head):
            last = head.end_lineno or last
        case ast.Match(subject=head):
            last = head.end_lineno or last
        case ast.With() | ast.AsyncWith() | ast.Try():
            last = statement.lineno
        case _:
            pass
    return statement.lineno, last


def _changes(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the kinds of change of a node, and the code that replaces it."""
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in _COMPARISONS:
            yield "comparison", f"({ast.unparse(ast.Compare(left, [_COMPARISONS[type(operator)]()], [right]))})"
        case ast.BoolOp(operator, values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and/or", f"({ast.unparse(ast.BoolOp(other, values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield "no not", f"(bool({ast.unparse(operand)}))"
        case ast.BinOp(left, operator, right) if type(operator) in _ARITHMETIC and not _is_text(node):
            yield "arithmetic", f"({ast.unparse(ast.BinOp(left, _ARITHMETIC[type(operator)](), right))})"
        case ast.Constant(bool(value)):
            yield "constant", str(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", repr(value + 1)
        case ast.IfExp(test, body, orelse):
            yield "other way", f"({ast.unparse(ast.IfExp(test, orelse, body))})"
        case ast.If(test) | ast.While(test):
            pass  # changes of their conditions suffice
        case ast.Return(value) if value is not None and not _is_none(value):
            yield "return nothing", "return None"
        case ast.Expr(ast.Call() | ast.Await()):
            yield "no statement", "pass"
        case ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield "no statement", "pass"
        case ast.Raise():
            yield "no statement", "pass"
        case ast.Call(function, arguments, [*_, ast.keyword(arg=str())] as keywords):
            yield "no keyword", ast.unparse(ast.Call(function, arguments, keywords[:-1]))
        case ast.Break():
            yield "no statement", "continue"
        case ast.Continue():
            yield "no statement", "break"
        case _:
            pass


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(side, (ast.JoinedStr, ast.List, ast.Tuple)) for side in (node.left, node.right)) or any(
        isinstance(side, ast.Constant) and isinstance(side.value, str) for side in (node.left, node.right)
    )


# ---- applying a mutant


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def apply(mutant: Mutant) -> None:
    """Exchange the code of the loaded functions of a mutant's file, and of those that are loaded later.

    Raises:
        ValueError: No loaded function has this code, or the new code cannot take its place.
    """
    file, text = str(_ROOT / mutant.file), mutant.text()
    changed = {(code.co_qualname, code.co_firstlineno): code for code in _codes(compile(text, file, "exec"))}
    gc.unfreeze()  # so that `gc.get_objects` includes the functions
    number = 0
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == file:
            new = changed.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
            if new is not None:
                function.__code__ = new
                number += 1
    if not number:
        raise ValueError("no function has this code")
    get_code = SourceFileLoader.get_code

    def get_changed(loader: SourceFileLoader, fullname: str) -> CodeType | None:
        changes = loader.get_filename(fullname) == file
        return compile(text, file, "exec") if changes else get_code(loader, fullname)

    SourceFileLoader.get_code = get_changed  # pyright: ignore[reportAttributeAccessIssue]


# ---- the tests


class Reach:
    """The lines of some files that each test reaches, and the time that it takes."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = {str(_ROOT / file): file for file in files}
        self._lines: set[tuple[str, int]] = set()

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        file = self._files.get(frame.f_code.co_filename)
        if file is None:
            return None
        self._lines.add((file, frame.f_lineno))
        return self._trace

    def run(self, items: Sequence[pytest.Item], output: Path) -> None:
        """Run tests. Append a line of JSON for each: its time and its lines, unless it failed."""
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        for index, item in enumerate(items):
            self._lines, began, failed = set(), time.monotonic(), item.session.testsfailed
            _run(items, index)
            seconds = time.monotonic() - began
            lines: defaultdict[str, list[int]] = defaultdict(list)
            if item.session.testsfailed == failed:
                for file, line in list(self._lines):
                    lines[file].append(line)
            with output.open("a", encoding="utf-8") as notes:
                notes.write(json.dumps({"test": item.nodeid, "seconds": round(seconds, 3), "lines": lines}) + "\n")


def _read(notes: Path) -> dict[str, Any]:
    lines = notes.read_text("utf-8").splitlines() if notes.exists() else []
    return {note["test"]: note for note in map(json.loads, lines)}


def _missing(items: Sequence[pytest.Item], notes: Path) -> list[pytest.Item]:
    known = _read(notes)
    return [item for item in items if item.nodeid not in known]


def _run(items: Sequence[pytest.Item], index: int) -> None:
    following = items[index + 1] if index + 1 < len(items) else None
    items[index].config.hook.pytest_runtest_protocol(item=items[index], nextitem=following)


def _until_failed(items: Sequence[pytest.Item], session: pytest.Session, output: Path) -> None:
    for index, item in enumerate(items):
        _run(items, index)
        if session.testsfailed:
            output.write_text(item.nodeid, "utf-8")
            return


def _in_fork(work: Callable[[], None], limit: float | None, watched: Path | None = None) -> str:
    """Call `work` in a fork that leads a process group. Return ``done``, ``error`` or ``timeout``.

    Args:
        limit: Seconds after which the fork is killed.
        watched: A file that it writes. The fork is killed if it writes nothing for `_STALLED` seconds.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:  # the fork must not return to the parent's code
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(status)
    end = None if limit is None else time.monotonic() + limit
    began, result = time.time(), "timeout"
    while end is None or time.monotonic() < end:
        if watched is not None:
            written = watched.stat().st_mtime if watched.exists() else began
            if time.time() - max(began, written) > _STALLED:
                break
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            result = "done" if status == 0 else "error"
            break
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if result == "timeout":
        os.waitpid(child, 0)
    return result


class Plugin:
    """A pytest plugin that runs mutants instead of the collected tests.

    Attributes:
        chosen: The mutants.
        known: The test that caught a mutant in an earlier run, by the mutant's id. It runs first.
    """

    def __init__(
        self, chosen: Sequence[Mutant], known: Mapping[str, str], gone: Sequence[str], options: argparse.Namespace
    ) -> None:
        self.chosen, self.known, self.gone, self.options = chosen, known, gone, options
        self.results: list[dict[str, Any]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Find what tests reach, then run each mutant."""
        out = Path(self.options.out)
        notes = out.with_suffix(".reach")
        items = {item.nodeid: item for item in session.items}
        if not self.options.keep_reach:
            notes.unlink(missing_ok=True)
        files = sorted({mutant.file for mutant in self.chosen})
        while missing := _missing(session.items, notes):
            _in_fork(functools.partial(Reach(files).run, missing, notes), None, watched=notes)
            if len(_missing(session.items, notes)) == len(missing):
                with notes.open("a", encoding="utf-8") as file:  # this test hangs if it is traced
                    file.write(json.dumps({"test": missing[0].nodeid, "seconds": 0, "lines": {}}) + "\n")
        reached = {name: note for name, note in _read(notes).items() if name in items}
        for mutant in self.chosen:
            began = time.monotonic()
            near = sorted(
                (name != self.known.get(mutant.id), each["seconds"], name)
                for name, each in reached.items()
                if any(mutant.lines[0] <= line <= mutant.lines[1] for line in each["lines"].get(mutant.file, ()))
            )
            tests, took = list[pytest.Item](), 0.0
            for _, seconds, name in near:
                tests.append(items[name])
                took += seconds
                if took > self.options.seconds:
                    break
            state, test = self._one(mutant, tests, session, out, 30 + 5 * took)
            self.results.append(
                {
                    "id": mutant.id,
                    "state": state,
                    "test": test,
                    "file": mutant.file,
                    "line": mutant.line,
                    "kind": mutant.kind,
                    "before": mutant.before,
                    "after": mutant.after,
                    "tests": len(near),
                    "seconds": round(time.monotonic() - began, 1),
                }
            )
            self.write(out)
        return True

    def _one(
        self, mutant: Mutant, items: list[pytest.Item], session: pytest.Session, out: Path, limit: float
    ) -> tuple[str, str]:
        failed = out.with_suffix(".failed")
        failed.unlink(missing_ok=True)
        if not items:
            return "survived", ""

        def run() -> None:
            apply(mutant)
            _until_failed(items, session, failed)

        ended = _in_fork(run, limit)
        if failed.exists():
            return "caught", failed.read_text("utf-8")
        return {"timeout": ("caught", "timeout"), "error": ("impossible", ""), "done": ("survived", "")}[ended]

    def write(self, out: Path) -> None:
        """Write the results so far."""
        states = Counter(result["state"] for result in self.results)
        out.write_text(json.dumps({"states": states, "gone": self.gone, "mutants": self.results}, indent=1), "utf-8")


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(file for file in place.glob("**/*.py") if file.stem != "__init__")


def main() -> int:
    """Run mutants, and print those that survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "code",
        nargs="+",
        metavar="PATH[=SAMPLE]",
        help="files or folders to mutate, with the number of mutants to sample",
    )
    parser.add_argument("--tests", nargs="+", required=True, help="files or folders of tests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--same", help="a file of results: run the mutants listed there")
    parser.add_argument(
        "--seconds", type=float, default=10, help="time limit for the tests of a mutant; the quickest run first"
    )
    parser.add_argument("--keep-reach", action="store_true", help="use the reach that an earlier run wrote")
    parser.add_argument("--out", default="mutants.json")
    options = parser.parse_args()
    every: dict[str, Mutant] = {}
    wanted: list[str] = []
    chance = random.Random(options.seed)
    for place, _, number in (given.partition("=") for given in options.code):
        here = {mutant.id: mutant for file in _files(Path(place)) for mutant in mutants(file)}
        wanted += chance.sample(sorted(here), min(int(number or len(here)), len(here)))
        every |= here
    known: dict[str, str] = {}
    if options.same:
        earlier = json.loads(Path(options.same).read_text("utf-8"))["mutants"]
        wanted = [mutant["id"] for mutant in earlier]
        known = {mutant["id"]: mutant["test"] for mutant in earlier}
    gone = [name for name in wanted if name not in every]
    plugin = Plugin([every[name] for name in wanted if name in every], known, gone, options)
    arguments = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", *options.tests]
    pytest.main(arguments, plugins=[plugin])
    survivors = [result for result in plugin.results if result["state"] == "survived"]
    for result in survivors:
        sys.stdout.write(f"{result['file']}:{result['line']}: {result['kind']}: {result['before']}\n")
    sys.stdout.write(f"{len(every)} possible, {len(plugin.results)} run, {len(survivors)} survived, {len(gone)} gone\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
