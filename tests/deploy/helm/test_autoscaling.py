"""How many nodes there are when an autoscaler decides it."""

import pytest

from tests.deploy.helm.engine import Object, Refused, one, render
from tests.deploy.helm.fake_api import NAMESPACE, api

NAME = "broadcast-broadcast-cluster"
VALUES: Object = {
    "nodes": {"autoscaling": {"enabled": True}},
    "grpcNodes": {"enabled": True},
}


def running(name: str, replicas: int) -> Object:
    """A Deployment as the API shows it."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }


@pytest.mark.parametrize("found", [3, 7])
def test_an_upgrade_drains_nobody(found: int) -> None:
    """As many nodes as there are: a manifest without a number that the one before it had makes it 1."""
    with api(running(NAME, found), running(f"{NAME}-grpc", 5)) as address:
        objects = render(VALUES, api=address)
    assert one(objects, "Deployment", NAME)["spec"]["replicas"] == found
    assert one(objects, "Deployment", f"{NAME}-grpc")["spec"]["replicas"] == 5


def test_nothing_is_said_where_there_are_none_yet() -> None:
    """The autoscaler begins at its least number; where no cluster can be asked, it keeps what it decided."""
    with api() as address:
        asked = render(VALUES, api=address)
    for objects in (asked, render(VALUES)):
        assert "replicas" not in one(objects, "Deployment", NAME)["spec"]


def test_the_processor_is_measured_against_a_core() -> None:
    """60 % of its core is a busy node, and 70 % of a small request is a quiet one."""
    objects = render({"nodes": {"autoscaling": {"enabled": True, "connections": {"target": 0}}}})
    (metric,) = one(objects, "HorizontalPodAutoscaler", NAME)["spec"]["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "600m"}}


@pytest.mark.parametrize(
    ("scaling", "told"),
    [({"cpu": 70}, "autoscaling/cpu"), ({"cpu": "", "connections": {"target": 0}}, "looks at nothing")],
)
def test_what_cannot_be_aimed_at_is_refused(scaling: Object, told: str) -> None:
    """A percentage is no number of cores, and something has to be looked at."""
    with pytest.raises(Refused, match=told):
        render({"nodes": {"autoscaling": {"enabled": True, **scaling}}})
