"""That grace, hooks, deadlines, budgets and scaling agree with the drain, whatever values are given."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.config.durations import parse_duration
from tests.deploy.helm.engine import CASES, Object, Refused, render, rendered

few = settings(max_examples=25, deadline=None)
durations = st.one_of(
    st.integers(1, 900),
    st.integers(1, 900).map(lambda seconds: f"{seconds}s"),
    st.tuples(st.integers(1, 20), st.integers(0, 59)).map(lambda parts: f"{parts[0]}m{parts[1]}s"),
    st.integers(1, 90_000).map(lambda count: f"{count}ms"),
    st.decimals("0.1", "2", places=1).map(lambda hours: f"{hours / 10}h"),
)
maybe_seconds = st.one_of(st.none(), st.integers(1, 2000))


def of_kind(objects: Any, kind: str) -> list[Object]:
    """Objects of this kind."""
    return [each for each in objects if each["kind"] == kind]


def nodes_of(objects: Any) -> Object:
    """The Deployment of the nodes."""
    return next(
        each
        for each in of_kind(objects, "Deployment")
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == "node"
    )


@few
@given(
    timeout=durations,
    grace=maybe_seconds,
    progress=maybe_seconds,
    period=maybe_seconds,
    window=st.integers(0, 3600),
    replicas=st.integers(1, 6),
    budget=st.one_of(
        st.integers(0, 6).map(lambda n: {"minAvailable": n}),
        st.integers(0, 100).map(lambda n: {"minAvailable": f"{n}%"}),
        st.integers(0, 3).map(lambda n: {"maxUnavailable": n}),
    ),
)
def test_what_is_rendered_agrees_and_what_does_not_is_refused(
    timeout: Any, grace: Any, progress: Any, period: Any, window: int, replicas: int, budget: Object
) -> None:
    """Either the drain fits into everything around it, or Helm says why not; never something in between."""
    drain = math.ceil(parse_duration(timeout))
    values = {
        "config": {"shutdown": {"timeout": timeout}},
        "nodes": {
            "terminationGracePeriodSeconds": grace,
            "progressDeadlineSeconds": progress,
            "pdb": budget,
            "autoscaling": {
                "enabled": True,
                "minReplicas": replicas,
                "scaleDown": {"periodSeconds": period, "stabilizationWindowSeconds": window},
            },
        },
    }
    try:
        objects = render(values)
    except Refused as refusal:
        told = str(refusal)
        needed = grace or drain + 10
        least = budget.get("minAvailable", 0)
        share = math.ceil(int(str(least).rstrip("%")) * replicas / 100) if "%" in str(least) else least
        assert "execution error" in told
        assert (
            (grace is not None and grace < drain + 5)
            or (progress is not None and progress <= needed + 10)
            or (period is not None and period < needed)
            or max(period or 60, needed) > 1800
            or window < needed
            or budget.get("maxUnavailable") == 0
            or ("minAvailable" in budget and share >= replicas)
        ), told
        return
    spec = nodes_of(objects)["spec"]
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= drain + 5
    assert "lifecycle" not in pod["containers"][0]  # a hook would take its time from the drain
    assert spec["progressDeadlineSeconds"] > pod["terminationGracePeriodSeconds"] + spec["minReadySeconds"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": "100%", "maxUnavailable": 0}
    assert "replicas" not in spec  # nothing to look it up in: see test_autoscaling.py
    (scaler,) = of_kind(objects, "HorizontalPodAutoscaler")
    down = scaler["spec"]["behavior"]["scaleDown"]
    assert down["policies"][0]["periodSeconds"] >= pod["terminationGracePeriodSeconds"]
    assert down["stabilizationWindowSeconds"] >= pod["terminationGracePeriodSeconds"]
    disruptions = next(
        each
        for each in of_kind(objects, "PodDisruptionBudget")
        if each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == "node"
    )["spec"]
    assert evictable(disruptions, scaler["spec"]["minReplicas"]) >= 1


def evictable(budget: Object, pods: int) -> int:
    """How many of so many pods the budget lets go, as Kubernetes rounds: percentages up."""
    limit = budget.get("minAvailable", budget.get("maxUnavailable"))
    count = math.ceil(int(limit.rstrip("%")) * pods / 100) if isinstance(limit, str) else limit
    return pods - count if "minAvailable" in budget else min(pods, count)


@pytest.mark.parametrize("case", CASES)
def test_hooks_leave_room_to_stop(case: str) -> None:
    """A preStop hook is part of the grace period: what follows it has 10 s at least."""
    for owner in [*of_kind(rendered(case), "Deployment"), *of_kind(rendered(case), "StatefulSet")]:
        pod = owner["spec"]["template"]["spec"]
        hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {})
        assert pod["terminationGracePeriodSeconds"] >= hook.get("sleep", {}).get("seconds", 0) + 10


REFUSALS = [
    ({"nodes": {"terminationGracePeriodSeconds": 60}}, "killed before it has sent its clients away"),
    ({"nodes": {"graceMarginSeconds": 4}}, "give 5 or more"),
    ({"nodes": {"progressDeadlineSeconds": 80}}, "reported as failed"),
    ({"nodes": {"maxSurge": 0}}, "no pod could ever be replaced"),
    ({"nodes": {"pdb": {"maxUnavailable": 0}}}, "no machine emptied"),
    ({"nodes": {"pdb": {"minAvailable": "100%"}}}, "no machine emptied"),
    ({"coordinator": {"pdb": {"maxUnavailable": 0}}}, "no machine emptied"),
    ({"coordinator": {"preStopSeconds": 25}}, "which is part of it"),
    ({"nats": {"lameDuckSeconds": 50}}, "killed in its lame duck time"),
    ({"nats": {"lameDuckSeconds": 29}}, "nats/lameDuckSeconds"),
    ({"nats": {"enabled": False}}, "no servers are named"),
    ({"config": {"broker": {"nats": {"url": "nats://other:4222"}}}}, "names other servers"),
    ({"config": {"broker": None}}, "config/broker"),
    ({"config": {"broker": {"nats": None}}}, "config/broker/nats"),
    ({"config": {"broker": {"type": "memory"}}}, "would not hear of each other"),
    ({"config": {"http_server": {"tls": {"client_ca_pem": "/ca"}}}}, "kubelet has none to show"),
    ({"config": {"coordinator": {"tls": {"client_ca_pem": "/ca"}}}}, "config.coordinator.*kubelet has none"),
    ({"config": {"http_server": {"port": 0}}}, "give a port from 1024"),
    ({"config": {"shutdown": {"timeout": "soon"}}}, "is not a time span"),
    ({"gateway": {"enabled": True}}, "name the Gateway"),
    ({"ingress": {"enabled": True, "hosts": []}}, "name the host"),
    ({"exposure": {"discover": True}, "coordinator": {"enabled": False}}, "nobody would answer"),
    ({"nodes": {"extraEnv": [{"name": "BROADCAST_SHUTDOWN_TIMEOUT", "value": "9m"}]}}, "Set it in config"),
    ({"nodes": {"extraEnv": [{"name": "BROADCAST_NO_SUCH"}]}}, "nodes/extraEnv"),
    ({"secret": {"values": {"BROADCAST_HTTP_API_KEYS": "x"}}}, "secret/values"),
    ({"nats": {"replicas": 2}}, "nats/replicas"),
]


@pytest.mark.parametrize(("values", "told"), REFUSALS, ids=[told for _, told in REFUSALS])
def test_contradictions_are_explained(values: Object, told: str) -> None:
    """What would be an outage later is a sentence now."""
    with pytest.raises(Refused, match=told):
        render(values)


def test_nodes_over_grpc_inherit_everything() -> None:
    """What is set for nodes holds for both kinds, unless it is set for the other kind too."""
    objects = render(
        {"grpcNodes": {"enabled": True, "minReadySeconds": 20}, "nodes": {"graceMarginSeconds": 30}}
    )
    grpc = next(
        each
        for each in of_kind(objects, "Deployment")
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == "grpc-node"
    )["spec"]
    assert grpc["template"]["spec"]["terminationGracePeriodSeconds"] == 90
    assert grpc["minReadySeconds"] == 20
    assert grpc["replicas"] == 2
    assert grpc["template"]["spec"]["containers"][0]["args"][:3] == ["node", "--serve", "grpc"]
    assert nodes_of(objects)["spec"]["minReadySeconds"] == 10
