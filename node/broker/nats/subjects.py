"""Subjects and stream names: where a channel's messages travel and are stored in NATS. Pure.

The scheme is public, so that a publisher may publish to NATS directly:

    {prefix}.store.{namespace}.{partition}.{channel}    stored, then re-published to the live subject
    {prefix}.live.{namespace}.{partition}.{channel}     what nodes listen to; plain messages go there at once
    {prefix}.marker.{namespace}.{partition}             the stream's epoch marker
    {prefix}.node.{topic}                               from node to nodes
    {prefix}-{namespace}-{partition}                    the stream that holds the first and the third

`namespace` is `_` for channels without one (the name of a namespace has two characters at least);
`partition` is crc32 of the channel's UTF-8 bytes modulo the number of the namespace's streams; `channel`
and `namespace` are escaped into one token: bytes of UTF-8 that a subject's token or a stream's name
cannot hold, and `%` itself, are written `%XX`.
"""

import re
import zlib
from typing import NamedTuple

from node.broker.namespaces import PLAIN, Namespaces

NO_NAMESPACE = "_"
# A token of a subject can hold any byte but space, TAB, CR, LF and the three that have a meaning there
# (`.`, `*`, `>`). Other control characters and everything outside ASCII are escaped as well, so that a
# subject can be typed and logged.
_UNSAFE = re.compile(r"[^!-$&-)+,\-/-=?-~]")
# Stream names are names of folders: `/` and `\` are not allowed in them either.
_UNSAFE_IN_STREAM_NAME = re.compile(r"[/\\]")


def escape(name: str) -> str:
    """A name as one token of a subject; different names never have the same token.

    Raises:
        ValueError: the name is empty: a token cannot be.
    """
    if not name:
        raise ValueError("an empty name has no subject")
    return _UNSAFE.sub(_percent, name)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


class Partition(NamedTuple):
    """One of the streams of a namespace.

    Attributes:
        namespace: its name, "" for channels without one.
        number: counted from 0.
    """

    namespace: str
    number: int


class Subjects:
    """The scheme for one cluster.

    Args:
        prefix: `broker.nats.prefix`, one token.
        namespaces: how a channel leads to its namespace, and over how many streams that is spread
            until `spread` says otherwise.
    """

    __slots__ = ("_counts", "_namespaces", "_prefix", "_roots")

    def __init__(self, prefix: str, namespaces: Namespaces) -> None:
        if escape(prefix) != prefix or _UNSAFE_IN_STREAM_NAME.search(prefix):
            raise ValueError(
                f"broker.nats.prefix {prefix!r} is not one token of a subject and of a stream's name"
            )
        self._prefix = prefix
        self._namespaces = namespaces
        self._roots: dict[Partition, str] = {}
        self._counts = {name: store.partitions for name, store in namespaces.stores.items()}

    def partitions(self, namespace: str) -> int:
        """Streams a namespace is spread over."""
        return self._counts.get(namespace, PLAIN.partitions)

    def spread(self, namespace: str, count: int) -> None:
        """Change that: nearly every channel leads to another stream then."""
        self._counts[namespace] = count

    def partition_of(self, channel: str) -> Partition:
        """Which stream a channel belongs to."""
        namespace = self._namespaces.name_of(channel)
        count = self._counts.get(namespace, 1)
        return Partition(namespace, zlib.crc32(channel.encode()) % count if count > 1 else 0)

    def store(self, channel: str) -> str:
        """Where a message that is to be stored is published."""
        return f"{self._prefix}.store.{self._root(self.partition_of(channel))}.{escape(channel)}"

    def live(self, channel: str) -> str:
        """Where a channel's messages arrive."""
        return f"{self._prefix}.live.{self._root(self.partition_of(channel))}.{escape(channel)}"

    def store_all(self, partition: Partition) -> str:
        """The stored subjects of every channel of a stream."""
        return f"{self._prefix}.store.{self._root(partition)}.*"

    def live_template(self, partition: Partition) -> str:
        """Where a stream re-publishes to, in the form RePublish wants."""
        return f"{self._prefix}.live.{self._root(partition)}.{{{{wildcard(1)}}}}"

    def marker(self, partition: Partition) -> str:
        """Where a stream's epoch marker is stored."""
        return f"{self._prefix}.marker.{self._root(partition)}"

    def markers(self, namespace: str) -> str:
        """The markers of all streams of a namespace."""
        return f"{self._prefix}.marker.{_namespace_token(namespace)}.*"

    def node(self, topic: str) -> str:
        """Where nodes tell each other things."""
        return f"{self._prefix}.node.{escape(topic)}"

    def stream(self, partition: Partition) -> str:
        """The name of a stream."""
        token = _UNSAFE_IN_STREAM_NAME.sub(_percent, _namespace_token(partition.namespace))
        return f"{self._prefix}-{token}-{partition.number}"

    def _root(self, partition: Partition) -> str:
        root = self._roots.get(partition)
        if root is None:
            root = f"{_namespace_token(partition.namespace)}.{partition.number}"
            # Only configured namespaces are remembered: clients can name any number of others.
            if partition.namespace in self._namespaces.stores:
                self._roots[partition] = root
        return root


def _namespace_token(namespace: str) -> str:
    return escape(namespace) if namespace else NO_NAMESPACE
