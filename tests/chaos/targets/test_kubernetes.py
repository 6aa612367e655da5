"""Tests of `chaos.targets.kubernetes`, with an API whose controllers are written down here."""

import copy
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio

from chaos.faults.pods import RollOut, Scale
from chaos.targets import kubernetes
from chaos.targets.interface import Failed, Skipped
from chaos.targets.kubernetes import Kubernetes
from chaos.targets.kubernetes_api import Api, Object
from tests.chaos.faults.scenes import scene

NAME = "app"


class FakeApi(Api):
    """Deployments whose pods are there at once, under new names, and a StatefulSet that keeps the names."""

    def __init__(self, nodes: int = 3) -> None:
        self.namespace = "here"
        self.owners: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.services: dict[str, Object] = {}
        self.deleted: list[tuple[str, int | None]] = []
        self._made = 0
        for name, replicas, component in ((NAME, nodes, "node"), (f"{NAME}-nats", 3, "nats")):
            container = {"ports": [{"containerPort": 8000}]}
            pod = {"containers": [container], "terminationGracePeriodSeconds": 70}
            template = {"metadata": {}, "spec": pod}
            spec = {
                "replicas": replicas,
                "selector": {"matchLabels": {"is": component}},
                "template": template,
            }
            self.owners[name] = {"metadata": {"generation": 1}, "spec": spec}
        self.work()

    def work(self) -> None:
        """What controllers do."""
        for name, owner in self.owners.items():
            spec = owner["spec"]
            labels = spec["selector"]["matchLabels"]
            mine = [pod for pod, found in self.pods.items() if found["metadata"]["labels"] == labels]
            for pod in mine[spec["replicas"] :]:
                del self.pods[pod]
            for number in range(spec["replicas"]):
                fixed = f"{name}-{number}"
                if name.endswith("-nats") and fixed not in self.pods:
                    self._make(fixed, labels)
                elif not name.endswith("-nats") and number >= len(mine):
                    self._make(f"{name}-x{self._made}", labels)
            generation = owner["metadata"]["generation"]
            owner["status"] = {"observedGeneration": generation, "updatedReplicas": spec["replicas"]}

    def _make(self, name: str, labels: Object) -> None:
        self._made += 1
        self.pods[name] = {
            "metadata": {"name": name, "labels": labels, "uid": str(self._made)},
            "status": {
                "podIP": f"10.0.0.{self._made}",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"restartCount": 0}],
            },
        }

    def add_coordinator(self, **port: object) -> None:
        """One without pods, whose Service has this port."""
        name = f"{NAME}-coordinator"
        self.owners[name] = copy.deepcopy(self.owners[NAME])
        self.owners[name]["spec"]["replicas"] = 0
        self.owners[name]["spec"]["selector"]["matchLabels"] = {"is": "coordinator"}
        self.services[name] = {"spec": {"clusterIP": "10.1.0.1", "ports": [{"port": 7000, **port}]}}
        self.work()

    async def get(self, kind: str, name: str = "", labels: str = "") -> Object | None:
        await trio.lowlevel.checkpoint()
        if kind == "pods" and not name:
            wanted = dict(each.split("=") for each in labels.split(","))
            return {"items": [pod for pod in self.pods.values() if pod["metadata"]["labels"] == wanted]}
        return {"pods": self.pods, "services": self.services}.get(kind, self.owners).get(name)

    async def patch(self, kind: str, name: str, change: Object) -> None:
        await trio.lowlevel.checkpoint()
        owner = self.owners[name]
        owner["metadata"]["generation"] += 1
        if "template" in change["spec"]:
            assert list(change["spec"]["template"]["metadata"]["annotations"])
            labels = owner["spec"]["selector"]["matchLabels"]
            for pod in [each for each, it in self.pods.items() if it["metadata"]["labels"] == labels]:
                del self.pods[pod]
        else:
            owner["spec"]["replicas"] = change["spec"]["replicas"]
        self.work()

    async def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        await trio.lowlevel.checkpoint()
        self.deleted.append((name, grace_s))
        del self.pods[name]
        self.work()


