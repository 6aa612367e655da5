"""What names and patterns in a configuration look like. Regular expressions only, for `fullmatch`."""

import re

NAMESPACE_NAME = re.compile(r"[-a-zA-Z0-9_.]{2,}")
# One token of a NATS subject: no dot, wildcard or space.
SUBJECT_TOKEN = re.compile(r"[-a-zA-Z0-9_]+")
# Keys of Consul below which ours are: no slash at either end.
KEY_PREFIX = re.compile(r"[-a-zA-Z0-9_.]+(/[-a-zA-Z0-9_.]+)*")
# Keys travel in HTTP headers, where nothing else is safe.
PRINTABLE_ASCII = re.compile(r"[\x21-\x7e]*")
# http(s)://host[:port], and the path of a proxy.
WEB_ADDRESS = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[-a-z0-9._~]+)(:[0-9]{1,5})?(/[-a-z0-9._~/%]*)?", re.IGNORECASE | re.ASCII
)
# scheme://host[:port] with `*` in any part. RFC 6454 section 6.2: an origin has no path and no user.
ORIGIN = re.compile(
    r"(?P<scheme>\*|[a-z][-a-z0-9+.*]*)://(?P<host>\[[0-9a-f:.*]+\]|[-a-z0-9._~%*]+)(?::(?P<port>\*|[0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
