"""The compose file: valid, hardened, and of one mind with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from runtime import search_attributes
from runtime.local.devserver import DYNAMIC_CONFIG
from runtime.process import http_server
from runtime.settings import Settings
from runtime.telemetry import telemetry
from tests.servers import find
from worker import DRAIN, ENDING, PLATFORM

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
CONFIG: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = CONFIG["services"]
OURS = {"store", "worker", "gateway", "callbacks", "scenario"}


def compose() -> list[str]:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    if shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True).returncode == 0:
        return plugin
    pytest.skip("docker-compose is not installed")


def seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return int(match[1])


def test_compose_takes_the_file() -> None:
    command = [*compose(), "--file", str(COMPOSE), "--profile", "*", "config", "--quiet"]
    done = subprocess.run(command, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_all_yaml_for_deployments_is_tidy() -> None:
    linter = [sys.executable, "-m", "yamllint", "--strict", "--format", "parsable", "--config-file"]
    command = [*linter, DEPLOY / "yamllint.yaml", DEPLOY, ROOT / ".github"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (done.stdout, done.returncode) == ("", 0)


def test_scripts_can_be_read_by_their_shell_and_be_run() -> None:
    for path in (*sorted(DEPLOY.glob("*.sh")), ROOT / ".ci" / "run"):
        shell = path.read_text(encoding="utf-8").splitlines()[0].rpartition("/")[2].split()[-1]
        done = subprocess.run([shell, "-n", str(path)], capture_output=True)
        assert (done.returncode, done.stderr.decode()) == (0, ""), path.name
        assert path.stat().st_mode & 0o111 or path.parent != DEPLOY, path.name


def test_every_service_is_hardened_versioned_without_a_password_and_open_to_this_host_only() -> None:
    assert {Path(secret["file"]).parent.name for secret in CONFIG["secrets"].values()} == {"secrets"}
    for name, service in SERVICES.items():
        assert name in OURS or re.fullmatch(r"[a-z/-]+:v?\d+(\.\d+)*", service["image"]), name
        assert not re.search(r"(PASSWORD|PWD|SECRET|KEY)\b", " ".join(service.get("environment", {}))), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert service.get("read_only") is (None if name == "temporal-ui" else True), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_passwords_stay_out_of_git() -> None:
    names = ("secrets/postgres_password", "secrets/channels/smtp", "secrets/webhooks/TOKEN", "worker.env")
    paths = [f"deploy/{name}" for name in names]
    ignored = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, encoding="utf-8")
    if ignored.returncode == 128:
        pytest.skip("this is not a git checkout")
    assert ignored.stdout.split() == paths


def test_the_search_attributes_are_those_of_the_code() -> None:
    script = cast("list[str]", SERVICES["temporal-init"]["command"])[0]
    assert re.findall(r"--name (\w+)", script) == [key.name for key in search_attributes.ALL]
    assert "--type Keyword" in script


def test_temporal_is_the_release_that_is_tested_against() -> None:
    said = subprocess.run([find("temporal"), "--version"], check=True, capture_output=True, encoding="utf-8").stdout
    server, ui = re.findall(r"(?:Server|UI) ([\d.]+)", said)
    images = {name: SERVICES[name]["image"].rpartition(":")[2] for name in SERVICES if name.startswith("temporal")}
    assert images == {"temporal": server, "temporal-schema": server, "temporal-init": server, "temporal-ui": ui}


def test_temporal_is_set_as_the_local_server_is() -> None:
    only_for_trying = {"frontend.WorkflowTimeSkippingEnabled"}
    written = yaml.safe_load((DEPLOY / "temporal.yaml").read_text(encoding="utf-8"))
    assert written == {key: [{"value": value}] for key, value in DYNAMIC_CONFIG.items() if key not in only_for_trying}


def test_processes_may_finish_draining_and_gateways_have_the_workers_store_but_none_of_their_secrets() -> None:
    assert seconds(SERVICES["worker"]["stop_grace_period"]) >= (DRAIN + PLATFORM).total_seconds()
    assert ENDING < PLATFORM
    volumes = ["./secrets/channels:/run/channels:ro", "./destinations:/run/destinations:ro"]
    for name in ("gateway", "callbacks"):
        gateway = SERVICES[name]
        assert seconds(gateway["stop_grace_period"]) > http_server.DRAIN + telemetry.PATIENCE, name
        assert (gateway["networks"], gateway["secrets"]) == (["default", "database"], ["scenario_password"]), name
        assert ("SCENARIO_SECRETS_DIR" in gateway["environment"], gateway["volumes"]) == (False, volumes), name


def test_what_is_open_to_the_world_is_a_process_of_its_own() -> None:
    assert {"--api", "--pages"} <= set(SERVICES["gateway"]["command"])
    assert not {"--api", "--pages"} & set(SERVICES["callbacks"]["command"])
    assert "--callbacks" not in SERVICES["gateway"]["command"]
    ports = [port.rpartition(":")[0] for name in SERVICES for port in SERVICES[name].get("ports", [])]
    assert len(ports) == len(set(ports)), "two services at one port of the host"


KNOWN = {f"SCENARIO_{field}".upper() for field in Settings.model_fields}


@pytest.mark.parametrize("name", ["worker", "scenario", "gateway", "callbacks"])
def test_the_settings_are_ones_that_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_here = dict(SERVICES[name]["environment"])
    set_here.pop("SCENARIO_SECRETS_DIR", None)  # a folder of the container
    for variable, value in set_here.items():
        monkeypatch.setenv(variable, value)
    assert {variable for variable in set_here if variable.startswith("SCENARIO_")} <= KNOWN
    assert Settings().store.get_secret_value() == SERVICES[name]["environment"]["SCENARIO_STORE"]


def test_the_example_of_settings_names_ones_that_exist() -> None:
    text = (DEPLOY / "worker.env.example").read_text(encoding="utf-8")
    named = re.findall(r"^#(SCENARIO_\w+?)(?:_FILE)?=", text, re.MULTILINE)
    assert set() < set(named) <= KNOWN


def test_a_worker_is_told_what_its_image_tells_it_and_where_its_metrics_are() -> None:
    image = re.findall(r'^CMD \["(.*)"\]$', (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    told = " ".join(SERVICES["worker"]["command"]).replace("=", " ")
    assert told == " ".join([*image.split('", "'), "--metrics-port 9090 --metrics-host 0.0.0.0"])


def test_prometheus_scrapes_what_serves_metrics_and_has_its_rules() -> None:
    folder = DEPLOY / "prometheus"
    assert "./prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    config = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    assert all((folder / name).exists() for name in config["rule_files"])
    targets = {
        (name, source["port"])
        for job in config["scrape_configs"]
        for source in job["dns_sd_configs"]
        for name in source["names"]
    }
    serving = {
        (name, 9090)
        for name in ("worker", "gateway", "callbacks")
        if "--metrics-port 9090" in " ".join(SERVICES[name]["command"]).replace("=", " ")
    }
    assert ("worker", 9090) in serving
    assert targets == serving


def test_grafana_shows_the_dashboard_by_that_prometheus() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    [datasources] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert datasources["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "files.yaml").read_text(encoding="utf-8"))["providers"]
    mounted = [volume.split(":") for volume in SERVICES["grafana"]["volumes"]]
    folder = Path(provider["options"]["path"])
    [shown] = [DEPLOY / source for source, target, _ in mounted if Path(target).parent == folder]
    assert (shown.suffix, shown.exists()) == (".json", True)
