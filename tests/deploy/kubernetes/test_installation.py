"""What the default values give on a real cluster."""

import json

import pytest

from tests.deploy.kubernetes.cluster import NAME, Installation

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
# Where a new client is told to go, and whether somebody answers there.
ASK = """
import json, sys, urllib.parse, urllib.request
found = json.load(urllib.request.urlopen(sys.argv[1] + "/discover", timeout=10))
where = urllib.parse.urlsplit(found["url"])
alive = urllib.request.urlopen(f"http://{where.netloc}/livez", timeout=10).status
print(json.dumps({"node": found["node"], "alive": alive}))
"""


def test_default_values_become_ready(installation: Installation) -> None:
    """Nothing but the image's name has to be said, in a namespace that enforces the restricted profile."""
    found = [len(installation.pods(component)) for component in ("node", "coordinator", "nats")]
    assert found == [3, 2, 3]


def test_nothing_had_to_be_started_twice(installation: Installation) -> None:
    """Whoever comes up before NATS and its names waits for them."""
    assert installation.restarts() == {}


def test_the_chart_s_own_test_passes(installation: Installation) -> None:
    """What is published through one node is received through another one, and back."""
    said = installation.helm("test", NAME, "--logs")
    assert said.count("received at") == 2


def test_discover_names_what_other_pods_can_reach(installation: Installation) -> None:
    """A client inside the cluster is sent to an address where a node answers."""
    pod = installation.pods("coordinator")[0]["metadata"]["name"]
    url = f"http://{NAME}-coordinator:7000"
    answer = json.loads(installation.kubectl("exec", pod, "--", "python", "-c", ASK, url))
    assert answer["alive"] == 200
    assert answer["node"] in [node["metadata"]["name"] for node in installation.pods("node")]
