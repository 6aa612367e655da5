"""What the chart renders: objects that Kubernetes takes, in the restricted profile, and a usable config."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config.load import load
from node.config.options import Config
from node.config.schema import COMMAND_VARIABLES, ENV_NAMES
from node.telemetry.series import BROKER_COUNTERS, OBSERVED, SERIES
from tests.deploy.helm.engine import CASES, CHART, Refused, helm, one, pods, render, rendered
from tests.deploy.helm.generated import files

cases = pytest.mark.parametrize("case", CASES)
# Their schemas come with their own operators: see test_custom.py.
CUSTOM = {"HTTPRoute", "GRPCRoute", "PodMonitor"}
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def config_of(objects: Any, tmp_path: Path, environ: dict[str, str] | None = None) -> Config:
    """What a pod's program reads."""
    found = next(o for o in objects if o["kind"] == "ConfigMap" and "config.yaml" in o["data"])
    file = tmp_path / "config.yaml"
    # A pod has the files that the config names.
    (tmp_path / "tls.crt").touch()
    (tmp_path / "tls.key").touch()
    file.write_text(found["data"]["config.yaml"].replace("/tls/", f"{tmp_path}/"))
    return load(file, environ or {})


@cases
def test_lint(case: str) -> None:
    """Helm itself finds nothing to complain about."""
    path = CASES[case]
    helm("lint", "--strict", CHART, *(["--values", path] if path else []))


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@cases
def test_objects_follow_the_schemas_of_kubernetes(case: str, version: str) -> None:
    """No field that Kubernetes does not know, none missing, none of another type."""
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for each in rendered(case):
        if each["kind"] not in CUSTOM:
            validator.validate(each, version, strict=True)


@cases
def test_objects_are_named_once_and_fit(case: str) -> None:
    """Two objects of one name would overwrite each other; names and labels have their limits."""
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(case)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)


def test_long_names_fit() -> None:
    """A release's name of 53 characters, the longest, leaves room for what is put behind it."""
    for each in render(name="r" * 53):
        assert len(each["metadata"]["name"]) <= 58
        assert all(len(str(value)) <= 63 for value in each["metadata"]["labels"].values())


@cases
def test_pods_pass_the_restricted_profile(case: str) -> None:
    """Every pod, the test's too: a namespace that enforces `restricted` takes all of them."""
    for name, pod in pods(rendered(case)).items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"), name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert pod["automountServiceAccountToken"] is False, name
        for volume in pod.get("volumes", []):
            assert (volume.keys() - {"name"}) <= RESTRICTED_VOLUMES, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert "privileged" not in own, name
            assert all("hostPort" not in port for port in container.get("ports", [])), name


@cases
def test_the_program_takes_its_config(case: str, tmp_path: Path) -> None:
    """No option renamed, no relation broken: what the chart writes is what a node reads."""
    config = config_of(rendered(case), tmp_path)
    assert "127.0.0.1" not in config.broker.nats.url


@cases
def test_environment_variables_are_options(case: str) -> None:
    """A node refuses to start over a BROADCAST_ variable that is no option; the chart sets none."""
    known = ENV_NAMES.keys() | COMMAND_VARIABLES
    for each in rendered(case):
        if each["kind"] == "Secret":
            assert {name for name in each["data"] if name.startswith("BROADCAST_")} <= ENV_NAMES.keys()
    for pod in pods(rendered(case)).values():
        assert pod["enableServiceLinks"] is False
        named = {variable["name"] for variable in pod["containers"][0].get("env", [])}
        assert {name for name in named if name.startswith("BROADCAST_")} <= known


def test_an_unknown_option_is_refused() -> None:
    """A typing error in `config` is found by Helm and not by pods that do not start."""
    with pytest.raises(Refused, match="insecur"):
        render({"config": {"client": {"insecur": True}}})


def test_nats_gets_every_server_and_three_copies(tmp_path: Path) -> None:
    """Nodes know all servers by name, and streams survive the loss of one."""
    nats = config_of(rendered("default"), tmp_path).broker.nats
    name = nats.url.split(",")[0].split("/")[2].split("-0.")[0]
    assert nats.url == ",".join(f"nats://{name}-{i}.{name}-headless:4222" for i in range(3))
    assert nats.stream_replicas == 3
    service = one(rendered("default"), "Service", f"{name}-headless")
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert one(rendered("default"), "StatefulSet", name)["spec"]["serviceName"] == f"{name}-headless"


def test_an_option_given_wins_over_what_the_chart_knows(tmp_path: Path) -> None:
    """`config` has the last word."""
    objects = render({"config": {"broker": {"nats": {"stream_replicas": 1}}}})
    assert config_of(objects, tmp_path).broker.nats.stream_replicas == 1


def test_large_numbers_arrive_as_they_are(tmp_path: Path) -> None:
    """Helm reads numbers as floating point; the program must not see 1.048576e+06."""
    objects = render({"config": {"client": {"queue_max_size": 16_777_216}}})
    assert config_of(objects, tmp_path).client.queue_max_size == 16_777_216


