"""The size of the project and the weight of its prose: lines, modules, docstrings, names, casts, words.

``python -m benchmarks.size [FOLDER]`` prints one figure a line, so that ``diff`` can compare two states.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PRODUCTION: Final = (
    "scenario",
    "workflows",
    "activities",
    "runtime",
    "authoring",
    "service",
    "gateway",
    "cli",
    "splio",
    "deploy",
)
CLAUSE: Final = re.compile(
    r"(What|Who|Whose|Whom|Where|How|That|As|Whether|Of|By|In|From|With|Without|On|Those|One|Until|Since|Whatever)\b"
)
"""The first word of a docstring that describes a thing by a clause instead of naming it."""
_LAYOUT: Final = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documented(tree: ast.Module) -> Iterator[tuple[_Documented, ast.Constant]]:
    """Yield each node with a docstring, and the docstring."""
    for node in ast.walk(tree):
        if isinstance(node, _Documented) and node.body and isinstance(node.body[0], ast.Expr):
            value = node.body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield node, value


def modules(root: Path, *folders: str) -> list[Path]:
    """Return the Python files of folders, and of the root itself if it is among them."""
    found = [path for folder in folders for path in (root / folder).rglob("*.py")]
    return sorted(path for path in found if "node_modules" not in path.parts)


def main(root: Path) -> None:
    """Print all figures."""
    paths = [*modules(root, *PRODUCTION), root / "worker.py"]
    total, code, prose, clauses, docstrings, casts = 0, 0, 0, 0, 0, 0
    small = 0
    classes: Counter[str] = Counter()
    for path in paths:
        source = path.read_text(encoding="utf-8")
        tree, lines = ast.parse(source), source.count("\n")
        total, small = total + lines, small + (0 < lines < 60)
        inside: set[int] = set()
        for _, text in documented(tree):
            inside |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
            docstrings, clauses = docstrings + 1, clauses + bool(CLAUSE.match(str(text.value).strip()))
        prose += len(inside)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                inside |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        held = {line for t in tokens if t.type not in _LAYOUT for line in range(t.start[0], t.end[0] + 1)}
        code += len(held - inside)
        casts += len(re.findall(r"\bcast\(", source))
        classes.update(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    pages = [*(root / "docs").rglob("*.md"), *root.glob("*.md")]
    tests = modules(root, "tests")
    figures = {
        "production lines": total,
        "production modules": len(paths),
        "modules under 60 lines": small,
        "lines of code, without imports": code,
        "docstring lines per code line": f"{prose / code:.2f}",
        "docstrings that start with a clause": f"{100 * clauses / docstrings:.1f} % of {docstrings}",
        "class names that stand twice": sum(count > 1 for count in classes.values()),
        "casts": casts,
        "test lines": sum(path.read_text(encoding="utf-8").count("\n") for path in tests),
        "words in docs": sum(len(page.read_text(encoding="utf-8").split()) for page in pages),
    }
    for name, value in figures.items():
        sys.stdout.write(f"{name:38} {value}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
