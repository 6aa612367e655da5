"""Tests of `chaos.targets.reach`."""

import pytest
import yaml

from chaos.experiment import listed
from chaos.targets.kubernetes_api import ACCOUNT
from chaos.targets.local import CONFIG
from chaos.targets.reach import targets, unfit
from deploy.cli import main

HERE = {"rollout", "nats-rollout", "scale"}
THERE = {
    "node-crash", "rolling-drain", "rebalance-after-scale-out", "nats-restart", "nats-minority-loss",
    "reconnect-storm", "slow-clients",
}  # fmt: skip


def test_which_experiments_run_where() -> None:
    """Faults of pods only on Kubernetes; what needs proxies, disks or signals only locally."""
    found = {name: targets(one) for name, one in listed().items()}
    assert {name for name, where in found.items() if where == ("kubernetes",)} == HERE
    assert {name for name, where in found.items() if "kubernetes" in where} == HERE | THERE
    assert all(found.values())


def test_a_reason_is_given() -> None:
    """Not that it cannot be, but why."""
    assert "stopped where it stands" in unfit(listed()["node-hang"], "kubernetes")
    assert "proxy" in unfit(listed()["nats-partition"], "kubernetes")


@pytest.mark.parametrize(("name", "target"), [("node-hang", "kubernetes"), ("rollout", "local")])
def test_what_cannot_run_is_refused_at_once(
    name: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a cluster is started or touched."""
    assert not ACCOUNT.exists()
    assert main(["chaos", "run", name, "--target", target]) == 1
    assert f"{name} cannot run on the target {target}" in capsys.readouterr().err


def test_an_installation_is_judged_by_the_same_config() -> None:
    """The values for an installation have the config of a local run."""
    values = yaml.safe_load(CONFIG.with_name("kubernetes.yaml").read_text())
    assert values == {"config": yaml.safe_load(CONFIG.read_text())}
