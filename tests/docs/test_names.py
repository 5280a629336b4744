"""Modules, files and links, as docs and docstrings name them, are there; keys of JSON are described."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from docs.reference import VIEWS, commands, views
from runtime.telemetry.metrics import OF_ALL, OF_EACH
from tests.journey import HELD, shown

ROOT = Path(__file__).parent.parent.parent
PACKAGES = (
    *("activities", "authoring", "cli", "gateway", "runtime", "scenario", "service", "splio", "workflows"),
    *("tests", "benchmarks", "deploy", "docs", "examples"),
)
CODE = re.compile(r"(?<!`)(`{1,2})([^`\n]+)\1(?!`)")
FILE = re.compile(rf"(?:{'|'.join(PACKAGES)})/[\w/-]*(?:\.\w+)?|(?:[\w-]+/)*[\w-]+\.py")
MODULE = re.compile(rf"(?:{'|'.join(PACKAGES)}|worker)(?:\.\w+)+")
NOT_OURS = {"verify.py", "worker.env", "worker.env.example", "deploy/worker.env"} | {  # a receiver's, an operator's,
    metric.name
    for metric in (*OF_EACH, *OF_ALL)  # and what is named like modules
}


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found.remove(Path(__file__))
    return [*sorted(found), ROOT / "worker.py", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]


def named(text: str) -> Iterator[str]:
    for _, code in CODE.findall(text):
        if code not in NOT_OURS and (MODULE.fullmatch(code) or FILE.fullmatch(code)):
            yield code


def module(name: str) -> tuple[Path, list[str]]:
    """The file of the module that a dotted name begins with, and what follows."""
    path, *rest = ROOT / name.partition(".")[0], *name.split(".")[1:]
    while rest and (path / rest[0]).is_dir():
        path /= rest.pop(0)
    if rest and (path / f"{rest[0]}.py").is_file():
        return path / f"{rest.pop(0)}.py", rest
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py"), rest


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def has(body: list[ast.stmt], names: list[str]) -> bool:
    """Whether the body of a module or class defines a name, and that the next one, and so on."""
    if not names:
        return True
    first, *rest = names
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == first:
                return has(node.body, rest)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name == first:
                return not rest
            case ast.ImportFrom() if first in (alias.name for alias in node.names):
                return exists(".".join((node.module or "", first, *rest)))
            case _:
                pass
    return False


@cache
def exists(name: str) -> bool:
    if FILE.fullmatch(name):
        return (ROOT / name).exists() or any(ROOT.glob(f"[a-z]*/**/{name}"))
    path, rest = module(name)
    return has(tree(path).body, rest) if path.is_file() else not rest and path.parent.is_dir()


def lost(text: str) -> list[str]:
    return [name for name in named(text) if not exists(name)]


def test_what_is_named_is_there() -> None:
    # One test for all of them: a test for each would cost more than what it looks at.
    gone = {path.relative_to(ROOT).as_posix(): lost(path.read_text(encoding="utf-8")) for path in sources()}
    assert {path: names for path, names in gone.items() if names} == {}


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("`scenario/plan/plan.py`, ``service.client.ScenarioClient.publish``, `tests/replay/histories/`", []),
        ("`order.delivered`, `email/text`, `scenario: post-purchase`", []),
        ("`scenario/plans.py`", ["scenario/plans.py"]),
        ("`service.client.ScenarioClient.published`", ["service.client.ScenarioClient.published"]),
        ("`nowhere.py`", ["nowhere.py"]),
    ],
)
def test_what_is_gone_is_found(text: str, gone: list[str]) -> None:
    assert lost(text) == gone


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def leads(page: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_links_lead_somewhere() -> None:
    # The strict build of the site, which also knows the pages that are generated, checks those of docs/.
    for page in ROOT.glob("*.md"):
        links = re.findall(r"\]\(((?!https?:)[^)\s]+)\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not leads(page, link)] == [], page.name


def test_every_key_is_described() -> None:
    page = "\n".join(views())
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    assert [key for key, meaning in rows if not meaning.strip()] == []
    keys = {key.strip(" `") for key, _ in rows}
    journey = shown(HELD)
    assert {*journey, *journey["steps"][0], *journey["deliveries"][0]} <= keys
    assert all(f"## {title}" in page for title in VIEWS)


def test_options_show_the_words_that_they_take() -> None:
    page = "\n".join(commands())
    assert all(f"`{option}`" in page for option in ("--format text\\|json", "--format svg\\|mermaid", "--by day"))
    assert "LITERAL" not in page
