"""The files for Kubernetes: each overlay rendered, valid, hardened, and of one mind with the code.

Kubernetes' own kinds are checked by its schemas, which come with a package; of the kinds of controllers
(`WITHOUT_SCHEMA`), only what is asserted here.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock
from urllib.parse import parse_qs, urlsplit

import pytest
import typer.main
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import worker
from activities.channel_registry import CHANNELS, QUEUES
from activities.interface import JOURNEYS
from activities.webhook.destinations.reading import examine
from cli.app import app
from runtime.process import http_server
from runtime.process.http_server import ALIVE, READY
from runtime.settings import Settings
from runtime.telemetry import telemetry
from runtime.watched_file import PoliciesFile
from tests.documents import COMMAND, DOCS, DRAWN, RULES
from tests.servers import find
from worker import DRAIN, PLATFORM

Object = dict[str, Any]
Objects = tuple[Object, ...]

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
ENTRYPOINT = (ROOT / "deploy" / "entrypoint.sh").read_text(encoding="utf-8")
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
RELEASE = "1.37"
SCHEMAS = f"kubernetes-json-schema/v{RELEASE}.0-local-strict"
WITHOUT_SCHEMA = {
    "Connection",
    "PodMonitor",
    "PrometheusRule",
    "ScaledObject",
    "TriggerAuthentication",
    "WorkerDeployment",
    "WorkerResourceTemplate",
}
OURS = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
OF_TEMPORAL = {
    *("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_TLS", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
    *("TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH"),
}
FILES = set(re.findall(r"\b(?:SCENARIO|TEMPORAL|OTEL|PG)[A-Z_]*\b", ENTRYPOINT))
"""What `entrypoint.sh` takes from files."""
PROVIDED: dict[str, list[dict[str, str]]] = {
    "kube-system": [{"k8s-app": "kube-dns"}],
    **{name: [{}] for name in ("postgres", "temporal", "monitoring", "ingress-private", "ingress-public")},
}
"""Namespace → labels of each pod that the cluster provides there, if the policies may rely on them."""


@functools.cache
def rendered(overlay: str) -> Objects:
    """What an overlay puts into a cluster; made once a process."""
    command = [find("kubectl"), "kustomize", KUBERNETES / "overlays" / overlay]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(yaml.load_all(done.stdout, yaml.CSafeLoader))


@pytest.fixture(params=OVERLAYS)
def everything(request: pytest.FixtureRequest) -> Objects:
    return rendered(request.param)


def of_kind(everything: Objects, *kinds: str) -> dict[str, Object]:
    return {found["metadata"]["name"]: found for found in everything if found["kind"] in kinds}


def workloads(everything: Objects) -> dict[str, Object]:
    """Name → pod template."""
    found = of_kind(everything, "Deployment", "Job", "WorkerDeployment")
    return {name: workload["spec"]["template"] for name, workload in found.items()}


def ours(everything: Objects) -> dict[str, Object]:
    return {name: pod for name, pod in workloads(everything).items() if OURS in pod["metadata"]["labels"]}


def only(pod: Object) -> Object:
    [container] = pod["spec"]["containers"]
    return container


def selects(selector: Object, pod: Object) -> bool:
    labels: dict[str, str] = pod["metadata"]["labels"]
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for wanted in selector.get("matchExpressions", []):
        inside = labels.get(wanted["key"]) in wanted["values"]
        assert wanted["operator"] in ("In", "NotIn")
        if inside is not (wanted["operator"] == "In"):
            return False
    return True


def environment(everything: Objects, pod: Object) -> dict[str, str]:
    maps, found = of_kind(everything, "ConfigMap"), dict[str, str]()
    for source in only(pod).get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]["data"]
    return found | {one["name"]: one["value"] for one in only(pod).get("env", [])}


def options(pod: Object) -> dict[str, str]:
    return dict(text.removeprefix("--").split("=", 1) for text in only(pod)["args"] if "=" in text)


def secrets_of(pod: Object) -> set[str]:
    return {volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume}


@functools.cache
def definitions() -> Any:
    empty: Registry[Any] = Registry()
    return Resource[Any].from_contents(schema_contents("_definitions")) @ empty


def schema_contents(name: str) -> Any:
    # Imported here: it takes half a second, in each process of the tests.
    from kubernetes_validate import utils  # pyright: ignore[reportMissingTypeStubs]

    return utils.schema_contents(f"{SCHEMAS}/{name}.json", RELEASE)


@functools.cache
def validator(kind: str, version: str) -> Any:
    """What checks the objects of a kind, as `kubernetes_validate.validate` does, which reads everything each time."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)
    try:
        schema = schema_contents(f"{kind.lower()}-{group}")
    except FileNotFoundError:
        return None
    return Draft202012Validator(schema, registry=Resource[Any].from_contents(schema) @ definitions())


