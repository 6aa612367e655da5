"""Shows the settings in force, for `check-config`. Secrets are shown as set or not set, never themselves."""

import re
from typing import Any

import msgspec
import yaml

from node.config.durations import format_duration
from node.config.options import Config, Duration
from node.config.schema import SECRETS, join

_HIDDEN = "(hidden)"
_USER_IN_URL = re.compile(r"//[^@/,]*@")


def describe(config: Config) -> str:
    """Every option with its value, as YAML that `load` reads back, save for what is hidden.

    Args:
        config: as `load` returned it.
    """
    plain = _plain(config, "")
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=False, allow_unicode=True)


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
        return _USER_IN_URL.sub(f"//{_HIDDEN}@", value)
    if path in SECRETS and value:
        return _HIDDEN
    return value
