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
