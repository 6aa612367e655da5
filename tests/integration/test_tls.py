"""Everything on the port under TLS, with clients that nobody here wrote: curl, a browser, an SDK."""

import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from tests.integration.cluster import API_KEY, Cluster, NodeProcess
from tests.integration.hostile.undisturbed import metrics
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.proxy import Proxy
from tests.integration.raw import CLOSE, Raw
from tests.integration.test_centrifuge_python import PythonSdk
from tests.integration.test_demo_page import CHROMIUM, Tab
from tests.node.door.authority import Authority
from tests.patience import PATIENCE_S

CURL = shutil.which("curl") or ""
NEEDS_CURL = pytest.mark.skipif(
    not CURL
    or "HTTP2" not in subprocess.run([CURL, "-V"], capture_output=True, text=True, check=False).stdout,
    reason="no `curl` with HTTP/2 on the PATH",
)
KEY_FIELD = f"X-API-Key: {API_KEY}"
HTTP_VERSIONS = {"--http1.1": "1.1", "--http2": "2"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that speak nothing but TLS."""
    files = {"cert_pem": str(authority.cert_pem), "key_pem": str(authority.key_pem)}
    with Cluster(
        tmp_path_factory.mktemp("secure"),
        http_server={"tls": {"enabled": True, **files}},
        client={"insecure": True, "allowed_origins": ["*"]},
        demo={"enabled": True},
    ) as cluster:
        yield cluster


@pytest.fixture
def node(secure: Cluster) -> NodeProcess:
    """The first of them."""
    assert secure.nodes[0].http.startswith("https://")
    return secure.nodes[0]


def curl_command(authority: Authority, *arguments: str) -> list[str]:
    return [CURL, "--silent", "--show-error", "--noproxy", "*", "--cacert", str(authority.ca_pem), *arguments]


def publish(
    authority: Authority, node: NodeProcess, channel: str, data: Any, version: str = "--http2"
) -> str:
    """Publish by curl; returns the version of HTTP that was spoken."""
    body = json.dumps({"channel": channel, "data": data})
    arguments = (version, "-H", KEY_FIELD, "-d", body, "-w", " %{http_version}", f"{node.http}/api/publish")
    command = curl_command(authority, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    answer, _, spoken = done.stdout.rpartition(" ")
    assert json.loads(answer)["result"]["offset"] > 0
    return spoken


@contextmanager
def listening(
    authority: Authority, node: NodeProcess, channel: str, version: str = "--http2"
) -> Iterator["subprocess.Popen[str]"]:
    """Curl with an event stream of the channel, subscribed; its stdout has the lines."""
    command = curl_command(authority, version, "-N", f"{node.http}/sse?channel={channel}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as curl:
        try:
            assert curl.stdout is not None
            until(curl, "event: subscribed")
            yield curl
        finally:
            curl.kill()


def until(curl: "subprocess.Popen[str]", text: str) -> None:
    """Read lines up to one with the text."""
    assert curl.stdout is not None
    for line in curl.stdout:
        if text in line:
            return
    raise AssertionError(f"the stream ended before {text!r}")


@NEEDS_CURL
@pytest.mark.parametrize("version", HTTP_VERSIONS)
def test_curl_publishes_and_listens(
    authority: Authority, node: NodeProcess, channel: str, version: str
) -> None:
    """The API and event streams, in HTTP/1.1 and, agreed in the handshake, HTTP/2."""
    with listening(authority, node, channel, version) as curl:
        spoken = publish(authority, node, channel, {"said": "by curl"}, version)
        until(curl, "by curl")
    assert spoken == HTTP_VERSIONS[version]


@NEEDS_CURL
def test_curl_without_tls_is_told_so(node: NodeProcess) -> None:
    """Plain text on the port gets an answer that says what to do."""
    command = [CURL, "--silent", "--noproxy", "*", "-w", "%{http_code}", node.http.replace("https", "http")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stdout == "this port speaks TLS; use https:// or wss://\n400"


@NEEDS_CURL
def test_a_leaving_node_ends_http2_with_its_last_stream(
    authority: Authority, secure: Cluster, channel: str
) -> None:
    """Its client sees a clean end of the stream and of the connection; the node waits for no other."""
    leaving = secure.start_node("leaving")
    with listening(authority, leaving, channel) as curl:
        before = time.monotonic()
        assert leaving.stop() == 0
        assert time.monotonic() - before < 25, "it waited for its own deadline"
        assert curl.wait(PATIENCE_S) == 0


@pytest.mark.sdk
@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_an_sdk_recovers_over_tls(
    authority: Authority, secure: Cluster, channel: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """centrifuge-python: cut off, and on another node it gets what it missed, in order and once."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_pem))
    suffix = "?format=protobuf" if encoding == "protobuf" else ""
    with Proxy(secure.nodes[0]) as proxy:
        url = f"{proxy.ws.replace('ws:', 'wss:')}/connection/websocket{suffix}"
        with PythonSdk(url, encoding) as sdk:
            sdk.do("connect")
            sdk.expect("connected")
            sdk.do("subscribe", channel=channel)
            sdk.expect("subscribed", channel=channel)
            publish(authority, secure.nodes[0], channel, 0)
            assert sdk.received(channel, 0) == [0]
            proxy.cut()
            sdk.expect("connecting")
            for number in range(1, 6):
                publish(authority, secure.nodes[0], channel, number)
            proxy.target = secure.nodes[1]
            assert sdk.expect("subscribed", channel=channel)["recovered"] is True
            publish(authority, secure.nodes[0], channel, 6)
            assert sdk.received(channel, 6) == [1, 2, 3, 4, 5, 6]


@asynccontextmanager
async def connection(authority: Authority, node: NodeProcess, receive_bytes: int = 0) -> AsyncIterator[Raw]:
    """A connection that sends whatever it is told to, within TLS."""
    sock = trio.socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await sock.connect(("127.0.0.1", node.port))
    context: ssl.SSLContext = authority.client_context()
    stream = trio.SSLStream(
        trio.SocketStream(sock), context, server_hostname="localhost", https_compatible=True
    )
    await stream.do_handshake()
    try:
        yield Raw(cast("trio.SocketStream", stream))
    finally:
        await trio.aclose_forcefully(stream)


def resident_bytes(node: NodeProcess) -> int:
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


async def test_a_client_that_never_reads_is_closed(authority: Authority, node: NodeProcess) -> None:
    """It costs no more than it may have waiting, is closed as slow (3008), and is told so when it reads."""
    with trio.fail_after(PATIENCE_S):
        async with (
            connection(authority, node) as asking,
            connection(authority, node, receive_bytes=4096) as deaf,
        ):
            await deaf.connected()
            await deaf.send_text('{"id":2,"subscribe":{"channel":"plain:deaf"}}')
            assert "subscribe" in (await deaf.replies())[0]
            slow = (await metrics(asking))["broadcast_slow_clients_total"]
            resident = resident_bytes(node)
            sent = 0
            while (await metrics(asking))["broadcast_slow_clients_total"] == slow:
                await asking.post("/api/publish", {"channel": "plain:deaf", "data": "x" * 50_000}, KEY_FIELD)
                sent += 1
            assert resident_bytes(node) - resident < 10_000_000
            came = 0
            while (frame := await deaf.frame()).opcode != CLOSE:
                came += b'"pub"' in frame.payload
            assert frame.close == (3008, "slow")
            assert 0 < came < sent


async def test_300_connections_that_come_and_go(authority: Authority, node: NodeProcess) -> None:
    """Dropped at any point of TLS, reset or closed, in crowds: nothing of them stays, nothing fails."""
    hello = ssl.MemoryBIO()
    half = authority.client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        half.do_handshake()
    first = hello.read()

    async def come_and_go(number: int) -> None:
        stage = number % 5
        if stage < 3:
            stream = await trio.open_tcp_stream("127.0.0.1", node.port)
            await stream.send_all((first[:40], first, b"GET / HTTP/1.1")[stage])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0))
            await stream.aclose()
            return
        async with connection(authority, node) as raw:
            if stage == 4:
                await raw.connected()
                await raw.send_text('{"id":2,"subscribe":{"channel":"news"}}')

    with trio.fail_after(PATIENCE_S):
        async with connection(authority, node) as asking:
            before = await metrics(asking)
            for _ in range(3):
                async with trio.open_nursery() as nursery:
                    for number in range(100):
                        nursery.start_soon(come_and_go, number)
            after = await metrics(asking)
            while after["broadcast_door_connections"] > 1:
                await trio.sleep(0.05)
                after = await metrics(asking)
    assert after["broadcast_failures_total"] == before["broadcast_failures_total"]
    assert sum(value for name, value in after.items() if name.startswith("broadcast_connections{")) == 0


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH")
class TestBrowser:
    """Chromium takes an HTTP/2 connection that it has for its WebSockets too (RFC 8441)."""

    pytestmark = NEEDS_NODE

    @pytest.mark.parametrize(("options", "count"), [((), 1), (("--disable-http2",), 2)])
    async def test_a_page_and_its_websocket(
        self, authority: Authority, node: NodeProcess, channel: str, options: tuple[str, ...], count: int
    ) -> None:
        """Subscribed, published, received; over one connection with HTTP/2, over one each without."""
        with Program("demo_page.mjs", CHROMIUM, "--ignore-certificate-errors", *options) as browser:
            browser.expect("launched")
            tab = Tab(browser, f"{node.http}/#{channel}")
            tab.shows("subscribed")
            tab.publish(channel, {"from": tab.name})
            tab.shows(tab.name)
            with trio.fail_after(PATIENCE_S):
                async with connection(authority, node) as asking:
                    # Browsers open one more now and then, in case it is needed, and close it.
                    seen = await metrics(asking)
                    while seen["broadcast_door_connections"] != count + 1:
                        await trio.sleep(0.1)
                        seen = await metrics(asking)
            assert seen['broadcast_connections{transport="ws"}'] == 1
            assert browser.left("trouble") == []
