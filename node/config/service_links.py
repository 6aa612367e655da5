"""Environment variables that Kubernetes makes up, and that are no options of ours. Pure.

For every Service of a namespace it sets `<NAME>_SERVICE_HOST`, `<NAME>_PORT_8000_TCP` and more in every
pod, unless `enableServiceLinks` is false: a Service called `broadcast` or `broadcast-node` would
otherwise make each of its pods refuse to start.
"""

import re

_LINK = re.compile(
    r"BROADCAST_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|"
    r"PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_PORT = re.compile(r"BROADCAST_(?:[A-Z0-9_]+_)?PORT")


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes made this variable.

    Args:
        name: of the variable.
        value: `..._PORT` is a link only with a URL such as `tcp://10.0.0.1:80`; a person's is a number.
    """
    return _LINK.fullmatch(name) is not None or (_PORT.fullmatch(name) is not None and "://" in value)
