"""HTTP/3 on two nodes, with clients that nobody here wrote, quic-go and a browser, and a hostile one."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from tests.integration.cluster import API_KEY, Cluster, NodeProcess
from tests.integration.go_program import GoHttp3, build
from tests.integration.hostile.undisturbed import metrics
from tests.integration.javascript import NEEDS_NODE, Program
from tests.integration.test_demo_page import CHROMIUM, Tab
from tests.integration.test_tls import connection, resident_bytes
from tests.node.door.authority import Authority
from tests.node.door.quic_clients import Http3Client, configuration, connected
from tests.patience import PATIENCE_S

KEY = (b"x-api-key", API_KEY.encode())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def http3(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that speak HTTP/3."""
    files = {"cert_pem": str(authority.cert_pem), "key_pem": str(authority.key_pem)}
    with Cluster(
        tmp_path_factory.mktemp("http3"),
        http_server={
            "tls": {"enabled": True, **files},
            "http3": {"enabled": True, "announced_port": 443},
        },
        client={"insecure": True, "allowed_origins": ["*"]},
        demo={"enabled": True},
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A client by quic-go."""
    return build(tmp_path_factory.mktemp("go"))


@pytest.fixture
def client(program: Path, authority: Authority) -> Iterator[GoHttp3]:
    """One connection to each node."""
    with GoHttp3(program, authority.ca_pem) as client:
        yield client


def publish(client: GoHttp3, node: NodeProcess, channel: str, *values: Any) -> None:
    for value in values:
        body = json.dumps({"channel": channel, "data": value})
        status, answer = client.ask("POST", f"{node.http}/api/publish", body)
        assert status == "HTTP/3.0 200"
        assert json.loads(answer)["result"]["offset"] > 0


class TestQuicGo:
    """A client in another language, on another stack."""

    def test_it_publishes_and_listens(self, http3: Cluster, client: GoHttp3, channel: str) -> None:
        """The API of one node, event streams of both, a page, and what is not there."""
        here, there = http3.nodes
        streams = [client.begin("GET", f"{node.http}/sse?channel={channel}") for node in (here, there)]
        for number in streams:
            assert client.expect("status", number=number)["text"] == "HTTP/3.0 200"
            client.line(number, "event: subscribed")
        publish(client, here, channel, {"said": "over QUIC"})
        for number in streams:
            client.line(number, "over QUIC")
        status, last = client.ask("GET", f"{here.http}/")
        assert (status, last) == ("HTTP/3.0 200", "</html>")
        assert client.ask("HEAD", f"{here.http}/livez") == ("HTTP/3.0 200", "")
        assert client.ask("GET", f"{here.http}/nowhere")[0] == "HTTP/3.0 404"
        assert client.ask("POST", f"{here.http}/api/publish", "x" * 5_000_000)[0] == "HTTP/3.0 413"

    def test_the_forms_of_the_client_protocol(self, http3: Cluster, client: GoHttp3, channel: str) -> None:
        """A stream of lines with commands by POST, and a stream that needs none."""
        node, other = http3.nodes
        connect = json.dumps({"id": 1, "connect": {}})
        stream = client.begin("POST", f"{node.http}/connection/http_stream", connect)
        connected = json.loads(client.line(stream, '"connect"'))["connect"]
        frame = json.dumps({"id": 2, "subscribe": {"channel": channel}}) + "\n"
        wanted = {"session": connected["session"], "node": connected["node"], "data": frame}
        # Another node carries it to the session's.
        status, _ = client.ask("POST", f"{other.http}/emulation", json.dumps(wanted))
        assert status == "HTTP/3.0 204"
        client.line(stream, '"subscribe"')
        uni = client.begin("POST", f"{node.http}/connection/uni_sse", json.dumps({"subs": {channel: {}}}))
        client.line(uni, '"connect"')
        publish(client, other, channel, "to both")
        client.line(stream, "to both")
        client.line(uni, "to both")

    def test_a_stream_recovers_on_the_other_node(
        self, http3: Cluster, client: GoHttp3, program: Path, authority: Authority, channel: str
    ) -> None:
        """The position of an event is honoured there: what was missed comes, once, in order."""
        here, there = http3.nodes
        with GoHttp3(program, authority.ca_pem) as listener:
            number = listener.begin("GET", f"{here.http}/sse?channel={channel}")
            listener.line(number, "event: subscribed")
            publish(client, here, channel, 0)
            position = listener.line(number, "id: ")
            while '"data":0' not in (text := listener.line(number, ":")):
                position = text if text.startswith("id: ") else position
        publish(client, here, channel, 1, 2, 3)
        since = position.removeprefix("id: ")
        number = client.begin("GET", f"{there.http}/sse?channel={channel}&last_event_id={since}")
        publish(client, here, channel, 4)
        came = []
        while not came or '"data":4' not in came[-1]:
            came.append(client.line(number, "data: "))
        data = [json.loads(line.removeprefix("data: ")) for line in came]
        assert [one["data"] for one in data if one.get("data") is not None] == [1, 2, 3, 4]

    def test_a_leaving_node_ends_its_streams(self, http3: Cluster, client: GoHttp3, channel: str) -> None:
        """The client sees a clean end, the node does not wait for it, and another one serves."""
        leaving = http3.start_node("leaving")
        number = client.begin("GET", f"{leaving.http}/sse?channel={channel}")
        client.line(number, "event: subscribed")
        before = time.monotonic()
        assert leaving.stop() == 0
        assert time.monotonic() - before < 20
        client.line(number, "3001")
        client.expect("end", number=number)
        publish(client, http3.nodes[0], channel, 1)


async def test_a_client_that_never_reads_is_closed(
    authority: Authority, http3: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs no more than it may have waiting, and its session is ended as slow and counted."""
    node = http3.nodes[0]
    with trio.fail_after(PATIENCE_S):
        async with (
            connection(authority, node) as asking,
            connected(("127.0.0.1", node.port), configuration(authority.ca_pem)) as deaf,
        ):
            stream_id = await deaf.begin("GET", "/sse?channel=plain:deaf")
            await deaf.received(stream_id, b"event: subscribed")
            for name in ("_write_stream_limits", "_write_connection_limits"):
                monkeypatch.setattr(deaf.quic, name, lambda **_: None)
            slow = (await metrics(asking))["broadcast_slow_clients_total"]
            resident = resident_bytes(node)
            while (await metrics(asking))["broadcast_slow_clients_total"] == slow:
                body = {"channel": "plain:deaf", "data": "x" * 50_000}
                await asking.post("/api/publish", body, f"X-API-Key: {API_KEY}")
            assert resident_bytes(node) - resident < 10_000_000
            await deaf.until(lambda: stream_id in deaf.resets)
            assert (await metrics(asking))["broadcast_failures_total"] == 0


async def test_connections_that_come_and_go(authority: Authority, http3: Cluster) -> None:
    """In the handshake, in a request, in a stream, with a goodbye or without: nothing of them stays."""
    node = http3.nodes[0]
    address = ("127.0.0.1", node.port)

    async def come_and_go(number: int) -> None:
        options = configuration(authority.ca_pem)
        # Those that go without a goodbye are not to be waited for any longer.
        options.idle_timeout = 5.0
        client = Http3Client(address, options)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            if number % 4:
                await client.until(lambda: client.established)
            if number % 4 > 1:
                stream_id = await client.begin("GET", "/sse?channel=news")
            if number % 4 > 2:
                await client.received(stream_id, b"event: subscribed")
            if number % 3:
                await client.close()
            nursery.cancel_scope.cancel()
        client.sock.close()

    with trio.fail_after(PATIENCE_S):
        async with connection(authority, node) as asking:
            for _ in range(5):
                async with trio.open_nursery() as nursery:
                    for number in range(12):
                        nursery.start_soon(come_and_go, number)
            left = 1.0
            while left:
                after = await metrics(asking)
                sessions = sum(n for name, n in after.items() if name.startswith("broadcast_connections{"))
                left = after["broadcast_quic_connections"] + sessions
                await trio.sleep(0.1)
            assert after["broadcast_failures_total"] == 0


async def test_event_streams_over_tcp_tell_of_it(authority: Authority, http3: Cluster, channel: str) -> None:
    """As a page and the server API do: a client that only listens learns of it too."""
    with trio.fail_after(PATIENCE_S):
        async with connection(authority, http3.nodes[0]) as raw:
            await raw.request(f"GET /sse?channel={channel} HTTP/1.1\nHost: localhost")
            assert (await raw.answer()).fields["alt-svc"] == 'h3=":443"; ma=3600'


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH")
class TestBrowser:
    """Chromium, told that this origin speaks QUIC: announced, it would need a name and a port of the web."""

    pytestmark = NEEDS_NODE

    def test_a_page_and_its_event_source(
        self, authority: Authority, http3: Cluster, client: GoHttp3, channel: str
    ) -> None:
        """The page comes over HTTP/3, and what is published reaches its EventSource."""
        node = http3.nodes[0]
        certificate = load_pem_x509_certificate(authority.cert_pem.read_bytes())
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        known = base64.b64encode(hashlib.sha256(key).digest()).decode()
        options = (
            "--enable-quic",
            f"--origin-to-force-quic-on=127.0.0.1:{node.port}",
            f"--ignore-certificate-errors-spki-list={known}",
        )
        with Program("demo_page.mjs", CHROMIUM, *options) as browser:
            browser.expect("launched")
            tab = Tab(browser, f"https://127.0.0.1:{node.port}/livez")
            assert tab.do("protocol") == "h3"
            tab.do("listen", url=f"/sse?channel={channel}")
            tab.do("heard", what="open", times=1)
            publish(client, http3.nodes[1], channel, "to the browser")
            assert tab.do("heard", what="to the browser", times=1)[-1] == "to the browser"
