"""What load balancers, SDKs and Prometheus ask of a node, by curl and Prometheus's own reader of metrics."""

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.cluster import Cluster, NodeProcess
from tests.integration.test_plain_forms import CURL
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(not CURL, reason="no `curl` on the PATH")


def ask(node: NodeProcess, path: str) -> str:
    """The body of an answer, which must be good."""
    command = [CURL, "--silent", "--show-error", "--fail", "--noproxy", "*", node.http + path]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout


@pytest.mark.parametrize("path", ["/connection/init", "/health"])
def test_sdks_and_balancers_have_their_answer(cluster: Cluster, path: str) -> None:
    """An empty object."""
    for node in cluster.nodes:
        assert ask(node, path) == "{}"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_pass(cluster: Cluster, path: str) -> None:
    """Every node of a healthy cluster lives and takes clients."""
    for node in cluster.nodes:
        ask(node, path)


def test_metrics_are_what_prometheus_reads(cluster: Cluster) -> None:
    """Of every node, with its connections among them."""
    for node in cluster.nodes:
        names = {family.name for family in text_string_to_metric_families(ask(node, "/metrics"))}
        assert {"broadcast_connections", "broadcast_publications_in"} <= names