def test_consul_is_used_when_it_is_named(tmp_path: Path) -> None:
    """One value moves the catalog."""
    catalog = config_of(rendered("everything-values"), tmp_path).catalog
    assert (catalog.type, catalog.consul.url) == ("consul", "http://consul.consul.svc:8500")


def test_nodes_that_speak_tls_are_asked_so() -> None:
    """Probes, Services and Prometheus follow; coordinators have the files that the config names."""
    mounts = [{"name": "tls", "mountPath": "/tls"}]
    files = {"extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}], "extraVolumeMounts": mounts}
    tls = {"enabled": True, "cert_pem": "/tls/tls.crt", "key_pem": "/tls/tls.key"}
    values = {
        "config": {"http_server": {"tls": tls}},
        "nodes": files,
        "monitoring": {"podMonitor": {"enabled": True}},
    }
    objects = render(values)
    name = "broadcast-broadcast-cluster"
    for each, scheme in ((name, "HTTPS"), (f"{name}-coordinator", "HTTP")):
        container = one(objects, "Deployment", each)["spec"]["template"]["spec"]["containers"][0]
        assert container["readinessProbe"]["httpGet"]["scheme"] == scheme
        assert mounts[0] in container["volumeMounts"]
    assert one(objects, "Service", name)["spec"]["ports"][0]["appProtocol"] == "https"
    (endpoint,) = one(objects, "PodMonitor", name)["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    assert not [each for each in objects if each["kind"] == "Pod"]


def test_commands_in_a_coordinator_are_told_of_an_authority_once() -> None:
    """The one of the values goes before the Secret's."""
    given = {"name": "BROADCAST_COORDINATOR_CA_FILE", "value": "/mine/ca.pem"}
    objects = render({"coordinator": {"tlsSecret": "control-tls", "extraEnv": [given]}})
    pod = one(objects, "Deployment", "broadcast-broadcast-cluster-coordinator")["spec"]["template"]["spec"]
    env = pod["containers"][0]["env"]
    assert [each for each in env if each["name"] == given["name"]] == [given]


def test_a_coordinator_that_speaks_tls_is_asked_so(tmp_path: Path) -> None:
    """With its Secret: it alone has the files, and its probes, Services and Prometheus follow."""
    objects = render(
        {"coordinator": {"tlsSecret": "control-tls"}, "monitoring": {"podMonitor": {"enabled": True}}}
    )
    name = "broadcast-broadcast-cluster"
    pod = one(objects, "Deployment", f"{name}-coordinator")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    (volume,) = [each for each in pod["volumes"] if each.get("secret", {}).get("secretName") == "control-tls"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == volume["name"]]
    environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    coordinator = config_of(objects, tmp_path, environ).coordinator
    assert coordinator.tls.enabled
    assert coordinator.tls.cert_pem == f"{mount['mountPath']}/tls.crt"
    assert coordinator.tls.key_pem == f"{mount['mountPath']}/tls.key"
    assert coordinator.public_url.startswith(f"https://{name}-coordinator.")
    # For the commands in its pod.
    assert environ["BROADCAST_COORDINATOR_CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    ports = one(objects, "Service", f"{name}-coordinator")["spec"]["ports"]
    assert [port["appProtocol"] for port in ports] == ["https", "https"]
    for each, scheme in ((name, "http"), (f"{name}-coordinator", "https")):
        (endpoint,) = one(objects, "PodMonitor", each)["spec"]["podMetricsEndpoints"]
        assert endpoint["scheme"] == scheme
    node = one(objects, "Deployment", name)["spec"]["template"]["spec"]
    assert "control-tls" not in str(node)
    assert "BROADCAST_COORDINATOR_TLS" not in str(node)
    assert not config_of(objects, tmp_path).coordinator.tls.enabled


@cases
def test_quic_has_its_port_where_it_is_spoken(case: str, tmp_path: Path) -> None:
    """UDP of the same number from the Service to the pod, let in and announced; nowhere where it is off."""
    objects, name = rendered(case), "broadcast-broadcast-cluster"
    config = config_of(objects, tmp_path).http_server
    service = one(objects, "Service", name)["spec"]["ports"]
    udp = [port for each in objects if each["kind"] == "Service" for port in each["spec"]["ports"]]
    udp = [port for port in udp if port.get("protocol") == "UDP"]
    opened = [port for pod in pods(objects).values() for port in pod["containers"][0].get("ports", [])]
    opened = [port for port in opened if port.get("protocol") == "UDP"]
    policies = [each["spec"]["ingress"] for each in objects if each["kind"] == "NetworkPolicy"]
    let_in = [port for rules in policies for rule in rules for port in rule["ports"]]
    let_in = [port for port in let_in if port.get("protocol") == "UDP"]
    if not config.http3.enabled:
        assert (udp, opened, let_in) == ([], [], [])
        return
    number = service[0]["port"]
    assert udp == [{"name": "http3", "port": number, "targetPort": "http3", "protocol": "UDP"}] == service[1:]
    assert opened == [{"name": "http3", "containerPort": config.port, "protocol": "UDP"}]
    assert let_in == [{"port": "http3", "protocol": "UDP"}]
    assert config.http3.announced_port == number


def test_another_port_may_be_announced(tmp_path: Path) -> None:
    """Where clients reach the Service under another number."""
    config = {"http_server": {"http3": {"announced_port": 8443}}}
    objects = render({"config": config}, CASES["http3-values"])
    assert config_of(objects, tmp_path).http_server.http3.announced_port == 8443


@cases
def test_selectors_find_their_pods(case: str) -> None:
    """Every Service, budget and policy selects the pods of exactly one component."""
    labels = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in rendered(case)
        if each["kind"] in ("Deployment", "StatefulSet")
    ]
    for each in rendered(case):
        selector = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        }.get(each["kind"])
        if selector:
            wanted = selector(each["spec"]).items()
            assert sum(wanted <= found.items() for found in labels) == 1, each["metadata"]["name"]


def test_pods_say_an_address_that_others_can_reach() -> None:
    """A pod's host name is known to nobody else: /discover would send clients to where nothing is."""
    values = {
        "grpcNodes": {"enabled": True},
        "nodes": {"extraEnv": [{"name": "BROADCAST_NODE_PUBLIC_URL", "value": "https://a.example.com"}]},
        "coordinator": {"publicUrl": "http://[$(POD_IP)]:7000"},
    }
    told = {}
    for case, objects in (("default", list(rendered("default"))), ("given", render(values))):
        for name, pod in pods(objects).items():
            env = [(each["name"], each.get("value")) for each in pod["containers"][0].get("env", [])]
            assert len(dict(env)) == len(env), name
            told |= {(case, key): value for key, value in env if key.endswith("_PUBLIC_URL")}
            # What a value refers to has to stand before it.
            names = [key for key, _ in env]
            assert not env or "POD_IP" not in names or names.index("POD_IP") < len(names) - 1
    assert told == {
        ("default", "BROADCAST_NODE_PUBLIC_URL"): "http://$(POD_IP):8000",
        ("default", "BROADCAST_COORDINATOR_PUBLIC_URL"): "http://$(POD_IP):7000",
        ("given", "BROADCAST_NODE_PUBLIC_URL"): "https://a.example.com",
        ("given", "BROADCAST_COORDINATOR_PUBLIC_URL"): "http://[$(POD_IP)]:7000",
    }


def test_keys_are_generated_and_can_be_given() -> None:
    """An installation without any value for them has keys of its own, long enough for HS256."""
    (secret,) = [o for o in rendered("default") if o["kind"] == "Secret"]
    assert set(secret["data"]) == {
        "BROADCAST_CLIENT_TOKEN_HMAC_SECRET_KEY", "BROADCAST_HTTP_API_KEY", "BROADCAST_COORDINATOR_TOKEN",
    }  # fmt: skip
    assert not [o for o in rendered("external-nats-values") if o["kind"] == "Secret"]
    (secret,) = [
        o for o in render({"secret": {"values": {"BROADCAST_HTTP_API_KEY": "abc"}}}) if o["kind"] == "Secret"
    ]
    assert secret["data"]["BROADCAST_HTTP_API_KEY"] == "YWJj"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_generated_files_are_current(path: Path) -> None:
    """The README's table and the schema are what values.yaml and the options make them."""
    assert path.read_text() == files()[path], "run: python -m tests.deploy.helm.generated"


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """No panel stays empty because a metric has another name."""
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"\bbroadcast_[a-z_]+", target["expr"]))
    nodes = {f"broadcast_{row.name}" + ("_total" if row.counter else "") for row in SERIES}
    nodes |= {f"broadcast_{name}" for name in OBSERVED} | {
        f"broadcast_{name}_total" for name in BROKER_COUNTERS
    }
    nodes |= {"broadcast_sent_away_total", "broadcast_loop_lag_seconds_bucket"}
    coordinators = {"broadcast_coordinator_nodes", "broadcast_coordinator_leading"}
    assert asked - nodes - coordinators == set()


def test_discover_opens_nothing_else() -> None:
    """Who asks where to go need not reach the port by which nodes are drained."""
    name = "broadcast-broadcast-cluster-coordinator"
    opened = {}
    for case in ("default", "everything-values"):
        rules = one(rendered(case), "NetworkPolicy", name)["spec"]["ingress"]
        opened[case] = [port["port"] for rule in rules if "from" not in rule for port in rule["ports"]]
    assert opened == {"default": [], "everything-values": ["http"]}


@cases
def test_notes_are_rendered(case: str) -> None:
    """Whoever installs is told what to do next."""
    path = CASES[case]
    values = ["--values", path] if path else []
    told = helm("install", "broadcast", CHART, "--dry-run=client", *values)
    notes = told.split("NOTES:")[1]
    assert "rollout status deployment/broadcast" in notes
    assert ("https://127.0.0.1:7000" in notes) == (case == "everything-values")
    assert ("/metrics without a key" in notes) == (case == "http3-values")
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] in told
