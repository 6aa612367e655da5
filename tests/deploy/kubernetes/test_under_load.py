"""A real installation is changed and broken while clients publish and listen, and nothing is lost."""

from pathlib import Path

import pytest

from tests.deploy.kubernetes.cluster import Installation, verdict

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
LOAD = Path(__file__).with_name("load.yaml")


@pytest.mark.parametrize(
    "experiment",
    [
        "rollout",  # kubectl rollout restart
        "scale",  # 3 -> 6 -> 3
        "node-crash",  # kubectl delete pod --force
        "nats-restart",  # every NATS pod is deleted
        "nats-rollout",  # kubectl rollout restart of the StatefulSet
        "nats-minority-loss",
        "rolling-drain",
        "rebalance-after-scale-out",
    ],
)
def test_nothing_is_lost(judged: Installation, experiment: str) -> None:
    """Every checker says so of every delivery, with clients that reconnect as real ones do."""
    code, said = verdict(judged.chaos(experiment))
    assert code == 0, said


def test_an_upgrade_loses_nothing(judged: Installation) -> None:
    """`helm upgrade` under load: the new pods come first, and the old ones send their clients to them."""
    before = {pod["metadata"]["name"] for pod in judged.pods("node")}
    run = judged.chaos(LOAD)
    assert run.stdout is not None
    for line in run.stdout:
        if "step let it run" in line:
            break
    judged.upgrade("nodes.podAnnotations.changed=yes")
    code, said = verdict(run)
    assert code == 0, said
    after = {
        pod["metadata"]["name"] for pod in judged.pods("node") if "deletionTimestamp" not in pod["metadata"]
    }
    assert not before & after
