"""What a broker learns from the configuration."""

import pytest

from node.broker.interface import BrokerRejected, HistoryOptions
from node.broker.namespaces import Namespaces, NamespaceStore
from node.config.options import ChannelOptions, ChannelsOptions, Duration, Namespace

OPTIONS = ChannelsOptions(
    without_namespace=ChannelOptions(history_size=10, history_ttl=Duration(60)),
    namespaces=(
        Namespace(name="chat", history_size=5, history_ttl=Duration(1), history_meta_ttl=Duration(9)),
        Namespace(name="wide", history_size=5, history_ttl=Duration(1), history_partitions=4),
        Namespace(name="plain", history_size=5),
    ),
    history_meta_ttl=Duration(100),
)


def test_every_namespace_is_there() -> None:
    """Size, times and partitions are the namespace's own; a time left out is the one for all channels."""
    assert Namespaces.of(OPTIONS).stores == {
        "": NamespaceStore(HistoryOptions(10, 60.0, 100.0)),
        "chat": NamespaceStore(HistoryOptions(5, 1.0, 9.0)),
        "wide": NamespaceStore(HistoryOptions(5, 1.0, 100.0), partitions=4),
        "plain": NamespaceStore(),
    }


def test_only_what_is_kept_has_a_history() -> None:
    """Asking for the history of a channel that keeps none is refused with the options to set."""
    namespaces = Namespaces.of(OPTIONS)
    assert namespaces.history_of("$chat:x").size == 5
    assert [name for name, _, _ in namespaces.histories()] == ["", "chat", "wide"]
    for channel in ("plain:x", "unknown:x"):
        with pytest.raises(BrokerRejected, match="history_size and history_ttl"):
            namespaces.history_of(channel)
