"""Where the token of a client without an SDK is."""

import pytest

from node.door.head import parse_head
from node.transports.request import bearer_token


@pytest.mark.parametrize(
    ("target", "field", "token"),
    [
        ("/ws?token=abc", "X: y", "abc"),
        ("/ws", "Authorization: Bearer abc", "abc"),
        ("/ws", "authorization: bearer  abc", "abc"),
        ("/ws?token=query", "Authorization: Bearer header", "query"),
        ("/ws", "Authorization: Basic abc", ""),
        ("/ws", "X: y", ""),
    ],
)
def test_a_token_is_a_parameter_or_a_bearer_token(target: str, field: str, token: str) -> None:
    """Browsers cannot set headers on a WebSocket; programs should not put tokens into addresses."""
    head = parse_head(f"GET {target} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n".encode())
    assert bearer_token(head) == token
