"""An installation of the chart, acted upon through the Kubernetes API, from a pod beside it.

A part is a pod. Controllers replace what ends: the heal of a fault waits for that, and a node comes back with
another name and address. Clients go to pods directly, as those behind `/discover` or a headless Service do.
"""

import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import trio

from chaos.history import Sample
from chaos.proxy import Proxy
from chaos.targets.interface import Failed, Kind, Part, Skipped
from chaos.targets.kubernetes_api import Api, Object
from chaos.targets.usage import connections, get
from chaos.workload.spec import NodeAddress

_BROADCAST = (sys.executable, "-P", "-m", "deploy.cli")
# A drain, and another pod's start with its image.
_READY_MAX_S = 300.0
_POLL_S = 0.5
_GRACE_S = 30  # of pods for which nobody says it
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class _Pod(NamedTuple):
    name: str
    kind: Kind
    address: str
    ready: bool
    ending: bool
    restarts: int


class Kubernetes:
    """See the module; a Target. Use `run`, which leaves as many nodes as it found.

    Args:
        api: with the rights of deploy/kubernetes/chaos.yaml.
        name: of the installation's objects: that of the nodes' Deployment.
        nodes: how many there should be during the run.

    Attributes:
        nodes: see above.
        stop_max_s: see Target; what the Deployment gives its pods.
    """

    def __init__(self, api: Api, name: str, nodes: int) -> None:
        self._api = api
        self._name = name
        self.nodes = nodes
        self.stop_max_s = 0.0
        self._owners: dict[Kind, str] = {
            "node": f"apps/deployments/{name}",
            "coordinator": f"apps/deployments/{name}-coordinator",
            "broker": f"apps/statefulsets/{name}-nats",
        }
        self._labels: dict[Kind, str] = {}
        self._ports: dict[Kind, int] = {}
        self._pods: dict[str, _Pod] = {}
        self._reachable: tuple[NodeAddress, ...] = ()
        self._control = ""
        self._restarted: list[str] = []
        self.links: Mapping[str, Proxy] = {}

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Scale the nodes as the run wants them, and back when it is cancelled.

        Raises:
            Skipped: it is not there, or not ready.
        """
        try:
            await self._find()
            found = await self._replicas("node")
        except Failed as failed:
            raise Skipped(f"{failed}") from failed
        try:
            await self.scale(self.nodes)
            task_status.started()
            await trio.sleep_forever()
        except Failed as failed:
            raise Skipped(f"{failed}") from failed
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _READY_MAX_S):
                await self._set_replicas(found)

    async def follow(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Keep what is known of the pods current, until cancelled.

        Args:
            changed: called when clients have to be told of other addresses.
        """
        told = self.addresses()
        while True:
            await trio.sleep(_POLL_S)
            await self._look()
            # Compared with what was told, not with the last look: whoever waits for pods looks, too.
            if self.addresses() != told:
                told = self.addresses()
                await changed()

    # --- what there is -------------------------------------------------------------------------------

    async def _find(self) -> None:
        for kind in ("node", "coordinator", "broker"):
            owner = await self._owner(kind)
            if owner is None:
                continue
            labels = owner["spec"]["selector"]["matchLabels"]
            self._labels[kind] = ",".join(f"{key}={value}" for key, value in labels.items())
            pod = owner["spec"]["template"]["spec"]
            self._ports[kind] = pod["containers"][0]["ports"][0]["containerPort"]
            if kind == "node":
                self.stop_max_s = float(pod.get("terminationGracePeriodSeconds", _GRACE_S))
        if "node" not in self._labels:
            raise Failed(f"there is no Deployment {self._name} in namespace {self._api.namespace}")
        if "coordinator" in self._labels:
            service = await self._api.get("services", f"{self._name}-coordinator")
            if service is not None:
                port = service["spec"]["ports"][0]
                scheme, host = port.get("appProtocol", "http"), service["spec"]["clusterIP"]
                if scheme == "https":
                    # No certificate is made out for the Service's address.
                    host = f"{self._name}-coordinator.{self._api.namespace}.svc"
                self._control = f"{scheme}://{host}:{port['port']}"

    async def _owner(self, kind: Kind) -> Object | None:
        where, _, name = self._owners[kind].rpartition("/")
        return await self._api.get(where, name)

    async def _look(self) -> None:
        seen: dict[str, _Pod] = {}
        for kind, labels in self._labels.items():
            listed = await self._api.get("pods", labels=labels) or {"items": []}
            for pod in sorted(map(_pod_of(kind), listed["items"])):
                seen[pod.name] = pod
                known = self._pods.get(pod.name)
                if known is not None and pod.restarts > known.restarts:
                    self._restarted.append(pod.name)
        self._pods = seen
        ready = [pod for pod in seen.values() if pod.kind == "node" and pod.ready]
        if ready:
            self._reachable = tuple(NodeAddress(pod.name, pod.address, self._ports["node"]) for pod in ready)

    def parts(self, kind: Kind) -> Sequence[Part]:
        """See Target."""
        found = [pod for pod in self._pods.values() if pod.kind == kind and not pod.ending]
        port = self._ports.get(kind, 0)
        return [Part(pod.name, kind, 0, f"http://{pod.address}:{port}", up=pod.ready) for pod in found]

    def addresses(self) -> tuple[NodeAddress, ...]:
        """See Target; of nodes that are ready, or the last that were."""
        return self._reachable

    def lost(self) -> list[str]:
        """See Target: pods whose container had to be started again."""
        found, self._restarted = self._restarted, []
        return found

    async def samples(self) -> list[Sample]:
        """See Target; what a pod uses is known to its machine only, so there is little in them."""
        view = await self._view()
        rates = {node["name"]: float(node["connect_rate_max"]) for node in view.get("nodes", ())}
        found: list[Sample] = []

        async def take(part: Part) -> None:
            count = await connections(part)
            if count is not None:
                now = time.monotonic()
                found.append(
                    Sample(now, part.name, "node", connections=count, connect_rate=rates.get(part.name))
                )

        async with trio.open_nursery() as nursery:
            for part in self.parts("node"):
                nursery.start_soon(take, part)
        return found

    async def leader(self) -> str:
        """See Target."""
        view = await self._view()
        return str((view.get("leader") or {}).get("name", ""))

    async def _view(self) -> dict[str, Any]:
        body = await get(self._control, "/v1/nodes") if self._control else None
        view: dict[str, Any] = json.loads(body) if body else {}
        return view

    # --- what can be done to it ----------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """See Target: the pod is deleted without any grace; of NATS, with the least there is.

        Without any, Kubernetes forgets a pod at once: a StatefulSet replaces it while it still writes, and
        two servers in one directory leave a store that neither can use.
        """
        await self._delete(name, grace_s=1 if self._kind_of(name) == "broker" else 0)

    async def terminate(self, name: str) -> None:
        """See Target: the pod is deleted, and has its grace period."""
        await self._delete(name, grace_s=None)

    async def _delete(self, name: str, grace_s: int | None) -> None:
        before = await self._api.get("pods", name)
        if before is None:
            return
        await self._api.delete("pods", name, grace_s)

        async def gone() -> bool:
            now = await self._api.get("pods", name)
            return now is None or now["metadata"]["uid"] != before["metadata"]["uid"]

        await _until(gone, f"pod {name} is still there")

    async def pause(self, name: str) -> None:
        """See Target: not here."""
        raise Skipped(f"{name} cannot be stopped where it stands: Kubernetes has no such thing for pods")

    async def resume(self, name: str) -> None:
        """See Target: nothing was paused."""

    async def start(self, name: str) -> None:
        """See Target: wait until the controller has replaced what ended."""
        await self._settled(self._kind_of(name))

    def _kind_of(self, name: str) -> Kind:
        suffixes: dict[str, Kind] = {"nats": "broker", "coordinator": "coordinator"}
        return suffixes.get(name.removeprefix(f"{self._name}-").split("-")[0], "node")

    async def add_node(self) -> str:
        """See Target."""
        known = {part.name for part in self.parts("node")}
        await self.scale(await self._replicas("node") + 1)
        return next((part.name for part in self.parts("node") if part.name not in known), "")

    async def add_coordinator(self) -> str:
        """See Target: there are as many as the installation has."""
        raise Skipped("coordinators of an installation are its own: set coordinator.replicas")

    async def scale(self, nodes: int) -> None:
        """Have so many nodes, and wait until all of them are ready and the others are gone.

        Raises:
            Failed: they do not become so.
        """
        await self._set_replicas(nodes)
        await self._settled("node")

    async def roll_out(self, kind: Kind) -> None:
        """Replace every pod of a kind as `kubectl rollout restart` does, and wait until the old are gone.

        Raises:
            Failed: it does not end.
        """
        annotations = {_RESTARTED_AT: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        template = {"metadata": {"annotations": annotations}}
        where, _, name = self._owners[kind].rpartition("/")
        await self._api.patch(where, name, {"spec": {"template": template}})
        await self._settled(kind)

    async def _set_replicas(self, nodes: int) -> None:
        await self._api.patch("apps/deployments", self._name, {"spec": {"replicas": nodes}})

    async def _replicas(self, kind: Kind) -> int:
        owner = await self._owner(kind)
        return 0 if owner is None else int(owner["spec"].get("replicas", 1))

    async def _settled(self, kind: Kind) -> None:
        """Wait until a controller has done what it was told, and every pod of it is ready."""

        async def settled() -> bool:
            owner = await self._owner(kind)
            if owner is None:
                return True
            await self._look()
            wanted = int(owner["spec"].get("replicas", 1))
            status = owner.get("status", {})
            pods = [pod for pod in self._pods.values() if pod.kind == kind]
            return (
                status.get("observedGeneration", 0) >= owner["metadata"]["generation"]
                and status.get("updatedReplicas", 0) == wanted
                and len(pods) == wanted
                and all(pod.ready for pod in pods)
            )

        await _until(settled, f"{self._owners[kind]} has not the pods that it should")

    async def operate(self, *arguments: str) -> str:
        """See Target."""
        if not self._control:
            raise Skipped("there is no coordinator")
        command = [*_BROADCAST, *arguments, "--coordinator", self._control]
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise Failed(f"broadcast {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode()

    async def heal(self) -> None:
        """See Target: what controllers have replaced is there."""
        for kind in self._labels:
            await self._settled(kind)


def _pod_of(kind: Kind) -> Callable[[Object], _Pod]:
    def read(listed: Object) -> _Pod:
        status = listed.get("status", {})
        conditions = {each["type"]: each["status"] == "True" for each in status.get("conditions", [])}
        ending = "deletionTimestamp" in listed["metadata"]
        return _Pod(
            listed["metadata"]["name"],
            kind,
            status.get("podIP", ""),
            conditions.get("Ready", False) and not ending,
            ending,
            sum(each["restartCount"] for each in status.get("containerStatuses", [])),
        )

    return read


async def _until(reached: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Ask again and again; the API says so of itself only to those who watch.

    Raises:
        Failed: it takes too long.
    """
    with trio.move_on_after(_READY_MAX_S):
        while not await reached():  # noqa: ASYNC110 - nobody tells us
            await trio.sleep(_POLL_S)
        return
    raise Failed(f"{otherwise} after {_READY_MAX_S:.0f} s")
