"""The node's side of the catalog in Consul: a service with a check, and a key that is waited for.

py-consul blocks, so it is called in threads: two, one that reports and one that waits for orders. A report
is a registration: an agent that was restarted, and knows nothing, has everything again with the next one.
"""

import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import consul
import structlog
import trio

from node.catalog.reporting import Pace
from node.config.coordination import CatalogOptions, ConsulOptions
from protos import consul_words
from protos.catalog_format import Undecodable, decode, order_key, segment, to_meta
from protos.catalog_pb2 import NodeReport, Order

logger = structlog.get_logger(__name__)

_PORT = 8500
_ANSWER_DEADLINE_S = 2.0
_LEAVE_DEADLINE_S = 1.0
_QUERY_WAIT = "10s"
# Orders come once a second; more often than this nobody is asked for them.
_QUERY_INTERVAL_S = 0.1
_RETRY_S = 0.5
# A service that is silent for so long is removed by Consul itself; it cannot be told less.
_REMOVED_AFTER = "1m"

_T = TypeVar("_T")


class ConsulCatalog:
    """See `node.catalog.interface.Catalog`.

    Args:
        options: `catalog`.
        name: of this node.
    """

    def __init__(self, options: CatalogOptions, *, name: str) -> None:
        self._options = options
        self._service = options.consul.service
        self._service_id = f"{options.consul.service}:{segment(name)}"
        self._order_key = f"{options.consul.prefix}/{order_key(name)}"
        self._pace = Pace(options.report_interval_s)
        self._reports, self._orders = _Line(options.consul), _Line(options.consul)
        self._failure = ""
        self.failures = 0

    def changed(self) -> None:
        """See `Catalog.changed`."""
        self._pace.changed()

    async def run(self, report: Callable[[], NodeReport], obey: Callable[[Order], None]) -> None:
        """See `Catalog.run`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, obey)
            while True:
                began_at = trio.current_time()
                if await self._ask(self._reports, partial(self._register, report())) is not None:
                    self._failure = ""
                await self._pace.next(began_at)

    async def leave(self) -> None:
        """See `Catalog.leave`."""
        with trio.move_on_after(_LEAVE_DEADLINE_S):
            await self._ask(self._reports, lambda client: client.agent.service.deregister(self._service_id))

    def _register(self, report: NodeReport, client: consul.Consul) -> bool:
        http = next(
            (parts for a in report.addresses if (parts := urlsplit(a.url)).scheme.startswith("http")), None
        )
        client.agent.service.register(
            self._service,
            service_id=self._service_id,
            address=http.hostname if http else None,
            port=http.port if http else None,
            meta=to_meta(report),
            check={
                **consul.Check.ttl(f"{round(self._options.ttl_s * 1000)}ms"),
                "status": "passing",
                "DeregisterCriticalServiceAfter": _REMOVED_AFTER,
            },
        )
        # A check that has become critical stays so through a registration.
        return bool(client.agent.check.ttl_pass(f"service:{self._service_id}"))

    async def _listen(self, obey: Callable[[Order], None]) -> None:
        """Wait for what stands in the node's key, again and again."""
        index, modified = 0, 0
        while True:
            asked_at = trio.current_time()
            answer = await self._ask(self._orders, partial(self._read_order, index))
            if answer is None:
                index = modified = 0
                await trio.sleep(_RETRY_S)
                continue
            answered, found = int(answer[0]), answer[1]
            # An index that goes back is of a catalog that lost its data: everything is read again.
            index = answered if answered >= index else 0
            if found is not None and found["ModifyIndex"] != modified:
                modified = found["ModifyIndex"]
                self._ordered(found["Value"] or b"", obey)
            await trio.sleep_until(asked_at + _QUERY_INTERVAL_S)

    def _read_order(self, index: int, client: consul.Consul) -> Any:
        return client.kv.get(self._order_key, index=index or None, wait=_QUERY_WAIT)

    def _ordered(self, value: bytes, obey: Callable[[Order], None]) -> None:
        try:
            order = decode(Order, value)
        except Undecodable as error:
            self.failures += 1
            logger.warning("an order cannot be read", reason=str(error))
            return
        obey(order)

    async def _ask(self, line: "_Line", question: Callable[[consul.Consul], _T]) -> _T | None:
        """Ask the agent; None when there is no answer, which is counted and logged."""
        try:
            return await line.call(question)
        except (OSError, consul.ConsulException) as error:  # all that requests raises is an OSError
            reason = consul_words.failure(error)
        self.failures += 1
        if reason != self._failure:
            self._failure = reason
            logger.warning("the catalog cannot be reached", reason=reason)
        return None


class _Line:
    """A client of the agent, one call after the other."""

    def __init__(self, options: ConsulOptions) -> None:
        parts = urlsplit(options.url)
        self._client = consul.Consul(
            host=parts.hostname or "",
            port=parts.port or _PORT,
            scheme=parts.scheme,
            dc=options.datacenter or None,
            verify=options.ca_file or ssl.get_default_verify_paths().cafile or True,
            cert=(options.cert_file, options.key_file) if options.cert_file else None,
            connections_timeout=_ANSWER_DEADLINE_S,
        )
        # The environment has no say: what holds is in the configuration.
        self._client.token = options.token or None
        self._client.http.session.trust_env = False
        # Held by a thread until it ends: a goodbye does not overtake a report that was under way.
        self._turn = trio.CapacityLimiter(1)

    async def call(self, question: Callable[[consul.Consul], _T]) -> _T:
        """Ask in a thread; cancelled, the thread is left to its deadline. Raises what py-consul does."""
        return await trio.to_thread.run_sync(
            question, self._client, abandon_on_cancel=True, limiter=self._turn
        )
