"""Keeps tokens, keys and payloads out of the log, whoever passes them. Pure.

This is the last line of defence, not a licence: callers pass ids, counts and reasons.
"""

from structlog.typing import EventDict, WrappedLogger

# Refused as a whole key or as its last word: `token`, `api_key`, `X-Api-Key`, `hmac_secret_key`; but not
# `data_bytes` or `token_user`, which say something about a secret and are none.
_SECRET_WORDS = frozenset(
    {
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "data",
        "info",
        "jwt",
        "key",
        "keys",
        "passphrase",
        "password",
        "passwd",
        "payload",
        "secret",
        "seed",
        "token",
        "tokens",
    }
)
# structlog's own, for tracebacks.
_ALLOWED = frozenset({"exc_info", "stack_info"})
_BINARY = (bytes, bytearray, memoryview)
_DEPTH_MAX = 3


def refuse_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop what may be secret and name the dropped keys under `refused`; bytes are shown by their number.

    Args:
        event: what is about to be written.
    """
    refused: list[str] = []
    for name, value in list(event.items()):
        if name in _ALLOWED:
            continue
        if _is_secret(name):
            del event[name]
            refused.append(name)
        elif isinstance(value, (dict, list, tuple, *_BINARY)):
            event[name] = _without_secrets(value, name, refused, _DEPTH_MAX)
    if refused:
        event["refused"] = refused
    return event


def _is_secret(name: str) -> bool:
    return name.lower().replace("-", "_").rpartition("_")[2] in _SECRET_WORDS


def _without_secrets(value: object, path: str, refused: list[str], depth: int) -> object:
    if isinstance(value, _BINARY):
        return f"<{len(value)} bytes>"
    if not isinstance(value, dict | list | tuple):
        return value
    if depth == 0:
        return "<nested too deep>"
    if not isinstance(value, dict):
        return [_without_secrets(item, path, refused, depth - 1) for item in value]
    kept: dict[object, object] = {}
    for key, inner in value.items():
        inner_path = f"{path}.{key}"
        if _is_secret(str(key)):
            refused.append(inner_path)
        else:
            kept[key] = _without_secrets(inner, inner_path, refused, depth - 1)
    return kept
