"""Channels, tokens, origins and keys that do not open anything."""

import base64
import json
import time
from typing import Any

import pytest

from node.access.tokens import make_token
from node.config.options import TokenOptions
from tests.integration.cluster import HMAC_KEY, NodeProcess
from tests.integration.raw import Raw


@pytest.mark.parametrize("channel", ["a" * 256, "ключ", "nobodys:news", "a\x00b", "closed:news"])
async def test_channels_one_cannot_have_are_errors(node: NodeProcess, channel: str) -> None:
    """A bad name, an unknown namespace and a closed one are errors of the command; the session goes on."""
    async with await Raw.open(node.http) as raw:
        await raw.connected()
        await raw.send_text(json.dumps({"id": 2, "subscribe": {"channel": channel}}))
        (reply,) = await raw.replies()
        assert reply["error"]["code"] in {102, 103, 107}
        await raw.send_text('{"id":2,"subscribe":{"channel":"news"}}')
        (reply,) = await raw.replies()
        assert "subscribe" in reply


def forged(header: dict[str, Any], signature: str = "") -> str:
    """A token that nobody signed."""
    claims = {"sub": "root", "exp": int(time.time()) + 600}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    ]
    return ".".join([*parts, signature])


OTHERS = TokenOptions(hmac_secret_key="x" * 40)
TOKENS = {
    "alg none": forged({"alg": "none", "typ": "JWT"}),
    "alg None": forged({"alg": "None"}, "AAAA"),
    "no signature": forged({"alg": "HS256"}),
    "a public key's algorithm": forged({"alg": "RS256"}, "AAAA"),
    "a key of one's own": forged({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, "AAAA"),
    "another secret": make_token(OTHERS, "root", now=time.time(), ttl_s=600),
    "no token": "nonsense",
    "dots": "..",
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
async def test_forged_tokens_are_refused(node: NodeProcess, token: str) -> None:
    """Whatever is not signed with our secret ends the session with 3500, over each transport."""
    async with await Raw.open(node.http) as raw:
        await raw.upgrade("/connection/websocket")
        await raw.send_text(json.dumps({"id": 1, "connect": {"token": token}}))
        assert (await raw.closed())[0] == 3500
    async with await Raw.open(node.http) as raw:
        await raw.request(f"GET /sse?channel=news&token={token} HTTP/1.1\nHost: test")
        assert (await raw.answer()).status == 401


async def test_an_expired_token_is_told_apart(node: NodeProcess) -> None:
    """Error 109 asks an SDK for a new token; it is no forgery."""
    ours = TokenOptions(hmac_secret_key=HMAC_KEY)
    async with await Raw.open(node.http) as raw:
        await raw.upgrade("/connection/websocket")
        token = make_token(ours, "ann", now=time.time() - 7200, ttl_s=3600)
        await raw.send_text(json.dumps({"id": 1, "connect": {"token": token}}))
        (reply,) = await raw.replies()
        assert reply["error"]["code"] == 109


@pytest.mark.parametrize("origin", ["https://evil.example", "http://good.example", "null", "nonsense"])
async def test_pages_of_other_origins_are_refused(node: NodeProcess, origin: str) -> None:
    """A browser on another site gets 403 for every transport; the right one gets through."""
    for path in ("/connection/websocket", "/connection/uni_websocket", "/ws"):
        async with await Raw.open(node.http) as raw:
            assert (await raw.upgrade(path, f"Origin: {origin}")).status == 403
        async with await Raw.open(node.http) as raw:
            assert (await raw.upgrade(path, "Origin: https://good.example")).status == 101
    for request in (
        "GET /sse?channel=news",
        "GET /connection/uni_sse",
        "GET /connection/sse?cf_connect=%7B%22id%22:1,%22connect%22:%7B%7D%7D",
        "POST /connection/http_stream",
        "POST /connection/uni_http_stream",
        "POST /emulation",
    ):
        async with await Raw.open(node.http) as raw:
            await raw.request(f"{request} HTTP/1.1\nHost: test\nOrigin: {origin}")
            assert (await raw.answer()).status == 403


@pytest.mark.parametrize("field", ["X-API-Key: wrong", "Authorization: apikey wrong", "X: y", "X-API-Key:"])
async def test_a_wrong_api_key_is_401(node: NodeProcess, field: str) -> None:
    """No key, a wrong one or an empty one: 401, and no word about why."""
    async with await Raw.open(node.http) as raw:
        await raw.request(f"POST /api/publish HTTP/1.1\nHost: test\n{field}\nContent-Length: 2", b"{}")
        answer = await raw.answer()
        assert (answer.status, await raw.body(answer)) == (401, b"")
