"""NATS over several sites: gateways, leaf nodes, and where streams are kept."""

from typing import Any

import pytest

from tests.deploy.helm.engine import Refused, one, render, rendered


def test_other_sites_reach_nats_only_where_there_are_any() -> None:
    """Ports of gateways and leaf nodes are open in the Service and the policy exactly where they are used."""
    name = "broadcast-broadcast-cluster-nats"
    for case, wanted in (("default", set()), ("super-cluster-values", {"gateway", "leafnodes"})):
        objects = rendered(case)
        services = [each for each in objects if each["metadata"]["name"] == f"{name}-sites"]
        assert {port["name"] for each in services for port in each["spec"]["ports"]} == wanted
        (policy,) = [o for o in objects if o["kind"] == "NetworkPolicy" and o["metadata"]["name"] == name]
        opened = {port["port"] for port in policy["spec"]["ingress"][-1]["ports"]}
        assert opened == wanted | {"monitor"}


def test_a_leaf_keeps_nothing() -> None:
    """Streams are where the leaf connects to: no volumes, and no probe that asks for JetStream."""
    name = "broadcast-broadcast-cluster-nats"
    spec = one(rendered("leaf-values"), "StatefulSet", name)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert "volumeClaimTemplates" not in spec
    assert "data" not in [mount["name"] for mount in container["volumeMounts"]]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "jetstream" not in one(rendered("leaf-values"), "ConfigMap", name)["data"]["nats.conf"]


@pytest.mark.parametrize(
    "nats",
    [
        {"gateway": {"remotes": [{"name": "us", "urls": ["nats://us:7222"]}]}},
        {"gateway": {"name": "eu"}, "leafNodes": {"remotes": [{"urls": ["nats://us:7422"]}]}},
    ],
)
def test_sites_that_contradict_themselves_are_refused(nats: dict[str, Any]) -> None:
    """A gateway without a name cannot be, and a leaf is no part of a super-cluster."""
    with pytest.raises(Refused, match=r"nats\.gateway"):
        render({"nats": nats})


FILES = {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key"}
VERIFIED = {**FILES, "ca_file": "/tls/ca.crt", "verify": True}


@pytest.mark.parametrize(
    "nats",
    [
        {"gateway": {"name": "eu"}},
        {"gateway": {"name": "eu", "tls": FILES}},
        {"leafNodes": {"accept": True}},
        {"leafNodes": {"accept": True}, "auth": True},
        {"leafNodes": {"accept": True, "tls": FILES}},
        {"leafNodes": {"accept": True, "tls": {**FILES, "ca_file": "/tls/ca.crt"}}},
        {"leafNodes": {"accept": True, "tls": VERIFIED}, "gateway": {"name": "eu"}},
    ],
)
def test_nobody_is_let_in_unasked(nats: dict[str, Any]) -> None:
    """A port that can be reached from outside asks for a certificate or a password."""
    secret = {"BROADCAST_BROKER_NATS_USER": "a", "BROADCAST_BROKER_NATS_PASSWORD": "b"}
    values = {"nats": nats, "secret": {"values": secret}}
    with pytest.raises(Refused, match="may do everything"):
        render(values)
    render({**values, "nats": {**nats, "sites": {"type": "ClusterIP"}}})


@pytest.mark.parametrize(
    "nats",
    [
        {"gateway": {"name": "eu", "tls": VERIFIED}},
        {"leafNodes": {"accept": True, "tls": VERIFIED}},
        {"leafNodes": {"accept": True, "tls": FILES}, "auth": True},
    ],
)
def test_who_proves_who_he_is_may_come(nats: dict[str, Any]) -> None:
    """Certificates of both sides, or a password under TLS."""
    secret = {"BROADCAST_BROKER_NATS_USER": "a", "BROADCAST_BROKER_NATS_PASSWORD": "b"}
    render({"nats": nats, "secret": {"values": secret}})
