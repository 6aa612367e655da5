"""What a broker has to know of the configuration: which namespace a channel is in and what that one keeps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from node.broker.interface import BrokerRejected, HistoryOptions
from node.config.options import ChannelOptions, ChannelsOptions
from node.protocol.channels import namespace_of


@dataclass(frozen=True, slots=True)
class NamespaceStore:
    """How a broker keeps one namespace.

    Attributes:
        history: what is kept, None where nothing is.
        partitions: streams the namespace is spread over, >= 1.
    """

    history: HistoryOptions | None = None
    partitions: int = 1


PLAIN = NamespaceStore()


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Every namespace of a cluster, and how channel names lead to them.

    Attributes:
        stores: by name; "" is for channels outside any namespace. A namespace that is missing keeps nothing.
        boundary: `channel.namespace_boundary`.
        private_prefix: `channel.private_prefix`.
    """

    stores: Mapping[str, NamespaceStore] = field(default_factory=dict)
    boundary: str = ":"
    private_prefix: str = ""

    @classmethod
    def of(cls, options: ChannelsOptions) -> "Namespaces":
        """From the `channel` section of a configuration."""
        stores = {"": _store(options.without_namespace, options)}
        stores.update((namespace.name, _store(namespace, options)) for namespace in options.namespaces)
        return cls(stores, options.namespace_boundary, options.private_prefix)

    def name_of(self, channel: str) -> str:
        """The namespace of a channel, "" for none."""
        return namespace_of(channel, self.boundary, self.private_prefix)

    def histories(self) -> Iterator[tuple[str, HistoryOptions, int]]:
        """The namespaces that keep history: name, what is kept, partitions."""
        for name, store in self.stores.items():
            if store.history is not None:
                yield name, store.history, store.partitions

    def history_of(self, channel: str) -> HistoryOptions:
        """What is kept of a channel.

        Raises:
            BrokerRejected: its namespace keeps nothing, so there is nothing to store in or read from.
        """
        history = self.stores.get(self.name_of(channel), PLAIN).history
        if history is None:
            raise BrokerRejected(
                f"namespace {self.name_of(channel)!r} keeps no history: set history_size and history_ttl"
            )
        return history


def _store(options: ChannelOptions, channels: ChannelsOptions) -> NamespaceStore:
    meta_ttl_s = float(options.history_meta_ttl or channels.history_meta_ttl)
    history = (
        HistoryOptions(options.history_size, float(options.history_ttl), meta_ttl_s)
        if options.keeps_history
        else None
    )
    return NamespaceStore(history, options.history_partitions)
