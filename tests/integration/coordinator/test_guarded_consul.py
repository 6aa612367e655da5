"""A Consul that lets in only who has a token, and a certificate: what the operators' page says is enough."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from tests.consul_server import ConsulServer
from tests.integration.cluster import ROOT, Cluster
from tests.integration.coordinator.clients import Clients
from tests.integration.coordinator.load import CHANNELS, in_time
from tests.integration.coordinator.processes import CoordinatorProcess
from tests.nats_server import free_port

RULES = dict(re.findall(r"```hcl\n# (\w+)\n(.*?)```", (ROOT / "OPERATIONS.md").read_text(), re.DOTALL))


@pytest.fixture(params=["acl", "acl, tls, certificates"])
def consul(request: pytest.FixtureRequest) -> Iterator[ConsulServer]:
    """An agent that denies by default; or that, under a private authority, and wants a certificate of it."""
    secure = "tls" in request.param
    with ConsulServer(acl=True, tls=trustme.CA() if secure else None, client_certificates=secure) as consul:
        yield consul


def options(consul: ConsulServer, token: str, **changed: str) -> dict[str, Any]:
    """The section `catalog.consul` of whoever has this token."""
    given = {"url": consul.url, "token": token}
    if consul.url.startswith("https"):
        files = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client-key.pem"}
        given |= {name: str(consul.directory / file) for name, file in files.items()}
    return {"type": "consul", "consul": {**given, **changed}}


def arguments(consul: dict[str, Any]) -> list[str]:
    """The same for a coordinator."""
    told = ["--set", "catalog.type=consul"]
    for name, value in consul["consul"].items():
        told += ["--set", f"catalog.consul.{name}={value}"]
    return told


@pytest.mark.slow
async def test_the_documented_rules_are_enough(tmp_path: Path, consul: ConsulServer) -> None:
    """Nodes register, one of two coordinators is elected, and a node is drained and called back."""
    node, coordinator = (consul.token_for(name, RULES[name]) for name in ("nodes", "coordinators"))
    told = arguments(options(consul, coordinator))
    with Cluster(tmp_path, nodes=2, catalog=options(consul, node)) as cluster:
        assert cluster.nats is not None
        with (
            CoordinatorProcess(tmp_path, "one", cluster.nats.url, *told) as one,
            CoordinatorProcess(tmp_path, "two", cluster.nats.url, *told) as two,
        ):
            await in_time(lambda: one.leads() != two.leads())
            await in_time(lambda: len(one.serving()) == 2)
            leader, other = (one, two) if one.leads() else (two, one)
            clients = Clients(CHANNELS, other.port)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(clients.run)
                await clients.until_settled(60)
                with other.command("drain", "node-1", "--json", "--force") as drain:
                    assert await trio.to_thread.run_sync(drain.wait) == 0, drain.told
                assert json.loads(drain.out[-1])["state"] == "DONE"
                await clients.until_settled(60)
                assert clients.on("node-2") == len(clients.all)
                leader.kill()
                await in_time(other.leads)
                with other.command("undrain", "node-1") as undrain:
                    assert await trio.to_thread.run_sync(undrain.wait) == 0, undrain.told
                nursery.cancel_scope.cancel()
        for process in (one, two, *cluster.nodes):
            assert "does not accept the token" not in process.log()
            assert node not in process.log()
            assert coordinator not in process.log()


async def test_who_is_not_let_in_is_told_what_to_check(tmp_path: Path, consul: ConsulServer) -> None:
    """A wrong token: the node serves and says so; the coordinator is not ready and says so."""
    wrong = options(consul, "00000000-1111-2222-3333-444444444444")
    advice = "check catalog.consul.token"
    with Cluster(tmp_path, nodes=1, catalog=wrong) as cluster:
        assert cluster.nats is not None
        await in_time(lambda: advice in cluster.nodes[0].log())
        await refused(tmp_path, cluster.nats.url, wrong, advice)


async def test_who_has_no_certificate_is_told_what_to_check(tmp_path: Path) -> None:
    """Without our certificate, or with a server's that nobody vouches for, TLS is named and not the token."""
    advice = "check catalog.consul.ca_file"
    with ConsulServer(acl=True, tls=trustme.CA(), client_certificates=True) as consul:
        token = consul.token_for("coordinators", RULES["coordinators"])
        for name, missing in (("ours", {"cert_file": "", "key_file": ""}), ("theirs", {"ca_file": ""})):
            directory = tmp_path / name
            directory.mkdir()
            await refused(directory, "nats://127.0.0.1:1", options(consul, token, **missing), advice)


async def test_who_may_not_read_nodes_is_told_what_it_lacks(tmp_path: Path) -> None:
    """Consul shows such a coordinator none, as if there were none: it is not ready, and names the rule."""
    lacking = 'service "broadcast-node" { policy = "read" }'
    assert lacking in RULES["coordinators"]
    with ConsulServer(acl=True) as consul:
        consul.get("/v1/agent/service/register", "PUT", {"Name": "broadcast-node"})
        token = consul.token_for("coordinators", RULES["coordinators"].replace(lacking, ""))
        advice = "the policy of catalog.consul.token lacks service"
        await refused(tmp_path, "nats://127.0.0.1:1", options(consul, token), advice)


async def refused(tmp_path: Path, nats_url: str, consul: dict[str, Any], advice: str) -> None:
    """A coordinator that cannot reach the catalog serves 503, and tells operators, and only them, why."""
    told = arguments(consul)
    with CoordinatorProcess(tmp_path, "out", nats_url, *told, http_port=free_port()) as coordinator:
        await in_time(lambda: advice in coordinator.log())
        status, why = coordinator.get("/readyz")
        assert status == 503
        assert advice in why.decode()
        status, answer = coordinator.get("/discover")
        assert status == 503
        assert advice not in json.dumps(answer)
        assert consul["consul"]["token"] not in coordinator.log()