async def opened(api: FakeApi, nursery: trio.Nursery, nodes: int = 3) -> Kubernetes:
    target = Kubernetes(api, NAME, nodes)
    await nursery.start(target.run)
    return target


async def test_parts_are_pods(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """Nodes and NATS servers by their pods' names, and where clients reach them."""
    target = await opened(FakeApi(), nursery)
    assert [part.name for part in target.parts("broker")] == [f"{NAME}-nats-{n}" for n in range(3)]
    assert [address.name for address in target.addresses()] == [part.name for part in target.parts("node")]
    assert target.addresses()[0].port == 8000
    assert target.parts("coordinator") == []
    assert target.stop_max_s == 70.0


@pytest.mark.parametrize(
    ("port", "url"),
    [
        ({}, "http://10.1.0.1:7000"),
        ({"appProtocol": "http"}, "http://10.1.0.1:7000"),
        ({"appProtocol": "https"}, f"https://{NAME}-coordinator.here.svc:7000"),
    ],
)
async def test_a_coordinator_is_spoken_to_as_its_service_says(
    port: dict[str, str],
    url: str,
    autojump_clock: Any,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over TLS by the name that its certificate has."""
    api, told, asked = FakeApi(), [], []

    async def ran(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        await trio.lowlevel.checkpoint()
        told.append(command[-2:])
        return subprocess.CompletedProcess(command, 0, b"", b"")

    async def got(where: str, path: str) -> bytes:
        await trio.lowlevel.checkpoint()
        asked.append(where + path)
        return b'{"leader": {"name": "coordinator-1"}}'

    monkeypatch.setattr(trio, "run_process", ran)
    monkeypatch.setattr(kubernetes, "get", got)
    api.add_coordinator(**port)
    target = await opened(api, nursery)
    await target.operate("rebalance")
    assert told == [["--coordinator", url]]
    assert await target.leader() == "coordinator-1"
    assert asked == [f"{url}/v1/nodes"]


async def test_what_is_killed_has_no_grace_and_is_replaced(
    autojump_clock: Any, nursery: trio.Nursery
) -> None:
    """`kill` deletes without grace, `terminate` with the pod's own; `start` waits for the replacement.

    A NATS server is not replaced before it has ended: two must never write to one volume.
    """
    api = FakeApi()
    target = await opened(api, nursery)
    first, second, _ = (part.name for part in target.parts("node"))
    await target.kill(first)
    await target.terminate(second)
    await target.kill(f"{NAME}-nats-1")
    assert api.deleted == [(first, 0), (second, None), (f"{NAME}-nats-1", 1)]
    for name in (first, f"{NAME}-nats-1"):
        await target.start(name)
    names = [part.name for part in target.parts("node")]
    assert len(names) == 3
    assert not {first, second} & set(names)
    assert len(target.parts("broker")) == 3


async def test_clients_hear_of_other_addresses(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """A pod that was replaced is at another address, and whoever asked is told."""
    api = FakeApi()
    target = await opened(api, nursery)
    before, told = target.addresses(), trio.Event()

    async def changed() -> None:
        told.set()

    nursery.start_soon(target.follow, changed)
    await target.kill(before[0].name)
    with trio.fail_after(60):
        await told.wait()
    assert before[0] not in target.addresses()


async def test_clients_are_told_of_nodes_that_somebody_else_saw_first(
    autojump_clock: Any, nursery: trio.Nursery
) -> None:
    """A rollout waits for its pods, and sees them before those who follow the addresses have looked."""
    target = await opened(FakeApi(), nursery)
    told = trio.Event()

    async def changed() -> None:
        told.set()

    await nursery.start(following, target, changed)
    before = set(target.addresses())
    await target.roll_out("node")
    assert not before & set(target.addresses()), "seen by who waited for it"
    with trio.fail_after(60):
        await told.wait()


async def following(
    target: Kubernetes,
    changed: Callable[[], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """`follow`, begun when this says so."""
    task_status.started()
    await target.follow(changed)


async def test_as_many_nodes_as_the_run_wants_and_then_as_before(autojump_clock: Any) -> None:
    """The installation is left as it was found."""
    api = FakeApi(nodes=2)
    async with trio.open_nursery() as nursery:
        target = await opened(api, nursery, nodes=4)
        assert len(target.parts("node")) == 4
        assert await target.add_node() not in ("", target.addresses()[0].name)
        assert len(target.parts("node")) == 5
        nursery.cancel_scope.cancel()
    assert api.owners[NAME]["spec"]["replicas"] == 2


async def test_a_run_without_room_for_its_nodes_leaves_what_it_found(autojump_clock: Any) -> None:
    """It is skipped, and does not leave Deployments that want pods that nobody has room for."""
    api = FakeApi(nodes=2)
    for pod in api.pods.values():
        pod["status"]["conditions"] = []
    with pytest.raises(Skipped, match="has not the pods"):
        await Kubernetes(api, NAME, 4).run(task_status=trio.TASK_STATUS_IGNORED)
    assert api.owners[NAME]["spec"]["replicas"] == 2


async def test_a_container_that_was_started_again_is_lost(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """Nobody ended it: it counts against the cluster, once."""
    api = FakeApi()
    target = await opened(api, nursery)
    api.pods[f"{NAME}-nats-0"]["status"]["containerStatuses"][0]["restartCount"] = 1
    await target.heal()
    assert target.lost() == [f"{NAME}-nats-0"]
    assert target.lost() == []


async def test_faults_of_pods(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """A rollout replaces all nodes; scaling is undone; elsewhere both are skipped, with the reason."""
    api = FakeApi()
    target = await opened(api, nursery)
    elsewhere = scene(nursery)[0]
    here = elsewhere._replace(target=target)
    old = target.addresses()
    roll_out, scale = RollOut(here, ""), Scale(here, "6")
    await roll_out.inject()
    assert not set(old) & set(target.addresses())
    servers = {pod: found["metadata"]["uid"] for pod, found in api.pods.items() if "-nats-" in pod}
    await RollOut(here, "broker").inject()
    assert not [pod for pod, uid in servers.items() if api.pods[pod]["metadata"]["uid"] == uid]
    await scale.inject()
    assert len(target.addresses()) == 6
    await scale.heal()
    assert len(target.addresses()) == 3
    with pytest.raises(Skipped, match="--target kubernetes"):
        RollOut(elsewhere, "")
    with pytest.raises(Skipped, match="no pods called nats-1"):
        RollOut(here, "nats-1")


async def test_an_installation_that_is_not_there(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """It is said which Deployment was looked for, and where."""
    with pytest.raises(Skipped, match="no Deployment other in namespace here"):
        await Kubernetes(FakeApi(), "other", 3).run(task_status=trio.TASK_STATUS_IGNORED)


async def test_pods_that_do_not_become_ready_count_against_the_cluster(
    autojump_clock: Any, nursery: trio.Nursery
) -> None:
    """Nobody waits for ever, and it is said for whom one waited."""
    api = FakeApi()
    target = await opened(api, nursery)
    api.pods[f"{NAME}-nats-0"]["status"]["conditions"] = []
    with pytest.raises(Failed, match=f"statefulsets/{NAME}-nats has not the pods"):
        await target.start(f"{NAME}-nats-0")


async def test_pods_are_not_paused(autojump_clock: Any, nursery: trio.Nursery) -> None:
    """What Kubernetes has no means for is skipped."""
    target = await opened(FakeApi(), nursery)
    with pytest.raises(Skipped):
        await target.pause(target.addresses()[0].name)
