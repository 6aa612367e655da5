"""Shows the settings in force, for `check-config`. Secrets are shown as set or not set, never themselves."""

from typing import Any, TypeVar

import msgspec
import yaml

from node.config.channel_relations import history_meta_ttl_s
from node.config.durations import Duration, format_duration
from node.config.nats_urls import hide_logins
from node.config.options import ChannelOptions, Config
from node.config.schema import SECRETS, join

_HIDDEN = "(hidden)"
_Channels = TypeVar("_Channels", bound=ChannelOptions)


def describe(config: Config) -> str:
    """Every option with the value in effect, as YAML that `load` reads back, save for what is hidden.

    Args:
        config: as `load` returned it.
    """
    plain = _plain(in_effect(config), "")
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=False, allow_unicode=True)


def in_effect(config: Config) -> Config:
    """The same with what namespaces take from the common options written into each of them.

    Args:
        config: as `load` returned it.
    """
    common = config.channel

    def filled(options: _Channels) -> _Channels:
        meta_ttl = Duration(history_meta_ttl_s(options, common))
        return msgspec.structs.replace(options, history_meta_ttl=meta_ttl)

    channel = msgspec.structs.replace(
        common,
        without_namespace=filled(common.without_namespace),
        namespaces=tuple(map(filled, common.namespaces)),
    )
    return msgspec.structs.replace(config, channel=channel)


def _plain(value: Any, path: str) -> Any:
    if isinstance(value, msgspec.Struct):
        return {
            name: _plain(getattr(value, name), join(path, name)) for name in type(value).__struct_fields__
        }
    if isinstance(value, tuple):
        return [_plain(item, path) for item in value]
    if isinstance(value, Duration):
        return format_duration(value)
    if path == "broker.nats.url":
        # An address is worth seeing; the user and password it may carry are not.
        return hide_logins(value)
    if path in SECRETS and value:
        return _HIDDEN
    return value
