"""What a node is linked to, as its configuration says: its broker, and the catalog it is listed in."""

import random

from node.broker.interface import Broker
from node.broker.memory import MemoryBroker, MemoryStore
from node.broker.namespaces import Namespaces
from node.broker.nats.broker import NatsBroker
from node.catalog.interface import Catalog
from node.catalog.nats import NatsCatalog
from node.config.options import Config


def open_broker(config: Config, name: str) -> Broker:
    """The node's broker, not running yet.

    Args:
        config: checked by `load`.
        name: of the node, for the servers' lists of connections.
    """
    namespaces = Namespaces.of(config.channel)
    if config.broker.type == "memory":
        return MemoryBroker(MemoryStore(namespaces, random.Random()))  # noqa: S311 - an epoch is no secret
    return NatsBroker(config.broker.nats, namespaces, name=name)


def open_catalog(config: Config, broker: Broker, name: str) -> Catalog | None:
    """The node's side of its catalog, not running yet; None if it is listed in none.

    Args:
        config: checked by `load`.
        broker: the node's; the catalog on NATS uses its connection.
        name: of the node.
    """
    if config.catalog.type == "consul":
        # What talks to Consul weighs megabytes, which a node without it need not carry.
        from node.catalog.consul import ConsulCatalog

        return ConsulCatalog(config.catalog, name=name)
    if config.catalog.type == "nats" and isinstance(broker, NatsBroker):
        return NatsCatalog(broker.feed, config.broker.nats, config.catalog, name=name)
    return None
