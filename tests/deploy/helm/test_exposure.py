"""What clients reach from outside: paths, hosts, and for how long."""

import json

import pytest

from tests.deploy.helm.engine import Object, Refused, one, render, rendered

NAME = "broadcast-broadcast-cluster"


@pytest.mark.parametrize("case", ["everything-values", "autoscaling-cpu-values"])
def test_api_and_metrics_are_exposed_only_when_asked_for(case: str) -> None:
    """Neither by Ingress nor by routes, unless the values say so."""
    asked = case == "autoscaling-cpu-values"
    paths = set()
    for each in rendered(case):
        if each["kind"] == "Ingress":
            paths |= {path["path"] for rule in each["spec"]["rules"] for path in rule["http"]["paths"]}
        if each["kind"] == "HTTPRoute":
            paths |= {match["path"]["value"] for rule in each["spec"]["rules"] for match in rule["matches"]}
        if each["kind"] == "GRPCRoute":
            assert "CentrifugoApi" not in json.dumps(each)
    assert {"/connection", "/emulation", "/ws", "/sse"} <= paths
    assert ({"/api", "/metrics"} <= paths) is asked
    assert "/" not in paths


def test_long_connections_outlive_proxies() -> None:
    """Routes have no deadline, an Ingress has one far above the ping interval, and nothing is collected."""
    ingress = next(o for o in rendered("everything-values") if o["kind"] == "Ingress")["metadata"][
        "annotations"
    ]
    assert int(ingress["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 3600
    assert ingress["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    route = next(o for o in rendered("everything-values") if o["kind"] == "HTTPRoute")
    assert all(
        rule["timeouts"] == {"request": "0s", "backendRequest": "0s"} for rule in route["spec"]["rules"]
    )


def test_pages_reach_the_edge_service_where_it_is_on() -> None:
    """gRPC-Web is a path of the HTTP port like the other transports, for Ingress and HTTPRoute."""
    for case, there in (("everything-values", True), ("autoscaling-cpu-values", False)):
        ingress = next(o for o in rendered(case) if o["kind"] == "Ingress")["spec"]["rules"][0]["http"][
            "paths"
        ]
        assert ("/broadcast.edge.v1.Edge" in [path["path"] for path in ingress]) is there
    route = one(rendered("everything-values"), "HTTPRoute", NAME)["spec"]["rules"]
    assert "/broadcast.edge.v1.Edge" in [rule["matches"][0]["path"]["value"] for rule in route]


GATEWAY: Object = {"enabled": True, "parentRefs": [{"name": "a"}], "hostnames": ["push.example.com"]}


def test_two_kinds_of_routes_do_not_share_a_host() -> None:
    """A Gateway may accept only the older one of them: gRPC has a host or a Gateway of its own."""
    spec = one(rendered("everything-values"), "GRPCRoute", f"{NAME}-grpc")["spec"]
    assert spec["hostnames"] == ["grpc.push.example.com"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    with pytest.raises(Refused, match=r"gateway\.grpc is empty"):
        render({"grpcNodes": {"enabled": True}, "gateway": GATEWAY})
    other = {**GATEWAY, "grpc": {"parentRefs": [{"name": "b"}]}}
    spec = one(render({"grpcNodes": {"enabled": True}, "gateway": other}), "GRPCRoute", f"{NAME}-grpc")[
        "spec"
    ]
    assert (spec["parentRefs"], spec["hostnames"]) == ([{"name": "b"}], ["push.example.com"])


@pytest.mark.parametrize(("tls", "said"), [(False, "kubernetes.io/h2c"), (True, "https")])
def test_proxies_are_told_how_grpc_is_spoken(tls: bool, said: str) -> None:
    """HTTP/2 in the clear, or under TLS."""
    config = {"grpc_server": {"tls": {"enabled": tls}}}
    service = one(render({"grpcNodes": {"enabled": True}, "config": config}), "Service", f"{NAME}-grpc")
    assert service["spec"]["ports"][0]["appProtocol"] == said
