"""Tests of `deploy.server_api` and `broadcast publish`, against a small HTTP server."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from deploy import cli
from deploy.errors import UserError
from deploy.server_api import call


class FakeNode(HTTPServer):
    """Answers every request with `answer` and remembers it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: tuple[int, bytes] = (200, b'{"result":{}}')
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: FakeNode

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        self.server.requests.append((self.path, dict(self.headers), json.loads(body)))
        status, answer = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with FakeNode() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_publish_sends_json_and_prints_the_position(
    node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data arrives as JSON with key and idempotency key, and the position can be used with --since."""
    node.answer = (200, b'{"result":{"offset":7,"epoch":"abc"}}')
    arguments = ["publish", "news", '{"a":1}', "--url", node.url, "--key", "k", "--idempotency-key", "once"]
    assert cli.main(arguments) == 0
    ((path, headers, body),) = node.requests
    assert path == "/api/publish"
    assert headers["X-API-Key"] == "k"
    assert body == {"channel": "news", "data": {"a": 1}, "idempotency_key": "once"}
    assert capsys.readouterr().out == "published to news at abc:7\n"
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"offset": 7, "epoch": "abc"}


def test_publish_takes_text_and_standard_input(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain text needs no quotes of its own, and big data can come through a pipe."""
    assert cli.main(["publish", "news", "plain words", "--text", "--url", node.url]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("[1, 2]\n"))
    assert cli.main(["publish", "news", "-", "--url", node.url]) == 0
    assert [body["data"] for _, _, body in node.requests] == ["plain words", [1, 2]]


def test_data_that_is_not_json_shows_how_to_quote(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    """Quotes that the shell took are the usual mistake: the message shows the way, nothing is sent."""
    assert cli.main(["publish", "news", "{hello:1}", "--url", node.url]) == 1
    error = capsys.readouterr().err
    assert "not JSON: {hello:1}" in error
    assert """'{"text": "hello"}'""" in error
    assert not node.requests


def test_data_is_sent_as_it_was_typed(node: FakeNode) -> None:
    """Subscribers get what the publisher wrote: no number is rounded, no key dropped, no space added."""
    data = '{"n":1.10,"big":123456789012345678901234567890,"n":1e400}'
    assert cli.main(["publish", "news", data, "--url", node.url]) == 0
    assert data.encode() in node.bodies[0]


def test_input_that_is_no_text_is_said(
    node: FakeNode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are not UTF-8 end with a sentence, wherever they come from."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'"\xff"'), encoding="utf-8"))
    assert cli.main(["publish", "news", "-", "--url", node.url]) == 1
    assert cli.main(["publish", "news\udcff", "1", "--url", node.url]) == 1
    assert capsys.readouterr().err.count("UTF-8") == 2
    assert not node.requests


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, b""), "--key"),
        ((404, b"not found"), "HTTP 404"),
        ((413, b""), "http_api.body_bytes_max"),
        ((200, b"<html>"), "did not answer as a node"),
        ((200, b"[]"), "did not answer as a node"),
        ((200, b'{"error":{"code":102,"message":"unknown channel"}}'), r"unknown channel \(code 102\)"),
        (
            (200, b'{"error":{"code":100,"message":"internal server error"}}'),
            r"NATS is away, .*or refused it: .*/readyz may; a publication may be stored all",
        ),
    ],
)
def test_what_went_wrong_is_said_in_words(node: FakeNode, answer: tuple[int, bytes], message: str) -> None:
    """Every answer but a result becomes a sentence that says what to do or look at."""
    node.answer = answer
    with pytest.raises(UserError, match=message):
        call(node.url, "publish", {}, "")


def test_an_unreachable_node_is_said_in_words(node: FakeNode) -> None:
    """Nobody listening and an address that is none are told apart."""
    url = node.url
    node.server_close()
    with pytest.raises(UserError, match="is the cluster up"):
        call(url, "publish", {}, "")
    with pytest.raises(UserError, match="not the address"):
        call("localhost:8000", "publish", {}, "")
