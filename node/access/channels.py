"""Channel names: which are legal, which namespace they belong to, and what its options allow. Pure.

Source: the client protocol reference, 4.3 and 10.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from node.config.channel_relations import history_meta_ttl_s
from node.config.options import ChannelOptions, ChannelsOptions
from node.protocol.channels import namespace_of
from node.protocol.errors import CommandError
from node.protocol.reasons import BAD_REQUEST, NOT_AVAILABLE, UNKNOWN_CHANNEL

# A name of 255 bytes, its struct and the cache's link take about 600 bytes.
_REMEMBERED = 16_384


class ResolvedChannel(Struct, frozen=True):
    """A legal name and what its namespace says.

    Attributes:
        name: as clients and publishers write it.
        namespace: "" for channels without one.
        options: of the namespace.
        history_meta_ttl_s: how long positions stay meaningful, seconds.
        private: only a subscription token opens it to clients.
        users: who may subscribe, where the name says so; None for a name that does not.
    """

    name: str
    namespace: str
    options: ChannelOptions
    history_meta_ttl_s: float
    private: bool
    users: frozenset[str] | None

    def require_history(self) -> None:
        """Raise CommandError, NOT_AVAILABLE, if the channel keeps no history."""
        if not self.options.keeps_history:
            raise CommandError(NOT_AVAILABLE, "the namespace keeps no history")


class _Namespace(Struct, frozen=True):
    options: ChannelOptions
    pattern: re.Pattern[str] | None
    history_meta_ttl_s: float


class ChannelRules:
    """The rules of a configuration, compiled.

    Args:
        options: checked by `load`.

    Attributes:
        resolve: `resolve(channel: str) -> ResolvedChannel`, a dictionary look-up for names seen lately.
            Raises CommandError: BAD_REQUEST for an illegal name, UNKNOWN_CHANNEL for a namespace that
            is not configured.
    """

    __slots__ = ("_namespaces", "_options", "resolve")

    def __init__(self, options: ChannelsOptions) -> None:
        self._options = options
        self._namespaces = {"": self._compile(options.without_namespace)}
        self._namespaces |= {namespace.name: self._compile(namespace) for namespace in options.namespaces}
        # Errors are not remembered, so that garbage cannot push out the names in use.
        self.resolve: Callable[[str], ResolvedChannel] = lru_cache(_REMEMBERED)(self._resolve)

    def _compile(self, options: ChannelOptions) -> _Namespace:
        pattern = re.compile(options.channel_regex) if options.channel_regex else None
        return _Namespace(options, pattern, history_meta_ttl_s(options, self._options))

    def _resolve(self, channel: str) -> ResolvedChannel:
        rules = self._options
        if not channel:
            raise CommandError(BAD_REQUEST, "the channel's name is empty")
        # For ASCII a character is a byte; so the limit in bytes is checked by len.
        if not (channel.isascii() and channel.isprintable()):
            raise CommandError(BAD_REQUEST, "the channel's name is not printable ASCII")
        if len(channel) > rules.max_length:
            raise CommandError(BAD_REQUEST, f"the channel's name is longer than {rules.max_length} bytes")
        name = namespace_of(channel, rules.namespace_boundary, rules.private_prefix)
        namespace = self._namespaces.get(name)
        if namespace is None:
            raise CommandError(UNKNOWN_CHANNEL, "the channel's namespace is not configured")
        rest = channel.partition(rules.namespace_boundary)[2] if name else channel
        if namespace.pattern is not None and namespace.pattern.search(rest) is None:
            raise CommandError(BAD_REQUEST, "the channel's name does not match channel_regex")
        return ResolvedChannel(
            name=channel,
            namespace=name,
            options=namespace.options,
            history_meta_ttl_s=namespace.history_meta_ttl_s,
            private=channel.startswith(rules.private_prefix),
            users=self._users(channel, namespace.options),
        )

    def _users(self, channel: str, options: ChannelOptions) -> frozenset[str] | None:
        _, boundary, users = channel.rpartition(self._options.user_boundary)
        if not (options.allow_user_limited_channels and boundary):
            return None
        # An anonymous client has the id "", which nobody means by `dialog#` or `dialog#42,`.
        return frozenset(users.split(self._options.user_separator)) - {""}
