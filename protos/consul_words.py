"""What is said when Consul does not answer, or does not let us in: the same in nodes and coordinators. Pure.

py-consul and requests are not imported: kinds of errors are known by their names.
"""

_NOT_LET_IN = (
    "Consul does not accept the token for this: check catalog.consul.token, and that its policy has the rules"
    " of OPERATIONS.md, section Consul"
)
_ADVICE = {
    "ACLPermissionDenied": _NOT_LET_IN,
    "ACLDisabled": "Consul has its ACLs switched off and takes no token: leave catalog.consul.token empty",
    "SSLError": (
        "TLS with Consul fails: check catalog.consul.ca_file, and cert_file and key_file in case it wants a"
        " certificate"
    ),
}
_FORBIDDEN = 403
# By the beginning of a path that is read, the rules without which Consul leaves something out of its answer.
_READING = {
    "/v1/health/service/": 'service "{}" {{ policy = "read" }} or node_prefix "" {{ policy = "read" }}',
    "/v1/kv/": 'key_prefix "{}" {{ policy = "read" }}',
}


def failure(error: Exception) -> str:
    """Why a call failed, and what to do about it; nothing of what Consul says of a token is repeated.

    Args:
        error: an OSError, which is all that requests raises, or one of py-consul's.
    """
    kind = type(error).__name__
    if kind in _ADVICE:
        return _ADVICE[kind]
    if isinstance(error, OSError):
        return f"Consul does not answer: {kind}"
    return f"Consul refuses: {str(error) or kind}"


def hidden(path: str) -> str:
    """What is said when an answer lacks what the token may not read: Consul itself calls that a success.

    Args:
        path: that was read.
    """
    lacking = next(
        (rule.format(path.removeprefix(start)) for start, rule in _READING.items() if path.startswith(start)),
        path,
    )
    return (
        f"Consul leaves out what the token may not read: the policy of catalog.consul.token lacks {lacking};"
        " OPERATIONS.md, section Consul, has all its rules"
    )


def refusal(status: int, body: str) -> str:
    """The same for an answer that was read by hand."""
    return _NOT_LET_IN if status == _FORBIDDEN else f"Consul refuses: {status} {body}"