def test_every_object_is_valid_for_kubernetes() -> None:
    without: set[str] = set()
    for found in {json.dumps(found): found for name in OVERLAYS for found in rendered(name)}.values():
        check = validator(found["kind"], found["apiVersion"])
        if check is None:
            without.add(found["kind"])
        else:
            said = [f"{error.json_path}: {error.message}" for error in check.iter_errors(found)]
            assert said == [], found["metadata"]["name"]
    assert without <= WITHOUT_SCHEMA


def test_no_pod_has_more_rights_than_it_needs(everything: Objects) -> None:
    accounts = of_kind(everything, "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    for name, pod in workloads(everything).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any("hostPath" in volume for volume in spec["volumes"]), name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, name
            assert {"memory"} <= container["resources"]["limits"].keys(), name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
    for name, pod in ours(everything).items():
        user = {pod["spec"]["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")}
        assert user == {10001}, name
        assert pod["spec"]["serviceAccountName"] in accounts, name


def test_all_of_it_is_in_one_namespace_and_every_image_has_a_version(everything: Objects) -> None:
    [namespace] = of_kind(everything, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    elsewhere = [found["metadata"] for found in everything if found["kind"] != "Namespace"]
    assert {metadata.get("namespace") for metadata in elsewhere} == {namespace["metadata"]["name"]}
    images = {only(pod)["image"] for pod in workloads(everything).values()}
    assert all(re.fullmatch(r"[a-z0-9./-]+(:(?!latest)[\w.-]+|@sha256:[0-9a-f]{64})", image) for image in images)
    [image] = {only(pod)["image"] for pod in ours(everything).values()}
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert images - {image} <= {service["image"] for service in compose.values()}


def test_queues_are_those_of_the_code_and_each_is_served_once(everything: Objects) -> None:
    workers = [pod for pod in ours(everything).values() if pod["metadata"]["labels"][NAME] == "worker"]
    served = [queue for pod in workers for queue in options(pod).get("queues", ",".join(QUEUES)).split(",")]
    assert sorted(served) == sorted(QUEUES)
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in workers} in ({*QUEUES}, {"all"})


def test_keda_asks_about_the_queue_of_the_workers_that_it_scales() -> None:
    everything = rendered("keda")
    settings = environment(everything, workloads(everything)["gateway"])
    scaled = of_kind(everything, "ScaledObject")
    assert {found["spec"]["triggers"][0]["metadata"]["taskQueue"] for found in scaled.values()} == set(QUEUES)
    for found in scaled.values():
        assert found["apiVersion"] == "keda.sh/v1alpha1"
        spec = found["spec"]
        pod = workloads(everything)[spec["scaleTargetRef"]["name"]]
        queue = options(pod)["queues"]
        queues = [queue, *(one.campaigns for one in CHANNELS.values() if one.queue == queue != JOURNEYS)]
        assert [trigger["metadata"]["taskQueue"] for trigger in spec["triggers"]] == queues
        for trigger in spec["triggers"]:
            given = trigger["metadata"]
            assert trigger["type"] == "temporal"
            assert trigger["authenticationRef"]["name"] in of_kind(everything, "TriggerAuthentication")
            assert given.keys() == {"endpoint", "namespace", "taskQueue", "queueTypes", "targetQueueSize"}
            assert given["queueTypes"] == ("workflow" if queue == JOURNEYS else "activity")
            address = (settings["TEMPORAL_ADDRESS"], settings["TEMPORAL_NAMESPACE"])
            assert (given["endpoint"], given["namespace"]) == address
        assert spec["maxReplicaCount"] > spec["minReplicaCount"] >= 1
    assert not of_kind(everything, "HorizontalPodAutoscaler")


def test_versions_are_of_one_deployment_with_the_pod_that_deployments_have() -> None:
    everything, plain = rendered("versioned"), rendered("production")
    versioned = of_kind(everything, "WorkerDeployment")["worker"]["spec"]
    assert versioned["workerOptions"] == {
        "connectionRef": {"name": next(iter(of_kind(everything, "Connection")))},
        "temporalNamespace": environment(everything, workloads(everything)["gateway"])["TEMPORAL_NAMESPACE"],
    }
    server = of_kind(everything, "Connection")["temporal"]["spec"]["hostPort"]
    assert server == "temporal-frontend.temporal.svc.cluster.local:7233"
    assert not [name for name in of_kind(everything, "Deployment") if name.startswith("worker")]
    there, usual = versioned["template"]["spec"], workloads(plain)["worker-webhooks"]["spec"]
    own = ("containers", "topologySpreadConstraints", "volumes")
    assert without(there, *own) == without(usual, *own)
    assert named(there["volumes"]) == named(usual["volumes"])
    one, other = there["containers"][0], usual["containers"][0]
    assert [*one["args"], "--queues=webhooks"] == other["args"]
    apart = ("args", "resources", "volumeMounts")
    assert without(one, *apart) == without(other, *apart)
    assert named(one["volumeMounts"]) == named(other["volumeMounts"])
    assert "replicas" not in versioned
    templates = [found["spec"]["template"] for found in of_kind(everything, "WorkerResourceTemplate").values()]
    [scaler] = [template for template in templates if template["kind"] == "HorizontalPodAutoscaler"]
    [other_scaler] = of_kind(plain, "HorizontalPodAutoscaler").values()
    assert scaler["spec"] == {**scaler["spec"], "metrics": other_scaler["spec"]["metrics"], "scaleTargetRef": {}}


def without(found: Object, *keys: str) -> Object:
    return {key: value for key, value in found.items() if key not in keys}


def named(items: list[Object]) -> dict[str, Object]:
    return {item["name"]: item for item in items}


def test_deployments_are_scaled_or_have_a_number_and_a_budget(everything: Objects) -> None:
    deployments = of_kind(everything, "Deployment")
    specs = [found["spec"] for found in of_kind(everything, "HorizontalPodAutoscaler", "ScaledObject").values()]
    minimum = {spec["scaleTargetRef"]["name"]: spec.get("minReplicas", spec.get("minReplicaCount")) for spec in specs}
    without = {name for name in deployments if "replicas" not in deployments[name]["spec"]}
    assert without - {"postgres", "temporal"} == minimum.keys()
    covered: list[str] = []
    for budget in of_kind(everything, "PodDisruptionBudget").values():
        [name] = [name for name in deployments if selects(budget["spec"]["selector"], workloads(everything)[name])]
        assert budget["spec"]["maxUnavailable"] == 1
        covered.append(name)
        assert deployments[name]["spec"].get("replicas", minimum.get(name)) >= 1
    assert sorted(covered) == sorted(set(deployments) - {"postgres", "temporal"})


def test_services_lead_to_pods(everything: Objects) -> None:
    for name, service in of_kind(everything, "Service").items():
        [pod] = [
            pod for pod in workloads(everything).values() if selects({"matchLabels": service["spec"]["selector"]}, pod)
        ]
        names = {port["name"] for port in only(pod)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names, name


def test_ports_are_those_that_the_program_is_told(everything: Objects) -> None:
    for name, pod in ours(everything).items():
        container, given = only(pod), options(pod)
        ports = {port["name"]: str(port["containerPort"]) for port in container.get("ports", [])}
        told = {"http": given.get("port"), "health": given.get("health-port"), "metrics": given.get("metrics-port")}
        assert ports == {key: value for key, value in told.items() if value}, name
        probes = {key: container[key]["httpGet"] for key in container if key.endswith("Probe")}
        assert all(probe["port"] in ports for probe in probes.values()), name
        paths = {key: probe["path"] for key, probe in probes.items()}
        match pod["metadata"]["labels"][NAME]:
            case "worker":
                assert paths == {"livenessProbe": ALIVE, "readinessProbe": READY}
            case "store":
                assert paths == {}
            case _:
                assert paths == {"startupProbe": ALIVE, "livenessProbe": ALIVE, "readinessProbe": READY}
        assert all(value == "0.0.0.0" for key, value in given.items() if key.endswith("host")), name


def test_commands_are_ones_that_the_image_has(everything: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    serve, exposition = AsyncMock(), Mock()
    for name, stand_in in (
        ("serve", serve),
        ("Exposition", exposition),
        ("exit_process", Mock(side_effect=SystemExit)),
    ):
        monkeypatch.setattr(worker, name, stand_in)
    monkeypatch.setattr(worker.Telemetry, "start", Mock())
    monkeypatch.setattr(worker.logs, "configure", Mock())
    commands = typer.main.get_command(app)
    for name, pod in ours(everything).items():
        match only(pod)["args"]:
            case ["python", "-m", "worker", *arguments]:
                with pytest.raises(SystemExit):
                    worker.main(arguments)
                assert set(serve.call_args.args[1]) <= set(QUEUES), name
                exposition.assert_called_once_with(9090, "0.0.0.0")
                exposition.reset_mock()
            case ["scenario", *arguments]:
                command: Any = commands
                while hasattr(command, "commands"):
                    command = command.commands[arguments.pop(0)]
                command.make_context(name, arguments)
            case other:
                pytest.fail(f"{name}: {other}")


def test_what_is_open_to_the_world_is_a_process_of_its_own_without_secrets_of_channels(everything: Objects):
    of_all = {"scenario-store", "scenario-keys", "scenario-ca", "scenario-temporal"}
    for name, pod in ours(everything).items():
        secrets = {re.sub(r"-[a-z0-9]{10}$", "", secret) for secret in secrets_of(pod)}
        match pod["metadata"]["labels"][NAME]:
            case "worker":
                assert secrets == {*of_all, "scenario-channels", "scenario-webhooks"}, name
            case "gateway":
                assert secrets == {*of_all, "scenario-channels"}, name
                assert not {"--callbacks", "--codec"} & set(only(pod)["args"])
            case _:
                assert secrets == of_all, name
                assert not {"--api", "--pages"} & set(only(pod)["args"])


def test_settings_are_ones_that_exist_or_files_that_are_mounted_and_hold_no_password(everything: Objects) -> None:
    known = {f"SCENARIO_{field}".upper() for field in Settings.model_fields}
    for name, pod in ours(everything).items():
        for variable, value in environment(everything, pod).items():
            bare = variable.removesuffix("_FILE")
            if variable in known:
                assert not re.search(r"(PASSWORD|TOKEN|KEYS?|SMTP|SMS)$", variable), f"{name}: {variable}"
            elif variable.endswith("_FILE"):
                assert bare in FILES, f"{name}: {variable} is not known to the entry point"
            else:
                assert variable in {"OTEL_EXPORTER_OTLP_ENDPOINT"} | OF_TEMPORAL, variable
            if variable == "SCENARIO_STORE":
                assert urlsplit(value).password is None
        # Files are mounted where they are named.
        mounts = {mount["mountPath"]: mount for mount in only(pod)["volumeMounts"]}
        volumes = named(pod["spec"]["volumes"])
        assert {mount["name"] for mount in mounts.values()} == set(volumes), name
        for volume in volumes.values():
            if secret := volume.get("secret"):
                assert secret["defaultMode"] == 0o440, f"{name}: group 10001 reads it, and nobody else"
        for variable, value in environment(everything, pod).items():
            if not value.startswith("/run/"):
                continue
            folder = value if variable.endswith("_DIR") else str(Path(value).parent)
            assert mounts[folder]["readOnly"] is True, f"{name}: {variable}"
            if config := volumes[mounts[folder]["name"]].get("configMap"):
                assert Path(value).name in of_kind(everything, "ConfigMap")[config["name"]]["data"], variable


def test_settings_have_values_that_are_taken(everything: Objects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name, text in of_kind(everything, "ConfigMap")["scenario-destinations"]["data"].items():
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        if name == "policies.yaml":
            PoliciesFile(file)
        else:
            assert examine(file)[0] == ()
    for name, pod in ours(everything).items():
        with monkeypatch.context() as patched:
            for variable, value in environment(everything, pod).items():
                if value.startswith("/run/") and not variable.endswith("_FILE"):
                    value = str(tmp_path)
                    if variable in ("SCENARIO_DESTINATIONS", "SCENARIO_POLICIES"):
                        value = str(tmp_path / "file")
                        Path(value).touch()
                if not variable.endswith("_FILE"):
                    patched.setenv(variable, value)
            assert Settings().store.get_secret_value().startswith("postgresql://"), name


def policies(everything: Objects, pod: Object, direction: str) -> Iterator[Object]:
    for policy in of_kind(everything, "NetworkPolicy").values():
        if selects(policy["spec"]["podSelector"], pod):
            yield from policy["spec"].get(direction, [])


def test_policies_select_pods_and_nothing_is_let_through_that_they_do_not_name(everything: Objects):
    pods = workloads(everything)
    for name, policy in of_kind(everything, "NetworkPolicy").items():
        chosen = [pod for pod in pods.values() if selects(policy["spec"]["podSelector"], pod)]
        assert chosen, f"{name} selects nothing"
        for rule in policy["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                for pod in chosen:
                    assert port["port"] in {one["name"] for one in only(pod)["ports"]}, name
    shut = [
        policy["spec"]
        for policy in of_kind(everything, "NetworkPolicy").values()
        if policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ]
    for name, pod in pods.items():
        assert any(selects(policy["podSelector"], pod) for policy in shut), f"{name} is open"


def provided(peer: Object) -> list[Object]:
    """Return the pods of the cluster that a peer with a namespace selector matches."""
    return [
        pod
        for namespace, pods in PROVIDED.items()
        if selects(peer["namespaceSelector"], labelled({"kubernetes.io/metadata.name": namespace}))
        for pod in map(labelled, pods)
        if selects(peer.get("podSelector", {}), pod)
    ]


def labelled(labels: dict[str, str]) -> Object:
    return {"metadata": {"labels": labels}}


def test_each_peer_of_a_policy_is_a_pod_of_the_overlay_or_of_the_cluster(everything: Objects) -> None:
    for name, policy in of_kind(everything, "NetworkPolicy").items():
        rules = [(rule, "from") for rule in policy["spec"].get("ingress", [])]
        rules += [(rule, "to") for rule in policy["spec"].get("egress", [])]
        for peer in [peer for rule, key in rules for peer in rule[key] if "ipBlock" not in peer]:
            if "namespaceSelector" in peer:
                assert provided(peer), f"{name}: no pod of the cluster matches {peer}"
            else:
                chosen = [pod for pod in workloads(everything).values() if selects(peer["podSelector"], pod)]
                assert chosen, f"{name}: no pod of the overlay matches {peer}"


def test_each_pod_reaches_the_name_servers_of_the_cluster(everything: Objects) -> None:
    for name, pod in ours(everything).items():
        ports = {
            (port["port"], port["protocol"])
            for rule in policies(everything, pod, "egress")
            for peer in rule["to"]
            if "namespaceSelector" in peer and labelled({"k8s-app": "kube-dns"}) in provided(peer)
            for port in rule["ports"]
        }
        assert ports == {(53, "UDP"), (53, "TCP")}, name


def outside(everything: Objects, pod: Object) -> list[tuple[Object, set[int]]]:
    """The blocks of addresses that a pod reaches, and at which ports."""
    return [
        (peer["ipBlock"], {port["port"] for port in rule["ports"]})
        for rule in policies(everything, pod, "egress")
        for peer in rule["to"]
        if "ipBlock" in peer
    ]


PRIVATE = (
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.1"),
    *("169.254.169.254", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.0.8"),
    *("::1", "fe80::1", "fd00:ec2::254", "fc00::1", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:a00:1::1"),
    "::ffff:10.0.0.1",
)


def test_who_sends_reaches_public_addresses_and_no_other(everything: Objects) -> None:
    for name, pod in ours(everything).items():
        labels = pod["metadata"]["labels"]
        sends = labels[NAME] in ("worker", "gateway") and labels.get("app.kubernetes.io/component") != JOURNEYS
        blocks = outside(everything, pod)
        assert bool(blocks) is sends, name
        for text in PRIVATE:
            assert not any(within(text, block) for block, _ in blocks), f"{name} reaches {text}"
        if sends:
            for text in ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
                assert any(within(text, block) for block, _ in blocks), f"{name} does not reach {text}"
            assert {port for _, ports in blocks for port in ports} == {443, 465, 587}


def within(text: str, block: Object) -> bool:
    address, network = ip_address(text), ip_network(block["cidr"])
    if address.version != network.version or address not in network:
        return False
    return not any(address in ip_network(hole) for hole in block["except"])


def test_metrics_are_for_the_monitoring_and_only_callbacks_for_the_world(everything: Objects) -> None:
    for name, pod in ours(everything).items():
        ingress = "ingress-public" if pod["metadata"]["labels"][NAME] == "callbacks" else "ingress-private"
        for rule in policies(everything, pod, "ingress"):
            spaces = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]]
            ports = {port["port"] for port in rule["ports"]}
            assert spaces == (["monitoring"] if ports == {"metrics"} else [ingress]), name


def test_the_operator_scrapes_what_serves_metrics_under_the_names_that_prometheus_has() -> None:
    everything = rendered("production")
    scraped: dict[str, int] = {}
    for monitor in of_kind(everything, "PodMonitor").values():
        chosen = [pod for pod in ours(everything).values() if selects(monitor["spec"]["selector"], pod)]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert all(endpoint["port"] in {port["name"] for port in only(pod)["ports"]} for pod in chosen)
        [job] = endpoint["relabelings"]
        assert job["targetLabel"] == "job"
        scraped[job["replacement"]] = len(chosen)
    assert scraped == {
        "scenario-worker": len(QUEUES),
        **dict.fromkeys(("scenario-gateway", "scenario-callbacks", "scenario-codec"), 1),
    }
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert {job["job_name"] for job in config["scrape_configs"]} == scraped.keys() - {"scenario-codec"}


def test_the_operator_has_the_rules_of_prometheus() -> None:
    rules = DOCS / RULES
    assert rules.read_text(encoding="utf-8") == DRAWN[RULES](), f"run {COMMAND}"
    [rule] = of_kind(rendered("production"), "PrometheusRule").values()
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))
    # Line breaks, which say nothing in an expression, are others after kustomize.
    one, other = (re.sub(r"(?:\\n|\s)+", " ", json.dumps(found, sort_keys=True)) for found in (rule["spec"], alerts))
    assert one == other


def test_a_server_to_try_with_is_set_as_others_are() -> None:
    command: list[str] = only(workloads(rendered("local"))["temporal"])["command"]
    given = [word.partition("=")[2] for word in command if word.startswith("--dynamic-config-value=")]
    wanted = yaml.safe_load((ROOT / "deploy/temporal.yaml").read_text(encoding="utf-8"))
    assert given == [f"{key}={json.dumps(value['value'])}" for key, [value] in wanted.items()]


def test_connections_verify_the_server_that_they_lead_to() -> None:
    everything = rendered("production")
    for name, pod in ours(everything).items():
        settings = environment(everything, pod)
        store = parse_qs(urlsplit(settings["SCENARIO_STORE"]).query)
        assert store["sslmode"] == ["verify-full"], name
        mounts = {mount["mountPath"] for mount in only(pod)["volumeMounts"]}
        files = [*store["sslrootcert"], *(settings[key] for key in OF_TEMPORAL if key.endswith("_PATH"))]
        assert {str(Path(file).parent) for file in files} == {"/run/ca", "/run/temporal"} <= mounts, name
        assert settings["TEMPORAL_TLS"] == "true"
    [connection] = of_kind(rendered("versioned"), "Connection").values()
    assert connection["spec"]["mutualTLSSecretRef"]["name"] in secrets_of(workloads(everything)["gateway"])


def test_pods_are_spread_over_hosts_and_zones_and_have_the_time_that_a_stop_needs(everything: Objects) -> None:
    keys = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    for name, pod in ours(everything).items():
        if (kind := pod["metadata"]["labels"][NAME]) == "store":
            continue
        constraints = pod["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in constraints] == keys, name
        assert all(selects(one["labelSelector"], pod) for one in constraints), name
        grace = pod["spec"].get("terminationGracePeriodSeconds")
        if kind == "worker":
            assert grace >= (DRAIN + PLATFORM).total_seconds(), name
        else:
            before = only(pod)["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert grace > before + http_server.DRAIN + telemetry.PATIENCE, name


def test_the_example_ingress_leads_to_services_and_the_world_to_callbacks_alone() -> None:
    everything = rendered("production")
    services, led = of_kind(everything, "Service"), dict[str, list[tuple[str, str]]]()
    for name, ingress in of_kind(everything, "Ingress").items():
        assert "nginx.ingress.kubernetes.io/limit-rps" in ingress["metadata"]["annotations"]
        [rule] = ingress["spec"]["rules"]
        assert [rule["host"]] == ingress["spec"]["tls"][0]["hosts"]
        led[name] = [(path["path"], path["backend"]["service"]["name"]) for path in rule["http"]["paths"]]
        assert {service for _, service in led[name]} <= services.keys()
    assert led == {"public": [("/", "callbacks")], "private": [("/codec", "codec"), ("/", "gateway")]}
    hooks = environment(everything, workloads(everything)["callbacks"])["SCENARIO_CALLBACK_URL"]
    assert hooks == f"https://{of_kind(everything, 'Ingress')['public']['spec']['rules'][0]['host']}"
