"""Who leads, by a session's lock on one key.

The session hangs on a check that the leader renews: Consul ends it, and frees the key, when the leader is
silent for its time to live. A session's own time to live would do that too, but cannot be below ten seconds,
and Consul may take twice as long. The check belongs to a service: one of the agent's own, left critical by a
dead leader, would make every service of that agent look ill.

The lock is taken in a transaction with the key's index as a condition, so the fence can be the last one's
plus one: nobody led in between. A key keeps its value when it is freed.
"""

import secrets
from typing import Any

import consul
import trio

from coordinator.catalog.consul_line import Line, in_transaction
from coordinator.catalog.interface import CatalogUnavailable, Conflict
from protos.catalog_format import encode
from protos.catalog_pb2 import Leader

# A service whose check is critical for so long is removed by Consul; it cannot be told less.
REMOVED_AFTER = "1m"
# A new check needs a moment from the agent to the servers, where sessions are made.
_SESSION_TRIES = 20
_SESSION_PAUSE_S = 0.05


def ttl_check(ttl_s: float) -> dict[str, Any]:
    """A check that is passing from the start and wants to be renewed."""
    return {
        **consul.Check.ttl(f"{round(ttl_s * 1000)}ms"),
        "status": "passing",
        "DeregisterCriticalServiceAfter": REMOVED_AFTER,
    }


class Session:
    """A session of Consul that ends when nobody says for `ttl_s` that it goes on.

    Args:
        line: to the agent.
        service: what it is registered as.
        ttl_s: seconds.
    """

    def __init__(self, line: Line, service: str, ttl_s: float) -> None:
        self._line = line
        self._service = service
        self._service_id = f"{service}:{secrets.token_hex(6)}"
        self._check = ttl_check(ttl_s)
        self.id = ""

    async def open(self) -> None:
        """Begin it.

        Raises:
            CatalogUnavailable: it cannot be.
        """
        check_id = f"service:{self._service_id}"
        await self._line.call(
            lambda client: client.agent.service.register(
                self._service, service_id=self._service_id, check=self._check
            )
        )
        for left in reversed(range(_SESSION_TRIES)):
            try:
                self.id = await self._line.call(
                    lambda client: client.session.create(
                        self._service, checks=["serfHealth", check_id], lock_delay=0
                    )
                )
                return
            except CatalogUnavailable:
                if not left:
                    raise
                await trio.sleep(_SESSION_PAUSE_S)

    async def renew(self) -> bool:
        """Go on; False: the agent knows nothing of it."""
        return bool(
            await self._line.call(lambda client: client.agent.check.ttl_pass(f"service:{self._service_id}"))
        )

    async def close(self) -> None:
        """End it, which frees what it locked."""
        if self.id:
            await self._line.call(lambda client: client.session.destroy(self.id))
        await self._line.call(lambda client: client.agent.service.deregister(self._service_id))


async def take(line: Line, key: str, leader: Leader, index: int, session: Session) -> bool:
    """Lock the leader's key.

    Args:
        line: to the agent.
        key: of the leader.
        leader: its value from now on.
        index: the key's ModifyIndex when it was found free, 0 if there was none.
        session: open.

    Returns:
        Whether we lead.
    """
    free = {"Verb": "check-index", "Index": index} if index else {"Verb": "check-not-exists"}
    lock = {"Verb": "lock", "Value": in_transaction(encode(leader)), "Session": session.id}
    try:
        await line.transaction({**free, "Key": key}, {**lock, "Key": key})
    except Conflict:
        return False
    return True


class ConsulTerm:
    """See `coordinator.catalog.interface.Term`.

    Args:
        line: to the agent.
        key: of the leader; locked.
        leader: its value.
        session: that locks it.
    """

    def __init__(self, line: Line, key: str, leader: Leader, session: Session) -> None:
        self._line = line
        self._key = key
        self._leader = leader
        self._session = session
        self.fence = leader.fence

    async def renew(self) -> bool:
        """See `Term.renew`."""
        if not await self._session.renew():
            return False
        self._leader.renewals += 1
        try:
            # A transaction: a lost lock is a condition that does not hold, and no mistake.
            value = in_transaction(encode(self._leader))
            await self._line.transaction(
                {"Verb": "check-session", "Key": self._key, "Session": self._session.id},
                {"Verb": "lock", "Key": self._key, "Value": value, "Session": self._session.id},
            )
        except Conflict:
            return False
        return True

    async def resign(self) -> None:
        """See `Term.resign`."""
        await self._session.close()
